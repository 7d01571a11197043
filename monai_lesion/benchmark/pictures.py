"""The pictures that a benchmark segments, at the networks' size."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

SIMULATED_SEED = 9000  # of cases that nothing is trained on by default


class Calibration(NamedTuple):
    """Images for int8 calibration: a number of them from a manifest's training split."""

    manifest: Path
    dataset_dir: Path | None
    images: int


@dataclass(frozen=True)
class Pictures:
    """Pictures with labels.

    Args:
        name: name in the table.
        images: float32 ``(3, rows, columns)`` each, as the networks see them.
        labels: ``(rows, columns)`` bool each.
        calibration: images that calibrate int8; None takes simulated ones.
    """

    name: str
    images: Sequence[NDArray[np.float32]]
    labels: Sequence[NDArray[np.bool_]]
    calibration: Calibration | None = None

    @property
    def size(self) -> int:
        """Rows and columns."""
        return int(self.images[0].shape[-1])

    def write(self, folder: Path) -> Path:
        """Write the images to a file that processes can map."""
        file = folder / "pictures.npy"
        np.save(file, np.stack(self.images))
        return file


def simulated_pictures(cases: int, size: int) -> Pictures:
    """Simulate cases and resize both views to ``size`` x ``size``."""
    from monai_lesion.phantoms.cases import simulate_case
    from monai_lesion.pipeline.operations import before, resize

    images, labels = [], []
    for case in range(cases):
        for view in simulate_case(SIMULATED_SEED, case).views:
            images.append(before(view.pixels, (size, size))[0])
            labels.append(resize(view.mask[None].astype(np.float32), size, size)[0] >= 0.5)
    return Pictures(f"{cases} simulated cases, both views", images, labels)


def manifest_pictures(manifest: Path, dataset_dir: Path | None, split: str, size: int, *, calibration: int) -> Pictures:
    """Read the images of a split through the bundle's preprocessing.

    Args:
        manifest: the data list.
        dataset_dir: folder that its paths start from; None for the manifest's own folder.
        split: split whose images are segmented.
        size: rows and columns.
        calibration: number of training images that calibrate int8.

    Raises:
        ManifestError: when the manifest breaks a rule, or the split is empty.
    """
    from monai_lesion.datasets.manifests import load_manifest
    from monai_lesion.pipeline.transforms import preprocessing

    loaded = load_manifest(manifest, dataset_dir, splits=(split,))
    read = preprocessing(("image", "label"), spatial_size=(size, size))
    items: list[Any] = [read(entry) for entry in loaded.entries(split)]
    images = [item["image"].as_tensor().numpy() for item in items]
    labels = [item["label"].as_tensor().numpy()[0] > 0 for item in items]
    name = f"{loaded.name}, {split} split, {len(items)} images"
    folder = dataset_dir.absolute() if dataset_dir else None
    return Pictures(name, images, labels, Calibration(manifest.absolute(), folder, calibration))
