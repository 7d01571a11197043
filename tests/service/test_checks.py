"""`serve --check`: each part is tried, and one fault does not stop the next."""

from __future__ import annotations

import socket

import pytest

pytest.importorskip("pydantic", reason="the service needs pydantic")
pytest.importorskip("pynetdicom", reason="DIMSE needs pynetdicom")
from pynetdicom import AE
from pynetdicom.sop_class import Verification

from monai_lesion.pacs.queues import locked
from monai_lesion.service import checks
from monai_lesion.service.configurations import read_configuration
from tests.pacs import FakeArchive
from tests.pacs.orthanc import free_port
from tests.service import SMALLEST


@pytest.fixture
def answering():
    entity = AE("ARCHIVE")
    entity.add_supported_context(Verification)
    entity.require_called_aet = True
    server = entity.start_server(("127.0.0.1", 0), block=False)
    yield server.server_address[1]
    server.shutdown()


def findings(tmp_path, monkeypatch, text):
    monkeypatch.setattr(checks, "open_model", lambda part: part.folder)
    (tmp_path / "service.toml").write_text(text)
    return {each.key: each for each in checks.check(read_configuration(tmp_path / "service.toml"))}


def test_all_is_well_when_peers_answer(tmp_path, monkeypatch, answering):
    archive = FakeArchive(lambda *_: (200, "application/dicom+json", b"[]"))
    with archive.running():
        text = SMALLEST.replace("port = 9", f"port = {answering}").replace("port = 11112", f"port = {free_port()}")
        text += f'[destinations.web]\nkind = "stow"\nurl = "{archive.url}"\n[pollers.new]\nurl = "{archive.url}"\n'
        found = findings(tmp_path, monkeypatch, text)
    assert [each.fault for each in found.values() if each.fault] == []
    assert found["queue.folder"].text == f"{tmp_path / 'queue'} can be made"
    assert not (tmp_path / "queue").exists()  # whoever checks need not be whoever runs it
    assert set(found) == {
        "queue.folder",
        "listener.port",
        "models.breast",
        "destinations.archive",
        "destinations.web",
        "pollers.new",
    }
    assert archive.asked == ["GET studies?limit=1"] * 2


def test_each_fault_is_found(tmp_path, monkeypatch, answering):
    (tmp_path / "queue").write_text("a file")
    (tmp_path / "token").write_text("a secret of enough letters")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        text = SMALLEST.replace("port = 11112", f'port = {taken.getsockname()[1]}\nhost = "127.0.0.1"')
        text = text.replace('title = "ARCHIVE"', 'title = "OTHER"').replace("port = 9", f"port = {answering}")
        text += f'[http]\nport = {free_port()}\ntoken_file = "token"\n[pollers.new]\nurl = "http://127.0.0.1:9/x"\n'
        found = findings(tmp_path, monkeypatch, text)
    assert "must be a folder that can be written" in found["queue.folder"].fault
    assert "must be free" in found["listener.port"].fault
    assert "must be readable by its owner alone" in found["http.token_file"].fault
    assert "must answer a C-ECHO" in found["destinations.archive"].fault
    assert "must be reachable" in found["pollers.new"].fault
    assert str(found["http.port"]).startswith("ok")


def test_a_running_service_is_no_fault(tmp_path, monkeypatch, answering):
    lock = locked(tmp_path / "queue")
    try:
        found = findings(tmp_path, monkeypatch, SMALLEST.replace("port = 9", f"port = {answering}"))
    finally:
        lock.release()
    assert "in use by a running service" in found["queue.folder"].text
    assert "not tried" in found["listener.port"].text
