"""What scores say once they are calibrated."""

from __future__ import annotations

import math
import subprocess
import sys

import numpy as np
import pytest

from monai_lesion.measures.judgements import (
    COARSE,
    FEATURES,
    GREYS,
    Signals,
    agreement_of,
    bounds_of,
    describe_picture,
    judge,
    signals_of,
    signals_of_views,
    spread_of,
)
from monai_lesion.measures.metrics import dice
from tests.calibrations import BLACK, calibration_of

CALIBRATION = calibration_of("0" * 64)
NEAR = BLACK


@pytest.mark.parametrize(
    ("presence", "quality", "features", "found", "decision", "trust"),
    [
        (0.9, 0.75, NEAR, True, "lesion", 0.9),
        (0.9, 0.25, NEAR, True, "doubtful", 0.4),
        (0.19, 0.75, NEAR, True, "nothing found", None),
        (0.9, 0.75, NEAR, False, "nothing found", None),
        (0.9, 0.75, BLACK + 2.1, True, "doubtful", 0.9),  # mean square 4.4
        (0.9, 0.75, BLACK + 1.9, True, "lesion", 0.9),  # 3.6
    ],
    ids=["sure", "low trust", "no presence", "no mask", "unlike", "not so unlike"],
)
def test_a_decision_follows_the_thresholds(presence, quality, features, found, decision, trust):
    judgement = judge(CALIBRATION, Signals(presence, quality, features), found=found)
    assert judgement.decision == decision
    assert judgement.trust == (None if trust is None else pytest.approx(trust))


def test_without_presence_only_an_empty_mask_is_nothing():
    calibration = calibration_of("0" * 64, presence=None, familiarity=None)
    assert judge(calibration, Signals(0.0, 0.75), found=True).decision == "lesion"
    assert judge(calibration, Signals(1.0, 0.75), found=False).decision == "nothing found"


def test_scores_are_logits():
    signals = signals_of(np.float32([[math.log(3), -1000]]))
    assert signals == (pytest.approx(0.75), pytest.approx(0, abs=1e-20), None)


@pytest.mark.parametrize("shape", [(1, 1), (3, 200), (64, 64), (500, 333)])
def test_every_picture_has_as_many_statistics(shape):
    pixels = np.random.default_rng(0).integers(0, 256, (*shape, 3), dtype=np.uint8)
    features = describe_picture(pixels)
    assert features.shape == (FEATURES,)
    assert np.isfinite(features).all()


def test_statistics_tell_colour_brightness_and_roughness_but_hardly_size():
    draw = np.random.default_rng(0)
    rough = np.repeat(draw.integers(0, 256, (128, 128, 1), dtype=np.uint8), 3, axis=2)
    smooth = np.broadcast_to(np.linspace(0, 255, 128).astype(np.uint8)[:, None, None], rough.shape)
    assert np.abs(describe_picture(rough) - describe_picture(smooth)).max() > 1
    large = np.repeat(np.repeat(smooth, 3, axis=0), 3, axis=1)
    np.testing.assert_allclose(describe_picture(large), describe_picture(smooth), atol=0.3)
    tinted = smooth * np.uint8([1, 0, 0])
    assert (
        describe_picture(tinted)[GREYS + 2 * COARSE + 2] > 0.4 > 0 == describe_picture(smooth)[GREYS + 2 * COARSE + 2]
    )


def test_agreement_is_the_mean_dice_of_the_pairs():
    masks = [np.random.default_rng(seed).random((8, 9)) < 0.5 for seed in range(3)]
    wanted = np.mean([dice(masks[i], masks[j]) for i, j in ((0, 1), (0, 2), (1, 2))])
    assert agreement_of(masks) == pytest.approx(wanted)
    assert agreement_of([np.zeros((2, 2))] * 3) == 1


def test_views_are_as_it_is_mirrored_and_brighter():
    pixels = np.zeros((2, 4, 3), np.uint8)
    pixels[:, 0] = 100
    seen = []

    def segment(picture):
        seen.append(picture[0, :, 0].tolist())
        return picture[..., 0] > 0

    assert signals_of_views(pixels[..., 0] > 0, pixels, segment)[:2] == (1, 1)
    assert seen == [[0, 0, 0, 100], [round(255 * (100 / 255) ** 0.7), 0, 0, 0]]
    left = np.broadcast_to(np.arange(4) < 2, (2, 4))
    assert signals_of_views(left, pixels, lambda _: left).quality == pytest.approx(1 / 3)  # one pair of three agrees


def test_bounds_are_factors_wider_for_worse_masks_and_those_of_the_group():
    low, high = bounds_of(CALIBRATION, "long_axis", 0.9)
    assert (math.log(low), math.log(high)) == (pytest.approx(-spread_of(0.9)), pytest.approx(spread_of(0.9)))
    assert bounds_of(CALIBRATION, "long_axis", 0.2)[1] > high
    assert bounds_of(CALIBRATION, "area", 0.9, "Scanner A")[1] < bounds_of(CALIBRATION, "area", 0.9)[1]
    assert bounds_of(CALIBRATION, "area", 0.9, "Scanner B") == bounds_of(CALIBRATION, "area", 0.9)


def test_needs_numpy_alone():
    code = (
        "import sys; import monai_lesion.measures.judgements; "
        "print([n for n in ('scipy', 'sklearn', 'torch', 'skimage') if n in sys.modules])"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == "[]"
