"""A folder as a MONAI Label server leaves it becomes a manifest."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from monai_lesion.datasets.importers import create_manifest
from monai_lesion.errors import InputError
from monai_lesion.label.corrections import corrected
from tests.images import lesion


@pytest.fixture
def studies(tmp_path: Path) -> Path:
    """Six pictures of three cases; all but one have a final label, and one an automatic label, too."""
    (tmp_path / "labels" / "final").mkdir(parents=True)
    (tmp_path / "labels" / "original").mkdir()
    objects = {}
    for number in range(6):
        name = f"{number // 2}_{'lr'[number % 2]}"
        Image.fromarray(np.full((20, 30), number * 9, np.uint8)).save(tmp_path / f"{name}.png")
        tags = ["original"] if number == 5 else ["final", "original"] if number == 0 else ["final"]
        for tag in tags:
            Image.fromarray(lesion().astype(np.uint8)).save(tmp_path / "labels" / tag / f"{name}.png")
        labels = {tag: {"ext": ".png", "info": {}} for tag in tags}
        objects[name] = {"image": {"ext": ".png", "info": {"ts": 1}}, "labels": labels}
    about = {"name": "x", "description": "", "images_dir": ".", "labels_dir": "labels", "objects": objects}
    (tmp_path / "datastore_v2.json").write_text(json.dumps(about))
    return tmp_path


def test_what_was_corrected_becomes_a_manifest_by_patient(studies: Path) -> None:
    content = create_manifest(studies, drawings=corrected(studies, "{case}_{view}.png"))
    entries = [entry for split in ("training", "validation", "test") for entry in content[split]]
    assert sorted(entry["image"] for entry in entries) == ["0_l.png", "0_r.png", "1_l.png", "1_r.png", "2_l.png"]
    assert all(entry["label"] == f"labels/final/{entry['image']}" for entry in entries)
    assert [len({entry["case_id"] for entry in content[split]}) for split in ("training", "validation", "test")] == [
        1
    ] * 3


def test_other_tags_may_be_taken(studies: Path) -> None:
    assert [each.named.path for each in corrected(studies, tag="original")] == ["0_l.png", "2_r.png"]
    with pytest.raises(InputError, match='must hold labels with the tag "mine", got none'):
        corrected(studies, tag="mine")


def test_what_is_no_servers_folder_is_refused(studies: Path) -> None:
    with pytest.raises(InputError, match=r"datastore_v2\.json: must be the file that a MONAI Label server keeps"):
        corrected(studies / "labels")
    (studies / "datastore_v2.json").write_text('{"objects": {"a": {}}}')
    with pytest.raises(InputError, match="got one without 'labels'"):
        corrected(studies)


def test_views_of_a_patient_are_asked_about(studies: Path) -> None:
    with pytest.raises(InputError, match=r"which pictures are of one patient.*--images '\{case\}_\{view\}\.png'"):
        corrected(studies)
