"""Ray gives what one process gives, also when a worker dies; an address is asked before it is used."""

import os
import signal
import sys
import threading
import time

import pytest

from monai_lesion.errors import InputError
from monai_lesion.report.sections import read_sections
from monai_lesion.study.engines import RayEngine
from monai_lesion.study.records import read_record
from tests.study.small import FAST, run

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.mark.slow
def test_ray_with_two_workers_one_of_them_killed_gives_the_table_of_the_sequential_run(
    manifest, study_file, tmp_path, monkeypatch
):
    ray = pytest.importorskip("ray", reason="ray comes with the study extra")
    monkeypatch.delenv("RAY_USAGE_STATS_ENABLED", raising=False)
    file = study_file(networks=["Lighter U-net @1"], overrides={**FAST, "max_epochs": 8})
    run(file, manifest, tmp_path / "one")
    output = tmp_path / "two"
    killed = []

    def kill_a_worker():
        for _ in range(12000):
            time.sleep(0.05)
            for log in output.glob("trials/*/*/models/metrics.csv"):
                record = read_record(log.parents[1])
                if record.get("state") == "running" and len(log.read_text().splitlines()) > 2:
                    os.kill(record["pid"], signal.SIGKILL)
                    killed.append(log.parents[1])
                    return

    thread = threading.Thread(target=kill_a_worker)
    thread.start()
    outcome, _ = run(file, manifest, output, RayEngine(workers=2))
    thread.join()
    assert killed, "no worker was killed in time"
    assert outcome.failures == {}
    assert read_record(killed[0])["resumed"] == 1
    (two,), (one,) = read_sections([output]), read_sections([tmp_path / "one"])
    assert two.tables == one.tables
    assert os.environ["RAY_USAGE_STATS_ENABLED"] == "0"  # which the processes that Ray starts inherit
    assert not ray.is_initialized()


def test_a_missing_ray_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(InputError, match=r"--engine ray: needs Ray. pip install 'monai-lesion\[study\]'"):
        RayEngine()
