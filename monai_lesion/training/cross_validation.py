"""Train one network a fold, score each on the patients it never saw, and join them into one model.

::

    manifest -- folds by patient --+-- fold1: train, evaluate on fold 1 --+-- evaluation: every patient once
                                   +-- fold2: train, evaluate on fold 2 --+-- model: the mean of all networks
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from monai_lesion.datasets.folds import fold_manifests
from monai_lesion.datasets.manifests import read_manifest, write_manifest
from monai_lesion.errors import InputError
from monai_lesion.files import file_sha256, replacing
from monai_lesion.measures.tables import read_images, write_tables
from monai_lesion.models.descriptions import WEIGHTS
from monai_lesion.models.writers import write_model_folder
from monai_lesion.networks.checkpoints import load_weights
from monai_lesion.networks.definitions import build_for, definition_of
from monai_lesion.networks.ensembles import Ensemble
from monai_lesion.networks.weight_files import Weights, read_weights
from monai_lesion.pipeline.steps import Steps
from monai_lesion.runtimes.executions import Execution
from monai_lesion.segmentation.lesion_segmenters import LesionSegmenter
from monai_lesion.training.bundle_runs import TrainingPlan, run_training
from monai_lesion.training.model_scores import score_model

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class CrossValidation:
    """What a cross-validation leaves.

    Attributes:
        model: folder of the model that averages the folds' networks.
        evaluation: folder of the tables, in which every picture was scored by a network that had not seen its patient.
        summary: the summary of those tables.
    """

    model: Path
    evaluation: Path
    summary: Mapping[str, Any]


def cross_validate(
    plan: TrainingPlan,
    *,
    folds: int = 5,
    stratify: Sequence[str] = (),
    views: int = 1,
    by: Sequence[str] = (),
    train: Callable[[TrainingPlan], Path] = run_training,
    say: Callable[[str], Any] = logger.info,
) -> CrossValidation:
    """Train and test a network on each fold; the same call goes on with an interrupted cross-validation.

    Args:
        plan: what every fold trains; its ``output`` becomes the folder of them all, its ``manifest`` is dealt anew.
        folds: number of folds, at least 2; all pictures of a patient are in one.
        stratify: columns to balance over the folds.
        views: how many views of each picture the evaluation averages.
        by: columns to group the summary by.
        train: trains one fold.
        say: called with each line of progress.

    Raises:
        InputError: when there is no manifest, too few patients, or the folder holds another cross-validation.
    """
    if plan.manifest is None:
        raise InputError("--manifest", "must be given for a cross-validation", got="none")
    root, source = plan.output, Path(plan.manifest)
    data = plan.dataset_dir or source.parent
    _claim(root, {"manifest": file_sha256(source), "folds": folds, "seed": plan.seed, "stratify": list(stratify)})
    made = fold_manifests(read_manifest(source), folds, seed=plan.seed, stratify=stratify)
    rows: list[dict[str, Any]] = []
    for number, content in enumerate(made, 1):
        folder = root / f"fold{number}"
        file, model, tables = folder / "manifest.json", folder / "model", folder / "evaluation"
        if not file.is_file():
            write_manifest(content, file)
        if not (tables / "summary.json").is_file():
            say(f"fold {number} of {folds}: training in {model}")
            train(replace(plan, manifest=file, dataset_dir=data, output=model, resume=True))
            segmenter = LesionSegmenter.from_bundle(model, execution=Execution(views=views))
            score_model(segmenter, file, tables, dataset_dir=data, overlays=())
        for row in read_images(tables / "per_image.csv"):
            rows.append({**row, "mask": f"../fold{number}/evaluation/{row['mask']}"})
    name = read_manifest(source).get("name", source.stem)
    about = {"manifest": name, "split": f"each of {folds} folds", "unit": "px", "views": views}
    summary = write_tables(rows, root / "evaluation", by, about=about)
    write_ensemble([root / f"fold{number}" / "model" for number in range(1, folds + 1)], root / "model")
    return CrossValidation(root / "model", root / "evaluation", summary)


def write_ensemble(folders: Sequence[Path], output: Path) -> Path:
    """Write the mean of trained networks as one model folder.

    Args:
        folders: folders of their ``model.pt``.
        output: the folder to write, with ``model.pt``, ``model.onnx`` and ``model.json``.

    Raises:
        InputError: when a file does not tell its network, or the input sizes differ.
    """
    networks, sizes = [], set()
    for folder in folders:
        weights = read_weights(folder / WEIGHTS)
        if weights.network_def is None or weights.input_size is None:
            raise InputError(folder / WEIGHTS, "must tell its network and input size", got="other weights")
        sizes.add(tuple(weights.input_size))
        network = build_for(weights.network_def, weights.state, folder / WEIGHTS)
        networks.append(load_weights(network, folder / WEIGHTS, weights).eval())
    if len(sizes) != 1:
        raise InputError("the networks", "must have one input size", got=sorted(sizes))
    rows, columns = sizes.pop()
    joined = Ensemble(networks).eval()
    content = Weights(joined.state_dict(), definition_of(joined), (rows, columns)).to_dict()
    with replacing(output / WEIGHTS) as partial:
        torch.save(content, partial)
    name = output.resolve().parent.name
    write_model_folder(joined, output, steps=Steps(input_size=(rows, columns)), name=name)
    return output


def _claim(root: Path, facts: Mapping[str, Any]) -> None:
    file = root / "crossval.json"
    if file.is_file():
        earlier = json.loads(file.read_text(encoding="utf-8"))
        different = [name for name, value in facts.items() if earlier.get(name) != value]
        if different:
            got = f"one with another {', '.join(different)}"
            raise InputError(root, "must hold the same cross-validation", got=got, fix="Choose another --output")
        return
    if root.is_dir() and any(root.iterdir()):
        raise InputError(root, "must be new, empty or a cross-validation's", got="other files", fix="Choose another")
    root.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(dict(facts), indent=2) + "\n", encoding="utf-8")
