"""PNG, JPEG, BMP and TIFF, against hand-written PNGs and Pillow."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from monai.transforms import LoadImaged
from PIL import EpsImagePlugin, Image

from monai_lesion.errors import ImageError
from monai_lesion.images import limits, pictures
from monai_lesion.images.pictures import to_bytes
from monai_lesion.images.readers import MaskReader, image_size, read_image, read_mask
from monai_lesion.models import client
from tests.images import COLUMNS, ROWS, colours, greys, lesion, write_png
from tests.images.files import SIZE, grey_rgb, packed, rows_of


def palette_of(random: np.random.Generator) -> np.ndarray:
    return random.integers(0, 256, (256, 3), dtype=np.uint8)


def pngs() -> dict[str, tuple[int, int, list[bytes], dict[str, bytes], np.ndarray]]:
    """Depth, colour type, rows and chunks of a PNG, and the RGB it must become."""
    grey, rgb, mask = greys(), colours(), lesion()
    palette = palette_of(np.random.default_rng(0))
    alpha = np.arange(ROWS * COLUMNS, dtype=np.uint8).reshape(SIZE)
    deep = grey.astype(np.uint16) * 256 + 5
    deep_rgb = rgb.astype(np.uint16) * 256 + 5
    twelve, twelve_rgb = grey.astype(np.uint16) * 16 + 5, rgb.astype(np.uint16) * 16 + 5
    twelve_alpha = np.dstack([twelve_rgb, np.full(grey.shape, 65535, np.uint16)])
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
        "12-bit grey in a 16-bit file": (16, 0, rows_of(twelve), {}, grey_rgb(grey)),
        "12-bit RGB in a 16-bit file": (16, 2, rows_of(twelve_rgb), {}, rgb),
        "12-bit RGB and opacity in a 16-bit file": (16, 6, rows_of(twelve_alpha), {}, rgb),
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


def png_masks() -> dict[str, tuple[int, int, list[bytes], dict[str, bytes]]]:
    mask = lesion()
    byte = mask.astype(np.uint8)
    rgba = np.dstack([np.full((*SIZE, 3), 255, np.uint8), byte * 255])
    red = b"\0\0\0\xff\0\0"
    reds = byte[..., None] * np.uint8([255, 0, 0])
    return {
        "0/1": (8, 0, rows_of(byte), {}),
        "0/255": (8, 0, rows_of(byte * 255), {}),
        "1-bit": (1, 0, packed(mask, 1), {}),
        "16-bit 0/1": (16, 0, rows_of(byte.astype(np.uint16)), {}),
        "16-bit 0/65535": (16, 0, rows_of(byte.astype(np.uint16) * 65535), {}),
        "grey RGB": (8, 2, rows_of(grey_rgb(byte * 255)), {}),
        "white, transparent outside": (8, 6, rows_of(rgba), {}),
        "one colour": (8, 2, rows_of(reds), {}),
        "one colour, transparent outside": (8, 6, rows_of(np.dstack([reds | np.uint8([9, 0, 0]), byte * 255])), {}),
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


def test_huge_picture_is_refused_before_it_is_decoded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = write_png(tmp_path / "a.png", 8, 2, rows_of(colours()), SIZE)
    for place, name, most in ((Image, "MAX_IMAGE_PIXELS", 200), (limits, "MAX_PIXELS", 300)):
        monkeypatch.setattr(place, name, most)
        for read in (read_image, read_mask, image_size):
            with pytest.raises(ImageError, match=r"a\.png: must have at most (400|300) pixels, got more"):
                read(file)


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


EPS = b"""%!PS-Adobe-3.0 EPSF-3.0
%%BoundingBox: 0 0 10 10
%%EndComments
0 0 10 10 rectfill
showpage
%%EOF
"""


@pytest.fixture
def mark(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file that appears as soon as anything calls Ghostscript."""
    (tmp_path / "bin").mkdir()
    program = tmp_path / "bin" / "gs"
    program.write_text(f"#!/bin/sh\ntouch {tmp_path / 'mark'}\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path / "bin"), prepend=os.pathsep)
    monkeypatch.setattr(EpsImagePlugin, "gs_binary", "gs")
    return tmp_path / "mark"


@pytest.fixture
def eps(tmp_path: Path) -> Path:
    (tmp_path / "scan.png").write_bytes(EPS)
    return tmp_path / "scan.png"


def test_postscript_named_png_is_not_run(eps: Path, mark: Path) -> None:
    for read in (read_image, read_mask, image_size):
        with pytest.raises(ImageError, match=r"scan\.png: must be a readable picture.*, got no known format"):
            read(eps)
    with pytest.raises(client.ModelError, match=r"scan\.png: must be a readable picture"):
        client.read_picture(eps)
    assert not mark.exists()


def test_pillow_left_to_itself_runs_it(eps: Path, mark: Path) -> None:
    with pytest.raises(OSError, match=r"\w"), Image.open(eps) as picture:
        picture.load()
    assert mark.exists()


def test_pillow_does_not_run_it_where_that_is_forbidden(eps: Path, mark: Path) -> None:
    pictures.forbid_postscript()
    with pytest.raises(OSError, match="Ghostscript"), Image.open(eps) as picture:
        picture.load()
    assert not mark.exists()


@pytest.mark.skipif(shutil.which("gs") is None, reason="Ghostscript is not installed")
def test_a_loop_in_postscript_does_not_hold_a_batch(eps: Path) -> None:
    eps.write_bytes(EPS.replace(b"0 0 10 10 rectfill", b"{} loop"))
    code = "import sys; from monai_lesion.images.reading import read_image; read_image(sys.argv[1])"
    done = subprocess.run([sys.executable, "-c", code, eps], capture_output=True, text=True, timeout=60)
    assert done.returncode == 1
    assert "got no known format" in done.stderr


@pytest.mark.parametrize(("kind", "suffix"), [("GIF", ".gif"), ("PPM", ".ppm"), ("ICO", ".ico"), ("PDF", ".pdf")])
def test_other_formats_are_none_whatever_their_name(kind: str, suffix: str, tmp_path: Path) -> None:
    Image.fromarray(np.zeros((16, 16), np.uint8)).save(tmp_path / f"a{suffix}", format=kind)
    (tmp_path / f"a{suffix}").rename(tmp_path / "a.png")
    with pytest.raises(ImageError, match="got no known format"):
        read_image(tmp_path / "a.png")


@pytest.mark.parametrize("kind", pictures.FORMATS)
def test_the_formats_of_the_list_are_read_whatever_their_name(kind: str, tmp_path: Path) -> None:
    Image.fromarray(np.full((16, 24, 3), 90, np.uint8)).save(tmp_path / "a", format=kind)
    assert abs(int(read_image(tmp_path / "a").pixels.mean()) - 90) <= 1
    assert image_size(tmp_path / "a") == (16, 24)
    assert client.read_picture(tmp_path / "a").shape == (16, 24, 3)


def test_the_client_has_the_same_list_and_limit() -> None:
    assert (client.FORMATS, client.MAX_PIXELS) == (pictures.FORMATS, limits.MAX_PIXELS)


def test_the_client_refuses_what_is_too_large_and_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Image.new("L", (30, 20)).save(tmp_path / "a.png")
    monkeypatch.setattr(client, "MAX_PIXELS", 500)
    with pytest.raises(client.ModelError, match="must have at most 500 pixels, got 30x20"):
        client.read_picture(tmp_path / "a.png")
    os.mkfifo(tmp_path / "pipe.png")
    with pytest.raises(client.ModelError, match="must be an existing file"):
        client.read_picture(tmp_path / "pipe.png")


def test_no_place_opens_a_picture_without_the_list() -> None:
    root = Path(pictures.__file__).parents[1]
    places = {
        (file.relative_to(root).as_posix(), line.strip())
        for file in root.rglob("*.py")
        for line in file.read_text(encoding="utf-8").splitlines()
        if "Image.open(" in line
    }
    assert places
    assert {line for _, line in places if "formats=FORMATS" not in line} == set()


@pytest.mark.parametrize("bits", [8, 12, 16])
def test_negative_of_a_tiff_is_turned_round(tmp_path: Path, bits: int) -> None:
    grey = np.rint(np.linspace(0, 2**bits - 1, 64 * 40)).reshape(40, 64).astype(np.uint8 if bits == 8 else np.uint16)
    Image.fromarray(grey).save(tmp_path / "a.tif")
    upright = read_image(tmp_path / "a.tif").pixels
    data = bytearray((tmp_path / "a.tif").read_bytes())
    place = data.index(b"\x06\x01\x03\x00\x01\x00\x00\x00\x01")  # the entry PhotometricInterpretation: BlackIsZero
    data[place + 8] = 0
    (tmp_path / "b.tif").write_bytes(data)
    np.testing.assert_array_equal(read_image(tmp_path / "b.tif").pixels, 255 - upright)
