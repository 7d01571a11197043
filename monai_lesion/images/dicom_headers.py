"""The header of a DICOM file: read in any transfer syntax, without a word of what pydicom finds odd in it."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from io import BufferedReader, BytesIO, FileIO
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

from monai_lesion.errors import ImageError
from monai_lesion.images.pictures import reason
from monai_lesion.images.silence import quiet

IMPLICIT, EXPLICIT, DEFLATED, BIG_ENDIAN = (f"1.2.840.10008.1.2{end}" for end in ("", ".1", ".1.99", ".2"))

MAX_INFLATED = 2**29  # bytes of a deflated file
UNDEFINED = 0xFFFFFFFF

logger = logging.getLogger(__name__)

# Of these values a message may say which it found. Elsewhere a name may stand in the wrong attribute.
_INTERPRETATIONS = """MONOCHROME1 MONOCHROME2 RGB YBR_FULL YBR_FULL_422 YBR_PARTIAL_422 YBR_PARTIAL_420 YBR_RCT
YBR_ICT ARGB CMYK HSV XYB"""
_TERMS = {"PhotometricInterpretation": (*_INTERPRETATIONS.split(), "PALETTE COLOR")}


class Bounded(BufferedReader):
    """A file that never takes memory for more than it holds; ``read(4 GB)`` of a damaged length else does."""

    def __init__(self, path: Path) -> None:
        super().__init__(FileIO(path))
        self._size = path.stat().st_size

    def read(self, size: int | None = -1) -> bytes:
        """As of any file."""
        left = max(self._size - self.tell(), 0)
        return super().read(left if size is None or size < 0 else min(size, left))


@lru_cache(maxsize=4096)
def warn_once(message: str) -> None:
    """Log a warning once a file, not once a frame."""
    logger.warning("%s", message)


class Opening(NamedTuple):
    """How a DICOM file begins.

    Args:
        header: all before the pixel data.
        syntax: UID of the transfer syntax.
        start: where in the file the pixel data begins; -1 without any.
        length: length of the pixel data in bytes, as the header says; None when compressed.
        inflated: the data set of a deflated file.
    """

    header: Any
    syntax: str
    start: int
    length: int | None
    inflated: bytes | None


def value_of(header: Any, keyword: str) -> Any:
    """An attribute's value; None where it is absent, empty or damaged."""
    try:
        return header.get(keyword)
    except Exception:  # pydicom converts when asked, and its converters raise many kinds
        return None


def uid_name(text: str) -> str:
    """The name of an identifier that DICOM defines, for messages; of any other only its length.

    Example:
        >>> uid_name("1.2.840.10008.1.2.4.100"), uid_name("Doe^Jane")
        ('MPEG2 Main Profile / Main Level', 'an unknown one of 8 characters')
    """
    from pydicom.uid import UID, UID_dictionary

    return UID(text).name if text in UID_dictionary else f"an unknown one of {len(text)} characters"


def is_uid(text: str) -> bool:
    """Whether a text is a unique identifier: numbers with dots between them, 64 characters at most (PS3.5, 9.1)."""
    return len(text) <= 64 and all(part.isascii() and part.isdigit() for part in text.split("."))


def instance_named(uid: object) -> str:
    """An instance by its identifier, for messages; a name may stand there, of which only the length is told.

    Example:
        >>> instance_named("1.2.3"), instance_named("Doe^Jane")
        ('instance 1.2.3', 'instance with an identifier of 8 characters that is none')
    """
    text = str(uid)
    return f"instance {text}" if is_uid(text) else f"instance with an identifier of {len(text)} characters that is none"


def named(header: Any, keyword: str) -> str:
    """What a message may say of a value: one that DICOM defines itself, of any other its keyword and length.

    Example:
        >>> from pydicom import Dataset
        >>> header = Dataset()
        >>> header.PhotometricInterpretation = "DOE^JANE"
        >>> named(header, "PhotometricInterpretation")
        'PhotometricInterpretation of 8 characters'
    """
    value = value_of(header, keyword)
    text = "" if value is None else str(value).strip()
    if not text:
        return "none"
    if keyword.endswith("UID"):
        return uid_name(text)
    return text if text in _TERMS.get(keyword, ()) else f"{keyword} of {len(text)} characters"


def unquoted(header: Any, error: Exception) -> str:
    """What a decoder's error says; only its kind where the text repeats a value of the header.

    Example:
        >>> from pydicom import Dataset
        >>> header = Dataset()
        >>> header.PhotometricInterpretation = "DOE^JANE"
        >>> unquoted(header, ValueError("unknown value 'DOE^JANE'")), unquoted(header, ValueError("broken data"))
        ('ValueError', 'broken data')
    """
    text = reason(error)
    for element in header.elements() if hasattr(header, "elements") else ():
        value = element.value
        for each in value if isinstance(value, (list, tuple)) else [value]:
            words = each.decode("ascii", "replace") if isinstance(each, bytes) else str(each)
            if len(words.strip("\0 ")) > 2 and words.strip("\0 ") in text:
                return type(error).__name__
    return text


def read_opening(path: Path, stream: BinaryIO) -> Opening:
    """The header, of any kind of object, with or without preamble, deflated too; and where the pixel data is.

    Args:
        path: the file, for messages.
        stream: the file, open.

    Raises:
        ImageError: when the header is damaged.
    """
    with quiet(), _explained(path):
        stream.seek(0)
        header, source, inflated = _header(path, stream)
        meta = getattr(header, "file_meta", None) or {}
        syntax = str(value_of(meta, "TransferSyntaxUID") or "")
        if not syntax:
            syntax = IMPLICIT if header.is_implicit_VR else EXPLICIT if header.is_little_endian else BIG_ENDIAN
        return Opening(header, syntax, *_pixel_data(source, syntax), inflated)


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
    header = pydicom.dcmread(source, stop_before_pixels=True, force=bare or inflated is not None)
    if getattr(header, "buffer", None) is not None:
        header.buffer = None  # pydicom keeps what it read from: all of a deflated file
    return header, source, inflated


def _inflated(path: Path, stream: BinaryIO) -> tuple[BinaryIO, bytes | None]:
    """A deflated file without its deflation, in memory; any other as it is."""
    import zlib

    from pydicom.filereader import read_dataset

    deflated = DEFLATED.encode() in stream.read(4096)
    stream.seek(0)
    if not deflated:
        return stream, None
    stream.seek(132)
    meta = read_dataset(stream, False, True, stop_when=lambda tag, *_: tag.group != 2)
    if str(value_of(meta, "TransferSyntaxUID")) != DEFLATED:
        stream.seek(0)
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
