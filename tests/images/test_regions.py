"""Ultrasound regions: which is shown to the network, and which one's millimetres hold for a lesion."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from monai_lesion.images.calibration import Calibration, calibration_of
from monai_lesion.images.regions import Region, region_of_interest, tissue_regions
from tests.images.test_calibration import header, region


def box(top: int, left: int, bottom: int, right: int) -> dict[str, int]:
    """A box as Python slices it in DICOM's words, whose last row and column belong to it."""
    names = ("MinY0", "MinX0", "MaxY1", "MaxX1")
    return {
        f"RegionLocation{name}": value for name, value in zip(names, (top, left, bottom - 1, right - 1), strict=True)
    }


def mask(top: int, left: int, bottom: int, right: int) -> np.ndarray:
    found = np.zeros((100, 200), np.uint8)
    found[top:bottom, left:right] = 1
    return found


def test_box_is_cut_as_the_header_says() -> None:
    (found,) = tissue_regions(header(region(**box(10, 20, 60, 90))))
    pixels = np.indices((100, 200)).sum(axis=0)
    np.testing.assert_array_equal(pixels[found.slices], pixels[10:60, 20:90])
    assert found.shape == (50, 70)
    assert found.to_dict() == {"top": 10, "left": 20, "bottom": 60, "right": 90}


def test_box_that_names_the_corner_behind_the_last_pixel_ends_with_the_image() -> None:
    (found,) = tissue_regions(header(region(RegionLocationMaxX1=200, RegionLocationMaxY1=100)))
    assert (found.inside, found.bottom, found.right) == (True, 100, 200)


def test_only_two_dimensional_tissue_counts() -> None:
    others = [region(RegionSpatialFormat=3), region(RegionDataType=2), region(RegionDataType=18)]
    assert tissue_regions(header(*others)) == ()
    (found,) = tissue_regions(header(*others, region(**box(10, 20, 60, 90))))
    assert found.top == 10


INSIDE = {
    "the whole image": box(0, 0, 100, 200),
    "one pixel": box(10, 20, 11, 21),
    "the last pixel": box(99, 199, 100, 200),
    "no upper left corner": {"RegionLocationMinX0": None, "RegionLocationMinY0": None},
}
OUTSIDE = {
    "no row": box(10, 20, 10, 90),
    "no column": box(10, 20, 60, 20),
    "two rows too low": box(10, 20, 102, 90),
    "two columns too far": box(10, 20, 60, 202),
    "left of it": {"RegionLocationMinX0": -1},
    "above it": {"RegionLocationMinY0": -1},
    "not a number": {"RegionLocationMinX0": math.nan},
    "infinite": {"RegionLocationMinY0": math.inf},
    "two numbers": {"RegionLocationMinX0": [1, 2]},
}


@pytest.mark.filterwarnings("ignore:.*VR UL")
@pytest.mark.parametrize("kind", INSIDE | OUTSIDE)
def test_box_lies_in_the_image_or_not(kind: str) -> None:
    (found,) = tissue_regions(header(region(**(INSIDE | OUTSIDE)[kind])))
    assert found.inside is (kind in INSIDE)


@pytest.mark.parametrize(
    ("values", "spacing"),
    [
        ({"PhysicalDeltaX": 0.007, "PhysicalDeltaY": -0.003}, (0.03, 0.07)),  # 0.007 * 10 is not 0.07
        ({"PhysicalDeltaX": 0.0}, None),
        ({"PhysicalDeltaY": 0.0}, None),
        ({"PhysicalDeltaX": None}, None),
        ({"PhysicalDeltaY": None}, None),
        ({"PhysicalDeltaX": math.inf}, None),
        ({"PhysicalDeltaY": math.nan}, None),
        ({"PhysicalDeltaX": [0.1, 0.2]}, None),
        ({"PhysicalUnitsXDirection": 4}, None),
        ({"PhysicalUnitsYDirection": 4}, None),
    ],
    ids=str,
)
def test_spacing_is_known_only_where_both_steps_are_positive_lengths(values: dict[str, Any], spacing: Any) -> None:
    (found,) = tissue_regions(header(region(**values)))
    assert found.spacing == spacing


CHOSEN = {
    "the largest": ([box(0, 0, 40, 90), box(0, 100, 90, 200), box(50, 0, 90, 90)], 1),
    "of a dual screen the left": ([box(0, 100, 90, 190), box(0, 0, 90, 90)], 1),
    "of two one above the other the upper": ([box(50, 0, 90, 90), box(5, 0, 45, 90)], 1),
    "the largest though narrower": ([box(0, 0, 40, 90), box(0, 100, 90, 150)], 1),
    "the largest though shorter": ([box(0, 0, 90, 40), box(0, 50, 50, 150)], 1),
    "upper before left": ([box(50, 0, 90, 90), box(5, 100, 45, 190)], 1),
    "upper before left in the other order": ([box(5, 100, 45, 190), box(50, 0, 90, 90)], 0),
    "not one that reaches out": ([box(0, 0, 100, 300), box(0, 0, 40, 40)], 1),
    "not a strip": ([box(0, 0, 10, 200), box(20, 0, 52, 32)], 1),
    "not one of 15 rows": ([box(0, 0, 15, 200), box(20, 0, 36, 16)], 1),
}


@pytest.mark.parametrize("kind", CHOSEN)
def test_region_of_interest_is(kind: str) -> None:
    boxes, number = CHOSEN[kind]
    regions = tissue_regions(header(*(region(**each) for each in boxes)))
    assert region_of_interest(regions) == regions[number]


def test_no_usable_region_is_no_region_of_interest() -> None:
    assert (
        region_of_interest(tissue_regions(header(region(**box(0, 0, 8, 8)), region(RegionLocationMaxX1=999)))) is None
    )


LEFT, RIGHT = region(**box(0, 0, 90, 90)), region(**box(0, 100, 90, 190), PhysicalDeltaX=0.03)
SECONDS = region(**box(0, 100, 90, 190), PhysicalUnitsXDirection=4)


@pytest.mark.parametrize(
    ("at", "spacing"), [((10, 10, 40, 40), (0.2, 0.1)), ((10, 120, 40, 190), (0.2, 0.3))], ids=["left", "right"]
)
def test_the_region_that_holds_the_lesion_gives_the_spacing(at: Any, spacing: tuple[float, float]) -> None:
    known = calibration_of(header(LEFT, RIGHT))
    assert known.spacing is None
    found = known.of(mask(*at))
    assert found.spacing == pytest.approx(spacing)
    assert found.source == "mm from ultrasound region"


WIDE = region(RegionLocationMaxX1=500)
NOWHERE = "none: the lesion does not lie in one ultrasound region"
REFUSED = {
    "across two regions": (header(LEFT, RIGHT), (10, 50, 40, 120), NOWHERE),
    "beside the only region": (header(LEFT), (10, 120, 40, 140), NOWHERE),
    "one row too low": (header(LEFT), (10, 10, 91, 40), NOWHERE),
    "in a region of seconds": (header(LEFT, SECONDS), (10, 120, 40, 140), "none: an ultrasound region is not in cent"),
    "another outside the image": (header(LEFT, WIDE), (10, 10, 40, 40), "none: an ultrasound region reaches outside"),
    "overlapping scales": (
        header(LEFT, region(PhysicalDeltaX=0.5)),
        (1, 1, 9, 9),
        "none: the ultrasound regions differ",
    ),
    "Pixel Spacing": (header(LEFT, PixelSpacing=[1, 1]), (10, 10, 40, 40), "none: Pixel Spacing contradicts"),
    "no calibration": (header(), (10, 10, 40, 40), "none: the file does not know its scale"),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_lesion_is_in_pixels(kind: str) -> None:
    dataset, at, reason = REFUSED[kind]
    found = calibration_of(dataset).of(mask(*at))
    assert found.spacing is None
    assert found.source.startswith(reason)


def test_pixel_spacing_holds_everywhere_where_there_is_no_region() -> None:
    found = calibration_of(header(PixelSpacing=[0.2, 0.1])).of(mask(10, 10, 40, 40))
    assert (found.spacing, found.source) == ((0.2, 0.1), "mm from Pixel Spacing")


def test_last_row_and_column_of_a_region_belong_to_it() -> None:
    assert Region(2, 3, 5, 7).holds(np.pad(np.ones((3, 4)), ((2, 9), (3, 9))))
    assert not Region(2, 3, 5, 7).holds(np.pad(np.ones((3, 5)), ((2, 9), (3, 9))))
    assert not Region(2, 3, 5, 7).holds(np.pad(np.ones((4, 4)), ((2, 9), (3, 9))))
    assert not Region(2, 3, 5, 7).holds(np.pad(np.ones((4, 4)), ((1, 9), (3, 9))))
    assert not Region(2, 3, 5, 7).holds(np.pad(np.ones((3, 5)), ((2, 9), (2, 9))))
    assert Calibration().of(np.ones((2, 2))).spacing is None
