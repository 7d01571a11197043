"""DICOM pictures, against hand-written data sets, pydicom's own examples and Pillow's decoders."""

from __future__ import annotations

import io
import logging
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from monai.transforms import LoadImaged
from PIL import Image
from pydicom.encaps import encapsulate
from pydicom.uid import UID

from monai_lesion.errors import ImageError
from monai_lesion.images.readers import UltrasoundReader, image_size, is_dicom, read_image
from tests.images import COLUMNS, ROWS, colours, greys, write_dicom
from tests.images.dicom_pictures import (
    J2K_LOSSLESS,
    JPEG_2000,
    JPEG_BASELINE,
    JPEG_LOSSLESS,
    JPEG_LS,
    PROCESS_14,
    RLE,
    TWELVE,
    bundled,
    cine,
    coded,
    compressed,
    plain,
    pydicom_3,
    ybr,
)
from tests.shared_data import ABSENT, US_DICOM

needs_us_dicom = pytest.mark.skipif(not US_DICOM.is_dir(), reason=ABSENT)


def grey_of(file: Path) -> np.ndarray:
    pixels = read_image(file).pixels
    assert pixels.shape == (ROWS, COLUMNS, 3)
    assert (pixels == pixels[..., :1]).all()
    return pixels[..., 0]


@pytest.mark.parametrize("planar", [0, 1])
def test_rgb_of_both_planar_configurations_is_read(planar: int, tmp_path: Path) -> None:
    data = np.ascontiguousarray(colours() if planar == 0 else colours().transpose(2, 0, 1)).tobytes()
    file = write_dicom(tmp_path / "a", data, "RGB", PlanarConfiguration=planar)
    image = read_image(file)
    np.testing.assert_array_equal(image.pixels, colours())
    assert image.spacing is None
    assert image.frame is None
    assert image_size(file) == (ROWS, COLUMNS)


def test_16_bit_rgb_keeps_the_high_bits(tmp_path: Path) -> None:
    data = (colours().astype("<u2") * 16 + 3).tobytes()
    file = write_dicom(tmp_path / "a", data, "RGB", BitsAllocated=16, BitsStored=12)
    np.testing.assert_array_equal(read_image(file).pixels, colours())


@pytest.mark.parametrize(("photometric", "expected"), [("MONOCHROME2", greys()), ("MONOCHROME1", 255 - greys())])
def test_8_bit_grey_stays_and_monochrome1_is_inverted(photometric: str, expected: np.ndarray, tmp_path: Path) -> None:
    np.testing.assert_array_equal(grey_of(write_dicom(tmp_path / "a", greys().tobytes(), photometric)), expected)


def numbers() -> np.ndarray:
    return np.linspace(0, 4095, ROWS * COLUMNS).round().astype("<u2").reshape(ROWS, COLUMNS)


@pytest.mark.parametrize(("photometric", "sign"), [("MONOCHROME2", 1), ("MONOCHROME1", -1)])
def test_12_bit_grey_spans_0_to_255(photometric: str, sign: int, tmp_path: Path) -> None:
    pixels = grey_of(write_dicom(tmp_path / "a", numbers().tobytes(), photometric, **TWELVE))
    expected = numbers() * (255 / 4095)
    np.testing.assert_allclose(pixels, expected if sign > 0 else 255 - expected, atol=0.51)


def test_dark_16_bit_picture_stays_dark(tmp_path: Path) -> None:
    file = write_dicom(tmp_path / "a", greys().astype("<u2").tobytes(), "MONOCHROME2", **TWELVE)
    np.testing.assert_allclose(grey_of(file), greys() * (255 / 4095), atol=0.51)


def test_signed_grey_is_black_at_its_lowest_number(tmp_path: Path) -> None:
    data = (numbers().astype("<i2") - 2048).tobytes()
    file = write_dicom(tmp_path / "a", data, "MONOCHROME2", **TWELVE, PixelRepresentation=1)
    np.testing.assert_allclose(grey_of(file), numbers() * (255 / 4095), atol=0.51)


def test_rescale_alone_changes_nothing(tmp_path: Path) -> None:
    rescale = {"RescaleSlope": 2, "RescaleIntercept": -100}
    file = write_dicom(tmp_path / "a", greys().tobytes(), "MONOCHROME2", **rescale)
    np.testing.assert_array_equal(grey_of(file), greys())


@pytest.mark.parametrize("rescale", [{}, {"RescaleSlope": 2, "RescaleIntercept": -100}], ids=["plain", "rescaled"])
@pytest.mark.parametrize("bits", [8, 12])
def test_window_stretches_its_range_to_0_to_255(bits: int, rescale: dict[str, int], tmp_path: Path) -> None:
    stored = greys() if bits == 8 else numbers()
    values = stored.astype(float) * rescale.get("RescaleSlope", 1.0) + rescale.get("RescaleIntercept", 0)
    centre, width = (120, 61) if bits == 8 else (1500, 601)
    # PS3.3 C.11.2.1.2.1
    expected = np.clip((values - (centre - 0.5)) / (width - 1) + 0.5, 0, 1) * 255
    depth = {} if bits == 8 else TWELVE
    window = {"WindowCenter": centre, "WindowWidth": width}
    file = write_dicom(tmp_path / "a", stored.tobytes(), "MONOCHROME2", **depth, **rescale, **window)
    np.testing.assert_allclose(grey_of(file), expected, atol=0.51)
    assert np.ptp(grey_of(file)) == 255


def test_voi_table_is_applied_to_8_bit_grey(tmp_path: Path) -> None:
    item = pydicom.Dataset()
    item.LUTDescriptor = [256, 0, 16]
    item.LUTData = [(255 - value) * 257 for value in range(256)]
    item["LUTData"].VR = "US"
    file = write_dicom(tmp_path / "a", greys().tobytes(), "MONOCHROME2", VOILUTSequence=[item])
    np.testing.assert_array_equal(grey_of(file), 255 - greys())


def tables(palette: np.ndarray, kind: str) -> dict[str, Any]:
    """The palette's three tables: 16-bit full range, 16-bit words with 8-bit values, or 8-bit."""
    values: dict[str, Any] = {}
    for number, name in enumerate(("Red", "Green", "Blue")):
        column = palette[:, number].astype("<u2")
        data = {"16 bits": column * 257, "8 bits in words": column, "8 bits": column.astype("u1")}[kind].tobytes()
        values[f"{name}PaletteColorLookupTableDescriptor"] = [256, 0, 8 if kind == "8 bits" else 16]
        values[f"{name}PaletteColorLookupTableData"] = data
    return values


@pytest.mark.parametrize("kind", ["16 bits", "8 bits in words", "8 bits"])
def test_palette_colour_becomes_its_colours(kind: str, tmp_path: Path) -> None:
    palette = np.random.default_rng(0).integers(0, 256, (256, 3), dtype=np.uint8)
    file = write_dicom(tmp_path / "a", greys().tobytes(), "PALETTE COLOR", **tables(palette, kind))
    np.testing.assert_array_equal(read_image(file).pixels, palette[greys()])


def test_ybr_full_becomes_rgb(tmp_path: Path) -> None:
    file = write_dicom(tmp_path / "a", ybr(colours()).tobytes(), "YBR_FULL")
    np.testing.assert_allclose(read_image(file).pixels.astype(int), colours(), atol=2)


def test_ybr_full_422_becomes_rgb(tmp_path: Path) -> None:
    rgb = np.repeat(colours()[:, ::2], 2, axis=1)  # no detail is lost by halving the columns of colour
    full = ybr(rgb)
    packed = np.stack([full[:, ::2, 0], full[:, 1::2, 0], full[:, ::2, 1], full[:, ::2, 2]], axis=2)
    file = write_dicom(tmp_path / "a", packed.tobytes(), "YBR_FULL_422")
    np.testing.assert_allclose(read_image(file).pixels.astype(int), rgb, atol=2)


def test_jpeg_baseline_is_read_as_pillow_decodes_it(tmp_path: Path) -> None:
    coded = compressed(format="JPEG", quality=95)
    file = write_dicom(tmp_path / "a", encapsulate(coded), "YBR_FULL_422", syntax=JPEG_BASELINE)
    expected = np.asarray(Image.open(io.BytesIO(coded[0])).convert("RGB")).astype(int)
    np.testing.assert_allclose(read_image(file).pixels, expected, atol=2)
    assert np.abs(expected - colours()).mean() < 5  # it is the picture


def test_jpeg_2000_with_its_own_colours_is_read(tmp_path: Path) -> None:
    # Without a box around it: DICOM holds code streams.
    coded = compressed(format="JPEG2000", no_jp2=True, irreversible=True, mct=1, quality_layers=[2])
    file = write_dicom(tmp_path / "a", encapsulate(coded), "YBR_ICT", syntax=JPEG_2000)
    assert np.abs(read_image(file).pixels.astype(int) - colours()).mean() < 3


def test_example_rgb_is_read_byte_for_byte() -> None:
    file = bundled("examples_rgb_color.dcm")
    dataset = pydicom.dcmread(file)
    raw = np.frombuffer(dataset.PixelData, np.uint8)[: 240 * 320 * 3].reshape(240, 320, 3)
    np.testing.assert_array_equal(read_image(file).pixels, raw)


def test_example_palette_is_read_by_its_tables() -> None:
    file = bundled("examples_palette.dcm")
    dataset = pydicom.dcmread(file)
    indices = np.frombuffer(dataset.PixelData, np.uint8)[: 350 * 800].reshape(350, 800)
    names = (f"{colour}PaletteColorLookupTableData" for colour in ("Red", "Green", "Blue"))
    table = np.stack([np.frombuffer(dataset[name].value, "<u2") >> 8 for name in names], axis=1)
    first = dataset.RedPaletteColorLookupTableDescriptor[1]
    np.testing.assert_array_equal(read_image(file).pixels, table[indices - first])


def test_example_ybr_cine_is_read_frame_by_frame_and_its_calibration_refused(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    # A place of its own: a file is warned of once.
    file = Path(shutil.copy(bundled("examples_ybr_color.dcm"), tmp_path))
    data = pydicom.dcmread(file).PixelData
    starts = [at for at in range(len(data)) if data[at : at + 4] in (b"\xff\xd8\xff\xe0", b"\xff\xd8\xff\xdb")]
    assert len(starts) == 30
    for frame in (0, 7, 29):
        expected = np.asarray(Image.open(io.BytesIO(data[starts[frame] :])).convert("RGB")).astype(int)
        with caplog.at_level(logging.WARNING):
            image = read_image(file, frame=frame)
        np.testing.assert_allclose(image.pixels, expected, atol=2)
        assert image.frame == frame
        assert image.spacing is None
    assert "examples_ybr_color.dcm: calibration refused" in caplog.text


@pytest.mark.parametrize(
    ("name", "tolerance"),
    [
        ("SC_ybr_full_422_uncompressed.dcm", 7),
        ("SC_rgb_gdcm_KY.dcm", 0),
        ("SC_rgb_jpeg_dcmtk.dcm", 7),
        ("SC_rgb_dcmtk_+eb+cr.dcm", 2),
        ("SC_rgb_dcmtk_+eb+cy+s2.dcm", 7),
        ("SC_rgb_rle_16bit.dcm", 0),
    ],
)
def test_one_picture_coded_by_other_programs_looks_the_same(name: str, tolerance: int) -> None:
    plain = read_image(bundled("SC_rgb_rle.dcm")).pixels.astype(int)
    assert np.ptp(plain) == 255
    np.testing.assert_allclose(read_image(bundled(name)).pixels, plain, atol=tolerance)


@needs_us_dicom
def test_real_jpeg_2000_equals_the_same_picture_uncompressed() -> None:
    plain = read_image(US_DICOM / "US1_UNCR.dcm").pixels
    raw = np.frombuffer(pydicom.dcmread(US_DICOM / "US1_UNCR.dcm").PixelData, np.uint8)[: 480 * 640 * 3]
    np.testing.assert_array_equal(plain.ravel(), raw)
    np.testing.assert_array_equal(read_image(US_DICOM / "US1_J2KR.dcm").pixels, plain)


@needs_us_dicom
def test_real_planar_picture_is_read_byte_for_byte() -> None:
    raw = np.frombuffer(pydicom.dcmread(US_DICOM / "color-pl.dcm").PixelData, np.uint8)[: 120 * 256 * 3]
    expected = raw.reshape(3, 120, 256).transpose(1, 2, 0)
    np.testing.assert_array_equal(read_image(US_DICOM / "color-pl.dcm").pixels, expected)


@needs_us_dicom
def test_real_grey_picture_is_calibrated() -> None:
    image = read_image(US_DICOM / "deid_GREYSCALE_IMAGE.dcm")
    assert image.pixels.shape == (768, 1024, 3)
    assert image.spacing == pytest.approx((0.0649, 0.0649), abs=5e-4)
    np.testing.assert_allclose(np.diag(image.affine), [-image.spacing[1], -image.spacing[0], 1, 1])


def test_each_frame_of_a_cine_is_read(tmp_path: Path) -> None:
    file = cine(tmp_path / "a")
    for frame in range(3):
        image = read_image(file, frame=frame)
        np.testing.assert_array_equal(image.pixels, np.roll(colours(), 3 * frame, axis=1))
        assert image.frame == frame
    assert image_size(file) == (ROWS, COLUMNS)


@pytest.mark.parametrize("frame", [-1, 3])
def test_frame_out_of_range_is_refused(frame: int, tmp_path: Path) -> None:
    with pytest.raises(ImageError, match=f"frame must be between 0 and 2, got {frame}"):
        read_image(cine(tmp_path / "a"), frame=frame)


def test_library_asks_for_the_frame_and_the_bundle_takes_the_first(tmp_path: Path) -> None:
    file = cine(tmp_path / "a")
    with pytest.raises(ImageError, match=r"a cine needs a frame number, got 3 frames\. Name a frame, counted from 0"):
        read_image(file)
    with pytest.warns(UserWarning, match="a cine of 3 frames; only its first frame is used"):
        loaded = LoadImaged("image", reader=UltrasoundReader)({"image": file})["image"]
    np.testing.assert_array_equal(loaded.numpy(), colours().swapaxes(0, 1))


@pytest.mark.skipif(pydicom.__version__.startswith("2"), reason="pydicom 2 decodes all frames")
def test_only_the_frame_asked_for_is_decoded(tmp_path: Path) -> None:
    coded = [*compressed(2, format="JPEG"), b"\xff\xd8 no JPEG "]
    file = write_dicom(tmp_path / "a", encapsulate(coded), "YBR_FULL_422", syntax=JPEG_BASELINE, NumberOfFrames=3)
    assert read_image(file, frame=1).pixels.shape == (ROWS, COLUMNS, 3)
    with pytest.raises(ImageError, match="must be a readable DICOM image"):
        read_image(file, frame=2)


def damaged(folder: Path, kind: str) -> Path:
    file = write_dicom(folder / "bad.dcm", colours().tobytes(), "HSV" if kind == "photometric" else "RGB")
    if kind == "empty":
        file.write_bytes(b"")
    elif kind == "no pixels":
        dataset = pydicom.dcmread(file)
        del dataset.PixelData
        dataset.save_as(file)
    elif kind == "cut off":
        file.write_bytes(file.read_bytes()[:-500])
    elif kind == "header cut off":
        file.write_bytes(file.read_bytes()[:200])
    elif kind == "jpeg cut off":
        coded = compressed(format="JPEG")[0]
        data = encapsulate([coded[: len(coded) // 2 // 2 * 2]])
        write_dicom(file, data, "YBR_FULL_422", syntax=JPEG_BASELINE)
    elif kind == "text":
        file.write_text("Modality: US\n" * 30)
    return file


@pytest.mark.parametrize(
    ("kind", "rule"),
    [
        ("empty", "must not be empty, got 0 bytes"),
        ("no pixels", "must hold an image, got DICOM without pixel data"),
        ("cut off", "must be a readable DICOM image, got .*less than expected"),
        ("header cut off", "must be a readable DICOM image|must hold an image"),
        ("jpeg cut off", "must be a readable DICOM image"),
        ("photometric", "the photometric interpretation must be one of MONOCHROME1"),
        ("text", "must be a readable picture or DICOM file, got no known format"),
    ],
)
def test_bad_dicom_names_file_and_rule(kind: str, rule: str, tmp_path: Path) -> None:
    file = damaged(tmp_path, kind)
    with pytest.raises(ImageError, match=rule) as caught:
        read_image(file)
    assert str(file) in str(caught.value)


def test_size_of_a_dicom_without_rows_is_refused(tmp_path: Path) -> None:
    file = damaged(tmp_path, "header cut off")
    with pytest.raises(ImageError, match=r"bad\.dcm: must"):
        image_size(file)


def test_bad_dicom_does_not_fall_back_to_monais_readers(tmp_path: Path) -> None:
    # MONAI's ITKReader reads past the end of such a file.
    file = damaged(tmp_path, "cut off")
    with pytest.raises(ImageError, match="must be a readable DICOM image"):
        LoadImaged("image", reader=UltrasoundReader)({"image": file})


def test_dicom_is_known_by_its_content(tmp_path: Path) -> None:
    assert is_dicom(write_dicom(tmp_path / "a.png", colours().tobytes(), "RGB"))
    np.testing.assert_array_equal(read_image(tmp_path / "a.png").pixels, colours())
    (tmp_path / "short").write_bytes(b"DICM")
    assert not is_dicom(tmp_path / "short")


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
