"""The fastest runtime on this machine, found by measuring and remembered."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from torch import nn

from monai_lesion.errors import InputError
from monai_lesion.machine.packages import is_installed
from monai_lesion.machine.processors import processor
from monai_lesion.machine.timing import median_milliseconds
from monai_lesion.measures.metrics import dice
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


def choose(
    network: nn.Module,
    *,
    precision: str | None = None,
    spatial_size: Sequence[int] = (256, 256),
    device: str = "cpu",
    calibration: CalibrationImages | None = None,
    threshold: float = 0.5,
) -> Runtime:
    """The fastest installed runtime whose masks are those of the network as trained.

    Each candidate segments the same simulated pictures (and some of the calibration's); one whose masks differ in Dice
    by more than 0.002 is out. The others are timed in turns on one picture. The choice is kept with machine, versions
    and weights; a network that is not of this package is measured every time. On another device than the CPU it is
    PyTorch.

    Args:
        network: as trained.
        precision: admit this one only; None admits all, int8 with calibration pictures only.
        spatial_size: rows and columns of the network's input.
        device: where the network runs.
        calibration: pictures for int8.
        threshold: probability from which a pixel is lesion.

    Raises:
        InputError: when no runtime has the precision.
    """
    from monai_lesion.runtimes.factories import open_runtime

    def opened(name: str, kind: str) -> Runtime:
        return open_runtime(
            network, name, precision=kind, spatial_size=spatial_size, device=device, calibration=calibration
        )

    if device.split(":")[0] != "cpu":
        return opened("torch", precision or "fp32")
    admitted = _admitted(precision, calibration is not None)
    known = _facts(network, admitted, spatial_size, threshold, calibration)
    if known is not None:
        from monai_lesion.runtimes.caches import read_kept

        kept = read_kept(known)
        if isinstance(kept, dict) and [kept.get("runtime"), kept.get("precision")] in [list(each) for each in admitted]:
            return opened(kept["runtime"], kept["precision"])
    runtimes, refused = _agreeing(network, admitted, opened, _pictures(spatial_size, calibration), threshold)
    medians = _measure(runtimes, spatial_size)
    for reason in refused:
        logger.info("runtime auto leaves out %s", reason)
    if not runtimes:
        raise InputError("runtime", "auto found none that works", got="; ".join(refused), fix="Use torch fp32")
    best = min(medians, key=lambda name: medians[name])
    told = ", ".join(
        f"{name} {milliseconds:.0f} ms" for name, milliseconds in sorted(medians.items(), key=lambda x: x[1])
    )
    logger.info("runtime auto: %s (%s)", best, told)
    if known is not None:
        from monai_lesion.runtimes.caches import keep

        chosen = runtimes[best]
        keep(known, {"runtime": chosen.name, "precision": chosen.precision, "milliseconds": medians, "out": refused})
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


def _facts(
    network: nn.Module,
    admitted: Sequence[tuple[str, str]],
    spatial_size: Sequence[int],
    threshold: float,
    calibration: CalibrationImages | None,
) -> dict[str, Any] | None:
    from monai_lesion.networks.identity import facts, is_ours

    if not is_ours(network):
        return None
    more = {"kind": "choice", "candidates": admitted, "spatial_size": list(spatial_size), "threshold": threshold}
    return facts(network, **more, calibration=calibration.digest if calibration is not None else None)


def _pictures(spatial_size: Sequence[int], calibration: CalibrationImages | None) -> list[Floats]:
    from monai_lesion.phantoms.cases import simulate_case
    from monai_lesion.pipeline.client import before

    pictures = [before(view.pixels, spatial_size) for case in range(2) for view in simulate_case(0, case).views]
    return [*pictures, *(calibration.validation[:8] if calibration is not None else ())]


def _agreeing(
    network: nn.Module,
    admitted: Sequence[tuple[str, str]],
    opened: Any,
    pictures: Sequence[Floats],
    threshold: float,
) -> tuple[dict[str, Runtime], list[str]]:
    """The runtimes whose masks are right, by label, and why the others are out."""
    import torch

    level = np.log(threshold / (1 - threshold)) if 0 < threshold < 1 else 0.0
    with torch.inference_mode():
        network.eval()
        expected = [network(torch.from_numpy(each))[0, 0].float().numpy() >= level for each in pictures]
    runtimes, refused = {}, []
    for name, kind in admitted:
        try:
            runtime = opened(name, kind)
            masks = [runtime(each)[0, 0] >= level for each in pictures]
            worst = min(dice(mask, other) for mask, other in zip(masks, expected, strict=True))
        except InputError as error:
            refused.append(f"{name} {kind}: {error}")
            continue
        if worst < 1 - TOLERANCE:
            refused.append(f"{runtime.label}: its masks have Dice {worst:.4f} with those of the network")
        else:
            runtimes[runtime.label] = runtime
    return runtimes, refused


def _measure(runtimes: dict[str, Runtime], spatial_size: Sequence[int]) -> dict[str, float]:
    """Median milliseconds for one picture."""
    picture = np.random.default_rng(0).random((1, 3, *spatial_size), dtype=np.float32)
    medians = median_milliseconds({name: partial(runtime, picture) for name, runtime in runtimes.items()}, turns=TURNS)
    return {name: round(value, 3) for name, value in medians.items()}
