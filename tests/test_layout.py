"""The house as docs/explanation/architecture.md draws it: arrows point down, nothing goes in a circle."""

from __future__ import annotations

import ast
import functools
import re
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "monai_lesion"
FLOORS = (
    ("commands", "__main__"),
    ("pacs", "page", "service", "archive", "benchmark", "report"),
    ("study",),
    ("label", "training"),
    ("segmentation",),
    ("models",),
    ("runtimes",),
    ("pipeline", "dicom", "datasets"),
    ("networks", "images", "measures", "phantoms", "calipers"),
    ("machine", "files", "errors", "_version"),
)
TESTS = ROOT / "tests"
TESTED_ELSEWHERE = {  # what a test file of its own would only repeat, and the tests that hold it
    "_version": "test_version.py",
    "benchmark.model_files": "benchmark/test_reports.py",
    "benchmark.row_jobs": "benchmark/test_reports.py",
    "commands.manifest": "commands/test_app.py",
    "images.limits": "images/test_volume_claims.py",
    "label.server.answers": "label/test_server.py",
    "label.server.apps": "label/test_server.py",
    "label.server.datastores": "label/test_server.py",
    "label.server.scoring": "label/test_server.py",
    "label.server.strategies": "label/test_server.py",
    "label.server.tasks": "label/test_server.py",
    "label.server.trusts": "label/test_server.py",
    "phantoms.scanners": "phantoms/test_cases.py",
    "report.paper": "study/test_specifications.py",
    "report.sections": "report/test_documents.py",
    "runtimes.conversions": "segmentation/test_exports.py",
    "runtimes.sessions": "runtimes/test_factories.py",
    "segmentation.displays": "segmentation/test_results.py",
    "training.overlay_sheets": "training/test_evaluation.py",
}
FLOOR = {room: number for number, rooms in enumerate(FLOORS) for room in rooms}


def module_name(file: Path, package: Path) -> str:
    parts = file.relative_to(package.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports_of(file: Path, modules: set[str]) -> set[str]:
    """The package's modules that a file imports anywhere: lazily and for type checking too."""
    found = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names = {f"{node.module}.{alias.name}" for alias in node.names}
            # A name of a package that is no module stands in the package's __init__.
            found |= (names & modules) | ({node.module} if names - modules else set())
    return found & modules


@functools.cache
def graph(package: Path = PACKAGE) -> dict[str, set[str]]:
    files = {module_name(file, package): file for file in package.rglob("*.py")}
    return {name: imports_of(file, set(files)) - {name} for name, file in files.items()}


def room(module: str) -> str | None:
    parts = module.split(".")
    return parts[1] if len(parts) > 1 else None


def arrows_up(modules: dict[str, set[str]]) -> list[str]:
    arrows = [(one, other) for one, others in modules.items() for other in others if room(one) != room(other)]
    return sorted(
        f"{one} -> {other}"
        for one, other in arrows
        if room(one) is not None and (room(other) is None or FLOOR[room(other)] < FLOOR[room(one)])
    )


def circle(arrows: dict[str, set[str]]) -> list[str]:
    try:
        TopologicalSorter(arrows).prepare()
    except CycleError as error:
        return list(error.args[1])
    return []


def rooms(modules: dict[str, set[str]]) -> dict[str, set[str]]:
    between: dict[str, set[str]] = {}
    for one, others in modules.items():
        if (name := room(one)) is not None:
            between.setdefault(name, set()).update({room(other) for other in others} - {name, None})
    return between


def test_every_room_has_a_floor():
    assert sorted(set(rooms(graph())) - set(FLOOR)) == []


def test_arrows_point_down():
    assert arrows_up(graph()) == []


def test_no_module_and_no_room_is_in_a_circle():
    modules = graph()
    # A package's __init__ shows what is inside, so only what others import of it counts as an arrow to it.
    assert circle(modules) == []
    assert circle(rooms(modules)) == []


@pytest.mark.parametrize(
    "line",
    [
        "from monai_lesion.commands.app import main",
        "import monai_lesion.commands",
        "def f():\n    from monai_lesion import commands",
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from monai_lesion.commands import app",
    ],
)
def test_an_arrow_up_is_found_wherever_it_stands(tmp_path, line):
    package = tmp_path / "monai_lesion"
    for name in ("commands", "images"):
        (package / name).mkdir(parents=True)
        (package / name / "__init__.py").touch()
    (package / "commands" / "app.py").write_text("def main(): ...\n")
    (package / "images" / "reading.py").write_text(line + "\n")
    assert len(arrows_up(graph(package))) == 1


def test_a_circle_is_found():
    assert set(circle({"a": {"b"}, "b": {"c"}, "c": {"a"}})) == {"a", "b", "c"}


def untested(package: Path = PACKAGE, tests: Path = TESTS) -> list[str]:
    """Modules without a test file of their name in the room's folder of tests; what shows others has none."""
    files = [file.relative_to(package) for file in package.rglob("*.py") if not file.name.startswith("__")]
    without = [file for file in files if not (tests / file.with_name(f"test_{file.name}")).is_file()]
    return sorted(".".join(file.with_suffix("").parts) for file in without)


def test_each_module_has_a_test_file_of_its_name():
    assert [name for name in untested() if name not in TESTED_ELSEWHERE] == []
    assert sorted(set(TESTED_ELSEWHERE) - set(untested())) == []  # no exception outlives its reason
    assert [name for name in TESTED_ELSEWHERE.values() if not (TESTS / name).is_file()] == []


def test_a_new_module_without_tests_is_found(tmp_path):
    for file in ("house/room/__init__.py", "house/room/new.py", "house/room/old.py", "tests/room/test_old.py"):
        (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / file).touch()
    assert untested(tmp_path / "house", tmp_path / "tests") == ["room.new"]


def test_the_page_draws_the_same_floors():
    text = (ROOT / "docs" / "explanation" / "architecture.md").read_text(encoding="utf-8")
    drawn = re.search(r"^commands, .*(?:\n.*)*?(?=\n```)", text, flags=re.MULTILINE)
    assert drawn is not None
    floors = [tuple(re.findall(r"\w+", floor)) for floor in drawn.group().replace("\n", " ").split(">")]
    assert floors == [tuple(name for name in names) for names in FLOORS]
