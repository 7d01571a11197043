"""What compressed pixel data says of itself, checked before a decoder takes memory for it or reads beyond its end."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

FRAME_STARTS = frozenset((*range(0xC0, 0xD0), 0xF7)) - {0xC4, 0xC8, 0xCC}  # SOF markers of JPEG and JPEG-LS
JPEG_2000_START = b"\xff\x4f\xff\x51"
RLE = "1.2.840.10008.1.2.5"
JPEG_LS_ENDS = (".80", ".81")  # of its transfer syntaxes
JP2_START = b"\0\0\0\x0cjP  "  # of a JPEG 2000 in its box
RLE_HEADER = 64  # bytes; the first segment follows it
END = b"\xff\xd9"  # of all three
SCAN_START, RESTART_INTERVAL, PROGRESSIVE = 0xDA, 0xDD, (0xC2, 0xC6, 0xCA, 0xCE)
CODE_STARTS = b"\xff\xda", b"\xff\x93"  # of JPEG's scans and JPEG 2000's tiles
JFIF, ADOBE = 0xE0, 0xEE  # markers whose segments tell the colours
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
    if frame.syntax == RLE:
        short = len(data) * 8 * RLE_EXPANSION < frame.frame_bits or len(data) < 64
        return "compressed data cut off" if short else ""
    jpeg_2000 = _is_jpeg_2000(frame.syntax)
    size = _jpeg_2000_size(data) if jpeg_2000 else _jpeg_size(data)
    if size is None:
        return f"data that is not {'JPEG 2000' if jpeg_2000 else 'JPEG'}, or has no size"
    if size != (frame.rows, frame.columns, frame.samples):
        return f"data of {size[0]} x {size[1]} x {size[2]} where the header says " + (
            f"{frame.rows} x {frame.columns} x {frame.samples}"
        )
    lenient = not jpeg_2000 and not frame.syntax.endswith(JPEG_LS_ENDS)  # their decoders need the end
    return "" if has_end(data) or (lenient and endings(data)) else "compressed data cut off"


def begins(data: bytes, syntax: str) -> bool:
    r"""Whether data is the beginning of a compressed frame, and not the rest of one.

    Example:
        >>> begins(b"\xff\xd8\xff\xe0", "1.2.840.10008.1.2.4.50"), begins(b"\x12\x34\x56\x78", "1.2.840.10008.1.2.4.50")
        (True, False)
    """
    if syntax == RLE:
        segments, first = (int.from_bytes(data[place : place + 4], "little") for place in (0, 4))
        return 1 <= segments <= 15 and first == RLE_HEADER
    return data.startswith((JPEG_2000_START, JP2_START) if _is_jpeg_2000(syntax) else b"\xff\xd8")


def without_padding(data: bytes) -> bytes:
    """A code stream up to its end, however it is padded; as it is where its end is not marked.

    Within a scan or a tile the byte FF is followed by 8F at most or a restart, so what looks like an end is one; before
    them, in a preview for instance, it need not be.

    Source:
        ITU-T T.81, B.1.1.5; T.87, A.1; T.800, B.10.1.

    Example:
        >>> without_padding(bytes.fromhex("ffd8 ffda 1234 ffd9 0000 0000")).hex()
        'ffd8ffda1234ffd9'
    """
    end = data.rfind(END)
    return data[: end + 2] if end > max(map(data.rfind, CODE_STARTS)) else data


def has_end(data: bytes) -> bool:
    """Whether data ends with its end marker; some scanners leave it out."""
    return data.endswith(END)


def stored_colours(data: bytes) -> str:
    """How a JPEG of three components says that it holds its colours: ``"YBR"``, ``"RGB"``, or nothing.

    Components that are halved are luminance and colour differences: red, green and blue cannot be. Otherwise the marker
    of an encoder counts, then the names of the components.

    Source:
        ITU-T T.81, B.2.2; T.871 (JFIF), clause 7; T.872, 6.5.3 (Adobe); the same order as libjpeg's, but for the first.
    """
    jfif, adobe = False, ""
    for marker, start, end in _segments(data):
        segment = data[start + 4 : end]
        if marker == JFIF and segment.startswith(b"JFIF"):
            jfif = True
        elif marker == ADOBE and segment.startswith(b"Adobe") and len(segment) >= 12:
            adobe = "YBR" if segment[11] else "RGB"
        elif marker in FRAME_STARTS and len(segment) >= 15:
            if len(set(segment[7:15:3])) > 1:
                return "YBR"
            return "YBR" if jfif else adobe or ("RGB" if segment[6:15:3] == b"RGB" else "")
    return ""


def misleads(data: bytes) -> bool:
    """Whether a JPEG's marker, or the names of its components, may let decoders take any colours for RGB."""
    frames = (data[start + 10 : end : 3] for marker, start, end in _segments(data) if marker in FRAME_STARTS)
    return b"Adobe" in data or any(names[:3] == b"RGB" for names in frames)


def with_colours(data: bytes, colours: str) -> bytes:
    """A JPEG whose only marker of colours says ``"YBR"`` or ``"RGB"``, so that every decoder reads it so."""
    kept, at = [data[:2], b"\xff\xee\0\x0eAdobe\0\x64\0\0\0\0", b"\1" if colours == "YBR" else b"\0"], 2
    for marker, start, end in _segments(data):
        if marker in (JFIF, ADOBE):
            kept.append(data[at:start])
            at = end
    return b"".join([*kept, data[at:]])


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


def _is_jpeg_2000(syntax: str) -> bool:
    return syntax.startswith(("1.2.840.10008.1.2.4.9", "1.2.840.10008.1.2.4.2"))


def _jpeg_size(data: bytes) -> tuple[int, int, int] | None:
    """Rows, columns and samples of a JPEG or JPEG-LS.

    Example:
        >>> _jpeg_size(bytes.fromhex("ffd8 ffe0 0002 ffc0 000b 08 0014 001e 03"))
        (20, 30, 3)
    """
    for marker, start, end in _segments(data):
        if marker in FRAME_STARTS and min(end, len(data)) >= start + 10:
            rows, columns = (int.from_bytes(data[start + place : start + place + 2], "big") for place in (5, 7))
            return rows, columns, data[start + 9]
    return None


def _segments(data: bytes) -> Iterator[tuple[int, int, int]]:
    """The marker segments of a JPEG before its first scan: marker, where it begins and where it ends."""
    at = 2
    while data[:2] == b"\xff\xd8" and at + 4 <= len(data) and data[at] == 0xFF and data[at + 1] != SCAN_START:
        if data[at + 1] == 0xFF:  # a filler
            at += 1
            continue
        end = at + 2 + max(int.from_bytes(data[at + 2 : at + 4], "big"), 2)
        yield data[at + 1], at, end
        at = end


def _jpeg_2000_size(data: bytes) -> tuple[int, int, int] | None:
    """Rows, columns and samples of a code stream, or of one in a box."""
    at = data.find(JPEG_2000_START, 0, 4096)
    if at < 0 or len(data) < at + 42:
        return None
    right, bottom, left, top = (int.from_bytes(data[at + 8 + 4 * i : at + 12 + 4 * i], "big") for i in range(4))
    return bottom - top, right - left, int.from_bytes(data[at + 40 : at + 42], "big")
