"""How to run a network, in one object."""

from __future__ import annotations

from pathlib import Path

import pytest

from monai_lesion.errors import InputError
from monai_lesion.runtimes.executions import NAMES, Execution


@pytest.mark.parametrize(
    ("device", "on_cpu"), [(None, True), ("cpu", True), ("cpu:0", True), ("cuda", False), ("cuda:1", False)]
)
def test_runtimes_of_the_cpu_refuse_another_device(device, on_cpu):
    execution = Execution(device=device, runtime="onnx")
    assert execution.on_cpu is on_cpu
    if on_cpu:
        execution.check_cpu()
    else:
        with pytest.raises(InputError, match=f"runtime: onnx runs on a CPU, got device {device}. Use runtime torch"):
            execution.check_cpu()


def test_a_runtime_without_a_name_of_ours_is_a_folder():
    assert [Execution(runtime=name).folder for name in (None, "auto", *NAMES)] == [None] * (2 + len(NAMES))
    assert Execution(runtime="out/model").folder == Path("out/model")
    assert Execution(runtime=Path("onnx-model")).folder == Path("onnx-model")


def test_it_is_one_object_or_its_fields():
    one = Execution(crop=True)
    assert Execution.of(one, {}) is one
    assert Execution.of(None, {"crop": True}) == one
    assert Execution.of(None, {}) == Execution()
    with pytest.raises(InputError, match="execution: must be one object or its fields, got both, with crop"):
        Execution.of(one, {"crop": True})
    with pytest.raises(InputError, match="colour: must be one of device, runtime, precision, crop, views, calibration"):
        Execution.of(None, {"colour": "red"})


def test_int8_needs_calibration_pictures_and_takes_those_that_are_read():
    with pytest.raises(InputError, match="precision: int8 needs calibration pictures, got none"):
        Execution(precision="int8").calibration_images((32, 32))
    pictures = object()
    assert Execution(precision="int8", calibration=pictures).calibration_images((32, 32)) is pictures
    with pytest.raises(InputError, match="precision: must be one of fp32, bf16, int8, got fp64"):
        Execution(precision="fp64")
