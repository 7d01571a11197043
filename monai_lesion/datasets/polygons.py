"""Outlines drawn in LabelMe, or listed in COCO's format, as masks."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from monai_lesion.errors import InputError
from monai_lesion.files import no_file, read_object

Mask = NDArray[np.bool_]


def polygon_mask(points: ArrayLike, size: tuple[int, int]) -> Mask:
    """Fill a polygon: a pixel is inside when its centre is, as in COCO's own masks.

    Args:
        points: ``(N, 2)`` of x and y in pixels, at least three; (0, 0) is the corner of the picture.
        size: rows and columns.

    Shape:
        - output: ``(H, W)``

    Raises:
        ValueError: for fewer points, or values that are not finite numbers.

    Example:
        >>> polygon_mask([[1, 1], [3, 1], [3, 3], [1, 3]], (4, 4)).astype(int).tolist()
        [[0, 0, 0, 0], [0, 1, 1, 0], [0, 1, 1, 0], [0, 0, 0, 0]]
    """
    from skimage.measure import grid_points_in_poly

    corners = np.asarray(points, dtype=np.float64)
    if corners.ndim != 2 or corners.shape[1] != 2 or len(corners) < 3 or not np.isfinite(corners).all():
        raise ValueError("at least three points of x and y")
    centres = corners[:, ::-1] - 0.5 + 1e-9  # rows and columns; the centre of the first pixel is at one half
    return np.asarray(grid_points_in_poly(size, centres))


def is_labelme(content: Mapping[str, Any]) -> bool:
    """Whether a JSON object is what LabelMe saves for a picture."""
    return isinstance(content.get("shapes"), list) and ("imagePath" in content or "imageHeight" in content)


def is_coco(content: Mapping[str, Any]) -> bool:
    """Whether a JSON object is a list of pictures and annotations as COCO's."""
    return isinstance(content.get("images"), list) and isinstance(content.get("annotations"), list)


def labelme_mask(file: Path, size: tuple[int, int], names: Sequence[str] = ()) -> Mask:
    """Draw the shapes of a LabelMe file: polygons, rectangles, circles and masks, joined.

    Args:
        file: the JSON file.
        size: rows and columns of its picture.
        names: labels of the shapes to take; empty for all.

    Raises:
        InputError: when the file is none of LabelMe's, is of another size, or has a shape that encloses nothing.
    """
    content = read_object(file, "must be a file of LabelMe")
    if not is_labelme(content):
        raise InputError(file, "must be a file of LabelMe", got=f"the keys {', '.join(content)}")
    told = content.get("imageHeight") or size[0], content.get("imageWidth") or size[1]
    if tuple(told) != size:
        raise InputError(file, f"must be of its picture's {size[0]} x {size[1]}", got=f"{told[0]} x {told[1]}")
    mask = np.zeros(size, bool)
    for number, shape in enumerate(content["shapes"]):
        try:
            if not names or str(shape.get("label")) in names:
                mask |= _shape_mask(shape, size)
        except (ValueError, TypeError, KeyError, IndexError, AttributeError, OSError) as error:
            rule = "each shape must be a polygon, rectangle, circle or mask"
            kind = shape.get("shape_type") if isinstance(shape, dict) else type(shape).__name__
            raise InputError(f"{file}, shapes[{number}]", rule, got=f"{kind}: {error}") from error
    return mask


def _shape_mask(shape: Mapping[str, Any], size: tuple[int, int]) -> Mask:
    kind, points = shape.get("shape_type") or "polygon", np.asarray(shape["points"], dtype=np.float64)
    if kind == "rectangle":
        (left, top), (right, bottom) = points.min(axis=0), points.max(axis=0)
        return polygon_mask([[left, top], [right, top], [right, bottom], [left, bottom]], size)
    if kind == "circle":  # its centre and a point on it
        rows, columns = np.indices(size) + 0.5
        radius = np.hypot(*(points[1] - points[0]))
        return np.asarray(np.hypot(columns - points[0, 0], rows - points[0, 1]) <= radius)
    if kind == "mask":  # a PNG in base 64, whose upper left corner is the first point
        from base64 import b64decode
        from io import BytesIO

        from PIL import Image

        from monai_lesion.images.pictures import FORMATS

        part = np.asarray(Image.open(BytesIO(b64decode(shape["mask"])), formats=FORMATS)) > 0
        left, top = np.rint(points[0]).astype(int)
        mask = np.zeros(size, bool)
        window = mask[top : top + part.shape[0], left : left + part.shape[1]]
        window |= part[: window.shape[0], : window.shape[1]]
        return mask
    if kind != "polygon":
        raise ValueError("encloses nothing")
    return polygon_mask(points, size)


class CocoFile:
    """The annotations of a COCO file: polygons, and run lengths in plain JSON or compressed by pycocotools.

    Args:
        file: the JSON file.
        names: categories to take; empty for all.

    Attributes:
        images: the ``file_name`` of each picture, and its record.

    Raises:
        InputError: when the file is not COCO's, or lacks one of the categories.
    """

    def __init__(self, file: Path, names: Sequence[str] = ()) -> None:
        self.file = file
        content = _read_large(file)
        if not is_coco(content):
            raise InputError(file, "must be a COCO file", got=f"the keys {', '.join(content)}")
        known = {each.get("id"): str(each.get("name")) for each in content.get("categories", [])}
        if names and (unknown := [name for name in names if name not in known.values()]):
            told = ", ".join(sorted(set(known.values())))
            raise InputError(file, f"must have the category {unknown[0]}", got=told or "none")
        self.images = {str(each["file_name"]): each for each in content["images"]}
        self._annotations: dict[Any, list[Any]] = defaultdict(list)
        for each in content["annotations"]:
            if not names or known.get(each.get("category_id")) in names:
                self._annotations[each.get("image_id")].append(each)

    def mask(self, name: str, size: tuple[int, int]) -> Mask:
        """Draw all annotations of a picture, joined.

        Args:
            name: its ``file_name``.
            size: rows and columns of the picture.

        Raises:
            InputError: when the file tells another size, or an annotation has no outline.
        """
        about = self.images[name]
        told = about.get("height", size[0]), about.get("width", size[1])
        if told != size:
            got = f"{told[0]} x {told[1]}"
            raise InputError(f"{self.file}, {name}", f"must be of its picture's {size[0]} x {size[1]}", got=got)
        mask = np.zeros(size, bool)
        for each in self._annotations[about["id"]]:
            try:
                mask |= _segmentation_mask(each["segmentation"], size)
            except (ValueError, TypeError, KeyError, IndexError) as error:
                rule = "each annotation must have a segmentation: polygons, or run lengths"
                raise InputError(f"{self.file}, annotation {each.get('id')} of {name}", rule, got=error) from error
        return mask


def _read_large(file: Path) -> dict[str, Any]:
    """The object of a JSON file of any size; COCO's own have hundreds of megabytes."""
    if (found := no_file(file)) is not None:
        raise InputError(file, "must be a COCO file", got=found)
    try:
        content = json.loads(file.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(file, "must be a COCO file", got=error) from error
    if not isinstance(content, dict):
        raise InputError(file, "must be a COCO file", got=type(content).__name__)
    return content


def _segmentation_mask(segmentation: Any, size: tuple[int, int]) -> Mask:
    if isinstance(segmentation, list):
        if not segmentation:
            raise ValueError("an empty list")
        mask = np.zeros(size, bool)
        for polygon in segmentation:
            mask |= polygon_mask(np.asarray(polygon, dtype=np.float64).reshape(-1, 2), size)
        return mask
    counts = segmentation["counts"]
    if tuple(segmentation["size"]) != size:
        raise ValueError(f"run lengths of {segmentation['size']}")
    runs = _uncompressed(counts) if isinstance(counts, str) else counts
    if sum(runs) != size[0] * size[1] or min(runs) < 0:
        raise ValueError("run lengths that do not fill the picture")
    values = np.arange(len(runs)) % 2 == 1  # background first
    return np.asarray(np.repeat(values, runs).reshape(size, order="F"))


def _uncompressed(text: str) -> list[int]:
    """Run lengths of the text that pycocotools writes: groups of five bits, from the third run on as differences.

    Source:
        ``rleFrString`` in https://github.com/cocodataset/cocoapi/blob/master/common/maskApi.c
    """
    runs: list[int] = []
    codes = [ord(letter) - 48 for letter in text]
    place = 0
    while place < len(codes):
        value, shift, more = 0, 0, True
        while more:
            code = codes[place]
            value |= (code & 31) << shift
            more = bool(code & 32)
            place, shift = place + 1, shift + 5
            if not more and code & 16:
                value |= -1 << shift
        runs.append(value + (runs[-2] if len(runs) > 2 else 0))
    return runs
