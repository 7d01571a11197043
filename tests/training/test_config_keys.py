from __future__ import annotations

import re
from pathlib import Path

import pytest
from monai.bundle import ConfigParser

from monai_lesion.errors import InputError
from monai_lesion.training.config_keys import check_keys, unknown_keys

BUNDLE = Path(__file__).parents[2] / "bundles" / "lighter_unet"
TRAIN, CONVERGE = BUNDLE / "configs" / "train.json", BUNDLE / "overlays" / "converge.json"
ALONE = [BUNDLE / "configs" / "inference.json", TRAIN, CONVERGE]


def config(*files, **overrides):
    parser = ConfigParser()
    parser.read_config([str(file) for file in files])
    parser.update(overrides)
    parser.parse(reset=True)
    return parser.get()


@pytest.mark.parametrize(
    "files",
    [
        [BUNDLE / "configs" / "inference.json"],
        *(
            [TRAIN, overlay]
            for overlay in [BUNDLE / "configs" / "evaluate.json", BUNDLE / "configs" / "multi_gpu_train.json"]
        ),
        *([TRAIN, CONVERGE, overlay] for overlay in sorted((BUNDLE / "overlays").glob("*.json"))),
    ],
    ids=lambda files: files[-1].stem,
)
def test_every_config_of_the_bundle_knows_its_own_keys(files):
    assert list(unknown_keys(config(*files))) == []


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ({"lr": 0.01}, "--lr: must be a key of the config, got one that nothing uses. Did you mean learning_rate?"),
        ({"max_epoch": 3}, "Did you mean max_epochs?"),
        ({"train#trainer#max_epoch": 3}, "Did you mean train#trainer#max_epochs?"),
        ({"network_def#groupsize": 8}, "Did you mean network_def#group_size?"),
        ({"train#dataloader#num_worker": 2}, "Did you mean train#dataloader#num_workers?"),
        ({"flags#resum": True}, "Did you mean flags#resume?"),
        ({"negatives": 0.1}, "docs/reference/bundle.md lists the keys"),
        ({"images": "pictures"}, "--images: must be a key"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_a_key_that_nothing_uses_is_refused_with_the_nearest(overrides, message):
    with pytest.raises(InputError, match=re.escape(message)):
        check_keys(config(TRAIN, **overrides))


@pytest.mark.parametrize(
    "overrides",
    [
        {"train#dataloader#drop_last": True},
        {"loss": {"_target_": "DiceCELoss", "sigmoid": True}},
        {"network_def": {"_target_": "monai_lesion.networks.UNet"}},
        {"mine": 3, "learning_rate": "$@mine * 0.001"},
        {"_meta_": {"name": "as MONAI reads it beside the config"}},
    ],
    ids=str,
)
def test_a_key_that_something_uses_is_taken(overrides):
    check_keys(config(TRAIN, **overrides))


@pytest.mark.parametrize(("key", "value"), [("learning_rate", "fast"), ("batch_size", "8 "), ("seed", "")])
def test_text_for_a_number_is_refused(key, value):
    with pytest.raises(InputError, match=rf"--{key}: must be a number, got {value!r}. For example [\d.e-]+"):
        check_keys(config(TRAIN, **{key: value}))
    check_keys(config(TRAIN, **{key: "$1 + 1"}))


def test_a_config_that_is_run_checks_itself():
    parser = ConfigParser()
    parser.read_config(str(TRAIN))
    parser.update({"max_epoch": 3})
    with pytest.raises(RuntimeError) as found:
        parser.get_parsed_content("initialize#1")
    assert "Did you mean max_epochs?" in str(found.value.__cause__ or found.value.__context__)
