"""Memory that was freed is taken again without new pages."""

import ctypes
import platform
import subprocess
import sys

import pytest

from monai_lesion.machine.memory import keep_freed_memory

FAULTS = """
import resource, sys
import numpy as np
from monai_lesion.machine.memory import keep_freed_memory

if sys.argv[1] == "keep":
    assert keep_freed_memory()
before = None
for turn in range(11):
    np.empty(64 * 2**20, np.uint8).fill(1)
    if turn == 0:  # the first needs its pages either way
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def faults(word: str) -> int:
    """Pages the system handed out while a block of 64 MB was taken and freed ten times."""
    command = [sys.executable, "-c", FAULTS, word]
    return int(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="other C libraries are left as they are")
def test_freed_memory_is_taken_again_without_new_pages():
    given_back, kept = faults("give back"), faults("keep")
    assert given_back > 300, "ten blocks have 160,000 pages of 4 kB, or 320 of 2 MB"
    assert kept < 100


def test_another_c_library_is_left_as_it_is(monkeypatch):
    monkeypatch.setattr(platform, "libc_ver", lambda: ("", ""))
    monkeypatch.delattr(ctypes, "CDLL")
    assert not keep_freed_memory()
