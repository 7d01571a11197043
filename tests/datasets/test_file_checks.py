"""Pictures that two splits share though their files differ, and unlikely masks; for the rest see test_manifests."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from monai_lesion.datasets.entries import Entry
from monai_lesion.datasets.file_checks import check_contents, check_pixels_apart
from monai_lesion.errors import ManifestError
from tests.images import colours, lesion


@pytest.fixture
def used(tmp_path: Path) -> list[tuple[str, Entry]]:
    """Two pictures of two splits, each its own."""
    listed = []
    for number, split in enumerate(("training", "test")):
        picture = colours()
        picture[0, 0] = number
        Image.fromarray(picture).save(tmp_path / f"{number}.png")
        Image.fromarray(lesion()).save(tmp_path / f"{number}_mask.png")
        entry = {"case_id": str(number), "view": "a", "image": f"{number}.png", "label": f"{number}_mask.png"}
        listed.append((split, entry))
    return listed


@pytest.mark.parametrize("ending", [".png", ".tif"])
def test_the_same_pixels_saved_anew_in_two_splits_are_refused(
    ending: str, tmp_path: Path, used: list[tuple[str, Entry]]
) -> None:
    file = tmp_path / f"again{ending}"
    check_contents(tmp_path, tmp_path, used, iter)
    Image.open(tmp_path / "0.png").save(file, **({"compress_level": 0} if ending == ".png" else {}))
    assert file.read_bytes() != (tmp_path / "0.png").read_bytes()
    used[1][1]["image"] = file.name
    rule = rf"(?s)no picture may be in two splits, not even saved anew.*0\.png \(training\) = again{ending} \(test\)"
    with pytest.raises(ManifestError, match=rule):
        check_contents(tmp_path, tmp_path, used, iter)
    check_pixels_apart(tmp_path, tmp_path, [("test", entry) for _, entry in used])


def test_a_picture_that_changes_is_decoded_again(tmp_path: Path, used: list[tuple[str, Entry]]) -> None:
    check_pixels_apart(tmp_path, tmp_path, used)
    Image.open(tmp_path / "0.png").save(tmp_path / "1.png", compress_level=0)
    with pytest.raises(ManifestError, match="no picture may be in two splits"):
        check_pixels_apart(tmp_path, tmp_path, used)


def test_unlikely_masks_are_warned_of(
    tmp_path: Path, used: list[tuple[str, Entry]], caplog: pytest.LogCaptureFixture
) -> None:
    Image.fromarray((~lesion()).astype(np.uint8) * 255).save(tmp_path / "1_mask.png")
    check_contents(tmp_path, tmp_path, used, iter)
    assert "1 of 2 masks look inverted: the lesion reaches all corners, 91 % of the picture: 1_mask.png" in caplog.text
