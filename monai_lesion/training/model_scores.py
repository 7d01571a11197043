"""Score a model as it will be used: by the library's segmenter, on the pictures of a manifest."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from copy import copy
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from monai_lesion.datasets.defaults import open_data
from monai_lesion.datasets.manifests import read_label
from monai_lesion.images.reading import read_image
from monai_lesion.machine.progress_bars import bar
from monai_lesion.measures.masks import Mask
from monai_lesion.segmentation.segmenters import Finding, Segmenter
from monai_lesion.segmentation.trust import Trust, judged_columns
from monai_lesion.training.evaluation import EvaluationTables

if TYPE_CHECKING:
    from monai_lesion.segmentation.results import Segmentation


def score_model(
    segmenter: Segmenter,
    manifest: str | Path | None,
    output_dir: str | Path,
    *,
    dataset_dir: str | Path | None = None,
    split: str = "test",
    by: Sequence[str] = (),
    overlays: Sequence[float] | None = None,
    progress: bool = True,
    log: bool = True,
) -> dict[str, Any]:
    """Segment the pictures of a split, compare them with their labels at the original size, and write the tables.

    The bundle's ``evaluating`` writes the same of weights in PyTorch; this takes any model and runtime.

    Args:
        segmenter: the model.
        manifest: the manifest; None for the simulated cases.
        output_dir: folder for ``per_image.csv``, ``per_case.csv``, ``summary.json``, ``masks/`` and ``overlays/``.
        dataset_dir: folder that its paths start from; None for its own.
        split: the split.
        by: columns to group the summary by.
        overlays: percentiles of Dice to draw; None for the usual ones.
        progress: whether to show a bar.
        log: whether to log the table.

    Returns:
        The summary, see :func:`monai_lesion.measures.tables.summarise`.

    Raises:
        InputError: when the manifest, a picture or a column is at fault.
    """
    data = open_data(manifest, dataset_dir, splits=[split])
    drawn = {} if overlays is None else {"overlays": overlays}
    tables = EvaluationTables(data, split, output_dir, by=by, **drawn)  # type: ignore[arg-type]
    algorithm, settings = segmenter.algorithm, segmenter.settings
    facts: dict[str, Any] = {"network": algorithm.name, "weights_id": algorithm.weights}
    for name, usual in {"runtime": None, "order": "resize_first", "views": 1}.items():
        facts[name] = settings.get(name, usual)
    facts["views"] = int(facts["views"])
    tables.about |= facts
    plain = copy(segmenter)  # tables hold the mask as the network drew it, also where the decision takes it back
    plain.trust = None
    for entry in bar(data.entries(split), title="evaluating", shown=progress):
        result = plain.segment(read_image(entry["image"], frame=entry.get("frame")))
        label = read_label(entry) > 0
        judged = _judged(segmenter.trust, plain, result, label, entry)
        tables.add(str(entry["image"]), result.mask > 0, label, judged)
    return tables.write(log=log)


def _judged(
    trust: Trust | None, plain: Segmenter, result: Segmentation, label: Mask, entry: Mapping[str, Any]
) -> dict[str, Any]:
    """Decision, trust and intervals of a calibrated model; nothing of another."""
    if trust is None:
        return {}
    box = slice(None) if result.region is None else result.region.slices
    mask, pixels = result.mask[box], np.ascontiguousarray(result.image.pixels[box])
    signals = trust.signals(
        mask, result.scores, pixels, lambda view: Finding(*plain.find(replace(result.image, pixels=view))).mask
    )
    return judged_columns(trust, signals, mask, label, entry)
