"""What a code stream says of itself: its colours, its size, and where it ends."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from PIL import Image
from pydicom.encaps import encapsulate

from monai_lesion.errors import ImageError
from monai_lesion.images.codestreams import endings, stored_colours, with_colours
from monai_lesion.images.dicom_headers import warn_once
from monai_lesion.images.reading import read_image
from tests.images import COLUMNS, ROWS, colours, greys, write_dicom
from tests.images.dicom_pictures import (
    J2K_LOSSLESS,
    JPEG_2000,
    JPEG_BASELINE,
    JPEG_LOSSLESS,
    JPEG_LS,
    RLE,
    bundled,
    coded,
    compressed,
    plain,
    pydicom_3,
    written,
)

SMOOTH = np.stack(
    [np.indices((ROWS, COLUMNS))[0] * 9, np.indices((ROWS, COLUMNS))[1] * 8, np.full((ROWS, COLUMNS), 40)], 2
)
MARKERS = {
    "no marker": b"",
    "JFIF": bytes.fromhex("ffe000104a46494600010100000100010000"),
    "Adobe RGB": bytes.fromhex("ffee000e41646f626500640000000000"),
    "Adobe YCbCr": bytes.fromhex("ffee000e41646f626500640000000001"),
}


@pytest.fixture(autouse=True)
def said_again() -> None:
    """Each test hears what is said once a file."""
    warn_once.cache_clear()


def jpeg(kind: str, subsampling: int, marker: str) -> bytes:
    """Numbers stored as they are ("RGB") or as luminance and differences ("YBR"), under any marker."""
    picture, buffer = SMOOTH.astype(np.uint8), io.BytesIO()
    image = Image.fromarray(picture) if kind == "YBR" else Image.frombytes("YCbCr", (COLUMNS, ROWS), picture.tobytes())
    image.save(buffer, "JPEG", quality=95, subsampling=subsampling)
    data = buffer.getvalue()
    assert data[2:4] == b"\xff\xe0"
    return data[:2] + MARKERS[marker] + data[4 + int.from_bytes(data[4:6], "big") :]


def named_rgb(data: bytes) -> bytes:
    """The same with components that are called R, G and B."""
    named = bytearray(data)
    frame, scan = data.find(b"\xff\xc0"), data.find(b"\xff\xda")
    for place, name in enumerate(b"RGB"):
        named[frame + 10 + 3 * place] = named[scan + 5 + 2 * place] = name
    return bytes(named)


def error(data: bytes, photometric: str, folder: Path) -> float:
    file = write_dicom(folder / "a", encapsulate([data]), photometric, syntax=JPEG_BASELINE)
    return float(np.abs(read_image(file).pixels.astype(int) - SMOOTH).mean())


@pytest.mark.parametrize("photometric", ["RGB", "YBR_FULL", "YBR_FULL_422"])
@pytest.mark.parametrize("marker", MARKERS)
@pytest.mark.parametrize("subsampling", [1, 2], ids=["4:2:2", "4:2:0"])
def test_halved_colours_are_differences_whatever_anything_says(
    subsampling: int, marker: str, photometric: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    assert error(jpeg("YBR", subsampling, marker), photometric, tmp_path) < 3
    assert ("the header says RGB, but the JPEG holds YBR" in caplog.text) == (photometric == "RGB")


@pytest.mark.parametrize("photometric", ["RGB", "YBR_FULL", "YBR_FULL_422"])
@pytest.mark.parametrize("marker", MARKERS)
def test_colours_halved_from_row_to_row_are_differences_too(marker: str, photometric: str, tmp_path: Path) -> None:
    """A 4:4:0 made of a 4:2:2, of which each unit has one colour: its two blocks lie below each other then."""
    units = np.array([[[200, 40, 40], [30, 180, 60]], [[90, 90, 90], [20, 60, 210]]], np.uint8)
    buffer = io.BytesIO()
    wide = units.repeat(8, axis=0).repeat(16, axis=1)
    Image.fromarray(wide).save(buffer, "JPEG", quality=95, subsampling=1)
    data = bytearray(buffer.getvalue())
    frame = data.find(b"\xff\xc0")
    assert data[frame + 11] == 0x21
    data[frame + 5 : frame + 9], data[frame + 11] = bytes([0, 32, 0, 16]), 0x12
    coded = data[:2] + MARKERS[marker] + data[4 + int.from_bytes(data[4:6], "big") :]
    file = write_dicom(
        tmp_path / "a", encapsulate([bytes(coded)]), photometric, syntax=JPEG_BASELINE, Rows=32, Columns=16
    )
    centres = read_image(file).pixels[8::16, 4::8].astype(int)  # decoders smooth colours where units meet
    assert np.abs(centres - units).max() < 5


@pytest.mark.parametrize("photometric", ["RGB", "YBR_FULL"])
def test_halved_components_named_red_green_and_blue_are_differences(photometric: str, tmp_path: Path) -> None:
    data = named_rgb(jpeg("YBR", 2, "no marker"))
    assert error(data, photometric, tmp_path) < 3


@pytest.mark.parametrize("photometric", ["RGB", "YBR_FULL", "YBR_FULL_422"])
@pytest.mark.parametrize(("kind", "marker"), [("YBR", "JFIF"), ("YBR", "Adobe YCbCr"), ("RGB", "Adobe RGB")])
def test_the_marker_of_an_encoder_counts_more_than_the_header(
    kind: str, marker: str, photometric: str, tmp_path: Path
) -> None:
    assert error(jpeg(kind, 0, marker), photometric, tmp_path) < 3


@pytest.mark.parametrize(("kind", "photometric"), [("RGB", "RGB"), ("YBR", "YBR_FULL"), ("YBR", "YBR_FULL_422")])
def test_without_a_marker_the_header_counts(kind: str, photometric: str, tmp_path: Path) -> None:
    assert error(jpeg(kind, 0, "no marker"), photometric, tmp_path) < 3


def test_components_named_red_green_and_blue_are(tmp_path: Path) -> None:
    data = named_rgb(jpeg("RGB", 0, "no marker"))
    assert stored_colours(data) == "RGB"
    assert error(data, "RGB", tmp_path) < 3
    assert error(data, "YBR_FULL", tmp_path) < 3


@pytest.mark.parametrize("marker", MARKERS)
def test_a_marker_is_put_in_place_of_any_other(marker: str) -> None:
    data = with_colours(jpeg("YBR", 0, marker), "YBR")
    assert (data.count(b"JFIF"), data.count(b"Adobe")) == (0, 1)
    assert stored_colours(data) == "YBR"
    Image.open(io.BytesIO(data)).load()


CODED = {
    "JPEG": (JPEG_BASELINE, {"format": "JPEG", "quality": 95}),
    "JPEG with restarts": (JPEG_BASELINE, {"format": "JPEG", "quality": 95, "restart_marker_blocks": 1}),
    "progressive JPEG": (JPEG_BASELINE, {"format": "JPEG", "quality": 95, "progressive": True}),
    "JPEG 2000": (JPEG_2000, {"format": "JPEG2000", "no_jp2": True, "mct": 0}),
}
PADDING = {
    "nothing": b"",
    "80 zeros": bytes(80),
    "9,000 zeros": bytes(9000),
    "FF": b"\xff" * 200,
    "text": b"end of it" * 40,
}


@pytest.mark.parametrize("padding", PADDING)
@pytest.mark.parametrize("kind", CODED)
def test_what_stands_behind_the_end_is_padding(
    kind: str, padding: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    syntax, options = CODED[kind]
    buffer = io.BytesIO()
    Image.fromarray(colours()).save(buffer, **options)
    photometric = "RGB" if kind == "JPEG 2000" else "YBR_FULL_422"
    plain = write_dicom(tmp_path / "a", encapsulate([buffer.getvalue()]), photometric, syntax=syntax)
    padded = write_dicom(
        tmp_path / "b", encapsulate([buffer.getvalue() + PADDING[padding]]), photometric, syntax=syntax
    )
    np.testing.assert_array_equal(read_image(padded).pixels, read_image(plain).pixels)
    assert "no end" not in caplog.text


@pytest.mark.parametrize("kind", ["JPEG with restarts", "progressive JPEG", "JPEG 2000"])
def test_what_is_cut_off_is_so_however_it_is_padded(kind: str, tmp_path: Path) -> None:
    syntax, options = CODED[kind]
    buffer = io.BytesIO()
    Image.fromarray(colours()).save(buffer, **options)
    data = buffer.getvalue()[: len(buffer.getvalue()) * 3 // 4] + bytes(80)
    photometric = "RGB" if kind == "JPEG 2000" else "YBR_FULL_422"
    file = write_dicom(tmp_path / "a", encapsulate([data]), photometric, syntax=syntax)
    with pytest.raises(ImageError, match="compressed data cut off"):
        read_image(file)


def test_the_end_of_a_preview_is_not_that_of_the_picture(tmp_path: Path) -> None:
    syntax, options = CODED["progressive JPEG"]
    buffer, small = io.BytesIO(), io.BytesIO()
    Image.fromarray(colours()).save(buffer, **options)
    Image.fromarray(colours()[:8, :8]).save(small, "JPEG")
    data, preview = buffer.getvalue(), b"Exif\0\0" + small.getvalue()
    data = data[:2] + b"\xff\xe1" + (len(preview) + 2).to_bytes(2, "big") + preview + data[2:]
    whole = write_dicom(tmp_path / "a", encapsulate([data]), "YBR_FULL_422", syntax=syntax)
    assert read_image(whole).pixels.shape == (ROWS, COLUMNS, 3)
    cut = write_dicom(tmp_path / "b", encapsulate([data[:-40]]), "YBR_FULL_422", syntax=syntax)
    with pytest.raises(ImageError, match="cut off"):
        read_image(cut)


def test_12_bit_lossy_jpeg_is_refused_and_says_why() -> None:
    # What decodes it is under the GPL.
    with pytest.raises(ImageError, match=r"JPGExtended\.dcm: must be a readable DICOM image, got .*12-bit"):
        read_image(bundled("JPGExtended.dcm"))


def coded_picture(path: Path, kind: str) -> Path:
    from pydicom.encaps import encapsulate

    jpeg, jpeg_2000 = compressed(format="JPEG")[0], compressed(format="JPEG2000", no_jp2=True, mct=1)[0]
    huge = jpeg.replace(ROWS.to_bytes(2, "big") + COLUMNS.to_bytes(2, "big"), b"\xff\xff\xff\xff", 1)
    bomb = jpeg_2000.replace(COLUMNS.to_bytes(4, "big") + ROWS.to_bytes(4, "big"), b"\0\1\0\0\0\1\0\0", 1)
    cases = {
        "JPEG 2000 as JPEG": (jpeg_2000, JPEG_BASELINE),
        "JPEG as JPEG 2000": (jpeg, JPEG_2000),
        "JPEG bomb": (huge, JPEG_BASELINE),
        "JPEG 2000 bomb": (bomb, JPEG_2000),
        "half a JPEG": (jpeg[: len(jpeg) // 4 * 2], JPEG_BASELINE),
        "half a JPEG 2000": (jpeg_2000[: len(jpeg_2000) // 4 * 2], JPEG_2000),
        "raw as RLE": (b"\1\0\0\0", RLE),
        "video": (jpeg, "1.2.840.10008.1.2.4.102"),
    }
    if kind == "raw as JPEG":
        file = write_dicom(path, colours().tobytes(), "RGB")
        head = file.read_bytes().replace(b"UI\x14\x001.2.840.10008.1.2.1\0", b"UI\x16\x00" + JPEG_BASELINE.encode())
        size = int.from_bytes(head[140:144], "little") + 2
        file.write_bytes(head[:140] + size.to_bytes(4, "little") + head[144:])
        return file
    data, syntax = cases[kind]
    return write_dicom(path, encapsulate([data]), "YBR_FULL_422", syntax=syntax)


CONTRADICTIONS = {
    "JPEG 2000 as JPEG": "got data that is not JPEG, or has no size",
    "JPEG as JPEG 2000": "got data that is not JPEG 2000, or has no size",
    "JPEG bomb": "got data of 65535 x 65535 x 3 where the header says 20 x 30 x 3",
    "JPEG 2000 bomb": "got data of 65536 x 65536 x 3 where the header says 20 x 30 x 3",
    "half a JPEG": "got compressed data cut off",
    "half a JPEG 2000": "got compressed data cut off",
    "raw as RLE": "got compressed data cut off",
    "raw as JPEG": "the transfer syntax must be that of the pixel data, got uncompressed data under JPEG Baseline",
    "video": "the transfer syntax must be uncompressed, RLE, JPEG, JPEG-LS or JPEG 2000, got MPEG",
}


@pytest.mark.parametrize("kind", CONTRADICTIONS)
def test_compressed_data_that_contradicts_the_header_never_reaches_a_decoder(kind: str, tmp_path: Path) -> None:
    with pytest.raises(ImageError, match=CONTRADICTIONS[kind]):
        read_image(coded_picture(tmp_path / "bad.dcm", kind))


def pillow_jpeg(colour: bool = True, **options: Any) -> bytes:
    picture = Image.fromarray(colours() if colour else greys())
    stream = io.BytesIO()
    picture.save(stream, "JPEG", quality=95, **options)
    return stream.getvalue()


def without_end(kind: str, folder: Path) -> tuple[bytes, str, str]:
    """Compressed data up to its end marker, its transfer syntax and photometric interpretation."""
    if kind in ("colour", "progressive", "restart", "grey"):
        options = {"progressive": {"progressive": True}, "restart": {"restart_marker_blocks": 1}}.get(kind, {})
        data, syntax = pillow_jpeg(kind != "grey", **options), JPEG_BASELINE
        photometric = "MONOCHROME2" if kind == "grey" else "YBR_FULL_422"
    else:
        from pydicom.encaps import generate_frames

        syntax = {"lossless": JPEG_LOSSLESS, "JPEG-LS": JPEG_LS, "JPEG 2000": J2K_LOSSLESS}[kind]
        dataset = pydicom.dcmread(coded(plain(folder / "plain", "RGB"), folder / "coded", syntax))
        data, photometric = next(generate_frames(dataset.PixelData, number_of_frames=1)), "RGB"
    return data[: data.rindex(b"\xff\xd9")], syntax, photometric


@pydicom_3
@pytest.mark.parametrize("kind", ["colour", "grey", "lossless"])
def test_whole_jpeg_without_its_end_marker_is_read_with_a_warning(kind: str, tmp_path: Path, caplog: Any) -> None:
    data, *rest = without_end(kind, tmp_path)
    expected = read_image(written(tmp_path / "whole.dcm", data + b"\xff\xd9", *rest)).pixels
    assert "end marker" not in caplog.text
    np.testing.assert_array_equal(read_image(written(tmp_path / "open.dcm", data, *rest)).pixels, expected)
    assert "open.dcm: the compressed data has no end marker; the picture is whole" in caplog.text


@pydicom_3
@pytest.mark.parametrize("kind", ["colour", "grey", "lossless"])
@pytest.mark.parametrize("zeros", [0, 40], ids=["", "zeros follow"])
@pytest.mark.parametrize("missing", [2, 3, 7, 30, 101])
def test_jpeg_that_was_cut_off_is_still_refused(kind: str, missing: int, zeros: int, tmp_path: Path) -> None:
    data, *rest = without_end(kind, tmp_path)
    with pytest.raises(ImageError, match=r"cut\.dcm: must be a readable DICOM image, got compressed data cut off"):
        read_image(written(tmp_path / "cut.dcm", data[:-missing] + b"\0" * zeros, *rest))


@pydicom_3
@pytest.mark.parametrize("kind", ["progressive", "restart", "JPEG-LS", "JPEG 2000"])
def test_data_whose_end_alone_tells_that_it_is_whole_needs_it(kind: str, tmp_path: Path) -> None:
    data, *rest = without_end(kind, tmp_path)
    assert read_image(written(tmp_path / "whole.dcm", data + b"\xff\xd9", *rest)).pixels.shape == (ROWS, COLUMNS, 3)
    with pytest.raises(ImageError, match="got compressed data cut off"):
        read_image(written(tmp_path / "open.dcm", data, *rest))


def test_scan_that_is_still_to_come_is_missed() -> None:
    frame = "ffd8 ffc0 0011 08 0014 001e 03 011100 021100 031100"
    scans = [f"ffda 0008 01 0{number} 00 00 3f 00 7fff00" for number in (1, 2, 3)]
    assert [len(endings(bytes.fromhex(frame + "".join(scans[:count])))) for count in range(4)] == [0, 0, 0, 3]
