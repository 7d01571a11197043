"""What the tests of DICOM objects share: small sources, an algorithm, and the verdict of dciodvfy."""

from __future__ import annotations

import shutil
import subprocess
from io import BytesIO
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pydicom
import pytest

from monai_lesion.phantoms.dicom import write_dicom

SHAPE = (45, 61)  # odd, so that bit packing and padding show
SPACING = (0.2, 0.1)
PICTURE = np.random.default_rng(0).integers(0, 120, (*SHAPE, 3), np.uint8)
WEIGHTS = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"
PLANTED = "Planted"
UNKNOWN = "Warning - Unrecognized defined term <99MONAILESION>"  # dciodvfy knows no private scheme, as "99" says it is
RETIRED, RETIRED_CINE = "1.2.840.10008.5.1.4.1.1.6", "1.2.840.10008.5.1.4.1.1.3"
CINE, SECONDARY_CAPTURE = "1.2.840.10008.5.1.4.1.1.3.1", "1.2.840.10008.5.1.4.1.1.7"

# dciodvfy does not know the retired class as one of several frames; without the number the reference would be wrong.
TAKES_RETIRED_CINES_FOR_SINGLE_IMAGES = {
    "Error - Shall not be present for Referenced SOP Class that is not multi-frame - attribute <ReferencedFrameNumber>"
}

needs_dciodvfy = pytest.mark.skipif(
    shutil.which("dciodvfy") is None, reason="dciodvfy is not installed (Debian: dicom3tools)"
)
needs_dcmtk = pytest.mark.skipif(shutil.which("dsrdump") is None, reason="dsrdump is not installed (Debian: dcmtk)")


def ellipse_mask() -> np.ndarray:
    rows, columns = np.mgrid[: SHAPE[0], : SHAPE[1]]
    return (((rows - 20) / 11) ** 2 + ((columns - 33) / 19) ** 2 < 1).astype(np.uint8)


def make_source(folder: Path, **changes: object) -> Path:
    """A simulated ultrasound image; `changes` are attributes, None to leave one out."""
    case = SimpleNamespace(case_id="0007", centre="A")
    view = SimpleNamespace(view="front", pixels=PICTURE, calipers=(), spacing=SPACING)
    file = folder / "source.dcm"
    write_dicom(file, case, view, seed=1)
    if changes:
        dataset = pydicom.dcmread(file)
        for keyword, value in changes.items():
            if value is None:
                del dataset[keyword]
            else:
                setattr(dataset, keyword, value)
        if dataset.get("NumberOfFrames"):
            dataset.PixelData = dataset.PixelData * int(dataset.NumberOfFrames)
        if "SOPClassUID" in dataset:
            dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID
        dataset.save_as(file)
    return file


def encoded(dataset: pydicom.Dataset) -> bytes:
    buffer = BytesIO()
    dataset.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()


def verdict(file: Path) -> tuple[str, set[str]]:
    """The kind of object that dciodvfy recognised, and its errors and warnings."""
    check = subprocess.run(["dciodvfy", str(file)], capture_output=True, text=True, check=False)
    lines = (check.stdout + check.stderr).splitlines()
    faults = {line for line in lines if line.startswith(("Error", "Warning"))}
    return next((line for line in lines if line and line not in faults), ""), faults
