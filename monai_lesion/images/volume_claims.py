"""What the header of a NIfTI, NRRD or MHA file claims, checked before any reader takes memory or opens a file for it.

A header decides how much memory a reader takes, and in NRRD and MHA which file it opens for the pixels. Therefore the
data must lie in the file itself or beside it, what is claimed must be within :mod:`monai_lesion.images.limits`, and
the data must really be there: a compressed stream is counted piece by piece.
"""

from __future__ import annotations

import gzip
import math
import re
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from monai_lesion.files import no_file
from monai_lesion.images import limits

HEADER = 1 << 16  # bytes of the text before the pixels
EXTENSIONS = 1 << 24  # bytes of a NIfTI header with its extensions
PIECE = 1 << 20
META_TYPES = {  # MetaImage's, each with its bytes
    **dict.fromkeys(("MET_CHAR", "MET_UCHAR"), 1),
    **dict.fromkeys(("MET_SHORT", "MET_USHORT"), 2),
    **dict.fromkeys(("MET_INT", "MET_UINT", "MET_LONG", "MET_ULONG", "MET_FLOAT"), 4),
    **dict.fromkeys(("MET_LONG_LONG", "MET_ULONG_LONG", "MET_DOUBLE"), 8),
}
NRRD_TYPES = {
    **dict.fromkeys(("signed char", "int8", "int8_t", "uchar", "unsigned char", "uint8", "uint8_t"), 1),
    **dict.fromkeys(("short", "short int", "signed short", "signed short int", "int16", "int16_t"), 2),
    **dict.fromkeys(("ushort", "unsigned short", "unsigned short int", "uint16", "uint16_t"), 2),
    **dict.fromkeys(("int", "signed int", "int32", "int32_t", "uint", "unsigned int", "uint32", "uint32_t"), 4),
    "float": 4,
    **dict.fromkeys(("longlong", "long long", "long long int", "signed long long", "signed long long int"), 8),
    **dict.fromkeys(("int64", "int64_t", "ulonglong", "unsigned long long", "unsigned long long int"), 8),
    **dict.fromkeys(("uint64", "uint64_t", "double"), 8),
}


def check_size(sides: Sequence[int], bytes_each: int) -> int:
    """Check what a header claims of its numbers.

    Args:
        sides: numbers along each axis.
        bytes_each: bytes that one number takes in memory.

    Returns:
        How many numbers there are.

    Raises:
        ValueError: when there are none or too many.
    """
    if not sides or min(sides) < 1:
        raise ValueError(f"a size of {' x '.join(map(str, sides)) or 'nothing'}")
    numbers = math.prod(sides)
    if numbers > 4 * limits.MAX_PIXELS or numbers * bytes_each > limits.MAX_BYTES:
        size = " x ".join(map(str, sides))
        raise ValueError(
            f"a size of {size} numbers of {bytes_each} bytes, above the limits of {limits.MAX_PIXELS} pixels "
            f"and {limits.MAX_BYTES} bytes"
        )
    return numbers


def nifti_bytes(file: Path, *, pixels: bool = True) -> tuple[Any, bytes]:
    """The class of NIfTI image that a file is, and its bytes up to the last of its pixels, inflated.

    Args:
        file: the file; its content says whether it is compressed.
        pixels: whether to read the pixels as well as the header.

    Raises:
        ValueError: when it is damaged, cut off or too large.
        OSError: when it cannot be read.
    """
    import nibabel

    with file.open("rb") as start:
        packed = start.read(2) == b"\x1f\x8b"
    with gzip.open(file) if packed else file.open("rb") as stream:
        data = bytearray(stream.read(nibabel.Nifti2Header.sizeof_hdr))
        # NIfTI 1 has 348 bytes and NIfTI 2 has 540, as the first number says in either order of bytes.
        sizes = {int.from_bytes(data[:4], "little"), int.from_bytes(data[:4], "big")}
        kinds = (nibabel.Nifti1Image, nibabel.Nifti2Image)
        kind = next((each for each in kinds if each.header_class.sizeof_hdr in sizes), None)
        if kind is None or len(data) < kind.header_class.sizeof_hdr:
            raise ValueError("no header of NIfTI")
        header = kind.header_class(bytes(data[: kind.header_class.sizeof_hdr]))
        slope, intercept = header.get_slope_inter()
        each = header.get_data_dtype().itemsize
        scaled = slope not in (None, 1) or intercept not in (None, 0)
        numbers = check_size(header.get_data_shape(), max(each, 8) if scaled else each)
        begin = header.get_data_offset()
        if not 0 <= begin <= EXTENSIONS:
            raise ValueError(f"pixels that begin at byte {begin}")
        wanted = begin + numbers * each if pixels else begin
        while len(data) < wanted and (piece := stream.read(min(PIECE, wanted - len(data)))):
            data += piece
    if len(data) < wanted:
        raise ValueError(f"{len(data)} bytes, where its header says {wanted}: it is cut off")
    return kind, bytes(data)


def check_meta_image(file: Path) -> None:
    """Check the header of an MHA or MHD file, and that its pixels are in it or beside it.

    Raises:
        ValueError: when it is damaged or cut off, claims too much, or names a file elsewhere.
        OSError: when a file cannot be read.

    Source:
        MetaIO documentation, itk.org/Wiki/ITK/MetaIO/Documentation.
    """
    fields: dict[str, str] = {}
    begin = 0  # of the pixels
    for line, begin in _lines(file):  # noqa: B007 - used after the loop
        found = re.fullmatch(r"\s*([A-Za-z]\w*)\s*[=:]\s*(.*?)\s*", line)
        if found is None:
            raise ValueError("no header of MHA")
        key = found[1].casefold()
        if key in fields:
            raise ValueError(f"{found[1]} twice")
        fields[key] = found[2]
        if key == "elementdatafile":
            break
    else:
        raise ValueError("a header without ElementDataFile")
    each = META_TYPES.get(fields.get("elementtype", ""))
    if each is None:
        raise ValueError("an ElementType that is none of numbers")
    sides, channels = _wholes(fields.get("dimsize", "")), _wholes(fields.get("elementnumberofchannels", "1"))
    numbers = check_size([*sides, *channels], max(each, 8) if "LONG" in fields["elementtype"] else each)
    if "ndims" in fields and _wholes(fields["ndims"]) != [len(sides)]:  # of the rest, ITK takes what is in memory
        raise ValueError(f"{len(sides)} sizes of {fields['ndims']} dimensions")
    name = fields["elementdatafile"]
    place = file if name in ("LOCAL", "Local", "local") else beside(file, name)
    skipped = _wholes(fields.get("headersize", "0"))[0]
    start = max(skipped, 0) + (begin if place == file else 0)
    if "binarydata" in fields and not _true(fields["binarydata"]):
        raise ValueError("pixels as text")
    if _true(fields.get("compresseddata", "False")):  # without its size ITK gives what was in memory before
        packed = _wholes(fields.get("compresseddatasize", ""))[0]
        _check_there(place, start, packed)
        _check_inflated(place, start, numbers * each, packed)
    else:
        _check_there(place, start, numbers * each)


def check_nrrd(file: Path) -> None:
    """Check the header of an NRRD file, and that its pixels are in it or beside it.

    Raises:
        ValueError: when it is damaged or cut off, claims too much, or names a file elsewhere.
        OSError: when a file cannot be read.

    Source:
        teem.sourceforge.net/nrrd/format.html
    """
    fields: dict[str, str] = {}
    begin, ended = 0, False
    for number, (line, begin) in enumerate(_lines(file)):  # noqa: B007 - used after the loop
        if number == 0 and not re.fullmatch(r"NRRD000[1-5]", line):
            raise ValueError("no header of NRRD")
        if number == 0 or line.startswith("#"):
            continue
        if not line:
            ended = True
            break
        found = re.fullmatch(r"([^:]+):([ =])\s*(.*?)\s*", line)
        if found is None:
            raise ValueError("a line that is no field of NRRD")
        key = re.sub(r"\s", "", found[1]).casefold()
        if found[2] == "=" and key != "datafile":  # the user's own
            continue
        if key in fields:
            raise ValueError(f"{key} twice")
        fields[key] = found[3]
    if not ended and "datafile" not in fields:
        raise ValueError("a header without an end")
    each = NRRD_TYPES.get(fields.get("type", ""))
    if each is None:
        raise ValueError("a type that is none of numbers")
    numbers = check_size(_wholes(fields.get("sizes", "")), each)
    place = file if "datafile" not in fields else beside(file, fields["datafile"])
    start = begin if place == file else 0
    skips = [_wholes(fields.get(key, "0"))[0] for key in ("lineskip", "byteskip")]
    encoding = fields.get("encoding", "").casefold()
    if encoding == "raw":
        _check_there(place, start + max(skips[1], 0), numbers * each)
    elif encoding in ("txt", "text", "ascii"):
        _check_there(place, start, 2 * numbers - 1)
    elif encoding == "hex":
        _check_there(place, start, 2 * numbers * each)
    elif encoding in ("gz", "gzip") and skips == [0, 0]:
        _check_inflated(place, start, numbers * each)
    else:
        raise ValueError("an encoding that is not raw, gzip, text or hex")


def beside(file: Path, name: str) -> Path:
    """The data file that a header names, which must lie in the header's own folder.

    Raises:
        ValueError: when it names a place elsewhere, several files, or a file that is not there.
    """
    if not name or re.search(r"[/\\:%]", name) or name in (".", "..") or name.upper().startswith("LIST"):
        raise ValueError("a header that names data elsewhere, where they must lie in the file or beside it")
    place = file.parent / name
    if (found := no_file(place)) is not None:
        raise ValueError(f"{found} where its header names its data")
    if place.resolve().parent != file.resolve().parent:
        raise ValueError("a header that names a link to elsewhere, where its data must lie in the file or beside it")
    return place


def _lines(file: Path) -> Iterator[tuple[str, int]]:
    """The lines of a text header, each with the place of what follows it."""
    with file.open("rb") as stream:
        data = stream.read(HEADER)
    if len(data) < HEADER and not data.endswith(b"\n"):
        data += b"\n"
    begin = 0
    while (end := data.find(b"\n", begin)) >= 0:
        line = data[begin:end].removesuffix(b"\r").decode("latin-1")
        if not line.replace("\t", " ").isprintable():
            raise ValueError("no text where its header should be")
        begin = end + 1
        yield line, begin


def _wholes(text: str) -> list[int]:
    numbers = [int(part) for part in text.split() if len(part) <= 12]
    if not numbers or len(numbers) != len(text.split()):
        raise ValueError("a header without its size")
    return numbers


def _true(text: str) -> bool:
    return text[:1] in ("T", "t", "1")


def _check_there(file: Path, begin: int, wanted: int) -> None:
    there = file.stat().st_size - begin
    if there < wanted:
        raise ValueError(f"{max(there, 0)} bytes of pixels, where its header says {wanted}: it is cut off")


def _check_inflated(file: Path, begin: int, wanted: int, packed: int | None = None) -> None:
    """Count what a compressed stream, of ``packed`` bytes or up to the file's end, gives, without keeping it."""
    engine, count = zlib.decompressobj(47), 0  # zlib or gzip, as its start says
    left = file.stat().st_size - begin if packed is None else packed
    with file.open("rb") as stream:
        stream.seek(begin)
        while count < wanted and not engine.eof:
            piece = engine.unconsumed_tail
            if not piece:
                piece = stream.read(min(PIECE, max(left, 0)))
                left -= len(piece)
            if not piece:
                break
            count += len(engine.decompress(piece, PIECE))
    if count < wanted:
        raise ValueError(f"{count} bytes of pixels, where its header says {wanted}: it is cut off")
