"""Throughput, memory and size of `monai-lesion archive` over many frames, and what a killed run costs.

    python benchmarks/archive.py [--frames 10000 100000] [--workers 1 2] [--bundle pocket] [--pictures FOLDER] [--kill]
    python benchmarks/archive.py --turns [--bundle pocket] [--pictures FOLDER]

The frames are PNG of 432 x 646 pixels: a few hundred pictures (simulated, or the first of a folder, resized) under as
many names as there are frames (hard links, so that a million take no disk). Each run is a process of its own. While it
goes on, its processor time and memory (from /proc, workers apart from the rest of Ray) are read; each line is a tenth
of the frames. The frames a CPU second are those of the workers, which on a busy machine say more than those a second.
`--kill` ends a worker and then the run, goes on, and compares the table with that of a run that nobody touched.
`--turns` takes the network alone and a whole row in turns, in this process: their ratio hardly depends on what else
the machine does. Needs Linux and the extra "archive".
"""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import psutil
from PIL import Image

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from monai_lesion.images.reading import read_image  # noqa: E402
from monai_lesion.phantoms.cases import simulate_case  # noqa: E402

ROWS, COLUMNS = 432, 646
PICTURES = 200
LINKS = 60_000  # of a file; ext4 allows 65,000
TICK = 1.0


def pictures(folder: Path, source: Path | None) -> list[Path]:
    """A few hundred pictures of one size."""
    folder.mkdir(parents=True)
    if source is None:
        found: Iterator[Any] = (view.pixels for case in range(PICTURES // 2) for view in simulate_case(case, 0).views)
    else:
        found = (read_image(file).pixels for file in sorted(source.glob("*.png"))[:PICTURES])
    files = []
    for number, pixels in enumerate(found):
        files.append(folder / f"{number:04d}.png")
        grey = Image.fromarray(np.asarray(pixels)).convert("L").resize((COLUMNS, ROWS), Image.Resampling.BICUBIC)
        grey.save(files[-1])
    return files


def archive(folder: Path, files: list[Path], frames: int) -> Path:
    """So many names of the pictures."""
    for number in range(frames):
        place = folder / f"{number // 1000:05d}"
        place.mkdir(parents=True, exist_ok=True)
        os.link(files[number % len(files)], place / f"{number:08d}.png")
    return folder


def command(source: Path, output: Path, workers: int, bundle: str, part: int) -> list[str]:
    words = [sys.executable, "-m", "monai_lesion", "archive", "run", str(source), "--output", str(output)]
    return [*words, "--workers", str(workers), "--bundle", bundle, "--part-files", str(part)]


def start(words: list[str]) -> subprocess.Popen[str]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=environment, text=True)


def done(output: Path) -> int:
    manifest = output / "manifest.jsonl"
    return manifest.read_bytes().count(b"\n") if manifest.is_file() else 0


def workers_of(process: psutil.Process) -> list[psutil.Process]:
    """The processes that segment; the run itself where it has no workers."""
    found = []
    for child in process.children(recursive=True):
        try:
            if "MapWorker" in " ".join(child.cmdline()):
                found.append(child)
        except psutil.Error:
            continue
    return found


def sample(process: psutil.Process) -> tuple[float, float, float]:
    """CPU seconds of those that segment, megabytes of the largest of them, megabytes of the run's own process."""
    times, sizes = [], []
    for each in workers_of(process) or [process]:
        try:
            used = each.cpu_times()
            times.append(used.user + used.system)
            sizes.append(each.memory_info().rss / 2**20)
        except psutil.Error:
            continue
    return sum(times), max(sizes, default=0.0), process.memory_info().rss / 2**20


def measure(source: Path, output: Path, frames: int, workers: int, bundle: str, part: int) -> None:
    """Run, and tell each tenth."""
    begun = start(command(source, output, workers, bundle, part))
    process, parts = psutil.Process(begun.pid), -(-frames // part)
    print(f"\n{frames} frames, {workers} workers, {bundle}\n")
    print(
        "| frames | frames a second | frames a CPU second | MB a worker | MB of the run |\n|---:|---:|---:|---:|---:|"
    )
    last: tuple[int, float, float] | None = None
    paces, costs = [], []
    while begun.poll() is None:
        time.sleep(TICK)
        try:
            used, worker, own = sample(process)
        except psutil.Error:
            break
        now = done(output)
        if now and last is None:  # start and imports lie before the first part
            last = now, time.monotonic(), used
        if last is not None and now > last[0] and used > last[2] and now >= min(parts, last[0] + max(1, parts // 10)):
            count = (now - last[0]) * part
            pace, cost = count / (time.monotonic() - last[1]), count / max(used - last[2], 1e-9)
            print(f"| {now * part} | {pace:.1f} | {cost:.1f} | {worker:.0f} | {own:.0f} |", flush=True)
            paces.append(pace)
            costs.append(cost)
            last = now, time.monotonic(), used
    size = sum(file.stat().st_size for file in output.rglob("*.parquet"))
    print(f"\nexit {begun.wait()}; {size / frames:.0f} bytes a frame, the plan among them", flush=True)
    if len(paces) > 1:
        pace, cost = np.mean(paces[1:]), np.mean(costs[1:])
        print(f"without the first line: {pace:.1f} frames a second, {cost:.1f} a CPU second", flush=True)


def turns(files: list[Path], bundle: str) -> None:
    """CPU time of the network alone and of a row, picture by picture."""
    from monai_lesion.archive.jobs import Network
    from monai_lesion.archive.listings import Item
    from monai_lesion.archive.rows import RowMaker

    segmenter = Network(bundle).open()
    maker, clock = RowMaker(segmenter), time.process_time
    given = segmenter.steps.before(read_image(files[0]).pixels)
    alone, whole = [], []
    for file in [*files[:10], *files]:  # the first ten to warm up
        begun = clock()
        segmenter.runtime.outputs(given)
        middle = clock()
        list(maker(Item(str(file))))
        alone.append(middle - begun)
        whole.append(clock() - middle)
    network, row = (1000 * float(np.mean(each[10:])) for each in (alone, whole))
    print("| network alone | a row | in times of the network | rows a CPU second |\n|---:|---:|---:|---:|")
    print(f"| {network:.2f} ms | {row:.2f} ms | {row / network:.2f} | {1000 / row:.1f} |")


def table(output: Path) -> list[dict[str, Any]]:
    import pyarrow.parquet

    rows = []
    for file in sorted((output / "rows").glob("*/*.parquet")):
        rows += pyarrow.parquet.ParquetFile(file).read().drop_columns(["milliseconds"]).to_pylist()
    return rows


def kill(source: Path, whole: Path, output: Path, frames: int, workers: int, bundle: str, part: int) -> None:
    """Kill a worker after a quarter, the run after a half, and go on."""
    parts = -(-frames // part)
    begun = start(command(source, output, workers, bundle, part))
    while done(output) < parts // 4:
        time.sleep(TICK)
    if victims := workers_of(psutil.Process(begun.pid)):
        victims[0].send_signal(signal.SIGKILL)
    while done(output) < parts // 2:
        time.sleep(TICK)
    begun.send_signal(signal.SIGKILL)
    begun.wait()
    begun = start(command(source, output, workers, bundle, part))
    status = begun.wait()
    same = table(whole) == table(output)
    print(f"\nkilled twice: exit {status}, {'the same' if same else 'ANOTHER'} table of {len(table(output))} rows")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--frames", type=int, nargs="+", default=[10_000])
    parser.add_argument("--workers", type=int, nargs="+", default=[2])
    parser.add_argument("--bundle", default="pocket")
    parser.add_argument("--part-files", type=int, default=250)
    parser.add_argument("--pictures", type=Path)
    parser.add_argument("--kill", action="store_true")
    parser.add_argument("--turns", action="store_true")
    given = parser.parse_args()
    if max(given.frames) > LINKS * PICTURES:
        parser.error(f"--frames: at most {LINKS * PICTURES}")
    with tempfile.TemporaryDirectory(prefix="archive-") as name:
        folder = Path(name)
        files = pictures(folder / "pictures", given.pictures)
        if given.turns:
            turns(files, given.bundle)
            return
        for frames in given.frames:
            source = archive(folder / f"source{frames}", files, frames)
            for workers in given.workers:
                output = folder / f"out{frames}-{workers}"
                measure(source, output, frames, workers, given.bundle, given.part_files)
                if given.kill:
                    again = folder / f"killed{frames}-{workers}"
                    kill(source, output, again, frames, workers, given.bundle, given.part_files)


if __name__ == "__main__":
    main()
