"""What is not the network: file to mask file, cold start, overlap, and memory over many images.

    python benchmarks/whole_path.py [--images 10000] [--picture scan.png] [--parts cold,beside,overlap,memory]

Without --picture a simulated view, cut or repeated to 432 x 646. "beside" and "memory" have a stand-in of no cost
for the network; overlap uses the preset pocket by ONNX Runtime. Ratios are taken within one run.
"""

from __future__ import annotations

import argparse
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from PIL import Image


def resident() -> float:
    """MB of this process now."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 2**20


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=500)
    parser.add_argument("--picture", type=Path)
    parser.add_argument("--turns", type=int, default=30)
    parser.add_argument("--parts", default="cold,beside,overlap,memory")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        os.environ["MONAI_LESION_CACHE"] = str(root / "cache")
        picture = root / "picture.png"
        if options.picture:
            picture.write_bytes(options.picture.read_bytes())
        else:
            from monai_lesion.phantoms.cases import simulate_case

            Image.fromarray(np.resize(simulate_case(0, 0).views[0].pixels, (432, 646, 3))).save(picture)
        parts = {
            "cold": lambda: cold_start(root, picture),
            "beside": lambda: beside(root, picture, options.turns),
            "overlap": lambda: overlap(root, picture),
            "memory": lambda: memory(root, picture, options.images),
        }
        for part in options.parts.split(","):
            parts[part]()


def cold_start(root: Path, picture: Path) -> None:
    for runtime in ("onnx", "openvino"):
        seconds = []
        for _ in range(4):
            start = time.perf_counter()
            code = "from monai_lesion.commands.app import main; main()"
            options = ["predict", str(picture), "-o", str(root / "cold"), "--bundle", "pocket", "--runtime", runtime]
            subprocess.run([sys.executable, "-c", code, *options], check=True, capture_output=True)
            seconds.append(time.perf_counter() - start)
        rest = statistics.median(seconds[1:])
        print(f"cold start, {runtime}: first run, converting, {seconds[0]:.1f} s; then {rest:.2f} s")


def stand_ins(picture: Path):
    """Segmenters of no cost, which answer whatever they see with what the preset pocket finds in the picture."""
    import torch

    from monai_lesion import LesionSegmenter
    from monai_lesion.images.reading import read_image

    real = LesionSegmenter.from_preset("pocket", device="cpu")
    with torch.inference_mode():
        logits = real.network(real.recipe.before(read_image(picture).pixels))
        logits = torch.nn.functional.interpolate(logits, (256, 256), mode="bilinear")  # the paper's size

    class Fixed(torch.nn.Module):
        def forward(self, x):
            return logits

    direct, monai = LesionSegmenter(Fixed(), device="cpu"), LesionSegmenter(Fixed(), device="cpu")
    monai.recipe = None
    return direct, monai, logits.numpy()


def beside(root: Path, picture: Path, turns: int) -> None:
    from monai_lesion.pipeline.client import after, before

    from monai_lesion.images.reading import read_image
    from monai_lesion.segmentation.results import Segmentation

    direct, monai, logits = stand_ins(picture)
    image = read_image(picture)
    result = direct.segment(image)

    def numpy_path():
        before(image.pixels, (256, 256))
        return after(logits, image.pixels.shape[:2], 0.5)

    def numpy_file():
        mask, probability = numpy_path()
        Segmentation(read_image(picture), mask, probability).save(root / "out")

    ways = {
        "decode": lambda: read_image(picture),
        "before and after, direct": lambda: direct.find(image),
        "before and after, numpy": numpy_path,
        "before and after, MONAI": lambda: monai.find(image),
        "write": lambda: result.save(root / "out"),
        "file to file, direct": lambda: direct.segment(read_image(picture)).save(root / "out"),
        "file to file, numpy": numpy_file,
        "file to file, MONAI": lambda: monai.segment(read_image(picture)).save(root / "out"),
    }
    clocks = (time.perf_counter, time.process_time)
    times: dict[str, list[list[float]]] = {name: [] for name in ways}
    for turn in range(turns + 1):  # the first warms up
        for name, run in ways.items():
            start = [clock() for clock in clocks]
            run()
            if turn:
                times[name].append([1000 * (clock() - begun) for clock, begun in zip(clocks, start, strict=True)])
    print(f"load {os.getloadavg()[0]:.1f}; milliseconds: median of the clock, of the processor's time, fastest")
    for name, each in times.items():
        wall, used = map(statistics.median, zip(*each, strict=True))
        print(f"{name:<26}{wall:8.1f}{used:8.1f}{min(turn[0] for turn in each):8.1f}")


def overlap(root: Path, picture: Path) -> None:
    from monai_lesion import LesionSegmenter
    from monai_lesion.images.reading import read_image
    from monai_lesion.segmentation.batches import segment_files

    (root / "many").mkdir()
    for number in range(60):
        (root / "many" / f"{number:03d}.png").write_bytes(picture.read_bytes())
    segmenter = LesionSegmenter.from_preset("pocket", device="cpu", runtime="onnx")
    formats, ratios = ["png", "overlay"], []
    for _ in range(3):
        start = time.perf_counter()
        for file in sorted((root / "many").iterdir()):
            segmenter.segment(read_image(file)).save(root / "one", formats)
        alone = time.perf_counter() - start
        start = time.perf_counter()
        segment_files(segmenter, root / "many", root / "two", formats=formats, progress=False)
        ratios.append(alone / (time.perf_counter() - start))
    print(f"60 files one after another / overlapped: {statistics.median(ratios):.2f}x ({', '.join(formats)})")


def memory(root: Path, picture: Path, count: int) -> None:
    from monai_lesion.segmentation.batches import segment_files

    direct, *_ = stand_ins(picture)
    (root / "lot").mkdir()
    for number in range(count):
        (root / "lot" / f"{number:05d}.png").symlink_to(picture)
    sizes: list[float] = []
    find = direct.find

    def watched(image):
        sizes.append(resident())
        return find(image)

    direct.find = watched
    start = time.perf_counter()
    segment_files(direct, root / "lot", root / "masks", progress=False)
    seconds = time.perf_counter() - start
    tenth = max(count // 10, 1)
    first, last = max(sizes[tenth : 2 * tenth]), max(sizes[-tenth:])
    print(f"{count} images in {seconds:.0f} s: {first:.0f} MB in the second tenth, {last:.0f} MB in the last")


if __name__ == "__main__":
    main()
