"""What the extra `dicom` is needed for skips, with the reason, where it is not installed: on the oldest stack."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import pydicom
import pytest

WRITERS = [Path(__file__).with_name(name) for name in ("dicom", "pacs")]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip the tests of the DICOM writers and of what stores their objects."""
    if find_spec("highdicom") is not None and not pydicom.__version__.startswith("2"):
        return
    skip = pytest.mark.skip(reason=f"the DICOM writers need highdicom and pydicom 3, not {pydicom.__version__}")
    for item in items:
        if any(folder in item.path.parents for folder in WRITERS):
            item.add_marker(skip)
