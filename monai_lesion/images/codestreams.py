"""What compressed pixel data says of itself, checked before a decoder takes memory for it or reads beyond its end."""

from __future__ import annotations

from typing import Protocol

FRAME_STARTS = frozenset((*range(0xC0, 0xD0), 0xF7)) - {0xC4, 0xC8, 0xCC}  # SOF markers of JPEG and JPEG-LS
JPEG_2000_START = b"\xff\x4f\xff\x51"
JPEG_LS_ENDS = (".80", ".81")  # of its transfer syntaxes
END = b"\xff\xd9"  # of all three
SCAN_START, RESTART_INTERVAL, PROGRESSIVE = 0xDA, 0xDD, (0xC2, 0xC6, 0xCA, 0xCE)
FILLERS = (b"\0" * 256, b"\x55" * 256, b"\xaa" * 256)  # whose first bits differ
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
    """Say why the data cannot be the frame that the header describes; empty when they can.

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
    lenient = not jpeg_2000 and not frame.syntax.endswith(JPEG_LS_ENDS)  # their decoders need the end
    return "" if has_end(data) or (lenient and endings(data)) else "compressed data cut off"


def has_end(data: bytes) -> bool:
    """Whether the end is marked; some scanners leave the marker out."""
    return END in data[-64:]


def endings(data: bytes) -> list[bytes]:
    """A JPEG without an end, ended in several ways: the picture is whole when all of them give the same pixels.

    Decoders fill up what is missing, and do not say so. But what comes behind a complete scan changes no pixel, and
    what comes behind one that was cut off does, for it is decoded as the rest. Zeros at the end are left out: they may
    be padding, which would be decoded too.

    Returns:
        None of them where this cannot tell: when a scan is still to come, and in data with restart markers or
        progressive data, which may be cut off between two parts that are complete.

    Source:
        ITU-T T.81, B.2.1, F.2.2.5 and annex G.

    Example:
        >>> frame, scan = "ffd8 ffc0 000b 08 0014 001e 01 01 1100", "ffda 0008 01 01 00 00 3f 00 7f"
        >>> len(endings(bytes.fromhex(frame + scan))), endings(bytes.fromhex(frame))
        (3, [])
    """
    missing: set[int] = set()
    at = 2
    while at + 4 <= len(data):
        at = data.find(b"\xff", at)
        if at < 0 or at + 4 > len(data):
            break
        marker, size = data[at + 1], int.from_bytes(data[at + 2 : at + 4], "big")
        segment = data[at + 4 : at + 2 + size]
        if marker in (0x00, 0xFF) or 0xD0 <= marker <= 0xD8:  # within a scan, or a filler
            at += 1 if marker == 0xFF else 2
            continue
        if marker in PROGRESSIVE or (marker == RESTART_INTERVAL and any(segment)):
            return []
        if marker in FRAME_STARTS and len(segment) >= 6:
            missing = set(segment[6::3])
        elif marker == SCAN_START and segment:
            missing -= set(segment[1 : 1 + 2 * segment[0] : 2])
            if not missing:
                scans = data.rstrip(b"\0")
                scans += b"\0" if scans.endswith(b"\xff") else b""  # which stands for the byte FF
                return [scans + filler + END for filler in FILLERS]
        at += 2 + size
    return []


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
