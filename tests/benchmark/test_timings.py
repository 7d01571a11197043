"""Networks timed in turns."""

from __future__ import annotations

import os
import signal

import pytest

from monai_lesion.benchmark import timings
from monai_lesion.benchmark.pictures import simulated_pictures
from monai_lesion.benchmark.reports import run_benchmark
from tests.benchmark.rows import TINY


@pytest.mark.slow
def test_an_interrupted_benchmark_leaves_nothing(tmp_path, monkeypatch) -> None:
    started = []

    def interrupt(run, setting, worker):
        started.append(worker.process)
        raise KeyboardInterrupt

    monkeypatch.setattr(timings._Run, "_timed", interrupt)

    with pytest.raises(KeyboardInterrupt):
        run_benchmark([TINY], [], simulated_pictures(1, 32), repeats=1, threads=1, output=tmp_path / "out")
    assert os.listdir(tmp_path) == []
    assert started[0].exitcode == -signal.SIGKILL
