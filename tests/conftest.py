"""What an extra is needed for skips, with the reason, where it is not installed: on the oldest stack."""

from __future__ import annotations

import os
from importlib.util import find_spec
from pathlib import Path

import pydicom
import pytest
from PIL import Image

from monai_lesion.phantoms.cases import simulate_case
from tests.installations import Shell, build, install


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


@pytest.fixture(scope="session")
def distributions(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of wheel and source distribution: what `make dist` made, else built here."""
    made = os.environ.get("MONAI_LESION_DIST")
    return Path(made).resolve() if made else build(tmp_path_factory.mktemp("built"))


@pytest.fixture(scope="session")
def shell(distributions: Path, tmp_path_factory: pytest.TempPathFactory) -> Shell:
    """An environment where the wheel is installed, and a folder away from the project."""
    (wheel,) = distributions.glob("*.whl")
    folder = tmp_path_factory.mktemp("elsewhere")
    Image.fromarray(simulate_case(0, 0).views[0].pixels).save(folder / "scan.png")
    return Shell(install(wheel, tmp_path_factory.mktemp("environment") / "venv"), folder)
