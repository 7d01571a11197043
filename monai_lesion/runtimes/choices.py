"""Find the fastest runtime on this machine, by measuring."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
from torch import nn

from monai_lesion.errors import InputError
from monai_lesion.machine.packages import is_installed
from monai_lesion.machine.processors import processor
from monai_lesion.machine.timing import median_milliseconds
from monai_lesion.measures.metrics import dice
from monai_lesion.pipeline.steps import Steps
from monai_lesion.runtimes.executions import Execution
from monai_lesion.runtimes.interfaces import Floats, Runtime

if TYPE_CHECKING:
    from monai_lesion.runtimes.quantization import CalibrationImages

logger = logging.getLogger(__name__)
TOLERANCE = 0.002  # of Dice between the masks of a runtime and of the network as trained
TURNS = 5
# torch-compile is no candidate: it translates anew in every process, for longer than most runs take.
CANDIDATES = (
    ("torch", "fp32", "torch"),
    ("torch", "bf16", "torch"),
    ("onnx", "fp32", "onnxruntime"),
    ("onnx", "int8", "onnxruntime"),
    ("openvino", "fp32", "openvino"),
    ("openvino", "bf16", "openvino"),
    ("openvino", "int8", "openvino"),
)


def choose(network: nn.Module, steps: Steps, execution: Execution, open_one: Callable[[Execution], Runtime]) -> Runtime:
    """Choose the fastest installed runtime whose masks equal those of the network as trained.

    Each candidate segments the same simulated pictures (and some of the calibration's); one whose masks differ in Dice
    by more than 0.002 is dropped. The others are timed in turn on one picture. The choice is not stored: it takes some
    seconds in every process, and minutes with int8. On a device other than the CPU, PyTorch is chosen.

    Args:
        network: the trained network.
        steps: its input size and threshold.
        execution: only runtimes with its precision are tried; None tries all, int8 only with calibration pictures.
        open_one: opens the network in one runtime and precision.

    Raises:
        InputError: when no runtime has the precision.
    """

    def opened(name: str, kind: str) -> Runtime:
        return open_one(replace(execution, runtime=name, precision=kind))

    if not execution.on_cpu:
        return opened("torch", execution.precision or "fp32")
    admitted = _admitted(execution.precision, execution.calibration is not None)
    calibration = None
    if execution.calibration is not None:  # read once for all candidates
        calibration = execution.calibration_images(steps.input_size)
        execution = replace(execution, calibration=calibration)
    pictures = _pictures(steps, calibration)
    runtimes, refused = _agreeing(network, admitted, opened, pictures, steps.threshold)
    medians = _measure(runtimes, steps.input_size)
    for reason in refused:
        logger.info("runtime auto leaves out %s", reason)
    if not runtimes:
        raise InputError("runtime", "auto found none that works", got="; ".join(refused), fix="Use torch fp32")
    best = min(medians, key=lambda name: medians[name])
    told = ", ".join(
        f"{name} {milliseconds:.0f} ms" for name, milliseconds in sorted(medians.items(), key=lambda x: x[1])
    )
    logger.info("runtime auto: %s (%s)", best, told)
    return runtimes[best]


def _admitted(precision: str | None, calibrated: bool) -> list[tuple[str, str]]:
    admitted = [
        (name, kind)
        for name, kind, package in CANDIDATES
        if is_installed(package)
        and precision in (None, kind)
        and (kind != "bf16" or processor().bfloat16)
        and (kind != "int8" or (calibrated and is_installed("nncf")))
    ]
    if not admitted:
        fix = "Install monai-lesion[cpu]; int8 needs calibration pictures, bf16 a processor that has it"
        raise InputError("precision", "must be one that an installed runtime has here", got=precision, fix=fix)
    return admitted


def _pictures(steps: Steps, calibration: CalibrationImages | None) -> list[Floats]:
    from monai_lesion.phantoms.cases import simulate_case

    pictures = [steps.before(view.pixels) for case in range(2) for view in simulate_case(0, case).views]
    return [*pictures, *(calibration.validation[:8] if calibration is not None else ())]


def _agreeing(
    network: nn.Module,
    admitted: Sequence[tuple[str, str]],
    opened: Callable[[str, str], Runtime],
    pictures: Sequence[Floats],
    threshold: float,
) -> tuple[dict[str, Runtime], list[str]]:
    """Find the runtimes whose masks are right, by label, and the reasons against the others."""
    from monai_lesion.runtimes.torch_runtimes import PlainRuntime

    level, plain = np.log(threshold / (1 - threshold)), PlainRuntime(network)
    expected = [plain(each)[0, 0] >= level for each in pictures]
    runtimes, refused = {}, []
    for name, kind in admitted:
        try:
            runtime = opened(name, kind)
            worst = min(dice(runtime(each)[0, 0] >= level, mask) for each, mask in zip(pictures, expected, strict=True))
        except InputError as error:
            refused.append(f"{name} {kind}: {error}")
            continue
        if worst < 1 - TOLERANCE:
            refused.append(f"{runtime.label}: its masks have Dice {worst:.4f} with those of the network")
        else:
            runtimes[runtime.label] = runtime
    return runtimes, refused


def _measure(runtimes: dict[str, Runtime], input_size: Sequence[int]) -> dict[str, float]:
    """Measure the median milliseconds for one picture."""
    picture = np.random.default_rng(0).random((1, 3, *input_size), dtype=np.float32)
    medians = median_milliseconds({name: partial(runtime, picture) for name, runtime in runtimes.items()}, turns=TURNS)
    return {name: round(value, 3) for name, value in medians.items()}
