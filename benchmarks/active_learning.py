"""Does a score of uncertainty find the images that a network gets wrong? MONAI Label's score and ours.

    SERVER/bin/python benchmarks/active_learning.py [--training 16] [--cases 30] [--epochs 20] [--seed 1]

SERVER is an environment with MONAI Label (tests/label/install_server.sh). A small network is trained briefly on
simulated cases, then segments others; the rank correlation of each score with the true error, 1 - Dice, is shown, and
how many of the fifth of the images with the largest errors are among the fifth with the highest scores.
"""

from __future__ import annotations

import argparse
import logging
import tempfile
from pathlib import Path

import numpy as np
import torch
from monai.bundle import ConfigWorkflow
from monai.transforms import Invertd, SaveImaged
from monailabel.tasks.infer.bundle import BundleInferTask
from monailabel.tasks.scoring.epistemic_v2 import EpistemicScoring
from scipy.stats import spearmanr

from monai_lesion import LesionSegmenter
from monai_lesion.datasets.manifests import load_manifest, read_label
from monai_lesion.label.folders import write_label_app
from monai_lesion.label.server.tasks import LesionInfer
from monai_lesion.label.uncertainty import entropy, uncertainty
from monai_lesion.phantoms.files import write_phantoms

BUNDLE = Path(__file__).parents[1] / "bundles" / "lighter_unet"


class Images:
    """As much of a datastore as scoring asks for: an image's identifier is its path."""

    def __init__(self) -> None:
        self.scores: dict[str, float] = {}

    def get_image_uri(self, image: str) -> str:
        """The file."""
        return image

    def update_image_info(self, image: str, info: dict) -> None:
        """Keep a score."""
        self.scores[image] = info["epistemic_entropy"]


def train(manifest: Path, folder: Path, settings: dict, epochs: int, seed: int) -> Path:
    options = {"manifest": str(manifest), "ckpt_dir": str(folder), "output_dir": str(folder / "logs"), "amp": False}
    options |= {"max_epochs": epochs, "batch_size": 4, "learning_rate": 0.003, "seed": seed}
    options |= {"tensorboard": False, "progress": False}
    config = str(BUNDLE / "configs" / "train.json")
    workflow = ConfigWorkflow(config, workflow_type="train", logging_file=False, **settings, **options)
    workflow.initialize()
    workflow.run()
    return folder / "model.pt"


def disagreement(maps: torch.Tensor) -> float:
    """1 - the mean Dice of each thresholded map with the others'."""
    masks = (maps > 0.5).float().flatten(1)
    both, area = masks @ masks.T, masks.sum(1)
    dice = (2 * both + 1) / (area[:, None] + area[None, :] + 1)
    count = len(masks)
    return float(1 - (dice.sum() - dice.trace()) / (count * (count - 1)))


def scores_of(task: LesionInfer, plain: LesionSegmenter, image: str, passes: int) -> dict[str, float]:
    maps = task.dropout_maps(image, passes=passes, device="cpu")
    probability = torch.from_numpy(plain(image).probability)
    return {
        "mean entropy under dropout": float(entropy(maps.mean(0)).mean()),
        "entropy under dropout / expected area (ours)": uncertainty(maps),
        "entropy without dropout / expected area": uncertainty(probability[None]),
        "disagreement of masks under dropout": disagreement(maps),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--training", type=int, default=16, help="cases to learn from")
    parser.add_argument("--cases", type=int, default=30, help="other cases, two images each")
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--passes", type=int, default=5)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    logging.disable(logging.WARNING)
    torch.manual_seed(options.seed)
    settings = {"network_def#group_size": 1, "spatial_size": [64, 64]}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        training = write_phantoms(folder / "a", cases=options.training, seed=options.seed, progress=False)
        others = write_phantoms(folder / "b", cases=options.cases, seed=options.seed + 1000, progress=False)
        weights = train(training, folder / "trained", settings, options.epochs, options.seed)
        app = write_label_app(folder / "app", BUNDLE, weights=weights, overrides=settings)
        bundle = app / "model" / BUNDLE.name
        plain, task = LesionSegmenter.from_bundle(bundle, device="cpu"), LesionInfer(str(bundle), {})
        crude = BundleInferTask(
            str(bundle), {}, train_mode=True, skip_writer=True, dropout=0.2, post_filter=[SaveImaged, Invertd]
        )
        theirs, store = EpistemicScoring(crude, simulation_size=options.passes), Images()
        errors, table = [], {"MONAI Label: masks under dropout": []}
        loaded = load_manifest(others, splits=())
        for split in ("training", "validation", "test"):
            for entry in loaded.entries(split):
                image, truth = str(entry["image"]), read_label(entry)
                found = plain(image).mask > 0
                errors.append(1 - 2 * (found & truth).sum() / (found.sum() + truth.sum()))
                theirs.run_scoring(image, options.passes, 0, store)
                table["MONAI Label: masks under dropout"].append(store.scores[image])
                for key, value in scores_of(task, plain, image, options.passes).items():
                    table.setdefault(key, []).append(value)
    worst = set(np.argsort(errors)[-(len(errors) // 5) :])
    quartiles = ", ".join(f"{value:.3f}" for value in np.percentile(errors, [25, 50, 75]))
    print(f"{len(errors)} images, 1 - Dice quartiles {quartiles}")
    print(f"{'score':<46} {'Spearman':>8} {'worst fifth found':>18}")
    for key, values in table.items():
        top = set(np.argsort(values)[-len(worst) :])
        print(f"{key:<46} {spearmanr(values, errors).statistic:8.2f} {len(top & worst) / len(worst):18.0%}")


if __name__ == "__main__":
    main()
