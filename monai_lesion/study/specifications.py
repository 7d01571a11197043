"""What a study is: networks, weight decays and seeds, read from a JSON file and checked."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from monai_lesion.errors import InputError
from monai_lesion.files import read_object

TABLES = ("table1", "table2", "ladder")
ENTRY_KEYS = ("network", "name", "weight_decays", "seeds", "tuning_seeds", "overrides")
KEYS = (
    "name",
    "title",
    "table",
    "manifest",
    "dataset_dir",
    "networks",
    "weight_decays",
    "seeds",
    "tuning_seeds",
    "recipe",
    "overrides",
)
# What the study itself sets in each trial.
OWN_KEYS = (
    "bundle_root",
    "manifest",
    "dataset_dir",
    "ckpt_dir",
    "output_dir",
    "seed",
    "weight_decay",
    "resume",
    "progress",
    "tensorboard",
    "network_def",
)

Overrides = Mapping[str, Any]


@dataclass(frozen=True)
class Entry:
    """A row in the table of a study.

    Args:
        name: name in the table.
        network_def: the bundle's ``network_def``: a class and its arguments.
        weight_decays: values to try; the one with the lowest validation loss is kept.
        seeds: random seeds for the final networks.
        tuning_seeds: random seeds with which weight decays are compared.
        overrides: changes to the bundle's config, in addition to the study's.
    """

    name: str
    network_def: Mapping[str, Any]
    weight_decays: tuple[float, ...]
    seeds: tuple[int, ...]
    tuning_seeds: tuple[int, ...]
    overrides: Overrides = field(default_factory=dict)


@dataclass(frozen=True)
class Study:
    """A study, complete and checked; :func:`load_study` reads one.

    Args:
        name: name of the study, which its output folder keeps.
        entries: the rows, in the order of the table.
        title: title of the table.
        table: ``table1``, ``table2`` or ``ladder`` if the paper has the same table; otherwise empty.
        recipe: overlays of the bundle that every training takes, such as ``("converge",)``; empty for the paper's
            recipe.
        overrides: changes to the bundle's config, for every trial.
        manifest: manifest to use if the command names none; relative to the working folder.
        dataset_dir: folder that its paths start from; None for its own folder.
    """

    name: str
    entries: tuple[Entry, ...]
    title: str = ""
    table: str = ""
    recipe: tuple[str, ...] = ()
    overrides: Overrides = field(default_factory=dict)
    manifest: str | None = None
    dataset_dir: str | None = None

    def part(self, names: Sequence[str] | None, seeds: Sequence[int] | None = None) -> Study:
        """The study with the networks of these names and these seeds alone, in its own order; None for all.

        Raises:
            InputError: for a name that is not among its networks, or a seed that none of these has.
        """
        known = [entry.name for entry in self.entries]
        for name in names or ():
            if name not in known:
                raise InputError("--only", f"must be one of {'; '.join(known)}", got=name)
        entries = [entry for entry in self.entries if not names or entry.name in names]
        planned = sorted({seed for entry in entries for seed in entry.seeds})
        for seed in seeds or ():
            if seed not in planned:
                raise InputError("--seed", f"must be one of {', '.join(map(str, planned))}", got=seed)
        chosen = (replace(e, seeds=tuple(seed for seed in e.seeds if not seeds or seed in seeds)) for e in entries)
        return replace(self, entries=tuple(entry for entry in chosen if entry.seeds))

    def content(self) -> dict[str, Any]:
        """The study as plain JSON without its data, with nothing left to defaults; :func:`parse_study` reads it."""
        return {
            "name": self.name,
            "title": self.title,
            "table": self.table,
            "recipe": list(self.recipe),
            "overrides": dict(self.overrides),
            "networks": [
                {
                    "name": entry.name,
                    "network": dict(entry.network_def),
                    "weight_decays": list(entry.weight_decays),
                    "seeds": list(entry.seeds),
                    "tuning_seeds": list(entry.tuning_seeds),
                    "overrides": dict(entry.overrides),
                }
                for entry in self.entries
            ],
        }


def load_study(path: str | Path) -> Study:
    """Read a study file.

    Args:
        path: JSON such as ``studies/table2.json``.

    Raises:
        InputError: names file, key and rule.
    """
    file = Path(path)
    if not file.exists():
        found = sorted(str(other) for other in file.parent.glob("*.json")) if file.parent.is_dir() else []
        fix = f"There are {', '.join(found)}" if found else "Run the command in the project's folder"
        raise InputError(file, "the study must exist", got="no file", fix=fix)
    return parse_study(read_object(file), where=file)


def parse_study(content: Any, *, where: object = "study") -> Study:
    """Check the content of a study file.

    Args:
        content: the JSON content.
        where: name of the study in error messages.

    Raises:
        InputError: names key and rule.
    """
    if not isinstance(content, dict):
        raise InputError(where, "must be a JSON object", got=type(content).__name__)
    _check_keys(where, content, KEYS)
    name = content.get("name")
    if not isinstance(name, str) or not re.fullmatch(r"[\w-]+", name):
        raise InputError(f"{where}, name", "must be one word of letters, digits, - and _", got=json.dumps(name))
    table = content.get("table", "")
    if table not in ("", *TABLES):
        raise InputError(f"{where}, table", f"must be one of {', '.join(TABLES)}, or left out", got=json.dumps(table))
    listed = content.get("networks")
    if not isinstance(listed, list) or not listed:
        raise InputError(f"{where}, networks", "must list at least one network", got=json.dumps(listed))
    entries = tuple(_entry(item, content, f"{where}, networks[{number}]") for number, item in enumerate(listed))
    _check_names(where, [entry.name for entry in entries])
    recipe, overrides = _recipe(content.get("recipe", []), where), _overrides(content.get("overrides", {}), where)
    data = {key: content.get(key) for key in ("manifest", "dataset_dir")}
    for key, path in data.items():
        if path is not None and (not isinstance(path, str) or not path):
            raise InputError(f"{where}, {key}", "must be a path, or left out", got=json.dumps(path))
    title = str(content.get("title", ""))
    return Study(name, entries, title=title, table=table, recipe=recipe, overrides=overrides, **data)


def _entry(item: Any, study: Mapping[str, Any], where: str) -> Entry:
    given: dict[str, Any] = {"network": item} if isinstance(item, str) else item
    if not isinstance(given, dict) or "network" not in given:
        raise InputError(where, 'must be the name of a network, or an object with "network"', got=json.dumps(item))
    _check_keys(where, given, ENTRY_KEYS)
    network_def, name = _network(given["network"], where)
    name = given.get("name", name)
    if not isinstance(name, str) or not name:
        raise InputError(f"{where}, name", "must be given for your own network", got=json.dumps(name))
    numbers = {key: given.get(key, study.get(key)) for key in ("weight_decays", "seeds", "tuning_seeds")}
    seeds = _seeds(numbers["seeds"], f"{where}, seeds")
    tuning = seeds[:1] if numbers["tuning_seeds"] is None else _seeds(numbers["tuning_seeds"], f"{where}, tuning_seeds")
    decays = _weight_decays(numbers["weight_decays"], f"{where}, weight_decays")
    return Entry(name, network_def, decays, seeds, tuning, _overrides(given.get("overrides", {}), where))


def _network(network: Any, where: str) -> tuple[dict[str, Any], str]:
    """Find the ``network_def`` of a network and its name in the table."""
    from monai_lesion.networks.complexity import NETWORKS

    if isinstance(network, dict) and isinstance(network.get("_target_"), str):
        return dict(network), ""
    if not isinstance(network, str) or network not in NETWORKS:
        close = get_close_matches(str(network), NETWORKS, n=1, cutoff=0.5)
        fix = f"Did you mean {close[0]!r}?" if close else 'Or an object with "_target_", a class by its full name'
        raise InputError(f"{where}, network", f"must be one of {', '.join(NETWORKS)}", got=json.dumps(network), fix=fix)
    return NETWORKS[network].network_def, network


def _check_keys(where: object, content: Mapping[str, Any], known: Sequence[str]) -> None:
    for key in content:
        if key not in known and not key.startswith("_"):
            close = get_close_matches(key, known, n=1)
            fix = f"Did you mean {close[0]!r}?" if close else ""
            raise InputError(where, f"may have the keys {', '.join(known)}", got=repr(key), fix=fix)


def _check_names(where: object, names: Sequence[str]) -> None:
    seen: dict[str, str] = {}
    for name in names:
        other = seen.setdefault(folder_name(name), name)
        if names.count(name) > 1 or other != name:
            fix = 'Give each a "name" of its own'
            raise InputError(f"{where}, networks", "must differ in name", got=f"{other!r} and {name!r}", fix=fix)


def folder_name(name: str) -> str:
    """Turn a name into the name of a folder.

    Example:
        >>> folder_name("Lighter U-net @8")
        'lighter-u-net-8'
    """
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")


def _weight_decays(values: Any, where: str) -> tuple[float, ...]:
    _check_list(values, where, "weight decay", [0.0001])
    for value in values:
        if type(value) not in (int, float) or not 0 <= value < math.inf:
            raise InputError(where, "must be numbers of at least 0", got=json.dumps(value))
    return tuple(float(value) for value in values)


def _seeds(values: Any, where: str) -> tuple[int, ...]:
    _check_list(values, where, "seed", [0, 1, 2])
    for value in values:
        if type(value) is not int or not 0 <= value < 2**32:
            raise InputError(where, "must be whole numbers of at least 0", got=json.dumps(value))
    return tuple(values)


def _check_list(values: Any, where: str, what: str, example: list[Any]) -> None:
    if not isinstance(values, list) or not values:
        raise InputError(where, f"must list at least one {what}", got=json.dumps(values), fix=f"Such as {example}")
    if any(value in values[:number] for number, value in enumerate(values)):
        raise InputError(where, "must all be different", got=json.dumps(values))


def _recipe(given: Any, where: object) -> tuple[str, ...]:
    names = given if isinstance(given, list) else [None]
    if not all(isinstance(name, str) and re.fullmatch(r"[\w-]+", name) for name in names):
        rule = "must list overlays of the bundle by name, without .json"
        raise InputError(f"{where}, recipe", rule, got=json.dumps(given), fix='Such as ["converge"]')
    return tuple(names)


def _overrides(given: Any, where: object) -> dict[str, Any]:
    if not isinstance(given, dict):
        raise InputError(f"{where}, overrides", "must be an object of config keys", got=type(given).__name__)
    check_own_keys(given, f"{where}, overrides")
    return dict(given)


def check_own_keys(overrides: Overrides, where: str) -> None:
    """Check that overrides leave alone what the study sets.

    Args:
        overrides: changes to the bundle's config.
        where: name of the study in error messages.

    Raises:
        InputError: names the key.
    """
    for key in overrides:
        if key in OWN_KEYS or key.startswith("network_def#"):
            fix = "See networks, weight_decays and seeds" if key.startswith(("network", "weight", "seed")) else ""
            raise InputError(where, "must not set what the study sets", got=repr(key), fix=fix)
