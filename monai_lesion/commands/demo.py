"""The demo: the whole chain on simulated cases, by the commands that you would type yourself."""

from __future__ import annotations

import json
import logging
import os
import shlex
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from monai_lesion._version import NOTICE
from monai_lesion.errors import InputError
from monai_lesion.machine.loggers import no_less_than

# The package's own network learns the simulated pictures from the weights it has of patients. All of them hold a lesion
# and none has calipers, so nothing is spent on either; a training this short wants little augmentation.
TRAINING = {
    "learning_rate": 0.004,
    "negatives": 0,
    "train#preprocessing#calipers": 0,
    "network_def#dropout": 0,
    "train#batch#augmentation#1#affine": 0.5,
    "train#batch#augmentation#1#scale": 0.15,
    "train#batch#augmentation#1#rotation": 10,
    "train#batch#augmentation#1#translation": 0.08,
    "train#batch#augmentation#1#shear": 0,
    "train#batch#augmentation#1#intensity": 0.15,
}


def run_demo(
    output: str | Path,
    *,
    cases: int = 120,
    epochs: int = 10,
    seed: int = 0,
    say: Callable[[str], Any] = print,
) -> str:
    """Simulate, train, evaluate, and segment the test cases from PNG and from DICOM.

    A demo that was interrupted goes on where it stopped.

    Args:
        output: folder for everything that the demo makes.
        cases: how many cases to simulate, two views each.
        epochs: how long to train.
        seed: random seed for the cases and the training.
        say: called with each line of progress.

    Returns:
        A text that says where the results are and how to go on with your own data.

    Raises:
        InputError: when the folder holds other cases or a step fails.
    """
    from monai_lesion.measures.tables import format_table
    from monai_lesion.phantoms.files import write_phantoms

    root, start = Path(output), time.monotonic()
    data, models, results = root / "data", root / "models", root / "evaluation"
    manifest = data / "phantoms.json"
    say(f"1/4  simulating {cases} cases, two views each, as PNG and DICOM")
    if not manifest.is_file():
        write_phantoms(data, cases=cases, seed=seed, formats=("png", "dicom"))
    description = json.loads(manifest.read_text(encoding="utf-8"))["description"]
    if not (description.startswith(f"{cases} ") and description.endswith(f"seed {seed}")):
        raise InputError(data, f"must hold {cases} cases of seed {seed}", got=description, fix="Use another --output")
    test = [str(data / entry["image"]) for entry in json.loads(manifest.read_text(encoding="utf-8"))["test"]]
    say("     and segmenting the test cases with the network of the package, which was trained on patients")
    predict = ["predict", *test, "--bundle", "pocket", "--output", str(root / "pocket"), "--formats", "png,overlay"]
    predict.append("--skip-existing")  # a demo that was interrupted goes on
    _run(predict, say, shown=_short(predict, test))

    say(f"2/4  training that network on the training cases, for {epochs} {'epoch' if epochs == 1 else 'epochs'}")
    training = ["train", "--manifest", str(manifest), "--start-from", "pocket", "--output", str(models)]
    training += ["--epochs", str(epochs), "--seed", str(seed), "--resume"]
    settings = {"val_interval": min(3, epochs), **TRAINING}
    _run([*training, *(word for name, value in settings.items() for word in ("--set", f"{name}={value}"))], say)

    say("3/4  evaluating it on the test cases, at their original size")
    _run(["evaluate", "--manifest", str(manifest), "--bundle", str(models), "--output", str(results)], say)

    say("4/4  segmenting the test cases from PNG and from DICOM")
    agree, total = _predict(root, models, json.loads(manifest.read_text(encoding="utf-8")))
    say(f"     {agree} of {total} masks are identical from PNG and from DICOM\n")

    say(format_table(json.loads((results / "summary.json").read_text(encoding="utf-8")), unit="px"))
    minutes = (time.monotonic() - start) / 60
    places = {
        results / "overlays" / "sheet.png": "test cases from worst to best, reference red, prediction green",
        results / "per_image.csv": "Dice and both HD95 of each image; per_case.csv, summary.json",
        root / "pocket": "what the network of the package finds, without your training",
        f"{root / 'png'}, {root / 'dicom'}": "masks, overlays and measurements (JSON) of the test cases",
        models: f"the network: monai-lesion predict scan.png --bundle {models} --output found",
    }
    width = max(len(str(place)) for place in places)
    told = "\n".join(f"  {place!s:<{width}}  {what}" for place, what in places.items())
    return f"""
Done in {minutes:.1f} minutes. These pictures are simulated: the figures show that the chain works, not how well it
does on patients.

{told}

With your own data, images and masks in two folders under the same names:

  monai-lesion manifest create DATA --images 'images/{{case}}_{{view}}.png' --output DATA/manifest.json
  monai-lesion train --manifest DATA/manifest.json --start-from pocket --output mine

{NOTICE}."""


def _run(command: Sequence[str], say: Callable[[str], Any], shown: str = "") -> None:
    """Run a command of the package as you would from a shell, and show it."""
    say(f"     $ monai-lesion {shown or shlex.join(command)}")
    program = [sys.executable, "-m", "monai_lesion", *command]
    done = subprocess.run(program, check=False, env={**os.environ, "PYTHONWARNINGS": "ignore"})
    if done.returncode:
        got = f"exit status {done.returncode}; see its output above"
        raise InputError(f"the step {command[0]!r}", "must succeed", got=got)


def _short(command: Sequence[str], files: Sequence[str]) -> str:
    """Shorten a command to the first of its files and an ellipsis."""
    first = command.index(files[0])
    return shlex.join([*command[: first + 1], "...", *command[first + len(files) :]])


def _predict(root: Path, models: Path, manifest: dict[str, Any]) -> tuple[int, int]:
    """Segment each test image as PNG and as DICOM; return how many masks agree, and of how many."""
    import numpy as np

    from monai_lesion.segmentation.lesion_segmenters import LesionSegmenter

    segmenter = LesionSegmenter.from_bundle(models)
    agree = 0
    with no_less_than(logging.ERROR, "monai_lesion.images"):  # calipers, of which each header tells, are all over
        for entry in manifest["test"]:
            masks = []
            for kind, ending in (("png", ".png"), ("dicom", ".dcm")):
                result = segmenter((root / "data" / entry["image"]).with_suffix(ending))
                result.save(root / kind, ["png", "overlay", "json"], overwrite=True)
                masks.append(result.mask)
            agree += bool(np.array_equal(*masks))
    return agree, len(manifest["test"])
