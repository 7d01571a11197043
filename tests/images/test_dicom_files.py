"""Every transfer syntax against the uncompressed pixels; headers that lie, each with its own error."""

from __future__ import annotations

import io
import logging
import warnings
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from PIL import Image
from pydicom.uid import UID

from monai_lesion.errors import ImageError
from monai_lesion.images.codestreams import endings
from monai_lesion.images.dicom_files import MAX_PIXELS, SOP_CLASSES
from monai_lesion.images.dicom_headers import quiet
from monai_lesion.images.readers import image_size, is_dicom, read_image
from tests.images import COLUMNS, ROWS, colours, greys, recoded, write_dicom
from tests.images.test_readers_dicom import JPEG_2000, JPEG_BASELINE, bundled, compressed, ybr

pydicom_3 = pytest.mark.skipif(pydicom.__version__.startswith("2"), reason="pydicom 2 has no encoders")
RLE, JPEG_LOSSLESS, JPEG_LS, J2K_LOSSLESS = (f"1.2.840.10008.1.2.{end}" for end in ("5", "4.70", "4.80", "4.90"))
PROCESS_14 = "1.2.840.10008.1.2.4.57"
TWELVE = {"BitsAllocated": 16, "BitsStored": 12}


def plain(path: Path, kind: str, frames: int = 1) -> Path:
    """An uncompressed picture, or a cine that moves."""
    picture = {"RGB": colours(), "grey": greys(), "12 bits": greys().astype("<u2") * 16 + 5}[kind]
    data = b"".join(np.roll(picture, 3 * frame, axis=1).tobytes() for frame in range(frames))
    depth = TWELVE if kind == "12 bits" else {}
    several = {"NumberOfFrames": frames} if frames > 1 else {}
    return write_dicom(path, data, "RGB" if kind == "RGB" else "MONOCHROME2", **depth, **several)


def coded(source: Path, target: Path, syntax: str) -> Path:
    """The same, compressed by pydicom's encoders or by gdcm."""
    if syntax in (JPEG_LOSSLESS, PROCESS_14, J2K_LOSSLESS):
        return recoded(source, target, syntax)
    if syntax == JPEG_LS:
        pytest.importorskip("jpeg_ls", reason="what writes it")
    dataset = pydicom.dcmread(source)
    dataset.compress(UID(syntax), generate_instance_uid=False)
    dataset.save_as(target)
    return target


@pydicom_3
@pytest.mark.parametrize("kind", ["RGB", "grey", "12 bits"])
@pytest.mark.parametrize(
    "syntax",
    [RLE, JPEG_LOSSLESS, PROCESS_14, JPEG_LS, J2K_LOSSLESS],
    ids=["RLE", "JPEG lossless", "JPEG process 14", "JPEG-LS", "JPEG 2000"],
)
def test_lossless_compression_changes_no_pixel(syntax: str, kind: str, tmp_path: Path) -> None:
    source = plain(tmp_path / "a", kind, frames=2)
    target = coded(source, tmp_path / "b", syntax)
    assert str(pydicom.dcmread(target).file_meta.TransferSyntaxUID) == syntax
    for frame in range(2):
        expected = read_image(source, frame=frame).pixels
        assert np.ptp(expected) > 100
        np.testing.assert_array_equal(read_image(target, frame=frame).pixels, expected)


@pytest.mark.parametrize("kind", ["RGB", "grey", "12 bits"])
@pytest.mark.parametrize("syntax", ["1.2.840.10008.1.2", "1.2.840.10008.1.2.2"], ids=["implicit", "big endian"])
def test_uncompressed_syntaxes_hold_the_same_pixels(syntax: str, kind: str, tmp_path: Path) -> None:
    source = plain(tmp_path / "a", kind)
    written, dataset = pydicom.dcmread(source), pydicom.Dataset()
    little, implicit = syntax != "1.2.840.10008.1.2.2", syntax == "1.2.840.10008.1.2"
    dataset.update(written)
    dataset.file_meta = written.file_meta
    dataset.file_meta.TransferSyntaxUID = UID(syntax)
    if not little and kind == "12 bits":
        dataset.PixelData = np.frombuffer(dataset.PixelData, "<u2").astype(">u2").tobytes()
    if implicit:
        dataset["PixelData"].VR = "OW"
    dataset.is_little_endian, dataset.is_implicit_VR = little, implicit
    dataset.preamble = b"\0" * 128
    target = tmp_path / "b"
    dataset.save_as(target, write_like_original=False)
    np.testing.assert_array_equal(read_image(target).pixels, read_image(source).pixels)


def deflated(path: Path, content: bytes) -> Path:
    """The file with its data set deflated, by the letter of PS3.5, A.5."""
    size = 132 + 12 + int.from_bytes(content[140:144], "little")
    meta = content[144:size].replace(b"UI\x14\x001.2.840.10008.1.2.1\0", b"UI\x16\x001.2.840.10008.1.2.1.99")
    packer = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    body = packer.compress(content[size:]) + packer.flush()
    path.write_bytes(content[:140] + len(meta).to_bytes(4, "little") + meta + body)
    return path


def test_deflated_file_holds_the_same_pixels(tmp_path: Path) -> None:
    source = plain(tmp_path / "a", "RGB")
    target = deflated(tmp_path / "b", source.read_bytes())
    assert str(pydicom.dcmread(target).file_meta.TransferSyntaxUID).endswith(".1.99")
    np.testing.assert_array_equal(read_image(target).pixels, colours())


def test_12_bit_lossy_jpeg_is_refused_and_says_why() -> None:
    # What decodes it is under the GPL.
    with pytest.raises(ImageError, match=r"JPGExtended\.dcm: must be a readable DICOM image, got .*12-bit"):
        read_image(bundled("JPGExtended.dcm"))


def test_big_endian_ultrasound_of_another_program_is_read() -> None:
    raw = pydicom.dcmread(bundled("ExplVR_BigEnd.dcm"))
    assert raw.PlanarConfiguration == 1
    planes = np.frombuffer(raw.PixelData, np.uint8)[: raw.Rows * raw.Columns * 3].reshape(3, raw.Rows, raw.Columns)
    np.testing.assert_array_equal(read_image(bundled("ExplVR_BigEnd.dcm")).pixels, planes.transpose(1, 2, 0))


def test_ybr_partial_422_becomes_rgb(tmp_path: Path) -> None:
    rgb = np.repeat(colours()[:, ::2], 2, axis=1)
    full = ybr(rgb).astype(float)
    luma, colour = 16 + full[..., 0] * 219 / 255, 128 + (full[..., 1:] - 128) * 224 / 255
    packed = np.stack([luma[:, ::2], luma[:, 1::2], colour[:, ::2, 0], colour[:, ::2, 1]], axis=2)
    file = write_dicom(tmp_path / "a", packed.round().astype(np.uint8).tobytes(), "YBR_PARTIAL_422")
    np.testing.assert_allclose(read_image(file).pixels.astype(int), rgb, atol=3)


def test_single_bits_are_black_and_white_in_every_frame(tmp_path: Path) -> None:
    bits = np.random.default_rng(0).integers(0, 2, (3, 5, 9), dtype=np.uint8)  # 45 bits: frames begin within a byte
    data = np.packbits(bits.ravel(), bitorder="little").tobytes()
    size = {"Rows": 5, "Columns": 9, "NumberOfFrames": 3, "BitsAllocated": 1, "BitsStored": 1}
    file = write_dicom(tmp_path / "a", data + b"\0" * (len(data) % 2), "MONOCHROME2", **size)
    for frame in range(3):
        np.testing.assert_array_equal(read_image(file, frame=frame).pixels[..., 0], bits[frame] * 255)


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


@pytest.mark.parametrize("syntax", ["explicit", "implicit"])
@pytest.mark.parametrize("meta", [True, False], ids=["with meta", "bare"])
def test_file_without_preamble_is_read(syntax: str, meta: bool, tmp_path: Path) -> None:
    source = plain(tmp_path / "a", "RGB")
    content = source.read_bytes()
    size = 132 + 12 + int.from_bytes(content[140:144], "little")
    if syntax == "implicit":
        dataset = pydicom.dcmread(source)
        dataset.file_meta.TransferSyntaxUID = UID("1.2.840.10008.1.2")
        dataset.is_implicit_VR, dataset.is_little_endian = True, True
        dataset["PixelData"].VR = "OW"
        dataset.save_as(source, **({} if pydicom.__version__.startswith("2") else {"implicit_vr": True}))
        content = source.read_bytes()
        size = 132 + 12 + int.from_bytes(content[140:144], "little")
    (tmp_path / "b").write_bytes(content[132:] if meta else content[size:])
    assert is_dicom(tmp_path / "b")
    np.testing.assert_array_equal(read_image(tmp_path / "b").pixels, colours())


def lying(path: Path, kind: str) -> Path:
    data, photometric, values = colours().tobytes(), "RGB", {}
    changes: dict[str, dict[str, Any]] = {
        "zero frames": {"NumberOfFrames": 0},
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
    "zero frames": "NumberOfFrames must be a whole number of at least 1, got 0",
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


CODED = {
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


@pytest.mark.parametrize("kind", CODED)
def test_compressed_data_that_contradicts_the_header_never_reaches_a_decoder(kind: str, tmp_path: Path) -> None:
    with pytest.raises(ImageError, match=CODED[kind]):
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


def written(path: Path, data: bytes, syntax: str, photometric: str) -> Path:
    from pydicom.encaps import encapsulate

    return write_dicom(path, encapsulate([data]), photometric, syntax=syntax)


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


def test_burned_in_text_is_warned_of_once_a_file(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    file = write_dicom(tmp_path / "a.dcm", colours().tobytes(), "RGB", BurnedInAnnotation="YES", PatientName="Doe^Jane")
    for _ in range(2):
        read_image(file)
    (record,) = [each for each in caplog.records if "BurnedInAnnotation is YES" in each.message]
    assert record.levelno == logging.WARNING
    assert "Doe" not in caplog.text


def test_no_patient_attribute_is_logged_or_warned_of(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, recwarn: Any
) -> None:
    file = write_dicom(tmp_path / "a.dcm", colours().tobytes(), "RGB", PatientName="PLANTED^NAME", PatientID="P" * 64)
    # pydicom quotes an age that is none, when it reads it and in its warnings.
    dataset = pydicom.dcmread(file)
    dataset.add_new("PatientAge", "AS", "PLAN")
    dataset.save_as(file)
    content = file.read_bytes()
    caplog.clear()
    recwarn.clear()
    with caplog.at_level(logging.DEBUG):
        read_image(file)
        file.write_bytes(content[:-100])
        with pytest.raises(ImageError) as caught:
            read_image(file)
    assert "PLAN" not in caplog.text + str(caught.value) + "".join(str(each.message) for each in recwarn)


def test_pydicoms_own_warnings_come_back_afterwards(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    read_image(plain(tmp_path / "a", "RGB"))
    with caplog.at_level(logging.WARNING, "pydicom"):
        logging.getLogger("pydicom").warning("heard")
    assert "heard" in caplog.text


def test_quiet_keeps_back_what_quotes_a_patient(caplog):
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        with quiet():
            warnings.warn("Invalid value for VR PN: Doe^Jane", stacklevel=1)
            logging.getLogger("pydicom").warning("Doe^Jane")
        assert not seen
        warnings.warn("heard again", stacklevel=1)
        logging.getLogger("pydicom").warning("logged again")
    assert [str(one.message) for one in seen] == ["heard again"]
    assert caplog.messages == ["logged again"]
