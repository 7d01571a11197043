"""A DICOM image file, opened: its header, checked, and the bytes of one frame.

Everything that a header says of the size is checked before memory is taken for it, and only one frame is ever read.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from io import BufferedReader, BytesIO, FileIO
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from monai_lesion.data.codestreams import check_codestream
from monai_lesion.errors import ImageError

# Single and multi-frame ultrasound, today's and retired, and Secondary Capture (PS3.4, B.5).
SOP_CLASSES = {
    "1.2.840.10008.5.1.4.1.1.6.1": "Ultrasound Image",
    "1.2.840.10008.5.1.4.1.1.3.1": "Ultrasound Multi-frame Image",
    "1.2.840.10008.5.1.4.1.1.6": "Ultrasound Image (retired)",
    "1.2.840.10008.5.1.4.1.1.3": "Ultrasound Multi-frame Image (retired)",
    "1.2.840.10008.5.1.4.1.1.7": "Secondary Capture Image",
    "1.2.840.10008.5.1.4.1.1.7.1": "Multi-frame Single Bit Secondary Capture Image",
    "1.2.840.10008.5.1.4.1.1.7.2": "Multi-frame Grayscale Byte Secondary Capture Image",
    "1.2.840.10008.5.1.4.1.1.7.3": "Multi-frame Grayscale Word Secondary Capture Image",
    "1.2.840.10008.5.1.4.1.1.7.4": "Multi-frame True Color Secondary Capture Image",
}
GREY = ("MONOCHROME1", "MONOCHROME2")
COLOUR = ("RGB", "YBR_FULL", "YBR_FULL_422", "YBR_PARTIAL_422", "YBR_RCT", "YBR_ICT")
HALVED = ("YBR_FULL_422", "YBR_PARTIAL_422")  # two pixels share their colour

IMPLICIT, EXPLICIT, DEFLATED, BIG_ENDIAN = (f"1.2.840.10008.1.2{end}" for end in ("", ".1", ".1.99", ".2"))
NATIVE = (IMPLICIT, EXPLICIT, DEFLATED, BIG_ENDIAN)
RLE = "1.2.840.10008.1.2.5"
JPEG = tuple(f"1.2.840.10008.1.2.4.{end}" for end in (50, 51, 57, 70))
JPEG_LS = tuple(f"1.2.840.10008.1.2.4.{end}" for end in (80, 81))
JPEG_2000 = tuple(f"1.2.840.10008.1.2.4.{end}" for end in (90, 91, 201, 202, 203))

MAX_PIXELS = 2**26  # 8192 x 8192; the largest ultrasound frames have 8 million
MAX_INFLATED = 2**29  # bytes of a deflated file
UNDEFINED = 0xFFFFFFFF

_quiet = ContextVar("quiet", default=False)
_LOGGERS = ("pydicom", "pydicom.pixels.decoders.base", "pydicom.pixels.utils", "pylibjpeg", "openjpeg")


class _Silence(logging.Filter):
    def filter(self, record: logging.LogRecord) -> bool:
        return not _quiet.get()


_SILENCE = _Silence()


class _Bounded(BufferedReader):
    """A file that never takes memory for more than it holds; ``read(4 GB)`` of a damaged length else does."""

    def __init__(self, path: Path) -> None:
        super().__init__(FileIO(path))
        self._size = path.stat().st_size

    def read(self, size: int | None = -1) -> bytes:
        """As of any file."""
        left = max(self._size - self.tell(), 0)
        return super().read(left if size is None or size < 0 else min(size, left))


@contextmanager
def quiet() -> Iterator[None]:
    """Keep pydicom's warnings back, on the log too: they quote the values that they find wrong, a patient's name too.

    Example:
        >>> with quiet():
        ...     logging.getLogger("pydicom").warning("Doe^Jane")
    """
    for name in _LOGGERS:
        logging.getLogger(name).addFilter(_SILENCE)  # once: the second time it is there already
    token = _quiet.set(True)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        _quiet.reset(token)


@dataclass(frozen=True, eq=False)
class DicomFile:
    """A DICOM image whose header is read and checked.

    Args:
        path: the file.
        header: all before the pixel data.
        syntax: UID of the transfer syntax.
        rows: of a frame.
        columns: of a frame.
        samples: numbers a pixel, 1 or 3.
        bits: of one number as stored: 1, 8, 16 or 32.
        frames: how many, at least 1.
        photometric: photometric interpretation.
        start: where in the file the pixel data begins.
        length: of the pixel data in bytes, as stated; None when compressed.
        inflated: the pixel data of a deflated file.
    """

    path: Path
    header: Any
    syntax: str
    rows: int
    columns: int
    samples: int
    bits: int
    frames: int
    photometric: str
    start: int
    length: int | None
    inflated: bytes | None = None

    @property
    def frame_bits(self) -> int:
        """Size of an uncompressed frame."""
        numbers = self.rows * self.columns * self.samples
        return (numbers * 2 // 3 if self.photometric in HALVED else numbers) * self.bits

    def frame(self, index: int) -> bytes:
        """The bytes of one frame, as stored.

        Raises:
            ImageError: when it is cut off or coded otherwise than the header says.
        """
        with BytesIO(self.inflated) if self.inflated is not None else _Bounded(self.path) as stream:
            stream.seek(self.start)
            return self._native(stream, index) if self.length is not None else self._coded(stream, index)

    def _native(self, stream: BinaryIO, index: int) -> bytes:
        first, last = index * self.frame_bits, (index + 1) * self.frame_bits
        stream.seek(first // 8, 1)
        wanted = -(-last // 8) - first // 8
        data = stream.read(wanted)
        if len(data) < wanted or last > 8 * (self.length or 0):
            got = f"{min(len(data), (self.length or 0) - first // 8)} bytes, less than expected ({wanted})"
            raise self.damaged(index, got)
        if self.bits == 1:  # frames of single bits need not begin with a byte
            bits = np.unpackbits(np.frombuffer(data, np.uint8), bitorder="little")
            data = np.packbits(bits[first % 8 :][: last - first], bitorder="little").tobytes()
        return data

    def _coded(self, stream: BinaryIO, index: int) -> bytes:
        try:
            data = self._fragments(stream, index)
        except Exception as error:  # pydicom raises many kinds
            raise self.damaged(index, f"compressed data cut off or damaged ({type(error).__name__})") from error
        why = check_codestream(data, self)
        if why:
            raise self.damaged(index, why)
        return data

    def _fragments(self, stream: BinaryIO, index: int) -> bytes:
        with quiet():
            try:
                from pydicom.encaps import get_frame
            except ImportError:  # pydicom 2
                from pydicom.encaps import generate_pixel_data_frame

                return bytes(next(islice(generate_pixel_data_frame(stream.read(), self.frames), index, None)))
            tables = value_of(self.header, "ExtendedOffsetTable"), value_of(self.header, "ExtendedOffsetTableLengths")
            extended = tables if all(isinstance(table, bytes) and table for table in tables) else None
            return bytes(get_frame(stream, index, extended_offsets=extended, number_of_frames=self.frames))

    def damaged(self, index: int, got: str) -> ImageError:
        """The error of a frame that cannot be read."""
        which = f"frame {index} must" if self.frames > 1 else "must"
        fix = "Check the file with another viewer, or export it again"
        return ImageError(self.path, f"{which} be a readable DICOM image", got=got, fix=fix)


def open_dicom(path: Path) -> DicomFile:
    """Read the header of a DICOM image and check what the pixels need of it.

    Args:
        path: the file, with or without preamble.

    Raises:
        ImageError: when it is damaged, another kind of object, too large, or contradicts itself.

    Source:
        DICOM PS3.3, C.7.6.3 (Image Pixel); PS3.5, 8.2 and Annex A (transfer syntaxes); PS3.10, 7.1 (preamble).
    """
    with quiet():
        header, syntax, start, length, inflated = _read(path)
        kind = str(value_of(header, "SOPClassUID") or "")
        if kind and kind not in SOP_CLASSES:
            from pydicom.uid import UID

            fix = "Other objects and modalities cannot be segmented"
            rule = "must be an ultrasound or secondary capture image"
            raise ImageError(path, rule, got=UID(kind).name, fix=fix)
        if start < 0:
            fix = "Check that the file is whole"
            raise ImageError(path, "must hold an image", got="DICOM without pixel data", fix=fix)
        rows, columns = _number(path, header, "Rows"), _number(path, header, "Columns")
        if rows * columns > MAX_PIXELS:
            got = f"{rows} x {columns}"
            raise ImageError(path, f"must have at most {MAX_PIXELS} pixels", got=got, fix="Check the file's header")
        photometric, samples = _colours(path, header)
        bits = _number(path, header, "BitsAllocated")
        stored = _number(path, header, "BitsStored") if value_of(header, "BitsStored") is not None else bits
        if bits not in (1, 8, 16, 32) or stored > bits or (samples == 3 and stored < 8):
            rule = "BitsAllocated must be 1, 8, 16 or 32 and hold BitsStored, in colour at least 8"
            raise ImageError(path, rule, got=f"{bits} and {stored}")
        frames = 1
        if value_of(header, "NumberOfFrames") not in (None, ""):
            frames = _number(path, header, "NumberOfFrames")
        if (length is None) == (syntax in NATIVE):
            rule = "the transfer syntax must be that of the pixel data"
            got = f"{'compressed' if length is None else 'uncompressed'} data under {_name(syntax)}"
            raise ImageError(path, rule, got=got, fix="Export the image again")
        file = DicomFile(
            path, header, syntax, rows, columns, samples, bits, frames, photometric, start, length, inflated
        )
        _check_length(file)
        return file


def value_of(header: Any, keyword: str) -> Any:
    """An attribute's value; None where it is absent, empty or damaged."""
    try:
        return header.get(keyword)
    except Exception:  # pydicom converts when asked, and its converters raise many kinds
        return None


def read_header(path: Path) -> Any:
    """All before the pixel data, of any kind of object: with or without preamble, deflated too.

    Raises:
        ImageError: when it is damaged.
    """
    with quiet(), _explained(path), _Bounded(path) as stream:
        return _header(path, stream)[0]


def _read(path: Path) -> tuple[Any, str, int, int | None, bytes | None]:
    """Header, transfer syntax, start and length of the pixel data, and the data itself of a deflated file."""
    with _explained(path), _Bounded(path) as stream:
        header, source, inflated = _header(path, stream)
        meta = getattr(header, "file_meta", None) or {}
        syntax = str(value_of(meta, "TransferSyntaxUID") or "")
        if not syntax:
            syntax = IMPLICIT if header.is_implicit_VR else EXPLICIT if header.is_little_endian else BIG_ENDIAN
        _check_syntax(path, syntax)
        start, length = _pixel_data(source, syntax)
        return header, syntax, start, length, inflated


@contextmanager
def _explained(path: Path) -> Iterator[None]:
    try:
        yield
    except ImageError:
        raise
    except Exception as error:  # pydicom raises many kinds, whose texts may quote what they read
        fix = "Check the file with another viewer, or export it again"
        got = f"a damaged header ({type(error).__name__})"
        raise ImageError(path, "must be a readable DICOM image", got=got, fix=fix) from error


def _header(path: Path, stream: BinaryIO) -> tuple[Any, BinaryIO, bytes | None]:
    """The header, what it was read from, up to the pixel data, and the data set of a deflated file."""
    import pydicom

    bare = stream.read(132)[128:] != b"DICM"
    stream.seek(0)
    source, inflated = _inflated(path, stream)
    return pydicom.dcmread(source, stop_before_pixels=True, force=bare or inflated is not None), source, inflated


def _check_syntax(path: Path, syntax: str) -> None:
    if syntax not in (*NATIVE, RLE, *JPEG, *JPEG_LS, *JPEG_2000):
        rule = "the transfer syntax must be uncompressed, RLE, JPEG, JPEG-LS or JPEG 2000"
        raise ImageError(path, rule, got=_name(syntax), fix="Export the image uncompressed")


def _inflated(path: Path, stream: BinaryIO) -> tuple[BinaryIO, bytes | None]:
    """A deflated file without its deflation, in memory; any other as it is."""
    import zlib

    from pydicom.filereader import read_file_meta_info

    deflated = DEFLATED.encode() in stream.read(4096)
    stream.seek(0)
    if not deflated:
        return stream, None
    meta = read_file_meta_info(path)
    if str(value_of(meta, "TransferSyntaxUID")) != DEFLATED:
        return stream, None
    stream.seek(132 + 12 + int(meta.FileMetaInformationGroupLength))
    content = zlib.decompressobj(-zlib.MAX_WBITS).decompress(stream.read(), MAX_INFLATED + 1)
    if len(content) > MAX_INFLATED:
        raise ImageError(path, f"must have at most {MAX_INFLATED} bytes inflated", got="more")
    return BytesIO(content), content


def _pixel_data(stream: BinaryIO, syntax: str) -> tuple[int, int | None]:
    """Where the pixel data begins, -1 without any, and its length, None when compressed."""
    order: Any = "big" if syntax == BIG_ENDIAN else "little"
    head = stream.read(8)
    tag = int.from_bytes(head[:2], order), int.from_bytes(head[2:4], order)
    if len(head) < 8 or tag != (0x7FE0, 0x0010):
        return -1, None
    # Some writers mix implicit into explicit: the two letters decide.
    length = int.from_bytes(stream.read(4), order) if head[4:6] in (b"OB", b"OW", b"UN") else None
    if length is None:
        length = int.from_bytes(head[4:], order)
    return stream.tell(), None if length == UNDEFINED else length


def _number(path: Path, header: Any, keyword: str) -> int:
    value = value_of(header, keyword)
    try:
        number = int(value)
    except (TypeError, ValueError, OverflowError):
        number = 0
    if number < 1:
        got = "none" if value is None else number if isinstance(value, (int, str)) else "another kind of value"
        raise ImageError(path, f"{keyword} must be a whole number of at least 1", got=got, fix="Export it again")
    return number


def _colours(path: Path, header: Any) -> tuple[str, int]:
    """Photometric interpretation and samples a pixel, which must agree."""
    photometric = str(value_of(header, "PhotometricInterpretation") or "none").strip()
    if photometric not in (*GREY, "PALETTE COLOR", *COLOUR):
        known = ", ".join([*GREY, "PALETTE COLOR", *COLOUR])
        got = photometric if photometric.isascii() and len(photometric) <= 16 else "another"
        raise ImageError(path, f"the photometric interpretation must be one of {known}", got=got)
    samples, wanted = _number(path, header, "SamplesPerPixel"), 3 if photometric in COLOUR else 1
    if samples != wanted:
        rule = f"{photometric} must have {wanted} sample{'s' if wanted > 1 else ''} a pixel"
        raise ImageError(path, rule, got=f"SamplesPerPixel {samples}", fix="The header contradicts itself")
    return photometric, samples


def _check_length(file: DicomFile) -> None:
    """The frames must fit into the pixel data: a header that lies must not cost time or memory."""
    if file.length is None:
        room = file.path.stat().st_size // 8  # each frame has an item of its own
    else:
        room = max(8 * file.length // file.frame_bits, 1)
        if file.photometric in HALVED and file.frames * file.frame_bits * 3 <= file.length * 16:
            rule = "the photometric interpretation must be that of the pixel data"
            raise ImageError(file.path, rule, got=f"{file.photometric} with a number for every colour")
    if file.frames > room:
        got = f"{file.frames} with room for {room}"
        raise ImageError(file.path, "NumberOfFrames must fit the pixel data", got=got, fix="Export it again")


def _name(syntax: str) -> str:
    from pydicom.uid import UID

    return str(UID(syntax).name)
