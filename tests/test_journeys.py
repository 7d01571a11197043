"""From a folder as people have it to a trained network and a table of sizes, by the commands that the docs name."""

from __future__ import annotations

import csv
import json
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from skimage.measure import find_contours
from typer.testing import CliRunner

from monai_lesion.commands.app import app
from monai_lesion.phantoms.files import write_phantoms

pytestmark = pytest.mark.slow

TINY = ["--epochs", "2", "--start-from", "pocket", "--set", "spatial_size=[64,64]", "--set", "batch_size=2"]

Picture = tuple[Image.Image, np.ndarray]


@pytest.fixture(scope="module")
def cases(tmp_path_factory: pytest.TempPathFactory) -> list[list[Picture]]:
    """Pictures and masks ``(H, W)`` of twelve cases, two views each."""
    folder = tmp_path_factory.mktemp("simulated") / "data"
    content = json.loads(write_phantoms(folder, cases=12, seed=3, workers=0, progress=False).read_text())
    found: dict[str, list[Picture]] = defaultdict(list)
    for entry in (entry for split in ("training", "validation", "test") for entry in content[split]):
        mask = np.asarray(Image.open(folder / entry["label"])) > 0
        found[entry["case_id"]].append((Image.open(folder / entry["image"]).convert("RGB"), mask))
    return list(found.values())


def save_mask(mask: np.ndarray, file: Path) -> None:
    Image.fromarray(mask.astype(np.uint8) * 255).save(file)


def ask(*words: object) -> str:
    result = CliRunner().invoke(app, list(map(str, words)))
    assert result.exit_code == 0, (result.output, result.exception)
    return result.output


def images_of(manifest: Path) -> Iterator[tuple[str, dict[str, str]]]:
    content = json.loads(manifest.read_text(encoding="utf-8"))
    yield from ((split, entry) for split in ("training", "validation", "test") for entry in content[split])


def check_sizes(results: Path, pictures: int) -> None:
    """Every picture has a line without an error, whose area is that of its own mask."""
    with (results / "results.csv").open(encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert len(rows) == pictures
    assert not [row["error"] for row in rows if row["error"]]
    for row in rows:
        drawn = int((np.asarray(Image.open(results / f"{row['name']}.png")) > 0).sum())
        assert float(row["area_px2"] or 0) == drawn
        assert (row["found"] == "True") == (drawn > 0)


def test_busi_as_published(cases: list[list[Picture]], tmp_path: Path) -> None:
    data = tmp_path / "BUSI"
    for kind in ("benign", "malignant", "normal"):
        (data / kind).mkdir(parents=True)
    for number, ((image, mask), (other, second)) in enumerate(cases, 1):
        kind = "benign" if number % 2 else "malignant"
        image.save(data / kind / f"{kind} ({number}).png")
        halves = [mask.copy(), mask.copy()] if number == 1 else [mask]  # the first has its mask in two files
        for count, half in enumerate(halves):
            if len(halves) == 2:
                half[:, mask.shape[1] // 2 :] &= count == 1
                half[:, : mask.shape[1] // 2] &= count == 0
            save_mask(half, data / kind / f"{kind} ({number})_mask{f'_{count}' * (count > 0)}.png")
        if number % 4 == 0:  # tissue without the lesion
            plain = other.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
            plain.save(data / "normal" / f"normal ({number}).png")
            save_mask(second & False, data / "normal" / f"normal ({number})_mask.png")
    manifest, model = data / "manifest.json", tmp_path / "mine"
    assert "training" in ask("manifest", "create", data, "--output", manifest)
    entries = [entry for _, entry in images_of(manifest)]
    assert len(entries) == 15
    assert sum(bool(entry.get("empty")) for entry in entries) == 3
    told = ask("train", "--manifest", manifest, "--output", model, *TINY)
    assert f"monai-lesion evaluate --bundle {model} --manifest {manifest}" in told
    assert "missed" in ask("evaluate", "--manifest", manifest, "--bundle", model, "--output", tmp_path / "evaluation")
    ask("predict", data, "--bundle", model, "--output", tmp_path / "results", "--formats", "png,overlay,json")
    check_sizes(tmp_path / "results", 15)


def test_labelme_files_to_an_average_of_folds(cases: list[list[Picture]], tmp_path: Path) -> None:
    data = tmp_path / "Annotated by me"
    data.mkdir()
    for number, views in enumerate(cases[:8]):
        for view, (image, mask) in zip("lr", views, strict=True):
            name = f"Patient {number:03} {view}"
            image.save(data / f"{name}.jpg", quality=95)
            rings = [(ring[:, ::-1] - 0.5).tolist() for ring in find_contours(np.pad(mask, 1).astype(float), 0.5)]
            shapes = [{"label": "lesion", "points": ring, "shape_type": "polygon"} for ring in rings]
            size = {"imageHeight": image.height, "imageWidth": image.width}
            about = {"version": "5.4.1", "imagePath": f"{name}.jpg", "imageData": None, **size}
            (data / f"{name}.json").write_text(json.dumps({**about, "shapes": shapes}), encoding="utf-8")
    manifest, folder = data / "manifest.json", tmp_path / "cv"
    asked = CliRunner().invoke(app, ["manifest", "create", str(data), "--output", str(manifest)])
    assert asked.exit_code != 0
    assert "--images '{case} {view}.jpg'" in str(asked.exception)  # what the next line takes
    ask("manifest", "create", data, "--images", "{case} {view}.jpg", "--output", manifest)
    for _, entry in images_of(manifest):
        number, view = entry["case_id"].split()[-1], entry["view"]
        truth = cases[int(number)]["lr".index(view)][1]
        drawn = np.asarray(Image.open(data / entry["label"])) > 0
        assert (drawn ^ truth).sum() < 0.02 * truth.sum()
    ask("crossval", "--manifest", manifest, "--folds", 2, "--output", folder, *TINY)
    with (folder / "evaluation" / "per_image.csv").open(encoding="utf-8", newline="") as stream:
        assert len({row["image"] for row in csv.DictReader(stream)}) == 16
    ask("predict", data, "--bundle", folder / "model", "--output", tmp_path / "results")
    check_sizes(tmp_path / "results", 16)


def test_nested_dates_to_a_study_over_folds(cases: list[list[Picture]], tmp_path: Path) -> None:
    data = tmp_path / "hospital"
    for number, views in enumerate(cases):
        place = data / f"2021-03-{number + 1:02}" / f"PAT{number % 9:04}"  # three patients came twice
        place.mkdir(parents=True)
        for count, (image, mask) in enumerate(views[: 1 + (number != 4)], 1):
            image.save(place / f"us_{count:04}.PNG")
            if number != 5:
                save_mask(mask, place / f"us_{count:04}_mask.png")
    manifest, words = data / "manifest.json", ["--folds", "2", "--allow-missing"]
    asked = CliRunner().invoke(app, ["manifest", "create", str(data), "--output", str(manifest)])
    assert "--images '{date}/{patient}/{view}.PNG'" in str(asked.exception)
    ask("manifest", "create", data, "--images", "{date}/{patient}/{view}.PNG", "--output", manifest, *words)
    folds = [data / f"manifest-fold{number}.json" for number in (1, 2)]
    tested: list[str] = []
    for fold in folds:
        places = defaultdict(set)
        for split, entry in images_of(fold):
            places[entry["image"].split("/")[1]].add(split)
            tested += [entry["image"]] if split == "test" else []
        assert all(len(splits) == 1 for splits in places.values())  # by the patient's folder, whatever the date
    assert len(tested) == len(set(tested)) == 23
    network = {"_target_": "monai_lesion.networks.LightUNet", "width": 0.125}
    study = {
        "name": "tiny",
        "title": "One tiny network",
        "weight_decays": [0.0],
        "seeds": [0],
        "overrides": {
            "spatial_size": [64, 64],
            "max_epochs": 1,
            "min_epochs": 0,
            "batch_size": 4,
        },
        "networks": [{"name": "tiny", "network": network}],
    }
    (tmp_path / "tiny.json").write_text(json.dumps(study), encoding="utf-8")
    runs = tmp_path / "runs"
    named = [word for fold in folds for word in ("--manifest", fold)]
    ask("study", "run", tmp_path / "tiny.json", "--output", runs, *named)
    ask("study", "report", runs, "--no-cpu-time")
    assert "tiny" in (runs / "report" / "index.html").read_text(encoding="utf-8")
    rows = [
        row for file in runs.rglob("evaluation/per_image.csv") for row in csv.DictReader(file.open(encoding="utf-8"))
    ]
    assert sorted(row["image"] for row in rows) == sorted(tested)
