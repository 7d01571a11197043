"""Sources: what can be one, and a message with file, attribute, rule and fix for what cannot."""

from __future__ import annotations

import numpy as np
import pydicom
import pytest

from monai_lesion.dicom import Algorithm, segmentation
from monai_lesion.dicom.sources import open_source
from monai_lesion.errors import ImageError, InputError
from monai_lesion.images.readers import read_image
from tests.dicom import CINE, SHAPE, WEIGHTS, encoded, make_source
from tests.images.dicom_pictures import deflated

ALGORITHM = Algorithm("net", "0.1.0", WEIGHTS)


@pytest.mark.parametrize(
    ("changes", "frame", "message"),
    [
        ({"StudyInstanceUID": None}, None, r"source.dcm: StudyInstanceUID \(0020,000D\) must not be missing or empty"),
        ({"SOPInstanceUID": ""}, None, r"source.dcm: SOPInstanceUID \(0008,0018\) must not be missing or empty"),
        ({"Rows": None}, None, r"source.dcm: Rows \(0028,0010\) must not be missing or empty"),
        ({"Columns": 0}, None, r"source.dcm: Columns \(0028,0011\) must not be missing or empty"),
        (
            {"SOPClassUID": "1.2.840.10008.5.1.4.1.1.2"},
            None,
            r"source.dcm: SOPClassUID \(0008,0016\) must be that of an ultrasound or .*, got CT Image Storage. Take",
        ),
        (
            {"SOPClassUID": CINE, "NumberOfFrames": 4},
            None,
            "source.dcm: a cine needs a frame number, got 4 frames. Name a",
        ),
        ({"SOPClassUID": CINE, "NumberOfFrames": 4}, 4, "source.dcm: frame must be between 0 and 3, got 4"),
        ({}, 1, "source.dcm: frame must be between 0 and 0, got 1"),
        ({}, -1, "source.dcm: frame must be between 0 and 0, got -1"),
    ],
    ids=["study", "instance", "rows", "columns", "ct", "no-frame", "frame-4", "frame-1", "frame-minus-1"],
)
def test_refuses(tmp_path, changes, frame, message):
    with pytest.raises(InputError, match=message):
        open_source(make_source(tmp_path, **changes), frame)


def test_refuses_a_file_that_is_no_dicom(tmp_path):
    (tmp_path / "text.dcm").write_text("no DICOM")
    with pytest.raises(ImageError, match=r"text.dcm: must be a readable DICOM image, got another kind of file"):
        open_source(tmp_path / "text.dcm")
    with pytest.raises(ImageError, match=r"none.dcm: must be an existing file, got no such file"):
        open_source(tmp_path / "none.dcm")


@pytest.mark.parametrize("form", ["no preamble", "no preamble and no meta information", "deflated"])
def test_what_the_readers_read_can_be_a_source(tmp_path, form):
    """A mask found in a file of these forms can be written as SEG, SR and SC of that file."""
    plain = make_source(tmp_path)
    content, file = plain.read_bytes(), tmp_path / "other.dcm"
    if form == "deflated":
        deflated(file, content)
    else:
        size = 132 + 12 + int.from_bytes(content[140:144], "little")
        file.write_bytes(content[132:] if form == "no preamble" else content[size:])
    image, source = read_image(file), pydicom.dcmread(plain)
    found = segmentation(file, np.ones(image.pixels.shape[:2]), ALGORITHM)
    assert found.SourceImageSequence[0].ReferencedSOPInstanceUID == source.SOPInstanceUID
    assert encoded(found) == encoded(segmentation(plain, np.ones(SHAPE), ALGORITHM))


def test_damaged_numbers_count_as_absent(tmp_path):
    file = make_source(tmp_path, InstanceNumber=2, SeriesNumber=7)
    content = file.read_bytes()
    damaged = content.replace(b"\x20\x00\x13\x00IS\x02\x002 ", b"\x20\x00\x13\x00IS\x02\x00x ")
    assert damaged != content
    file.write_bytes(damaged)
    source = open_source(file)
    assert (source.instance_number, source.series_number, source.shape) == (1, 7, SHAPE)


def test_frames_of_a_cine_have_numbers_of_their_own(tmp_path):
    file = make_source(tmp_path, SOPClassUID=CINE, NumberOfFrames=3, InstanceNumber=12)
    assert [open_source(file, frame).instance_number for frame in range(3)] == [120001, 120002, 120003]
    largest = make_source(tmp_path, SOPClassUID=CINE, NumberOfFrames=3, InstanceNumber=2**31 - 1)
    assert open_source(largest, 2).instance_number == 83647 * 10_000 + 3  # 2 ** 31 - 1 is the most that DICOM holds


def test_header_is_read_without_its_pixels(tmp_path):
    assert "PixelData" not in open_source(make_source(tmp_path)).header
