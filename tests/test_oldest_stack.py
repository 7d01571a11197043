"""The lowest versions that pyproject.toml allows are those that CI tests."""

from __future__ import annotations

import json
import re
from pathlib import Path

ROOT = Path(__file__).parents[1]


def listed(pattern: str, name: str) -> dict[str, str]:
    return dict(re.findall(pattern, (ROOT / name).read_text(encoding="utf-8"), re.M))


def numbers(version: str) -> list[int]:
    """Without the zeros at the end: 5.0 is 5."""
    return [int(part) for part in re.sub(r"(\.0)+$", "", version).split(".")]


def lowest() -> dict[str, str]:
    """Of the base install, and of the extras that the oldest environment has."""
    return listed(r'"([\w-]+)>=([\d.]+)"', "pyproject.toml")


def pinned() -> dict[str, str]:
    return listed(r"^([\w-]+)==([\d.]+)$", "constraints-oldest.txt")


def test_each_dependency_of_the_base_install_is_tested_at_its_lowest_version() -> None:
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    base = re.search(r"^dependencies = \[(.*?)^\]", text, re.M | re.S)[1]  # type: ignore[index]
    for name, version in re.findall(r'"([\w-]+)>=([\d.]+)"', base):
        if name != "torch":  # stays the tested one: an older one would be another project's build
            assert numbers(pinned()[name]) == numbers(version), name


def test_the_tests_own_packages_are_at_their_lowest_versions() -> None:
    for name, version in pinned().items():
        if name not in ("torch", "setuptools") and name in lowest():
            expected = "2.4.5" if name == "pydicom" else lowest()[name]  # the extra dicom asks for 3
            assert numbers(version) == numbers(expected), name


def test_torch_is_the_tested_one_in_both() -> None:
    assert pinned()["torch"] == listed(r"^([\w-]+)==([\d.]+)$", "constraints.txt")["torch"]


def test_no_lowest_version_has_a_known_hole() -> None:
    known = json.loads((ROOT / "tests" / "advisories.json").read_text(encoding="utf-8"))
    floors = re.findall(r"\"([\w-]+)(?:\[\w+\])?>=([\d.]+)", (ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    assert set(known) <= {name for name, _ in floors}
    for name, version in floors:
        if name in known:
            assert numbers(version) >= numbers(known[name]["fixed"]), f"{name}: {known[name]['why']}"


def test_no_exported_folder_asks_for_a_version_with_a_known_hole() -> None:
    known = json.loads((ROOT / "tests" / "advisories.json").read_text(encoding="utf-8"))
    text = (ROOT / "monai_lesion" / "segmentation" / "exports.py").read_text(encoding="utf-8")
    floors = re.findall(r"\b([\w-]+)>=([\d.]+\d)", text.replace("\\n", " "))
    assert {"torch", "pillow", "numpy", "onnxruntime"} <= {name for name, _ in floors}
    for name, version in floors:
        if name in known:
            assert numbers(version) >= numbers(known[name]["fixed"]), f"{name}: {known[name]['why']}"
