from __future__ import annotations

import csv
import json

import numpy as np
import pytest
from PIL import Image

from monai_lesion.segmentation.lesion_segmenters import LesionSegmenter
from monai_lesion.segmentation.trust import Trust
from monai_lesion.training.model_scores import score_model
from tests.calibrations import calibration_of

LABELS = {"0": "background", "1": "lesion"}


@pytest.mark.parametrize("views", [1, pytest.param(4, marks=pytest.mark.slow)])
def test_the_table_is_that_of_the_segmenters_masks(tmp_path, views):
    segmenter = LesionSegmenter.from_preset("pocket", views=views)
    segmenter.trust = None  # it would take such pictures' masks back
    entries, masks = [], {}
    for number in range(2):
        pixels = np.random.default_rng(number).integers(0, 90, (40, 50), np.uint8)
        pixels[10:30, 12:36] //= 4
        Image.fromarray(pixels).save(tmp_path / f"{number}.png")
        mask = np.zeros((40, 50), np.uint8)
        mask[10:30, 12:36] = 255
        Image.fromarray(mask).save(tmp_path / f"{number}_mask.png")
        masks[f"{number}.png"] = segmenter(pixels).mask > 0
        entries.append({"case_id": str(number), "view": "a", "image": f"{number}.png", "label": f"{number}_mask.png"})
    about = {
        "name": "two",
        "description": "",
        "licence": "",
        "reference": "",
        "labels": {"0": "background", "1": "lesion"},
    }
    (tmp_path / "two.json").write_text(json.dumps({**about, "training": [], "validation": [], "test": entries}))
    summary = score_model(segmenter, tmp_path / "two.json", tmp_path / "out", overlays=(), progress=False)
    with (tmp_path / "out" / "per_image.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    for row in rows:
        found, label = masks[row["image"]], np.zeros((40, 50), bool)
        label[10:30, 12:36] = True
        overlap = 2 * (found & label).sum() / (found.sum() + label.sum())
        assert float(row["dice"]) == pytest.approx(overlap, abs=1e-6)
    assert (summary["n"], summary["views"], summary["runtime"]) == (2, views, "onnx fp32")


def test_a_calibrated_model_is_judged_and_its_masks_stay(tmp_path):
    segmenter = LesionSegmenter.from_preset("pocket")
    calibration = calibration_of(segmenter.algorithm.weights, signal="views", presence={"threshold": 1.1, "lost": 0.03})
    segmenter.trust = Trust(calibration)  # takes every mask back
    Image.fromarray(np.random.default_rng(0).integers(0, 90, (40, 50), np.uint8)).save(tmp_path / "0.png")
    Image.fromarray(np.pad(np.full((20, 24), 255, np.uint8), ((10, 10), (12, 14)))).save(tmp_path / "0_mask.png")
    about = {"name": "one", "description": "", "licence": "", "reference": "", "labels": LABELS}
    entry = {"case_id": "0", "view": "a", "image": "0.png", "label": "0_mask.png"}
    (tmp_path / "one.json").write_text(json.dumps({**about, "training": [], "validation": [], "test": [entry]}))
    summary = score_model(segmenter, tmp_path / "one.json", tmp_path / "out", overlays=(), progress=False)
    with (tmp_path / "out" / "per_image.csv").open(newline="") as file:
        (row,) = csv.DictReader(file)
    assert (row["decision"], summary["trust"]["lost"]["count"]) == ("nothing found", 1)
    segmenter.trust = None
    drawn = np.asarray(Image.open(tmp_path / "out" / row["mask"])) > 0
    np.testing.assert_array_equal(drawn, segmenter(tmp_path / "0.png").mask > 0)
