"""Ray as a stranger meets it: Ctrl-C in a terminal, no process left behind, nothing sent anywhere."""

import json
import os
import re
import signal
import sys
import time
import uuid
from pathlib import Path

import pytest

from monai_lesion.phantoms.files import write_phantoms
from monai_lesion.study.records import read_record
from tests.study.foreground import start

MARK = "MONAI_LESION_TEST_RUN"
DAEMONS = ("gcs_server", "raylet", "dashboard.py")  # the last one would send the usage report

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="looks for processes in /proc"),
]


def processes(mark):
    """Command lines and environments of what runs with a mark in its environment."""
    found = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            environment = (folder / "environ").read_bytes().split(b"\0")
            state = (folder / "stat").read_text().rpartition(")")[2].split()[0]
            command = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode()
        except OSError:
            continue
        if f"{MARK}={mark}".encode() in environment and state != "Z":
            found[int(folder.name)] = (command, environment)
    return found


@pytest.fixture
def mark():
    """Of the processes of a test; those that it leaves are ended."""
    name = uuid.uuid4().hex
    yield name
    for number in processes(name):
        os.kill(number, signal.SIGKILL)


def epochs(output):
    logs = output.glob("trials/*/*/models/metrics.csv")
    return {log.parents[1]: len(log.read_text().splitlines()) - 1 for log in logs}


def test_ctrl_c_leaves_no_process_and_the_same_command_goes_on(tmp_path, mark):
    pytest.importorskip("ray", reason="ray comes with the study extra")
    manifest = write_phantoms(tmp_path / "data", cases=4, seed=2, workers=0, progress=False)
    overrides = {"spatial_size": [32, 32], "max_epochs": 25, "min_epochs": 0, "batch_size": 4}
    study = {"name": "small", "networks": ["Lighter U-net @1"], "weight_decays": [0], "seeds": [0, 1]}
    (tmp_path / "study.json").write_text(json.dumps({**study, "overrides": overrides}))
    output = tmp_path / "out"
    command = [sys.executable, "-m", "monai_lesion.commands.app", "study", "run", str(tmp_path / "study.json")]
    command += ["--manifest", str(manifest), "--output", str(output), "--engine", "ray", "--workers", "2"]
    process = start(command, session=True, **{MARK: mark})
    until = time.monotonic() + 300
    while time.monotonic() < until and process.poll() is None:
        time.sleep(0.1)
        if len(epochs(output)) == 2 and min(epochs(output).values()) > 1:
            break
    started = processes(mark)
    daemons = [own for command, own in started.values() if any(name in command for name in DAEMONS)]
    assert len(daemons) >= 2
    assert all(b"RAY_USAGE_STATS_ENABLED=0" in own for own in daemons)
    (session,) = {word for command, _ in started.values() for word in re.findall(r"/\S*/session_[\d_-]+", command)}
    assert not (Path(session) / "usage_stats.json").exists()  # which Ray writes beside each report
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does: to all that is in the foreground
    _, told = process.communicate(timeout=120)
    assert process.returncode == 130, told
    assert "interrupted; run the same command again to continue" in told
    assert "Traceback" not in told
    until = time.monotonic() + 30
    while processes(mark) and time.monotonic() < until:
        time.sleep(0.2)
    assert not processes(mark)
    reached = epochs(output)
    assert all(read_record(folder)["state"] in ("interrupted", "running") for folder in reached)
    assert max(reached.values()) < 25, "interrupted too late to show anything"
    again = start(command, session=True, **{MARK: mark})
    _, told = again.communicate(timeout=400)
    assert again.returncode == 0, told
    for folder, before in reached.items():
        record = read_record(folder)
        assert (record["state"], record["epochs"], record["resumed"]) == ("finished", 25, 1), before
        assert (folder / "evaluation").is_dir()
    assert not processes(mark)
