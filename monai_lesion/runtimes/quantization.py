"""Quantise networks to 8-bit weights and activations, by NNCF's post-training quantisation with accuracy control."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from monai_lesion.errors import InputError
from monai_lesion.machine.packages import load_package
from monai_lesion.measures.metrics import dice
from monai_lesion.runtimes.interfaces import Runtime
from monai_lesion.runtimes.onnx_runtimes import OnnxRuntime
from monai_lesion.runtimes.openvino_runtimes import OpenVinoRuntime

MINIMUM = 16  # images of each split
STATISTICS, VALIDATION, RANKING = 128, 96, 16  # at most so many images, evenly spaced; more hardly change the ranges
MAX_DROP = 0.001  # of the mean Dice on the validation images; half of what an export may lose


@dataclass(frozen=True)
class CalibrationImages:
    """Calibration pictures, as the network sees them.

    Args:
        statistics: float32 ``(1, 3, H, W)`` each, for the ranges of activations.
        validation: the same, for the accuracy; they should not overlap with the others.
        labels: masks of the validation pictures, ``(H, W)`` bool.
    """

    statistics: Sequence[NDArray[np.float32]]
    validation: Sequence[NDArray[np.float32]]
    labels: Sequence[NDArray[np.bool_]]


def calibration_images(
    manifest: str | Path,
    dataset_dir: str | Path | None = None,
    *,
    spatial_size: Sequence[int],
    most: int = STATISTICS,
) -> CalibrationImages:
    """Read the calibration pictures of a manifest: ``training`` gives the ranges, ``validation`` the accuracy.

    The ``test`` split is not touched, so that results on it stay honest.

    Args:
        manifest: the manifest.
        dataset_dir: folder that its paths start from; None for its own folder.
        spatial_size: rows and columns of the network's input.
        most: most images to take from a split (at most 96 from ``validation``), evenly spaced.

    Raises:
        InputError: when a split has fewer than 16 images.
        ManifestError: when the manifest breaks a rule.
    """
    from monai_lesion.datasets.manifests import load_manifest
    from monai_lesion.pipeline.transforms import preprocessing

    loaded = load_manifest(manifest, dataset_dir, splits=("training", "validation"))
    read = preprocessing(("image", "label"), spatial_size=spatial_size)
    items = {}
    for split, limit in (("training", most), ("validation", min(most, VALIDATION))):
        entries = loaded.entries(split)
        if len(entries) < MINIMUM:
            rule = f"must list at least {MINIMUM} images in its {split} split, to calibrate int8"
            raise InputError(manifest, rule, got=len(entries), fix="Use more images, or fp32")
        chosen = np.linspace(0, len(entries) - 1, min(limit, len(entries))).round().astype(int)
        items[split] = [read(entries[i]) for i in chosen]

    def pictures(split: str) -> list[NDArray[np.float32]]:
        return [item["image"].as_tensor().numpy()[None] for item in items[split]]

    labels = [item["label"].as_tensor().numpy()[0] > 0 for item in items["validation"]]
    return CalibrationImages(pictures("training"), pictures("validation"), labels)


def quantise(model: Any, images: CalibrationImages, *, runtime: str = "onnx", max_drop: float = MAX_DROP) -> Any:
    """Quantise a copy of an ONNX model to int8; layers that would cost too much accuracy stay in float.

    Args:
        model: the network, ``onnx.ModelProto`` of :func:`~monai_lesion.runtimes.conversions.to_onnx`.
        images: the calibration pictures.
        runtime: ``"onnx"`` or ``"openvino"``, which will run the model. Each computes a little differently, so accuracy
            is measured in it.
        max_drop: how much mean Dice the model may lose on the validation images.

    Returns:
        An ``onnx.ModelProto`` that ONNX Runtime and OpenVINO run.

    Raises:
        InputError: when nncf, onnx or onnxruntime is not installed, or NNCF cannot quantise the model.
    """
    for name in ("onnx", "onnxruntime"):
        load_package(name)
    nncf = load_package("nncf")
    nncf.set_log_level(logging.ERROR)
    name = model.graph.input[0].name
    pairs = list(zip(images.validation, images.labels, strict=True))

    def feed(item: Any) -> dict[str, Any]:
        return {name: item[0] if isinstance(item, tuple) else item}

    def validate(candidate: Any, items: Iterable[Any]) -> tuple[float, list[float]]:
        kind: Callable[..., Runtime] = OpenVinoRuntime if runtime == "openvino" else OnnxRuntime
        judge = kind(candidate.SerializeToString(), precision="int8")
        scores = [dice(judge(item[0])[0, 0] >= 0, item[1]) for item in items]
        return float(np.mean(scores)), scores

    try:
        return nncf.quantize_with_accuracy_control(
            model,
            calibration_dataset=nncf.Dataset(list(images.statistics), feed),
            validation_dataset=nncf.Dataset(pairs, feed),
            validation_fn=validate,
            max_drop=max_drop,
            subset_size=len(images.statistics),
            fast_bias_correction=False,  # measures the bias of each layer: slower, and the masks agree better
            advanced_accuracy_restorer_parameters=nncf.AdvancedAccuracyRestorerParameters(
                ranking_subset_size=min(RANKING, len(pairs))
            ),
        )
    except (RuntimeError, ValueError, TypeError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise InputError("network", "must be one that NNCF can quantise", got=reason, fix="Use fp32") from error
