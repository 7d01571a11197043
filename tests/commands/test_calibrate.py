"""The command `calibrate`; what it computes is tested with the library."""

from __future__ import annotations

import json

import pytest
from typer.testing import CliRunner

from monai_lesion.commands.app import app
from monai_lesion.errors import InputError


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ([], "--bundle: a network of the package is not changed, got none. Name a folder for a calibrated copy"),
        (["--bundle", "pocket"], "--bundle: a network of the package is not changed, got pocket"),
        (["--lost", "3"], "lost: must be a share between 0 and 1, got 3.0"),
        (["--output", "copy", "--manifest", "gone.json"], "gone.json: the manifest must exist"),
    ],
    ids=["no name", "a preset", "a percentage", "no manifest"],
)
def test_rejects(tmp_path, monkeypatch, options, message):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "m.json").write_text(json.dumps({"calibration": []}))
    done = CliRunner().invoke(app, ["calibrate", "--manifest", "m.json", *options])
    assert isinstance(done.exception, InputError)
    assert message in str(done.exception)
    assert not (tmp_path / "copy").exists()
