"""Networks that come with the package, trained and ready: weights, what they need to run, and a model card each."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from monai_lesion.errors import InputError

FOLDER = Path(__file__).parent
DEFAULT = "pocket"


@dataclass(frozen=True)
class Preset:
    """A trained network of the package.

    Attributes:
        name: of the preset.
        overrides: the config values of the bundle by which it was trained: ``network_def`` and ``spatial_size``.
        weights: file of the weights, half precision.
        card: the model card, Markdown.
    """

    name: str
    overrides: dict[str, Any]
    weights: Path
    card: Path


def preset_names() -> tuple[str, ...]:
    """The names of all presets.

    Example:
        >>> preset_names()
        ('pocket',)
    """
    return tuple(sorted(file.stem for file in FOLDER.glob("*.json")))


def load_preset(name: str = DEFAULT) -> Preset:
    """Look a preset up.

    Args:
        name: one of :func:`preset_names`.

    Raises:
        InputError: for an unknown name.

    Example:
        >>> load_preset("pocket").overrides["spatial_size"]
        [128, 128]
    """
    if name not in preset_names():
        raise InputError("preset", f"must be one of {', '.join(preset_names())}", got=name)
    overrides = json.loads((FOLDER / f"{name}.json").read_text(encoding="utf-8"))
    return Preset(name, overrides, FOLDER / f"{name}.pt", FOLDER / f"{name}.md")
