from __future__ import annotations

import pytest
import torch

from monai_lesion.training.inferers import MixedPrecisionInferer


class Watcher(torch.nn.Module):
    """Says how it is run."""

    def __init__(self):
        super().__init__()
        self.layer = torch.nn.Conv2d(3, 1, 1)
        self.seen = {}

    def forward(self, x):
        logits = self.layer(x)
        self.seen = {
            "autocast": torch.is_autocast_enabled("cpu"),
            "channels_last": x.is_contiguous(memory_format=torch.channels_last),
            "dtype": logits.dtype,
        }
        return logits


@pytest.mark.parametrize(
    ("amp", "seen"),
    [
        (True, {"autocast": True, "channels_last": True, "dtype": torch.bfloat16}),
        (False, {"autocast": False, "channels_last": True, "dtype": torch.float32}),
    ],
    ids=["bfloat16", "float32"],
)
def test_runs_a_cpu_as_told_and_gives_float32_logits(amp, seen):
    network = Watcher()
    logits = MixedPrecisionInferer(amp)(torch.rand(2, 3, 16, 18), network)
    assert network.seen == seen
    assert logits.dtype == torch.float32


def test_gradients_reach_float32_weights_through_bfloat16():
    network = Watcher()
    MixedPrecisionInferer()(torch.rand(2, 3, 16, 16), network).sum().backward()
    assert network.layer.weight.grad.dtype == torch.float32
    assert network.layer.weight.grad.abs().sum() > 0
