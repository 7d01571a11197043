r"""The price of a leak: how much better a network looks when the other view of a tested lesion was in its training.

Several published figures on BUS-BRA split pictures, not patients. Here two networks of one kind are tested on the same
pictures, one view of each two-view case of the test list, and trained on as many: once on the training list as it is,
once with the other views in the place of as many pictures drawn at random. Nothing else differs. Run::

    python benchmarks/leaks.py manifests data_manifests/busbra_dev.json --output runs/leaks
    for split in by_patient by_picture; do
      monai-lesion study run studies/leaks.json --manifest runs/leaks/$split.json --dataset-dir ../shared/data/busbra \
        --output runs/leaks/$split
    done
    python benchmarks/leaks.py compare runs/leaks
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from monai_lesion.datasets.manifests import read_manifest, write_manifest
from monai_lesion.errors import InputError
from monai_lesion.measures.statistics import bootstrap_interval, paired_test
from monai_lesion.measures.tables import read_images

SPLITS = ("by_patient", "by_picture")
Content = dict[str, Any]


def split_twice(content: Mapping[str, Any], seed: int = 0) -> dict[str, Content]:
    """The manifest with one view of each two-view test case to test, with and without the other in the training.

    Each picture becomes a case of its own, as whoever splits pictures believes.
    """
    rng = np.random.default_rng(seed)
    cases = defaultdict(list)
    for entry in content["test"]:
        cases[entry["case_id"]].append(entry)
    pairs = [[views[place] for place in rng.permutation(2)] for views in cases.values() if len(views) == 2]
    if not pairs or len(pairs) > len(content["training"]):
        got = f"{len(pairs)} such cases, {len(content['training'])} pictures to train on"
        raise InputError("manifest", "must have cases of two views to test, and as many pictures to train on", got=got)
    tested, others = ([_alone(pair[place]) for pair in pairs] for place in (0, 1))
    kept = [_alone(entry) for entry in content["training"]]
    stay = np.sort(rng.permutation(len(kept))[len(others) :])
    lists = {"by_patient": kept, "by_picture": [kept[place] for place in stay] + others}
    common = {"validation": [_alone(entry) for entry in content["validation"]], "test": tested}
    about = {key: content[key] for key in ("licence", "reference", "labels") if key in content}
    return {
        split: {"name": f"{content['name']}, {split.replace('_', ' ')}", **about, "training": lists[split], **common}
        for split in SPLITS
    }


def _alone(entry: Mapping[str, Any]) -> Content:
    return {**entry, "case_id": Path(entry["image"]).stem}


def scores(folder: Path) -> dict[str, dict[str, float]]:
    """Dice of each picture by trial, as ``study run`` left it."""
    found = {}
    for file in sorted(folder.glob("trials/*/*/evaluation/per_image.csv")):
        trial = file.parents[1].relative_to(folder / "trials").as_posix()
        found[trial] = {row["image"]: row["dice"] for row in read_images(file)}
    return found


def compare(root: Path) -> list[str]:
    """A line for each trial that both splits have."""
    apart, leaked = (scores(root / split) for split in SPLITS)
    lines = []
    for trial in sorted(apart.keys() & leaked.keys()):
        if apart[trial].keys() != leaked[trial].keys():
            raise InputError(root, f"{trial} must be tested on the same pictures twice")
        images = sorted(apart[trial])
        both = np.array([[scored[trial][image] for image in images] for scored in (apart, leaked)])
        differences = both[1] - both[0]
        low, high = bootstrap_interval(differences[None], images)
        mean, p = both.mean(axis=1), paired_test(differences).p
        lines.append(
            f"{trial}: {len(images)} pictures, Dice {mean[0]:.3f} split by patient, {mean[1]:.3f} by picture,"
            f" difference {differences.mean():+.3f} ({low:+.3f} to {high:+.3f}), p = {p:.2g}"
        )
    if not lines:
        raise InputError(root, f"must hold a trial in {' and in '.join(SPLITS)}", got="none that both have")
    return lines


def main() -> None:
    """Write the two manifests, or compare the two studies."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    writing = commands.add_parser("manifests")
    writing.add_argument("manifest", type=Path)
    writing.add_argument("--output", type=Path, required=True)
    comparing = commands.add_parser("compare")
    comparing.add_argument("root", type=Path)
    arguments = parser.parse_args()
    if arguments.command == "compare":
        print("\n".join(compare(arguments.root)))
        return
    for split, content in split_twice(read_manifest(arguments.manifest)).items():
        print(write_manifest(content, arguments.output / f"{split}.json"), len(content["training"]), "to train on")


if __name__ == "__main__":
    try:
        main()
    except InputError as error:
        raise SystemExit(str(error)) from error
