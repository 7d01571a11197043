"""Where the jobs of a study run: in this process, one after another, or on Ray."""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping
from types import TracebackType
from typing import Any, Protocol
from urllib.parse import urlsplit

from monai_lesion.errors import InputError
from monai_lesion.study.jobs import Job, run_job

RETRIES = 3  # of a job whose worker dies; it goes on from its last epoch
CONNECT_SECONDS = 5.0
START_ATTEMPTS = 5


class Engine(Protocol):
    """What runs jobs; a context manager that leaves nothing running."""

    capacity: int

    def __enter__(self) -> Engine: ...

    def __exit__(self, *details: Any) -> None: ...

    def submit(self, job: Job) -> None:
        """Take a job."""

    def wait(self) -> tuple[Job, str]:
        """A job that has ended, and its error, empty when there is none."""


class SequentialEngine:
    """One job after another, in this process.

    Args:
        threads: threads for PyTorch; None for one per core.
        progress: show the bundle's bar of the job.
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
    """Jobs on a Ray of this machine, or on a cluster whose machines share the output folder and the data.

    A job whose worker dies is started again, up to three times, and goes on from its last epoch. Ray's usage
    statistics are switched off.

    Args:
        address: address of a running Ray, ``host:port``, ``ray://host:port`` or ``auto``; None starts one here.
        workers: processes of a Ray that is started here; None for as many as the cores allow.
        cpus: cores of each job.
        gpus: share of a GPU of each job, such as 0.5.

    Raises:
        InputError: when Ray is not installed, does not answer, or has no room for one job.
    """

    def __init__(
        self, *, address: str | None = None, workers: int | None = None, cpus: int = 1, gpus: float = 0.0
    ) -> None:
        os.environ["RAY_USAGE_STATS_ENABLED"] = "0"  # read when Ray is imported and when its processes start
        try:
            import ray
        except ImportError as error:
            raise InputError("--engine ray", "needs Ray", fix="pip install 'monai-lesion[study]'") from error
        if address is not None:
            check_address(address)
        self.ray = ray
        if address is None:
            cores = os.cpu_count() or 1
            slots = workers or max(1, cores // cpus)
            self._start(
                address="local", num_cpus=slots * cpus, object_store_memory=100 * 2**20, include_dashboard=False
            )
        else:
            self._start(address=address)
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

    def _start(self, address: str, **options: Any) -> None:
        """Connect, or start a Ray here; its parts wait only seconds for each other, too short on a busy machine."""
        attempts = START_ATTEMPTS if address == "local" else 1
        for attempt in range(attempts):
            try:
                self.ray.init(address=address, log_to_driver=False, configure_logging=False, **options)
                return
            except Exception as error:  # of many kinds
                self.ray.shutdown()
                if attempt + 1 < attempts:
                    continue
                where = "--engine ray" if address == "local" else f"--address {address}"
                reason = str(error).splitlines()[0]
                raise InputError(where, "Ray must start or answer", got=reason) from error

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


def check_address(address: str) -> None:
    """See whether something listens there, for Ray itself tries for minutes.

    Args:
        address: ``host:port``, ``ray://host:port``, or ``auto`` for the Ray of this machine.

    Raises:
        InputError: when it has no port or nothing answers within five seconds.
    """
    if address in ("auto", "local"):
        return
    parts = urlsplit(address if "//" in address else f"//{address}")
    try:
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise InputError(f"--address {address}", "must be host:port", got=error) from error
    if not host or not port:
        raise InputError(f"--address {address}", "must be host:port, ray://host:port or auto", got="no port")
    try:
        socket.create_connection((host, port), timeout=CONNECT_SECONDS).close()
    except OSError as error:
        fix = "Start Ray there (ray start --head), or leave --address out"
        raise InputError(f"--address {address}", "must answer", got=error, fix=fix) from error
