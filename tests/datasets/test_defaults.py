"""The data of a training: one manifest, several, or none."""

from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image

from monai_lesion.datasets.defaults import open_data
from monai_lesion.errors import InputError, ManifestError
from monai_lesion.phantoms import files
from tests.images import colours, write_dicom


def manifest(folder, **columns):
    content = {"name": "two", "labels": {"1": "lesion"}, "validation": [], "test": []}
    mask = np.zeros((20, 30), np.uint8)
    mask[5:9, 4:20] = 255
    entries = []
    for name in "ab":
        Image.fromarray(mask + ord(name)).save(folder / f"{name}.png")
        Image.fromarray(mask).save(folder / f"{name}_mask.png")
        entries.append({"case_id": name, "view": "front", "image": f"{name}.png", "label": f"{name}_mask.png"})
    entries[1] |= columns
    (folder / "m.json").write_text(json.dumps({**content, "training": entries}))
    return folder / "m.json"


def test_without_a_manifest_the_simulated_cases_are_opened(tmp_path, monkeypatch):
    monkeypatch.setattr(files, "default_phantoms", lambda: manifest(tmp_path))
    assert [entry["case_id"] for entry in open_data(None, "nowhere", splits=["training"]).splits["training"]] == [
        "a",
        "b",
    ]


def test_later_frames_of_a_cine_are_refused_where_they_would_be_used(tmp_path):
    write_dicom(tmp_path / "b.dcm", colours().tobytes() * 2, "RGB", NumberOfFrames=2)
    file = manifest(tmp_path, image="b.dcm", frame=1)
    rule = r"m\.json: the bundle reads only the first frame of a cine, got 1 entries of later frames, first .*b\.dcm"
    with pytest.raises(ManifestError, match=rule):
        open_data(file, splits=["training"])
    assert open_data(file, splits=["test"]).path == file


def test_one_manifest_has_one_folder(tmp_path):
    with pytest.raises(InputError, match="dataset_dir: must be one folder for one manifest, got"):
        open_data(manifest(tmp_path), [tmp_path])
