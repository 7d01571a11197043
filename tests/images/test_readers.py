"""Pictures and masks in files, against hand-written PNGs, nibabel, ITK and Pillow."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from monai.transforms import Compose, EnsureChannelFirstd, LoadImaged
from PIL import Image

from monai_lesion.errors import ImageError
from monai_lesion.images.pictures import to_bytes
from monai_lesion.images.readers import MaskReader, UltrasoundReader, image_size, read_image, read_mask
from monai_lesion.images.reading import read_masks
from monai_lesion.pipeline.transforms import Uprightd
from tests.images import COLUMNS, ROWS, colours, greys, lesion, write_dicom, write_png

SIZE = (ROWS, COLUMNS)


def packed(values: np.ndarray, bits: int) -> list[bytes]:
    """Rows of a PNG with 1, 2 or 4 bits a pixel."""
    planes = (values[..., None] >> np.arange(bits - 1, -1, -1)) & 1
    return [np.packbits(row).tobytes() for row in planes.astype(np.uint8).reshape(len(values), -1)]


def rows_of(values: np.ndarray) -> list[bytes]:
    return [row.astype(values.dtype.newbyteorder(">")).tobytes() for row in values]


def grey_rgb(values: np.ndarray) -> np.ndarray:
    return np.repeat(values[..., None], 3, axis=2)


def palette_of(random: np.random.Generator) -> np.ndarray:
    return random.integers(0, 256, (256, 3), dtype=np.uint8)


def pngs() -> dict[str, tuple[int, int, list[bytes], dict[str, bytes], np.ndarray]]:
    """Depth, colour type, rows and chunks of a PNG, and the RGB it must become."""
    grey, rgb, mask = greys(), colours(), lesion()
    palette = palette_of(np.random.default_rng(0))
    alpha = np.arange(ROWS * COLUMNS, dtype=np.uint8).reshape(SIZE)
    deep = grey.astype(np.uint16) * 256 + 5
    deep_rgb = rgb.astype(np.uint16) * 256 + 5
    deep_alpha = np.stack([deep, np.full_like(deep, 9)], axis=2)
    indexed = {"PLTE": palette.tobytes()}
    return {
        "1-bit": (1, 0, packed(mask, 1), {}, grey_rgb(mask.astype(np.uint8) * 255)),
        "4-bit grey": (4, 0, packed(grey >> 4, 4), {}, grey_rgb((grey >> 4) * 17)),
        "grey": (8, 0, rows_of(grey), {}, grey_rgb(grey)),
        "grey with a transparent value": (8, 0, rows_of(grey), {"tRNS": b"\0\7"}, grey_rgb(grey)),
        "grey and opacity": (8, 4, rows_of(np.stack([grey, alpha], axis=2)), {}, grey_rgb(grey)),
        "palette": (8, 3, rows_of(grey), indexed, palette[grey]),
        "palette of 4 bits": (4, 3, packed(grey >> 4, 4), indexed, palette[grey >> 4]),
        "palette with opacity": (8, 3, rows_of(grey), {**indexed, "tRNS": bytes(range(256))}, palette[grey]),
        "RGB": (8, 2, rows_of(rgb), {}, rgb),
        "RGBA": (8, 6, rows_of(np.dstack([rgb, alpha])), {}, rgb),
        "16-bit grey": (16, 0, rows_of(deep), {}, grey_rgb(grey)),
        "16-bit grey and opacity": (16, 4, rows_of(deep_alpha), {}, grey_rgb(grey)),
        "16-bit RGB": (16, 2, rows_of(deep_rgb), {}, rgb),
        "8-bit values in a 16-bit file": (16, 0, rows_of(grey.astype(np.uint16)), {}, grey_rgb(grey)),
    }


@pytest.mark.parametrize("kind", pngs())
def test_png_of_any_mode_becomes_upright_rgb(kind: str, tmp_path: Path, recwarn: pytest.WarningsRecorder) -> None:
    depth, colour, rows, chunks, expected = pngs()[kind]
    file = write_png(tmp_path / "a.png", depth, colour, rows, SIZE, **chunks)
    image = read_image(file)
    assert image.pixels.dtype == np.uint8
    assert image.pixels.flags.c_contiguous
    np.testing.assert_array_equal(image.pixels, expected)
    assert image.spacing is None
    assert image_size(file, whole=True) == SIZE
    assert not recwarn.list


@pytest.mark.parametrize(("suffix", "tolerance"), [(".bmp", 0), (".tif", 0), (".jpg", 12)])
def test_other_picture_formats_become_upright_rgb(suffix: str, tolerance: int, tmp_path: Path) -> None:
    file = tmp_path / f"a{suffix}"
    Image.fromarray(colours()).save(file, **({"quality": 98, "subsampling": 0} if suffix == ".jpg" else {}))
    np.testing.assert_allclose(read_image(file).pixels.astype(int), colours(), atol=tolerance)
    assert image_size(file) == SIZE


SHOWN = {  # what a viewer shows of a file with this Exif orientation
    1: lambda stored: stored,
    2: lambda stored: stored[:, ::-1],
    3: lambda stored: stored[::-1, ::-1],
    4: lambda stored: stored[::-1],
    5: lambda stored: stored.swapaxes(0, 1),
    6: lambda stored: np.rot90(stored, -1),
    7: lambda stored: stored[::-1, ::-1].swapaxes(0, 1),
    8: lambda stored: np.rot90(stored),
}


@pytest.mark.parametrize("suffix", [".png", ".tif"])
@pytest.mark.parametrize("orientation", SHOWN)
def test_exif_orientation_turns_the_picture_as_viewers_do(orientation: int, suffix: str, tmp_path: Path) -> None:
    file, exif = tmp_path / f"a{suffix}", Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(colours()).save(file, exif=exif)
    expected = SHOWN[orientation](colours())
    np.testing.assert_array_equal(read_image(file).pixels, expected)
    assert image_size(file) == expected.shape[:2]


def test_exif_orientation_of_a_jpeg_counts_too(tmp_path: Path) -> None:
    file, exif = tmp_path / "a.jpg", Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(colours()).save(file, exif=exif, quality=98, subsampling=0)
    np.testing.assert_allclose(read_image(file).pixels.astype(int), np.rot90(colours(), -1), atol=12)
    assert image_size(file) == (COLUMNS, ROWS)


def nifti(file: Path, array: np.ndarray, affine: np.ndarray | None = None) -> Path:
    import nibabel

    affine = np.diag([-0.2, -0.3, 1.0, 1.0]) if affine is None else affine
    nibabel.save(nibabel.Nifti1Image(array, affine), file)
    return file


def vector_niftis() -> dict[str, np.ndarray]:
    across = np.ascontiguousarray(colours().swapaxes(0, 1))
    return {
        "(W, H, 1, 1, 3)": across[:, :, None, None],
        "(W, H, 1, 3)": across[:, :, None],
        "(W, H, 3)": across,
        "RGB24": across.view([("R", "u1"), ("G", "u1"), ("B", "u1")])[..., 0],
    }


@pytest.mark.parametrize("kind", vector_niftis())
def test_vector_nifti_becomes_upright_rgb(kind: str, tmp_path: Path) -> None:
    affine = np.array([[0, -0.3, 0, 5], [-0.2, 0, 0, 6], [0, 0, 1, 7], [0, 0, 0, 1.0]])
    file = nifti(tmp_path / "a.nii.gz", vector_niftis()[kind], affine)
    image = read_image(file)
    np.testing.assert_array_equal(image.pixels, colours())
    assert image.spacing == pytest.approx((0.3, 0.2))
    np.testing.assert_allclose(image.affine, affine, atol=1e-6)
    assert image_size(file) == SIZE


def test_nifti_of_exactly_one_millimetre_has_no_spacing(tmp_path: Path) -> None:
    file = nifti(tmp_path / "a.nii.gz", greys().T, np.diag([-1.0, -1, 1, 1]))
    assert read_image(file).spacing is None


@pytest.mark.parametrize("suffix", [".nrrd", ".mha", ".mhd", ".nii.gz"])
@pytest.mark.parametrize("colour", [False, True], ids=["grey", "RGB"])
def test_itk_files_become_upright_rgb(suffix: str, colour: bool, tmp_path: Path) -> None:
    import itk

    expected = colours() if colour else grey_rgb(greys())
    picture = itk.image_from_array(colours() if colour else greys(), is_vector=colour)
    picture.SetSpacing([0.2, 0.3])
    picture.SetOrigin([4.0, 5.0])
    file = tmp_path / f"a{suffix}"
    itk.imwrite(picture, str(file))
    image = read_image(file)
    np.testing.assert_array_equal(image.pixels, expected)
    assert image.spacing == pytest.approx((0.3, 0.2))
    np.testing.assert_allclose(
        image.affine, [[-0.2, 0, 0, -4], [0, -0.3, 0, -5], [0, 0, 1, 0], [0, 0, 0, 1]], atol=1e-6
    )
    assert image_size(file) == SIZE


def test_size_of_a_volume_is_read_from_its_header_alone(tmp_path: Path) -> None:
    plain = nifti(tmp_path / "a.nii", greys().T)
    plain.write_bytes(plain.read_bytes()[:360])  # the header is 352 bytes
    assert image_size(plain) == SIZE
    with pytest.raises(ImageError, match=r"a\.nii: must be a readable NIfTI"):
        read_image(plain)


@pytest.mark.parametrize("kind", ["png", "dicom", "(W, H, 1, 1, 3)", "(W, H, 1, 3)"])
def test_load_image_gives_monai_the_same_pixels_as_the_library(kind: str, tmp_path: Path) -> None:
    if kind == "png":
        file = write_png(tmp_path / "a.png", 8, 2, rows_of(colours()), SIZE)
    elif kind == "dicom":
        file = write_dicom(tmp_path / "a.dcm", colours().tobytes(), "RGB", PixelSpacing=[0.3, 0.2])
    else:
        file = nifti(tmp_path / "a.nii.gz", vector_niftis()[kind])
    loaded = LoadImaged("image", reader=UltrasoundReader)({"image": file})["image"]
    assert loaded.shape == (COLUMNS, ROWS, 3)
    assert list(loaded.meta["spatial_shape"]) == [COLUMNS, ROWS] + [1] * kind.startswith("(")
    assert loaded.meta["original_channel_dim"] == -1
    steps = Compose([EnsureChannelFirstd("image"), Uprightd("image")])
    upright = steps({"image": loaded})["image"]
    np.testing.assert_array_equal(upright.numpy().transpose(1, 2, 0), colours())
    step = 1.0 if kind == "png" else 0.2, 1.0 if kind == "png" else 0.3
    np.testing.assert_allclose(loaded.affine, np.diag([-step[0], -step[1], 1, 1]), atol=1e-6)
    # The affine of the upright array takes (row, column) to the same place.
    np.testing.assert_allclose(upright.affine @ np.array([3.0, 5, 0, 1]), loaded.affine @ np.array([5.0, 3, 0, 1]))
    np.testing.assert_array_equal(steps.inverse({"image": upright})["image"].numpy(), loaded.numpy().transpose(2, 0, 1))


def test_affine_of_a_picture_is_that_of_itk(tmp_path: Path) -> None:
    import itk

    file = write_png(tmp_path / "a.png", 8, 2, rows_of(colours()), SIZE)
    picture = itk.imread(str(file))
    to_ras = np.diag([-1.0, -1.0])
    affine = read_image(file).affine
    np.testing.assert_allclose(affine[:2, :2], to_ras @ itk.array_from_matrix(picture.GetDirection()))
    np.testing.assert_allclose(affine[:2, 3], list(picture.GetOrigin()))
    np.testing.assert_array_equal(itk.array_from_image(picture), read_image(file).pixels)


def png_masks() -> dict[str, tuple[int, int, list[bytes], dict[str, bytes]]]:
    mask = lesion()
    byte = mask.astype(np.uint8)
    rgba = np.dstack([np.full((*SIZE, 3), 255, np.uint8), byte * 255])
    red = b"\0\0\0\xff\0\0"
    return {
        "0/1": (8, 0, rows_of(byte), {}),
        "0/255": (8, 0, rows_of(byte * 255), {}),
        "1-bit": (1, 0, packed(mask, 1), {}),
        "16-bit 0/1": (16, 0, rows_of(byte.astype(np.uint16)), {}),
        "16-bit 0/65535": (16, 0, rows_of(byte.astype(np.uint16) * 65535), {}),
        "grey RGB": (8, 2, rows_of(grey_rgb(byte * 255)), {}),
        "white, transparent outside": (8, 6, rows_of(rgba), {}),
        "palette with one colour": (8, 3, rows_of(byte), {"PLTE": red}),
        "palette with white first": (8, 3, rows_of(1 - byte), {"PLTE": b"\xff\xff\xff\0\0\0"}),
        "palette with a transparent background": (8, 3, rows_of(byte), {"PLTE": b"\1\2\3\xff\0\0", "tRNS": b"\0"}),
    }


@pytest.mark.parametrize("kind", png_masks())
def test_png_mask_of_any_mode_is_read(kind: str, tmp_path: Path) -> None:
    depth, colour, rows, chunks = png_masks()[kind]
    file = write_png(tmp_path / "a.png", depth, colour, rows, SIZE, **chunks)
    mask = read_mask(file)
    assert mask.dtype == np.bool_
    np.testing.assert_array_equal(mask, lesion())
    loaded = LoadImaged("label", reader=MaskReader)({"label": file})["label"]
    np.testing.assert_array_equal(loaded.numpy(), lesion().T)
    assert loaded.meta["original_channel_dim"] != -1


@pytest.mark.parametrize("shape", [(COLUMNS, ROWS), (COLUMNS, ROWS, 1), (COLUMNS, ROWS, 1, 1)], ids=str)
@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.float32])
def test_nifti_mask_is_read_by_its_indices(shape: tuple[int, ...], dtype: type, tmp_path: Path) -> None:
    file = nifti(tmp_path / "a.nii.gz", lesion().T.astype(dtype).reshape(shape))
    np.testing.assert_array_equal(read_mask(file), lesion())


@pytest.mark.parametrize("suffix", [".nrrd", ".mha", ".mhd"])
@pytest.mark.parametrize("solid", [False, True], ids=["2-D", "one slice"])
def test_itk_mask_is_read(suffix: str, solid: bool, tmp_path: Path) -> None:
    import itk

    array = lesion().astype(np.uint8)
    file = tmp_path / f"a{suffix}"
    itk.imwrite(itk.image_from_array(array[None] if solid else array), str(file))
    np.testing.assert_array_equal(read_mask(file), lesion())
    assert image_size(file) == SIZE


def bad_masks(folder: Path, kind: str) -> Path:
    file = folder / "bad.png"
    if kind == "colours":
        return write_png(file, 8, 2, rows_of(colours()), SIZE)
    if kind == "two colours of a palette":
        return write_png(file, 8, 3, rows_of(greys() % 3), SIZE, PLTE=b"\0\0\0\xff\0\0\0\xff\0")
    if kind == "jpeg":
        Image.fromarray(lesion().astype(np.uint8) * 255).save(file, format="JPEG")
        return file
    if kind == "several slices":
        return nifti(folder / "bad.nii.gz", np.zeros((COLUMNS, ROWS, 4), np.uint8))
    return nifti(folder / "bad.nii.gz", vector_niftis()["(W, H, 1, 3)"])


@pytest.mark.parametrize(
    ("kind", "rule"),
    [
        ("colours", "a mask must be grey, got colours"),
        ("two colours of a palette", "a mask must be grey, got colours"),
        ("colour nifti", "a mask must be grey, got colours"),
        ("jpeg", "a mask must be stored without loss, got JPEG"),
        ("several slices", "must hold one slice"),
    ],
)
def test_what_is_no_mask_is_refused(kind: str, rule: str, tmp_path: Path) -> None:
    file = bad_masks(tmp_path, kind)
    with pytest.raises(ImageError, match=rule) as caught:
        read_mask(file)
    assert str(file) in str(caught.value)


def test_load_image_does_not_fall_back_to_monais_readers(tmp_path: Path) -> None:
    file = bad_masks(tmp_path, "colours")  # MONAI's PILReader would take it
    with pytest.raises(ImageError, match="a mask must be grey"):
        LoadImaged("label", reader=MaskReader)({"label": file})
    damaged = tmp_path / "a.png"
    damaged.write_bytes(file.read_bytes()[:-30])
    with pytest.raises(ImageError, match=r"truncated|broken"):
        LoadImaged("image", reader=UltrasoundReader)({"image": damaged})


def bad_images(folder: Path, kind: str) -> Path:
    whole = write_png(folder / "whole.png", 8, 2, rows_of(np.random.default_rng(0).permuted(colours())), SIZE)
    file = folder / "bad.png"
    if kind == "a folder":
        file.mkdir()
    elif kind != "missing":
        content = {
            "empty": b"",
            "text": b"this is no picture\n" * 20,
            "cut off": whole.read_bytes()[: whole.stat().st_size // 2],
            "without size": whole.read_bytes()[:20],
            "of no width": whole.read_bytes()[:16] + b"\0\0\0\0" + whole.read_bytes()[20:],
        }[kind]
        file.write_bytes(content)
    return file


@pytest.mark.parametrize(
    ("kind", "rule"),
    [
        ("missing", "must be an existing file, got no such file"),
        ("a folder", "must be an existing file, got a folder"),
        ("empty", "must not be empty, got 0 bytes"),
        ("text", "must be a readable picture or DICOM file, got no known format"),
        ("cut off", "must be a readable picture or DICOM file, got .*truncated"),
        ("without size", "must be a readable picture or DICOM file"),
        ("of no width", "must be a readable picture or DICOM file"),
    ],
)
@pytest.mark.parametrize("read", [read_image, read_mask])
def test_bad_picture_names_file_and_rule(read: object, kind: str, rule: str, tmp_path: Path) -> None:
    file = bad_images(tmp_path, kind)
    with pytest.raises(ImageError, match=rule) as caught:
        read(file)  # type: ignore[operator]
    assert str(file) in str(caught.value)


@pytest.mark.parametrize("kind", ["missing", "a folder", "empty", "text", "without size", "cut off"])
def test_size_of_a_bad_picture_is_refused(kind: str, tmp_path: Path) -> None:
    with pytest.raises(ImageError, match=r"bad\.png: must"):
        image_size(bad_images(tmp_path, kind), whole=True)


def test_bytes_after_the_end_of_a_png_are_harmless(tmp_path: Path) -> None:
    file = write_png(tmp_path / "a.png", 8, 2, rows_of(colours()), SIZE)
    file.write_bytes(file.read_bytes() + b"\0" * 30)
    assert image_size(file, whole=True) == SIZE


def test_size_of_a_png_is_read_without_decoding_it(tmp_path: Path) -> None:
    file = write_png(tmp_path / "a.png", 8, 2, rows_of(colours()), SIZE)
    file.write_bytes(file.read_bytes()[:-30])
    assert image_size(file) == SIZE
    with pytest.raises(ImageError, match="truncated"):
        image_size(file, whole=True)


@pytest.mark.parametrize("suffix", [".nii", ".nii.gz", ".nrrd", ".mha"])
def test_text_with_the_ending_of_a_volume_is_refused(suffix: str, tmp_path: Path) -> None:
    file = tmp_path / f"a{suffix}"
    file.write_text("no volume" * 50)
    for read in (read_image, read_mask, image_size):
        with pytest.raises(ImageError, match=rf"a{suffix}: must be a readable NIfTI, NRRD or MHA file, got \w"):
            read(file)


def test_huge_picture_is_refused_before_it_is_decoded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = write_png(tmp_path / "a.png", 8, 2, rows_of(colours()), SIZE)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 200)
    for read in (read_image, read_mask, image_size):
        with pytest.raises(ImageError, match=r"a\.png: must have at most 400 pixels"):
            read(file)


def test_frame_of_a_single_picture_must_be_0(tmp_path: Path) -> None:
    file = write_png(tmp_path / "a.png", 8, 2, rows_of(colours()), SIZE)
    assert read_image(file, frame=0).frame is None
    with pytest.raises(ImageError, match="frame must be 0 for a single picture, got 3"):
        read_image(file, frame=3)


def test_masks_of_two_sizes_have_no_union(tmp_path: Path) -> None:
    first = write_png(tmp_path / "a.png", 8, 0, rows_of(greys()), SIZE)
    second = write_png(tmp_path / "b.png", 8, 0, rows_of(greys()[:, 1:]), (ROWS, COLUMNS - 1))
    with pytest.raises(ImageError, match=r"b\.png: must have the size of .*a\.png, \(20, 30\), got \(20, 29\)"):
        read_masks([first, second])
    with pytest.raises(ImageError, match="the mask: must be at least one file, got none"):
        read_masks([])


def test_reader_refuses_several_files_for_one_picture(tmp_path: Path) -> None:
    file = write_png(tmp_path / "a.png", 8, 2, rows_of(colours()), SIZE)
    with pytest.raises(ImageError, match="must be one file, got 2"):
        LoadImaged("image", reader=UltrasoundReader)({"image": [file, file]})


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (np.array([0, 255], np.int32), [0, 255]),
        (np.array([0, 256, 65535], np.int32), [0, 1, 255]),
        (np.array([-10, 0, 10], np.int16), [0, 128, 255]),
        (np.array([0.0, 0.5, 1.0]), [0, 128, 255]),
        (np.array([0.0, 99.6, 255.0]), [0, 100, 255]),
        (np.array([-1.0, 0.0, 3.0]), [0, 64, 255]),
        (np.array([-3, -3]), [0, 0]),
        (np.array([True, False]), [255, 0]),
    ],
    ids=["8 bits", "16 bits", "signed", "shares", "reals", "other reals", "constant", "bool"],
)
def test_numbers_become_bytes(values: np.ndarray, expected: list[int]) -> None:
    assert to_bytes(values).tolist() == expected


def test_nifti_with_values_that_are_not_finite_is_refused(tmp_path: Path) -> None:
    file = nifti(tmp_path / "a.nii", np.full((COLUMNS, ROWS), np.nan, np.float32))
    with pytest.raises(ImageError, match="must hold numbers for a picture, got values that are not finite"):
        read_image(file)
