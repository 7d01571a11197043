"""The command `page`."""

from __future__ import annotations

import os
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest
from typer.testing import CliRunner

from monai_lesion.commands.app import app


def test_the_page_is_written_for_another_server(tmp_path: Path) -> None:
    done = CliRunner().invoke(app, ["page", "--bundle", "pocket", "--output", str(tmp_path / "page")])
    assert (done.exit_code, (tmp_path / "page" / "presets" / "pocket" / "model.json").is_file()) == (0, True)
    assert done.output == f"{tmp_path / 'page'}: the page, with pocket\n"


@pytest.mark.slow
def test_it_is_served_until_interrupted() -> None:
    pytest.importorskip("fastapi", reason="needs the extra page")
    command = [sys.executable, "-m", "monai_lesion", "page", "--bundle", "pocket"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONUNBUFFERED": "1"})
    assert process.stdout is not None
    address = process.stdout.readline().split()[0]
    with urllib.request.urlopen(address) as answer:
        assert b"<title>Lesion in ultrasound" in answer.read()
    process.terminate()
    assert process.wait(20) in (0, -15)
