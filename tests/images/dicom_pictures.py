"""DICOM pictures that several tests read: pydicom's own, Pillow's, and some that move."""

from __future__ import annotations

import io
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from PIL import Image
from pydicom.data import get_testdata_file
from pydicom.uid import UID

from tests.images import colours, greys, recoded, write_dicom

JPEG_BASELINE, JPEG_2000 = "1.2.840.10008.1.2.4.50", "1.2.840.10008.1.2.4.91"
pydicom_3 = pytest.mark.skipif(pydicom.__version__.startswith("2"), reason="pydicom 2 has no encoders")
RLE, JPEG_LOSSLESS, JPEG_LS, J2K_LOSSLESS = (f"1.2.840.10008.1.2.{end}" for end in ("5", "4.70", "4.80", "4.90"))
PROCESS_14 = "1.2.840.10008.1.2.4.57"
TWELVE = {"BitsAllocated": 16, "BitsStored": 12}


def bundled(name: str) -> Path:
    """A file that lies in the pydicom package; none is fetched."""
    found = get_testdata_file(name, download=False)
    if found is None:
        pytest.skip(f"pydicom {pydicom.__version__} comes without {name}")
    return Path(str(found))


def ybr(rgb: np.ndarray) -> np.ndarray:
    """PS3.3 C.7.6.3.1.2."""
    matrix = [[0.2990, 0.5870, 0.1140], [-0.1687, -0.3313, 0.5000], [0.5000, -0.4187, -0.0813]]
    return np.clip(rgb @ np.array(matrix).T + [0, 128, 128] + 0.5, 0, 255).astype(np.uint8)


def compressed(frames: int = 1, **options: Any) -> list[bytes]:
    """Frames of one tissue-like picture each, coded by Pillow."""
    coded = []
    for frame in range(frames):
        buffer = io.BytesIO()
        Image.fromarray(np.roll(colours(), 3 * frame, axis=1)).save(buffer, **options)
        coded.append(buffer.getvalue() + b"\0" * (buffer.tell() % 2))
    return coded


def cine(path: Path, frames: int = 3) -> Path:
    data = np.stack([np.roll(colours(), 3 * frame, axis=1) for frame in range(frames)]).tobytes()
    return write_dicom(path, data, "RGB", NumberOfFrames=frames)


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


def deflated(path: Path, content: bytes) -> Path:
    """The file with its data set deflated, by the letter of PS3.5, A.5."""
    size = 132 + 12 + int.from_bytes(content[140:144], "little")
    meta = content[144:size].replace(b"UI\x14\x001.2.840.10008.1.2.1\0", b"UI\x16\x001.2.840.10008.1.2.1.99")
    packer = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    body = packer.compress(content[size:]) + packer.flush()
    path.write_bytes(content[:140] + len(meta).to_bytes(4, "little") + meta + body)
    return path


def written(path: Path, data: bytes, syntax: str, photometric: str) -> Path:
    from pydicom.encaps import encapsulate

    return write_dicom(path, encapsulate([data]), photometric, syntax=syntax)
