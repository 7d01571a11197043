"""What is written into a model folder, whole or not at all."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
import torch

from monai_lesion import LesionSegmenter
from monai_lesion.errors import InputError
from monai_lesion.models.descriptions import read_description
from monai_lesion.models.folders import read_model
from monai_lesion.models.writers import write_model_folder
from monai_lesion.networks.definitions import build_network
from monai_lesion.pipeline.steps import Steps
from tests.small_networks import SIZE

pytest.importorskip("openvino", reason="OpenVINO is in the extra cpu")


@pytest.mark.slow
def test_a_write_that_fails_leaves_no_half_model(trained, network, monkeypatch):
    from monai_lesion.runtimes import conversions

    before = {file.name: file.read_bytes() for file in trained.iterdir()}
    monkeypatch.setattr(conversions, "write_onnx", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        write_model_folder(network, trained, steps=Steps(SIZE))
    assert {file.name: file.read_bytes() for file in trained.iterdir()} == before


@pytest.mark.slow
def test_half_the_bytes_and_the_same_masks(network, tmp_path, view):
    for half in (False, True):
        write_model_folder(network, tmp_path / str(half), steps=Steps(SIZE), half=half)
    sizes = [(tmp_path / str(half) / "model.onnx").stat().st_size for half in (False, True)]
    assert sizes[1] < 0.7 * sizes[0]
    assert read_description(tmp_path / "True").stored == "fp16"
    exact, half = (LesionSegmenter.from_model(tmp_path / str(half))(view.pixels) for half in (False, True))
    assert 0 < np.abs(exact.probability - half.probability).max() < 0.02  # rounding differs between processors
    assert (exact.mask != half.mask).mean() < 0.01
    with pytest.raises(InputError, match="for weights in half precision must be onnx in fp32, got openvino fp32"):
        write_model_folder(network, tmp_path / "more", steps=Steps(SIZE), format="openvino", half=True)


class Scored(torch.nn.Module):
    """Logits, and two scores of the whole picture."""

    def __init__(self, network):
        super().__init__()
        self.network = network

    def forward(self, x):
        logits = self.network(x)
        mean = logits.mean(dim=(2, 3))
        return logits, torch.cat([mean, mean * 2], dim=1)


@pytest.mark.slow
@pytest.mark.parametrize(("format", "whole"), [
    *product(("onnx", "openvino", "torchscript"), (False, True)),
])  # fmt: skip
def test_scores_of_a_network_come_with_the_mask(network, tmp_path, view, format, whole):
    scored = Scored(network).eval()
    description = write_model_folder(scored, tmp_path / "m", steps=Steps(SIZE), format=format, end_to_end=whole)
    assert list(description.outputs) == [*(["mask", "probability"] if whole else ["logits"]), "scores"]
    expected = LesionSegmenter(scored, Steps(SIZE), device="cpu")(view.pixels)
    assert expected.scores.shape == (1, 2)
    found = LesionSegmenter.from_model(tmp_path / "m")(view.pixels)
    np.testing.assert_array_equal(found.mask, expected.mask)
    np.testing.assert_allclose(found.scores, expected.scores, rtol=1e-3, atol=1e-4)
    plain = LesionSegmenter(network, Steps(SIZE), device="cpu")(view.pixels)
    np.testing.assert_array_equal(plain.mask, expected.mask)
    assert plain.scores is None


@pytest.mark.slow
def test_a_network_whose_words_are_longer_than_dicoms_names_segments_and_says_so(tmp_path, view):
    definition = {"_target_": "monai_lesion.networks.EncoderUNet", "decoder_channels": [64, 48, 32, 16]}
    definition = {"_target_": "monai_lesion.networks.TrustHeads", "network": {**definition, "encoder_weights": None}}
    torch.manual_seed(0)
    write_model_folder(build_network(definition).eval(), tmp_path, steps=Steps(SIZE), network_def=definition, half=True)
    assert len(read_model(tmp_path).description.network) > 64
    result = LesionSegmenter.from_model(tmp_path)(view.pixels)
    assert len(result.algorithm.name) == 64
    assert result.algorithm.name.startswith("TrustHeads(network=EncoderUNet(")
    assert result.scores.shape == (1, 2)
