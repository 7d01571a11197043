from __future__ import annotations

from pathlib import Path

import pytest

from monai_lesion.machine import checkups

tomllib = pytest.importorskip("tomllib", reason="Python 3.10 has none")


def by_name():
    return {finding.name: finding for finding in checkups.look_at_installation()}


def test_a_missing_package_is_unwell_and_a_missing_extra_is_told_how_to_install(monkeypatch):
    monkeypatch.setattr(checkups, "versions", lambda names: {name: "1.0" for name in names if name == "numpy"})
    found = by_name()
    assert found["packages"].well is False
    assert "missing: onnxruntime" in found["packages"].told
    assert found["extra cpu"].well is None
    assert "pip install 'monai-lesion[cpu]'" in found["extra cpu"].told


def test_what_is_there_is_named_with_its_version(monkeypatch):
    monkeypatch.setattr(checkups, "versions", lambda names: dict.fromkeys(names, "2.3"))
    found = by_name()
    assert all(finding.well for finding in found.values())
    assert "torch 2.3" in found["packages"].told
    assert found["extra tracking"].told == "mlflow 2.3, tensorboard 2.3"


def test_every_extra_is_looked_at():
    content = tomllib.loads(Path(__file__).parents[2].joinpath("pyproject.toml").read_text(encoding="utf-8"))
    assert set(checkups.EXTRAS) == set(content["project"]["optional-dependencies"]) - {"all"}
