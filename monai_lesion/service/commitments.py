"""Storage commitment: ask an archive to keep results, and read what it reports.

::

    us -- N-ACTION: transaction, results --> archive
    us <-- N-EVENT-REPORT: kept, not kept -- archive, on this association or on one that it opens

The status of N-ACTION says that the archive took the question, and nothing else.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from monai_lesion.pacs.dimse import Peer, application

INSTANCE = "1.2.840.10008.1.20.1.1"  # the well-known instance (PS3.4, J.3.2.1)
SUCCESS, REQUEST = 0x0000, 1  # action type of a request
NOT_OURS = 0x0115  # invalid argument value
POLL = 0.02
ANSWER = 5.0  # seconds that an answer has to leave


@dataclass(frozen=True)
class Report:
    """What an archive reports (PS3.4, J.3.3).

    Attributes:
        transaction: the request that it answers.
        committed: identifiers of the results that it keeps.
        failed: why it does not keep the others.
    """

    transaction: str
    committed: tuple[str, ...]
    failed: dict[str, int]


def read_report(information: Any) -> Report:
    """Read the content of an N-EVENT-REPORT.

    Raises:
        ValueError: when it is none.
    """
    transaction = str(information.get("TransactionUID") or "")
    if not transaction:
        raise ValueError("it names no transaction")

    def listed(name: str) -> list[Any]:
        return [each for each in information.get(name) or () if each.get("ReferencedSOPInstanceUID")]

    committed = tuple(str(each.ReferencedSOPInstanceUID) for each in listed("ReferencedSOPSequence"))
    failed = {
        str(each.ReferencedSOPInstanceUID): int(each.get("FailureReason") or 0) for each in listed("FailedSOPSequence")
    }
    return Report(transaction, tuple(uid for uid in committed if uid not in failed), failed)


class NotOfferedError(Exception):
    """An archive that does not know storage commitment."""


class UnansweredError(Exception):
    """An archive that cannot be asked now; the text says why."""


def request_commitment(
    title: str,
    peer: Peer,
    transaction: str,
    results: Mapping[str, str],
    *,
    reported: Callable[[Any], bool],
    wait: float,
    enough: Callable[[], bool],
) -> None:
    """Ask an archive to keep results, and stay for its report a while.

    Args:
        title: our AE title.
        peer: the archive.
        transaction: a new identifier; it must be on the disk before, for the answer may come at once.
        results: SOP classes by SOP Instance UID.
        reported: called with the content of a report that comes on this association; returns whether it is ours.
        wait: seconds to stay.
        enough: whether there is nothing more to stay for.

    Raises:
        NotOfferedError: when it does not know storage commitment.
        UnansweredError: when it does not take the question.

    Source:
        DICOM PS3.4, J.3.2 (N-ACTION) and J.3.3 (N-EVENT-REPORT).
    """
    from pydicom import Dataset
    from pynetdicom import evt
    from pynetdicom.sop_class import StorageCommitmentPushModel  # type: ignore[attr-defined]

    answering, answered = threading.Event(), threading.Event()  # a release must not overtake our answer to a report

    def handle(event: Any) -> tuple[int, None]:
        answered.clear()
        answering.set()
        return (SUCCESS if reported(event.event_information) else NOT_OURS), None

    def note_answer(event: Any) -> None:
        if type(event.message).__name__ == "N_EVENT_REPORT_RSP":
            answered.set()

    def note_departure(event: Any) -> None:
        if answered.is_set():
            answering.clear()

    entity = application(title)
    entity.add_requested_context(StorageCommitmentPushModel)
    handlers: Any = [
        (evt.EVT_N_EVENT_REPORT, handle),
        (evt.EVT_DIMSE_SENT, note_answer),
        (evt.EVT_PDU_SENT, note_departure),
    ]
    association = entity.associate(peer.host, peer.port, ae_title=peer.title, evt_handlers=handlers)
    if not association.is_established:
        if association.rejected_contexts and not association.is_rejected:
            raise NotOfferedError
        raise UnansweredError("no association")
    try:
        question = Dataset()
        question.TransactionUID = transaction
        question.ReferencedSOPSequence = [_item(sop_class, uid) for uid, sop_class in results.items()]
        try:
            answer, _ = association.send_n_action(question, REQUEST, StorageCommitmentPushModel, INSTANCE)
        except (ValueError, RuntimeError) as error:
            raise UnansweredError(type(error).__name__) from error
        status = answer.get("Status")
        if status is None:
            raise UnansweredError("no answer")
        if status != SUCCESS:
            raise UnansweredError(f"refused, {status:#06x}")
        until = time.monotonic() + wait
        while association.is_established and time.monotonic() < until and (answering.is_set() or not enough()):
            time.sleep(POLL)
        until = time.monotonic() + ANSWER
        while association.is_established and time.monotonic() < until and answering.is_set():
            time.sleep(POLL)
    finally:
        if association.is_established:
            association.release()


def _item(sop_class: str, uid: str) -> Any:
    from pydicom import Dataset

    item = Dataset()
    item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = sop_class, uid
    return item
