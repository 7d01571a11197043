"""Run the jobs of a study: in this process, one after another, or on Ray."""

from __future__ import annotations

import os
from collections.abc import Mapping
from types import TracebackType
from typing import Any, Protocol

from monai_lesion.errors import InputError
from monai_lesion.machine.clusters import start_ray
from monai_lesion.study.jobs import Job, run_job

RETRIES = 3  # of a job whose worker dies; it goes on from its last epoch


class Engine(Protocol):
    """Runs jobs; a context manager that leaves nothing running."""

    capacity: int

    def __enter__(self) -> Engine: ...

    def __exit__(self, *details: Any) -> None: ...

    def submit(self, job: Job) -> None:
        """Take a job."""

    def wait(self) -> tuple[Job, str]:
        """Wait for a job to end; give the job and its error, empty if there is none."""


class SequentialEngine:
    """Run one job after another, in this process.

    Args:
        threads: threads for PyTorch; None for one per core.
        progress: whether to show the bundle's progress bar.
    """

    capacity = 1

    def __init__(self, *, threads: int | None = None, progress: bool = False) -> None:
        self.threads = threads
        self.progress = progress
        self.waiting: list[Job] = []

    def __enter__(self) -> SequentialEngine:
        return self

    def __exit__(self, *details: Any) -> None:
        return None

    def submit(self, job: Job) -> None:
        """Take a job; it runs when it is waited for."""
        self.waiting.append(job)

    def wait(self) -> tuple[Job, str]:
        """Run the oldest job."""
        job = self.waiting.pop(0)
        return job, run_job(job.kind, job.trial.as_dict(), threads=self.threads, progress=self.progress)


class RayEngine:
    """Run jobs on a Ray of this machine, or on a cluster whose machines share the output folder and the data.

    A job whose worker dies is started again, up to three times, and continues from its last epoch. Ray's usage
    statistics are switched off.

    Args:
        address: address of a running Ray, ``host:port``, ``ray://host:port`` or ``auto``; None starts one here.
        workers: processes of a Ray that is started here; None for as many as the cores allow.
        cpus: cores for each job.
        gpus: GPUs for each job; a share such as 0.5 is allowed.

    Raises:
        InputError: when Ray is not installed, does not answer, or has no room for one job.
    """

    def __init__(
        self, *, address: str | None = None, workers: int | None = None, cpus: int = 1, gpus: float = 0.0
    ) -> None:
        slots = workers or max(1, (os.cpu_count() or 1) // cpus)
        self.ray = ray = start_ray("--engine ray", "study", address, cpus=slots * cpus)
        found = ray.cluster_resources()
        room = [found.get("CPU", 0.0) / cpus, *([found.get("GPU", 0.0) / gpus] if gpus else [])]
        self.capacity = int(min(room) + 1e-6)
        if self.capacity < 1:
            ray.shutdown()
            got = f"{found.get('CPU', 0):g} cores and {found.get('GPU', 0):g} GPUs"
            raise InputError("--engine ray", f"needs {cpus} cores and {gpus:g} GPUs for a trial", got=got)
        self.work = ray.remote(num_cpus=cpus, num_gpus=gpus, max_retries=RETRIES)(_ray_job)
        self.threads = cpus
        self.jobs: dict[Any, Job] = {}

    def __enter__(self) -> RayEngine:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End what still runs, which marks itself as interrupted, and leave Ray."""
        for reference in self.jobs:
            self.ray.cancel(reference, recursive=True)
        if self.jobs:
            self.ray.wait(list(self.jobs), num_returns=len(self.jobs), timeout=20)
        self.ray.shutdown()

    def submit(self, job: Job) -> None:
        """Give a job to Ray."""
        self.jobs[self.work.remote(job.kind, job.trial.as_dict(), self.threads)] = job

    def wait(self) -> tuple[Job, str]:
        """The first job that ends."""
        (done, *_), _ = self.ray.wait(list(self.jobs), num_returns=1)
        job = self.jobs.pop(done)
        try:
            return job, str(self.ray.get(done))
        except self.ray.exceptions.RayError as error:
            reason = str(error).strip().splitlines()[0]
            return job, f"the worker died {RETRIES + 1} times: {reason}"


def _ray_job(kind: str, trial: Mapping[str, Any], threads: int) -> str:
    return run_job(kind, trial, threads=threads)
