"""The networks of a configuration: opened once, and held against the rules that need a calibration."""

from __future__ import annotations

import shutil
from dataclasses import replace

import pytest

pytest.importorskip("pydantic", reason="the service needs pydantic")

from monai_lesion.errors import InputError
from monai_lesion.models.descriptions import write_description
from monai_lesion.models.folders import read_model
from monai_lesion.models.presets import load_preset
from monai_lesion.service import models
from monai_lesion.service.configurations import ModelPart, read_configuration
from tests.service import SMALLEST


def test_a_preset_opens_by_name_and_a_missing_folder_does_not(tmp_path):
    assert models.open_model(ModelPart(folder="pocket")).settings["model"] == "pocket"
    with pytest.raises(InputError, match=r"must be a model folder with model.json"):
        models.open_model(ModelPart(folder=str(tmp_path)))


def test_a_rule_by_decision_needs_a_calibration(tmp_path):
    folder, file = shutil.copytree(load_preset("pocket").path, tmp_path / "plain"), tmp_path / "service.toml"
    write_description(folder, replace(read_model(folder).description, calibration=None))
    text = SMALLEST.replace('folder = "pocket"', f"folder = {str(folder)!r}")
    file.write_text(text.replace('destination = "archive"', 'destination = "archive"\naccept = ["lesion"]'))
    configuration = read_configuration(file)
    with pytest.raises(InputError, match=r"routes\[0\].to\[0\]: accept and least_trust need a calibration"):
        models.open_models(configuration)


def test_a_model_that_is_open_is_not_opened_again(tmp_path, monkeypatch):
    (tmp_path / "service.toml").write_text(SMALLEST)
    configuration = read_configuration(tmp_path / "service.toml")
    monkeypatch.setattr(models, "open_model", lambda part: pytest.fail("opened"))
    assert models.open_models(configuration, {configuration.models["breast"]: "open"}) == {"breast": "open"}
