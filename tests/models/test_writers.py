"""What is written into a model folder, whole or not at all."""

from __future__ import annotations

import copy
from itertools import product

import numpy as np
import pytest
import torch

from monai_lesion import LesionSegmenter
from monai_lesion.archive.jobs import Network
from monai_lesion.errors import InputError
from monai_lesion.models import client
from monai_lesion.models.descriptions import read_description
from monai_lesion.models.folders import read_model
from monai_lesion.models.writers import write_model_folder
from monai_lesion.networks.definitions import build_network
from monai_lesion.networks.identity import weights_id
from monai_lesion.networks.weight_files import read_state
from monai_lesion.page.files import write_page
from monai_lesion.pipeline.steps import Steps
from tests.small_networks import SIZE, make_segmenter

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


@pytest.mark.parametrize("half", [False, True])
def test_the_weights_alone_are_a_model_for_pytorch(network, view, tmp_path, half):
    description = write_model_folder(network, tmp_path, steps=Steps(SIZE), name="alone", format="pytorch", half=half)
    assert sorted(file.name for file in tmp_path.iterdir()) == ["model.json", "model.pt"]
    assert (description.stored, description.opset) == ("fp16" if half else "fp32", None)
    kinds = {each.dtype for each in read_state(tmp_path / "model.pt").values() if each.is_floating_point()}
    assert kinds == {torch.float16 if half else torch.float32}
    computed = copy.deepcopy(network).half().float() if half else network
    model, expected = read_model(tmp_path), make_segmenter(computed)(view.pixels)
    assert description.weights_id == weights_id(model.network().state_dict()) == weights_id(computed.state_dict())
    assert (description.weights_id == weights_id(network.state_dict())) is not half
    for runtime, used in ((None, "torch fp32"), ("onnx", "onnx fp32")):
        segmenter = LesionSegmenter(model, runtime=runtime, device="cpu")
        assert segmenter.settings["runtime"] == used
        assert segmenter.algorithm.weights == description.weights_id
        found = segmenter(view.pixels)
        np.testing.assert_allclose(found.probability, expected.probability, rtol=0, atol=1e-4)


def test_the_weights_alone_are_refused_where_pytorch_is_not(network, tmp_path):
    write_model_folder(network, tmp_path / "m", steps=Steps(SIZE), format="pytorch")
    with pytest.raises(client.ModelError, match="the format pytorch, which needs monai_lesion"):
        client.Model(tmp_path / "m")
    with pytest.raises(InputError, match=r"must not need PyTorch, got pytorch\. Export it: monai-lesion export"):
        Network(str(tmp_path / "m")).open()
    with pytest.raises(InputError, match="the page runs ONNX models of the network alone, got pytorch"):
        write_page(tmp_path / "page", [read_model(tmp_path / "m")])
    with pytest.raises(InputError, match="end to end must not be the weights alone, got pytorch"):
        write_model_folder(network, tmp_path / "n", steps=Steps(SIZE), format="pytorch", end_to_end=True)


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
