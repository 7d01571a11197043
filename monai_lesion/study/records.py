"""Record how a trial was made, for whoever checks it: code, machine, data, weights, time and memory in ``run.json``."""

from __future__ import annotations

import json
import os
import platform
import socket
import subprocess
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

from monai_lesion.errors import InputError
from monai_lesion.files import read_object, replacing
from monai_lesion.machine.memory import peak_bytes
from monai_lesion.machine.packages import versions as installed
from monai_lesion.machine.processors import processor

RECORD = "run.json"
FORMER = {"weights_hash": "weights_id", "weights_sha256": "weights_file_sha256"}  # keys of records until November 2026
_PACKAGES = ("monai-lesion", "monai", "torch", "pytorch-ignite", "numpy", "scikit-image", "scipy", "ray")


def read_record(folder: Path) -> dict[str, Any]:
    """Read the record of a trial; empty if there is none.

    Raises:
        InputError: when it cannot be read.
    """
    file = folder / RECORD
    if not file.is_file():
        return {}
    try:
        return with_present_keys(read_object(file, "must be the record of a trial"))
    except InputError as error:
        raise InputError(f"{error}. Delete the trial's folder to train it again") from error


def with_present_keys(record: Mapping[str, Any]) -> dict[str, Any]:
    """A record of earlier versions under the keys of today, so that it joins what is made now.

    Example:
        >>> with_present_keys({"weights_hash": "ab", "manifest": {"name": "x", "sha256": "cd"}})
        {'weights_id': 'ab', 'manifest': {'name': 'x', 'file_sha256': 'cd'}}
    """
    present = {FORMER.get(key, key): value for key, value in record.items()}
    manifest = present.get("manifest")
    if isinstance(manifest, dict) and "sha256" in manifest:
        present["manifest"] = {"file_sha256" if key == "sha256" else key: value for key, value in manifest.items()}
    return present


def write_record(folder: Path, record: Mapping[str, Any]) -> None:
    """Write the record of a trial, whole or not at all."""
    write_json(folder / RECORD, record)


def write_json(path: Path, content: Any) -> None:
    """Write JSON, whole or not at all."""
    with replacing(path) as partial:
        partial.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


@lru_cache(maxsize=1)
def code_version() -> dict[str, Any]:
    """Find the git commit of the package, and whether files differ from it; null without a repository."""
    folder = Path(__file__).parents[1]
    try:
        paths = [":/monai_lesion", ":/bundles"]
        tracked = ["ls-files", "--error-unmatch", "__init__.py"]  # an installation may lie within another's repository
        commands = (tracked, ["rev-parse", "HEAD"], ["status", "--porcelain", "--untracked-files=no", "--", *paths])
        _, commit, changed = (
            subprocess.run(["git", *command], cwd=folder, capture_output=True, text=True, check=True, timeout=20).stdout
            for command in commands
        )
    except (OSError, subprocess.SubprocessError):
        return {"git_commit": None, "git_changed": None}
    return {"git_commit": commit.strip(), "git_changed": bool(changed.strip())}


@lru_cache(maxsize=1)
def versions() -> dict[str, str]:
    """List the versions of Python and of the packages that a result depends on."""
    return {"python": platform.python_version(), **installed(_PACKAGES)}


def machine(device: str) -> dict[str, Any]:
    """Describe the machine that a trial runs on."""
    import torch

    name = torch.cuda.get_device_name(device) if device.startswith("cuda") else processor().name
    return {
        "device": device,
        "device_name": name,
        "threads": torch.get_num_threads(),
        "host": socket.gethostname(),
        "pid": os.getpid(),
    }


class PeakMemory:
    """The largest memory since the start, in MiB: of the process on a CPU, of the allocator on CUDA.

    On Linux the kernel's high-water mark is set back at the start; elsewhere it is that of the whole process.
    """

    def __init__(self) -> None:
        import torch

        self.cuda = torch.cuda.is_available()
        if self.cuda:
            torch.cuda.reset_peak_memory_stats()
        try:
            Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
        except OSError:
            return

    def measure(self) -> dict[str, float]:
        """Peak memory by kind."""
        peak = peak_bytes()
        found = {} if peak is None else {"process_mib": round(peak / 2**20, 1)}
        if self.cuda:
            import torch

            found["cuda_mib"] = round(torch.cuda.max_memory_allocated() / 2**20, 1)
        return found
