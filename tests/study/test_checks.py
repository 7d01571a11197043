"""What is refused before anything is trained: networks, overrides, data, the output folder."""

import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from monai_lesion.errors import InputError, ManifestError
from monai_lesion.study.checks import check_data, check_networks, check_overrides, check_resolution, claim_output
from monai_lesion.study.specifications import load_study, parse_study
from monai_lesion.study.trials import Place

ROOT = Path(__file__).parents[2]
BUNDLE = ROOT / "bundles" / "lighter_unet"
SMALL = {"name": "small", "networks": ["Lighter U-net @8"], "weight_decays": [0.0001], "seeds": [0]}


def study(**changes):
    return parse_study({**SMALL, **changes})


def data(folder, **counts):
    """A manifest of tiny pictures, so many of each split."""
    folder.mkdir(parents=True, exist_ok=True)
    content = {"name": "tiny"}
    for split, count in {"training": 3, "validation": 1, "test": 1, **counts}.items():
        content[split] = []
        for number in range(count):
            name = f"{split}{number}"
            seed = np.random.default_rng(len(str(content)))
            Image.fromarray(seed.integers(0, 255, (16, 16), dtype=np.uint8)).save(folder / f"{name}.png")
            Image.fromarray(np.full((16, 16), 255, np.uint8)).save(folder / f"{name}_mask.png")
            entry = {"case_id": name, "view": "front", "image": f"{name}.png", "label": f"{name}_mask.png"}
            content[split].append(entry)
    (folder / "manifest.json").write_text(json.dumps(content))
    return folder / "manifest.json"


@pytest.fixture
def place(tmp_path):
    return Place(tmp_path / "out", BUNDLE, data(tmp_path / "data"), None)


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(path.stem for path in (ROOT / "studies").glob("*.json")))
def test_the_studies_of_the_project_pass(name):
    known = load_study(ROOT / "studies" / f"{name}.json")
    check_networks(known)
    check_overrides(known, BUNDLE)


@pytest.mark.parametrize(
    ("network", "message"),
    [
        ({"_target_": "monai_lesion.networks.LighterUNet", "group_size": 3}, "group_size: must be a positive integer"),
        ({"_target_": "monai_lesion.networks.LighterUNet", "group_sise": 8}, "group_sise"),
        ({"_target_": "monai_lesion.networks.NoSuchNet"}, "NoSuchNet"),
    ],
    ids=str,
)
def test_refuses_networks_that_cannot_be_built(network, message):
    known = study(networks=[{"network": network, "name": "mine"}])
    with pytest.raises(InputError, match=rf"small, mine: must be a network.*{message}"):
        check_networks(known)


@pytest.mark.parametrize(
    "overrides",
    [
        {"max_epochs": 3},
        {"train#dataloader#drop_last": True},
        {"loss": {"_target_": "DiceCELoss"}},
        {"loss#batch": True},
    ],
    ids=str,
)
def test_takes_overrides_that_change_something(overrides):
    check_overrides(study(overrides=overrides), BUNDLE)


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ({"max_epoch": 3}, "must be keys of train.json, got 'max_epoch'. Did you mean 'max_epochs'?"),
        ({"loss#smoothness": 1}, "got 'loss#smoothness'"),
        ({"train#datalaoder#drop_last": True}, "got 'train#datalaoder#drop_last'"),
        ({"xyzzy": 1}, "docs/reference/bundle.md"),
    ],
    ids=str,
)
def test_refuses_overrides_that_change_nothing(overrides, message):
    with pytest.raises(InputError, match=re.escape(message)):
        check_overrides(study(overrides=overrides), BUNDLE)
    own = study(networks=[{"network": "U-net", "overrides": overrides}])
    with pytest.raises(InputError, match=r"small, U-net, overrides: must be keys"):
        check_overrides(own, BUNDLE)


def test_refuses_a_folder_without_a_bundle(tmp_path):
    with pytest.raises(InputError, match=r"must be the folder of the bundle, got a folder without configs/train\.json"):
        check_overrides(study(), tmp_path)


def test_refuses_two_resolutions_which_no_table_could_hold():
    networks = ["U-net", {"network": "Lighter U-net @8", "overrides": {"spatial_size": [64, 64]}}]
    with pytest.raises(InputError, match=r"small, spatial_size: must be one in a study, got .*\[64, 64\] of Lighter"):
        check_resolution(study(networks=networks))
    check_resolution(study(overrides={"spatial_size": [64, 64]}))


def test_refuses_a_manifest_without_a_test_split(tmp_path):
    place = Place(tmp_path / "out", BUNDLE, data(tmp_path / "data", test=0), None)
    with pytest.raises(ManifestError, match='the split "test" must hold images'):
        check_data(study(), place)


@pytest.mark.parametrize(("images", "batch", "good"), [(3, 2, False), (4, 2, True), (3, 8, True), (1, 8, False)])
def test_deeplab_must_not_be_left_with_one_image(tmp_path, images, batch, good):
    place = Place(tmp_path / "out", BUNDLE, data(tmp_path / "data", training=images), None)
    known = study(networks=["DeepLab v3+ MobileNetV2", "U-net"], overrides={"batch_size": batch})
    if good:
        check_data(known, place)
        return
    with pytest.raises(InputError, match=r"DeepLab v3\+ MobileNetV2: cannot train on one image, got .*drop_last"):
        check_data(known, place)


def test_drop_last_needs_a_whole_batch(place):
    known = study(overrides={"train#dataloader#drop_last": True})
    with pytest.raises(InputError, match="needs a batch of 8 training images, got 3 images"):
        check_data(known, place)


def test_the_same_study_claims_its_folder_again_and_may_grow(place):
    claim_output(study(), place)
    claim_output(study(), place)
    claim_output(study(networks=["Lighter U-net @8", "U-net"], seeds=[0, 1]), place)
    claim_output(study(), place)
    content = json.loads((place.output / "study.json").read_text())["study"]
    assert [entry["name"] for entry in content["networks"]] == ["Lighter U-net @8", "U-net"]


@pytest.mark.parametrize(
    ("changes", "what"),
    [
        ({"name": "other"}, "name differs"),
        ({"overrides": {"max_epochs": 3}}, "overrides differs"),
        ({"weight_decays": [0.0]}, "weight_decays of Lighter U-net @8 differs"),
        ({"networks": [{"network": "Lighter U-net @4", "name": "Lighter U-net @8"}]}, "network of Lighter U-net @8"),
    ],
    ids=str,
)
def test_refuses_a_folder_that_holds_another_study(place, changes, what):
    claim_output(study(), place)
    before = (place.output / "study.json").read_text()
    with pytest.raises(InputError, match=rf"out: must hold the same study, got another: {what}.*Choose a new --output"):
        claim_output(study(**changes), place)
    assert (place.output / "study.json").read_text() == before


def test_refuses_a_folder_of_another_manifest(place, tmp_path):
    claim_output(study(), place)
    other = replace(place, manifest=data(tmp_path / "other", training=2))
    with pytest.raises(InputError, match="got another: the manifest differs"):
        claim_output(study(), other)


def test_refuses_a_folder_of_other_files(place):
    place.output.mkdir()
    (place.output / "thesis.doc").touch()
    with pytest.raises(InputError, match="must be new, empty or a study's, got other files"):
        claim_output(study(), place)


def test_a_recipe_must_be_overlays_of_the_bundle():
    with pytest.raises(InputError, match=r"small, recipe: must be overlays of .*: .*converge, .*got nonsense"):
        check_overrides(study(recipe=["converge", "nonsense"]), BUNDLE)


def test_keys_of_a_recipe_may_be_overridden_and_only_with_it():
    check_overrides(study(recipe=["converge"], overrides={"negatives": 0.1}), BUNDLE)
    with pytest.raises(InputError, match="negatives"):
        check_overrides(study(overrides={"negatives": 0.1}), BUNDLE)


def test_a_folder_of_another_recipe_is_refused(place):
    claim_output(study(), place)
    with pytest.raises(InputError, match=r"must hold the same study, got another: recipe differs"):
        claim_output(study(recipe=["converge"]), place)
