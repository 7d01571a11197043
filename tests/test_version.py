"""What every result says stands once in the code."""

from __future__ import annotations

from pathlib import Path

from monai_lesion._version import NOTICE

PACKAGE = Path(__file__).parents[1] / "monai_lesion"
ALONE = {"_version.py", "__init__.py", "models/client.py"}  # the last two say it in a docstring; the client travels


def places(text: str) -> set[str]:
    contents = {file: file.read_text(encoding="utf-8").lower() for file in PACKAGE.rglob("*.py")}
    return {file.relative_to(PACKAGE).as_posix() for file, content in contents.items() if text.lower() in content}


def test_the_notice_stands_once():
    assert places(NOTICE) == ALONE


def test_one_module_makes_progress_bars():
    assert places("import tqdm") == {"machine/progress_bars.py"}
