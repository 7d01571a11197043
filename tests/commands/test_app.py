from __future__ import annotations

import csv
import json
import os
import subprocess
import sys

import numpy as np
import pytest
import torch
from PIL import Image
from typer.testing import CliRunner

from monai_lesion import __version__
from monai_lesion.commands import app as cli
from monai_lesion.errors import InputError
from monai_lesion.images.readers import read_mask
from monai_lesion.networks import LighterUNet


def invoke(*arguments):
    result = CliRunner().invoke(cli.app, [str(argument) for argument in arguments], catch_exceptions=True)
    if isinstance(result.exception, InputError):
        raise result.exception
    return result


@pytest.fixture
def folder(tmp_path):
    data = tmp_path / "data"
    for name in ("images", "masks"):
        (data / name).mkdir(parents=True)
    for case in range(10):
        for view in ("front", "side"):
            picture = np.full((30, 40), 10 * case + (view == "side"), np.uint8)
            Image.fromarray(picture).save(data / "images" / f"{case:02d}_{view}.png")
            mask = np.zeros((30, 40), np.uint8)
            mask[5:15, 5:15] = 255
            Image.fromarray(mask).save(data / "masks" / f"{case:02d}_{view}.png")
    return data


def create(folder, output, *options):
    patterns = ["--images", "images/{case}_{view}.png", "--labels", "masks/{case}_{view}.png"]
    return invoke("manifest", "create", folder, *patterns, "--output", output, *options)


def test_version_is_the_packages():
    assert invoke("--version").output.strip() == f"monai-lesion {__version__}"


def test_the_package_runs_as_a_module():
    done = subprocess.run(
        [sys.executable, "-m", "monai_lesion", "--version"], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == f"monai-lesion {__version__}"


def test_created_manifest_passes_its_check_with_the_counts_asked_for(folder):
    manifest = folder / "manifest.json"
    result = create(folder, manifest, "--split", "6,2,2", "--seed", "4")
    assert "training 12, validation 4, test 4" in result.output
    checked = invoke("manifest", "check", manifest)
    assert checked.exit_code == 0
    assert "12 images of 6 cases" in checked.output
    told = json.loads(invoke("manifest", "check", manifest, "--splits", "training", "--json").stdout)
    assert told["training"] == {"images": 12, "cases": 6, "opened": True}
    assert told["test"] == {"images": 4, "cases": 2, "opened": False}


def test_check_names_the_file_that_is_missing(folder):
    create(folder, folder / "manifest.json")
    (folder / "masks" / "03_side.png").unlink()
    with pytest.raises(InputError, match=r"(?s)each file must be present.*03_side\.png"):
        invoke("manifest", "check", folder / "manifest.json")


def test_check_refuses_a_manifest_without_an_image(tmp_path):
    manifest = tmp_path / "manifest.json"
    manifest.write_text(json.dumps({"training": [], "validation": [], "test": []}))
    with pytest.raises(InputError, match=r"manifest\.json: must list images, got none"):
        invoke("manifest", "check", manifest)


def test_split_that_is_no_number_is_refused(folder):
    with pytest.raises(InputError, match="--split: must be numbers separated by commas, got half"):
        create(folder, folder / "manifest.json", "--split", "half")
    assert not (folder / "manifest.json").exists()


@pytest.mark.slow
def test_phantoms_are_written_with_their_manifest(tmp_path):
    result = invoke("phantoms", "--output", tmp_path / "p", "--cases", 3, "--formats", "png,dicom", "--workers", 0)
    assert result.exit_code == 0
    assert (tmp_path / "p" / "phantoms.json").is_file()
    assert len(list((tmp_path / "p" / "images").glob("*.dcm"))) == 6


@pytest.mark.slow
def test_networks_are_listed_with_their_parameters():
    assert "17,267,393" in invoke("networks").output


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    path = tmp_path_factory.mktemp("weights") / "model.pt"
    torch.save({"model": LighterUNet(group_size=1).state_dict()}, path)
    return path


SMALL = ("--bundle", "bundles/lighter_unet", "--set", "network_def#group_size=1", "--set", "spatial_size=[32,32]")


def test_predict_finishes_the_good_images_and_reports_the_bad(folder, weights, tmp_path):
    (folder / "images" / "00_front.png").write_bytes(b"no picture")
    with pytest.raises(InputError, match=r"(?s)1 of 20 could not be segmented.*00_front\.png"):
        invoke("predict", folder / "images", "--output", tmp_path / "out", "--weights", weights, *SMALL)
    assert len(list((tmp_path / "out").glob("*.png"))) == 19
    with (tmp_path / "out" / "results.csv").open(newline="", encoding="utf-8") as stream:
        rows = {row["name"]: row for row in csv.DictReader(stream)}
    assert sorted(rows) == sorted(file.stem for file in (folder / "images").iterdir())
    assert [name for name, row in rows.items() if row["error"]] == ["00_front"]
    assert read_mask(tmp_path / "out" / "00_side.png").shape == (30, 40)


@pytest.mark.slow
def test_predict_tells_of_a_file_without_permission_at_its_end(folder, weights, tmp_path, monkeypatch):
    good, bad = folder / "images" / "00_front.png", tmp_path / "bad.png"
    access = os.access
    monkeypatch.setattr(os, "access", lambda path, *a, **k: str(path) != str(bad) and access(path, *a, **k))
    bad.write_bytes(b"")
    with pytest.raises(InputError, match=r"1 of 2 could not be segmented:\n  .*bad.png"):
        invoke("predict", bad, good, "--weights", weights, "--output", tmp_path / "found", *SMALL)
    assert (tmp_path / "found" / "00_front.png").exists()


def test_predict_writes_the_formats_asked_for(folder, weights, tmp_path):
    image = folder / "images" / "00_front.png"
    arguments = ["--output", tmp_path / "out", "--formats", "png,nifti,json,overlay", "--weights", weights, *SMALL]
    assert invoke("predict", image, *arguments).exit_code == 0
    names = {"00_front.png", "00_front.nii.gz", "00_front.json", "00_front_overlay.png"}
    assert {path.name for path in (tmp_path / "out").iterdir()} == names
    assert json.loads((tmp_path / "out" / "00_front.json").read_text())["rows"] == 30


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--formats", "gif"], "--formats: must be one or more of png, nifti, .*, dicom-seg, dicom-sr, sc, got gif"),
        (["--set", "group_size"], "--set: must be key=value, got group_size"),
        (["--bundle", "nowhere"], "must be a bundle with configs/inference.json"),
    ],
    ids=["format", "override", "bundle"],
)
def test_predict_names_the_option_at_fault(folder, tmp_path, options, message):
    with pytest.raises(InputError, match=message):
        invoke("predict", folder / "images", "--output", tmp_path / "out", *options)


def shell(*arguments, **options):
    return subprocess.run([sys.executable, *arguments], capture_output=True, text=True, timeout=120, **options)


def test_an_input_error_is_one_line_and_exit_1(tmp_path):
    done = shell("-m", "monai_lesion.commands.app", "manifest", "check", tmp_path / "none.json")
    assert done.returncode == 1
    assert done.stderr.strip() == f"error: {tmp_path / 'none.json'}: the manifest must exist, got no file"


def test_import_and_help_need_neither_torch_nor_monai():
    code = "import sys, monai_lesion.commands.app; print(sorted({'torch', 'monai', 'numpy'} & set(sys.modules)))"
    assert shell("-c", code).stdout.strip() == "[]"
