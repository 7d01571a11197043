from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from monai_lesion.errors import InputError
from monai_lesion.models.bundles import bundle_folder
from monai_lesion.training import bundle_runs
from monai_lesion.training.bundle_runs import TrainingPlan, network_names, run_training


def names(plan):
    return [file.stem for file in plan.files()]


def test_the_plan_is_the_configs_of_the_bundle_in_their_order():
    assert names(TrainingPlan(Path("out"))) == ["train", "converge", "pocket"]
    assert names(TrainingPlan(Path("out"), recipe="paper", network="unet")) == ["train", "unet"]


def test_settings_win_and_what_is_not_said_is_left_to_the_config():
    plan = TrainingPlan(Path("out"), epochs=3, settings={"max_epochs": 5, "batch_size": 2})
    assert plan.overrides() == {
        "max_epochs": 5,
        "seed": 0,
        "resume": False,
        "bundle_root": str(bundle_folder()),
        "ckpt_dir": "out",
        "output_dir": str(Path("out/logs")),
        "batch_size": 2,
    }


def test_a_preset_names_its_weights():
    assert Path(TrainingPlan(Path("out"), start_from="pocket").overrides()["pretrained"]).name == "model.pt"


def test_weights_to_start_from_stand_in_place_of_the_encoders():
    def encoder_weights(definition):
        return definition["network_def"]["network"].get("encoder_weights", "imagenet")

    fresh, continued = TrainingPlan(Path("out")), TrainingPlan(Path("out"), start_from="pocket")
    assert "network_def" not in fresh.overrides()
    assert encoder_weights(continued.overrides()) is None
    assert "network_def" not in TrainingPlan(Path("out"), network="lighter_unet_8", start_from="pocket").overrides()


def test_the_networks_are_those_of_the_overlays():
    assert {"pocket", "unet", "lighter_unet_8"} <= set(network_names())
    assert "converge" not in network_names()


def test_the_command_shown_can_be_typed():
    command = TrainingPlan(Path("my out"), settings={"spatial_size": [64, 64]}).command()
    assert command.startswith("python -m monai.bundle run training --config_file ")
    assert "--ckpt_dir 'my out'" in command
    assert "--spatial_size '[64, 64]'" in command
    assert shlex.split(command)[6].startswith("['")  # a shell gives MONAI its list back
    assert "\"'" not in command.replace("\"['", "").replace("']\"", "")


def test_the_command_shown_survives_what_a_shell_would_expand():
    command = TrainingPlan(Path("o"), manifest=Path("a 'b' $c.json")).command()
    assert "a 'b' $c.json" in shlex.split(command)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"network": "pockett"}, "--network: must be one of .*Did you mean pocket?"),
        ({"network": "UNet"}, "--network: must be one of .*got UNet. Did you mean unet?"),
        ({"start_from": "clinic"}, "--start-from: must be weights of the network, pocket, .* Add --network clinic"),
        ({"recipe": "fast"}, "--recipe: must be one of converge, paper, got fast"),
        ({"start_from": "nowhere"}, "--start-from: must be weights, got no file nowhere"),
    ],
    ids=["network", "capitals", "another preset", "recipe", "weights"],
)
def test_what_does_not_exist_is_refused(options, message):
    with pytest.raises(InputError, match=message.replace("?", re.escape("?"))):
        run_training(TrainingPlan(Path("out"), **options))


def test_a_training_is_not_overwritten(tmp_path):
    (tmp_path / bundle_runs.CHECKPOINT).touch()
    with pytest.raises(InputError, match=r"must not hold a training, got last\.ckpt\. Add --resume"):
        run_training(TrainingPlan(tmp_path))


def test_an_unknown_setting_ends_in_one_message(tmp_path):
    with pytest.raises(InputError, match=r"--lr: must be a key of the config.*Did you mean learning_rate"):
        run_training(TrainingPlan(tmp_path, settings={"lr": 0.1}))
