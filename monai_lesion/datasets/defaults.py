"""Open the data of a training; without a manifest, simulated cases."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from monai_lesion.datasets.manifests import Manifest, load_manifest
from monai_lesion.errors import InputError, ManifestError
from monai_lesion.machine.progress_bars import bar


def open_data(
    manifest: str | Path | Sequence[str | Path] | None = None,
    dataset_dir: str | Path | Sequence[str | Path | None] | None = None,
    *,
    splits: Sequence[str] = ("training", "validation"),
    labels: bool = True,
) -> Manifest:
    """Load and check a manifest; without one, the simulated cases, which are made in the cache folder on first use.

    Args:
        manifest: path of the manifest, or a list of several, which are joined; None for the simulated cases.
        dataset_dir: folder that the paths in the manifest start from, or a list with one for each; None for their own
            folders.
        splits: the splits you will use, so that they are checked.
        labels: whether you will use labels, so that they are checked.

    Raises:
        ManifestError: when the manifest breaks a rule.
    """
    if manifest is None:
        from monai_lesion.phantoms.files import default_phantoms

        manifest, dataset_dir = default_phantoms(), None
    data = _load(manifest, dataset_dir, splits=tuple(splits), labels=labels, progress=checking)
    cines = [entry["image"] for split in splits for entry in data.splits.get(split, ()) if entry.get("frame")]
    if cines:
        rule, fix = "the bundle reads only the first frame of a cine", "Export the other frames as separate images"
        raise ManifestError(data.path, rule, got=f"{len(cines)} entries of later frames, first {cines[0]}", fix=fix)
    return data


def _load(manifest: Any, dataset_dir: Any, **options: Any) -> Manifest:
    if isinstance(manifest, (str, Path)):
        if not isinstance(dataset_dir, (str, Path, type(None))):
            raise InputError("dataset_dir", "must be one folder for one manifest", got=dataset_dir)
        return load_manifest(manifest, dataset_dir, **options)
    from monai_lesion.datasets.joins import load_joined

    return load_joined(list(manifest), dataset_dir, **options)


def checking(items: Iterable[Any]) -> Iterable[Any]:
    """Show a bar with the time left while a long list is checked."""
    return bar(items, title="checking", delay=5)  # type: ignore[no-any-return]
