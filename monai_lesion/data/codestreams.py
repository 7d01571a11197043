"""What compressed pixel data says of itself, checked before a decoder takes memory for it or reads beyond its end."""

from __future__ import annotations

from typing import Protocol

FRAME_STARTS = frozenset((*range(0xC0, 0xD0), 0xF7)) - {0xC4, 0xC8, 0xCC}  # SOF markers of JPEG and JPEG-LS
JPEG_2000_START = b"\xff\x4f\xff\x51"
END = b"\xff\xd9"  # of all three
RLE_EXPANSION = 64  # two bytes become 128 at most


class Frame(Protocol):
    """What the header says."""

    @property
    def syntax(self) -> str:
        """UID of the transfer syntax."""

    @property
    def rows(self) -> int:
        """Of the frame."""

    @property
    def columns(self) -> int:
        """Of the frame."""

    @property
    def samples(self) -> int:
        """Numbers a pixel."""

    @property
    def frame_bits(self) -> int:
        """Size of the decoded frame."""


def check_codestream(data: bytes, frame: Frame) -> str:
    """Why the data cannot be the frame that the header tells of; empty when it can.

    A decoder trusts the size in the data, not the header's; and some give half a picture of half a file.

    Args:
        data: one compressed frame.
        frame: what the header says of it.

    Source:
        ITU-T T.81, B.2.2 (JPEG); T.87, C.2.2 (JPEG-LS); T.800, A.5.1 (JPEG 2000); DICOM PS3.5, Annex G (RLE).
    """
    if frame.syntax == "1.2.840.10008.1.2.5":
        short = len(data) * 8 * RLE_EXPANSION < frame.frame_bits or len(data) < 64
        return "compressed data cut off" if short else ""
    jpeg_2000 = frame.syntax.startswith(("1.2.840.10008.1.2.4.9", "1.2.840.10008.1.2.4.2"))
    size = _jpeg_2000_size(data) if jpeg_2000 else _jpeg_size(data)
    if size is None:
        return f"data that is not {'JPEG 2000' if jpeg_2000 else 'JPEG'}, or has no size"
    if size != (frame.rows, frame.columns, frame.samples):
        return f"data of {size[0]} x {size[1]} x {size[2]} where the header says " + (
            f"{frame.rows} x {frame.columns} x {frame.samples}"
        )
    return "" if END in data[-64:] else "compressed data cut off"


def _jpeg_size(data: bytes) -> tuple[int, int, int] | None:
    """Rows, columns and samples of a JPEG or JPEG-LS.

    Example:
        >>> _jpeg_size(bytes.fromhex("ffd8 ffe0 0002 ffc0 000b 08 0014 001e 03"))
        (20, 30, 3)
    """
    at = 2
    if data[:2] != b"\xff\xd8":
        return None
    while at + 10 <= len(data) and data[at] == 0xFF:
        if data[at + 1] == 0xFF:  # a filler
            at += 1
        elif data[at + 1] in FRAME_STARTS:
            return (
                int.from_bytes(data[at + 5 : at + 7], "big"),
                int.from_bytes(data[at + 7 : at + 9], "big"),
                data[at + 9],
            )
        else:
            at += 2 + int.from_bytes(data[at + 2 : at + 4], "big")
    return None


def _jpeg_2000_size(data: bytes) -> tuple[int, int, int] | None:
    """Rows, columns and samples of a code stream, or of one in a box."""
    at = data.find(JPEG_2000_START, 0, 4096)
    if at < 0 or len(data) < at + 42:
        return None
    right, bottom, left, top = (int.from_bytes(data[at + 8 + 4 * i : at + 12 + 4 * i], "big") for i in range(4))
    return bottom - top, right - left, int.from_bytes(data[at + 40 : at + 42], "big")
