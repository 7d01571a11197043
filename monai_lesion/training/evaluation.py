"""Write the results of an evaluation or inference: tables, masks, overlays."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from ignite.engine import Engine, Events
from monai.engines import IterationEvents
from numpy.typing import NDArray

from monai_lesion.datasets.image_lists import output_names
from monai_lesion.datasets.manifests import Manifest
from monai_lesion.errors import InputError
from monai_lesion.files import file_sha256
from monai_lesion.images.reading import read_image
from monai_lesion.images.writers import write_mask
from monai_lesion.measures.decisions import format_decisions
from monai_lesion.measures.judgements import describe_picture, signals_of
from monai_lesion.measures.metrics import score_image
from monai_lesion.measures.tables import format_table, write_tables
from monai_lesion.models.descriptions import FILE
from monai_lesion.models.folders import read_model
from monai_lesion.networks.checkpoints import describe
from monai_lesion.networks.identity import weights_id
from monai_lesion.segmentation.trust import Trust, judged_columns
from monai_lesion.training.inferers import check_outputs
from monai_lesion.training.overlay_sheets import PERCENTILES, write_overlays
from monai_lesion.training.processes import refuse_processes
from monai_lesion.training.scores import SCORES
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
        manifest: the manifest.
        split: the split to evaluate.
        output_dir: folder for ``per_image.csv``, ``per_case.csv``, ``summary.json``, ``masks/`` and ``overlays/``.
        by: columns of the manifest to group the summary by.
        overlays: which images to draw: percentiles of the Dice, 0 is the worst; none draws none.
        network: the network to evaluate; the summary gives its name and its ``weights_id``.
        weights: file of its weights, whose hash the summary gives too.
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
        self.weights = None if weights is None else Path(weights)
        self.trust: Trust | None = None
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
        engine.add_event_handler(Events.STARTED, self.start)
        engine.add_event_handler(IterationEvents.FORWARD_COMPLETED, self._check)
        engine.add_event_handler(Events.ITERATION_COMPLETED, self)
        engine.add_event_handler(Events.EPOCH_COMPLETED, self.finish)
        engine.add_event_handler(Events.COMPLETED, track_evaluation, self.output_dir, self.about)

    def _check(self, engine: Engine) -> None:
        check_outputs(engine.state.output["pred"], self.network)

    def __call__(self, engine: Engine) -> None:
        """Score one batch of upright masks and labels ``(1, H, W)``."""
        for item in engine.state.output:
            mask, label = (item[key][0].cpu().numpy() > 0 for key in ("pred", "label"))
            file = _file(item)
            self.add(file, mask, label, self._judged(item, mask, label, self.listed[file]))

    def add(
        self, file: str, mask: NDArray[np.bool_], label: NDArray[np.bool_], judged: Mapping[str, Any] | None = None
    ) -> None:
        """Score one picture, upright and at its original size, and write its mask."""
        saved = write_mask(mask, self.output_dir / "masks" / self.names[file], format="png")
        columns = {"image": None, "label": None, **self.listed[file]}
        mask_path = saved.relative_to(self.output_dir).as_posix()
        self.records.append({**columns, **score_image(mask, label), **(judged or {}), "mask": mask_path})

    def _judged(
        self, item: Mapping[str, Any], mask: NDArray[Any], label: NDArray[Any], entry: Mapping[str, Any]
    ) -> dict[str, Any]:
        """Decision, trust and intervals, where the model folder beside the weights is calibrated."""
        if self.trust is None or SCORES not in item:
            return {}
        pixels = read_image(_file(item), frame=entry.get("frame") or 0).pixels
        scores = item[SCORES].reshape(1, -1).float().cpu().numpy()
        return judged_columns(self.trust, signals_of(scores, describe_picture(pixels)), mask, label, entry)

    def _calibration(self) -> Trust | None:
        """The calibration of the folder of the weights, if it has one that goes with the network's scores."""
        if self.network is None or self.weights is None or not (self.weights.parent / FILE).is_file():
            return None
        calibration = read_model(self.weights.parent).description.calibration
        if calibration is None or calibration["weights_id"] != self.about["weights_id"]:
            return None
        if calibration["signal"] != "scores":
            logger.info("trust is not evaluated: it was calibrated by three views, and an evaluation sees one")
            return None
        return Trust(calibration)

    def start(self) -> None:
        """Forget earlier records; the weights are loaded by now."""
        self.records.clear()
        if self.network is not None:
            self.about["weights_id"] = weights_id(self.network.state_dict())
        self.trust = self._calibration()

    def finish(self, engine: Engine) -> None:
        """Write the tables and overlays of the whole split; leave the means to trackers and federated engines."""
        summary = self.write()
        means = {"mean_dice": summary["dice"]["mean"], "mean_hd95": summary["hd95"]["mean"]}
        engine.state.metrics.update(means, failures=float(summary["failures"]))

    def write(self, *, log: bool = True) -> dict[str, Any]:
        """Write the tables and overlays, and log the table if asked; the summary."""
        summary = write_tables(self.records, self.output_dir, self.by, about=self.about)
        if self.overlays:
            write_overlays(self.records, self.entries, self.output_dir, percentiles=self.overlays)
        if log:
            table = format_table(summary, unit="px")
            logger.info("%s, %s, at the original size:\n%s", self.about["manifest"], self.about["split"], table)
            if told := format_decisions(summary.get("trust", {})):
                logger.info("%s", told)
            logger.info("written to %s", self.output_dir)
        return summary
