"""A real MONAI Label server for a test: its own environment, a free loopback port, stopped with all it started."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import requests
from filelock import FileLock, Timeout
from PIL import Image

from tests.pacs.orthanc import free_port

REPOSITORY = Path(__file__).parents[2]
INSTALLER = Path(__file__).with_name("install_server.sh")
MINUTES = 6  # for an installation; then the tests skip


def environment() -> Path:
    """The Python of the server's environment, installed on first use; MONAI_LESION_LABEL_SERVER names another."""
    named = os.environ.get("MONAI_LESION_LABEL_SERVER")
    if named:
        return Path(named) / "bin" / "python"
    if sys.platform == "win32":
        pytest.skip("the installer of the MONAI Label environment is a shell script")
    text = (REPOSITORY / "pyproject.toml").read_text(encoding="utf-8")
    dependencies = text.partition("dependencies = [")[2].partition("]")[0]
    key = hashlib.sha256((INSTALLER.read_text(encoding="utf-8") + dependencies).encode()).hexdigest()[:12]
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "monai_lesion" / "monai_label_server"
    folder = cache / key
    try:
        cache.mkdir(parents=True, exist_ok=True)
        with FileLock(cache / f"{key}.lock", timeout=MINUTES * 60):
            if not (folder / ".ready").exists():
                _install(folder)
    except (OSError, Timeout) as error:
        pytest.skip(f"the MONAI Label environment cannot be installed: {error}")
    return folder / "bin" / "python"


def _install(folder: Path) -> None:
    log = folder.with_suffix(".log")
    with log.open("wb") as output:
        process = subprocess.Popen(
            ["bash", str(INSTALLER), str(folder)],
            stdout=output,
            stderr=subprocess.STDOUT,
            env={**os.environ, "PYTHON": sys.executable},
            start_new_session=True,
        )
        try:
            code: int | str = process.wait(MINUTES * 60)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            code = f"not ready after {MINUTES} minutes"
    if code != 0:
        last = (log.read_text(errors="replace").strip().splitlines() or [""])[-1]
        pytest.skip(f"the MONAI Label environment cannot be installed ({code}): {last}; see {log}")


@dataclass
class Server:
    """A running server."""

    url: str
    log: Path
    process: subprocess.Popen[bytes]

    def ask(self, method: str, path: str, **options: Any) -> requests.Response:
        return requests.request(method, self.url + path, timeout=300, **options)

    def upload(self, file: Path, name: str) -> requests.Response:
        return self.ask(
            "PUT", "/datastore/image", params={"image": name}, files={"file": (file.name, file.read_bytes())}
        )

    def label(self, image: str, content: bytes, ending: str = ".png") -> requests.Response:
        label = {"label": (image + ending, content)}
        return self.ask("PUT", "/datastore/label", params={"image": image, "tag": "final"}, files=label)

    def infer(self, image: str = "", *, file: Path | None = None, **params: Any) -> requests.Response:
        files: dict[str, Any] = {"params": (None, json.dumps(params))}
        if file is not None:
            files["file"] = (file.name, file.read_bytes())
        return self.ask("POST", "/infer/lighter_unet", params={"image": image, "output": "image"}, files=files)

    def mask(self, image: str = "", **options: Any) -> np.ndarray:
        """The PNG that the server answers with, rows and columns as they are."""
        answer = self.infer(image, **options)
        assert answer.status_code == 200, answer.text
        return np.array(Image.open(BytesIO(answer.content)))

    def wait(self, task: str, seconds: float = 300) -> dict[str, Any]:
        """The last task of a kind, when it has ended."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            state = self.ask("GET", f"/{task}").json()
            if state["status"] in ("DONE", "ERROR"):
                return state
            time.sleep(0.5)
        raise AssertionError(f"{task} did not end within {seconds} s:\n{self.tail()}")

    def tail(self, characters: int = 4000) -> str:
        return self.log.read_text(errors="replace")[-characters:]


def command(python: Path, app: Path, studies: str | Path, port: int, conf: Mapping[str, str]) -> list[str]:
    settings = [word for key, value in conf.items() for word in ("--conf", key, value)]
    where = ["--app", str(app), "--studies", str(studies), "--host", "127.0.0.1", "--port", str(port)]
    return [str(python), "-m", "monailabel.main", "start_server", *where, *settings]


def surroundings(folder: Path, **more: str) -> dict[str, str]:
    """Environment variables: this working tree's package, one thread as in the test, temporary files of its own."""
    (folder / "tmp").mkdir(parents=True, exist_ok=True)
    own = {
        "PYTHONPATH": str(REPOSITORY),
        "OMP_NUM_THREADS": "1",
        "TMPDIR": str(folder / "tmp"),
        "PYTHONWARNINGS": "ignore",
    }
    return {**os.environ, **own, **more}


@contextmanager
def running_server(
    python: Path, app: Path, studies: str | Path, folder: Path, *, conf: Mapping[str, str] | None = None, **more: str
) -> Iterator[Server]:
    """Start a server, wait until it answers, stop it and its children."""
    port = free_port()
    folder.mkdir(parents=True, exist_ok=True)
    log = folder / "server.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            command(python, app, studies, port, conf or {}),
            stdout=output,
            stderr=subprocess.STDOUT,
            env=surroundings(folder, **more),
            cwd=folder,
            start_new_session=True,
        )
    server = Server(f"http://127.0.0.1:{port}", log, process)
    try:
        _wait_until_it_answers(server)
        yield server
    finally:
        _stop(process)


def _wait_until_it_answers(server: Server) -> None:
    end = time.monotonic() + 300  # seconds; ten, unless the computer is busy
    while time.monotonic() < end:
        if server.process.poll() is not None:
            pytest.fail(f"the server ended with {server.process.returncode}:\n{server.tail()}")
        try:
            server.ask("GET", "/info/").raise_for_status()
            return
        except requests.RequestException:
            time.sleep(0.5)
    pytest.fail(f"the server did not answer:\n{server.tail()}")


def _stop(process: subprocess.Popen[bytes]) -> None:
    """Its process group: trainings are processes of their own."""
    for sign in (signal.SIGTERM, signal.SIGKILL):
        with suppress(ProcessLookupError, subprocess.TimeoutExpired):
            os.killpg(process.pid, sign)
            process.wait(20)
