"""The ways a network leaves PyTorch, for the tests of what comes out."""

import pytest
import torch


def torchscript_copy(network, example, path, how):
    """The network scripted or traced, saved and loaded again."""
    script = torch.jit.script(network) if how == "script" else torch.jit.trace(network, example)
    script.save(str(path))
    return torch.jit.load(str(path))


def onnx_session(network, example, path):
    """ONNX Runtime with the exported network: any batch, height and width, ``image`` to ``pred``."""
    onnx = pytest.importorskip("onnx", reason="onnx comes with the dev extra")
    runtime = pytest.importorskip("onnxruntime", reason="onnxruntime comes with the dev extra")
    axes = {0: "batch", 2: "height", 3: "width"}
    torch.onnx.export(
        network,
        (example,),
        str(path),
        dynamo=False,
        input_names=["image"],
        output_names=["pred"],
        dynamic_axes={"image": axes, "pred": axes},
    )
    onnx.checker.check_model(str(path))
    return runtime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
