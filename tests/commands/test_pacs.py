"""The commands, as cli.py will have them; the archive is a stub."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest
import typer
from typer.testing import CliRunner

from monai_lesion.commands import pacs as commands
from monai_lesion.pacs import web
from monai_lesion.pacs.web import Outcome
from tests.pacs.orthanc import free_port


@pytest.fixture
def app():
    application = typer.Typer()
    application.command()(lambda: None)  # with one command alone, typer makes it the whole application
    commands.register(application)
    return application


def test_failures_of_a_study_end_in_an_error_that_lists_them(app, monkeypatch):
    pytest.importorskip("dicomweb_client")
    monkeypatch.setattr(commands, "open_segmenter", lambda *_, **__: None)
    monkeypatch.setattr(web, "segment_study", lambda *_, **__: Outcome(1, 3, 0, 0, {"1.2": "instance 1.2: broken"}))
    result = CliRunner().invoke(app, ["dicomweb", "http://127.0.0.1:9/x", "--study", "1.2"])
    assert result.exit_code != 0
    assert "1 of" not in result.output
    assert "1 images segmented, 3 objects stored" in result.output
    assert "instance 1.2: broken" in str(result.exception)


def test_no_option_takes_a_secret(app):
    for command in app.registered_commands[1:]:
        help_text = CliRunner().invoke(app, [command.callback.__name__, "--help"]).output
        assert "--password" not in help_text
        assert "--token" not in help_text


def test_help_needs_neither_torch_nor_the_archive_libraries():
    code = (
        "import sys, monai_lesion.commands.pacs;"
        "sys.exit(any(name in sys.modules for name in ('torch', 'pydicom', 'pynetdicom', 'dicomweb_client', 'numpy')))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


CHILD = """
import sys, typer
from monai_lesion.commands import pacs as commands
commands.open_segmenter = lambda *_, **__: None
app = typer.Typer()
app.command()(lambda: None)
commands.register(app)
app(["listen", "--aet", "LESION", "--port", sys.argv[1], "--from", "SCANNER", "--to", "ARCHIVE@127.0.0.1:9",
     "--host", "127.0.0.1", "--queue", sys.argv[2]])
"""


@pytest.mark.skipif(os.name != "posix", reason="POSIX signals")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=["SIGTERM", "Ctrl-C"])
def test_signal_ends_the_listener_cleanly(tmp_path, number):
    pytest.importorskip("pynetdicom")
    child = subprocess.Popen(
        [sys.executable, "-c", CHILD, str(free_port()), str(tmp_path / "queue")], stderr=subprocess.PIPE, text=True
    )
    try:
        assert "LESION is listening on 127.0.0.1" in child.stderr.readline()
        child.send_signal(number)
        assert child.wait(120) == 0
        assert "stopped" in child.stderr.read()
    finally:
        child.kill()
        child.wait()
        child.stderr.close()
