"""Read files of weights without running anything in them."""

from __future__ import annotations

import io
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from monai_lesion.errors import CheckpointError

WHOLE_MODULES = "Files with whole modules, as the paper's authors released, need networks.published.load_published"


@dataclass(frozen=True)
class Weights:
    """Weights, and what they were trained with where their file tells it.

    Attributes:
        state: the state dict.
        network_def: class and arguments of the network; None for another class than ours, or in a file of before
            version 0.1.
        input_size: rows and columns of the network's input.
    """

    state: dict[str, torch.Tensor]
    network_def: dict[str, Any] | None = None
    input_size: tuple[int, int] | None = None

    def to_dict(self) -> dict[str, Any]:
        """As ``model.pt`` holds them: ``{"model": state, "network_def": {...}, "input_size": [rows, columns]}``."""
        size = None if self.input_size is None else list(self.input_size)
        told = {"network_def": self.network_def, "input_size": size}
        return {"model": self.state, **{name: value for name, value in told.items() if value is not None}}


def save_state(content: Any, path: Path) -> None:
    """Write with PyTorch into memory first: on a full disk its own writer ends the whole program.

    Raises:
        OSError: when the file cannot be written; it names the file.
    """
    buffer = io.BytesIO()
    torch.save(content, buffer)
    try:
        path.write_bytes(buffer.getbuffer())
    except OSError as error:
        error.filename = error.filename or str(path)
        raise


def read_state(path: str | Path) -> dict[str, torch.Tensor]:
    """The state dict alone, as :func:`read_weights`."""
    return read_weights(path).state


def read_weights(path: str | Path) -> Weights:
    """Read ``{"model": state_dict, ...}`` without unpickling anything but tensors and plain values.

    Args:
        path: the file; a plain state dict is read as well.

    Raises:
        CheckpointError: when the file is missing, damaged or something else.
    """
    file = Path(path)
    if not file.is_file():
        fix = "Train first (monai.bundle run training), or name the weights"
        raise CheckpointError(file, "the weights must exist", got="no file", fix=fix)
    if file.stat().st_size == 0:
        raise CheckpointError(file, "must hold weights", got="an empty file")
    try:
        content: Any = torch.load(file, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises many kinds; each means the same to the user
        reason, fix = (str(error) or type(error).__name__).splitlines()[0], ""
        if reason.startswith("Weights only load failed"):  # torch goes on to recommend the unsafe way
            module = re.search(r"GLOBAL ([\w.]+)", str(error))
            reason = f"a {module[1]}" if module else "a file that PyTorch did not write"
            fix = WHOLE_MODULES if module else ""
        raise CheckpointError(file, "must hold tensors only", got=reason, fix=fix) from error
    state = content.get("model", content) if isinstance(content, dict) else content
    if not isinstance(state, dict) or not all(isinstance(value, torch.Tensor) for value in state.values()):
        got, fix = type(content).__name__, ""
        if isinstance(content, dict) and {"network", "optimizer"} <= content.keys():
            got, fix = "the state of a training", "Name the model.pt beside it"
        raise CheckpointError(file, 'must be {"model": state_dict}', got=got, fix=fix)
    return _told(file, state, content if state is not content else {})


def _told(file: Path, state: dict[str, torch.Tensor], content: Mapping[str, Any]) -> Weights:
    definition, size = content.get("network_def"), content.get("input_size")
    if definition is not None and not isinstance(definition, dict):
        raise CheckpointError(file, "network_def must be an object", got=type(definition).__name__)
    if size is not None:
        if not isinstance(size, (list, tuple)) or len(size) != 2 or not all(type(side) is int for side in size):
            raise CheckpointError(file, "input_size must be two whole numbers", got=repr(size))
        size = (size[0], size[1])
    return Weights(state, definition, size)
