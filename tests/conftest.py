"""What an extra is needed for skips, with the reason, where it is not installed: on the oldest stack."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import pydicom
import pytest


def missing() -> dict[Path, str]:
    """Folders and files of tests that cannot run here, and why."""
    folders = {}
    if find_spec("highdicom") is None or pydicom.__version__.startswith("2"):
        reason = f"the DICOM writers need highdicom and pydicom 3, not {pydicom.__version__}"
        folders |= dict.fromkeys(("dicom", "pacs", "commands/test_pacs.py"), reason)
    if find_spec("matplotlib") is None:
        folders["report"] = "reports need Matplotlib, of the extra study"
    return {Path(__file__).parent / name: reason for name, reason in folders.items()}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip the tests of those folders."""
    reasons = missing()
    for item in items:
        for folder, reason in reasons.items():
            if folder in (item.path, *item.path.parents):
                item.add_marker(pytest.mark.skip(reason=reason))
