"""How a network is run: on a CPU MONAI's engines do not autocast, so this inferer does."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from monai.inferers import SimpleInferer


class MixedPrecisionInferer(SimpleInferer):
    """Channels-last and, on a CPU, bfloat16; logits come back as float32.

    MONAI's engines autocast only on CUDA (their ``amp``). Whether bfloat16 with channels-last trains faster than plain
    float32 on a CPU is the processor's affair (``benchmarks/training.py``). Losses move in coarse steps in bfloat16,
    hence float32 out.

    Args:
        amp: whether to autocast on a CPU; False is plain float32, contiguous.
    """

    def __init__(self, amp: bool = True) -> None:
        super().__init__()
        self.amp = amp

    def __call__(
        self, inputs: torch.Tensor, network: Callable[..., torch.Tensor], *args: Any, **kwargs: Any
    ) -> torch.Tensor:
        """Run ``network`` on ``inputs`` ``(B, C, H, W)``."""
        if not self.amp:
            return network(inputs, *args, **kwargs).float()
        if inputs.dim() == 4:
            inputs = inputs.contiguous(memory_format=torch.channels_last)
        if inputs.device.type != "cpu":
            return network(inputs, *args, **kwargs).float()
        with torch.autocast("cpu", dtype=torch.bfloat16):
            logits = network(inputs, *args, **kwargs)
        return logits.float()
