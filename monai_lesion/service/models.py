"""The networks that the routes name, opened once."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from monai_lesion.errors import InputError
from monai_lesion.service.configurations import Configuration, ModelPart

if TYPE_CHECKING:
    from monai_lesion.segmentation.segmenters import Segmenter


def open_model(part: ModelPart) -> Segmenter:
    """Open a model folder, or a network that comes with the package.

    Raises:
        InputError: when it is neither, or its runtime cannot be used.
    """
    from monai_lesion.models.folders import read_model
    from monai_lesion.models.presets import load_preset, preset_names
    from monai_lesion.segmentation.lesion_segmenters import Execution, LesionSegmenter

    execution = Execution(runtime=part.runtime, precision=part.precision, crop=part.crop, group=part.group)
    if part.folder in preset_names() and not Path(part.folder).is_dir():
        return LesionSegmenter(load_preset(part.folder), execution=execution)
    return LesionSegmenter(read_model(part.folder), execution=execution)


def open_models(configuration: Configuration, known: dict[ModelPart, Any] | None = None) -> dict[str, Any]:
    """Open every model; those of ``known`` are open already.

    Raises:
        InputError: when one cannot be opened, or a rule asks for a decision of a model without calibration.
    """
    known = known or {}
    found = {name: known.get(part) or open_model(part) for name, part in configuration.models.items()}
    check_rules(configuration, found)
    return found


def check_rules(configuration: Configuration, models: dict[str, Any]) -> None:
    """Hold rules by decision and trust against what the models say.

    Raises:
        InputError: when a model carries no calibration and a rule asks for its decision.
    """
    for number, route in enumerate(configuration.routes):
        for place, delivery in enumerate(route.to):
            model = models.get(route.model)
            if delivery.judges and model is not None and getattr(model, "trust", None) is None:
                where = f"routes[{number}].to[{place}]"
                fix = "Calibrate it (monai-lesion calibrate), or leave accept and least_trust out"
                rule = f"accept and least_trust need a calibration, which models.{route.model} lacks"
                raise InputError(where, rule, fix=fix)
