"""What a calibration makes of pictures, and what it refuses."""

from __future__ import annotations

import json
import math
import shutil
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from monai_lesion.datasets.manifests import load_manifest
from monai_lesion.errors import InputError
from monai_lesion.measures.judgements import FEATURES, Signals, bounds_of, judge
from monai_lesion.measures.sizes import Quantity, measure
from monai_lesion.models.calibrations import check_calibration
from monai_lesion.models.descriptions import write_description
from monai_lesion.models.folders import read_model
from monai_lesion.models.presets import load_preset
from monai_lesion.segmentation.calibrations import JudgedPicture, OperatingPoint, calibrate, fit
from monai_lesion.segmentation.segmenters import Finding

pytest.importorskip("sklearn", reason="scikit-learn is in the extra trust")
ID = "a" * 64
GRID = np.hypot(*np.mgrid[-16:16, -20:20])


def disc(radius):
    return radius > GRID


DISC = measure(disc(10))


def scaled(factor):
    sizes = {name: Quantity(getattr(DISC, name).value * factor, "px") for name in ("long_axis", "short_axis", "width")}
    return replace(DISC, **sizes, area=Quantity(DISC.area.value * factor**2, "px2"))


def picture(number, *, lesion=True, presence=0.9, quality=0.8, dice=0.85, radius=10.0, features=None, **facts):
    true = scaled(radius / 10) if lesion else None
    known = {"case_id": f"c{number}", "view": "front", "group": "", "found": True, "probability": 0.99, **facts}
    signals = Signals(presence, quality, np.zeros(FEATURES) if features is None else features)
    return JudgedPicture(
        lesion=lesion, signals=signals, dice=dice if lesion else 0.0, measured=DISC, true=true, **known
    )


def many(count=100, empty=10):
    """Lesions of presence 0.01 to 1, whose masks are the better the higher their quality; then pictures without one."""
    draw = np.random.default_rng(0)
    quality = draw.random(count)
    lesions = [
        picture(
            i,
            presence=(i + 1) / count,
            quality=quality[i],
            dice=float(np.clip(quality[i] + 0.05 * draw.standard_normal(), 0, 1)),
            radius=10 * math.exp((1.1 - quality[i]) * 0.2 * draw.standard_normal()),
            features=draw.standard_normal(FEATURES),
        )
        for i in range(count)
    ]
    return [
        *lesions,
        *(
            picture(count + i, lesion=False, presence=0.001, features=draw.standard_normal(FEATURES))
            for i in range(empty)
        ),
    ]


def fitted(pictures, **options):
    return fit(pictures, weights_id=ID, signal="scores", data={"manifest": "m", "split": "s"}, **options)


def test_the_calibration_is_one_that_a_model_may_carry_and_keeps_the_wanted_share_of_lesions():
    pictures = many()
    calibration, said = fitted(pictures)
    check_calibration(json.loads(json.dumps(calibration)), ID, "model.json")
    assert calibration["presence"]["threshold"] == pytest.approx(0.03, abs=0.011)
    decided = [judge(calibration, each.signals, found=True).decision for each in pictures]
    assert decided[:100].count("nothing found") <= 3
    assert decided[100:] == ["nothing found"] * 10
    assert said == ["all pictures: too few cases for intervals of volume"]
    assert (calibration["data"]["cases"], calibration["data"]["without_lesion"]) == (110, 10)


def test_trust_is_the_dice_and_intervals_cover_new_pictures():
    calibration, _ = fitted(many())
    for quality in (0.2, 0.5, 0.8):
        assert judge(calibration, Signals(0.9, quality, np.zeros(FEATURES)), found=True).trust == pytest.approx(
            quality, abs=0.12
        )
    draw, covered = np.random.default_rng(1), []
    for quality in draw.random(2000):
        ratio = math.exp((1.1 - quality) * 0.2 * draw.standard_normal())
        low, high = bounds_of(calibration, "long_axis", quality)
        covered.append(low <= ratio <= high)
    assert 0.85 < np.mean(covered) < 0.97


def test_a_picture_unlike_the_others_is_flagged_and_most_others_are_not():
    calibration, _ = fitted(many())
    flagged = [judge(calibration, each.signals, found=True).unfamiliar for each in many()]
    assert sum(flagged) <= 10
    assert judge(calibration, Signals(0.9, 0.9, np.full(FEATURES, 30.0)), found=True).unfamiliar


def test_without_pictures_that_lack_a_lesion_presence_stays_uncalibrated_and_that_is_said():
    calibration, said = fitted(many(empty=0))
    assert calibration["presence"] is None
    assert said[0].startswith("presence is not calibrated, for every picture shows a lesion")


def test_a_network_that_loses_more_than_wanted_takes_no_more_back():
    pictures = [
        replace(each, found=i >= 10, measured=each.measured if i >= 10 else None) for i, each in enumerate(many())
    ]
    calibration, said = fitted(pictures)
    assert calibration["presence"] is None
    assert "10 of 100 lesions have no mask" in said[0]


def test_groups_of_forty_cases_have_intervals_and_smaller_ones_are_pooled_and_named():
    pictures = [replace(each, group="A" if i < 60 else "B") for i, each in enumerate(many(90))]
    calibration, said = fitted(pictures, by="device")
    assert set(calibration["intervals"]["groups"]) == {"", "A"}
    assert any(text.startswith("device B: 30 cases, fewer than 40; pooled") for text in said)


def test_two_views_of_a_case_give_its_volume_an_interval():
    pictures = [replace(each, view=view) for each in many(60) for view in ("front", "side")]
    calibration, _ = fitted(pictures)
    assert calibration["intervals"]["groups"][""]["volume"] is not None


@pytest.mark.parametrize(
    ("pictures", "message"),
    [
        (many(45, empty=4), "calibration: needs at least 50 cases, got 49"),
        (many(0, empty=60), "calibration: needs pictures with a lesion, got 60 without one"),
        ([replace(each, found=False, measured=None) for each in many()], "needs masks of lesions"),
    ],
    ids=["few cases", "no lesion", "no mask"],
)
def test_rejects_pictures(pictures, message):
    with pytest.raises(InputError, match=message):
        fitted(pictures)


@pytest.mark.parametrize("change", [{"lost": 0}, {"level": 1.0}, {"least_trust": -1}])
def test_rejects_an_operating_point(change):
    with pytest.raises(InputError, match="must be a share between 0 and 1"):
        OperatingPoint(**change)


@pytest.fixture
def data(tmp_path):
    """Fifty pictures of 32 x 40 with one disc, and five without any."""
    entries = []
    for number in range(55):
        radius = 6 + number % 7 if number < 50 else 0
        mask, pixels = (disc(radius) * 255).astype(np.uint8), np.full((32, 40), number, np.uint8)
        for name, array in (("i", pixels), ("m", mask)):
            Image.fromarray(array).save(tmp_path / f"{name}{number}.png")
        entry = {"case_id": f"c{number}", "view": "front", "image": f"i{number}.png", "label": f"m{number}.png"}
        entries.append({**entry, "empty": not radius, "device": "A"})
    (tmp_path / "m.json").write_text(json.dumps({"name": "discs", "calibration": entries}))
    return load_manifest(tmp_path / "m.json", splits=("calibration",))


def fake(folder, scores=True):
    """A model folder whose network knows the number of the picture by its grey level."""
    shutil.copytree(load_preset().path, folder, dirs_exist_ok=True)
    write_description(folder, replace(read_model(folder).description, calibration=None))

    def find(image):
        number = int(image.pixels[0, 0, 0])
        mask = disc(9).astype(np.uint8)
        row = np.float32([[3.0 if number < 50 else -3.0, 1 + number / 50]])
        return Finding(mask, mask.astype(np.float32), row if scores else None)

    model = read_model(folder)
    outputs = {name: value for name, value in model.description.outputs.items() if scores or name != "scores"}
    return SimpleNamespace(folder=replace(model, description=replace(model.description, outputs=outputs)), find=find)


def test_calibrate_changes_model_json_alone(data, tmp_path):
    segmenter = fake(tmp_path / "model")
    before = {file.name: file.read_bytes() for file in (tmp_path / "model").iterdir()}
    description, _ = calibrate(segmenter, data, "calibration", by="device")
    assert read_model(tmp_path / "model").description == description
    assert description.calibration["intervals"]["by"] == "device"
    assert description.calibration["signal"] == "scores"
    changed = {file.name for file in (tmp_path / "model").iterdir() if before[file.name] != file.read_bytes()}
    assert changed == {"model.json"}


@pytest.mark.slow
def test_calibrate_writes_a_copy_where_wanted(data, tmp_path):
    segmenter = fake(tmp_path / "model", scores=False)
    calibrate(segmenter, data, "calibration", output=tmp_path / "copy")
    assert read_model(tmp_path / "model").description.calibration is None
    calibration = read_model(tmp_path / "copy").description.calibration
    assert calibration["signal"] == "views"
    with pytest.raises(InputError, match="must be a new or empty folder"):
        calibrate(segmenter, data, "calibration", output=tmp_path / "copy")


def test_calibrate_rejects_what_cannot_be_and_writes_nothing(data, tmp_path):
    segmenter = fake(tmp_path / "model", scores=False)
    with pytest.raises(InputError, match="--signal: scores need a network that has some"):
        calibrate(segmenter, data, "calibration", signal="scores")
    with pytest.raises(InputError, match=r"--by: must be a column of the manifest: .*device.*, got centre"):
        calibrate(segmenter, data, "calibration", by="centre")
    with pytest.raises(InputError, match="calibration: needs a model folder to write into"):
        calibrate(SimpleNamespace(folder=None), data, "calibration")
    with pytest.raises(InputError, match='the split "test" must hold images'):
        calibrate(segmenter, data, "test")
    assert read_model(tmp_path / "model").description.calibration is None
