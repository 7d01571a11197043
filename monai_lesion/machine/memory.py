"""How much memory this process has needed, and what becomes of memory it frees."""

from __future__ import annotations

import ctypes
import platform
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


def keep_freed_memory() -> bool:
    """Keep what this process frees, for every step of a training wants the same again; for a config's ``initialize``.

    glibc gives large blocks back to the system, and Linux hands them out anew page by page, each filled with zeros. A
    training frees and wants gigabytes a step. The cost: what has been freed stays with the process until it ends.

    Source: mallopt(3), ``M_MMAP_MAX`` and ``M_TRIM_THRESHOLD``.

    Returns:
        Whether it is so now: not on Windows, on macOS and with another C library, where nothing changes.
    """
    if platform.libc_ver()[0] != "glibc":
        return False
    mmap_max, trim_threshold, never = -4, -1, -1
    change = ctypes.CDLL(None).mallopt
    return bool(change(mmap_max, 0)) and bool(change(trim_threshold, never))
