"""Run networks in PyTorch."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from monai_lesion.errors import InputError
from monai_lesion.machine.processors import supported
from monai_lesion.runtimes.interfaces import Floats, Outputs, Runtime
from monai_lesion.runtimes.reparameterize import reparameterize

COMPILERS = ("c++", "g++", "clang++", "cl")


def torch_device(name: str | None) -> torch.device:
    """Choose the named device, or CUDA if there is one.

    Raises:
        InputError: for a device that PyTorch does not know or this machine does not have.
    """
    cuda = torch.cuda.is_available()
    try:
        chosen = torch.device(name or ("cuda" if cuda else "cpu"))
    except RuntimeError as error:
        raise InputError("device", "must be one that PyTorch knows, such as cpu or cuda", got=name) from error
    if chosen.type == "cuda" and not cuda:
        raise InputError("device", "CUDA needs a GPU and a PyTorch built for it", got="neither here", fix="Use cpu")
    return chosen


class PlainRuntime(Runtime):
    """Run a network in PyTorch and float32 exactly as it was trained; the other runtimes are compared with this.

    Args:
        network: the trained network; it is moved to the device.
        device: where to run; None takes CUDA if there is one.

    Raises:
        InputError: see :func:`torch_device`.
    """

    def __init__(self, network: nn.Module, *, device: str | None = "cpu") -> None:
        super().__init__("torch-plain", "fp32")
        self.device = torch_device(device)
        self.network = network.to(self.device).eval()

    @torch.inference_mode()
    def run(self, images: Floats) -> Outputs:
        """Compute the outputs of a checked array."""
        return _outputs(self.network(torch.from_numpy(images).to(self.device)))


class TorchRuntime(Runtime):
    """Run the merged network in PyTorch, channels last.

    Args:
        network: the trained network; it is copied.
        precision: ``"fp32"`` or ``"bf16"``.
        compiled: whether ``torch.compile`` compiles the network at the first image. It needs a C++ compiler on a CPU
            and takes about a minute in every process.
        device: where to run; None takes CUDA if there is one.

    Raises:
        InputError: for another precision, a missing device, or a missing compiler.
    """

    def __init__(
        self,
        network: nn.Module,
        *,
        precision: str = "fp32",
        compiled: bool = False,
        device: str | None = "cpu",
    ) -> None:
        if precision not in ("fp32", "bf16"):
            raise InputError("precision", "of PyTorch must be fp32 or bf16", got=precision, fix="int8 needs openvino")
        name = "torch-compile" if compiled else "torch"
        self.device = torch_device(device)
        if compiled and self.device.type == "cpu" and not any(map(shutil.which, COMPILERS)):
            raise InputError("runtime", "torch-compile needs a C++ compiler", got="none", fix="Use runtime torch")
        precision = supported(precision, name) if self.device.type == "cpu" else precision
        super().__init__(name, precision)
        self.dtype = torch.bfloat16 if precision == "bf16" else torch.float32
        merged = reparameterize(network).to(self.device, dtype=self.dtype)
        merged = merged.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.network: Callable[[torch.Tensor], Any] = torch.compile(merged) if compiled else merged

    @torch.inference_mode()
    def run(self, images: Floats) -> Outputs:
        """Compute the outputs of a checked array."""
        batch = torch.from_numpy(images).to(self.device, self.dtype, memory_format=torch.channels_last)
        return _outputs(self.network(batch))


def _outputs(found: torch.Tensor | tuple[torch.Tensor, ...]) -> Outputs:
    """Take the logits, and the scores if there are any, from a network's output."""
    each = (found,) if isinstance(found, torch.Tensor) else found
    return Outputs(*(tensor.float().cpu().contiguous().numpy() for tensor in each))
