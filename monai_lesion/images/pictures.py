"""PNG, JPEG, BMP and TIFF pictures, and the 8-bit RGB that every picture becomes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from monai_lesion.errors import ImageError

NUMERIC = ("1", "L", "I", "F")  # Pillow's modes of one number a pixel; 16-bit ones begin with "I;16"
LOSSY = ("JPEG", "MPO", "JPEG2000")
_COMMENTS = frozenset((b"eXIf", b"tEXt", b"zTXt", b"iTXt"))  # chunks of a PNG in which Pillow finds Exif data


def reason(error: BaseException) -> str:
    """The line of an error that says most: the last, for ITK puts its source file first."""
    lines = [line for line in str(error).splitlines() if line.strip()]
    return lines[-1].strip() if lines else type(error).__name__


def to_bytes(array: NDArray[Any]) -> NDArray[np.uint8]:
    """Bring numbers of any type to 0-255.

    Whole numbers up to 255 stay, up to 65535 lose their low byte; reals up to 1 are times 255, up to 255 are rounded;
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
        return (array if high <= 255 else array >> 8).astype(np.uint8)
    if low >= 0 and high <= 255:
        return np.asarray(array * (255.0 if high <= 1 else 1.0) + 0.5).astype(np.uint8)
    values = array.astype(np.float64) - float(low)
    return np.asarray(values * (255 / max(float(high) - float(low), 1e-300)) + 0.5).astype(np.uint8)


def to_rgb(array: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """``(H, W)`` or ``(H, W, 3 or 4)`` to ``(H, W, 3)``; opacity says nothing about tissue and is dropped."""
    return np.ascontiguousarray(np.repeat(array[..., None], 3, axis=2) if array.ndim == 2 else array[..., :3])


def _load(file: Path) -> tuple[Any, str]:
    """The picture, turned as viewers turn it by its Exif orientation, and its format."""
    from PIL import Image, ImageOps, UnidentifiedImageError

    rule = "must be a readable picture or DICOM file"
    try:
        with Image.open(file) as picture:
            kind = str(picture.format)
            picture.load()
            ImageOps.exif_transpose(picture, in_place=True)
            return picture, kind
    except UnidentifiedImageError as error:
        raise ImageError(file, rule, got="no known format", fix="Export it again as PNG or DICOM") from error
    except Image.DecompressionBombError as error:
        raise _too_large(file) from error
    except Exception as error:  # Pillow raises many kinds; each means the same to the user
        raise ImageError(file, rule, got=reason(error), fix="Copy or export it again") from error


def _too_large(file: Path) -> ImageError:
    from PIL import Image

    limit = 2 * (Image.MAX_IMAGE_PIXELS or 0)
    return ImageError(file, f"must have at most {limit} pixels", got="more", fix="Crop it to the ultrasound picture")


def read_picture(file: Path) -> NDArray[np.uint8]:
    """Any picture as ``(H, W, 3)`` RGB.

    Raises:
        ImageError: when the file is not a picture, damaged or too large.
    """
    picture, _ = _load(file)
    try:
        if picture.mode.startswith("I") or picture.mode == "F":
            return to_rgb(to_bytes(np.asarray(picture)))
        if picture.mode in ("LA", "PA", "RGBA") or "transparency" in picture.info:
            return to_rgb(np.asarray(picture.convert("RGBA")))
        return np.ascontiguousarray(np.asarray(picture.convert("RGB")))
    except (OSError, ValueError) as error:
        fix = "Export it again as 8-bit RGB or grey"
        raise ImageError(file, "must be convertible to RGB", got=f"{picture.mode}, {reason(error)}", fix=fix) from error


def read_picture_mask(file: Path) -> NDArray[np.bool_]:
    """A mask stored as a picture: ``(H, W)``, True where it is neither black nor transparent.

    Raises:
        ImageError: when the file is not a picture, is stored with loss, or has colours other than the one colour of a
            palette.
    """
    picture, kind = _load(file)
    if kind in LOSSY:
        fix = "Threshold it at half and save it as PNG"
        raise ImageError(file, "a mask must be stored without loss", got=kind, fix=fix)
    if picture.mode in NUMERIC or picture.mode.startswith("I;16"):
        return np.asarray(np.asarray(picture) > 0)
    try:
        pixels = np.asarray(picture.convert("RGBA"))
    except ValueError as error:
        raise ImageError(file, "a mask must be grey", got=picture.mode, fix="Save it with one channel") from error
    shown = pixels[..., :3] * (pixels[..., 3:] > 0)
    lesion = shown.any(axis=2)
    if (shown != shown[..., :1]).any():
        several = picture.mode != "P" or (shown[lesion] != shown[lesion][0]).any()
        if several:
            raise ImageError(file, "a mask must be grey", got="colours", fix="Save the mask with one channel")
    return np.asarray(lesion)


def picture_size(file: Path, *, whole: bool = False) -> tuple[int, int]:
    """Rows and columns of :func:`read_picture`, from the header unless a comment in it may say "turned".

    Args:
        file: the picture.
        whole: also refuse a PNG that was cut off.

    Raises:
        ImageError: when the file is not a picture, too large or, with ``whole``, cut off.
    """
    from PIL import ExifTags, Image, UnidentifiedImageError

    try:
        with Image.open(file) as picture:
            columns, rows = picture.size
            chunks = _png_chunks(file) if picture.format == "PNG" else [b"IEND"]
            # Pillow turns the size of a TIFF itself, and decodes all of a PNG to look for Exif data.
            comments = picture.format != "TIFF" if picture.format != "PNG" else not _COMMENTS.isdisjoint(chunks)
            turned = comments and picture.getexif().get(ExifTags.Base.Orientation, 1) >= 5
    except UnidentifiedImageError as error:
        raise ImageError(file, "must be a readable picture or DICOM file", got="no known format") from error
    except Image.DecompressionBombError as error:
        raise _too_large(file) from error
    except Exception as error:  # as in _load
        raise ImageError(file, "must be a readable picture", got=reason(error)) from error
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
