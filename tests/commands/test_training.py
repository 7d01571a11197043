"""The doors hand over what was typed; what lies behind them has its own tests."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest
from typer.testing import CliRunner

from monai_lesion.commands.app import app
from monai_lesion.training import bundle_runs, cross_validation


@pytest.fixture
def plans(monkeypatch):
    seen = []

    def train(plan):
        seen.append(plan)
        return plan.output

    def cross_validate(plan, **options):
        seen.append((plan, options))
        counts = {"n": 1, "mean": 0.5, "std": 0.1}
        summary = {"n": 1, "missed": 0, "false_alarms": 0, **dict.fromkeys(("dice", "hd95", "hd95_monai"), counts)}
        folders = {"model": plan.output / "model", "evaluation": plan.output / "evaluation"}
        return SimpleNamespace(**folders, summary={**summary, "by": {}})

    monkeypatch.setattr(bundle_runs, "run_training", train)
    monkeypatch.setattr(cross_validation, "cross_validate", cross_validate)
    return seen


def test_train_hands_over_its_options_and_ends_with_the_commands_that_use_the_model(plans):
    words = ["train", "--manifest", "m.json", "--output", "mine", "--epochs", "3", "--set", "batch_size=4", "--resume"]
    result = CliRunner().invoke(app, [*words, "--set", "network_def={'_target_': 'monai_lesion.networks.UNet'}"])
    assert result.exit_code == 0, result.output
    (plan,) = plans
    assert (plan.output, plan.manifest, plan.epochs, plan.resume) == (Path("mine"), Path("m.json"), 3, True)
    assert plan.settings == {"batch_size": 4, "network_def": {"_target_": "monai_lesion.networks.UNet"}}
    assert "python -m monai.bundle run training --config_file" in result.output
    assert "monai-lesion predict PICTURES --bundle mine --output results" in result.output
    assert "monai-lesion evaluate --bundle mine --manifest m.json --output" in result.output


def test_the_commands_shown_name_the_folder_of_the_data_and_can_be_typed(plans):
    words = ["train", "--manifest", "my list.json", "--dataset-dir", "my data", "--output", "mine"]
    result = CliRunner().invoke(app, words)
    assert "evaluate --bundle mine --manifest 'my list.json' --dataset-dir 'my data' --output" in result.output


def test_crossval_hands_over_its_options(plans):
    words = ["crossval", "--manifest", "m.json", "--output", "cv", "--folds", "4", "--stratify", "a,b", "--views", "4"]
    result = CliRunner().invoke(app, words)
    assert result.exit_code == 0, result.output
    ((plan, options),) = plans
    assert (plan.output, options["folds"], options["stratify"], options["views"]) == (Path("cv"), 4, ["a", "b"], 4)
    assert f"--bundle {Path('cv/model')}" in result.output
