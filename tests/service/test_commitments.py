"""Reports of storage commitment, read; the conversation itself is held in test_senders.py and test_services.py."""

from __future__ import annotations

import pytest

pytest.importorskip("pydantic", reason="the service needs pydantic")
pytest.importorskip("pynetdicom", reason="DIMSE needs pynetdicom")
from pydicom import Dataset

from monai_lesion.pacs.dimse import Peer
from monai_lesion.service.commitments import NotOfferedError, UnansweredError, read_report, request_commitment
from tests.service import CommittingArchive


def item(uid, reason=None):
    found = Dataset()
    found.ReferencedSOPInstanceUID = uid
    if reason is not None:
        found.FailureReason = reason
    return found


def test_a_result_that_is_in_both_lists_is_not_committed():
    report = Dataset()
    report.TransactionUID = "9.1"
    report.ReferencedSOPSequence = [item("1.1"), item("1.2")]
    report.FailedSOPSequence = [item("1.2", 0x0112), item("1.3")]
    found = read_report(report)
    assert (found.transaction, found.committed, found.failed) == ("9.1", ("1.1",), {"1.2": 0x0112, "1.3": 0})


def test_a_report_without_a_transaction_is_none():
    with pytest.raises(ValueError, match="no transaction"):
        read_report(Dataset())


def ask(port, **options):
    found = []
    settings = {"reported": lambda report: not found.append(report), "wait": 20.0, "enough": lambda: bool(found)}
    request_commitment("LESION", Peer("ARCHIVE", "127.0.0.1", port), "9.1", {"1.1": "1.2.3"}, **{**settings, **options})
    return found


def test_an_archive_reports_on_the_association_that_it_was_asked_on():
    with CommittingArchive(reports="same").running() as port:
        (report,) = ask(port)
    assert read_report(report).committed == ("1.1",)


def test_a_report_that_is_not_ours_is_answered_with_an_error():
    archive = CommittingArchive(reports="same")
    with archive.running() as port:
        ask(port, reported=lambda _: False, enough=lambda: bool(archive.answers))
    assert archive.answers == [0x0115]


def test_archives_that_do_not_know_it_or_do_not_answer_are_told_apart():
    with CommittingArchive(reports="unknown").running() as port, pytest.raises(NotOfferedError):
        ask(port)
    with pytest.raises(UnansweredError, match="no association"):
        ask(9)
    archive = CommittingArchive(reports="same")
    archive.act = lambda event: (0x0110, None)
    with archive.running() as port, pytest.raises(UnansweredError, match="refused, 0x0110"):
        ask(port)
