"""Metrics of an image against medpy, MONAI and closed forms."""

from __future__ import annotations

import math
import warnings

import numpy as np
import pytest

from monai_lesion.errors import InputError
from monai_lesion.measures.lesions import count_lesions
from monai_lesion.measures.metrics import dice, hd95, pooled_hd95, score_image
from monai_lesion.measures.tables import summarise
from tests.measures.shapes import EMPTY, disc


def rectangle(top, left, height, width, shape=(48, 64)):
    mask = np.zeros(shape, bool)
    mask[top : top + height, left : left + width] = True
    return mask


def with_spot(mask, row, column, size=4):
    return mask | rectangle(row, column, size, size, mask.shape)


def holed(mask):
    return mask & ~disc(22, 30, 4)


PAIRS = {
    "overlapping": (disc(22, 30, 12), disc(25, 33, 10)),
    "apart": (disc(10, 10, 5), disc(36, 50, 7)),
    "inside": (disc(22, 30, 4), disc(22, 30, 14)),
    "equal": (disc(22, 30, 12), disc(22, 30, 12)),
    "distant false spot": (with_spot(disc(24, 16, 11), 40, 58), disc(24, 18, 11)),
    "hole": (holed(disc(22, 30, 12)), disc(24, 30, 12)),
    "single pixels": (rectangle(3, 5, 1, 1), rectangle(40, 60, 1, 1)),
    "touching every border": (np.ones((48, 64), bool), disc(20, 20, 9)),
    "corners": (rectangle(0, 0, 9, 13), rectangle(39, 51, 9, 13)),
    "border on one side": (rectangle(0, 10, 20, 20), rectangle(1, 12, 20, 20)),
    "noise": tuple(np.random.default_rng(0).random((2, 48, 64)) > 0.7),
}
SPACINGS = [None, (0.2, 0.2), (0.31, 0.12), (1.0, 7.0)]

pairs = pytest.mark.parametrize(("pred", "label"), PAIRS.values(), ids=PAIRS)
spacings = pytest.mark.parametrize("spacing", SPACINGS, ids=str)


@pairs
@spacings
def test_pooled_hd95_equals_medpy(pred, label, spacing):
    binary = pytest.importorskip("medpy.metric.binary", reason="medpy (GPL) is an oracle of the tests only")
    expected = binary.hd95(pred, label, voxelspacing=spacing)
    assert pooled_hd95(pred, label, spacing=spacing) == pytest.approx(expected, abs=1e-9)


@pairs
@spacings
def test_hd95_equals_monai(pred, label, spacing):
    from monai.metrics import compute_hausdorff_distance

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        expected = compute_hausdorff_distance(
            pred[None, None], label[None, None], include_background=True, percentile=95, spacing=spacing
        ).item()
    assert hd95(pred, label, spacing=spacing) == pytest.approx(expected, rel=1e-5, abs=1e-5)


@pairs
def test_dice_equals_monai(pred, label):
    import torch
    from monai.metrics import compute_dice

    first, second = (torch.as_tensor(mask)[None, None] for mask in (pred, label))
    assert dice(pred, label) == pytest.approx(compute_dice(first, second).item(), abs=1e-6)


@pairs
@spacings
def test_score_image_agrees_with_the_single_functions(pred, label, spacing):
    lesions, lesions_found = count_lesions(pred, label)
    assert score_image(pred, label, spacing=spacing) == {
        "dice": dice(pred, label),
        "hd95": pooled_hd95(pred, label, spacing=spacing),
        "hd95_monai": hd95(pred, label, spacing=spacing),
        "missed": not (pred & label).any(),
        "false_alarm": not (pred & label).any(),
        "lesions": lesions,
        "lesions_found": lesions_found,
    }


def test_a_find_in_the_wrong_place_is_a_miss_and_a_false_alarm_and_keeps_its_distance():
    score = score_image(disc(10, 10, 5), disc(36, 50, 7))
    assert (score["dice"], score["missed"], score["false_alarm"]) == (0.0, True, True)
    assert score["hd95"] > 30
    assert summarise([{"case_id": "1", **score}])["failures"] == 1


@pytest.mark.parametrize("function", [pooled_hd95, hd95])
@pytest.mark.parametrize(("shift", "axis"), [(1, 0), (3, 1), (10, 1)])
def test_shifted_line_is_as_far_as_its_shift(function, shift, axis):
    # A line one pixel thin is all surface, and a shift across it puts every pixel exactly that far away.
    line = rectangle(4, 4, 1, 20) if axis == 0 else rectangle(4, 4, 20, 1)
    assert function(line, np.roll(line, shift, axis)) == shift


def test_shifted_line_has_its_distance_in_the_step_of_the_right_axis():
    across = rectangle(4, 4, 1, 20), rectangle(9, 4, 1, 20)
    along = rectangle(4, 4, 20, 1), rectangle(4, 9, 20, 1)
    assert pooled_hd95(*across, spacing=(0.5, 0.1)) == hd95(*across, spacing=(0.5, 0.1)) == pytest.approx(2.5)
    assert pooled_hd95(*along, spacing=(0.5, 0.1)) == hd95(*along, spacing=(0.5, 0.1)) == pytest.approx(0.5)


def test_shifted_rectangle_is_as_far_as_its_shift_and_overlaps_by_the_rest():
    # 20 of the rectangle's 46 surface pixels lie on the two short sides that move apart by 4.
    label = rectangle(10, 10, 10, 15)
    pred = np.roll(label, 4, axis=1)
    assert pooled_hd95(pred, label) == hd95(pred, label) == 4
    assert dice(pred, label) == pytest.approx(11 / 15)


def test_concentric_discs_differ_by_their_radii():
    assert pooled_hd95(disc(24, 32, 8), disc(24, 32, 18)) == pytest.approx(10, abs=0.75)


def test_distant_false_spot_separates_the_two_definitions():
    lesion = np.zeros((9, 40), bool)
    lesion[2:7, 2:7] = True  # 16 surface pixels, columns 2 to 6
    pred = lesion.copy()
    pred[4, 30:32] = True  # two more, 24 and 25 pixels away
    # Directed: 18 distances, position 16.15 between 24 and 25. Pooled: 34, position 31.35 between 0 and 24.
    assert hd95(pred, lesion) == pytest.approx(24.15)
    assert pooled_hd95(pred, lesion) == pytest.approx(0.35 * 24)
    assert hd95(lesion, pred) == pytest.approx(24.15)


def test_picture_border_is_surface():
    # Were the border not surface, the full picture would have none and the distance would not be 4 rows.
    pred, label = np.ones((9, 1), bool), rectangle(4, 0, 1, 1, (9, 1))
    assert pooled_hd95(pred, label) == pytest.approx(np.percentile([4, 3, 2, 1, 0, 1, 2, 3, 4, 0], 95))


@pytest.mark.parametrize(
    ("pred", "label", "expected_dice", "missed", "false_alarm"),
    [(EMPTY, disc(20, 20, 5), 0.0, True, False), (disc(20, 20, 5), EMPTY, 0.0, False, True), (EMPTY, EMPTY, 1, 0, 0)],
    ids=["missed", "false alarm", "rightly nothing"],
)
def test_empty_masks_are_scored_and_flagged(pred, label, expected_dice, missed, false_alarm):
    score = score_image(pred, label)
    assert score["dice"] == expected_dice
    assert score["missed"] == missed
    assert score["false_alarm"] == false_alarm
    assert math.isnan(score["hd95"])
    assert math.isnan(score["hd95_monai"])
    assert math.isnan(pooled_hd95(pred, label))
    assert math.isnan(hd95(pred, label))


def test_takes_masks_of_other_types_and_lists_of_steps():
    import torch

    pred, label = PAIRS["overlapping"]
    expected = score_image(pred, label, spacing=(0.3, 0.2))
    assert score_image(255 * pred.astype(np.uint8), label.astype(np.float32), spacing=[0.3, 0.2]) == expected
    assert score_image(torch.as_tensor(pred), np.asfortranarray(label), spacing=np.array([0.3, 0.2])) == expected


@pytest.mark.parametrize("function", [dice, pooled_hd95, hd95, score_image])
@pytest.mark.parametrize(
    ("pred", "label", "match"),
    [
        (np.zeros((4, 5), bool), np.zeros((5, 4), bool), r"\(4, 5\), \(5, 4\)"),
        (np.zeros((1, 4, 5), bool), np.zeros((1, 4, 5), bool), r"pred: must have the shape \(H, W\), got \(1, 4, 5\)"),
        (np.zeros(4, bool), np.zeros(4, bool), r"got \(4,\)"),
        (np.full((4, 5), 0.3), np.ones((4, 5)), "pred: must be a mask, got float64.* Threshold"),
        (np.ones((4, 5)), np.full((4, 5), np.nan), "label: must be a mask"),
    ],
    ids=["sizes", "3-D", "1-D", "probabilities", "nan"],
)
def test_rejects_what_is_no_pair_of_masks(function, pred, label, match):
    with pytest.raises(InputError, match=match):
        function(pred, label)


@pytest.mark.parametrize("spacing", [(0.1,), (0.1, 0.0), (0.1, -1), (0.1, math.nan), (0.1, math.inf), 0.1, ("a", "b")])
@pytest.mark.parametrize("pred", [disc(20, 20, 5), EMPTY], ids=["found", "empty"])
def test_rejects_spacing_that_is_no_pair_of_steps(spacing, pred):
    with pytest.raises(InputError, match=r"spacing: must be two positive steps in mm: row, column, got .*"):
        score_image(pred, disc(20, 20, 5), spacing=spacing)
