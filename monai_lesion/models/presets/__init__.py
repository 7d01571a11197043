"""The networks that come with the package, trained and ready: a model folder each."""

from __future__ import annotations

from pathlib import Path

from monai_lesion.errors import InputError
from monai_lesion.models.descriptions import FILE
from monai_lesion.models.folders import ModelFolder, read_model

FOLDER = Path(__file__).parent
DEFAULT = "clinic"


def preset_names() -> tuple[str, ...]:
    """The names of all presets.

    Example:
        >>> preset_names()
        ('clinic', 'pocket')
    """
    return tuple(sorted(file.parent.name for file in FOLDER.glob(f"*/{FILE}")))


def load_preset(name: str = DEFAULT) -> ModelFolder:
    """The model folder of a preset.

    Args:
        name: one of :func:`preset_names`.

    Raises:
        InputError: for an unknown name.

    Example:
        >>> load_preset("pocket").description.steps.input_size
        (160, 160)
    """
    if name not in preset_names():
        raise InputError("preset", f"must be one of {', '.join(preset_names())}", got=name)
    return read_model(FOLDER / name)
