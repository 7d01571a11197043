"""Network and steps as the bundle's config and its weights tell them."""

from __future__ import annotations

import pytest
import torch

from monai_lesion import LesionSegmenter
from monai_lesion.errors import CheckpointError
from monai_lesion.models.bundle_networks import read_bundle
from monai_lesion.models.bundles import bundle_folder
from monai_lesion.networks import LighterUNet
from monai_lesion.networks.definitions import definition_of
from monai_lesion.pipeline.steps import Steps


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """What a training of another network, with pictures of another size, leaves."""
    network, path = LighterUNet(group_size=1, width=0.125), tmp_path_factory.mktemp("weights") / "model.pt"
    told = {"network_def": definition_of(network), "input_size": [32, 48]}
    torch.save({"model": network.state_dict(), **told}, path)
    return path


@pytest.mark.parametrize("overrides", [{}, {"threshold": 0.4}, {"network_def#dropout": 0.1}], ids=str)
def test_a_bundle_takes_both_from_the_weights(weights, overrides):
    found = read_bundle(bundle_folder(), weights=weights, overrides=overrides)
    assert found.steps == Steps((32, 48), overrides.get("threshold", 0.5))
    assert definition_of(found.network)["width"] == 0.125


@pytest.mark.parametrize(
    "overrides",
    [{"spatial_size": [256, 256]}, {"preprocessing#spatial_size": [64, 64]}, {"network_def#group_size": 2}],
    ids=str,
)
def test_an_override_that_contradicts_the_weights_is_refused(weights, overrides):
    with pytest.raises(CheckpointError):
        LesionSegmenter.from_bundle(bundle_folder(), weights=weights, overrides=overrides)


@pytest.mark.parametrize(
    "own",
    [{"postprocessing": {"_target_": "monai.transforms.Compose", "transforms": []}}, {"preprocessing#augment": True}],
    ids=["another class", "another option"],
)
def test_a_bundle_with_transforms_of_its_own_keeps_them(weights, own):
    assert read_bundle(bundle_folder(), weights=weights, overrides=own).steps is None
