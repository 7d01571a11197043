"""The reader's page in Chromium, one thread: whether it finds what the library finds, and how fast.

    python benchmarks/page.py [--parts parity,speed] [--presets pocket,clinic] [--repeats 20] [--images N] [--data DIR]

"parity" drops every picture of BUS-BRA fold 4 on the page and compares mask and sizes with the library's. It ends with
1 where a mean Dice is below 0.999, a Dice below 0.99, or a size further away than 0.5 px. "speed" drops a simulated
picture of 650 x 430 (PNG) again and again, each time on a page at rest: the best and the median time from the drop to
the drawn contour, the best of each step ("page": what the page does beside its worker) and their sum. "CPU" is the
processor time of the page's process for one picture, all its threads together, which another load on the machine
changes less. Needs Chromium, playwright and the page that make page builds.
"""

from __future__ import annotations

import argparse
import base64
import contextlib
import io
import json
import os
import shutil
import statistics
import sys
import tempfile
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

ROOT = Path(__file__).parents[1]
STEPS = ("decode", "resize", "network", "after")
SIZES = ("long_axis", "short_axis")
MEAN, LEAST, FURTHEST = 0.999, 0.99, 0.5


class Handler(SimpleHTTPRequestHandler):
    """A folder of the page, with the headers that its web server must send."""

    def end_headers(self) -> None:  # noqa: D102
        from monai_lesion.page.headers import POLICIES, headers_of

        path = self.path.split("?")[0].lstrip("/") or "index.html"
        policy = headers_of(path)["Content-Security-Policy"] if "." in path else POLICIES[""]
        self.send_header("Content-Security-Policy", policy)
        super().end_headers()

    def log_message(self, *_: Any) -> None:  # noqa: D102
        pass


@contextlib.contextmanager
def opened(preset: str) -> Iterator[Any]:
    """The page with a network, in a browser, ready."""
    from playwright.sync_api import sync_playwright

    from monai_lesion.models.presets import load_preset
    from monai_lesion.page.files import write_page

    program = shutil.which("chromium") or shutil.which("google-chrome")
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        site = write_page(Path(folder) / "page", [load_preset(preset)])
        server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=str(site)))
        threading.Thread(target=server.serve_forever, daemon=True).start()
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox", "--disable-gpu"])
        page = browser.new_page(viewport={"width": 1280, "height": 800})
        page.goto(f"http://127.0.0.1:{server.server_port}/#empty")
        page.wait_for_selector("body[data-offline=true]", timeout=120_000)
        yield page
        browser.close()
        server.shutdown()


AT_REST = 300  # milliseconds after which Chromium has painted the picture before

DRAWN = """new Promise(done => new PerformanceObserver((list, observer) => {
    if (list.getEntriesByName("contour").length) { observer.disconnect(); done(); }
}).observe({ entryTypes: ["measure"] }))"""


def drop(page: Any, file: Path) -> None:
    """Give the page a file and wait until its contour is drawn."""
    page.evaluate(f"void (window.drawn = {DRAWN})")
    page.set_input_files("#files", [{"name": file.name, "mimeType": "image/png", "buffer": file.read_bytes()}])
    page.evaluate("window.drawn")


TAKEN = """async names => {
    const saved = [], make = URL.createObjectURL;
    URL.createObjectURL = blob => { saved.push(blob); return "#"; };
    HTMLAnchorElement.prototype.click = () => undefined;
    for (const name of names) {
        const before = saved.length;
        [...document.querySelectorAll("#exports button")].find(each => each.textContent === name)
            .dispatchEvent(new MouseEvent("click"));
        while (saved.length === before) await new Promise(done => setTimeout(done, 1));
    }
    URL.createObjectURL = make;
    const base64 = blob => new Promise(done => {
        const reader = new FileReader();
        reader.onload = () => done(reader.result.split(",")[1]);
        reader.readAsDataURL(blob);
    });
    return Promise.all(saved.map(base64));
}"""


def taken(page: Any, *buttons: str) -> list[bytes]:
    """What the page saves, without the browser's downloads, which are slow."""
    return [base64.b64decode(each) for each in page.evaluate(TAKEN, list(buttons))]


def parity(preset: str, data: Path, most: int | None) -> bool:
    """Compare masks and sizes; whether all are within the bounds."""
    from monai_lesion import LesionSegmenter

    manifest = json.loads((ROOT / "data_manifests" / "busbra_dev.json").read_text())
    files = [data / entry["image"] for entry in manifest["test"]][:most]
    segmenter = LesionSegmenter.from_preset(preset)
    dices, apart, decisions = [], [], 0
    with opened(preset) as page:
        for number, file in enumerate(files):
            if number % 100 == 99:  # a row a file
                page.reload()
                page.wait_for_selector("body[data-ready=true]", timeout=120_000)
            drop(page, file)
            picture, text = taken(page, "Mask (PNG)", "Result (JSON)")
            mask = np.asarray(Image.open(io.BytesIO(picture)).convert("L")) > 0
            got = json.loads(text)
            if got["image"] != file.name:
                raise SystemExit(f"{file.name}: the page shows {got['image']}")
            result = segmenter(file)
            wanted, reference = result.mask > 0, result.to_dict()
            total = int(mask.sum() + wanted.sum())
            dices.append(2 * int((mask & wanted).sum()) / total if total else 1.0)
            decisions += got["decision"] == reference["decision"]
            for name in SIZES:
                pair = [each["measurements"] and each["measurements"][name]["value"] for each in (got, reference)]
                if None not in pair:
                    apart.append(abs(pair[0] - pair[1]))
            print(f"\r{number + 1} of {len(files)}", end="", file=sys.stderr, flush=True)
    print(file=sys.stderr)
    print(
        f"| {preset} | {len(files)} | {statistics.fmean(dices):.6f} | {min(dices):.4f} | "
        f"{sum(dice == 1 for dice in dices)} | {max(apart):.3f} | {decisions} |"
    )
    return statistics.fmean(dices) >= MEAN and min(dices) >= LEAST and max(apart) <= FURTHEST


def processor_time() -> float:
    """Milliseconds of processor time that the renderers started by this process have taken."""
    children: dict[int, list[int]] = {}
    spent: dict[int, float] = {}
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            fields = (folder / "stat").read_text().rpartition(")")[2].split()
            children.setdefault(int(fields[1]), []).append(int(folder.name))
            if b"--type=renderer" in (folder / "cmdline").read_bytes():
                spent[int(folder.name)] = 1000 * (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    total, waiting = 0.0, [os.getpid()]
    while waiting:
        process = waiting.pop()
        total += spent.get(process, 0)
        waiting += children.get(process, [])
    return total


def speed(preset: str, repeats: int) -> None:
    from monai_lesion.phantoms.cases import simulate_case

    with tempfile.TemporaryDirectory() as folder, opened(preset) as page:
        file = Path(folder) / "picture.png"
        Image.fromarray(np.resize(simulate_case(0, 0).views[0].pixels, (430, 650, 3))).save(file)
        rows = []
        for number in range(repeats + 2):
            if number == 2:  # the first runs compile
                before = processor_time()
            page.wait_for_timeout(AT_REST)
            drop(page, file)
            read = "name => performance.getEntriesByName(name)[0].duration"
            rows.append([page.evaluate(f"({read})('{name}')") for name in ("contour", *STEPS)])
        spent = (processor_time() - before) / repeats
    rows = rows[2:]
    rows = [[*row, row[0] - sum(row[1:])] for row in rows]
    best, median = min(row[0] for row in rows), statistics.median(row[0] for row in rows)
    steps = [min(column) for column in zip(*rows, strict=True)][1:]
    shown = " | ".join(f"{value:.1f}" for value in (*steps, sum(steps)))
    print(f"| {preset} | {best:.0f} | {median:.0f} | {shown} | {spent:.0f} |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--parts", default="parity,speed")
    parser.add_argument("--presets", default="pocket,clinic")
    parser.add_argument("--repeats", type=int, default=20)
    parser.add_argument("--images", type=int, help="the first pictures alone")
    parser.add_argument("--data", type=Path, default=ROOT.parent / "shared" / "data" / "busbra", help="BUS-BRA")
    options = parser.parse_args()
    presets, sound = options.presets.split(","), True
    if "parity" in options.parts:
        if not (options.data / "Images").is_dir():
            raise SystemExit(f"--data: needs BUS-BRA with its folder Images, got {options.data}")
        print("| network | pictures | mean Dice | least Dice | same mask | sizes, px apart at most | same decision |")
        print("|---|---:|---:|---:|---:|---:|---:|")
        for preset in presets:
            sound &= parity(preset, options.data, options.images)
    if "speed" in options.parts:
        print("| network | best, ms | median | decode | resize | network | after | page | sum | CPU |")
        print("|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|")
        for preset in presets:
            speed(preset, options.repeats)
    raise SystemExit(0 if sound else 1)


if __name__ == "__main__":
    main()
