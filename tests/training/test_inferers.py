from __future__ import annotations

import pytest
import torch
from monai.data import MetaTensor

from monai_lesion.errors import CheckpointError
from monai_lesion.networks import LighterUNet
from monai_lesion.training.inferers import LogitsInferer, MixedPrecisionInferer
from monai_lesion.training.precisions import WAYS


class Watcher(torch.nn.Module):
    """Says how it is run; gives scores beside its logits where asked to."""

    def __init__(self, scores=False):
        super().__init__()
        self.layer = torch.nn.Conv2d(3, 1, 1)
        self.scores = scores
        self.seen = {}

    def forward(self, x):
        logits = self.layer(x)
        self.seen = {
            "autocast": torch.is_autocast_enabled("cpu"),
            "channels_last": x.is_contiguous(memory_format=torch.channels_last),
            "dtype": logits.dtype,
            "type": type(x),
        }
        return (logits, logits.mean(dim=(2, 3)).repeat(1, 2)) if self.scores else logits


@pytest.mark.parametrize(
    ("amp", "seen"),
    [
        (True, {"autocast": True, "channels_last": True, "dtype": torch.bfloat16, "type": torch.Tensor}),
        (False, {"autocast": False, "channels_last": True, "dtype": torch.float32, "type": torch.Tensor}),
    ],
    ids=["bfloat16", "float32"],
)
@pytest.mark.parametrize("kind", [torch.Tensor, MetaTensor])
def test_runs_a_cpu_as_told_and_gives_float32_logits(amp, seen, kind):
    network = Watcher()
    logits = MixedPrecisionInferer(amp)(kind(torch.rand(2, 3, 16, 18)), network)
    assert network.seen == seen
    assert logits.dtype == torch.float32


@pytest.mark.parametrize("way", WAYS, ids=str)
def test_pictures_are_laid_out_as_the_condition_says(way):
    network = Watcher()
    MixedPrecisionInferer(way)(torch.rand(2, 3, 16, 18), network)
    assert network.seen["channels_last"] is (way.layout == torch.channels_last)
    assert network.seen["autocast"] is way.low


def test_gradients_reach_float32_weights_through_bfloat16():
    network = Watcher()
    MixedPrecisionInferer()(torch.rand(2, 3, 16, 16), network).sum().backward()
    assert network.layer.weight.grad.dtype == torch.float32
    assert network.layer.weight.grad.abs().sum() > 0


def test_all_outputs_come_back_in_float32():
    logits, scores = MixedPrecisionInferer()(torch.rand(2, 3, 16, 16), Watcher(scores=True))
    assert logits.shape == (2, 1, 16, 16)
    assert scores.shape == (2, 2)
    assert logits.dtype == scores.dtype == torch.float32


@pytest.mark.parametrize("scores", [False, True])
@pytest.mark.parametrize(
    "inferer", [MixedPrecisionInferer(False), LogitsInferer()], ids=lambda each: type(each).__name__
)
def test_logits_of_an_evaluation_know_their_picture(inferer, scores):
    picture = MetaTensor(torch.rand(1, 3, 16, 16), meta={"filename_or_obj": ["a.png"]})
    outputs = inferer(picture, Watcher(scores).eval())
    logits = outputs if isinstance(outputs, torch.Tensor) else outputs[0]
    assert logits.meta["filename_or_obj"] == ["a.png"]
    assert logits.affine.shape == picture.affine.shape


def test_logits_alone_where_nobody_takes_scores():
    logits = LogitsInferer()(torch.rand(1, 3, 16, 16), Watcher(scores=True).eval())
    assert logits.shape == (1, 1, 16, 16)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_logits_that_are_not_finite_are_refused_by_the_networks_name(value):
    network = LighterUNet(group_size=8, width=0.125).eval()
    picture = torch.rand(1, 3, 16, 16)
    LogitsInferer()(picture, network)
    torch.nn.init.constant_(network.head.bias, value)
    with pytest.raises(CheckpointError, match=r"network LighterUNet\(.*group_size=8\): must compute finite numbers"):
        LogitsInferer()(picture, network)


def test_scores_that_are_not_finite_are_refused_too():
    with pytest.raises(CheckpointError, match="must compute finite numbers"):
        LogitsInferer()(torch.rand(1, 3, 16, 16), lambda x: (x[:, :1], torch.full((1, 2), float("nan"))))
