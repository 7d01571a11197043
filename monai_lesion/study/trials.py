"""One training of a study: its name, its folder and what it changes in the bundle's config."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from monai_lesion.study.specifications import Entry, Study, folder_name

# What says where and how a trial runs, not what it computes.
_CIRCUMSTANCES = (
    "bundle_root",
    "manifest",
    "dataset_dir",
    "ckpt_dir",
    "output_dir",
    "device",
    "num_workers",
    "cache_rate",
    "resume",
    "progress",
    "tensorboard",
    "seed",
)


@dataclass(frozen=True)
class Trial:
    """One network, weight decay and seed of a study; plain data, so that it travels to other machines.

    Args:
        study: name of the study.
        entry: name of the network in its table.
        network_def: the bundle's ``network_def``.
        weight_decay: Adam's L2.
        seed: random seed of weights, order and augmentation.
        overrides: changes to the bundle's config.
        recipe: overlays of the bundle that the training takes.
        folder: where the trial writes everything.
        bundle: folder of the bundle.
        manifest: path of the manifest.
        dataset_dir: folder that its paths start from.
    """

    study: str
    entry: str
    network_def: Mapping[str, Any]
    weight_decay: float
    seed: int
    folder: str
    bundle: str
    manifest: str
    dataset_dir: str | None = None
    overrides: Mapping[str, Any] = field(default_factory=dict)
    recipe: tuple[str, ...] = ()

    @property
    def path(self) -> Path:
        """The trial's folder."""
        return Path(self.folder)

    @property
    def label(self) -> str:
        """The trial in words."""
        return f"{self.entry}, weight decay {self.weight_decay:g}, seed {self.seed}"

    def changes(self) -> dict[str, Any]:
        """The overrides of the bundle's config, paths included."""
        return {
            **self.overrides,
            "network_def": dict(self.network_def),
            "weight_decay": self.weight_decay,
            "seed": self.seed,
            "bundle_root": self.bundle,
            "manifest": self.manifest,
            "dataset_dir": self.dataset_dir,
            "ckpt_dir": str(self.path / "models"),
            "output_dir": str(self.path / "logs"),
        }

    def as_dict(self) -> dict[str, Any]:
        """Plain data; ``Trial(**data)`` is the trial again."""
        return asdict(self)


@dataclass(frozen=True)
class Place:
    """Where a study runs: output folder, bundle and data, all absolute.

    Args:
        output: the study's folder.
        bundle: folder of the bundle.
        manifest: the manifest.
        dataset_dir: folder that its paths start from; None for its own.
    """

    output: Path
    bundle: Path
    manifest: Path
    dataset_dir: Path | None

    def trial(self, study: Study, entry: Entry, weight_decay: float, seed: int) -> Trial:
        """A trial of an entry."""
        folder = self.output / "trials" / folder_name(entry.name) / f"wd{weight_decay:g}-seed{seed}"
        return Trial(
            study=study.name,
            entry=entry.name,
            network_def=dict(entry.network_def),
            weight_decay=weight_decay,
            seed=seed,
            folder=str(folder),
            bundle=str(self.bundle),
            manifest=str(self.manifest),
            dataset_dir=None if self.dataset_dir is None else str(self.dataset_dir),
            overrides={**study.overrides, **entry.overrides},
            recipe=study.recipe,
        )


def overlay(bundle: Path, name: str) -> Path:
    """The file of one of a bundle's overlays."""
    return bundle / "overlays" / f"{name}.json"


def config_hash(config: Mapping[str, Any]) -> str:
    """SHA-256 of a bundle's config without paths, machine and seed: two trials that compute the same have the same.

    Example:
        >>> config_hash({"seed": 1, "batch_size": 8}) == config_hash({"batch_size": 8, "device": "cpu"})
        True
    """
    kept = {key: value for key, value in config.items() if key not in _CIRCUMSTANCES and not key.startswith("_")}
    return hashlib.sha256(json.dumps(kept, sort_keys=True).encode()).hexdigest()
