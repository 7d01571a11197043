"""Measure a lesion from its mask, in millimetres if the picture is calibrated, otherwise in pixels.

::

    mask --largest component, holes filled--> outline (mm) --+-- longest diameter -- longest chord across it
                                                             +-- area, perimeter, centroid, depth
    two views --+-- long and short axis of the one, extent across the beam of the other -- ellipsoid

Pixel coordinates are (row, column) with whole numbers at pixel centres. The outline runs halfway between the last
pixel inside and the first one outside, so a line of 10 pixels is 10 pixels long. See docs/explanation/measurements.md.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from monai_lesion.errors import InputError
from monai_lesion.measures.masks import checked_mask, checked_steps
from monai_lesion.measures.outlines import Floats, axes_of, largest_part, perimeter_of

Point = tuple[float, float]  # row, column
Ends = tuple[Point, Point]

UCUM = {"mm": "mm", "mm2": "mm2", "mm3": "mm3", "ml": "mL", "px": "{pixels}", "px2": "{pixels}"}
POWERS = str.maketrans("23", "²³")
QUANTITIES = ("long_axis", "short_axis", "width", "height", "area", "perimeter", "equivalent_diameter", "depth")


@dataclass(frozen=True)
class Quantity:
    """A number with its unit.

    Args:
        value: the number; NaN of what is not there, which prints as "none".
        unit: "mm", "mm2", "mm3", "ml", "px" or "px2".

    Example:
        >>> size = Quantity(104.26, "mm2")
        >>> print(size, size.ucum, size.to_dict(), float(size), f"{size:.2f}")
        104.3 mm² mm2 {'value': 104.26, 'unit': 'mm2'} 104.26 104.26
    """

    value: float
    unit: str

    @property
    def ucum(self) -> str:
        """The unit as DICOM codes it (Unified Code for Units of Measure)."""
        return UCUM[self.unit]

    def to_dict(self) -> dict[str, Any]:
        """Number and unit, for JSON."""
        return {"value": round(self.value, 3), "unit": self.unit}

    def __float__(self) -> float:
        return self.value

    def __format__(self, spec: str) -> str:
        return format(self.value, spec) if spec else str(self)

    def __str__(self) -> str:
        if math.isnan(self.value):
            return "none"
        return f"{self.value:.{2 if self.unit == 'ml' else 1}f} {self.unit.translate(POWERS)}"


@dataclass(frozen=True, eq=False, repr=False)
class Measurements:
    """The sizes of one lesion in one view. Points are (row, column) in pixels whatever the unit of the sizes.

    They are false where there is no lesion; every number is NaN then, and every size prints as "none".

    Args:
        long_axis: longest distance between two points of the outline (maximum Feret diameter).
        short_axis: longest chord perpendicular to the long axis, both ends on the outline; a notch is bridged.
        width: extent across the beam, from the leftmost to the rightmost point.
        height: extent along the beam, from the shallowest to the deepest point.
        area: area of the pixels within the outline.
        perimeter: length of the outline.
        equivalent_diameter: diameter of the disc of the same area.
        depth: distance from the top of the picture, or of the given region, to the shallowest point.
        centroid: mean of the pixels within the outline.
        long_axis_ends: the two ends, the upper one first.
        short_axis_ends: the two ends, the upper one first.
        contour: ``(N, 2)`` outline, not closed.
        spacing: row and column step in millimetres; None where the sizes are in pixels.
        components: number of separate parts in the mask; only the largest is measured.
        at_border: whether the lesion touches the picture's border, so that its sizes are lower bounds.
    """

    long_axis: Quantity
    short_axis: Quantity
    width: Quantity
    height: Quantity
    area: Quantity
    perimeter: Quantity
    equivalent_diameter: Quantity
    depth: Quantity
    centroid: Point
    long_axis_ends: Ends
    short_axis_ends: Ends
    contour: Floats
    spacing: tuple[float, float] | None
    components: int
    at_border: bool

    @classmethod
    def nothing(cls, spacing: tuple[float, float] | None = None) -> Measurements:
        """What is measured in a picture without a lesion.

        Args:
            spacing: row and column step in millimetres; None for sizes in pixels.

        Example:
            >>> empty = Measurements.nothing()
            >>> bool(empty), str(empty.long_axis), float(empty.area)
            (False, 'none', nan)
        """
        length, area = (Quantity(math.nan, unit) for unit in (("px", "px2") if spacing is None else ("mm", "mm2")))
        point = math.nan, math.nan
        return cls(
            **{name: area if name == "area" else length for name in QUANTITIES},
            centroid=point,
            long_axis_ends=(point, point),
            short_axis_ends=(point, point),
            contour=np.empty((0, 2)),
            spacing=spacing,
            components=0,
            at_border=False,
        )

    def __bool__(self) -> bool:
        return self.components > 0

    def __repr__(self) -> str:
        if not self:
            return "Measurements(no lesion)"
        return f"Measurements({', '.join(f'{name}={getattr(self, name)}' for name in QUANTITIES)})"

    def to_dict(self, *, contour: bool = False) -> dict[str, Any]:
        """Everything with its unit, for JSON; on request with the points of the outline."""
        sizes = {name: value.to_dict() for name, value in vars(self).items() if isinstance(value, Quantity)}
        sizes["long_axis"]["ends_px"] = _rounded(self.long_axis_ends)
        sizes["short_axis"]["ends_px"] = _rounded(self.short_axis_ends)
        return {
            **sizes,
            "centroid_px": _rounded([self.centroid])[0],
            **({"contour_px": self.contour.tolist()} if contour else {}),
            "spacing_mm": None if self.spacing is None else list(self.spacing),
            "components": self.components,
            "at_border": self.at_border,
        }


@dataclass(frozen=True, eq=False)
class CaseMeasurements:
    """The sizes of one lesion seen in two perpendicular views.

    Args:
        views: the sizes in each view; None where its mask is empty.
        axes: three perpendicular axes a, b, c in millimetres, or None.
        plane: the view that gives a (its long axis) and b (its short axis); the other gives c (its width).
        volume: volume of the ellipsoid with these axes, in mm3, or None.
        height_difference: how much the two views disagree about the height, which both show, as a share of its mean;
            0.1 is 10 %. A large value suggests that the views do not show the same lesion.
        reason: why there is no volume; empty when there is one.
    """

    views: Mapping[str, Measurements | None]
    axes: tuple[Quantity, Quantity, Quantity] | None = None
    plane: str | None = None
    volume: Quantity | None = None
    height_difference: float | None = None
    reason: str = ""

    @property
    def volume_ml(self) -> Quantity | None:
        """The volume in millilitres."""
        return None if self.volume is None else Quantity(self.volume.value / 1000, "ml")

    def to_dict(self, *, contour: bool = False) -> dict[str, Any]:
        """Everything with its unit, for JSON; on request with the points of the outlines."""
        millilitres = self.volume_ml
        return {
            "views": {name: view and view.to_dict(contour=contour) for name, view in self.views.items()},
            "axes": self.axes and [axis.to_dict() for axis in self.axes],
            "plane": self.plane,
            "volume": self.volume and self.volume.to_dict(),
            "volume_ml": millilitres and millilitres.to_dict(),
            "height_difference": self.height_difference,
            "reason": self.reason or None,
        }


def measure(mask: ArrayLike, spacing: Sequence[float] | None = None, *, top: int = 0) -> Measurements:
    """Measure the lesion in one view.

    If the mask has several parts (8-connected), the largest is measured, and among equal ones the first from the top.
    Its holes count as lesion. Lengths are computed in millimetres throughout, so rows and columns may have different
    steps.

    Args:
        mask: bool, or 0 outside and anything else inside.
        spacing: row and column step in millimetres; None measures in pixels.
        top: the row where depth begins, such as the first row of the ultrasound region.

    Shape:
        - mask: ``(H, W)``

    Raises:
        InputError: when the mask is empty or not a mask, the spacing is not two positive steps, or ``top`` lies outside
            the picture or below the lesion's first row.

    Example:
        >>> mask = np.zeros((64, 64), bool)
        >>> mask[30, 20:30] = True
        >>> print(measure(mask).long_axis, measure(mask, (0.5, 0.2)).long_axis, measure(mask, (0.5, 0.2)).depth)
        10.0 px 2.0 mm 15.0 mm
    """
    inside, steps = checked_mask(mask), checked_steps(spacing)
    if not inside.any():
        fix = "Skip pictures without a lesion"
        raise InputError("mask", "must hold a lesion to measure", got="an empty mask", fix=fix)
    lesion, (row, column), components, contour = largest_part(inside)
    if not 0 <= top <= row:
        raise InputError("top", f"must lie between 0 and the lesion's first row, {row}", got=top)

    count, corner, size = int(lesion.sum()), np.array([row, column], float), np.array(lesion.shape)
    long_ends, short_ends = axes_of(contour * steps)
    area = count * float(steps.prod())
    length, square = ("px", "px2") if spacing is None else ("mm", "mm2")
    return Measurements(
        long_axis=Quantity(math.dist(*long_ends), length),
        short_axis=Quantity(math.dist(*short_ends), length),
        width=Quantity(float(size[1] * steps[1]), length),
        height=Quantity(float(size[0] * steps[0]), length),
        area=Quantity(area, square),
        perimeter=Quantity(perimeter_of(lesion, steps), length),
        equivalent_diameter=Quantity(math.sqrt(4 * area / math.pi), length),
        depth=Quantity(float((row - top) * steps[0]), length),
        centroid=_point(np.array([_middle(lesion.sum(axis=axis)) for axis in (1, 0)]) + corner),
        long_axis_ends=_upper_first(long_ends / steps + corner),
        short_axis_ends=_upper_first(short_ends / steps + corner),
        contour=contour + corner,
        spacing=None if spacing is None else _point(steps),
        components=components,
        at_border=bool((corner == 0).any() or (corner + size == inside.shape).any()),
    )


def measure_case(views: Mapping[str, tuple[ArrayLike, Sequence[float] | None]]) -> CaseMeasurements:
    """Measure a lesion in its one or two views, and its volume if two perpendicular views are calibrated.

    The view with the longer long axis gives a and b, its long and short axis; the third axis, c, is perpendicular to
    that picture: the other view's width across the beam. The volume is π/6 · a · b · c. For an ellipsoid this holds
    however it is tilted within either picture; one that is turned about the beam is underestimated, because neither
    view shows the turn. It is up to you that the views are perpendicular and show the same lesion.

    Args:
        views: mask and spacing of each view by its name, as :func:`measure` takes them; the scales may differ.

    Raises:
        InputError: when there are no views or more than two, or :func:`measure` refuses one. An empty mask is allowed
            and gives None.

    Source:
        ACR BI-RADS Atlas, 5th edition (2013), ultrasound: three perpendicular dimensions from two views.

    Example:
        >>> disc = np.hypot(*np.mgrid[-32:32, -32:32]) < 20
        >>> case = measure_case({"front": (disc, (0.1, 0.1)), "side": (disc, (0.1, 0.1))})
        >>> print(*case.axes, round(case.volume_ml.value, 3))
        4.1 mm 4.1 mm 3.9 mm 0.034
        >>> measure_case({"front": (disc, (0.1, 0.1)), "side": (disc, None)}).reason
        'no pixel spacing in: side; pixels of two pictures have no common scale'
    """
    if not 1 <= len(views) <= 2:
        raise InputError("views", "must be one or two views of one lesion", got=len(views))
    found: dict[str, Measurements | None] = {}
    for name, (mask, spacing) in views.items():
        try:
            inside, _ = checked_mask(mask), checked_steps(spacing)
            found[name] = measure(inside, spacing) if inside.any() else None
        except InputError as error:
            raise InputError(f"view {name}: {error}") from error
    whole = {name: view for name, view in found.items() if view is not None}
    reason = "" if len(found) == 2 else "one view only; a volume takes two"
    if missed := [name for name in found if name not in whole]:
        reason = f"no lesion in: {', '.join(missed)}"
    elif not reason and (bare := [name for name, view in whole.items() if view.spacing is None]):
        reason = f"no pixel spacing in: {', '.join(bare)}; pixels of two pictures have no common scale"
    if reason:
        return CaseMeasurements(found, reason=reason)

    plane, across = sorted(whole, key=lambda name: -whole[name].long_axis.value)  # stable: the first view wins a tie
    axes = whole[plane].long_axis, whole[plane].short_axis, whole[across].width
    volume = Quantity(math.pi / 6 * math.prod(axis.value for axis in axes), "mm3")
    first, second = whole[plane].height.value, whole[across].height.value
    return CaseMeasurements(found, axes, plane, volume, 2 * abs(first - second) / (first + second), "")


def _rounded(points: Sequence[Point]) -> list[list[float]]:
    """Round to a thousandth of a pixel, for JSON."""
    return [[round(coordinate, 3) for coordinate in point] for point in points]


def _point(pair: Floats) -> Point:
    return float(pair[0]), float(pair[1])


def _middle(counts: Floats) -> float:
    """The mean place of pixels that are counted by row or by column; exact, as the sums are whole."""
    return float(counts @ np.arange(len(counts))) / float(counts.sum())


def _upper_first(ends: Floats) -> Ends:
    first, second = sorted(_point(end) for end in ends)
    return first, second
