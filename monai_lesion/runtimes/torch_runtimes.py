"""Networks run by PyTorch."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from monai_lesion.errors import InputError
from monai_lesion.machine.processors import supported
from monai_lesion.runtimes.interfaces import Floats, Runtime
from monai_lesion.runtimes.reparameterize import reparameterize

COMPILERS = ("c++", "g++", "clang++", "cl")


class TorchRuntime(Runtime):
    """The merged network in PyTorch, channels last.

    Args:
        network: as trained; it is copied.
        precision: ``"fp32"`` or ``"bf16"``.
        compiled: whether ``torch.compile`` translates it, at the first image, which needs a C++ compiler on a CPU and
            takes a minute or so in every process.
        device: where it runs.

    Raises:
        InputError: for another precision, or without a compiler where one is needed.
    """

    def __init__(
        self,
        network: nn.Module,
        *,
        precision: str = "fp32",
        compiled: bool = False,
        device: str | torch.device = "cpu",
    ) -> None:
        if precision not in ("fp32", "bf16"):
            raise InputError("precision", "of PyTorch must be fp32 or bf16", got=precision, fix="int8 needs openvino")
        name = "torch-compile" if compiled else "torch"
        self.device = torch.device(device)
        if compiled and self.device.type == "cpu" and not any(map(shutil.which, COMPILERS)):
            raise InputError("runtime", "torch-compile needs a C++ compiler", got="none", fix="Use runtime torch")
        precision = supported(precision, name) if self.device.type == "cpu" else precision
        super().__init__(name, precision)
        self.dtype = torch.bfloat16 if precision == "bf16" else torch.float32
        merged = reparameterize(network).to(self.device, dtype=self.dtype)
        merged = merged.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.network: Callable[[torch.Tensor], Any] = torch.compile(merged) if compiled else merged

    @torch.inference_mode()
    def run(self, images: Floats) -> Floats:
        """Compute the logits of a checked array."""
        batch = torch.from_numpy(images).to(self.device, self.dtype, memory_format=torch.channels_last)
        logits: Floats = self.network(batch).float().cpu().contiguous().numpy()
        return logits
