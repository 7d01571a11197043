"""What an extra is needed for skips, with the reason, where it is not installed: on the oldest stack."""

from __future__ import annotations

import functools
import gc
import importlib
import logging
import os
import socketserver
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pydicom
import pytest
import typer.testing
from PIL import Image

from monai_lesion.phantoms.cases import simulate_case
from tests.installations import Shell, build, install

# MONAI imports MLflow where it is installed: a quarter of the time of all imports. test_tracking.py brings it back.
if "monai" not in sys.modules:
    sys.modules.setdefault("mlflow", None)  # type: ignore[arg-type]

# Servers, pynetdicom's too, look this often whether they should end; half a second, as they come, was the longest wait.
socketserver.BaseServer.serve_forever.__defaults__ = (0.02,)

# TensorBoard brings absl, whose log handler closes its stream when logging is configured anew, unless it is the
# standard error of then. In a test that stream would be pytest's capture, and every later test would fail.
if find_spec("absl") is not None:
    importlib.import_module("absl.logging").get_absl_handler().python_handler.stream = sys.__stderr__

# Each call of a runner would build all commands anew, 40 ms.
typer.testing._get_command = functools.cache(typer.testing._get_command)

# What is imported and collected stays: looking through it for garbage takes a fifth of the time of collecting.
gc.disable()


def pytest_collection_finish() -> None:
    """Garbage is collected from here on, and what stands by now is left out of the search."""
    gc.freeze()
    gc.enable()


def missing() -> dict[Path, str]:
    """Folders and files of tests that cannot run here, and why."""
    folders = {}
    if find_spec("highdicom") is None or pydicom.__version__.startswith("2"):
        reason = f"the DICOM writers need highdicom and pydicom 3, not {pydicom.__version__}"
        folders |= dict.fromkeys(
            ("dicom", "pacs", "service", "commands/test_pacs.py", "commands/test_serve.py"), reason
        )
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


def _loggers() -> Iterator[logging.Logger]:
    yield logging.root
    yield from (each for each in logging.root.manager.loggerDict.values() if isinstance(each, logging.Logger))


def _ours_as_new() -> None:
    logging.disable(logging.NOTSET)
    for each in list(_loggers()):
        if each is logging.root or each.name.startswith("monai_lesion"):
            each.propagate, each.disabled = True, False
            each.setLevel(logging.WARNING if each is logging.root else logging.NOTSET)


@pytest.fixture(autouse=True)
def logs_as_they_were() -> Iterator[None]:
    """Commands set up logging for the whole process, and log to the standard error of their test, closed afterwards.

    What a fixture of a whole module left is put right before each of its tests, too.
    """
    _ours_as_new()
    before = {each.name: (each.level, each.propagate, each.disabled) for each in _loggers()}
    handlers = logging.root.handlers[:]
    yield
    _ours_as_new()
    for each in list(_loggers()):
        if each.name in before:  # what a library makes when it is imported stays
            level, each.propagate, each.disabled = before[each.name]
            if each.level != level:
                each.setLevel(level)
    for handler in logging.root.handlers[:]:
        if handler not in handlers:
            logging.root.removeHandler(handler)


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
