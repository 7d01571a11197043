"""The bundle's overlays: networks of the paper, the same as a study trains, presets, and recipes, tested elsewhere."""

import json
from pathlib import Path

import pytest
from monai.bundle import ConfigParser

from monai_lesion.models.presets import preset_names
from monai_lesion.networks.complexity import NETWORKS, OTHERS

BUNDLE = Path(__file__).parents[2] / "bundles" / "lighter_unet"
RECIPES = ("converge",)
OVERLAYS = {path.stem: path for path in sorted((BUNDLE / "overlays").glob("*.json")) if path.stem not in RECIPES}
PRESETS = {"clinic", *preset_names()}  # they hold no network of the paper


def definition(variant):
    return {"_target_": f"monai_lesion.networks.{variant.network.__name__}", **variant.options}


def test_there_is_one_for_each_network():
    found = [json.loads(path.read_text())["network_def"] for name, path in OVERLAYS.items() if name not in PRESETS]
    landmarks = [kind.__name__ for kind, options in OTHERS.values() if not options]
    wanted = [definition(variant) for variant in NETWORKS.values()]
    wanted += [{"_target_": f"monai_lesion.networks.{name}"} for name in landmarks]
    assert sorted(found, key=str) == sorted(wanted, key=str)


@pytest.mark.parametrize("name", OVERLAYS)
def test_an_overlay_replaces_the_network_whole_and_names_keys_that_exist(name):
    overlay = json.loads(OVERLAYS[name].read_text())
    recipe = ["overlays/converge.json"] if "negatives" in overlay else []  # that the overlay says to name before it
    for config in ["train"] if recipe else ["train", "inference"]:  # a preset's model folder says all of inference
        parser = ConfigParser()
        parser.read_config(
            [str(BUNDLE / file) for file in (f"configs/{config}.json", *recipe, f"overlays/{name}.json")]
        )
        assert "group_size" not in parser["network_def"] or "LighterUNet" in parser["network_def"]["_target_"]
    plain = json.loads((BUNDLE / "configs" / "train.json").read_text())
    for file in recipe:
        plain |= json.loads((BUNDLE / file).read_text())
    assert {key.split("#")[0] for key in overlay} <= set(plain)


def test_weight_decays_are_the_authors_where_those_are_known():
    known = {name: json.loads(path.read_text()).get("weight_decay") for name, path in OVERLAYS.items()}
    assert {name: decay for name, decay in known.items() if decay} == {"light_unet": 1e-3, "lighter_unet_1": 1e-2}
