"""Every transfer syntax against the uncompressed pixels; headers that lie, each with its own error."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest

from monai_lesion.errors import ImageError
from monai_lesion.images.dicom_files import SOP_CLASSES
from monai_lesion.images.limits import MAX_PIXELS
from monai_lesion.images.readers import image_size, read_image
from tests.images import colours, write_dicom


@pytest.mark.parametrize("uid", sorted(SOP_CLASSES), ids=lambda uid: str(uid)[26:])
def test_ultrasound_and_secondary_capture_are_accepted_retired_or_not(uid: str, tmp_path: Path) -> None:
    file = write_dicom(tmp_path / "a", colours().tobytes(), "RGB", SOPClassUID=uid)
    np.testing.assert_array_equal(read_image(file).pixels, colours())


@pytest.mark.parametrize(
    ("uid", "name"),
    [
        ("1.2.840.10008.5.1.4.1.1.88.33", "Comprehensive SR Storage"),
        ("1.2.840.10008.5.1.4.1.1.104.1", "Encapsulated PDF Storage"),
        ("1.2.840.10008.5.1.4.1.1.2", "CT Image Storage"),
        ("1.2.840.10008.5.1.4.1.1.66.4", "Segmentation Storage"),
    ],
    ids=["SR", "PDF", "CT", "SEG"],
)
def test_other_objects_are_refused_by_name(uid: str, name: str, tmp_path: Path) -> None:
    file = write_dicom(tmp_path / "a", colours().tobytes(), "RGB", SOPClassUID=uid)
    with pytest.raises(ImageError, match=f"must be an ultrasound or secondary capture image, got {name}"):
        read_image(file)


def lying(path: Path, kind: str) -> Path:
    data, photometric, values = colours().tobytes(), "RGB", {}
    changes: dict[str, dict[str, Any]] = {
        "minus one frame": {"NumberOfFrames": -1},
        "frames for ever": {"NumberOfFrames": 2_000_000_000},
        "absurd size": {"Rows": 65535, "Columns": 65535},
        "zero rows": {"Rows": 0},
        "two samples": {"SamplesPerPixel": 2},
        "seven bits": {"BitsAllocated": 7, "BitsStored": 7},
        "more bits than room": {"BitsStored": 12},
    }
    if kind == "grey of three samples":
        photometric, values = "MONOCHROME2", {"SamplesPerPixel": 3, "PlanarConfiguration": 0}
    elif kind == "colour of one sample":
        values = {"SamplesPerPixel": 1}
    elif kind == "full colour as 422":
        photometric = "YBR_FULL_422"
    elif kind in changes:
        values = changes[kind]
    file = write_dicom(path, data, photometric, **values)
    if kind.startswith("no "):
        dataset = pydicom.dcmread(file)
        del dataset[kind[3:]]
        dataset.save_as(file)
    return file


LIES = {
    "no Rows": "Rows must be a whole number of at least 1, got none",
    "no Columns": "Columns must be a whole number of at least 1, got none",
    "no BitsAllocated": "BitsAllocated must be a whole number of at least 1, got none",
    "no SamplesPerPixel": "SamplesPerPixel must be a whole number of at least 1, got none",
    "no PhotometricInterpretation": "the photometric interpretation must be one of MONOCHROME1.*got none",
    "zero rows": "Rows must be a whole number of at least 1, got 0",
    "minus one frame": "NumberOfFrames must be a whole number of at least 1, got -1",
    "frames for ever": "NumberOfFrames must fit the pixel data, got 2000000000 with room for 1",
    "absurd size": f"must have at most {MAX_PIXELS} pixels, got 65535 x 65535",
    "two samples": "RGB must have 3 samples per pixel, got SamplesPerPixel 2",
    "grey of three samples": "MONOCHROME2 must have 1 sample per pixel, got SamplesPerPixel 3",
    "colour of one sample": "RGB must have 3 samples per pixel, got SamplesPerPixel 1",
    "full colour as 422": "the photometric interpretation must be that of the pixel data, got YBR_FULL_422",
    "seven bits": "BitsAllocated must be 1, 8, 16 or 32",
    "more bits than room": "BitsAllocated must be 1, 8, 16 or 32 and hold BitsStored.*got 8 and 12",
}


@pytest.mark.parametrize("kind", LIES)
def test_header_that_lies_is_refused_with_the_rule(kind: str, tmp_path: Path) -> None:
    file = lying(tmp_path / "bad.dcm", kind)
    with pytest.raises(ImageError, match=rf"bad\.dcm: {LIES[kind]}"):
        read_image(file)
    with pytest.raises(ImageError, match=LIES[kind]):
        image_size(file)


@pytest.mark.parametrize(
    "changes",
    [
        {"SOPClassUID": "DOE^JANE"},
        {"PhotometricInterpretation": "DOE^JANE"},
        {"SamplesPerPixel": 1, "PhotometricInterpretation": "DOE^JANE"},
        {"VOILUTFunction": "DOE^JANE", "WindowCenter": "1", "WindowWidth": "9"},
    ],
    ids=["class", "colours", "grey", "window"],
)
def test_no_message_repeats_what_stands_in_the_wrong_attribute(
    changes: dict[str, Any], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    grey = "WindowCenter" in changes
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        data, photometric = (bytes(600), "MONOCHROME2") if grey else (colours().tobytes(), "RGB")
        file = write_dicom(tmp_path / "a", data, photometric)
        dataset = pydicom.dcmread(file)
        for keyword, value in changes.items():
            setattr(dataset, keyword, value)
        dataset.save_as(file)
    caplog.clear()
    said = ""
    try:
        read_image(file)
    except ImageError as error:
        said = str(error)
        assert "of 8 characters" in said
    assert "DOE" not in said + caplog.text
