from __future__ import annotations

import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch

from monai_lesion import LesionSegmenter
from monai_lesion.errors import CheckpointError, InputError
from monai_lesion.measures.metrics import dice
from monai_lesion.models.bundle_networks import read_bundle
from monai_lesion.models.writers import write_model_folder
from monai_lesion.networks.identity import weights_id
from monai_lesion.pipeline.steps import Steps
from tests.segmentation.pictures import BUNDLE, STEPS, Brightness, red


def test_mask_and_probability_are_upright_and_of_the_pictures_size(segmenter):
    picture, mask = red()
    result = segmenter(picture)
    np.testing.assert_array_equal(result.mask, mask)
    assert result.mask.dtype == np.uint8
    assert result.probability.dtype == np.float32
    np.testing.assert_array_equal(result.probability > 0.5, mask)


def test_another_size_than_the_networks_comes_back_as_it_was(segmenter):
    picture, mask = red(96, 160)
    picture[:], mask[:] = picture[::-1], mask[::-1]
    result = segmenter(picture)
    assert result.mask.shape == (96, 160)
    assert 2 * (result.mask * mask).sum() / (result.mask.sum() + mask.sum()) > 0.97


def test_bgr_networks_are_fed_blue_first():
    picture, mask = red()
    bgr = LesionSegmenter(Brightness(channel=2), replace(STEPS, channel_order="bgr"), device="cpu")
    np.testing.assert_array_equal(bgr(picture).mask, mask)
    rgb = LesionSegmenter(Brightness(channel=2), STEPS, device="cpu")
    assert not rgb(picture).mask.any()


def test_rejects_an_unknown_channel_order():
    with pytest.raises(InputError, match=r'channel_order.*"rgb" or "bgr", got grb'):
        LesionSegmenter(Brightness(), Steps(channel_order="grb"))


def test_threshold_first_still_gives_a_probability_of_the_pictures_size():
    result = LesionSegmenter(Brightness(), replace(STEPS, order="threshold_first"), device="cpu")(red(60, 100)[0])
    assert result.probability.shape == result.mask.shape == (60, 100)
    assert len(np.unique(result.probability)) > 2


def test_bundle_gives_network_and_transforms(weights):
    overrides = {"network_def#group_size": 1, "spatial_size": [32, 32]}
    segmenter = LesionSegmenter.from_bundle(BUNDLE, weights=weights, overrides=overrides)
    assert segmenter(red()[0]).mask.shape == (48, 80)
    assert not segmenter.network.training
    assert segmenter.steps == Steps((32, 32))
    result = segmenter(red()[0]).to_dict()
    told = {"network": "LighterUNet(group_size=1)", "runtime": "onnx fp32", "input_size": [32, 32]}
    assert {name: result[name] for name in told} == told
    assert result["weights_id"] == segmenter.algorithm.weights
    assert [result[name] for name in ("decision", "trust", "intervals")] == [None] * 3


@pytest.mark.slow
def test_a_bundle_without_a_model_folder_is_converted_and_says_so(weights, caplog):
    overrides = {"network_def#group_size": 1, "spatial_size": [32, 32], "threshold": 0.4}
    with caplog.at_level("INFO"):
        segmenter = LesionSegmenter.from_bundle(BUNDLE, weights=weights, overrides=overrides)
    assert caplog.text.count("for ONNX Runtime for this run only") == 1
    assert segmenter.steps.threshold == 0.4
    plain = LesionSegmenter(segmenter.network, segmenter.steps, device="cpu")
    assert dice(segmenter(red()[0]).mask, plain(red()[0]).mask) >= 0.999


@pytest.mark.slow
def test_a_trained_bundle_is_opened_without_being_converted(weights, tmp_path, caplog):
    overrides = {"network_def#group_size": 1, "spatial_size": [32, 32]}
    network = read_bundle(BUNDLE, weights=weights, overrides=overrides).network
    bundle = tmp_path / "bundle"
    shutil.copytree(BUNDLE / "configs", bundle / "configs")
    (bundle / "models").mkdir()
    shutil.copy(weights, bundle / "models" / "model.pt")
    write_model_folder(network, bundle / "models", steps=Steps((32, 32)))
    with caplog.at_level("INFO"):
        opened = LesionSegmenter.from_bundle(bundle)
    assert "converting" not in caplog.text
    assert opened.algorithm.weights == weights_id(network.state_dict())
    torch.save({"model": {name: value * 2 for name, value in network.state_dict().items()}}, weights)
    shutil.copy(weights, bundle / "models" / "model.pt")  # trained on, by something that writes no folder
    with pytest.raises(CheckpointError, match=r"weights of LighterUNet\(group_size=128\)"):
        LesionSegmenter.from_bundle(bundle)
    torch.save({"model": network.state_dict()}, weights)


def test_weights_of_another_variant_are_refused_with_both_names(weights):
    with pytest.raises(
        CheckpointError, match=r"weights of LighterUNet\(group_size=128\), got weights of LighterUNet\(group_size=1\)"
    ):
        LesionSegmenter.from_bundle(BUNDLE, weights=weights, device="cpu")


def test_missing_weights_say_what_to_do(tmp_path):
    with pytest.raises(CheckpointError, match=r"model.pt: the weights must exist, got no file. Train first"):
        LesionSegmenter.from_bundle(BUNDLE, weights=tmp_path / "model.pt", device="cpu")


def test_an_unknown_network_argument_is_named(weights):
    with pytest.raises(InputError, match="group_sise"):
        LesionSegmenter.from_bundle(BUNDLE, weights=weights, overrides={"network_def#group_sise": 16})


def test_a_folder_that_is_no_bundle_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"must be a bundle with configs/inference.json, got no such file"):
        LesionSegmenter.from_bundle(tmp_path)
