"""Where a result may be written."""

from __future__ import annotations

from pathlib import Path

import pytest

from monai_lesion.errors import InputError
from monai_lesion.segmentation.formats import FORMATS, check_free


def free(*files, pictures=(), overwrite=False):
    check_free(files, set(pictures), overwrite=overwrite, fix="Give another name")


def test_formats_are_those_of_the_command_line():
    assert set(FORMATS) == {"png", "nifti", "json", "overlay", "dicom-seg", "dicom-sr", "sc"}


def test_a_new_file_is_free(tmp_path):
    free(tmp_path / "a.png", tmp_path / "b.png")


def test_an_earlier_file_is_replaced_only_on_request(tmp_path):
    (tmp_path / "a.png").touch()
    with pytest.raises(InputError, match=r"a\.png: must not exist yet, got an earlier file\. Give another name"):
        free(tmp_path / "b.png", tmp_path / "a.png")
    free(tmp_path / "a.png", overwrite=True)


def test_a_picture_is_never_replaced_by_whatever_path(tmp_path):
    picture = tmp_path / "a.png"
    picture.touch()
    (tmp_path / "link.png").symlink_to(picture)
    for file in (picture, tmp_path / "x" / ".." / "a.png", tmp_path / "link.png"):
        with pytest.raises(InputError, match="must not be a picture that is segmented"):
            free(file, pictures=[picture.resolve()], overwrite=True)


def test_a_name_has_at_most_255_bytes():
    free(Path("a" * 251 + ".png"))
    free(Path("ü" * 125 + "a.png"))
    for name in ("a" * 252 + ".png", "ü" * 126 + ".png"):
        with pytest.raises(InputError, match=r"must have at most 255 bytes, got 256\. Give the picture a shorter name"):
            free(Path(name))
