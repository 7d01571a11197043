"""One request to the server: the bytes of a picture in, a result out; nothing is written to disk."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from monai_lesion.errors import InputError
from monai_lesion.segmentation.formats import DICOM_ENDINGS
from monai_lesion.segmentation.results import Segmentation
from monai_lesion.segmentation.segmenters import Segmenter

TYPES = {
    "json": "application/json",
    "png": "image/png",
    "dicom-seg": "application/dicom",
    "dicom-sr": "application/dicom",
    "sc": "application/dicom",
}


def answer(
    segmenters: Mapping[str, Segmenter],
    *,
    file: bytes,
    model: str,
    format: str,
    frame: int | None = None,
    mask: bytes | None = None,
) -> tuple[bytes, str]:
    """Segment a picture, or take the reader's mask of it.

    Args:
        segmenters: by the name of their network.
        file: a picture or a DICOM file.
        model: name of the network.
        format: ``"json"``, ``"png"`` (the mask), ``"dicom-seg"``, ``"dicom-sr"`` or ``"sc"``.
        frame: frame of a cine, counted from 0; None for the first.
        mask: a PNG that a reader corrected, white in the lesion; None for the network's.

    Returns:
        The result's bytes and its media type.

    Raises:
        InputError: for an unknown model or format, a file that is no picture, a mask of another size, and a format
            that the picture has no result in.
    """
    if model not in segmenters:
        raise InputError("model", f"must be one of {', '.join(segmenters)}", got=_short(model))
    if format not in TYPES:
        raise InputError("format", f"must be one of {', '.join(TYPES)}", got=_short(format))
    segmenter = segmenters[model]
    found = segmenter(file, frame=frame)
    result = found if isinstance(found, Segmentation) else next(iter(found))
    if mask is not None:
        result = _corrected(result, mask)
    if format == "json":
        return (json.dumps(result.to_dict(), indent=2) + "\n").encode(), TYPES[format]
    if format == "png":
        from PIL import Image

        stream = io.BytesIO()
        Image.fromarray(result.mask * np.uint8(255)).save(stream, "PNG")
        return stream.getvalue(), TYPES[format]
    made = result.dicom_objects([format])[format] if format in DICOM_ENDINGS else None
    if made is None:
        raise InputError(format, "needs a lesion", got="nothing found")
    stream = io.BytesIO()
    made.save_as(stream, enforce_file_format=True)
    return stream.getvalue(), TYPES[format]


def _corrected(result: Segmentation, mask: bytes) -> Segmentation:
    """The result with a reader's mask, which its objects then name as edited."""
    from PIL import Image

    from monai_lesion.images.pictures import FORMATS

    try:
        drawn = np.asarray(Image.open(io.BytesIO(mask), formats=FORMATS).convert("L")) > 127
    except Exception as error:
        raise InputError("mask", "must be a picture", got=type(error).__name__) from error
    if drawn.shape != result.mask.shape:
        got = " x ".join(map(str, drawn.shape))
        raise InputError("mask", f"must have the picture's {' x '.join(map(str, result.mask.shape))} pixels", got=got)
    by = result.algorithm and replace(result.algorithm, settings={**result.algorithm.settings, "edited": "by a reader"})
    return replace(result, mask=drawn.astype(np.uint8), algorithm=by, scores=None, verdict=None)


def _short(text: Any) -> str:
    return repr(str(text)[:40])
