"""How a network is run: on a CPU MONAI's engines do not autocast, so these inferers do."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from monai.inferers import SimpleInferer

Outputs = torch.Tensor | tuple[torch.Tensor, ...]


class MixedPrecisionInferer(SimpleInferer):
    """Channels-last and, on a CPU, bfloat16; outputs come back as float32.

    MONAI's engines autocast only on CUDA (their ``amp``). Whether bfloat16 with channels-last trains faster than plain
    float32 on a CPU is the processor's affair (``benchmarks/training.py``). Losses move in coarse steps in bfloat16,
    hence float32 out.

    A network may return several tensors, logits first; all come back.

    Args:
        amp: whether to autocast on a CPU.
    """

    def __init__(self, amp: bool = True) -> None:
        super().__init__()
        self.amp = amp

    def __call__(self, inputs: torch.Tensor, network: Callable[..., Outputs], *args: Any, **kwargs: Any) -> Outputs:
        """Run ``network`` on ``inputs`` ``(B, C, H, W)``."""
        if inputs.dim() == 4:
            inputs = inputs.contiguous(memory_format=torch.channels_last)
        if not self.amp or inputs.device.type != "cpu":
            return _float(network(inputs, *args, **kwargs))
        with torch.autocast("cpu", dtype=torch.bfloat16):
            outputs = network(inputs, *args, **kwargs)
        return _float(outputs)


class LogitsInferer(SimpleInferer):
    """Run a network in float32 and give its logits alone, the first of what it returns.

    MONAI Label and MONAI's writers take one tensor; a network with trust heads returns two.
    """

    def __call__(
        self, inputs: torch.Tensor, network: Callable[..., Outputs], *args: Any, **kwargs: Any
    ) -> torch.Tensor:
        """Run ``network`` on ``inputs`` ``(B, C, H, W)``."""
        outputs = network(inputs, *args, **kwargs)
        return outputs if isinstance(outputs, torch.Tensor) else outputs[0]


def _float(outputs: Outputs) -> Outputs:
    return outputs.float() if isinstance(outputs, torch.Tensor) else tuple(output.float() for output in outputs)
