"""Damaged DICOM files, by the hundred: each ends in a picture or in our own error."""

from __future__ import annotations

import random
import time
import tracemalloc
from io import BytesIO
from pathlib import Path

import numpy as np
import pydicom
import pytest

from monai_lesion.errors import ImageError
from monai_lesion.images.reading import frame_count, read_image
from monai_lesion.images.regions import region_of_interest
from monai_lesion.phantoms.cases import simulate_case
from monai_lesion.phantoms.dicom import write_dicom as write_view
from tests.images import write_dicom
from tests.images.dicom_pictures import bundled, deflated, plain

NAMES = (
    "ExplVR_BigEnd.dcm",
    "GDCMJ2K_TextGBR.dcm",
    "JPEGLSNearLossless_08.dcm",
    "SC_rgb_gdcm_KY.dcm",
    "SC_rgb_jpeg_dcmtk.dcm",
    "SC_rgb_jpeg_gdcm.dcm",
    "SC_rgb_rle_2frame.dcm",
    "SC_rgb_small_odd.dcm",
    "SC_ybr_full_422_uncompressed.dcm",
    "examples_palette.dcm",
)
EACH = 46  # 12 files: 552 damaged ones
LONGEST = 20.0  # seconds for one file, on a busy machine too
LARGEST = 200e6  # bytes for one file


def damage(content: bytes, chance: random.Random) -> bytes:
    """Some bytes changed, most often in the header; or a piece cut out, doubled, or the end cut off."""
    data, kind = bytearray(content), chance.choice(["bytes", "bytes", "bytes", "bits", "cut", "drop", "double", "big"])
    limit = min(len(data), 2500) if chance.random() < 0.7 else len(data)
    start = chance.randrange(100, limit)
    length = chance.randrange(1, 40)
    if kind == "bytes":
        for _ in range(chance.randrange(1, 12)):
            data[chance.randrange(100, limit)] = chance.randrange(256)
    elif kind == "bits":
        data[start] ^= 1 << chance.randrange(8)
    elif kind == "cut":
        del data[start:]
    elif kind == "drop":
        del data[start : start + length]
    elif kind == "double":
        data[start:start] = data[start : start + length]
    else:
        data[start : start + 4] = b"\xff" * 4
    return bytes(data)


def examples(folder: Path) -> list[bytes]:
    case = simulate_case(0, 0)
    write_view(folder / "view.dcm", case, case.views[0], seed=0)
    plain(folder / "plain", "12 bits")
    files = [*map(bundled, NAMES), folder / "view.dcm", deflated(folder / "deflated", (folder / "plain").read_bytes())]
    return [file.read_bytes() for file in files]


def outcome(file: Path) -> np.ndarray | None:
    """The last frame, or nothing after our own error; any other goes through."""
    try:
        frames = frame_count(file)
        image = read_image(file, frame=frames - 1 if frames > 1 else None)
    except ImageError:
        return None
    pixels = image.pixels
    region = region_of_interest(image.calibration.regions)
    if region is not None:
        assert pixels[region.slices].shape[:2] == region.shape
    image.calibration.of(np.ones(pixels.shape[:2], np.uint8))
    assert (pixels.dtype, pixels.ndim, pixels.shape[2]) == (np.uint8, 3, 3)
    return pixels


@pytest.mark.slow
def test_damaged_files_give_a_picture_or_our_own_error(tmp_path: Path) -> None:
    chance = random.Random(9)
    file = tmp_path / "damaged.dcm"
    pictures, refused = 0, 0
    tracemalloc.start()
    try:
        for number, content in enumerate(examples(tmp_path)):
            for turn in range(EACH):
                file.write_bytes(damage(content, chance))
                tracemalloc.reset_peak()
                began = time.process_time()
                pixels = outcome(file)
                pictures, refused = pictures + (pixels is not None), refused + (pixels is None)
                assert time.process_time() - began < LONGEST, (number, turn)
                assert tracemalloc.get_traced_memory()[1] < LARGEST, (number, turn)
    finally:
        tracemalloc.stop()
    assert pictures + refused >= 500
    assert min(pictures, refused) > 100  # the damage is neither always nor never noticed


@pytest.mark.slow
def test_damaged_regions_are_cropped_to_or_left_alone(tmp_path: Path) -> None:
    """Bytes of the Sequence of Ultrasound Regions changed, and the network shown what is left of it."""
    from tests.pacs import bright_segmenter

    dataset = pydicom.dcmread(BytesIO(examples(tmp_path)[-2]))
    region = dataset.SequenceOfUltrasoundRegions[0]
    region.RegionLocationMinX0, region.RegionLocationMinY0 = 100, 30  # one that is the whole picture is none
    dataset.save_as(tmp_path / "part.dcm")
    content, chance, segmenter = (tmp_path / "part.dcm").read_bytes(), random.Random(11), bright_segmenter()
    segmenter.crop = True
    start, end = (content.index(tag) for tag in (b"\x18\x00\x11\x60", b"\xe0\x7f\x10\x00"))
    file, refused, cropped, whole = tmp_path / "damaged.dcm", 0, 0, 0
    for _ in range(150):
        data = bytearray(content)
        for _ in range(chance.randrange(1, 5)):
            data[chance.randrange(start, end)] = chance.choice([0, 1, 2, 0x10, 0x7F, 0x80, 0xFF, chance.randrange(256)])
        file.write_bytes(data)
        try:
            found = segmenter(file)
        except ImageError:
            refused += 1
            continue
        assert found.mask.shape == found.image.pixels.shape[:2]
        _ = found.measurements, found.to_dict()
        if found.region is None:
            whole += 1
        else:
            cropped += 1
            outside = np.ones(found.mask.shape, bool)
            outside[found.region.slices] = False
            assert outside.sum() == found.mask.size - found.region.shape[0] * found.region.shape[1]
            assert not found.mask[outside].any()
    assert min(cropped, whole) > 10, (refused, cropped, whole)


@pytest.mark.parametrize("length", [0, 1, 131, 132, 133, 140, 200, 300])
def test_header_cut_off_anywhere_is_our_own_error(length: int, tmp_path: Path) -> None:
    file = write_dicom(tmp_path / "a", bytes(20 * 30), "MONOCHROME2")
    file.write_bytes(file.read_bytes()[:length])
    with pytest.raises(ImageError, match="a: must"):
        read_image(file)
