"""The command `serve`: its example, its check, and a real process."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time

import pytest
import typer
from typer.testing import CliRunner

pytest.importorskip("pydantic", reason="the service needs pydantic")

from monai_lesion.commands import serve as commands
from monai_lesion.errors import InputError
from monai_lesion.service import checks
from monai_lesion.service.configurations import read_configuration
from tests.pacs.orthanc import free_port
from tests.service import SMALLEST, configured


@pytest.fixture
def app():
    application = typer.Typer()
    application.command()(lambda: None)
    commands.register(application)
    return application


def test_the_example_that_is_printed_is_valid(app, tmp_path):
    result = CliRunner().invoke(app, ["serve", "--example"])
    (tmp_path / "service.toml").write_text(result.output)
    assert read_configuration(tmp_path / "service.toml").listener.title == "LESION"


def test_check_prints_each_finding_and_fails_for_a_fault(app, tmp_path, monkeypatch):
    file = tmp_path / "service.toml"
    file.write_text(SMALLEST)
    good, bad = checks.Finding("queue.folder", "can be written"), checks.Finding("models.breast", "", "is damaged")
    monkeypatch.setattr(checks, "check", lambda _: iter([good]))
    assert CliRunner().invoke(app, ["serve", "--config", str(file), "--check"]).exit_code == 0
    monkeypatch.setattr(checks, "check", lambda _: iter([good, bad]))
    result = CliRunner().invoke(app, ["serve", "--config", str(file), "--check"])
    assert result.output.splitlines()[:2] == ["ok     queue.folder: can be written", "wrong  models.breast: is damaged"]
    assert "1 of its parts cannot be used" in str(result.exception)


def test_a_bad_file_is_told_before_anything_starts(app, tmp_path):
    file = tmp_path / "service.toml"
    file.write_text(SMALLEST.replace("port = 9", 'port = "9"'))
    result = CliRunner().invoke(app, ["serve", "--config", str(file)])
    assert "destinations.archive.port: must be a valid integer" in str(result.exception)
    result = CliRunner().invoke(app, ["serve"])
    assert isinstance(result.exception, InputError)


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="POSIX signals")
def test_a_real_process_reloads_keeps_its_configuration_for_a_bad_one_and_ends_in_ten_seconds(tmp_path):
    from tests.pacs import planted
    from tests.pacs.test_listeners import send

    port, file = free_port(), tmp_path / "service.toml"
    configured(tmp_path, port, 9)
    line = [sys.executable, "-m", "monai_lesion", "serve", "--config", str(file)]
    child = subprocess.Popen(line, stderr=subprocess.PIPE, text=True)

    def until(event, text=""):
        for written in child.stderr:
            said = json.loads(written)
            if said.get("event") == event and text in said["message"]:
                return said
        return pytest.fail(f"no {event}")

    try:
        until("ready")
        good = file.read_text()
        file.write_text(good.replace('title = "SCANNER"', 'titel = "SCANNER"'))
        child.send_signal(signal.SIGHUP)
        said = until("reload", "the configuration stays as it was")
        assert "peers[0].titel: is not a key. Did you mean title?" in said["message"]
        assert send(port, planted(tmp_path / "in", 1)) == [0]  # by the old one
        file.write_text(good.replace('title = "SCANNER"', 'title = "OTHER"'))
        child.send_signal(signal.SIGHUP)
        until("reload", "was read anew")
        start = time.monotonic()
        child.send_signal(signal.SIGTERM)
        until("stopped")
        assert child.wait(60) == 0
        assert time.monotonic() - start < 10
    finally:
        child.kill()
        child.wait()
        child.stderr.close()
    # Whether it was segmented already or not: the image or its three results are on the disk.
    images, results = (len(list((tmp_path / "queue").glob(each))) for each in ("waiting/*/*.dcm", "to/*/*/*.dcm"))
    assert (images, results) in ((1, 0), (0, 3), (1, 3))


@pytest.mark.slow
def test_a_process_whose_model_is_missing_ends_with_the_reason(tmp_path):
    configured(tmp_path, free_port(), 9)
    file = tmp_path / "service.toml"
    file.write_text(file.read_text().replace('folder = "pocket"', 'folder = "nowhere"'))
    line = [sys.executable, "-m", "monai_lesion", "serve", "--config", str(file)]
    done = subprocess.run(line, capture_output=True, text=True, timeout=300)
    assert done.returncode == 1
    assert "error: nowhere: must be a model folder with model.json" in done.stderr


def test_migrate_brings_a_queue_over_and_destination_needs_it(app, tmp_path):
    from monai_lesion.pacs.queues import Queue

    configured(tmp_path, 1, 9)
    Queue(tmp_path / "old").release()
    line = ["serve", "--config", str(tmp_path / "service.toml")]
    result = CliRunner().invoke(app, [*line, "--migrate", str(tmp_path / "old")])
    assert result.output.endswith("0 results are known to be sent, 0 files were set aside\n")
    result = CliRunner().invoke(app, [*line, "--destination", "archive"])
    assert "--destination: must come with --migrate" in str(result.exception)
