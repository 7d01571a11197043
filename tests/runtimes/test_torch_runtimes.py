"""PyTorch: precisions, and compiled."""

from __future__ import annotations

import logging
import shutil

import numpy as np
import pytest

from monai_lesion.machine import processors
from monai_lesion.machine.processors import Processor
from tests.runtimes.opened import logits, opened, pictures


@pytest.mark.parametrize("runtime", ["torch", pytest.param("openvino", marks=pytest.mark.slow)])
def test_logits_in_bfloat16_are_near(network, runtime):
    if not processors.processor().bfloat16:
        pytest.skip("this processor has no bfloat16 arithmetic")
    images = pictures()
    expected, fast = logits(network, images), opened(network, runtime, "bf16")
    assert fast.label == f"{runtime} bf16"
    error = np.abs(fast(images) - expected).mean() / np.abs(expected).mean()
    assert 1e-5 < error < 0.1


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("c++") is None, reason="torch.compile needs a C++ compiler")
def test_torch_compile_gives_the_same(network):
    images = pictures()
    expected, got = logits(network, images), opened(network, "torch-compile")(images)
    assert np.abs(got - expected).max() <= 1e-4 * np.abs(expected).max()


def test_a_processor_without_bfloat16_gets_float32_and_is_told_once(network, monkeypatch, caplog):
    old = Processor("an old one", 2, ("avx2",))
    monkeypatch.setattr(processors, "processor", lambda: old)
    processors._warn.cache_clear()
    with caplog.at_level(logging.WARNING):
        runtimes = [opened(network, "torch", "bf16") for _ in range(2)]
    assert [runtime.label for runtime in runtimes] == ["torch fp32"] * 2
    assert caplog.text.count("this processor (an old one) has no bfloat16 arithmetic, so float32 is used") == 1
