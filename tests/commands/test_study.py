"""The command line of studies: its refusals, and that both groups of commands share one name."""

import json
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from monai_lesion.commands.app import app
from monai_lesion.commands.study import register, study_group
from monai_lesion.errors import InputError

ROOT = Path(__file__).parents[2]


def invoke(*words):
    return CliRunner().invoke(app, ["study", *map(str, words)])


def test_the_group_is_made_once():
    application = typer.Typer()
    register(application)
    group = study_group(application)
    assert {command.name for command in group.registered_commands} == {"run", "report"}
    assert study_group(application) is group


def test_options_of_ray_belong_to_ray(tmp_path):
    result = invoke("run", ROOT / "studies" / "smoke.json", "--output", tmp_path, "--gpus-per-trial", "0.5")
    assert isinstance(result.exception, InputError)
    assert "need --engine ray" in str(result.exception)


def test_an_address_is_tried_before_anything_else(tmp_path):
    options = ("--engine", "ray", "--address", "127.0.0.1:1", "--output", tmp_path / "out")
    result = invoke("run", tmp_path / "absent.json", *options)
    assert "must answer" in str(result.exception)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("option", ["--dataset-dir", "--dataset_dir"])
def test_the_data_folder_is_an_option_either_way(tmp_path, option):
    study = {"name": "x", "networks": ["Lighter U-net @1"], "weight_decays": [0], "seeds": [0]}
    (tmp_path / "study.json").write_text(json.dumps(study))
    (tmp_path / "manifest.json").write_text(json.dumps({"training": [], "validation": [], "test": []}))
    words = ("--manifest", tmp_path / "manifest.json", option, tmp_path / "gone", "--output", tmp_path / "out")
    result = invoke("run", tmp_path / "study.json", *words, "--bundle", ROOT / "bundles" / "lighter_unet")
    assert f"{tmp_path / 'gone'}: must be the folder of the data" in str(result.exception)


@pytest.mark.parametrize(("option", "value"), [("--only", "@9"), ("--seed", "9")])
def test_what_is_to_run_alone_must_be_planned(tmp_path, option, value):
    result = invoke("run", ROOT / "studies" / "smoke.json", "--output", tmp_path / "out", option, value)
    assert isinstance(result.exception, InputError)
    assert f"{option}: must be one of" in str(result.exception)
    assert not (tmp_path / "out").exists()


def test_a_report_of_nothing_is_refused(tmp_path):
    assert "must hold the trials of a study" in str(invoke("report", tmp_path).exception)


@pytest.mark.slow
def test_networks_have_a_width():
    result = CliRunner().invoke(app, ["networks", "--width", "0.25"])
    assert "| Lighter U-net @8, width 0.25 | 220,213 | 1.78 |\n" in result.output
