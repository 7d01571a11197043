"""What may change when a training goes on from its checkpoint, and what may not.

::

    start of the killed training   recipe, optimiser, schedule  --+
                                                                  +-- refused, or changed and said
    start of the one that goes on  recipe, optimiser, schedule  --+

A checkpoint holds the optimiser as it was, so that ``load_state_dict`` alone would silently undo ``--learning_rate``.
Both starts are compared instead: what differs is what the user has changed.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from torch.optim import Optimizer

# Of a recipe. Everything else decides what was learnt so far, or what a network of this seed would have become.
MAY_CHANGE = (
    "learning_rate",
    "weight_decay",
    "encoder_lr_factor",
    "max_epochs",
    "min_epochs",
    "patience",
    "val_interval",
    "clip_norm",
    "amp",
)
RATES = ("lr", "initial_lr", "max_lr", "min_lr")  # of a group of parameters; the schedule moves the first
LAST_RATES = ("base_lrs", "_last_lr")  # of a schedule


class Start:
    """How a training started: its recipe, and the settings of its optimisers and schedules.

    Args:
        recipe: named settings, plain values.
        objects: what has a ``state_dict``; of these the optimisers and schedules count.
    """

    def __init__(self, recipe: Mapping[str, Any], objects: Mapping[str, Any]) -> None:
        self.recipe = {name: _plain(value) for name, value in recipe.items()}
        self.kinds = {name: type(item).__name__ for name, item in objects.items() if _has_settings(item)}
        self.settings = {name: _settings(objects[name]) for name in self.kinds}

    def state_dict(self) -> dict[str, Any]:
        """Plain data for the checkpoint."""
        return {"recipe": self.recipe, "kinds": self.kinds, "settings": self.settings}

    def check(self, earlier: Mapping[str, Any]) -> None:
        """Compare with the start of the training that goes on, before anything of it is loaded.

        Raises:
            ValueError: names what may not change, with both values.
        """
        for name, kind in self.kinds.items():
            before = earlier.get("kinds", {}).get(name, kind)
            if before != kind:
                raise ValueError(f"{name} {before}, here {kind}: another --{name}")
        for name, before, now in _differences(earlier.get("recipe", {}), self.recipe):
            if name not in MAY_CHANGE:
                raise ValueError(f"{name} {_told(before)}, here {_told(now)}: another --{name}")

    def apply(self, earlier: Mapping[str, Any], objects: Mapping[str, Any]) -> list[str]:
        """Change the loaded optimisers and schedules to the settings given now.

        Learning rates keep the place in their schedule: a rate that was halved twice is a quarter of the new one.

        Args:
            earlier: :meth:`state_dict` of the training that goes on.
            objects: as loaded from its checkpoint.

        Returns:
            What has changed, in words.
        """
        said = {
            name: f"{name} {_told(now)} (was {_told(before)})"
            for name, before, now in _differences(earlier.get("recipe", {}), self.recipe)
        }
        for name, own in self.settings.items():
            before = earlier.get("settings", {}).get(name)
            if before is None:
                continue
            item = objects[name]
            if isinstance(item, Optimizer):
                for group, old, new in zip(item.param_groups, before, own, strict=True):
                    _change_group(group, old, new, said)
            else:
                _change_schedule(item, before, own, said, name)
        return list(said.values())


def _change_group(group: dict[str, Any], old: Mapping[str, Any], new: Mapping[str, Any], said: dict[str, str]) -> None:
    for key, before, now in _differences(old, new):
        group[key] = _scaled(group[key], before, now) if key in RATES else now
        if key == "weight_decay":
            said.setdefault("weight_decay", f"weight_decay {_told(now)} (was {_told(before)})")
        elif key in RATES:
            said.setdefault("learning_rate", f"learning_rate {_told(now)} (was {_told(before)})")
        else:
            said.setdefault(key, f"{key} {_told(now)} (was {_told(before)})")


def _change_schedule(
    item: Any, old: Mapping[str, Any], new: Mapping[str, Any], said: dict[str, str], name: str
) -> None:
    for key, before, now in _differences(old, new):
        if key in LAST_RATES:
            rates = zip(getattr(item, key), before, now, strict=True)
            setattr(item, key, [_scaled(rate, was, now) for rate, was, now in rates])
        else:
            setattr(item, key, now)
            said.setdefault(f"{name}#{key}", f"{name}#{key} {_told(now)} (was {_told(before)})")


def _scaled(rate: float, before: float, now: float) -> float:
    return rate * now / before if before else now


def _has_settings(item: Any) -> bool:
    return isinstance(item, (Optimizer, torch.optim.lr_scheduler.LRScheduler))


def _settings(item: Any) -> Any:
    if isinstance(item, Optimizer):
        return [{key: _plain(value) for key, value in group.items() if key != "params"} for group in item.param_groups]
    return {key: _plain(value) for key, value in item.state_dict().items() if _is_plain(value)}


def _is_plain(value: Any) -> bool:
    if isinstance(value, (list, tuple)):
        return all(map(_is_plain, value))
    if isinstance(value, Mapping):
        return all(map(_is_plain, value.values()))
    return value is None or isinstance(value, (bool, int, float, str))


def _plain(value: Any) -> Any:
    """Lists for tuples and numbers for tensors of one, so that two starts compare."""
    if isinstance(value, torch.Tensor):
        return value.item() if value.numel() == 1 else value.tolist()
    if isinstance(value, (list, tuple)):
        return [_plain(each) for each in value]
    if isinstance(value, Mapping):
        return {str(key): _plain(each) for key, each in value.items()}
    return value if _is_plain(value) else str(value)


def _differences(before: Mapping[str, Any], now: Mapping[str, Any]) -> Iterator[tuple[str, Any, Any]]:
    """What both have and differs; a version that knows more settings goes on with a training of one that knew less."""
    for key, value in now.items():
        if key in before and before[key] != value:
            yield key, before[key], value


def _told(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, Sequence) and not isinstance(value, str):
        return f"[{', '.join(map(_told, value))}]"
    return "none" if value is None else str(value)
