"""A calibrated model in every output."""

from __future__ import annotations

import json
import logging
import shutil
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from monai_lesion import LesionSegmenter
from monai_lesion.errors import InputError
from monai_lesion.images.calibration import Calibration
from monai_lesion.images.reading import UltrasoundImage
from monai_lesion.images.regions import Region
from monai_lesion.measures.judgements import Signals, spread_of
from monai_lesion.measures.sizes import measure, measure_case
from monai_lesion.models.descriptions import write_description
from monai_lesion.models.folders import read_model
from monai_lesion.models.presets import load_preset
from monai_lesion.segmentation.batches import segment_files
from monai_lesion.segmentation.results import Segmentation
from monai_lesion.segmentation.segmenters import Finding, Segmenter
from monai_lesion.segmentation.trust import Trust, count_decisions, judged_columns, volume_interval
from tests.calibrations import BLACK, calibration_of

CALIBRATION = calibration_of("0" * 64)
SURE, UNSURE, ABSENT = (3.0, 2.0), (3.0, -1.0), (-3.0, 2.0)
DISC = (np.hypot(*np.mgrid[-16:16, -20:20]) < 9).astype(np.uint8)


class Scripted(Segmenter):
    """Draws a disc and gives the scores it is told."""

    crop, settings, algorithm = False, {}, None

    def __init__(self, scores, trust):
        self.scores, self.trust, self.seen = scores, trust, 0

    def find(self, image):
        self.seen += 1
        scores = None if self.scores is None else np.float32([self.scores])
        return Finding(DISC.copy(), DISC.astype(np.float32), scores)


def segment(scores, trust=None, **picture):
    image = UltrasoundImage(np.zeros((32, 40, 3), np.uint8), None, "", **picture)
    return Scripted(scores, trust or Trust(CALIBRATION)).segment(image)


def test_a_sure_mask_has_decision_trust_and_intervals_around_its_sizes():
    result = segment(SURE, calibration=Calibration((0.2, 0.1), "mm"))
    told = result.to_dict()
    assert (told["decision"], result.mask.tolist()) == ("lesion", DISC.tolist())
    quality = 1 / (1 + np.exp(-2))
    assert told["trust"] == pytest.approx(np.interp(quality, [0.5, 1], [0.8, 1]), abs=1e-4)
    interval, size = told["intervals"]["long_axis"], result.measurements.long_axis
    assert interval["unit"] == "mm"
    assert interval["level"] == 0.9
    assert interval["low"] == pytest.approx(size.value * np.exp(-spread_of(quality)), abs=1e-3)
    assert interval["high"] == pytest.approx(size.value * np.exp(spread_of(quality)), abs=1e-3)
    assert set(told["intervals"]) == {"long_axis", "short_axis", "area"}
    assert json.loads(json.dumps(told, allow_nan=False)) == told or told["spacing_mm"] is not None


@pytest.mark.parametrize(("box", "decision"), [((0, 0, 32, 40), "lesion"), ((0, 0, 4, 40), "doubtful")])
def test_a_sure_mask_outside_the_tissue_of_the_header_is_doubtful(box, decision):
    result = segment(SURE, calibration=Calibration(None, "none: no scale", (Region(*box),)))
    assert result.decision == decision
    assert bool(result.remarks) == (decision == "doubtful")


def test_nothing_found_empties_the_mask_and_keeps_the_probability():
    result = segment(ABSENT)
    assert (result.decision, result.trust, result.intervals, result.mask.any()) == ("nothing found", None, None, False)
    assert result.probability.max() == 1
    assert result.to_dict()["found"] is False


def test_an_unlike_picture_is_doubtful_and_has_no_intervals():
    noise = np.random.default_rng(0).integers(0, 256, (32, 40, 3), dtype=np.uint8)
    result = Scripted(SURE, Trust(CALIBRATION)).segment(UltrasoundImage(noise, None, ""))
    assert (result.decision, result.intervals) == ("doubtful", None)
    assert "unlike the pictures it was calibrated with" in result.verdict.words()


def test_an_uncalibrated_model_gives_nulls_and_says_so_in_one_line(caplog, tmp_path):
    folder = shutil.copytree(load_preset("pocket").path, tmp_path / "model")
    write_description(folder, replace(read_model(folder).description, calibration=None))
    with caplog.at_level(logging.INFO):
        segmenter = LesionSegmenter.from_model(folder)
    lines = [record.message for record in caplog.records if "null" in record.message]
    assert len(lines) == 1
    told = segmenter(np.zeros((40, 50), np.uint8)).to_dict()
    assert (told["decision"], told["trust"], told["intervals"]) == (None, None, None)


def test_three_views_run_the_network_three_times_and_scores_once():
    views = Trust(calibration_of("0" * 64, signal="views", familiarity=None))
    for trust, scores, runs in ((Trust(CALIBRATION), SURE, 1), (views, None, 3)):
        segmenter = Scripted(scores, trust)
        segmenter.segment(UltrasoundImage(np.zeros((32, 40, 3), np.uint8), None, ""))
        assert segmenter.seen == runs


def test_scores_that_are_missing_are_an_error():
    with pytest.raises(InputError, match="was calibrated by its scores, which must be among its outputs"):
        segment(None)


def test_the_group_is_named_or_that_of_the_header():
    named, told = Trust(CALIBRATION, "Scanner A"), Trust(CALIBRATION)
    signals = Signals(0.9, 0.9)
    assert named.verdict(signals, found=True).group == "Scanner A"
    assert told.verdict(signals, found=True, scanner="scanner a").group == "Scanner A"
    assert told.verdict(signals, found=True, scanner="Scanner B").group == ""
    with pytest.raises(InputError, match="group: must be one that the model was calibrated for: Scanner A, got B"):
        Trust(CALIBRATION, "B")


def test_the_volume_of_two_views_has_an_interval():
    case = measure_case(dict.fromkeys(("front", "side"), (DISC, (0.1, 0.1))))
    verdicts = [Trust(CALIBRATION).verdict(Signals(0.9, quality), found=True) for quality in (0.9, 0.6)]
    interval = volume_interval(case, verdicts)
    assert interval.high.value == pytest.approx(case.volume_ml.value * np.exp(3 * spread_of(0.6)))
    assert interval.low.unit == "ml"
    assert volume_interval(case, [verdicts[0], None]) is None
    assert volume_interval(measure_case({"front": (DISC, None)}), verdicts) is None


def test_the_overlay_has_a_badge_and_the_two_outlines():
    plain = Segmentation(UltrasoundImage(np.zeros((32, 40, 3), np.uint8), None, ""), DISC, DISC.astype(np.float32))
    drawn, bare = segment(SURE).draw(), plain.draw()
    blue = (drawn == (120, 170, 255)).all(axis=2)
    assert blue.any()
    assert not (bare == (120, 170, 255)).all(axis=2).any()
    assert (drawn != bare)[:12].any()  # the badge


def test_predict_writes_only_what_is_accepted_and_counts_the_rest(tmp_path, caplog):
    (tmp_path / "in").mkdir()
    for name in ("a", "b", "c"):
        Image.fromarray(np.zeros((32, 40), np.uint8)).save(tmp_path / "in" / f"{name}.png")
    scores = iter([SURE, UNSURE, ABSENT])

    class Changing(Scripted):
        def find(self, image):
            self.scores = next(scores)
            return super().find(image)

    paces = []
    segmenter = Changing(None, Trust(CALIBRATION))
    options = {"formats": ["json"], "accept": ["lesion"], "progress": False, "report": paces.append}
    with caplog.at_level(logging.INFO):
        assert segment_files(segmenter, tmp_path / "in", tmp_path / "out", **options) == 1
    assert [file.name for file in (tmp_path / "out").iterdir()] == ["a.json"]
    assert (paces[0].segmented, paces[0].withheld) == (1, 2)
    assert str(paces[0]).endswith("1 lesion, 1 doubtful, 1 nothing found; 2 not accepted and not written")
    assert "b: Doubtful, trust" in caplog.text


@pytest.mark.parametrize(
    ("radius", "inside"), [(9, True), (3, False), (15, False), (0, None)], ids=["same", "small", "large", "none"]
)
def test_a_table_says_whether_the_true_size_lies_in_the_interval(radius, inside):
    label = np.hypot(*np.mgrid[-16:16, -20:20]) < radius
    columns = judged_columns(Trust(CALIBRATION), Signals(0.9, 0.9, BLACK), DISC, label, {})
    assert columns["decision"] == "lesion"
    assert [columns[f"{name}_inside"] for name in ("long_axis", "short_axis", "area")] == 3 * [inside]


def test_decisions_are_counted_in_words():
    verdicts = [Trust(CALIBRATION).verdict(Signals(0.9, 0.9), found=found) for found in (True, True, False)]
    assert count_decisions(verdicts) == "2 lesion, 1 nothing found"


def test_a_larger_offset_than_the_picture_is_the_picture():
    assert measure(DISC).area.value > 0
    calibration = calibration_of("0" * 64)
    calibration["intervals"]["groups"][""] = {**calibration["intervals"]["groups"][""], "area": [-15.0, 15.0]}
    assert segment(SURE, Trust(calibration)).draw().shape == (32, 40, 3)
