"""The demo: the whole chain on simulated cases, by the commands that you would type yourself."""

from __future__ import annotations

import json
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
from monai_lesion.models.bundles import bundle_folder

# Small enough to train in minutes on two cores: half the paper's resolution, four channels per group, ten times its
# learning rate.
NETWORK = ("--network_def#group_size", "4", "--spatial_size", "[128,128]")
TRAINING = ("--learning_rate", "0.001")


def run_demo(
    output: str | Path,
    *,
    cases: int = 48,
    epochs: int = 20,
    seed: int = 0,
    bundle: str | Path | None = None,
    say: Callable[[str], Any] = print,
) -> str:
    """Simulate, train, evaluate, and segment the test cases from PNG and from DICOM.

    A demo that was interrupted goes on where it stopped.

    Args:
        output: folder for everything that the demo makes.
        cases: how many cases to simulate, two views each.
        epochs: how long to train.
        seed: random seed for the cases and the training.
        bundle: folder of the bundle; None for the package's own.
        say: called with each line of progress.

    Returns:
        A text that says where the results are and how to go on with your own data.

    Raises:
        InputError: when the bundle is missing or a step fails.
    """
    from monai_lesion.measures.tables import format_table
    from monai_lesion.phantoms.files import write_phantoms

    bundle = bundle_folder() if bundle is None else Path(bundle)
    if bundle.is_relative_to(Path.cwd()):
        bundle = bundle.relative_to(Path.cwd())  # shorter in the commands that are shown
    root, configs, start = Path(output), bundle / "configs", time.monotonic()
    if not (configs / "train.json").is_file():
        raise InputError(
            bundle,
            "must be the folder of the bundle",
            got="a folder without configs/train.json",
            fix="Name another folder",
        )
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
    _run("predict", ["-m", "monai_lesion", *predict], f"monai-lesion {_short(predict, test)}", say)
    common = ["--manifest", str(manifest), "--ckpt_dir", str(models)]

    say(f"2/4  training a small Lighter U-net for {epochs} epochs")
    training = ["--output_dir", str(root / "logs"), "--max_epochs", str(epochs), "--seed", str(seed), *TRAINING]
    _bundle("training", [configs / "train.json"], [*common, *NETWORK, *training, "--resume", "true"], say)

    say("3/4  evaluating it on the test cases, at their original size")
    _bundle(
        "evaluating", [configs / "train.json", configs / "evaluate.json"], [*common, "--output_dir", str(results)], say
    )

    say("4/4  segmenting the test cases from PNG and from DICOM")
    agree, total = _predict(root, models, json.loads(manifest.read_text(encoding="utf-8")))
    say(f"     {agree} of {total} masks are identical from PNG and from DICOM\n")

    summary = json.loads((results / "summary.json").read_text(encoding="utf-8"))
    say(format_table(summary, unit="px"))
    minutes = (time.monotonic() - start) / 60
    return f"""
Done in {minutes:.1f} minutes. These pictures are simulated: the figures show that the chain works, not how well it
does on patients.

  {results / "overlays" / "sheet.png"}   test cases from worst to best, reference red, prediction green
  {results / "per_image.csv"}        Dice and both HD95 of each image; per_case.csv, summary.json
  {root / "pocket"}                  what the network of the package finds, without your training
  {root / "png"}, {root / "dicom"}        masks, overlays and measurements (JSON) of the test cases
  {models}              the network: monai-lesion predict scan.png --bundle {models} --output found

With your own data, images and masks in two folders under the same names:

  monai-lesion manifest create DATA --images 'images/{{case}}_{{view}}.png' --labels 'masks/{{case}}_{{view}}.png' \\
      --output DATA/manifest.json
  python -m monai.bundle run training --config_file {configs / "train.json"} --manifest DATA/manifest.json

{NOTICE}."""


def _bundle(run_id: str, configs: Sequence[Path], options: Sequence[str], say: Callable[[str], Any]) -> None:
    """Run the bundle as you would from a shell, and show the command."""
    files = str(configs[0]) if len(configs) == 1 else "[" + ",".join(f"'{config}'" for config in configs) + "]"
    command = ["-m", "monai.bundle", "run", run_id, "--config_file", files, *options]
    _run(run_id, command, f"python {shlex.join(command)}", say)


def _run(name: str, command: Sequence[str], shown: str, say: Callable[[str], Any]) -> None:
    say(f"     $ {shown}")
    done = subprocess.run([sys.executable, *command], check=False, env={**os.environ, "PYTHONWARNINGS": "ignore"})
    if done.returncode:
        raise InputError(
            f"the step {name!r}", "must succeed", got=f"exit status {done.returncode}; see its output above"
        )


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
    for entry in manifest["test"]:
        masks = []
        for kind, ending in (("png", ".png"), ("dicom", ".dcm")):
            result = segmenter((root / "data" / entry["image"]).with_suffix(ending))
            result.save(root / kind, ["png", "overlay", "json"])
            masks.append(result.mask)
        agree += bool(np.array_equal(*masks))
    return agree, len(manifest["test"])
