"""Senders: when a result is forgotten, by each rule, with archives that answer in each way."""

from __future__ import annotations

import logging

import pytest

pytest.importorskip("pydantic", reason="the service needs pydantic")
pytest.importorskip("pynetdicom", reason="DIMSE needs pynetdicom")
from pydicom import Dataset

from monai_lesion.pacs.archives import Archive
from monai_lesion.pacs.workers import Worker
from monai_lesion.service.configurations import CommitmentPart, DimsePart, StowPart
from monai_lesion.service.registers import DONE, DROPPED, FAILED, KEPT, STORED, WAITING
from monai_lesion.service.senders import DimseSender, StowSender
from monai_lesion.service.stores import Store, record_of
from tests.pacs import FakeArchive, planted
from tests.pacs.test_listeners import Copy
from tests.service import CommittingArchive

DAY = 86400.0


class Clock:
    now = 1_000_000_000.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def store(tmp_path, clock):
    found = Store(tmp_path / "queue", clock=clock)
    yield found
    found.release()


def offered(store, name="archive", numbers=(1,)):
    """Results in the box of a destination."""
    uids = []
    for number in numbers:
        (file,) = Copy(planted(store.folder / "made", number)).save(
            store.folder / "made", (), name=f"r{number}", seg_type="", seg_geometry=""
        )
        record = record_of(file, name)
        store.box(name).enter(record, file)
        uids.append(record.uid)
    return uids


def dimse(store, clock, port, rule="required", **commitment):
    part = DimsePart(
        kind="dimse",
        title="ARCHIVE",
        host="127.0.0.1",
        port=port,
        commitment=CommitmentPart(rule=rule, **{"wait": 20.0, **commitment}),
    )
    sender = DimseSender(part, store.box("archive"), "LESION", clock)
    sender.box.commits = sender.commits
    return sender


def states(store, uids, name="archive"):
    return [store.register.state(uid, name) for uid in uids]


def test_without_commitment_a_stored_result_is_forgotten(store, clock):
    archive, uids = CommittingArchive(), offered(store)
    with archive.running() as port:
        assert dimse(store, clock, port, "none").work() == 0
    assert states(store, uids) == [DONE]
    assert archive.asked == []


def test_a_report_on_the_same_association_forgets_it(store, clock):
    archive, uids = CommittingArchive(reports="same"), offered(store, numbers=(1, 2))
    with archive.running() as port:
        assert dimse(store, clock, port).work() == 0
    assert states(store, uids) == [DONE, DONE]
    assert (len(archive.asked), archive.answers) == (1, [0])
    assert not list(store.folder.glob("to/*/*/*.dcm"))


def test_the_status_of_the_question_alone_commits_nothing(store, clock):
    archive, uids = CommittingArchive(reports="never"), offered(store)
    with archive.running() as port:
        sender = dimse(store, clock, port, wait=0.05)
        assert sender.work() == 1
        assert sender.work() == 1  # not yet time to ask again
    assert states(store, uids) == [STORED]
    assert len(archive.asked) == 1
    assert archive.stored == uids


def test_a_report_that_never_comes_is_asked_for_again_then_kept_then_dropped_and_said(store, clock, caplog):
    caplog.set_level(logging.INFO)
    archive, uids = CommittingArchive(reports="never"), offered(store)
    with archive.running() as port:
        sender = dimse(store, clock, port, wait=0.01, again=600.0, requests=2, keep_days=30.0)
        for _ in range(2):
            sender.work()
            clock.now += 600
        assert len(archive.asked) == 2
        assert sender.work() == 0
        assert states(store, uids) == [KEPT]
        assert "no report came for 1 results after 2 requests; they are kept for 30 days" in caplog.text
        assert [path.parent.name for path in store.folder.glob("to/*/*/*.dcm")] == ["kept"]
        clock.now += 30 * DAY
        sender.work()
    assert states(store, uids) == [DROPPED]
    assert "no report came for it in 30 days; it is forgotten" in caplog.text
    assert archive.stored == uids


def test_a_late_report_still_counts(store, clock):
    archive, uids = CommittingArchive(reports="never"), offered(store)
    with archive.running() as port:
        sender = dimse(store, clock, port, wait=0.01, again=1.0, requests=1)
        sender.work()
        clock.now += 2
        sender.work()
    assert states(store, uids) == [KEPT]
    assert sender.reported(report(archive.asked[0], uids))
    assert states(store, uids) == [DONE]


def report(transaction, uids, failed=()):
    found = Dataset()
    found.TransactionUID = transaction

    def item(uid, **more):
        each = Dataset()
        each.ReferencedSOPClassUID, each.ReferencedSOPInstanceUID = "1.2.840.10008.5.1.4.1.1.7", uid
        for name, value in more.items():
            setattr(each, name, value)
        return each

    found.ReferencedSOPSequence = [item(uid) for uid in uids]
    found.FailedSOPSequence = [item(uid, FailureReason=0x0112) for uid in failed]
    return found


def test_a_report_about_a_transaction_that_is_not_ours_changes_nothing(store, clock):
    archive, uids = CommittingArchive(reports="never"), offered(store)
    with archive.running() as port:
        sender = dimse(store, clock, port, wait=0.01)
        sender.work()
    assert not sender.reported(report("1.2.3", uids))
    assert not sender.reported(Dataset())
    assert states(store, uids) == [STORED]


def test_what_the_archive_does_not_keep_is_sent_anew(store, clock):
    archive = CommittingArchive(reports="same", keeps=lambda uid: len(archive.asked) > 1)
    uids = offered(store)
    with archive.running() as port:
        sender = dimse(store, clock, port)
        sender.work()
        assert states(store, uids) == [WAITING]
        archive.stored.clear()  # it has lost it
        assert sender.work() == 0
    assert states(store, uids) == [DONE]
    assert archive.stored == uids


@pytest.mark.parametrize(("rule", "state"), [("if-offered", DONE), ("required", STORED)])
def test_an_archive_that_does_not_know_commitment(store, clock, rule, state, caplog):
    archive, uids = CommittingArchive(reports="unknown"), offered(store)
    with archive.running() as port:
        dimse(store, clock, port, rule).work()
    assert states(store, uids) == [state]
    assert ("which is required" in caplog.text) is (rule == "required")


def test_an_archive_that_is_away_gets_the_oldest_first_when_it_is_back(store, clock):
    uids = offered(store, numbers=(3, 1, 2))
    assert dimse(store, clock, 9).work() == 3
    assert states(store, uids) == [WAITING] * 3
    archive = CommittingArchive()
    with archive.running() as port:
        assert dimse(store, clock, port, "none").work() == 0
    assert archive.stored == uids


class Stow:
    """A DICOMweb archive that stores and lists."""

    def __init__(self, status=200, lists=True):
        self.status, self.lists, self.stored = status, lists, []

    def __call__(self, method, path, query, body):
        if method == "POST":
            if self.status == 200:
                uid = body.split(b"1.2.826.0.1.3680043.8.498.")[1].split(b"\0")[0].decode("ascii", "replace")
                self.stored.append(uid)
                return 200, "application/dicom+json", b"{}"
            return self.status, "application/dicom+json", b"{}"
        if path.endswith("instances") and self.lists and self.stored:
            uid = query.split("SOPInstanceUID=")[1].split("&")[0]
            return 200, "application/dicom+json", f'[{{"00080018": {{"Value": ["{uid}"]}}}}]'.encode()
        return 200, "application/dicom+json", b"[]"


def stow(store, clock, archive, commitment="listed"):
    part = StowPart(kind="stow", url=archive.url, commitment=commitment, pause=1.0)
    client = Archive(archive.url, retries=0)
    sender = StowSender(part, store.box("archive"), "LESION", clock, client)
    sender.box.commits = sender.commits
    return sender


@pytest.mark.parametrize("commitment", ["listed", "none"])
def test_stow_forgets_a_result_by_its_rule(store, clock, commitment):
    uids, answers = offered(store), Stow()
    archive = FakeArchive(answers)
    with archive.running():
        assert stow(store, clock, archive, commitment).work() == 0
    assert states(store, uids) == [DONE]
    assert len(answers.stored) == 1


def test_stow_sends_anew_what_is_not_listed(store, clock, monkeypatch):
    uids, answers = offered(store), Stow()
    archive = FakeArchive(answers)
    with archive.running():
        sender = stow(store, clock, archive)
        monkeypatch.setattr(sender, "_lists", lambda row: False)
        assert sender.work() == 1
        assert states(store, uids) == [STORED]
        clock.now += 11
        sender.work()
    assert states(store, uids) == [WAITING]


def test_stow_waits_for_an_archive_that_is_away(store, clock):
    uids = offered(store)
    archive = FakeArchive(Stow())
    archive.url = "http://127.0.0.1:9/dicom-web"
    sender = stow(store, clock, archive)
    assert sender.work() == 1
    assert states(store, uids) != [FAILED]
    assert "must be reachable" in sender.ask()


def test_a_destination_says_whether_it_answers(store, clock):
    with CommittingArchive().running() as port:
        assert dimse(store, clock, port).ask() == ""
    assert "must answer a C-ECHO" in dimse(store, clock, 9).ask()


class SimulatedWait:
    """What a worker waits on: each wait takes no time but that of the clock."""

    def __init__(self, clock, until, then):
        self.clock, self.until, self.then, self.pauses = clock, until, then, []

    def clear(self):
        pass

    def wait(self, pause):
        if pause is None:  # nothing is left
            self.then()
            return True
        self.pauses.append(pause)
        self.clock.now += pause
        return False


@pytest.mark.slow
def test_an_archive_that_is_away_for_an_hour(store, clock, monkeypatch):
    """The queue grows on the disk alone, the pauses are bounded, and the oldest result goes first afterwards."""
    archive, uids, begun = CommittingArchive(), offered(store, numbers=(900,)), clock.now
    sender = dimse(store, clock, 9, "none")
    running = []

    def work():
        if clock.now - begun < 3600:
            uids.extend(offered(store, numbers=(900 - len(uids),)))  # identifiers fall, so order is not by name
        elif not running:
            running.append(archive.running())
            sender.part = sender.part.model_copy(update={"port": running[0].__enter__()})
        return sender.work()

    worker = Worker("sending", work, 5.0)
    worker._wake = wait = SimulatedWait(clock, begun + 3600, worker._stop.set)
    try:
        worker._run()
    finally:
        running[0].__exit__(None, None, None)
    assert max(wait.pauses) == 300
    assert wait.pauses[:4] == [5, 10, 20, 40]
    assert 12 < len(wait.pauses) < 25
    assert archive.stored == uids
    assert states(store, uids) == [DONE] * len(uids)
