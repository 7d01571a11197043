"""Measure how much memory this process has needed."""

from __future__ import annotations

import sys
from pathlib import Path


def peak_bytes() -> int | None:
    """The most memory this process has had at a time; None where that is not known (Windows).

    Example:
        >>> peak_bytes() > 2**20
        True
    """
    try:
        status = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    except OSError:
        status = []
    for line in status:
        if line.startswith("VmHWM:"):  # getrusage would count the parent's memory too, from before this program
            return int(line.split()[1]) * 1024
    try:
        import resource
    except ImportError:
        return None
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
