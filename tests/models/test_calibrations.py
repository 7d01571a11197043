"""A calibration in `model.json` is that of its network, whole, and in range."""

from __future__ import annotations

import json
import math

import pytest

from monai_lesion.errors import InputError
from monai_lesion.models.calibrations import check_calibration
from monai_lesion.models.descriptions import ModelDescription
from monai_lesion.models.presets import load_preset
from tests.calibrations import GROUP, calibration_of

ID = "a" * 64


def test_a_whole_calibration_is_taken():
    check_calibration(calibration_of(ID), ID, "model.json")
    check_calibration(json.loads(json.dumps(calibration_of(ID, presence=None, familiarity=None))), ID, "model.json")


def test_another_networks_is_refused():
    with pytest.raises(InputError, match=r"calibration must be of this network \(aaaaaaaaaaaa\), got one of"):
        check_calibration(calibration_of("b" * 64), ID, "model.json")


def test_a_description_checks_its_calibration():
    content = load_preset().description.to_dict()
    taken = {**content, "calibration": calibration_of(content["weights_id"])}
    assert ModelDescription.of(taken).calibration == taken["calibration"]
    with pytest.raises(InputError, match="calibration: trust must be"):
        ModelDescription.of({**content, "calibration": calibration_of(content["weights_id"], trust={})})


def wrong():
    right = calibration_of(ID)
    curve, near, intervals = right["trust"], right["familiarity"], right["intervals"]
    groups = {
        "a bound that is not finite": {**GROUP, "area": [-1.0, math.inf]},
        "NaN": {**GROUP, "area": [math.nan, 1.0]},
        "low above high": {**GROUP, "area": [1.0, -1.0]},
        "a huge bound": {**GROUP, "area": [-1.0, 1e9]},
        "an endless number": {**GROUP, "area": [-1.0, 10**400]},
        "no volume": {name: value for name, value in GROUP.items() if name != "volume"},
    }
    return {
        "presence": [{"threshold": 1.5, "lost": 0.03}, {"threshold": -0.1, "lost": 0.03}, {"threshold": True}, 0.2, []],
        "trust": [
            None,
            {**curve, "dice": [0.0, 0.9, 0.5]},
            {**curve, "quality": [0.0, 0.0, 1.0]},
            {**curve, "dice": [0.0, 1.0]},
            {**curve, "dice": [0.0, 0.5, 1.2]},
            {**curve, "least": 7},
            {**curve, "quality": [0.0, "x", 1.0]},
        ],
        "familiarity": [
            {**near, **change} for change in ({"scale": [0.0] * 46}, {"mean": [0.0]}, {"limit": 0}, {"whitening": []})
        ],
        "intervals": [
            {**intervals, "level": 1.0},
            {**intervals, "groups": {}},
            {**intervals, "groups": {"A": GROUP}},
            *({**intervals, "groups": {"": group}} for group in groups.values()),
        ],
        "signal": ["luck", None, ["scores"]],
        "data": [None, {"manifest": "x"}],
        "weights_id": [None, 5],
    }


@pytest.mark.parametrize(("name", "value"), [(n, v) for n, values in wrong().items() for v in values], ids=repr)
def test_a_value_out_of_range_is_refused(name, value):
    with pytest.raises(InputError, match=rf"model.json: calibration.*{name}"):
        check_calibration({**calibration_of(ID), name: value}, ID, "model.json")


@pytest.mark.parametrize("name", calibration_of(ID))
def test_every_part_must_be_there(name):
    content = {key: value for key, value in calibration_of(ID).items() if key != name}
    with pytest.raises(InputError, match=f"model.json: calibration must give {name}"):
        check_calibration(content, ID, "model.json")


@pytest.mark.parametrize("content", ["x", [], {}, 5, True], ids=repr)
def test_anything_else_is_refused(content):
    with pytest.raises(InputError, match="calibration must give weights_id"):
        check_calibration(content, ID, "model.json")
