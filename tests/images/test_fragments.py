"""Frames of compressed pixel data, found whatever the tables and the header say of them."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest
from pydicom.encaps import encapsulate

from monai_lesion.errors import ImageError
from monai_lesion.images.dicom_headers import warn_once
from monai_lesion.images.reading import ImageFile, read_image
from tests.images import write_dicom
from tests.images.dicom_pictures import JPEG_BASELINE, RLE, compressed, plain, pydicom_3

COUNT = 4


def item(content: bytes) -> bytes:
    return b"\xfe\xff\x00\xe0" + struct.pack("<I", len(content)) + content


def pieces(frame: bytes, count: int) -> list[bytes]:
    size = -(-len(frame) // count) // 2 * 2 + 2
    return [frame[place : place + size] for place in range(0, len(frame), size)]


def data(table: list[int] | None, items: list[bytes], *, end: bool = True) -> bytes:
    basic = item(struct.pack(f"<{len(table)}I", *table) if table else b"")
    return basic + b"".join(map(item, items)) + (b"\xfe\xff\xdd\xe0\0\0\0\0" if end else b"")


def offsets(items: list[bytes], starts: list[int], head: int = 8) -> list[int]:
    return [sum(len(each) + head for each in items[:start]) for start in starts]


def shown(file: Path, frame: int | None) -> np.ndarray:
    return read_image(file, frame=frame).pixels.astype(int)


def cases() -> dict[str, tuple[bytes, str]]:
    """Pixel data of four frames, each right picture being one of them, and what is said."""
    frames = compressed(COUNT, format="JPEG", quality=95)
    whole, split = list(frames), [piece for frame in frames for piece in pieces(frame, 2)]
    two = [0, 2, 4, 6]
    wrong = "the table of frames does not point at them"
    return {
        "no table": (data(None, whole), ""),
        "right table": (data(offsets(whole, [0, 1, 2, 3]), whole), ""),
        "no delimiter": (data(None, whole, end=False), ""),
        "zeros": (data([0] * COUNT, whole), wrong),
        "without item headers": (data(offsets(whole, [0, 1, 2, 3], head=0), whole), wrong),
        "in another order": (data(offsets(whole, [0, 2, 1, 3]), whole), wrong),
        "too short": (data(offsets(whole, [0, 1]), whole), wrong),
        "split, no table": (data(None, split), ""),
        "split, right table": (data(offsets(split, two), split), ""),
        "split, table of items": (data(offsets(split, [0, 1, 2, 3]), split), wrong),
        "split, behind": (data([2**31] * COUNT, split), wrong),
        "an empty item": (data(None, [whole[0], b"", *whole[1:]]), ""),
    }


@pytest.mark.parametrize("kind", cases())
def test_frames_are_found_by_their_items(kind: str, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    content, said = cases()[kind]
    expected = compressed(COUNT, format="JPEG", quality=95)
    file = write_dicom(tmp_path / "a", content, "YBR_FULL_422", syntax=JPEG_BASELINE, NumberOfFrames=COUNT)
    for frame in (2, 0, 3, 1):
        alone = write_dicom(tmp_path / "b", encapsulate([expected[frame]]), "YBR_FULL_422", syntax=JPEG_BASELINE)
        np.testing.assert_array_equal(shown(file, frame), shown(alone, None))
    assert (said in caplog.text) if said else "frames" not in caplog.text


@pytest.mark.parametrize("table", [[0] * COUNT, [10**6] * COUNT], ids=["zeros", "behind"])
def test_an_extended_table_is_not_believed_either(table: list[int], tmp_path: Path) -> None:
    frames = compressed(COUNT, format="JPEG", quality=95)
    tables = {
        "ExtendedOffsetTable": struct.pack(f"<{COUNT}Q", *table),
        "ExtendedOffsetTableLengths": struct.pack(f"<{COUNT}Q", *map(len, frames)),
    }
    content = data(None, frames)
    file = write_dicom(tmp_path / "a", content, "YBR_FULL_422", syntax=JPEG_BASELINE, NumberOfFrames=COUNT, **tables)
    alone = write_dicom(tmp_path / "b", encapsulate([frames[2]]), "YBR_FULL_422", syntax=JPEG_BASELINE)
    np.testing.assert_array_equal(shown(file, 2), shown(alone, None))


@pydicom_3
def test_frames_of_rle_are_found_by_their_items(tmp_path: Path) -> None:
    import pydicom
    from pydicom.encaps import generate_frames

    source = plain(tmp_path / "a", "RGB", frames=3)
    dataset = pydicom.dcmread(source)
    dataset.compress(RLE, generate_instance_uid=False)
    frames = list(generate_frames(dataset.PixelData, number_of_frames=3))
    dataset.PixelData = data([0, 0, 0], frames)
    dataset.save_as(tmp_path / "b")
    for frame in range(3):
        np.testing.assert_array_equal(shown(tmp_path / "b", frame), shown(source, frame))


@pytest.mark.parametrize("kind", ["JPEG", "uncompressed"])
def test_several_frames_without_their_number_are_said(
    kind: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    number: dict[str, int] = {}
    if kind == "JPEG":
        frames = compressed(COUNT, format="JPEG", quality=95)
        file = write_dicom(tmp_path / "a", data(None, frames), "YBR_FULL_422", syntax=JPEG_BASELINE, **number)
        alone = write_dicom(tmp_path / "b", encapsulate(frames[:1]), "YBR_FULL_422", syntax=JPEG_BASELINE)
        said = "NumberOfFrames is missing; the pixel data holds 4 frames; the first is used"
    else:
        content = plain(tmp_path / "c", "RGB", frames=3).read_bytes()[-3 * 20 * 30 * 3 :]
        file = write_dicom(tmp_path / "a", content, "RGB", **number)
        alone = write_dicom(tmp_path / "b", content[: 20 * 30 * 3], "RGB")
        said = "NumberOfFrames is missing; the pixel data has room for 3 frames; the first is used"
    with ImageFile(file) as opened:
        assert opened.frames == 1
    np.testing.assert_array_equal(shown(file, None), shown(alone, None))
    assert said in caplog.text


@pytest.mark.parametrize("kind", ["JPEG", "uncompressed"])
def test_several_frames_whose_number_is_0_are_refused(kind: str, tmp_path: Path) -> None:
    if kind == "JPEG":
        content, options = data(None, compressed(2, format="JPEG")), {"syntax": JPEG_BASELINE}
    else:
        content, options = bytes(2 * 20 * 30 * 3), {}
    photometric = "YBR_FULL_422" if kind == "JPEG" else "RGB"
    file = write_dicom(tmp_path / "a", content, photometric, NumberOfFrames=0, **options)
    with pytest.raises(ImageError, match="NumberOfFrames must be a whole number of at least 1, got 0"):
        read_image(file)


def test_no_frames_at_all_is_one_picture(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    file = write_dicom(tmp_path / "a", bytes(20 * 30 * 3), "RGB", NumberOfFrames=0)
    assert not shown(file, None).any()
    assert "NumberOfFrames" not in caplog.text


def test_what_is_cut_off_does_not_move_the_other_frames(tmp_path: Path) -> None:
    frames = compressed(COUNT, format="JPEG", quality=95)
    content = data(None, frames, end=False)[: -len(frames[-1]) - 8]
    file = write_dicom(tmp_path / "a", content, "YBR_FULL_422", syntax=JPEG_BASELINE, NumberOfFrames=COUNT)
    alone = write_dicom(tmp_path / "b", encapsulate([frames[2]]), "YBR_FULL_422", syntax=JPEG_BASELINE)
    np.testing.assert_array_equal(shown(file, 2), shown(alone, None))
    with pytest.raises(ImageError, match="frame 3 must be a readable DICOM image, got compressed data cut off"):
        read_image(file, frame=3)


def test_a_damaged_frame_does_not_move_the_other_frames(tmp_path: Path) -> None:
    frames = compressed(COUNT, format="JPEG", quality=95)
    content = data(None, [frames[0], bytes(len(frames[1])), *frames[2:]])
    file = write_dicom(tmp_path / "a", content, "YBR_FULL_422", syntax=JPEG_BASELINE, NumberOfFrames=COUNT)
    alone = write_dicom(tmp_path / "b", encapsulate([frames[3]]), "YBR_FULL_422", syntax=JPEG_BASELINE)
    np.testing.assert_array_equal(shown(file, 3), shown(alone, None))
    with pytest.raises(ImageError, match="frame 1 must be"):
        read_image(file, frame=1)


def test_frames_that_cannot_be_told_apart_are_refused(tmp_path: Path) -> None:
    frames = compressed(COUNT, format="JPEG", quality=95)
    items = [*pieces(frames[0], 2), *pieces(frames[1], 2), bytes(64), bytes(64)]
    file = write_dicom(tmp_path / "a", data(None, items), "YBR_FULL_422", syntax=JPEG_BASELINE, NumberOfFrames=3)
    with pytest.raises(ImageError, match="frame 0 must be a readable DICOM image, got compressed data cut off or dam"):
        read_image(file, frame=0)


@pytest.fixture(autouse=True)
def said_again() -> None:
    """Each test hears what is said once a file."""
    warn_once.cache_clear()
