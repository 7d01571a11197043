"""From the numbers that a DICOM file stores to 8-bit grey: their bits found, rescaled and windowed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from monai_lesion.images.dicom_headers import value_of
from monai_lesion.images.pictures import DEPTHS, depth_of

RESCALE, WINDOW = ("RescaleSlope", "RescaleIntercept"), ("WindowCenter", "WindowWidth")
OVERLAYS = range(0x6000, 0x6020, 2)  # groups that may keep a drawing in bits that the picture leaves


class Stored(NamedTuple):
    """The numbers of a frame.

    Args:
        values: the numbers, their lowest bit in place.
        bits: how many bits they have.
        note: what was wrong with the header, and what was done instead; empty when all is well.
    """

    values: NDArray[Any]
    bits: int
    note: str = ""


class Shown(NamedTuple):
    """Numbers on the way to grey, with those that are black and white."""

    values: NDArray[Any]
    low: float
    high: float


def stored_values(header: Any, array: NDArray[Any], bits: int) -> Stored:
    """Take the numbers out of the words that hold them.

    Where the header contradicts the numbers, the bits that are there count.

    Args:
        header: of the file.
        array: words as they are stored uncompressed, 8, 16 or 32 bits each.
        bits: BitsStored.

    Source:
        DICOM PS3.5, 8.1.1 (HighBit); PS3.3, C.9.2 (overlays in unused bits, retired).
    """
    word = 8 * array.dtype.itemsize
    signed = array.dtype.kind == "i"
    words = array.view(f"u{array.dtype.itemsize}") if signed else array
    high = _whole(header, "HighBit", bits - 1)
    shift = high + 1 - bits if bits - 1 <= high < word else 0
    overlay = any((group, 0x0102) in header for group in OVERLAYS)
    note = ""
    if shift and not overlay and not (words >> shift).any() and words.any():
        shift, note = 0, "HighBit is wrong: the values lie in the lowest bits"
    words = words >> shift
    highest = int(words.max(initial=0))
    if not signed and not overlay and highest >> bits:
        if int(words.min()) >> bits == highest >> bits:
            note = "the bits above HighBit are the same in all pixels, and are left out"
        else:
            bits, note = highest.bit_length(), f"BitsStored is wrong: values have {highest.bit_length()} bits"
    words = words & (2**bits - 1)
    if not signed:
        return Stored(words, bits, note)
    signs = words.astype(np.int64)
    return Stored(np.where(signs >> (bits - 1) & 1, signs - 2**bits, signs).astype(array.dtype), bits, note)


def used_bits(stored: Stored) -> int:
    """How many bits the numbers use where the header names no depth but that of the words; else the header's."""
    full = stored.bits == 16 and stored.values.dtype.kind == "u"
    return depth_of(int(stored.values.max(initial=0))) if full else stored.bits


def to_grey(header: Any, stored: Stored) -> tuple[NDArray[np.uint8], str]:
    """Rescale and window as the header says, then the full range to 0-255.

    Without a window or table, the range is that of the bits which the values use, where the header names no depth but
    that of the words. A rescale, table or window that is damaged or leaves nothing to see is left out.

    Args:
        header: of the file.
        stored: the frame's numbers.

    Returns:
        Grey values, and what was left out; empty when nothing was.

    Source:
        DICOM PS3.3, C.11.1 (Modality LUT) and C.11.2 (VOI LUT): a window's output spans what its input can span.
    """
    part, notes = _part(header, stored), []
    shown, applied = Shown(stored.values, *_ends(stored)), set()
    for name, keywords, step in STEPS:
        if not any(value_of(part, keyword) not in (None, "") for keyword in keywords):
            continue
        found = _attempt(step, part, shown)
        if found is not None:
            shown = found
            applied.add(name)
        else:
            notes.append(f"the {name} shows nothing and is left out")
        if found is None or name == "table of grey values":  # where there is a table, it counts and not the window
            for keyword in keywords if found is None else WINDOW:
                part.pop(keyword, None)
    used, ends = _used(stored)
    if applied <= {"rescale"} and ends != _ends(stored) and not part.get("ModalityLUTSequence"):
        shown = Shown(stored.values, *ends)
        shown = _modality(part, shown) if applied else shown
        notes.append(f"of {stored.bits} bits the values use {used}, and these are shown")
    values, low, high = shown
    grey = (np.asarray(values, np.float64) - low) / (high - low)
    return np.asarray(np.clip(grey, 0, 1) * 255 + 0.5).astype(np.uint8), "; ".join(notes)


def _attempt(step: Callable[[Any, Shown], Shown], part: Any, shown: Shown) -> Shown | None:
    """What a step makes of the values; None when it fails or leaves one single grey."""
    try:
        found = step(part, shown)
        values = np.asarray(found.values, np.float64)
        useful = np.isfinite([found.low, found.high]).all() and found.low < found.high and np.isfinite(values).all()
    except Exception:  # pydicom raises many kinds, and its converters too
        return None
    inside = np.clip(values, found.low, found.high)
    empty = np.ptp(inside) == 0 and np.ptp(np.asarray(shown.values)) > 0
    return found if useful and not empty else None


def _modality(part: Any, shown: Shown) -> Shown:
    try:
        from pydicom.pixels import apply_modality_lut
    except ImportError:  # pydicom 2
        from pydicom.pixel_data_handlers.util import apply_modality_lut
    if part.get("ModalityLUTSequence"):
        ends = 0.0, _highest(part.ModalityLUTSequence)
    else:
        one, other = (end * float(part.RescaleSlope) + float(part.RescaleIntercept) for end in shown[1:])
        ends = min(one, other), max(one, other)
    return Shown(apply_modality_lut(shown.values, part), *ends)


def _table(part: Any, shown: Shown) -> Shown:
    try:
        from pydicom.pixels import apply_voi
    except ImportError:  # pydicom 2
        from pydicom.pixel_data_handlers.util import apply_voi
    return Shown(apply_voi(shown.values, part), 0.0, _highest(part.VOILUTSequence))


def _window(part: Any, shown: Shown) -> Shown:
    """The first window of some width."""
    try:
        from pydicom.pixels import apply_windowing
    except ImportError:  # pydicom 2
        from pydicom.pixel_data_handlers.util import apply_windowing
    centres, widths = (np.atleast_1d(np.asarray(part[keyword].value, np.float64)) for keyword in WINDOW)
    least = 1.0 if str(part.get("VOILUTFunction") or "LINEAR").upper() == "LINEAR" else np.finfo(float).tiny
    usable = [pair for pair in zip(centres, widths, strict=False) if np.isfinite(pair).all() and pair[1] >= least]
    part.WindowCenter, part.WindowWidth = map(float, usable[0])
    return Shown(apply_windowing(shown.values, part), shown.low, shown.high)


# In the order in which they are applied.
STEPS: tuple[tuple[str, tuple[str, ...], Callable[[Any, Shown], Shown]], ...] = (
    ("rescale", (*RESCALE, "ModalityLUTSequence"), _modality),
    ("table of grey values", ("VOILUTSequence",), _table),
    ("window", WINDOW, _window),
)


def _used(stored: Stored) -> tuple[int, tuple[float, float]]:
    """How many bits the numbers use, and the least and the greatest that these can hold; see :func:`used_bits`."""
    if stored.values.dtype.kind == "u":
        used = used_bits(stored)
        return used, (0.0, float(2**used - 1))
    least, greatest = int(stored.values.min(initial=0)), int(stored.values.max(initial=0))
    used = depth_of(greatest, 15) if least >= 0 else depth_of(2 * max(greatest, -least - 1) + 1)
    if stored.bits < 16 or used > DEPTHS[-1]:
        return stored.bits, _ends(stored)
    return used, (0.0, 2.0**used - 1) if least >= 0 else (-(2.0 ** (used - 1)), 2.0 ** (used - 1) - 1)


def _ends(stored: Stored) -> tuple[float, float]:
    """The least and the greatest that the numbers can be."""
    if stored.values.dtype.kind == "i":
        return float(-(2 ** (stored.bits - 1))), float(2 ** (stored.bits - 1) - 1)
    return 0.0, float(2**stored.bits - 1)


def _highest(sequence: Any) -> float:
    """The highest entry that the table of a sequence can have."""
    return float(2 ** int(sequence[0].LUTDescriptor[2]) - 1)


def _part(header: Any, stored: Stored) -> Any:
    """What pydicom needs of the header, with the bits that are there."""
    from pydicom import Dataset

    part = Dataset()
    for keyword in (*RESCALE, *WINDOW, "VOILUTFunction", "ModalityLUTSequence", "VOILUTSequence"):
        if keyword in header and value_of(header, keyword) is not None:
            part[keyword] = header[keyword]
    part.PhotometricInterpretation = "MONOCHROME2"  # whichever of the two: the caller inverts
    part.BitsAllocated, part.BitsStored = 8 * stored.values.dtype.itemsize, stored.bits
    part.PixelRepresentation = int(stored.values.dtype.kind == "i")
    return part


def _whole(header: Any, keyword: str, default: int) -> int:
    try:
        return int(value_of(header, keyword))
    except (TypeError, ValueError, OverflowError):
        return default
