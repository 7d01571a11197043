"""Pictures in which every pixel differs from every other, so that no turn, flip or mix-up passes unseen."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

ROWS, COLUMNS = 20, 30


def colours() -> NDArray[np.uint8]:
    """(20, 30, 3): red tells the row, green the column."""
    rows, columns = np.indices((ROWS, COLUMNS))
    return np.stack([rows * 12, columns * 8, np.full_like(rows, 77)], axis=2).astype(np.uint8)


def greys() -> NDArray[np.uint8]:
    """(20, 30): no two rows and no two columns alike."""
    rows, columns = np.indices((ROWS, COLUMNS))
    return (rows * 7 + columns * 4).astype(np.uint8)


def lesion() -> NDArray[np.bool_]:
    """(20, 30): an L, off centre."""
    mask = np.zeros((ROWS, COLUMNS), bool)
    mask[3:12, 5:8] = mask[10:12, 5:21] = True
    return mask


def write_png(path: Path, depth: int, kind: int, rows: list[bytes], size: tuple[int, int], **chunks: bytes) -> Path:
    """A PNG by the letter of its specification: no Pillow, so that Pillow's own conversions are tested too."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    header = struct.pack(">IIBBBBB", size[1], size[0], depth, kind, 0, 0, 0)
    content = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header)
    for name, data in chunks.items():
        content += chunk(name.encode(), data)
    content += chunk(b"IDAT", zlib.compress(b"".join(b"\0" + row for row in rows))) + chunk(b"IEND", b"")
    path.write_bytes(content)
    return path


def write_dicom(
    path: Path, pixels: bytes, photometric: str, *, syntax: str = "1.2.840.10008.1.2.1", **values: Any
) -> Path:
    """A DICOM ultrasound image with the given pixel data: 8-bit, unsigned, ROWS x COLUMNS unless told otherwise."""
    from pydicom.dataset import FileDataset, FileMetaDataset
    from pydicom.uid import UID

    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = UID("1.2.840.10008.5.1.4.1.1.6.1")
    meta.MediaStorageSOPInstanceUID = UID("1.2.3.4")
    meta.TransferSyntaxUID = UID(syntax)
    dataset = FileDataset(
        str(path), {}, file_meta=meta, preamble=b"\0" * 128, is_implicit_VR=False, is_little_endian=True
    )
    colour = photometric not in ("MONOCHROME1", "MONOCHROME2", "PALETTE COLOR")
    image = {
        "SOPClassUID": meta.MediaStorageSOPClassUID,
        "SOPInstanceUID": meta.MediaStorageSOPInstanceUID,
        "Modality": "US",
        "SamplesPerPixel": 3 if colour else 1,
        "PhotometricInterpretation": photometric,
        "Rows": ROWS,
        "Columns": COLUMNS,
        "BitsAllocated": 8,
        "BitsStored": 8,
        "HighBit": values.get("BitsStored", 8) - 1,
        "PixelRepresentation": 0,
        **({"PlanarConfiguration": 0} if colour else {}),
        **values,
    }
    for name, value in image.items():
        setattr(dataset, name, value)
    if values.get("BitsAllocated", 8) == 8:
        dataset.add_new("PixelData", "OB", pixels)
    else:
        dataset.add_new("PixelData", "OW", pixels)
    dataset["PixelData"].is_undefined_length = dataset.file_meta.TransferSyntaxUID.is_compressed
    dataset.save_as(path, write_like_original=False)  # pydicom 2 knows no other word
    return path


def recoded(source: Path, target: Path, syntax: str) -> Path:
    """The same picture in another transfer syntax, without loss: gdcm's encoders."""
    gdcm = pytest.importorskip("gdcm", reason="what writes it")
    reader = gdcm.ImageReader()
    reader.SetFileName(str(source))
    assert reader.Read()
    change = gdcm.ImageChangeTransferSyntax()
    change.SetTransferSyntax(gdcm.TransferSyntax(gdcm.TransferSyntax.GetTSType(syntax)))
    change.SetInput(reader.GetImage())
    assert change.Change()
    writer = gdcm.ImageWriter()
    writer.SetFileName(str(target))
    writer.SetFile(reader.GetFile())
    writer.SetImage(change.GetOutput())
    assert writer.Write()
    return target
