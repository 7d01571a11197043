"""Convert networks to TorchScript, ONNX and OpenVINO."""

from __future__ import annotations

import errno
import io
import os
import shutil
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from monai_lesion.errors import InputError
from monai_lesion.machine.packages import load_package
from monai_lesion.networks.blocks import Up
from monai_lesion.pipeline.graphs import After, Before
from monai_lesion.runtimes.reparameterize import reparameterize

OPSET = 17
SMALL = 64  # numbers of a weight that is not worth a conversion, such as a bias
NAMESPACE = "monai_lesion"  # of what we write into the metadata of OpenVINO models


def to_onnx(network: nn.Module, spatial_size: Sequence[int]) -> Any:
    """Convert the merged network to ONNX: ``image`` ``(1, 3, rows, columns)`` to ``logits``, and ``scores`` if any.

    The graph takes one image of one size: it then holds no arithmetic on shapes, which runtimes optimise badly.

    Args:
        network: the trained network; it is copied.
        spatial_size: rows and columns.

    Returns:
        An ``onnx.ModelProto``.

    Raises:
        InputError: when onnx is not installed or PyTorch cannot convert the network.
    """
    image = torch.zeros(1, 3, *spatial_size)
    merged = reparameterize(network).cpu().float()
    for parent in list(merged.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, Up):
                setattr(parent, name, _FixedUp(child))
    with torch.inference_mode():
        scored = not isinstance(merged(image), torch.Tensor)
    return _export(merged, (image,), ["image"], ["logits", "scores"] if scored else ["logits"], {})


class _FixedUp(nn.Module):
    """A decoder stage for one size: it pads only if needed, so that the graph holds no padding by nothing."""

    def __init__(self, stage: Up) -> None:
        super().__init__()
        self.up, self.stage = stage.up, stage.stage

    def forward(self, x: torch.Tensor, skip: torch.Tensor) -> torch.Tensor:
        x = self.up(x)
        missing = [int(wanted) - int(got) for wanted, got in zip(skip.shape[:1:-1], x.shape[:1:-1], strict=True)]
        if any(missing):
            x = F.pad(x, [side for each in missing for side in (each // 2, each - each // 2)])
        return self.stage(torch.cat([skip, x], dim=1))  # type: ignore[no-any-return]


def end_to_end(core: Any, spatial_size: Sequence[int], threshold: float) -> Any:
    """Build resizing, scaling, sigmoid, resizing back and threshold around an ONNX model of :func:`to_onnx`.

    Args:
        core: the network, of any precision.
        spatial_size: its rows and columns.
        threshold: probability from which a pixel is lesion.

    Returns:
        An ``onnx.ModelProto``: ``image`` uint8 ``(H, W, 3)`` to ``mask`` uint8 ``(H, W)``, ``probability``, and the
        ``scores`` of a network that has some.
    """
    compose = load_package("onnx.compose")
    axes = {0: "rows", 1: "columns"}
    picture, logits = torch.zeros(50, 70, 3, dtype=torch.uint8), torch.zeros(1, 1, *spatial_size)
    before = _export(Before(spatial_size).eval(), (picture,), ["image"], ["pixels", "size"], {"image": axes})
    after = _export(
        After(spatial_size, threshold).eval(),
        (logits, torch.tensor([50, 70])),
        ["logits", "size"],
        ["mask", "probability"],
        {"mask": axes, "probability": axes},
    )
    scores = ["network/scores"] if any(output.name == "scores" for output in core.graph.output) else []
    joined = compose.add_prefix(core, "network/")
    for model, prefix in ((before, "before/"), (after, "after/")):
        model.CopyFrom(compose.add_prefix(model, prefix))
        model.ir_version = joined.ir_version
    maps = [("before/pixels", "network/image")], [("network/logits", "after/logits"), ("before/size", "after/size")]
    joined = compose.merge_models(before, joined, io_map=maps[0], outputs=["network/logits", "before/size", *scores])
    found = ["after/mask", "after/probability", *scores]
    joined = compose.merge_models(joined, after, io_map=maps[1], outputs=found)
    outputs = sorted(joined.graph.output, key=lambda output: found.index(output.name))
    del joined.graph.output[:]
    joined.graph.output.extend(outputs)
    names = {"before/image": "image", **{name: name.split("/")[1] for name in found}}
    return _renamed(joined, names)


def _renamed(model: Any, names: Mapping[str, str]) -> Any:
    for value in (*model.graph.input, *model.graph.output):
        value.name = names.get(value.name, value.name)
    for node in model.graph.node:
        node.input[:] = [names.get(name, name) for name in node.input]
        node.output[:] = [names.get(name, name) for name in node.output]
    return model


def _export(
    network: nn.Module, inputs: tuple[torch.Tensor, ...], names: list[str], outputs: list[str], axes: Mapping[str, Any]
) -> Any:
    onnx = load_package("onnx")
    buffer = io.BytesIO()
    try:
        with warnings.catch_warnings():  # about the exporter's successor, and shapes that we mean to fix
            warnings.simplefilter("ignore")
            torch.onnx.export(
                network,
                inputs,
                buffer,  # type: ignore[arg-type]
                dynamo=False,  # needs no onnxscript
                input_names=names,
                output_names=outputs,
                dynamic_axes=dict(axes),
                opset_version=OPSET,
            )
    except Exception as error:  # PyTorch raises many kinds; each means the same to the user
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise InputError("network", "must be convertible to ONNX", got=reason, fix="Use runtime torch") from error
    model = onnx.load_from_string(buffer.getvalue())
    onnx.checker.check_model(model)
    return model


def to_torchscript(network: nn.Module, *, around: Callable[[nn.Module], nn.Module] | None = None) -> Any:
    """Convert the merged network to TorchScript; it takes any batch and size.

    Args:
        network: the trained network; it is copied.
        around: puts preprocessing and postprocessing around it.

    Raises:
        InputError: when PyTorch cannot convert it.
    """
    merged: nn.Module = reparameterize(network).cpu().float()
    try:
        with warnings.catch_warnings():  # about the format's successor
            warnings.simplefilter("ignore")
            return torch.jit.script(merged if around is None else around(merged).eval())
    except RuntimeError as error:
        raise InputError("network", "must be convertible to TorchScript", got=str(error).splitlines()[0]) from error


def store_half(model: Any) -> Any:
    """Copy an ONNX model and store its larger weights in half precision; it still computes in float32.

    The file has half the size. ONNX Runtime and OpenVINO convert the weights back once, when they open the model.

    Args:
        model: an ``onnx.ModelProto`` of :func:`to_onnx`.
    """
    onnx = load_package("onnx")
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    casts = []
    for stored in copy.graph.initializer:
        values = onnx.numpy_helper.to_array(stored)
        if values.dtype != "float32" or values.size < SMALL:
            continue
        name = stored.name
        half = onnx.numpy_helper.from_array(values.astype("float16"), f"{name}/half")
        stored.CopyFrom(half)
        casts.append(onnx.helper.make_node("Cast", [half.name], [name], to=onnx.TensorProto.FLOAT))
    nodes = [*casts, *copy.graph.node]
    del copy.graph.node[:]
    copy.graph.node.extend(nodes)
    onnx.checker.check_model(copy)
    return copy


def write_torchscript(module: Any, file: Path, metadata: Mapping[str, str]) -> None:
    """Save a TorchScript model, with the metadata as extra files that ``torch.jit.load`` returns."""
    told = {key: value.encode() for key, value in metadata.items()}
    file.write_bytes(module.save_to_buffer(_extra_files=told))  # on a full disk PyTorch's writer ends the program


def write_onnx(model: Any, file: Path, metadata: Mapping[str, str]) -> None:
    """Save an ONNX model, with the metadata inside."""
    onnx = load_package("onnx")
    onnx.helper.set_model_props(model, dict(metadata))
    model.producer_name = NAMESPACE
    onnx.save(model, str(file))


def write_openvino(model: Any, file: Path, metadata: Mapping[str, str]) -> None:
    """Save an ONNX model as ``.xml`` and ``.bin``, with the metadata under ``rt_info/monai_lesion``."""
    openvino = load_package("openvino")
    converted = openvino.Core().read_model(model.SerializeToString())
    for key, value in metadata.items():
        converted.set_rt_info(value, [NAMESPACE, key])
    with _room(file.with_suffix(".bin"), sum(part.data.nbytes for part in _constants(converted))):
        openvino.save_model(converted, str(file), compress_to_fp16=False)


def _constants(model: Any) -> list[Any]:
    return [node for node in model.get_ordered_ops() if node.get_type_name() == "Constant"]


@contextmanager
def _room(file: Path, size: int) -> Iterator[None]:
    """Explain a writer that knows no full disk: it ends with an error of its own, or half-way without a word.

    Args:
        file: what it writes.
        size: how many bytes that will be, at least half of which must be there in the end.

    Raises:
        OSError: names the file.
    """
    full = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(file))
    try:
        yield
    except Exception as error:
        if shutil.disk_usage(file.parent).free < size:
            raise full from error
        raise
    if not file.is_file() or file.stat().st_size < size // 2:
        raise full
