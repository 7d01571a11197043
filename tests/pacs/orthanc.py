"""A real Orthanc for a test: its own folder, free loopback ports, stopped by its process."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

PLUGIN = next(
    (
        file
        for file in (
            Path("/usr/share/orthanc/plugins/libOrthancDicomWeb.so"),
            Path("/usr/lib/orthanc/libOrthancDicomWeb.so"),
        )
        if file.exists()
    ),
    None,
)
PROGRAM = shutil.which("Orthanc", path="/usr/sbin:/usr/bin:/usr/local/sbin:/usr/local/bin")

needs_orthanc = pytest.mark.skipif(
    PROGRAM is None or PLUGIN is None, reason="Orthanc is not installed (Debian: orthanc, orthanc-dicomweb)"
)
USER, PASSWORD = "tester", "correct-horse"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass
class Orthanc:
    """A running server; `log` is its file."""

    http: int
    dicom: int
    log: Path

    @property
    def root(self) -> str:
        return f"http://127.0.0.1:{self.http}"

    @property
    def url(self) -> str:
        return f"{self.root}/dicom-web"

    def ask(self, path: str, data: object = None):
        import requests

        call = {"auth": (USER, PASSWORD), "timeout": 60}
        if data is None:
            answer = requests.get(self.root + path, **call)
        elif isinstance(data, bytes):
            answer = requests.post(self.root + path, data=data, **call)
        else:
            answer = requests.post(self.root + path, json=data, **call)
        answer.raise_for_status()
        return answer

    def put(self, *files: Path) -> list[str]:
        """Upload files; their identifiers in Orthanc."""
        return [self.ask("/instances", file.read_bytes()).json()["ID"] for file in files]

    def held(self) -> dict[str, dict]:
        """The header of each instance by SOP Instance UID."""
        found = {}
        for name in self.ask("/instances").json():
            tags = self.ask(f"/instances/{name}/simplified-tags").json()
            found[tags["SOPInstanceUID"]] = {**tags, "orthanc": name}
        return found

    def download(self, uid: str, file: Path) -> Path:
        file.write_bytes(self.ask(f"/instances/{self.held()[uid]['orthanc']}/file").content)
        return file


@contextmanager
def running_orthanc(folder: Path, *, modalities: Mapping[str, int] | None = None) -> Iterator[Orthanc]:
    """Start it, wait until it answers, stop it; `modalities` are AE titles with their loopback port."""
    folder.mkdir(parents=True, exist_ok=True)
    server = Orthanc(free_port(), free_port(), folder / "orthanc.log")
    settings = {
        "Name": "test",
        "StorageDirectory": str(folder / "db"),
        "IndexDirectory": str(folder / "db"),
        "HttpPort": server.http,
        "DicomPort": server.dicom,
        "DicomAet": "ORTHANC",
        "DicomCheckCalledAet": False,
        "DicomAlwaysAllowStore": True,
        "RemoteAccessAllowed": True,  # with users; it listens to this machine's ports only for the time of the test
        "AuthenticationEnabled": True,
        "RegisteredUsers": {USER: PASSWORD},
        "DicomModalities": {title: [title, "127.0.0.1", port] for title, port in (modalities or {}).items()},
        "Plugins": [str(PLUGIN)],
        "DicomWeb": {"Enable": True, "Root": "/dicom-web/"},
        "ConcurrentJobs": 1,
        "HttpThreadsCount": 4,
    }
    configuration = folder / "orthanc.json"
    configuration.write_text(json.dumps(settings))
    with server.log.open("wb") as log:
        process = subprocess.Popen([str(PROGRAM), str(configuration)], stdout=log, stderr=subprocess.STDOUT)
    try:
        _wait_until_it_answers(server, process)
        yield server
    finally:
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(20)


def _wait_until_it_answers(server: Orthanc, process: subprocess.Popen) -> None:
    import requests

    for _ in range(240):
        if process.poll() is not None:
            pytest.fail(f"Orthanc ended at once:\n{server.log.read_text()[-2000:]}")
        try:
            server.ask("/system")
            return
        except requests.RequestException:
            time.sleep(0.25)
    pytest.fail(f"Orthanc did not answer:\n{server.log.read_text()[-2000:]}")
