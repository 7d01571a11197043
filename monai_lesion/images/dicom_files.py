"""A DICOM image file, opened: its header, checked, and the bytes of one frame.

Everything that a header says of the size is checked before memory is taken for it, and only one frame is ever read.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from io import BytesIO
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from monai_lesion.errors import ImageError
from monai_lesion.images import limits
from monai_lesion.images.codestreams import check_codestream, without_padding
from monai_lesion.images.dicom_headers import (
    BIG_ENDIAN,
    DEFLATED,
    EXPLICIT,
    IMPLICIT,
    Opening,
    named,
    uid_name,
    value_of,
    warn_once,
)
from monai_lesion.images.fragments import Frames, find_frames, read_items
from monai_lesion.images.silence import quiet

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

NATIVE = (IMPLICIT, EXPLICIT, DEFLATED, BIG_ENDIAN)
RLE = "1.2.840.10008.1.2.5"
JPEG = tuple(f"1.2.840.10008.1.2.4.{end}" for end in (50, 51, 57, 70))
JPEG_LS = tuple(f"1.2.840.10008.1.2.4.{end}" for end in (80, 81))
JPEG_2000 = tuple(f"1.2.840.10008.1.2.4.{end}" for end in (90, 91, 201, 202, 203))

NO_NUMBER = (None, "", 0)  # as some writers give the number of frames of a single picture


@dataclass(frozen=True, eq=False)
class DicomFile:
    """A DICOM image whose header is read and checked.

    Args:
        path: the file.
        header: all before the pixel data.
        syntax: UID of the transfer syntax.
        rows: rows of a frame.
        columns: columns of a frame.
        samples: numbers a pixel, 1 or 3.
        bits: bits that one number takes: 1, 8, 16 or 32.
        stored: how many of them count.
        frames: how many, at least 1.
        photometric: photometric interpretation.
        start: where in the file the pixel data begins.
        length: length of the pixel data in bytes, as the header says; None when compressed.
        stream: the file, open, or the data set of a deflated file.
    """

    path: Path
    header: Any
    syntax: str
    rows: int
    columns: int
    samples: int
    bits: int
    stored: int
    frames: int
    photometric: str
    start: int
    length: int | None
    stream: BinaryIO

    @property
    def frame_bits(self) -> int:
        """Size of an uncompressed frame."""
        numbers = self.rows * self.row_columns * self.samples
        return (numbers * 2 // 3 if self.photometric in HALVED else numbers) * self.bits

    @property
    def row_columns(self) -> int:
        """Columns of a row as it lies in the file: of pairs of pixels, some writers end an odd row with half a pair."""
        odd = self.photometric in HALVED and self.columns % 2
        return self.columns + 1 if odd and self._holds(self.columns + 1) else self.columns

    def _holds(self, columns: int) -> bool:
        """Whether the pixel data holds rows of so many columns, of two bytes a pixel."""
        return self.length is not None and self.length >= 2 * self.rows * columns * self.frames

    def frame(self, index: int) -> bytes:
        """The bytes of one frame, as stored.

        Raises:
            ImageError: when it is cut off or coded otherwise than the header says.
        """
        return self._native(index) if self.length is not None else self._coded(index)

    def _native(self, index: int) -> bytes:
        if self.length is not None and (room := 8 * self.length // self.frame_bits) > self.frames:
            used = "the first is" if self.frames == 1 else f"the first {self.frames} are"
            self._warn(f"the pixel data has room for {room} frames; {used} used")
        first, last = index * self.frame_bits, (index + 1) * self.frame_bits
        self.stream.seek(self.start + first // 8)
        wanted = -(-last // 8) - first // 8
        data = self.stream.read(wanted)
        if len(data) < wanted or last > 8 * (self.length or 0):
            got = f"{min(len(data), (self.length or 0) - first // 8)} bytes, less than expected ({wanted})"
            raise self.damaged(index, got)
        if self.bits == 1:  # frames of single bits need not begin with a byte
            bits = np.unpackbits(np.frombuffer(data, np.uint8), bitorder="little")
            data = np.packbits(bits[first % 8 :][: last - first], bitorder="little").tobytes()
        return data

    def _coded(self, index: int) -> bytes:
        try:
            found = self._found
            pieces = found.items[index]
        except (ValueError, IndexError) as error:
            raise self.damaged(index, "compressed data cut off or damaged") from error
        if found.note:
            self._warn(found.note)
        parts = []
        for piece in pieces:
            self.stream.seek(piece.start)
            parts.append(self.stream.read(piece.length))
        data = without_padding(b"".join(parts))
        why = check_codestream(data, self)
        if why:
            raise self.damaged(index, why)
        return data

    @cached_property
    def _found(self) -> Frames:
        basic, items = read_items(self.stream, self.start)
        extended = value_of(self.header, "ExtendedOffsetTable")
        whole = extended[: len(extended) // 8 * 8] if isinstance(extended, bytes) else b""
        basic = basic[: len(basic) // 4 * 4]
        tables = [np.frombuffer(basic, "<u4").tolist(), np.frombuffer(whole, "<u8").tolist()]
        return find_frames(self.stream, items, self.syntax, self.frames, tables)

    def _warn(self, text: str) -> None:
        said = value_of(self.header, "NumberOfFrames")
        if said == 0:
            _number(self.path, self.header, "NumberOfFrames")  # raises: 0 is one picture, and several contradict it
        warn_once(f"{self.path}: {'NumberOfFrames is missing; ' if said in NO_NUMBER else ''}{text}")

    def damaged(self, index: int, got: str) -> ImageError:
        """The error of a frame that cannot be read."""
        which = f"frame {index} must" if self.frames > 1 else "must"
        fix = "Check the file with another viewer, or export it again"
        return ImageError(self.path, f"{which} be a readable DICOM image", got=got, fix=fix)


def checked_image(path: Path, stream: BinaryIO, opening: Opening) -> DicomFile:
    """Check what the pixels need of the header.

    Args:
        path: the file, for messages.
        stream: the file, open; it must stay so until the last frame is read.
        opening: what :func:`~monai_lesion.images.dicom_headers.read_opening` read of it.

    Raises:
        ImageError: when it is damaged, another kind of object, too large, or contradicts itself.

    Source:
        DICOM PS3.3, C.7.6.3 (Image Pixel); PS3.5, 8.2 and Annex A (transfer syntaxes); PS3.10, 7.1 (preamble).
    """
    with quiet():
        header, syntax, start, length, inflated = opening
        _check_syntax(path, syntax)
        kind = str(value_of(header, "SOPClassUID") or "")
        if kind and kind not in SOP_CLASSES:
            fix = "Other objects and modalities cannot be segmented"
            rule = "must be an ultrasound or secondary capture image"
            raise ImageError(path, rule, got=named(header, "SOPClassUID"), fix=fix)
        if start < 0:
            fix = "Check that the file is whole"
            raise ImageError(path, "must hold an image", got="DICOM without pixel data", fix=fix)
        rows, columns = _number(path, header, "Rows"), _number(path, header, "Columns")
        if rows * columns > limits.MAX_PIXELS:
            got = f"{rows} x {columns}"
            raise ImageError(
                path, f"must have at most {limits.MAX_PIXELS} pixels", got=got, fix="Check the file's header"
            )
        photometric, samples = _colours(path, header)
        bits = _number(path, header, "BitsAllocated")
        stored = _number(path, header, "BitsStored") if value_of(header, "BitsStored") is not None else bits
        if bits not in (1, 8, 16, 32) or stored > bits or (samples == 3 and stored < 8):
            rule = "BitsAllocated must be 1, 8, 16 or 32 and hold BitsStored, in colour at least 8"
            raise ImageError(path, rule, got=f"{bits} and {stored}")
        frames = 1
        if value_of(header, "NumberOfFrames") not in NO_NUMBER:
            frames = _number(path, header, "NumberOfFrames")
        if (length is None) == (syntax in NATIVE):
            rule = "the transfer syntax must be that of the pixel data"
            got = f"{'compressed' if length is None else 'uncompressed'} data under {uid_name(syntax)}"
            raise ImageError(path, rule, got=got, fix="Export the image again")
        source = stream if inflated is None else BytesIO(inflated)
        file = DicomFile(
            path, header, syntax, rows, columns, samples, bits, stored, frames, photometric, start, length, source
        )
        _check_length(file)
        return file


def _check_syntax(path: Path, syntax: str) -> None:
    if syntax not in (*NATIVE, RLE, *JPEG, *JPEG_LS, *JPEG_2000):
        rule = "the transfer syntax must be uncompressed, RLE, JPEG, JPEG-LS or JPEG 2000"
        raise ImageError(path, rule, got=uid_name(syntax), fix="Export the image uncompressed")


def _number(path: Path, header: Any, keyword: str) -> int:
    value = value_of(header, keyword)
    try:
        number = int(value)
    except (TypeError, ValueError, OverflowError):
        number = 0
    if number < 1:
        got = "none" if value is None else number if isinstance(value, int) else named(header, keyword)
        raise ImageError(path, f"{keyword} must be a whole number of at least 1", got=got, fix="Export it again")
    return number


def _colours(path: Path, header: Any) -> tuple[str, int]:
    """Photometric interpretation and samples a pixel, which must agree."""
    photometric = str(value_of(header, "PhotometricInterpretation") or "none").strip()
    if photometric not in (*GREY, "PALETTE COLOR", *COLOUR):
        known = ", ".join([*GREY, "PALETTE COLOR", *COLOUR])
        got = named(header, "PhotometricInterpretation")
        raise ImageError(path, f"the photometric interpretation must be one of {known}", got=got)
    samples, wanted = _number(path, header, "SamplesPerPixel"), 3 if photometric in COLOUR else 1
    if samples != wanted:
        rule = f"{photometric} must have {wanted} sample{'s' if wanted > 1 else ''} per pixel"
        raise ImageError(path, rule, got=f"SamplesPerPixel {samples}", fix="The header contradicts itself")
    return photometric, samples


def _check_length(file: DicomFile) -> None:
    """The frames must fit into the pixel data: a header that lies must not cost time or memory."""
    if file.length is None:
        room = file.stream.seek(0, 2) // 8  # each frame has an item of its own
    else:
        room = max(8 * file.length // file.frame_bits, 1)
        if file.photometric in HALVED and 1.5 <= 8 * file.length / (file.frames * file.frame_bits) < 2:
            rule = "the photometric interpretation must be that of the pixel data"
            raise ImageError(file.path, rule, got=f"{file.photometric} with a number for every colour")
        if value_of(file.header, "NumberOfFrames") == 0 and room > 1:
            _number(file.path, file.header, "NumberOfFrames")  # raises, as above
    if file.frames > room:
        got = f"{file.frames} with room for {room}"
        raise ImageError(file.path, "NumberOfFrames must fit the pixel data", got=got, fix="Export it again")
