"""Kill the service at random moments between two real Orthancs, and time it, each in one table.

    python benchmarks/service.py kills [--kills 50] [--seed 0]
    python benchmarks/service.py speed [--studies 20]

``kills`` sends a two-view study a round from one Orthanc, and kills the service (SIGKILL) at a random moment after its
log first says that an image was received, segmented, sent or committed, or before it says anything; the next round
starts it again. Orthanc commits itself on a connection of its own. At the end every study must have exactly one
Segmentation, Structured Report and Secondary Capture for each of its images: fewer count as lost, more as doubled.

``speed`` sends studies one after the other, and times each from the end of its sending to its last result in the
archive; then all at once, for studies a minute, with the share of each step. Needs Orthanc (Debian: orthanc,
orthanc-dicomweb) and the extras "service" and "dev".
"""

from __future__ import annotations

import argparse
import json
import os
import random
import re
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pydicom

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from monai_lesion.phantoms.cases import simulate_case  # noqa: E402
from monai_lesion.phantoms.dicom import write_dicom  # noqa: E402
from tests.pacs.orthanc import Orthanc, free_port, running_orthanc  # noqa: E402
from tests.service import configuration_text  # noqa: E402

STAGES = ("start", "received", "segmented", "sent", "committed")
OBJECTS = {"SEG": 2, "SR": 2, "OT": 2}
PREFIX = "1.2.826.0.1.3680043.8.498.77"


class Site:
    """A service between a source and an archive."""

    def __init__(self, folder: Path, source: Orthanc, archive: Orthanc, port: int, model: str) -> None:
        self.folder, self.source, self.archive, self.port, self.http = folder, source, archive, port, free_port()
        commitment = {"rule": "required", "again": 5.0, "wait": 0.1, "requests": 50}
        names = {"peers": ["ORTHANC"], "title": "ORTHANC", "model": model, "more": f"[http]\nport = {self.http}"}
        text = configuration_text(port, archive.dicom, pause=0.5, **names, **commitment)
        (folder / "service.toml").write_text(text)
        self.process: subprocess.Popen[str] | None = None
        self.events: Counter[str] = Counter()
        self._seen = threading.Condition()

    def start(self) -> None:
        """Start it, and wait until its port is open."""
        command = [sys.executable, "-m", "monai_lesion", "serve", "--config", str(self.folder / "service.toml")]
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        self.events.clear()
        self.process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment)
        threading.Thread(target=self._read, args=(self.process,), daemon=True).start()
        self.wait("listening", 120)

    def _read(self, process: subprocess.Popen[str]) -> None:
        with (self.folder / "service.log").open("a") as log:
            for line in process.stderr or ():
                log.write(line)
                log.flush()
                event = json.loads(line).get("event", "") if line.startswith("{") else ""
                with self._seen:
                    if process is self.process:
                        self.events[event] += 1
                        self._seen.notify_all()

    def wait(self, event: str, seconds: float, times: int = 1) -> bool:
        """Wait until its log has named an event so often since its start; unlike a question, that costs it nothing."""
        with self._seen:
            return self._seen.wait_for(lambda: self.events[event] >= times, seconds)

    def kill(self) -> None:
        """SIGKILL."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()

    def send(self, names: list[str]) -> bool:
        """Whether the source says that all were taken."""
        import requests

        try:
            answer = self.source.ask("/modalities/LESION/store", {"Resources": names, "Synchronous": True})
        except requests.RequestException:
            return False
        return answer.json()["FailedInstancesCount"] == 0

    def metric(self, name: str) -> float:
        """The sum of a metric over its labels."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.http}/metrics", timeout=60) as answer:
            text = answer.read().decode()
        return sum(float(value) for value in re.findall(rf"^{re.escape(name)}(?:{{.*}})? (\S+)$", text, re.M))

    def processor_seconds(self) -> float:
        """What the service has used of the processor (Linux)."""
        assert self.process is not None
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def idle(self) -> bool:
        """Whether it answers, and nothing waits."""
        try:
            return self.metric("monai_lesion_queue") == 0
        except OSError:
            return False

    def results(self) -> dict[str, Counter[str]]:
        """Objects in the archive by study and modality."""
        found: dict[str, Counter[str]] = {}
        query = {"Level": "Series", "Query": {}, "Expand": True}
        for series in self.archive.ask("/tools/find", query).json():
            study = self.archive.ask(f"/studies/{series['ParentStudy']}").json()["MainDicomTags"]["StudyInstanceUID"]
            found.setdefault(study, Counter())[series["MainDicomTags"]["Modality"]] += len(series["Instances"])
        return found


def until(condition: Callable[[], bool], seconds: float, pause: float = 0.02) -> bool:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if condition():
            return True
        time.sleep(pause)
    return condition()


def studies(folder: Path, source: Orthanc, number: int) -> Iterator[tuple[str, list[str]]]:
    """Two-view studies in the source: identifier, and the names of their images there."""
    case = simulate_case(0, 0)
    write_dicom(folder / "view.dcm", case, case.views[0], seed=0)
    dataset = pydicom.dcmread(folder / "view.dcm")
    for study in range(1, number + 1):
        names = []
        dataset.StudyInstanceUID, dataset.SeriesInstanceUID = f"{PREFIX}.{study}", f"{PREFIX}.{study}.1"
        for view in (1, 2):
            dataset.InstanceNumber, dataset.SOPInstanceUID = view, f"{PREFIX}.{study}.1.{view}"
            dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
            dataset.save_as(folder / "one.dcm")
            names += source.put(folder / "one.dcm")
        yield str(dataset.StudyInstanceUID), names


@contextmanager
def site(model: str) -> Iterator[Site]:
    with tempfile.TemporaryDirectory() as name:
        folder, port = Path(name), free_port()
        known = {"LESION": port}
        with (
            running_orthanc(folder / "source", modalities=known) as source,
            running_orthanc(folder / "archive", modalities=known) as archive,
        ):
            found = Site(folder, source, archive, port, model)
            try:
                yield found
            finally:
                found.kill()


def kills(number: int, seed: int, model: str, minutes: float) -> int:
    end = time.monotonic() + 60 * minutes
    chance = random.Random(seed)
    hits: Counter[str] = Counter()
    with site(model) as here:
        todo = dict(studies(here.folder, here.source, number))
        unsent: dict[str, list[str]] = {}
        for place, (study, names) in enumerate(list(todo.items())):
            if time.monotonic() > end:
                del todo[study]
                continue
            stage = STAGES[place % len(STAGES)]
            here.start()
            outcome: list[bool] = []
            sending = threading.Thread(target=lambda names=names, outcome=outcome: outcome.append(here.send(names)))
            sending.start()
            if stage != "start":
                here.wait(stage, 120)
            time.sleep(chance.uniform(0.0, 0.4 if stage != "start" else 3.0))
            here.kill()
            sending.join(120)
            hits[stage] += 1
            if outcome != [True]:
                unsent[study] = names  # its sender was told so, and sends it again
            print(f"kill {place + 1} of {number}: {stage}", file=sys.stderr, flush=True)
        here.start()
        for names in unsent.values():
            until(lambda names=names: here.send(names), 120, 1.0)
        until(lambda: here.idle() and len(here.results()) == len(todo), 600, 0.5)
        found = here.results()
        there = [[found.get(study, Counter())[kind] - count for kind, count in OBJECTS.items()] for study in todo]
        lost, doubled = sum(min(each) < 0 for each in there), sum(max(each) > 0 for each in there)
        open_ones, failed = here.metric("monai_lesion_queue"), here.metric("monai_lesion_failed_total")
    print("| killed | times |\n|---|---:|")
    for stage in STAGES:
        words = "before anything was received" if stage == "start" else f"after an image was {stage}"
        print(f"| {words} | {hits[stage]} |")
    print("\n| studies of two images | sent again by their sender | lost | doubled | still in the queue | set aside |")
    print("|---:|---:|---:|---:|---:|---:|")
    print(f"| {len(todo)} | {len(unsent)} | {lost} | {doubled} | {open_ones:.0f} | {failed:.0f} |")
    return int(bool(lost or doubled or open_ones or failed))


def speed(number: int, model: str) -> int:
    with site(model) as here:
        todo = dict(studies(here.folder, here.source, 2 * number))
        names = list(todo.values())
        here.start()
        here.wait("ready", 120)
        seconds, used = [], here.processor_seconds()
        for count, study in enumerate(names[:number], 1):
            if not here.send(study):
                raise SystemExit("the service did not take a study")
            begun = time.perf_counter()
            here.wait("sent", 120, 6 * count)
            seconds.append(time.perf_counter() - begun)
            here.wait("committed", 60, 6 * count)
        used = (here.processor_seconds() - used) / number
        steps = ("segment", "write", "send")
        spent = {step: here.metric(f'monai_lesion_step_seconds_sum{{step="{step}"}}') for step in steps}
        begun = time.perf_counter()
        here.send([name for study in names[number:] for name in study])
        here.wait("sent", 600, 12 * number)
        minutes = (time.perf_counter() - begun) / 60
        after = {step: here.metric(f'monai_lesion_step_seconds_sum{{step="{step}"}}') - spent[step] for step in steps}
    rows = {
        f"last image to last result in the archive, median of {number}": f"{statistics.median(seconds):.2f} s",
        "the same, slowest": f"{max(seconds):.2f} s",
        "processor time of the service, a study": f"{used:.2f} s",
        f"two-view studies a minute, {number} at once": f"{number / minutes:.0f}",
        **{f"share of {step} in that time": f"{100 * total / (60 * minutes):.0f} %" for step, total in after.items()},
    }
    print("| | |\n|---|---:|")
    for name, value in rows.items():
        print(f"| {name} | {value} |")
    return 0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("kills", "speed"))
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--minutes", type=float, default=600.0, help="kill no more after so long")
    parser.add_argument("--studies", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--model", default="pocket", help="model folder, or a network of the package")
    options = parser.parse_args()
    if options.what == "kills":
        sys.exit(kills(options.kills, options.seed, options.model, options.minutes))
    sys.exit(speed(options.studies, options.model))


if __name__ == "__main__":
    main()
