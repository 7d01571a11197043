"""Run networks with autocast on a CPU, which MONAI's engines do not do."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from monai.data import MetaTensor
from monai.inferers import SimpleInferer

from monai_lesion.errors import CheckpointError
from monai_lesion.networks.recognition import describe

Outputs = torch.Tensor | tuple[torch.Tensor, ...]


class MixedPrecisionInferer(SimpleInferer):
    """On a CPU in bfloat16 where it is wanted, pictures laid out in memory as is faster; outputs are float32.

    MONAI's engines autocast only on CUDA (their ``amp``). Whether bfloat16 is faster depends on the processor, and the
    layout on the network too (:mod:`monai_lesion.training.precisions`). Losses move in coarse steps in bfloat16, hence
    float32 out.

    MONAI's metadata stays outside the network: carried through each layer it costs a third of a training step. The
    logits of an evaluation get that of the pictures back, for ``Invertd`` needs it.

    A network may return several tensors, logits first; all come back.

    Args:
        amp: whether to autocast on a CPU; a condition, so that it may be decided after this is made. Its ``layout`` is
            that of the pictures; a condition without one means channels-last.
    """

    def __init__(self, amp: Any = True) -> None:
        super().__init__()
        self.amp = amp

    def __call__(self, inputs: torch.Tensor, network: Callable[..., Outputs], *args: Any, **kwargs: Any) -> Outputs:
        """Run ``network`` on ``inputs`` ``(B, C, H, W)``."""
        pixels = plain(inputs)
        if pixels.dim() == 4:
            pixels = pixels.contiguous(memory_format=getattr(self.amp, "layout", torch.channels_last))
        if self.amp and pixels.device.type == "cpu":
            with torch.autocast("cpu", dtype=torch.bfloat16):
                outputs = network(pixels, *args, **kwargs)
        else:
            outputs = network(pixels, *args, **kwargs)
        if isinstance(outputs, torch.Tensor):
            return outputs.float() if _trains(network) else with_meta(outputs.float(), inputs)
        logits, *others = (output.float() for output in outputs)
        return (logits if _trains(network) else with_meta(logits, inputs), *others)


class LogitsInferer(SimpleInferer):
    """Run a network in float32 and give its logits alone, the first of what it returns.

    MONAI Label and MONAI's writers take one tensor; a network with trust heads returns two. The output of a broken
    network, which would look like an empty mask, is refused: see :func:`check_outputs`.
    """

    def __call__(
        self,
        inputs: torch.Tensor,
        network: Callable[..., Outputs],
        *args: Any,
        others: list[torch.Tensor] | None = None,
        **kwargs: Any,
    ) -> torch.Tensor:
        """Run ``network`` on ``inputs`` ``(B, C, H, W)``; what it returns beside the logits goes into ``others``."""
        outputs = network(plain(inputs), *args, **kwargs)
        check_outputs(outputs, network)
        if others is not None and not isinstance(outputs, torch.Tensor):
            others[:] = outputs[1:]
        return with_meta(outputs if isinstance(outputs, torch.Tensor) else outputs[0], inputs)


def check_outputs(outputs: Outputs, network: object) -> None:
    """Refuse the outputs of a broken network, by its name.

    Raises:
        CheckpointError: when some of them is NaN or infinite.
    """
    if all(bool(torch.isfinite(each).all()) for each in ([outputs] if isinstance(outputs, torch.Tensor) else outputs)):
        return
    name = describe(network.state_dict()) if isinstance(network, torch.nn.Module) else type(network).__name__
    fix = "Its weights are damaged, or it was not trained to the end"
    raise CheckpointError(f"network {name}", "must compute finite numbers", got="NaN or infinity", fix=fix)


def plain(tensor: torch.Tensor) -> torch.Tensor:
    """The tensor without MONAI's metadata."""
    return tensor.as_tensor() if isinstance(tensor, MetaTensor) else tensor


def with_meta(tensor: torch.Tensor, source: torch.Tensor) -> torch.Tensor:
    """The tensor with the metadata of its source, where that has any: files, geometry, what was applied."""
    if not isinstance(source, MetaTensor):
        return tensor
    result: torch.Tensor = MetaTensor(tensor)
    result.copy_meta_from(source)  # type: ignore[attr-defined]
    return result


def _trains(network: object) -> bool:
    return bool(getattr(network, "training", False))
