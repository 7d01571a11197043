"""Read files of weights without running anything in them."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import torch

from monai_lesion.errors import CheckpointError

WHOLE_MODULES = "Files with whole modules, as the paper's authors released, need networks.published.load_published"


def read_state(path: str | Path) -> dict[str, torch.Tensor]:
    """Read ``{"model": state_dict}`` without unpickling anything but tensors.

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
    return state
