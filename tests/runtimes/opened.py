"""Runtimes of the small network."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from monai_lesion.pipeline.steps import Steps
from monai_lesion.runtimes.executions import Execution
from monai_lesion.runtimes.factories import open_runtime
from tests.small_networks import SIZE

STEPS = Steps(input_size=SIZE)


def pictures(count=1):
    return np.random.default_rng(0).random((count, 3, *SIZE), dtype=np.float32)


def logits(network, images):
    with torch.inference_mode():
        return network(torch.from_numpy(images)).numpy()


def opened(network, runtime, precision="fp32", **options):
    pytest.importorskip({"onnx": "onnxruntime"}.get(runtime, runtime.split("-")[0]))
    return open_runtime(network, STEPS, Execution(runtime=runtime, precision=precision, **options))
