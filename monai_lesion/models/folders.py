"""Exported folders as runtimes; neither PyTorch nor MONAI is imported for ONNX and OpenVINO."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from monai_lesion.errors import InputError
from monai_lesion.pipeline.client import ModelError, read_description
from monai_lesion.runtimes.interfaces import Floats, Runtime

if TYPE_CHECKING:
    from torch import nn


class _Flipped(Runtime):
    """A model that turns RGB into the BGR of its network, for a caller who has done so already."""

    def __init__(self, inner: Runtime) -> None:
        super().__init__(inner.name, inner.precision, inner.spatial_size)
        self.inner = inner

    def run(self, images: Floats) -> Floats:
        return self.inner.run(np.ascontiguousarray(images[:, ::-1]))


def open_exported(folder: str | Path, *, network: nn.Module | None = None, precision: str | None = None) -> Runtime:
    """The model of a folder that ``monai-lesion export`` wrote.

    Args:
        folder: written without ``--end-to-end``.
        network: the network in whose place it is used, of which it must be; its channel order applies.
        precision: what it must have; ``"bf16"`` is an fp32 model of OpenVINO run in bfloat16; None takes the model's.

    Raises:
        InputError: when the folder is damaged, of another version, of other weights or another precision.
    """
    path = Path(folder)
    try:
        description = read_description(path)
    except ModelError as error:
        raise InputError(str(error)) from error
    if description["end_to_end"]:
        fix = "Export it without --end-to-end"
        raise InputError(path, "must hold the network alone to be used as runtime", got="an end-to-end model", fix=fix)
    if network is not None:
        from monai_lesion.networks.identity import weights_id

        own = weights_id(network.state_dict())
        if own != description["weights_id"]:
            rule = f"must hold the weights of this network ({own[:12]})"
            got = f"{description['network']} with {description['weights_id'][:12]}"
            raise InputError(path, rule, got=got, fix="Export the network again")
    kind, stored = description["format"], description["precision"]
    wanted = precision or stored
    if wanted != stored and (kind, stored, wanted) != ("openvino", "fp32", "bf16"):
        raise InputError("precision", f"of {path} is {stored}", got=wanted, fix="Export the network again")
    file = path / description["model"]
    runtime: Runtime
    if kind == "onnx":
        from monai_lesion.runtimes.onnx_runtimes import OnnxRuntime

        runtime = OnnxRuntime(file, precision=wanted)
    elif kind == "openvino":
        from monai_lesion.runtimes.openvino_runtimes import OpenVinoRuntime

        runtime = OpenVinoRuntime(file, precision=wanted)
    else:
        import torch

        from monai_lesion.runtimes.torch_runtimes import TorchRuntime

        module = torch.jit.load(str(file), map_location="cpu")  # type: ignore[no-untyped-call]
        runtime = TorchRuntime(module, precision=wanted)
    return _Flipped(runtime) if network is not None and description["channel_order"] == "bgr" else runtime
