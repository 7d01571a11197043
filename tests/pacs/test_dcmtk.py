"""The listener between dcmtk's programs: echoscu and storescu as senders, storescp as the archive."""

from __future__ import annotations

import shutil
import subprocess
import time
from contextlib import contextmanager

import pydicom
import pytest

pytest.importorskip("pynetdicom", reason="DIMSE needs pynetdicom")

from monai_lesion.pacs.dimse import Peer
from tests.pacs import planted
from tests.pacs.orthanc import free_port
from tests.pacs.raw_peers import connect
from tests.pacs.test_listeners import drained, listening, until

PROGRAMS = {name: shutil.which(name, path="/usr/bin:/usr/local/bin") for name in ("echoscu", "storescu", "storescp")}
# pynetdicom brings programs of the same names, in the path of an environment.
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(None in PROGRAMS.values(), reason="dcmtk is not installed (Debian: dcmtk)"),
]


def asked(program, port, *more, title="SCANNER", called="LESION"):
    command = [PROGRAMS[program], "-aet", title, "-aec", called, "127.0.0.1", str(port), *map(str, more)]
    return subprocess.run(command, capture_output=True, text=True, timeout=120)


@contextmanager
def dcmtk_archive(folder, *options):
    folder.mkdir()
    port = free_port()
    line = [PROGRAMS["storescp"], "-od", str(folder), "-aet", "ARCHIVE", *options, str(port)]
    process = subprocess.Popen(line, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        assert until(lambda: process.poll() is not None or reached(port), 60)
        yield Peer("ARCHIVE", "127.0.0.1", port)
    finally:
        process.terminate()
        process.wait()


def reached(port):
    try:
        connect(port).close()
    except OSError:
        return False
    return True


def test_images_go_from_storescu_to_storescp(tmp_path):
    files, port = [planted(tmp_path / "in", number) for number in (1, 2)], free_port()
    with dcmtk_archive(tmp_path / "archive") as to, listening(tmp_path / "queue", to, port) as listener:
        assert asked("echoscu", port).returncode == 0
        assert asked("storescu", port, *files).returncode == 0
        assert until(lambda: drained(listener))
    stored = {str(pydicom.dcmread(file).SOPInstanceUID) for file in (tmp_path / "archive").iterdir()}
    assert stored == {f"1.2.826.0.1.3680043.8.498.{number}.9" for number in (1, 2)}


@pytest.mark.parametrize(
    ("titles", "reason"),
    [
        ({"title": "STRANGER"}, "Calling AE Title Not Recognized"),
        ({"called": "OTHER"}, "Called AE Title Not Recognized"),
    ],
    ids=["calling", "called"],
)
def test_stranger_reads_why_it_is_rejected(tmp_path, titles, reason):
    port = free_port()
    with listening(tmp_path / "queue", Peer("ARCHIVE", "127.0.0.1", 9), port):
        done = asked("echoscu", port, **titles)
    assert done.returncode != 0
    assert reason in done.stdout + done.stderr


def test_storescu_is_served_while_others_are_silent(tmp_path):
    file, port = planted(tmp_path / "in"), free_port()
    with listening(tmp_path / "queue", Peer("ARCHIVE", "127.0.0.1", 9), port):
        silent = [connect(port) for _ in range(15)]
        start = time.monotonic()
        assert asked("storescu", port, file).returncode == 0
        assert time.monotonic() - start < 20
        for each in silent:
            each.close()


def test_images_that_storescu_compresses_or_proposes_in_many_ways_are_taken(tmp_path):
    file, port = planted(tmp_path / "in"), free_port()
    with listening(tmp_path / "queue", Peer("ARCHIVE", "127.0.0.1", 9), port):
        for option in ("-xe", "-xi", "-xb", "-R"):
            command = [
                PROGRAMS["storescu"],
                option,
                "-aet",
                "SCANNER",
                "-aec",
                "LESION",
                "127.0.0.1",
                str(port),
                str(file),
            ]
            assert subprocess.run(command, capture_output=True, timeout=120).returncode == 0, option
