"""What a processor can do decides the precision."""

from __future__ import annotations

import logging

import pytest

from monai_lesion.machine import processors
from monai_lesion.machine.processors import Processor, supported

OLD = Processor("an old one", 2, ("avx2", "avx512f"))


@pytest.mark.parametrize(
    ("features", "able"),
    [((), False), (OLD.features, False), (("avx2", "avx512_bf16"), True), (("amx_bf16",), True), (("bf16",), True)],
    ids=["unknown", "AVX-512", "AVX-512 bf16", "AMX", "Arm"],
)
def test_bfloat16_takes_an_instruction_set_that_multiplies_it(features, able):
    assert Processor("any", 1, features).bfloat16 is able


def test_bfloat16_alone_gives_way_with_one_warning(monkeypatch, caplog):
    monkeypatch.setattr(processors, "processor", lambda: OLD)
    processors._warn.cache_clear()
    with caplog.at_level(logging.WARNING):
        assert [supported("bf16", "PyTorch") for _ in range(2)] == ["fp32"] * 2
    assert caplog.messages == [
        "PyTorch: this processor (an old one) has no bfloat16 arithmetic, so float32 is used",
    ]
    assert [supported(precision, "PyTorch") for precision in ("fp32", "int8")] == ["fp32", "int8"]
    monkeypatch.setattr(processors, "processor", lambda: Processor("a new one", 2, ("amx_bf16",)))
    assert supported("bf16", "PyTorch") == "bf16"


def test_unknown_instruction_sets_are_said():
    assert str(Processor("any", 3, ())) == "any, 3 cores, instruction sets unknown"
    assert str(OLD) == "an old one, 2 cores, avx2 avx512f"
