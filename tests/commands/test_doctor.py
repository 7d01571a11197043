from __future__ import annotations

import json
import socket

import pytest
from typer.testing import CliRunner

from monai_lesion.commands import doctor
from monai_lesion.commands.app import app
from monai_lesion.machine.checkups import Finding


@pytest.fixture(autouse=True)
def _no_runtimes(monkeypatch):
    monkeypatch.setattr(doctor, "_runtimes", lambda: [Finding("runtime onnx", "a picture in 3 ms")])


def test_doctor_lists_what_it_found_as_lines_and_as_json():
    lines = CliRunner().invoke(app, ["doctor"])
    assert lines.exit_code == 0
    assert "ok  runtime onnx" in lines.output
    found = json.loads(CliRunner().invoke(app, ["doctor", "--json"]).output)
    assert {"name": "runtime onnx", "told": "a picture in 3 ms", "well": True} in found


def test_an_archive_that_answers_and_one_that_does_not():
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        assert (
            "answers" in CliRunner().invoke(app, ["doctor", "--archive", f"http://127.0.0.1:{port}/dicom-web"]).output
        )
    silent = CliRunner().invoke(app, ["doctor", "--archive", f"http://127.0.0.1:{port}/dicom-web"])
    assert silent.exit_code == 1
    assert "!!  archive" in silent.output
