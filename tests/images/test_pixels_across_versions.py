"""The same pixels whatever the versions of pydicom, numpy, Pillow, gdcm and openjpeg.

The test runs on the tested stack and on the oldest one (`make test-oldest`) and compares one hash a picture. That the
pixels behind the hashes are right is what the tests beside this one say, by closed forms and other programs.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from PIL import Image
from pydicom.encaps import encapsulate
from pydicom.uid import UID

from monai_lesion.images.readers import read_image
from tests.images import COLUMNS, ROWS, colours, greys, recoded, write_dicom

TWELVE = {"BitsAllocated": 16, "BitsStored": 12}
WINDOW = {"WindowCenter": 1500, "WindowWidth": 601, "RescaleSlope": 2, "RescaleIntercept": -100}
NATIVE = ["MONOCHROME1", "MONOCHROME2", "12 bits", "12 bits MONOCHROME1", "window", "RGB", "RGB planes"]
NATIVE += ["PALETTE COLOR", "YBR_FULL", "YBR_FULL_422", "YBR_PARTIAL_422", "16-bit RGB", "cine"]
SYNTAXES = {
    "implicit": "1.2.840.10008.1.2",
    "big endian": "1.2.840.10008.1.2.2",
    "RLE": "1.2.840.10008.1.2.5",
    "JPEG process 14": "1.2.840.10008.1.2.4.57",
    "JPEG lossless": "1.2.840.10008.1.2.4.70",
    "JPEG-LS": "1.2.840.10008.1.2.4.80",
    "JPEG-LS near": "1.2.840.10008.1.2.4.81",
    "JPEG 2000 lossless": "1.2.840.10008.1.2.4.90",
    "JPEG 2000": "1.2.840.10008.1.2.4.91",
}


def twelve() -> np.ndarray:
    return np.linspace(0, 4095, ROWS * COLUMNS).round().astype("<u2").reshape(ROWS, COLUMNS)


def native(path: Path, kind: str) -> Path:
    """An uncompressed picture, explicit little endian."""
    if kind in ("MONOCHROME1", "MONOCHROME2"):
        return write_dicom(path, greys().tobytes(), kind)
    if kind.startswith("12 bits"):
        return write_dicom(path, twelve().tobytes(), kind[8:] or "MONOCHROME2", **TWELVE)
    if kind == "window":
        return write_dicom(path, twelve().tobytes(), "MONOCHROME2", **TWELVE, **WINDOW)
    if kind == "RGB":
        return write_dicom(path, colours().tobytes(), "RGB")
    if kind == "RGB planes":
        data = np.ascontiguousarray(colours().transpose(2, 0, 1)).tobytes()
        return write_dicom(path, data, "RGB", PlanarConfiguration=1)
    if kind == "16-bit RGB":
        data = (colours().astype("<u2") * 16 + 3).tobytes()
        return write_dicom(path, data, "RGB", BitsAllocated=16, BitsStored=12)
    if kind == "cine":
        data = np.stack([np.roll(colours(), 3 * frame, axis=1) for frame in range(3)]).tobytes()
        return write_dicom(path, data, "RGB", NumberOfFrames=3)
    if kind == "PALETTE COLOR":
        values: dict[str, Any] = {}
        for place, name in enumerate(("Red", "Green", "Blue")):
            values[f"{name}PaletteColorLookupTableDescriptor"] = [256, 0, 16]
            table = ((np.arange(256) * (2 * place + 3)) % 256).astype("<u2") * 257
            values[f"{name}PaletteColorLookupTableData"] = table.tobytes()
        return write_dicom(path, greys().tobytes(), kind, **values)
    if kind == "YBR_FULL":
        return write_dicom(path, colours().tobytes(), kind)
    pairs = colours()  # any numbers will do: two lumas and the two colours that they share
    packed = np.stack([pairs[:, ::2, 0], pairs[:, 1::2, 0], pairs[:, ::2, 1], pairs[:, ::2, 2]], axis=2)
    return write_dicom(path, packed.tobytes(), kind)


def pillow(path: Path, syntax: str, photometric: str, **options: Any) -> Path:
    """A picture that Pillow compressed."""
    buffer = io.BytesIO()
    picture = greys() if photometric == "MONOCHROME2" else colours()
    Image.fromarray(picture).save(buffer, **options)
    data = encapsulate([buffer.getvalue() + b"\0" * (buffer.tell() % 2)])
    return write_dicom(path, data, photometric, syntax=f"1.2.840.10008.1.2.4.{syntax}")


JPEG: dict[str, tuple[str, str, dict[str, Any]]] = {
    "JPEG YBR_FULL_422": ("50", "YBR_FULL_422", {"format": "JPEG", "quality": 95}),
    "JPEG YBR_FULL": ("50", "YBR_FULL", {"format": "JPEG", "quality": 95, "subsampling": 0}),
    "JPEG grey": ("50", "MONOCHROME2", {"format": "JPEG", "quality": 95}),
    "JPEG extended": ("51", "YBR_FULL_422", {"format": "JPEG", "quality": 95}),
    "JPEG 2000 YBR_RCT": ("90", "YBR_RCT", {"format": "JPEG2000", "no_jp2": True, "mct": 1}),
}


def digest(pixels: np.ndarray) -> str:
    assert pixels.dtype == np.uint8
    assert pixels.shape == (ROWS, COLUMNS, 3)
    return hashlib.sha256(np.ascontiguousarray(pixels).tobytes()).hexdigest()[:16]


HASHES = {
    "MONOCHROME1": "80e46c4fa68b83a8",
    "MONOCHROME2": "f22a71cb32c02833",
    "12 bits": "df7320babbafcacc",
    "12 bits MONOCHROME1": "dac475b1d45b3fd6",
    "window": "68d7459ff2b7f46a",
    "RGB": "cb0637ec42a7f2cc",
    "RGB planes": "cb0637ec42a7f2cc",
    "PALETTE COLOR": "b7f047b2bd70354d",
    "YBR_FULL": "549a66227764da04",
    "YBR_FULL_422": "a7ac361cd09ff278",
    "YBR_PARTIAL_422": "f5b335b879fd4fa3",
    "16-bit RGB": "cb0637ec42a7f2cc",
    "cine": "ba7999a0698bdaed",
    "JPEG YBR_FULL_422": "ecb97ec56e86a9f4",
    "JPEG YBR_FULL": "f61b2af5f656f4f4",
    "JPEG grey": "6a704356e0dd42d2",
    "JPEG extended": "ecb97ec56e86a9f4",
    "JPEG 2000 YBR_RCT": "cb0637ec42a7f2cc",
}
LOSSLESS = ["MONOCHROME2", "12 bits", "RGB"]
CASES: dict[str, Callable[[Path], Path]] = {
    **{kind: lambda folder, kind=kind: native(folder / "a", kind) for kind in NATIVE},
    **{name: lambda folder, case=case: pillow(folder / "a", *case[:2], **case[2]) for name, case in JPEG.items()},
}


@pytest.mark.parametrize("name", CASES)
def test_pixels_are_the_same_on_every_stack(name: str, tmp_path: Path) -> None:
    file = CASES[name](tmp_path)
    assert digest(read_image(file, frame=2 if name == "cine" else None).pixels) == HASHES[name]


@pytest.mark.parametrize("kind", LOSSLESS)
@pytest.mark.parametrize("syntax", SYNTAXES)
def test_pixels_are_the_same_in_every_lossless_syntax_on_every_stack(syntax: str, kind: str, tmp_path: Path) -> None:
    file = recoded(native(tmp_path / "a", kind), tmp_path / "b", SYNTAXES[syntax])
    assert str(pydicom.dcmread(file).file_meta.TransferSyntaxUID) == UID(SYNTAXES[syntax])
    assert digest(read_image(file).pixels) == HASHES[kind]


def test_lossy_jpeg_2000_differs_by_rounding_at_most(tmp_path: Path) -> None:
    # Its arithmetic is floating-point, and the versions of openjpeg round it differently.
    options = {"format": "JPEG2000", "no_jp2": True, "irreversible": True, "mct": 1, "quality_layers": [2]}
    pixels = read_image(pillow(tmp_path / "a", "91", "YBR_ICT", **options)).pixels.astype(int)
    assert np.abs(pixels - colours()).max() <= 12
    assert np.abs(pixels - colours()).mean() < 3
