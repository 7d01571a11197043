"""A runtime for a network, by name."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torch import nn

from monai_lesion.errors import InputError
from monai_lesion.machine.packages import load_package
from monai_lesion.runtimes.interfaces import PRECISIONS, Runtime

if TYPE_CHECKING:
    from monai_lesion.runtimes.quantization import CalibrationImages

NAMES = ("torch", "torch-compile", "onnx", "openvino")


def open_runtime(
    network: nn.Module,
    runtime: str | Path | Runtime,
    *,
    precision: str | None = None,
    spatial_size: Sequence[int] = (256, 256),
    device: str = "cpu",
    calibration: CalibrationImages | str | Path | None = None,
    threshold: float = 0.5,
) -> Runtime:
    """What runs ``network`` from now on.

    Args:
        network: as trained; it is copied.
        runtime: ``"torch"``, ``"torch-compile"``, ``"onnx"``, ``"openvino"``; ``"auto"`` for the fastest that is
            installed; the folder of an exported model of the same weights; or one that is open already.
        precision: ``"fp32"``, ``"bf16"`` or ``"int8"``; None is fp32, and with ``"auto"`` any.
        spatial_size: rows and columns of the network's input.
        device: where PyTorch runs it; ONNX Runtime and OpenVINO run on the CPU.
        calibration: pictures for int8, or a manifest whose paths start from its own folder.
        threshold: probability from which a pixel is lesion, for the comparison that ``"auto"`` makes.

    Raises:
        InputError: for an unknown name, a precision that the runtime lacks, a package that is not installed, or a
            folder whose model is of other weights, another version or damaged.
    """
    if isinstance(runtime, Runtime):
        return runtime
    if precision is not None and precision not in PRECISIONS:
        raise InputError("precision", f"must be of {', '.join(PRECISIONS)}", got=precision)
    if isinstance(calibration, (str, Path)):
        from monai_lesion.runtimes.quantization import calibration_images

        calibration = calibration_images(calibration, spatial_size=spatial_size)
    if runtime == "auto":
        from monai_lesion.runtimes.choices import choose

        return choose(
            network,
            precision=precision,
            spatial_size=spatial_size,
            device=device,
            calibration=calibration,
            threshold=threshold,
        )
    if isinstance(runtime, Path) or runtime not in NAMES:
        if Path(runtime).is_dir():
            from monai_lesion.models.folders import open_exported

            return open_exported(runtime, network=network, precision=precision)
        rule = f"must be auto, {', '.join(NAMES)} or the folder of an exported model"
        raise InputError("runtime", rule, got=runtime)
    return _open(network, str(runtime), precision or "fp32", spatial_size, device, calibration)


def spatial_size_of(preprocess: Any) -> tuple[int, int]:
    """Rows and columns that a segmenter's preprocessing gives.

    Raises:
        InputError: when it does not resize.
    """
    for step in preprocess.transforms:
        if type(step).__name__ == "Resized":
            rows, columns = step.resizer.spatial_size
            return int(rows), int(columns)
    raise InputError("runtime", "needs a preprocessing that resizes to one size", got="one without Resized")


def _open(
    network: nn.Module,
    runtime: str,
    precision: str,
    spatial_size: Sequence[int],
    device: str,
    calibration: CalibrationImages | None,
) -> Runtime:
    if runtime.startswith("torch"):
        from monai_lesion.runtimes.torch_runtimes import TorchRuntime

        return TorchRuntime(network, precision=precision, compiled=runtime == "torch-compile", device=device)
    if device.split(":")[0] != "cpu":
        raise InputError("runtime", f"{runtime} runs on a CPU", got=f"device {device}", fix="Use runtime torch")
    load_package("onnxruntime" if runtime == "onnx" else "openvino")  # before the long work
    if runtime == "onnx":
        from monai_lesion.runtimes.onnx_runtimes import OnnxRuntime, check_precision

        check_precision(precision)
        return OnnxRuntime(model_bytes(network, runtime, precision, spatial_size, calibration), precision=precision)
    from monai_lesion.runtimes.openvino_runtimes import OpenVinoRuntime

    return OpenVinoRuntime(model_bytes(network, runtime, precision, spatial_size, calibration), precision=precision)


def model_bytes(
    network: nn.Module,
    runtime: str,
    precision: str,
    spatial_size: Sequence[int],
    calibration: CalibrationImages | None,
) -> bytes:
    """The network as ONNX. The int8 one takes minutes to make: of our networks it is kept in the cache.

    Raises:
        InputError: for int8 without calibration pictures.
    """
    from monai_lesion.runtimes.conversions import to_onnx

    if precision != "int8":
        return bytes(to_onnx(network, spatial_size).SerializeToString())
    if calibration is None:
        fix = "Give a calibration manifest, or the folder that monai-lesion export --int8 wrote as runtime"
        raise InputError("precision", "int8 needs calibration pictures", got="none", fix=fix)
    from monai_lesion.networks.identity import facts, is_ours
    from monai_lesion.runtimes.caches import kept_folder
    from monai_lesion.runtimes.quantization import METHOD, quantise

    def make() -> bytes:
        return bytes(quantise(to_onnx(network, spatial_size), calibration, runtime=runtime).SerializeToString())

    if not is_ours(network):
        return make()
    made = {"kind": f"int8 {runtime}", "method": METHOD, "calibration": calibration.digest}
    known = facts(network, spatial_size=list(spatial_size), **made)

    def fill(folder: Path) -> None:
        (folder / "model.onnx").write_bytes(make())

    return (kept_folder(known, fill) / "model.onnx").read_bytes()
