"""The formats of a result: how their files end, and where a file may be written."""

from __future__ import annotations

import os
from collections.abc import Container, Iterable
from pathlib import Path

from monai_lesion.errors import InputError
from monai_lesion.files import true_place
from monai_lesion.images.writers import ENDINGS

DICOM_ENDINGS = {"dicom-seg": ".seg.dcm", "dicom-sr": ".sr.dcm", "sc": ".sc.dcm"}
RESULT_ENDINGS = {**ENDINGS, "json": ".json", "overlay": "_overlay.png", **DICOM_ENDINGS}
FORMATS = tuple(RESULT_ENDINGS)
LONGEST = 255  # bytes of a file's name on today's file systems


def check_folder(output_dir: str | Path, fix: str) -> None:
    """Refuse a folder for results that is named like a result, unless it is there.

    Args:
        output_dir: the folder.
        fix: what to do instead.

    Raises:
        InputError: names it.
    """
    if str(output_dir).lower().endswith(tuple(RESULT_ENDINGS.values())) and not os.path.isdir(output_dir):
        raise InputError(output_dir, "must be a folder", got="the name of a file", fix=fix)


def check_free(files: Iterable[Path], pictures: Container[Path], *, overwrite: bool, fix: str) -> None:
    """Refuse to write over a file, over a picture whatever was asked for, and under a name that is too long.

    Args:
        files: the files to be written.
        pictures: the pictures that are segmented, resolved.
        overwrite: whether an earlier result may be replaced.
        fix: what to do about an earlier result.

    Raises:
        InputError: names the file.
    """
    for file in files:
        if (length := len(os.fsencode(file.name))) > LONGEST:
            rule, fix = f"must have at most {LONGEST} bytes", "Give the picture a shorter name"
            raise InputError(file.name, rule, got=length, fix=fix)
        if true_place(file) in pictures:
            rule = "must not be a picture that is segmented: its result would replace it"
            raise InputError(file, rule, fix="Write to a folder of its own")
        if not overwrite and file.exists():
            raise InputError(file, "must not exist yet", got="an earlier file", fix=fix)
