"""Refuse keys of a config that nothing uses: a misspelt ``--max_epoch 3`` would train 200 epochs without a word."""

from __future__ import annotations

import inspect
import json
import re
import sys
from collections.abc import Iterable, Iterator, Mapping
from difflib import get_close_matches
from functools import cache
from typing import Any

from monai.bundle import ComponentLocator, ConfigComponent, ConfigParser
from torch.utils.data import DataLoader

from monai_lesion.errors import InputError
from monai_lesion.models.bundles import bundle_folder

# What MONAI itself looks for, or sets under --tracking, and the names by which our configs are run.
STANDARD = (
    "imports",
    "initialize",
    "run",
    "finalize",
    "training",
    "evaluating",
    "inferring",
    "displayable_configs",
    "experiment_name",
    "run_name",
    "save_execute_config",
    "tracking_uri",
    "is_not_rank0",
)
HABITS = {  # names that people bring from elsewhere
    "lr": "learning_rate",
    "epochs": "max_epochs",
    "batch": "batch_size",
    "bs": "batch_size",
    "wd": "weight_decay",
    "imgsz": "spatial_size",
    "img_size": "spatial_size",
    "image_size": "spatial_size",
    "input_size": "spatial_size",
    "workers": "num_workers",
    "data": "manifest",
}
Unknown = tuple[str, list[str]]
_REFERENCE = re.compile(r"[@%]([A-Za-z_][\w#:]*)")


def refuse_unknown_keys() -> None:
    """Check the config that is being run; for its ``initialize``.

    MONAI does not show a config to what it instantiates, so the parser is taken from the calls that led here. Called
    from elsewhere it does nothing.

    Raises:
        InputError: see :func:`check_keys`.
    """
    frame = sys._getframe()
    while frame is not None:
        parser = frame.f_locals.get("self")
        if isinstance(parser, ConfigParser):
            check_keys(parser.get())
            return
        frame = frame.f_back  # type: ignore[assignment]


def check_keys(config: Mapping[str, Any], *, where: str = "") -> None:
    """Check that each key of a config is one of the bundle's, or used by the config itself.

    Args:
        config: the config, with its overrides, as MONAI's parser holds it.
        where: what the message begins with, before the key.

    Raises:
        InputError: names the first key at fault, and the nearest known one, or one whose number is text.
    """
    _check_numbers(config, where)
    for key, known in unknown_keys(config):
        close = nearest(key, known)
        fix = f"Did you mean {close}?" if close else "docs/reference/bundle.md lists the keys"
        raise InputError(f"{where}--{key}", "must be a key of the config", got="one that nothing uses", fix=fix)


def _check_numbers(config: Mapping[str, Any], where: str) -> None:
    """Refuse text for what is a number in the package's own config."""
    for key, usual in _shipped("train" if "train" in config else "inference").items():
        value, number = config.get(key), isinstance(usual, (int, float)) and not isinstance(usual, bool)
        if number and isinstance(value, str) and value[:1] not in ("@", "$", "%"):
            raise InputError(f"{where}--{key}", "must be a number", got=repr(value), fix=f"For example {usual}")


def nearest(key: str, known: Iterable[str]) -> str:
    """The known key that a key was probably meant to be; empty when none is like it.

    Example:
        >>> nearest("lr", ["lr_scheduler", "learning_rate"]), nearest("max_epoch", ["max_epochs"])
        ('learning_rate', 'max_epochs')
    """
    names = list(known)
    parent, _, last = key.rpartition("#")
    habit = HABITS.get(last.lower(), "")
    if not parent and habit in names:
        return habit
    last_names = {name.rpartition("#")[2]: name for name in names}
    return next((last_names[each] for each in get_close_matches(last, last_names, n=1, cutoff=0.6)), "")


def unknown_keys(config: Mapping[str, Any]) -> Iterator[Unknown]:
    """Each unknown key of a config, with those that it could have been.

    A key of the config itself, or of a part that is no component, is unknown when the package's ``train.json`` (or
    ``inference.json``) does not have it and no ``@key`` refers to it; an argument of a component, when its class does
    not take it.
    """
    used, shipped = set(_references(config)), _shipped_keys("train" if "train" in config else "inference")
    yield from _unknown(config, "", used, shipped)


def _unknown(config: Mapping[str, Any], prefix: str, used: set[str], shipped: set[str]) -> Iterator[Unknown]:
    if "_target_" in config:
        takes = _arguments(config, prefix)
        names = [str(key) for key in config if not str(key).startswith("_")]
        if takes is not None:
            yield from (
                (f"{prefix}{name}", [f"{prefix}{each}" for each in takes]) for name in names if name not in takes
            )
    elif not _used_whole(prefix, used):
        for key in config:
            name = f"{prefix}{key}"
            if not _known(name, used, shipped):
                siblings = {each for each in shipped | used if each.startswith(prefix)}
                yield name, sorted(each for each in siblings if "#" not in each.removeprefix(prefix))
    for key, value in config.items():
        if isinstance(value, Mapping) and not str(key).startswith("_"):  # as the metadata do
            yield from _unknown(value, f"{prefix}{key}#", used, shipped)


def _known(name: str, used: set[str], shipped: set[str]) -> bool:
    own = name.rpartition("#")[2]
    return own.startswith("_") or name in STANDARD or name in shipped or _is_used(name, used)


def _is_used(name: str, used: set[str]) -> bool:
    return name in used or any(each.startswith(f"{name}#") for each in used)


def _used_whole(prefix: str, used: set[str]) -> bool:
    """Whether something takes this part, or one that holds it, as it is."""
    parts = prefix.split("#")[:-1]
    return any("#".join(parts[: count + 1]) in used for count in range(len(parts)))


def _references(config: Any) -> Iterator[str]:
    if isinstance(config, Mapping):
        for value in config.values():
            yield from _references(value)
    elif isinstance(config, (list, tuple)):
        for value in config:
            yield from _references(value)
    elif isinstance(config, str) and config[:1] in "@$%":
        yield from (found.replace("::", "#") for found in _REFERENCE.findall(config))


def _arguments(component: Mapping[str, Any], prefix: str) -> list[str] | None:
    """The arguments that a component's class takes; None where it takes any, or cannot be found, which MONAI tells."""
    target = component["_target_"]
    if not isinstance(target, str) or target[:1] in "@$%":
        return None
    try:
        located = ConfigComponent(dict(component), id=prefix, locator=_locator()).resolve_module_name()
        if isinstance(located, str):
            from pydoc import locate

            located = locate(located)
        parameters = inspect.signature(located).parameters.values()  # type: ignore[arg-type]
    except Exception:
        return None
    names = [each.name for each in parameters if each.kind is not inspect.Parameter.VAR_KEYWORD]
    if len(names) == len(parameters):
        return names
    if isinstance(located, type) and issubclass(located, DataLoader):  # MONAI's hands the rest to PyTorch's
        return [*names, *list(inspect.signature(DataLoader.__init__).parameters)[1:]]
    return None


@cache
def _locator() -> ComponentLocator:
    return ComponentLocator()


@cache
def _shipped(name: str) -> Mapping[str, Any]:
    content = json.loads((bundle_folder() / "configs" / f"{name}.json").read_text(encoding="utf-8"))
    return dict(content)


@cache
def _shipped_keys(name: str) -> set[str]:
    return set(_ids(_shipped(name)))


def _ids(config: Any, prefix: str = "") -> Iterator[str]:
    if isinstance(config, Mapping) and "_target_" not in config:
        for key, value in config.items():
            yield f"{prefix}{key}"
            yield from _ids(value, f"{prefix}{key}#")
