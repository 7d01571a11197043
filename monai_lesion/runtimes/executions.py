"""Describe how to run a network."""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from monai_lesion.errors import InputError
from monai_lesion.runtimes.interfaces import PRECISIONS, Runtime

if TYPE_CHECKING:
    from monai_lesion.runtimes.quantization import CalibrationImages

NAMES = ("torch", "torch-compile", "onnx", "openvino")  # any other name but "auto" is a folder's


@dataclass(frozen=True)
class Execution:
    """How to run a network: device, runtime, precision, crop and calibration in one object.

    Args:
        device: where PyTorch runs, such as ``"cpu"`` or ``"cuda"``; the other runtimes run on the CPU. None leaves the
            choice to the runtime.
        runtime: ``"onnx"``, ``"openvino"``, ``"torch"``, ``"torch-compile"``, ``"auto"`` for the fastest of them on
            this machine, the folder of a model with the same weights, or a runtime that is already open. None takes
            ONNX Runtime for a model folder or a bundle, and PyTorch on a device other than the CPU.
        precision: ``"fp32"``, ``"bf16"`` or ``"int8"``; None takes the model's own, and any with ``"auto"``.
        crop: show the network only the largest region of 2-D tissue that the DICOM header names, without banner and
            colour bar; False shows it the whole screen. A picture without such a region is shown whole.
        views: how many views of each picture are averaged: 1 shows it as it is, 2 mirrored too, 4 upside down as well,
            at as many times the cost.
        calibration: pictures for int8: a manifest whose paths start from its own folder, or the result of
            :func:`~monai_lesion.runtimes.quantization.calibration_images`.
        group: the group of all pictures, such as a scanner, whose intervals to give; it must be one that the model was
            calibrated for. None takes the scanner that a DICOM header names, and else all groups pooled.
        code: whether expressions of a bundle and TorchScript, which is a program, may be run.
        threads: threads of ONNX Runtime and OpenVINO for a model folder; None takes one per core.

    Raises:
        InputError: for an unknown precision, or another number of views.
    """

    device: str | None = None
    runtime: str | Path | Runtime | None = None
    precision: str | None = None
    crop: bool = True
    views: int = 1
    calibration: CalibrationImages | str | Path | None = None
    group: str | None = None
    code: bool = True
    threads: int | None = None

    def __post_init__(self) -> None:
        if self.device is not None:
            object.__setattr__(self, "device", str(self.device))  # a torch.device too
        if self.precision is not None and self.precision not in PRECISIONS:
            raise InputError("precision", f"must be one of {', '.join(PRECISIONS)}", got=self.precision)
        if self.views not in (1, 2, 4):
            raise InputError("views", "must be 1, 2 or 4", got=self.views)

    @property
    def on_cpu(self) -> bool:
        """Whether the network runs on the CPU."""
        return self.device is None or self.device.split(":")[0] == "cpu"

    def check_cpu(self) -> None:
        """Refuse another device for a runtime that runs only on the CPU.

        Raises:
            InputError: when another device is asked for.
        """
        if not self.on_cpu:
            got = f"device {self.device}"
            raise InputError("runtime", f"{self.runtime} runs on a CPU", got=got, fix="Use runtime torch")

    def calibration_images(self, input_size: tuple[int, int]) -> CalibrationImages:
        """Give the pictures for int8, read from the manifest if one is named.

        Raises:
            InputError: when there are none.
        """
        if self.calibration is None:
            fix = "Give a calibration manifest, or the folder that monai-lesion export --int8 wrote as runtime"
            raise InputError("precision", "int8 needs calibration pictures", got="none", fix=fix)
        if isinstance(self.calibration, (str, Path)):
            from monai_lesion.runtimes.quantization import calibration_images

            return calibration_images(self.calibration, spatial_size=input_size)
        return self.calibration

    @property
    def folder(self) -> Path | None:
        """The model folder that ``runtime`` names, if any."""
        if self.runtime is None or isinstance(self.runtime, Runtime) or self.runtime in (*NAMES, "auto"):
            return None
        return Path(self.runtime)

    @classmethod
    def of(cls, execution: Execution | None, options: dict[str, Any]) -> Execution:
        """Make an execution from one object, or from its fields by name.

        Raises:
            InputError: when both are given, or a field is unknown.
        """
        known = [each.name for each in fields(cls)]
        for name in options:
            if name not in known:
                raise InputError(name, f"must be one of {', '.join(known)}", got="an unknown option")
        if execution is not None and options:
            raise InputError("execution", "must be one object or its fields", got=f"both, with {', '.join(options)}")
        return execution or cls(**options)
