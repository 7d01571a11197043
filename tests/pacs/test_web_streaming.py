"""A long study from an archive in memory: one image at a time, failures named, the rest done."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pydicom
import pytest

from monai_lesion.images import dicom_headers
from monai_lesion.pacs.archives import ArchiveClosedError, ArchiveError, Instance
from monai_lesion.pacs.web import segment_study
from tests.images.dicom_pictures import deflated
from tests.pacs import planted

ULTRASOUND, REPORT = "1.2.840.10008.5.1.4.1.1.6.1", "1.2.840.10008.5.1.4.1.1.88.33"


class InMemory:
    """An archive of one file under many identifiers; `refuses` are numbers of images whose results it does not take."""

    url = "memory"

    def __init__(self, file, count, *, refuses=(), closes_at=None):
        self.dataset, self.refuses, self.closes_at = pydicom.dcmread(file), refuses, closes_at
        self.held = {f"1.2.{number}": ULTRASOUND for number in range(count)}
        self.fetched, self.left_behind = 0, 0

    def instances(self, study):
        return [Instance(uid, "1.2.3", kind) for uid, kind in self.held.items()]

    def series(self, study):
        return [{"uid": "1.2.3", "modality": "US", "manufacturer": "Scanner"}]

    def fetch(self, study, instance, file):
        self.fetched += 1
        self.left_behind = max(self.left_behind, sum(path.is_file() for path in Path(tempfile.gettempdir()).rglob("*")))
        if self.fetched == self.closes_at:
            raise ArchiveClosedError("memory", "must be reachable", got="Connection refused")
        self.dataset.SOPInstanceUID = instance.uid
        self.dataset.save_as(file)
        return pydicom.dcmread(file, stop_before_pixels=True)

    def store(self, study, files):
        for file in files:
            uid = str(pydicom.dcmread(file).SOPInstanceUID)
            if int(uid.split(".")[2]) in self.refuses:
                raise ArchiveError(f"stored: none; not stored: SC {uid}")
            self.held[uid] = REPORT


class Copy:
    measurements = verdict = None

    def __init__(self, file):
        self.dataset = pydicom.dcmread(file)

    def save(self, folder, formats, *, name, seg_type, seg_geometry):
        self.dataset.SOPInstanceUID += ".9"
        self.dataset.save_as(Path(folder) / f"{name}.dcm")
        return [Path(folder) / f"{name}.dcm"]


def copying(file, *, frame=None):
    return Copy(file)


@pytest.fixture
def source(tmp_path, monkeypatch):
    (tmp_path / "tmp").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "tmp"))
    return planted(tmp_path / "in")


def test_long_study_is_never_on_the_disk_but_one_image_at_a_time(source, capsys):
    archive = InMemory(source, 30)
    first = segment_study(archive, "1.2", segmenter=copying)
    assert (first.segmented, first.stored, archive.left_behind) == (30, 30, 0)
    assert "30/30" in capsys.readouterr().err
    second = segment_study(archive, "1.2", segmenter=copying, progress=False)
    assert (second.stored, second.present, second.skipped) == (0, 30, 30)


def test_refused_result_is_listed_and_the_rest_done(source):
    outcome = segment_study(InMemory(source, 5, refuses=(1, 3)), "1.2", segmenter=copying, progress=False)
    assert outcome.stored == 3
    assert outcome.failures == {f"1.2.{n}": f"stored: none; not stored: SC 1.2.{n}.9" for n in (1, 3)}


def test_archive_that_goes_away_ends_it_and_says_what_was_done(source):
    archive = InMemory(source, 9, closes_at=4)
    with pytest.raises(ArchiveClosedError, match="3 objects stored") as caught:
        segment_study(archive, "1.2", segmenter=copying, progress=False)
    assert archive.fetched == 4
    assert "refused" in str(caught.value)


def test_an_image_that_inflates_beyond_bounds_fails_alone(source, monkeypatch):
    class Deflating(InMemory):
        def fetch(self, study, instance, file):
            super().fetch(study, instance, file)
            if instance.uid == "1.2.1":
                deflated(file, file.read_bytes())

    monkeypatch.setattr(dicom_headers, "MAX_INFLATED", 100)
    outcome = segment_study(Deflating(source, 3), "1.2", segmenter=copying, progress=False)
    assert (outcome.segmented, list(outcome.failures)) == (2, ["1.2.1"])
    assert "must have at most 100 bytes inflated" in outcome.failures["1.2.1"]


@pytest.mark.parametrize("length", [200, 400], ids=["no group", "no identifier"])
def test_what_is_listed_and_comes_in_half_is_a_failure(source, length):
    class Cutting(InMemory):
        def fetch(self, study, instance, file):
            super().fetch(study, instance, file)
            if instance.uid == "1.2.1":
                file.write_bytes(file.read_bytes()[:length])

    outcome = segment_study(Cutting(source, 3), "1.2", segmenter=copying, progress=False)
    assert (outcome.segmented, outcome.skipped, list(outcome.failures)) == (2, 0, ["1.2.1"])


def test_another_object_than_the_listed_one_is_a_failure(source):
    class Mixing(InMemory):
        def fetch(self, study, instance, file):
            super().fetch(study, instance, file)
            if instance.uid == "1.2.1":
                self.dataset.SOPInstanceUID = "1.2.0"
                self.dataset.save_as(file)

    outcome = segment_study(Mixing(source, 3), "1.2", segmenter=copying, progress=False)
    assert outcome.failures == {
        "1.2.1": "instance 1.2.1: must be the object that the archive lists, got instance 1.2.0"
    }


def test_object_whose_kind_is_not_listed_shows_it_itself(source):
    class Silent(InMemory):
        def instances(self, study):
            return [Instance(each.uid, each.series, "") for each in super().instances(study)]

    outcome = segment_study(Silent(source, 2), "1.2", segmenter=copying, progress=False)
    assert (outcome.segmented, outcome.failures) == (2, {})


CHILD = """
import resource, sys
from pathlib import Path
from monai_lesion.pacs.web import segment_study
from tests.pacs import bright_segmenter
from tests.pacs.test_web_streaming import InMemory

segmenter, peaks = bright_segmenter(), []

def counting(file, *, frame=None):
    peaks.append(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
    return segmenter(file, frame=frame)

outcome = segment_study(InMemory(Path(sys.argv[1]), 40), "1.2", segmenter=counting, progress=False)
print(outcome.stored, (peaks[-1] - peaks[10]) // 1024)
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="no count of memory")
def test_long_study_takes_no_more_memory_than_its_first_images(source):
    """With the real segmenter and the real writers; benchmarks/pacs.py does it with a real archive."""
    pytest.importorskip("highdicom", reason="the writers need highdicom")
    root, folder = Path(__file__).resolve().parents[2], Path(tempfile.gettempdir())
    variables = {**os.environ, "TMPDIR": str(folder), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", CHILD, str(source)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=500, cwd=root, env=variables)
    stored, megabytes = map(int, done.stdout.split())
    assert stored == 3 * 40, done.stderr
    assert megabytes < 10
