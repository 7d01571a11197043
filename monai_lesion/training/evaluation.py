"""What an evaluation or an inference leaves: tables, masks, overlays."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from ignite.engine import Engine, Events

from monai_lesion.datasets.image_lists import output_names
from monai_lesion.datasets.manifests import Manifest
from monai_lesion.errors import InputError
from monai_lesion.files import file_sha256
from monai_lesion.images.writers import write_mask
from monai_lesion.measures.metrics import score_image
from monai_lesion.measures.tables import format_table, write_tables
from monai_lesion.networks.checkpoints import describe
from monai_lesion.networks.identity import weights_id
from monai_lesion.training.overlay_sheets import PERCENTILES, write_overlays
from monai_lesion.training.processes import refuse_processes
from monai_lesion.training.tracking import track_evaluation

logger = logging.getLogger(__name__)


def _file(item: Mapping[str, Any]) -> str:
    return str(item["image"].meta["filename_or_obj"])


class SaveMasks:
    """Write each predicted mask, in its source's own rows and columns.

    MONAI's ``SaveImage`` writes in place and adds a channel axis to PNG files.

    Args:
        output_dir: folder of the masks.
        names: the name of each image file's mask, without ending.
        format: ``"png"`` or ``"nifti"``.
    """

    def __init__(self, output_dir: str | Path, names: Mapping[str, str], *, format: str = "png") -> None:
        self.output_dir = Path(output_dir)
        self.names = names
        self.format = format

    def attach(self, engine: Engine) -> None:
        """Attach to the evaluator."""
        refuse_processes("inference")
        engine.add_event_handler(Events.ITERATION_COMPLETED, self)

    def __call__(self, engine: Engine) -> None:
        """Write the masks ``(W, H)`` of one batch."""
        for item in engine.state.output:
            mask = item["pred"].cpu().numpy().T
            affine = np.asarray(item["image"].meta["original_affine"])
            write_mask(mask, self.output_dir / self.names[_file(item)], format=self.format, affine=affine)


class EvaluationTables:
    """Score every image at its original size; write tables, masks and overlays, and log the table.

    MONAI's metric handlers drop what they cannot measure: a missed lesion has no Hausdorff distance.

    Args:
        manifest: the data evaluated.
        split: which of its lists.
        output_dir: folder of ``per_image.csv``, ``per_case.csv``, ``summary.json``, ``masks/`` and ``overlays/``.
        by: columns of the manifest to group the summary by.
        overlays: which images to draw: percentiles of the Dice, 0 is the worst; none draws none.
        network: the network to evaluate; the summary gives its name and its ``weights_id``.
        weights: file of its weights, whose hash stands there too.
        order: order of the postprocessing, for the summary.
    """

    def __init__(
        self,
        manifest: Manifest,
        split: str,
        output_dir: str | Path,
        *,
        by: str | Sequence[str] | None = None,
        overlays: Sequence[float] = PERCENTILES,
        network: torch.nn.Module | None = None,
        weights: str | Path | None = None,
        order: str = "resize_first",
    ) -> None:
        entries = manifest.entries(split)
        self.entries = {entry["image"]: entry for entry in entries}
        self.listed = {str(entry["image"]): raw for entry, raw in zip(entries, manifest.splits[split], strict=True)}
        self.names = dict(zip(self.entries, output_names([Path(image) for image in self.entries]), strict=True))
        self.about = {"manifest": manifest.name, "split": split, "unit": "px", "order": order}
        self.network = network
        if network is not None:
            self.about["network"] = describe(network.state_dict())
        if weights is not None:
            self.about["weights_file_sha256"] = file_sha256(Path(weights))
        self.output_dir = Path(output_dir)
        self.by = [by] if isinstance(by, str) else list(by or ())
        columns = list(dict.fromkeys(key for entry in manifest.splits[split] for key in entry))
        for column in self.by:
            if column not in columns:
                raise InputError("by", f"must name columns of the manifest: {', '.join(columns)}", got=column)
        self.overlays = overlays
        self.records: list[dict[str, Any]] = []

    def attach(self, engine: Engine) -> None:
        """Attach to the evaluator."""
        refuse_processes("evaluation")
        engine.add_event_handler(Events.STARTED, self.records.clear)
        engine.add_event_handler(Events.ITERATION_COMPLETED, self)
        engine.add_event_handler(Events.EPOCH_COMPLETED, self.finish)
        engine.add_event_handler(Events.COMPLETED, track_evaluation, self.output_dir, self.about)

    def __call__(self, engine: Engine) -> None:
        """Score one batch of upright masks and labels ``(1, H, W)``."""
        for item in engine.state.output:
            file = _file(item)
            mask, label = (item[key][0].cpu().numpy() > 0 for key in ("pred", "label"))
            saved = write_mask(mask, self.output_dir / "masks" / self.names[file], format="png")
            columns = {"image": None, "label": None, **self.listed[file]}
            mask_path = saved.relative_to(self.output_dir).as_posix()
            self.records.append({**columns, **score_image(mask, label), "mask": mask_path})

    def finish(self, engine: Engine) -> None:
        """Write the tables and overlays of the whole split; leave the means to trackers and federated engines."""
        if self.network is not None:
            self.about["weights_id"] = weights_id(self.network.state_dict())  # now, for they are loaded after us
        summary = write_tables(self.records, self.output_dir, self.by, about=self.about)
        means = {"mean_dice": summary["dice"]["mean"], "mean_hd95": summary["hd95"]["mean"]}
        engine.state.metrics.update(means, failures=float(summary["failures"]))
        table = format_table(summary, unit="px")
        logger.info("%s, %s, at the original size:\n%s", self.about["manifest"], self.about["split"], table)
        if self.overlays:
            write_overlays(self.records, self.entries, self.output_dir, percentiles=self.overlays)
        logger.info("written to %s", self.output_dir)
