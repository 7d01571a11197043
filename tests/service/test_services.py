"""The whole service: from a scanner to an archive that commits itself, reloads, signals, Orthanc."""

from __future__ import annotations

import json
import logging
import re
import urllib.error
import urllib.request

import pydicom
import pytest

pytest.importorskip("prometheus_client", reason="the service needs prometheus-client")
pytest.importorskip("highdicom", reason="the writers need highdicom")

from monai_lesion.errors import InputError
from monai_lesion.service.registers import DONE
from tests.pacs import bright_segmenter, names_nobody, planted
from tests.pacs.orthanc import free_port, needs_orthanc, running_orthanc
from tests.pacs.raw_peers import connect, request
from tests.pacs.test_listeners import associate, send
from tests.service import CommittingArchive, configured, idle, serving, until


def ready(service):
    return until(service.opening.done)


def asked(port, path):
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=60) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def test_an_image_goes_through_and_is_forgotten_when_the_archive_reports(tmp_path, caplog):
    caplog.set_level(logging.INFO)
    port, http = free_port(), free_port()
    archive = CommittingArchive(back=port)
    with archive.running() as at:
        more = f'[http]\nport = {http}\n[audit]\nfile = "audit.xml"\n'
        configuration = configured(tmp_path, port, at, rule="required", more=more)
        with serving(configuration) as service:
            assert ready(service)
            assert send(port, planted(tmp_path / "in", 1), planted(tmp_path / "in", 2)) == [0, 0]
            assert until(lambda: len(archive.stored) == 6 and idle(service))
            assert set(archive.answers) == {0}
            assert until(lambda: asked(http, "/health/ready")[0] == 200)
            assert asked(http, "/health/live")[0] == 200
            page = asked(http, "/metrics")[1]
            for line in ('received_total{sender="SCANNER"} 2.0', 'committed_total{destination="archive"} 6.0'):
                assert f"monai_lesion_{line}" in page
            service.write_audit()
    assert len(set(archive.stored)) == 6
    assert "warm.dcm" not in caplog.text  # nothing is said of the picture that the models begin with
    traces = {}
    for each in caplog.records:
        if getattr(each, "event", "") in ("received", "segmented", "sent", "committed"):
            traces.setdefault(each.__dict__.get("trace") or "", []).append(each.event)
    whole = [events for events in traces.values() if {"received", "sent", "committed"} <= set(events)]
    assert len(whole) == 2  # one trace an image, from receipt to commitment
    audit = (tmp_path / "audit.xml").read_text()
    assert audit.count("110104") == 1
    assert audit.count("110120") == audit.count("110121") == 1
    names = " ".join(path.name for path in tmp_path.rglob("*"))
    assert names_nobody(caplog.text + audit + names + page)


@pytest.mark.slow
def test_only_the_archive_may_report_and_it_may_not_send_images(tmp_path):
    port = free_port()
    archive = CommittingArchive(back=port, reports="never")
    with archive.running() as at, serving(configured(tmp_path, port, at, rule="required", wait=0.01)) as service:
        assert ready(service)
        association = associate(port, title="ARCHIVE")
        assert association.is_established
        status = association.send_c_store(pydicom.dcmread(planted(tmp_path / "in", 1))).get("Status")
        association.release()
        assert status == 0x0124
        assert send(port, planted(tmp_path / "in", 1)) == [0]
        assert until(lambda: archive.asked)
        from pydicom import Dataset

        question = Dataset()
        question.TransactionUID = "1.2.3.4"
        item = Dataset()
        item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = "1.2", archive.stored[0]
        question.ReferencedSOPSequence = [item]
        archive.report(question)
        archive.report(question, title="STRANGER")
        assert archive.answers == [0x0115, -1]
        assert service.store.register.state(archive.stored[0], "archive") != DONE


@pytest.mark.slow
def test_a_peer_that_is_silent_and_ten_others_at_once(tmp_path):
    import threading

    port = free_port()
    archive = CommittingArchive()
    with archive.running() as at, serving(configured(tmp_path, port, at)) as service:
        assert ready(service)
        open_one = associate(port)
        kept = pydicom.dcmread(planted(tmp_path / "in", 11))
        assert open_one.send_c_store(kept).get("Status") == 0
        silent = connect(port, request())
        files = [planted(tmp_path / "in", number) for number in range(1, 11)]
        codes = []
        threads = [threading.Thread(target=lambda file=file: codes.extend(send(port, file))) for file in files]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(120)
        assert codes == [0] * 10
        assert until(lambda: len(archive.stored) == 33 and idle(service))  # those of the open one are not waited for
        assert open_one.is_established
        open_one.release()
        silent.close()
    assert len(set(archive.stored)) == 33


def enlarged(file, times):
    dataset = pydicom.dcmread(file)
    pixels = dataset.pixel_array.repeat(times, axis=0).repeat(times, axis=1)
    dataset.Rows, dataset.Columns = pixels.shape[:2]
    dataset.PixelData = pixels.tobytes()
    return dataset


@pytest.mark.slow
def test_an_abort_amid_a_large_object_leaves_nothing_of_it_and_keeps_nobody_waiting(tmp_path, caplog):
    from pynetdicom import evt

    caplog.set_level(logging.INFO, "monai_lesion")
    port, archive = free_port(), CommittingArchive()
    large, small = enlarged(planted(tmp_path / "in", 1), 40), planted(tmp_path / "in", 2)
    pieces, others = [], []

    def amid(event):
        if type(event.pdu).__name__ == "P_DATA_TF":
            pieces.append(1)
            if len(pieces) == 200:
                others.extend(send(port, small))
                event.assoc.dul.socket.socket.sendall(bytes([0x07, 0, 0, 0, 0, 4, 0, 0, 0, 0]))  # A-ABORT, by the user
                event.assoc.dul.socket.socket.shutdown(2)

    with archive.running() as at, serving(configured(tmp_path, port, at)) as service:
        assert ready(service)
        association = associate(port)
        association.bind(evt.EVT_PDU_SENT, amid)
        assert len(large.PixelData) > 500 * 16384  # of a PDU: most of it is still to come
        assert "Status" not in association.send_c_store(large)
        assert others == [0]
        assert until(lambda: len(archive.stored) == 3 and idle(service))
        assert until(lambda: "SCANNER@127.0.0.1: 0 images received" in caplog.text)
        left = [file for file in service.store.folder.rglob("*") if file.is_file() and file.stat().st_size > 1 << 20]
        assert left == []
        association = associate(port)
        assert association.send_c_store(large).get("Status") == 0
        association.release()
        assert until(lambda: len(archive.stored) == 6 and idle(service))
    assert len(set(archive.stored)) == 6


@pytest.mark.slow
def test_a_reload_changes_routes_and_keeps_the_old_for_a_bad_one(tmp_path):
    port, first, second = free_port(), CommittingArchive(), CommittingArchive()
    opened = []

    def open_all(configuration, known):
        opened.append(known)
        if "broken" in configuration.models:
            raise InputError("models.broken", "must be a model folder")
        return {name: known.get(part) or bright_segmenter() for name, part in configuration.models.items()}

    with first.running() as one, second.running() as two:
        configuration = configured(tmp_path / "a", port, one)
        queue = configuration.queue.model_copy(update={"folder": tmp_path / "queue"})
        configuration = configuration.model_copy(update={"queue": queue})
        with serving(configuration, open_all=open_all) as service:
            assert ready(service)
            assert send(port, planted(tmp_path / "in", 1)) == [0]
            assert until(lambda: len(first.stored) == 3 and idle(service))
            other = configured(tmp_path / "b", port, two).model_copy(update={"queue": queue})
            broken = other.model_copy(update={"models": {**other.models, "broken": other.models["breast"]}})
            with pytest.raises(InputError, match=r"models\.broken"):
                service.reload(broken)
            assert service.configuration == configuration
            peers = [other.peers[0].model_copy(update={"title": "NEW"})]
            service.reload(other.model_copy(update={"peers": peers}))
            assert next(iter(opened[-1].values())) is not None  # the model stays open
            assert not associate(port).is_established
            association = associate(port, title="NEW")
            assert association.send_c_store(pydicom.dcmread(planted(tmp_path / "in", 2))).get("Status") == 0
            association.release()
            assert until(lambda: len(second.stored) == 3 and idle(service))
            assert len(first.stored) == 3


def test_ready_says_what_is_missing(tmp_path, monkeypatch):
    import threading

    let = threading.Event()

    def slow(configuration, known):
        let.wait(60)
        return {"breast": bright_segmenter()}

    with serving(configured(tmp_path, free_port(), 9), open_all=slow) as service:
        assert service.ready()["models"] == "being opened"
        assert service.live()
        let.set()
        assert ready(service)
        assert until(lambda: "must answer a C-ECHO" in service.ready()["archive archive"])
        assert service.ready()["queue"] == "ok"
        import shutil

        monkeypatch.setattr(shutil, "disk_usage", lambda _: (0, 0, 0))
        monkeypatch.setattr(shutil, "disk_usage", lambda _: type("Usage", (), {"free": 0})())
        assert service.ready()["queue"] == "the disk is full"


def test_models_that_do_not_open_end_the_service(tmp_path):
    failed = []

    def refuse(configuration, known):
        raise InputError("models.breast", "must be a model folder")

    options = {"open_all": refuse, "failed": lambda: failed.append(1)}
    with serving(configured(tmp_path, free_port(), 9), **options) as service:
        assert until(lambda: failed)
        assert service.ready()["models"] == "could not be opened"
        assert isinstance(service.opening.exception(), InputError)


def test_a_taken_port_lets_go_of_the_queue(tmp_path):
    port = free_port()
    with (
        serving(configured(tmp_path / "a", port, 9)),
        pytest.raises(InputError, match="port: must be free"),
        serving(configured(tmp_path / "b", port, 9)),
    ):
        pass
    with serving(configured(tmp_path / "b", free_port(), 9)):
        pass


@needs_orthanc
@pytest.mark.slow
def test_orthanc_commits_itself_on_a_connection_of_its_own(tmp_path, caplog):
    caplog.set_level(logging.INFO, "monai_lesion")
    port = free_port()
    with running_orthanc(tmp_path / "orthanc", modalities={"LESION": port}) as orthanc:
        names = orthanc.put(*(planted(tmp_path / "in", number, StudyInstanceUID="1.2.3.7") for number in (71, 72)))
        before = set(orthanc.held())
        both = {"peers": ["ORTHANC"], "title": "ORTHANC"}
        with serving(configured(tmp_path, port, orthanc.dicom, rule="required", wait=0.1, **both)) as service:
            assert ready(service)
            for _ in range(2):
                orthanc.ask("/modalities/LESION/store", names)
                assert until(lambda: len(set(orthanc.held()) - before) == 6 and idle(service), 300)
        new = set(orthanc.held()) - before
        assert len(new) == 6
        committed = [each for each in caplog.records if getattr(each, "event", "") == "committed"]
        assert {each.uid for each in committed} == new
    assert names_nobody(caplog.text)


@needs_orthanc
@pytest.mark.slow
def test_a_cine_of_200_frames_goes_from_orthanc_to_orthanc_frame_by_frame_while_others_are_received(tmp_path):
    port, cine = free_port(), {"SOPClassUID": "1.2.840.10008.5.1.4.1.1.3.1", "NumberOfFrames": 200}
    with running_orthanc(tmp_path / "orthanc", modalities={"LESION": port}) as orthanc:
        names = orthanc.put(planted(tmp_path / "in", 1, **cine))
        (image,) = orthanc.held()
        both = {"peers": ["SCANNER", "ORTHANC"], "title": "ORTHANC"}
        with serving(configured(tmp_path, port, orthanc.dicom, rule="required", wait=0.1, **both)) as service:
            assert ready(service)
            orthanc.ask("/modalities/LESION/store", names)
            assert until(lambda: len(orthanc.ask("/instances").json()) > 1)
            begun = service.store.waiting_images()
            assert send(port, planted(tmp_path / "in", 2)) == [0]
            assert len(begun) == 1
            assert len(orthanc.ask("/instances").json()) < 600  # the cine is not done
            assert until(lambda: len(orthanc.ask("/instances").json()) == 604 and idle(service), 900)
        frames = {"SEG": [], "SR": [], "OT": []}
        for name in orthanc.ask("/instances").json():
            tags = orthanc.ask(f"/instances/{name}/tags?short").json()
            if tags["0008,0060"] in frames and f'"{image}"' in (told := json.dumps(tags)):
                frames[tags["0008,0060"]].append(set(re.findall(r'"0008,1160": "(\d+)"', told)))
        expected = [{str(number)} for number in range(1, 201)]
        assert all(sorted(found, key=lambda each: int(min(each))) == expected for found in frames.values())


@pytest.mark.slow
def test_a_full_disk_refuses_images_with_a700_and_loses_none(tmp_path):
    port, archive = free_port(), CommittingArchive()
    with archive.running() as at:
        configuration = configured(tmp_path, port, at)
        full = configuration.queue.model_copy(update={"least_free_mb": 1 << 40})
        with serving(configuration.model_copy(update={"queue": full})) as service:
            assert send(port, planted(tmp_path / "in", 1)) == [0xA700]
            assert service.ready()["queue"] == "the disk is full"
            assert service.store.waiting_images() == []
        with serving(configuration) as service:
            assert send(port, planted(tmp_path / "in", 1)) == [0]
            assert until(lambda: len(archive.stored) == 3 and idle(service))


STARTING = """
import sys
from monai_lesion.pacs.workers import Worker
from monai_lesion.service.configurations import read_configuration
from monai_lesion.service.services import Service

start, loaded = Worker.start, []

def noting(worker):
    loaded.append("pynetdicom" in sys.modules and "pydicom" in sys.modules)
    start(worker)

Worker.start = noting
Service(read_configuration(sys.argv[1]), open_all=lambda *_: {}).stop()
print(len(loaded), all(loaded))
"""


@pytest.mark.slow
def test_no_thread_starts_before_what_two_would_import_at_once(tmp_path):
    """Found by killing it: two threads that import pydicom at once see each other's halves, and the start failed."""
    import subprocess
    import sys

    configured(tmp_path, free_port(), 9)
    line = [sys.executable, "-c", STARTING, str(tmp_path / "service.toml")]
    done = subprocess.run(line, capture_output=True, text=True, timeout=300)
    assert done.stdout.split() == ["3", "True"], done.stderr[-2000:]
