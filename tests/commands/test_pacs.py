"""The commands, as cli.py will have them; the archive is a stub."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from contextlib import contextmanager

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
    pytest.importorskip("requests")
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
        "sys.exit(any(name in sys.modules for name in ('torch', 'pydicom', 'pynetdicom', 'requests', 'numpy')))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


CHILD = """
import sys, time, typer
from monai_lesion.commands import pacs as commands
from monai_lesion.errors import InputError

def stuck(*_, **__):
    time.sleep(600)

def refusing(*_, **__):
    raise InputError("bundle", "must be there")

opening = {"open": lambda *_, **__: None, "stuck": lambda *_, **__: stuck, "opening": stuck, "refused": refusing}
commands.open_segmenter = opening[sys.argv[3]]
app = typer.Typer()
app.command()(lambda: None)
commands.register(app)
app(["listen", "--aet", "LESION", "--port", sys.argv[1], "--from", "SCANNER", "--to", "ARCHIVE@127.0.0.1:9",
     "--host", "127.0.0.1", "--queue", sys.argv[2], *sys.argv[4:]])
"""


@contextmanager
def listening(folder, network="open", *options):
    pytest.importorskip("pynetdicom")
    port = free_port()
    line = [sys.executable, "-c", CHILD, str(port), str(folder / "queue"), network, *options]
    child = subprocess.Popen(line, stderr=subprocess.PIPE, text=True)
    try:
        assert "INFO LESION is listening on 127.0.0.1" in child.stderr.readline()
        yield child, port
    finally:
        child.kill()
        child.wait()
        child.stderr.close()


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="POSIX signals")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=["SIGTERM", "Ctrl-C"])
def test_signal_ends_the_listener_cleanly(tmp_path, number):
    with listening(tmp_path) as (child, _):
        child.send_signal(number)
        assert child.wait(120) == 0
        assert "stopped" in child.stderr.read()


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="POSIX signals")
@pytest.mark.parametrize("network", ["stuck", "opening"])
def test_signal_ends_a_listener_in_ten_seconds_whatever_it_waits_for(tmp_path, network):
    """For a network that does not come to an end, or is not open yet, and for nine peers that stall in mid-message."""
    from tests.pacs import planted
    from tests.pacs.raw_peers import answer, connect, pdu, request
    from tests.pacs.test_receivers import associated, stored

    with listening(tmp_path, network, "--limit", "settle=0.1") as (child, port):
        association = associated(port)
        assert stored(association, planted(tmp_path)) == 0
        stalled = [connect(port, request()) for _ in range(9)]
        for each in stalled:
            answer(each)
            each.sendall(pdu(0x04, b"half", 5000))
        start = time.monotonic()
        child.send_signal(signal.SIGTERM)
        assert child.wait(60) == 0
        assert time.monotonic() - start < 10
        for each in stalled:
            each.close()
    assert len(list((tmp_path / "queue").glob("waiting/*/*.dcm"))) == 1


@pytest.mark.slow
def test_network_that_cannot_be_opened_ends_the_listener_with_its_reason(tmp_path):
    with listening(tmp_path, "refused", "--log-file", str(tmp_path / "listen.log")) as (child, _):
        assert child.wait(60) != 0
        assert "bundle: must be there" in child.stderr.read()
    assert "LESION is listening on" in (tmp_path / "listen.log").read_text()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--limit", "noise=3"], "--limit: must be NAME=NUMBER"),
        (["--log-level", "loud"], "--log-level: must be one of"),
    ],
    ids=["limit", "level"],
)
def test_unknown_limit_and_level_are_refused(app, tmp_path, options, message):
    needed = ["--aet", "LESION", "--port", "9", "--from", "SCANNER", "--to", "ARCHIVE@127.0.0.1:9"]
    result = CliRunner().invoke(app, ["listen", *needed, "--queue", str(tmp_path), *options])
    assert message in str(result.exception)
