"""Checking a manifest of 100,000 entries: time an entry and memory, at 10,000, 30,000 and 100,000.

Run ``python benchmarks/manifests.py``. Each entry has an image and a mask file of its own (32 x 32 PNG, each image
other bytes, many of equal size, so that the search for one image in two splits has to read them all), and
``load_manifest`` makes all its checks. Each size runs in a process of its own; "held" is what the parsed
manifest takes, "checks" what checking adds on top at its peak. On a busy machine the CPU
time is the one to trust. Linux only.
"""

from __future__ import annotations

import argparse
import io
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from monai_lesion.datasets.manifests import load_manifest, write_manifest
from monai_lesion.datasets.splits import DEALT

SIZES = (10_000, 30_000, 100_000)
SIDE = 32  # pixels


def write_files(folder: Path, count: int) -> dict[str, list[dict[str, Any]]]:
    """Two views a case; every tenth case is validation, every tenth test."""
    from tqdm import tqdm

    lists: dict[str, list[dict[str, Any]]] = {split: [] for split in DEALT}
    rows, columns = np.indices((SIDE, SIDE))
    masks = [png(np.hypot(rows - 16, columns - 10 - shift) < 6) for shift in range(12)]
    for number in tqdm(range(count), desc="writing", unit="image"):
        case, view = divmod(number, 2)
        place = f"{number // 1000:03}/{number:06}.png"
        pixels = (rows * 3 + columns * 5).astype(np.uint8)
        pixels[0, :3] = number % 251, number // 251 % 251, number // 251 // 251
        for kind, content in (("images", png(pixels)), ("masks", masks[number % 12])):
            if number % 1000 == 0:
                (folder / kind / place).parent.mkdir(parents=True, exist_ok=True)
            (folder / kind / place).write_bytes(content)
        entry = {"case_id": f"{case:06}", "view": ("front", "side")[view]}
        split = {8: "validation", 9: "test"}.get(case % 10, "training")
        lists[split].append({**entry, "image": f"images/{place}", "label": f"masks/{place}"})
    return lists


def png(array: NDArray[Any]) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(array).save(buffer, format="PNG", compress_level=1)
    return buffer.getvalue()


def measure(manifest: Path) -> None:
    """Print entries, seconds, CPU seconds, and the growth of the process in MiB by parsing and by checking."""
    import gc

    from tqdm import tqdm

    def peak() -> float:  # not ru_maxrss, which a child inherits from its parent
        status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
        return int(status["VmHWM"].split()[0]) / 1024

    def progress(entries: Iterable[Any]) -> Iterable[Any]:
        return tqdm(entries, desc="checking", unit="entry")

    load_manifest(manifest.with_name("warm.json"), splits=DEALT)  # imports
    before = peak()
    held = json.loads(manifest.read_text())
    parsed = peak()
    del held
    gc.collect()
    start, busy = time.perf_counter(), time.process_time()
    loaded = load_manifest(manifest, splits=DEALT, progress=progress)
    seconds, busy = time.perf_counter() - start, time.process_time() - busy
    count = sum(len(entries) for entries in loaded.splits.values())
    print(json.dumps([count, seconds, busy, parsed - before, peak() - parsed]))


def report(results: list[list[float]]) -> None:
    print("   entries   seconds  entries/s     CPU s  CPU ms each  held MiB  checks MiB")
    for count, seconds, busy, held, checks in results:
        rate = f"{count / seconds:>10,.0f} {busy:>9.1f} {busy / count * 1e3:>12.3f}"
        print(f"{count:>10,.0f} {seconds:>9.1f} {rate} {held:>9.1f} {checks:>11.1f}")
    first, last = results[0], results[-1]
    for name, column in (("wall", 1), ("CPU", 2)):
        ratio = last[column] / last[0] / (first[column] / first[0])
        print(f"{name} time an entry, largest over smallest: {ratio:.2f} (1 is linear)")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs="+", default=SIZES, help="numbers of entries")
    parser.add_argument("--measure", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        measure(options.measure)
        return
    results = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        lists = write_files(folder, max(options.sizes))
        everything = [(split, entry) for split in DEALT for entry in lists[split]]
        everything.sort(key=lambda item: item[1]["image"])
        for size in (20, *options.sizes):
            chosen = {split: [entry for found, entry in everything[:size] if found == split] for split in DEALT}
            write_manifest({"name": "synthetic", **chosen}, folder / ("warm.json" if size == 20 else f"{size}.json"))
        for size in options.sizes:
            command = [sys.executable, __file__, "--measure", str(folder / f"{size}.json")]
            results.append(json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout))
        report(results)  # before the files are deleted, which takes long, too


if __name__ == "__main__":
    main()
