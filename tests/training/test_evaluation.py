from __future__ import annotations

import csv
import hashlib
import json

import numpy as np
import pytest
import torch
from ignite.engine import Engine
from monai.data import MetaTensor
from monai.engines import IterationEvents
from PIL import Image

from monai_lesion.datasets.manifests import load_manifest, write_manifest
from monai_lesion.errors import InputError
from monai_lesion.images.readers import read_mask
from monai_lesion.networks import LighterUNet
from monai_lesion.networks.identity import weights_id
from monai_lesion.training import EvaluationTables, SaveMasks

SHAPE = (20, 30)


def box(left, width=10):
    mask = np.zeros(SHAPE, bool)
    mask[5:15, left : left + width] = True
    return mask


PREDICTED = {"1_front": box(5), "1_side": box(10), "2_front": np.zeros(SHAPE, bool)}  # against box(5) each time


@pytest.fixture
def data(tmp_path):
    folder = tmp_path / "data"
    folder.mkdir()
    entries = []
    for number, name in enumerate(PREDICTED):
        case, view = name.split("_")
        Image.fromarray(np.full((*SHAPE, 3), 40 + number, np.uint8)).save(folder / f"{name}.png")
        Image.fromarray(box(5).astype(np.uint8) * 255).save(folder / f"{name}_mask.png")
        files = {"image": f"{name}.png", "label": f"{name}_mask.png"}
        entries.append({"case_id": case, "view": view, **files, "device": "AB"[number % 2]})
    write_manifest({"name": "boxes", "labels": {}, "test": entries}, folder / "manifest.json")
    return load_manifest(folder / "manifest.json", splits=["test"])


def evaluate(data, output, **options):
    def step(engine, entry):
        name = f"{entry['case_id']}_{entry['view']}"
        image = MetaTensor(torch.zeros(3, 4, 4), meta={"filename_or_obj": entry["image"]})
        pred, label = (torch.as_tensor(mask)[None].to(torch.uint8) for mask in (PREDICTED[name], box(5)))
        return [{"image": image, "pred": pred, "label": label}]

    engine = Engine(step)
    engine.register_events(*IterationEvents)  # as MONAI's evaluators do
    EvaluationTables(data, "test", output, **options).attach(engine)
    engine.run(data.entries("test"))


def test_tables_hold_each_image_with_its_columns_and_paths_relative_to_the_data(data, tmp_path):
    evaluate(data, tmp_path / "eval", by="device")
    with (tmp_path / "eval" / "per_image.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row["case_id"], row["view"], row["image"], row["device"]) for row in rows] == [
        ("1", "front", "1_front.png", "A"),
        ("1", "side", "1_side.png", "B"),
        ("2", "front", "2_front.png", "A"),
    ]
    assert [float(row["dice"]) for row in rows] == [1.0, 0.5, 0.0]
    assert [row["missed"] for row in rows] == ["0", "0", "1"]
    assert rows[1]["hd95"] == "5.0"
    assert rows[2]["hd95"] == ""


def test_summary_says_what_was_evaluated(data, tmp_path):
    weights = tmp_path / "model.pt"
    weights.write_bytes(b"any")
    network = LighterUNet(group_size=2)
    evaluate(data, tmp_path / "eval", by=["device"], network=network, weights=weights)
    summary = json.loads((tmp_path / "eval" / "summary.json").read_text())
    assert summary["manifest"] == "boxes"
    assert summary["network"] == "LighterUNet(group_size=2)"
    assert summary["weights_file_sha256"] == hashlib.sha256(b"any").hexdigest()
    assert summary["weights_id"] == weights_id(network.state_dict())
    assert (summary["split"], summary["order"], summary["unit"]) == ("test", "resize_first", "px")
    assert (summary["n"], summary["cases"], summary["missed"], summary["dice"]["mean"]) == (3, 2, 1, 0.5)
    assert summary["by"]["device"]["A"]["dice"]["mean"] == 0.5


def test_masks_and_overlays_are_written_and_old_overlays_go(data, tmp_path):
    evaluate(data, tmp_path / "eval", overlays=[0, 50, 100])
    for name, mask in PREDICTED.items():
        np.testing.assert_array_equal(read_mask(tmp_path / "eval" / "masks" / f"{name}.png"), mask)
    overlays = tmp_path / "eval" / "overlays"
    assert sorted(path.name for path in overlays.iterdir()) == [
        "01_2_front.png",
        "02_1_side.png",
        "03_1_front.png",
        "sheet.png",
    ]
    evaluate(data, tmp_path / "eval", overlays=[0])
    assert sorted(path.name for path in overlays.iterdir()) == ["01_2_front.png", "sheet.png"]


def test_no_overlays_on_request(data, tmp_path):
    evaluate(data, tmp_path / "eval", overlays=[])
    assert not (tmp_path / "eval" / "overlays").exists()


def test_an_unknown_column_is_named_before_anything_is_computed(data, tmp_path):
    with pytest.raises(InputError, match=r"by: .*device.*got centre"):
        EvaluationTables(data, "test", tmp_path, by="centre")


@pytest.mark.parametrize(("format", "ending"), [("png", ".png"), ("nifti", ".nii.gz")])
def test_saved_mask_is_upright_and_of_the_sources_size(tmp_path, format, ending):
    image = MetaTensor(torch.zeros(3, 4, 4), meta={"filename_or_obj": "in/a.png", "original_affine": np.eye(4)})
    engine = Engine(lambda engine, batch: [{"image": image, "pred": torch.as_tensor(box(2).T).to(torch.uint8)}])
    SaveMasks(tmp_path, {"in/a.png": "a"}, format=format).attach(engine)
    engine.run([0])
    np.testing.assert_array_equal(read_mask(tmp_path / f"a{ending}"), box(2))
