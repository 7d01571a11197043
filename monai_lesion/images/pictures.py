"""PNG, JPEG, BMP and TIFF pictures, and the 8-bit RGB that every picture becomes."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from monai_lesion.errors import ImageError
from monai_lesion.images import limits
from monai_lesion.images.silence import quiet

logger = logging.getLogger(__name__)

# What Pillow may take a file for, whatever its name: of its other readers one hands PostScript to Ghostscript.
FORMATS = ("PNG", "JPEG", "BMP", "TIFF", "WEBP")
DEPTHS = (8, 10, 12, 14)  # bits that scanners store greys in
PHOTOMETRIC, WHITE_IS_ZERO = 262, 0  # the tag of a TIFF, and its value for a negative
NUMERIC = ("1", "L", "I", "F")  # Pillow's modes of one number a pixel; 16-bit ones begin with "I;16"
DEEP = ("PNG", "TIFF")  # formats with colours of 16 bits
# Of numbers in the other order of bytes, what Pillow takes for the high byte is the low one.
LOW_BYTES = {"RGB;16B": "RGB;16L", "RGB;16L": "RGB;16B", "RGBA;16B": "RGBA;16L", "RGBA;16L": "RGBA;16B"}
LOSSY = ("JPEG", "MPO", "WEBP")
_COMMENTS = frozenset((b"eXIf", b"tEXt", b"zTXt", b"iTXt"))  # chunks of a PNG in which Pillow finds Exif data


def reason(error: BaseException) -> str:
    """The line of an error that says most: the last, for ITK puts its source file first."""
    lines = [line for line in str(error).splitlines() if line.strip()]
    return lines[-1].strip() if lines else type(error).__name__


def depth_of(highest: int, bits: int = 16) -> int:
    """How many bits pictures with this highest number use: the least depth that holds it, or all of ``bits``.

    A scanner's 12 bits in a file of 16 would be black if the file's range counted.

    Args:
        highest: highest number of the picture, at least 0.
        bits: bits of the file.

    Example:
        >>> [depth_of(highest) for highest in (200, 1000, 4095, 16384, 65535)]
        [8, 10, 12, 16, 16]
    """
    return next((depth for depth in DEPTHS if depth < bits and highest < 2**depth), bits)


def to_bytes(array: NDArray[Any]) -> NDArray[np.uint8]:
    """Bring numbers of any type to 0-255.

    Whole numbers up to 255 stay; larger ones, up to 65535, lose the low bits of the depth that they use
    (:func:`depth_of`); reals up to 1 are times 255, up to 255 are rounded;
    anything else is stretched from its minimum to its maximum.

    Raises:
        ValueError: for values that are not finite.

    Example:
        >>> to_bytes(np.array([0, 256, 65535], np.uint16)), to_bytes(np.array([0.0, 0.5, 1.0]))
        (array([  0,   1, 255], dtype=uint8), array([  0, 128, 255], dtype=uint8))
    """
    if array.dtype == np.uint8 or array.size == 0:
        return array.astype(np.uint8, copy=False)
    if array.dtype == np.bool_:
        return array.astype(np.uint8) * np.uint8(255)
    low, high = array.min(), array.max()
    if not (np.isfinite(low) and np.isfinite(high)):
        raise ValueError("values that are not finite")
    if array.dtype.kind in "iu" and low >= 0 and high <= 65535:
        return np.asarray(array >> (depth_of(int(high)) - 8)).astype(np.uint8)
    if low >= 0 and high <= 255:
        return np.asarray(array * (255.0 if high <= 1 else 1.0) + 0.5).astype(np.uint8)
    values = array.astype(np.float64) - float(low)
    return np.asarray(values * (255 / max(float(high) - float(low), 1e-300)) + 0.5).astype(np.uint8)


def to_rgb(array: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """``(H, W)`` or ``(H, W, 3 or 4)`` to ``(H, W, 3)``; opacity says nothing about tissue and is dropped."""
    if array.ndim == 3:
        return np.ascontiguousarray(array[..., :3])
    rgb = np.empty((*array.shape, 3), np.uint8)
    for channel in range(3):  # in a third of the time of repeat
        rgb[..., channel] = array
    return rgb


def _load(file: Path, content: bytes | None = None) -> tuple[Any, str]:
    """The picture, turned as viewers turn it by its Exif orientation, and its format."""
    from PIL import ImageOps

    with _opened(file, content) as picture:
        kind = str(picture.format)
        picture.load()
        ImageOps.exif_transpose(picture, in_place=True)
        return picture, kind


@contextmanager
def _opened(file: Path, content: bytes | None = None) -> Iterator[Any]:
    """A picture of a format and a size that we take, with one kind of error for whatever Pillow raises."""
    from PIL import Image, UnidentifiedImageError

    rule = "must be a readable picture or DICOM file"
    most = min(limits.MAX_PIXELS, 2 * (Image.MAX_IMAGE_PIXELS or limits.MAX_PIXELS))
    try:
        with quiet(), Image.open(file if content is None else BytesIO(content), formats=FORMATS) as picture:
            if picture.width * picture.height > most:
                raise Image.DecompressionBombError
            yield picture
    except UnidentifiedImageError as error:
        fix = "Export it again as PNG or DICOM"
        raise ImageError(file, rule, got="no known format", fix=fix) from error
    except Image.DecompressionBombError as error:
        fix = "Crop it to the ultrasound picture"
        raise ImageError(file, f"must have at most {most} pixels", got="more", fix=fix) from error
    except ImageError:
        raise
    except Exception as error:  # Pillow raises many kinds; each means the same to the user
        raise ImageError(file, rule, got=reason(error), fix="Copy or export it again") from error


def forbid_postscript() -> None:
    """Keep Pillow from calling Ghostscript in this process, where code that is not ours opens pictures too."""
    from PIL import EpsImagePlugin

    EpsImagePlugin.gs_binary = False


def read_picture(file: Path, content: bytes | None = None) -> NDArray[np.uint8]:
    """Any picture as ``(H, W, 3)`` RGB.

    Args:
        file: the picture.
        content: its bytes, where they are in memory; ``file`` is their name for messages then.

    Raises:
        ImageError: when the file is not a picture, damaged or too large.
    """
    picture, kind = _load(file, content)
    pixels = _pixels(picture, file)
    if picture.mode.startswith(("I", "F")) and getattr(picture, "tag_v2", {}).get(PHOTOMETRIC) == WHITE_IS_ZERO:
        return 255 - pixels  # of 8 bits Pillow turns a negative round itself
    deep = kind in DEEP and not picture.mode.startswith(("I", "F"))
    return _from_low_bits(file, content, pixels) if deep and pixels.max(initial=0) < 2 ** (DEPTHS[-1] - 8) else pixels


def pixels_of(picture: Any, name: str) -> NDArray[np.uint8]:
    """A picture of Pillow as ``(H, W, 3)`` RGB, turned as its Exif orientation says.

    Args:
        picture: ``PIL.Image.Image``.
        name: what messages call it.

    Raises:
        ImageError: when it cannot be decoded, or is of a mode that is no picture.
    """
    from PIL import ImageOps

    try:
        with quiet():
            turned = ImageOps.exif_transpose(picture)
    except Exception as error:  # as in _load
        rule = "must be a readable picture"
        raise ImageError(name, rule, got=reason(error), fix="Copy or export it again") from error
    return _pixels(turned, name)


def _pixels(picture: Any, file: str | Path) -> NDArray[np.uint8]:
    try:
        if picture.mode.startswith("I") or picture.mode == "F":
            values = np.asarray(picture)
            if values.dtype.kind in "iu" and values.size and values.min() >= 0 and 255 < values.max() <= 65535:
                _say_depth(file, depth_of(int(values.max())))
            return to_rgb(to_bytes(values))
        if picture.mode in ("LA", "PA", "RGBA") or "transparency" in picture.info:
            return to_rgb(np.asarray(picture.convert("RGBA")))
        if picture.mode == "L":
            return to_rgb(np.asarray(picture))
        return np.ascontiguousarray(np.asarray(picture.convert("RGB")))
    except (OSError, ValueError) as error:
        fix = "Export it again as 8-bit RGB or grey"
        raise ImageError(file, "must be convertible to RGB", got=f"{picture.mode}, {reason(error)}", fix=fix) from error


def _from_low_bits(file: Path, content: bytes | None, high: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """A dark colour picture of 16 bits, of which Pillow gives the high bytes alone: both bytes in the bits they use.

    Args:
        file: the picture.
        content: its bytes, where they are in memory.
        high: what Pillow gave, which stays where the file has 8 bits.
    """
    from PIL import ImageOps

    with _opened(file, content) as picture:
        if not any(";16" in _raw_mode(each) for each in picture.tile):
            return high
        if any(_raw_mode(each) not in LOW_BYTES for each in picture.tile):
            rule, fix = "colours of 16 bits must use them all", "Save it as 8-bit RGB"
            raise ImageError(file, rule, got=f"{8 + int(high.max()).bit_length()} bits", fix=fix)
        picture.tile = [_low_bytes(each) for each in picture.tile]
        picture.load()
        ImageOps.exif_transpose(picture, in_place=True)
        low = to_rgb(np.asarray(picture))
    values = high.astype(np.uint16) * 256 + low
    _say_depth(file, depth_of(int(values.max(initial=0))))
    return to_bytes(values)


def _raw_mode(tile: Any) -> str:
    """How Pillow unpacks a part of a picture."""
    return str(tile.args[0] if isinstance(tile.args, tuple) else tile.args)


def _low_bytes(tile: Any) -> Any:
    """The same part, of which Pillow shall unpack the low bytes."""
    other = LOW_BYTES[_raw_mode(tile)]
    return tile._replace(args=(other, *tile.args[1:]) if isinstance(tile.args, tuple) else other)


def _say_depth(file: str | Path, depth: int) -> None:
    if depth < 16:
        logger.warning("%s: of 16 bits the values use %d, and these are shown", file, depth)


def read_picture_mask(file: Path, *, lossy: bool = False) -> NDArray[Any]:
    """The values of a mask stored as a picture: ``(H, W)``, 0 where it is black or transparent.

    Args:
        file: the picture.
        lossy: whether it may be stored with loss, so that its values are only near those that were meant.

    Raises:
        ImageError: when the file is not a picture, is stored with loss, has several colours, or is drawn by opacity
            alone.
    """
    picture, kind = _load(file)
    if kind in LOSSY:
        if lossy:
            return np.asarray(picture.convert("L"))
        fix = "Make its manifest with --threshold 128, or save it as PNG"
        raise ImageError(file, "a mask must be stored without loss", got=kind, fix=fix)
    if picture.mode in NUMERIC or picture.mode.startswith("I;16"):
        array = np.asarray(picture)
        return array.astype(np.uint8) if array.dtype == np.bool_ else array
    try:
        pixels = np.asarray(picture.convert("RGBA"))
    except ValueError as error:
        raise ImageError(file, "a mask must be grey", got=picture.mode, fix="Save it with one channel") from error
    shown = pixels[..., :3] * (pixels[..., 3:] > 0)
    lesion = shown.any(axis=2)
    if (shown != shown[..., :1]).any() and (shown[lesion] != shown[lesion][0]).any():
        fix = "Save the mask with one channel, or in one colour on black"
        raise ImageError(file, "a mask must be grey", got="colours", fix=fix)
    opaque = pixels[..., 3] > 0
    if not lesion.any() and opaque.any() and not opaque.all():
        fix = "Save its opacity as a grey picture, or draw the lesion in white"
        raise ImageError(file, "a mask must be drawn in grey", got="black of differing opacity", fix=fix)
    return np.asarray(shown.max(axis=2))  # of one colour or of greys


def picture_size(file: Path, *, whole: bool = False) -> tuple[int, int]:
    """Rows and columns of :func:`read_picture`, from the header unless a comment in it may say "turned".

    Args:
        file: the picture.
        whole: also refuse a PNG that was cut off.

    Raises:
        ImageError: when the file is not a picture, too large or, with ``whole``, cut off.
    """
    from PIL import ExifTags

    with _opened(file) as picture:
        columns, rows = picture.size
        chunks = _png_chunks(file) if picture.format == "PNG" else [b"IEND"]
        # Pillow turns the size of a TIFF itself, and decodes all of a PNG to look for Exif data.
        comments = picture.format != "TIFF" if picture.format != "PNG" else not _COMMENTS.isdisjoint(chunks)
        turned = comments and picture.getexif().get(ExifTags.Base.Orientation, 1) >= 5
    if whole and chunks[-1] != b"IEND":
        read_picture(file)  # decides: without its last chunk alone, a PNG can still be read
    return (columns, rows) if turned else (rows, columns)


def _png_chunks(file: Path) -> list[bytes]:
    """The names of the chunks of a PNG up to its end, or up to the first that is cut off."""
    names, size = [b""], file.stat().st_size
    with file.open("rb") as stream:
        stream.seek(8)
        while names[-1] != b"IEND":
            header = stream.read(8)
            end = stream.tell() + int.from_bytes(header[:4], "big") + 4
            if len(header) < 8 or end > size:
                break
            names.append(header[4:])
            stream.seek(end)
    return names
