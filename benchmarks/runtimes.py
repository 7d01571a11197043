"""Whether ONNX Runtime finds PyTorch's masks, and how long each takes from a cold start to a written mask.

    python benchmarks/runtimes.py [--bundle pocket] [--manifest data_manifests/busbra_dev.json --dataset-dir DIR]
        [--parts masks,start] [--turns 5]

"masks" segments the split (fold 4 of BUS-BRA in busbra_dev.json; without --manifest simulated cases) in ONNX Runtime
and in PyTorch. "start" runs `predict` on one picture in fresh processes, the two by turns; its ratio is of one run.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from PIL import Image

from monai_lesion import LesionSegmenter
from monai_lesion.measures.metrics import dice
from monai_lesion.segmentation.parity import Pictures, of_manifest, simulated

WANTED = {"Dice": 0.999, "ratio": 10, "seconds": 1.0}


def opened(bundle: str, runtime: str):
    from monai_lesion.models.presets import preset_names

    make = LesionSegmenter.from_preset if bundle in preset_names() else LesionSegmenter.from_bundle
    return make(bundle, runtime=runtime)


def masks(bundle: str, pictures: Pictures) -> None:
    onnx, torch = opened(bundle, "onnx"), opened(bundle, "torch")
    between, own, missed, alone, difference = [], {"onnx": [], "torch": []}, {"onnx": 0, "torch": 0}, 0, 0.0
    for picture in pictures.read():
        found = {"onnx": onnx(picture.pixels), "torch": torch(picture.pixels)}
        between.append(dice(found["onnx"].mask, found["torch"].mask))
        for name, result in found.items():
            own[name].append(dice(result.mask, picture.label))
        lost = {name: picture.label.any() and scores[-1] == 0 for name, scores in own.items()}
        for name, is_lost in lost.items():
            missed[name] += is_lost
        alone += lost["onnx"] != lost["torch"]
        difference = max(difference, float(np.abs(found["onnx"].probability - found["torch"].probability).max()))
    print(f"{bundle}: {len(between)} images ({pictures.name}), {onnx}")
    print(f"  Dice of ONNX Runtime's masks with PyTorch's: mean {np.mean(between):.6f}, worst {min(between):.6f}")
    print(f"  same to the pixel: {sum(each == 1 for each in between)}; probabilities within {difference:.2g}")
    for name, scores in own.items():
        print(f"  {name:<6} Dice with the reference {np.mean(scores):.6f}, missed {missed[name]}")
    print(f"  missed by one alone: {alone}; wanted: mean at least {WANTED['Dice']}, none missed by one alone")


def start(bundle: str, turns: int) -> None:
    from monai_lesion.phantoms.cases import simulate_case

    times: dict[str, list[float]] = {"default": [], "torch": []}
    used: dict[str, list[float]] = {"default": [], "torch": []}
    with tempfile.TemporaryDirectory() as folder:
        picture = Path(folder) / "scan.png"
        Image.fromarray(simulate_case(0, 0).views[0].pixels).save(picture)
        for turn in range(turns + 1):  # the first fills the file cache
            for name in times:
                options = [] if name == "default" else ["--runtime", "torch"]
                code = (
                    "import sys, resource\nfrom monai_lesion.commands.app import main\n"
                    "try:\n    main()\nexcept SystemExit as end:\n    assert not end.code\n"
                    "used = resource.getrusage(resource.RUSAGE_SELF)\nprint(used.ru_utime + used.ru_stime)"
                )
                call = ["predict", str(picture), "-o", f"{folder}/{name}{turn}", "--bundle", bundle, *options]
                begun = time.perf_counter()
                done = subprocess.run([sys.executable, "-c", code, *call], check=True, capture_output=True, text=True)
                if turn:
                    times[name].append(time.perf_counter() - begun)
                    used[name].append(float(done.stdout.splitlines()[-1]))
    for name in times:
        wall, cpu = statistics.median(times[name]), statistics.median(used[name])
        print(f"cold predict, {name:<8}{wall:6.2f} s, {cpu:6.2f} s of the processor, fastest {min(times[name]):.2f} s")
    ratios = [statistics.median(each["torch"]) / statistics.median(each["default"]) for each in (times, used)]
    print(f"  ratio {ratios[0]:.1f} of the clock, {ratios[1]:.1f} of the processor", end="; ")
    print(f"wanted: at least {WANTED['ratio']}, at most {WANTED['seconds']:.0f} s on an idle machine")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bundle", default="pocket")
    parser.add_argument("--manifest", type=Path)
    parser.add_argument("--dataset-dir", type=Path)
    parser.add_argument("--split", default="test")
    parser.add_argument("--parts", default="masks,start")
    parser.add_argument("--turns", type=int, default=5)
    options = parser.parse_args()
    manifest = options.manifest
    pictures = simulated(8) if manifest is None else of_manifest(manifest, options.dataset_dir, split=options.split)
    parts = {"masks": lambda: masks(options.bundle, pictures), "start": lambda: start(options.bundle, options.turns)}
    for part in options.parts.split(","):
        parts[part]()


if __name__ == "__main__":
    main()
