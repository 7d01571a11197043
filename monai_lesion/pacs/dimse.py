"""Talk DIMSE, as scanners and archives do: addresses of peers, and sending results by C-STORE."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from monai_lesion.errors import InputError
from monai_lesion.pacs.logs import quieten
from monai_lesion.pacs.queues import Outbox

logger = logging.getLogger(__name__)

IMAGE_SYNTAXES = (
    "1.2.840.10008.1.2.1",  # Explicit VR Little Endian; the order is that of preference
    "1.2.840.10008.1.2",  # Implicit VR Little Endian
    "1.2.840.10008.1.2.2",  # Explicit VR Big Endian
    "1.2.840.10008.1.2.5",  # RLE Lossless
    "1.2.840.10008.1.2.4.50",  # JPEG Baseline
    "1.2.840.10008.1.2.4.57",  # JPEG Lossless
    "1.2.840.10008.1.2.4.70",  # JPEG Lossless, first-order
    "1.2.840.10008.1.2.4.80",  # JPEG-LS Lossless
    "1.2.840.10008.1.2.4.81",  # JPEG-LS near-lossless
    "1.2.840.10008.1.2.4.90",  # JPEG 2000 Lossless
    "1.2.840.10008.1.2.4.91",  # JPEG 2000
)
# A result that the receiver has, whole or with remarks (PS3.7, annex C; PS3.4, B.2.3); 0x0111: it had it already.
TAKEN = (0x0000, 0x0001, 0x0107, 0x0111, 0x0116, *range(0xB000, 0xC000))
# The moment, not the object, is refused: processing failure, no resources. Every other failure is for good.
PASSING = (0x0110, 0x0213, *range(0xA700, 0xA800))
BREAKS = 3  # associations that may break in one round of sending
TOGETHER = 200  # results sent over one association
NOT_TAKEN = {3: "it does not know objects of this kind", 4: "it knows objects of this kind in no encoding of ours"}
MISSING = 'Install it: pip install "monai-lesion[dicom]"'


@dataclass(frozen=True)
class Peer:
    """An application entity on the network."""

    title: str
    host: str
    port: int

    def __str__(self) -> str:
        return f"{self.title}@{self.host}:{self.port}"


def checked_title(text: str) -> str:
    """Check an application entity title (PS3.5, 6.2: AE).

    Raises:
        InputError: when the title is not valid.
    """
    if not re.fullmatch(r"[!-\[\]-~]([ -\[\]-~]{0,14}[!-\[\]-~])?", text):
        raise InputError("AE title", "must have 1 to 16 printable ASCII characters, no backslash", got=repr(text))
    return text


def parse_peer(text: str) -> Peer:
    """Parse ``TITLE@HOST:PORT``.

    Raises:
        InputError: for any other form.

    Example:
        >>> parse_peer("ARCHIVE@10.0.0.7:104")
        Peer(title='ARCHIVE', host='10.0.0.7', port=104)
    """
    match = re.fullmatch(r"([^@]+)@(\[[0-9A-Fa-f:]+\]|[^\s:@\[\]]+):(\d{1,5})", text)
    if match is None or not 0 < int(match[3]) < 65536:
        raise InputError("peer", "must be TITLE@HOST:PORT", got=repr(text), fix="For example ARCHIVE@10.0.0.7:104")
    return Peer(checked_title(match[1]), match[2].strip("[]"), int(match[3]))


def application(title: str) -> Any:
    """Make a pynetdicom application entity.

    Raises:
        InputError: when pynetdicom is not installed.
    """
    try:
        from pynetdicom import AE
    except ImportError as error:
        raise InputError("DIMSE", "needs pynetdicom", got=f"no {error.name}", fix=MISSING) from error
    quieten()
    entity = AE(ae_title=checked_title(title))
    entity.acse_timeout = entity.dimse_timeout = entity.connection_timeout = 30
    entity.network_timeout = 120
    return entity


def echo(title: str, peer: Peer) -> None:
    """Ask a peer whether it answers (C-ECHO).

    Raises:
        InputError: when it does not.
    """
    from pynetdicom.sop_class import Verification  # type: ignore[attr-defined]

    entity = application(title)
    entity.add_requested_context(Verification)
    association = entity.associate(peer.host, peer.port, ae_title=peer.title)
    if not association.is_established:
        got = "no association"
        if association.is_rejected:
            answer = association.acceptor.primitive
            got = f"{answer.result_str}, {answer.reason_str}"
        fix = f"Check host, port and titles, and that it knows {title}"
        raise InputError(peer, "must answer a C-ECHO", got=got, fix=fix)
    try:
        status = association.send_c_echo().get("Status")
    except (ValueError, RuntimeError):
        status = None
    finally:
        association.release()
    if status != 0:
        raise InputError(peer, "must answer a C-ECHO", got="no answer" if status is None else f"{status:#06x}")


def send_results(queue: Outbox, title: str, peer: Peer, *, go_on: Callable[[], None] = lambda: None) -> int:
    """Send the queued results; what the receiver refuses for now stays, what it refuses for good is set aside.

    When an earlier attempt was cut off, the result may have arrived all the same, so the receiver is asked first. A
    result at which the receiver breaks the connection does not hold back the others.

    Args:
        queue: queue of results.
        title: our AE title.
        peer: the receiver.
        go_on: called before each result; an error of it ends the sending.

    Returns:
        The number of results that are still to be sent.
    """
    results = sorted(queue.results(), key=queue.tried)  # the oldest first, those that were tried last
    broken = 0
    while results and broken < BREAKS:
        go_on()
        left = _send_some(queue, title, peer, results[:TOGETHER], go_on)
        if left is None:
            break
        broken += bool(left)
        results = left + results[TOGETHER:]
    return len(queue.results())


def _send_some(
    queue: Outbox, title: str, peer: Peer, results: list[Path], go_on: Callable[[], None]
) -> list[Path] | None:
    """Send results over one association; return those that it did not come to because it broke, None without one."""
    import pydicom

    tags = ["SOPClassUID", "SOPInstanceUID", "Modality"]
    headers = {each: pydicom.dcmread(each, specific_tags=tags, stop_before_pixels=True) for each in results}
    kinds = {each: str(header.SOPClassUID) for each, header in headers.items()}
    entity = application(title)
    for kind in sorted(set(kinds.values())):
        entity.add_requested_context(kind, list(IMAGE_SYNTAXES[:2]))
    association = entity.associate(peer.host, peer.port, ae_title=peer.title)
    not_taken = {str(each.abstract_syntax): each.result for each in association.rejected_contexts}
    for result, kind in kinds.items():
        if kind in not_taken:
            _refused_kind(queue, peer, result, headers[result], not_taken[kind])
    left = [each for each in results if kinds[each] not in not_taken]
    if not association.is_established:
        if left:
            logger.warning("%s", _unreachable(association, title, peer, len(queue.results())))
            return None
        return []
    try:
        while left and association.is_established:
            go_on()
            if not _send(queue, association, title, peer, left.pop(0)):
                break
    finally:
        if association.is_established:
            association.release()
    if left:
        logger.warning("%s: broke the connection", peer)
    return left


def _refused_kind(queue: Outbox, peer: Peer, result: Path, header: Any, reason: int) -> None:
    name, kind = f"{header.Modality} {header.SOPInstanceUID}", header.SOPClassUID.name
    if reason in NOT_TAKEN:
        queue.give_up(result)
        text = "%s: %s takes no %s (%s); it is in %s, and is sent once you move it back to %s"
        logger.error(text, name, peer, kind, NOT_TAKEN[reason], queue.failed, queue.outgoing)
    else:
        logger.warning("%s: %s takes no %s for now (%s); it waits", name, peer, kind, reason)


def _unreachable(association: Any, title: str, peer: Peer, count: int) -> str:
    """Why there is no association: the receiver rejects us, or is not there."""
    if association.is_rejected:
        answer = association.acceptor.primitive
        return f"{peer}: rejects the AE title {title} ({answer.result_str}, {answer.reason_str}); {count} results wait"
    return f"{peer}: must be reachable and answer {title}'s request for an association; {count} results wait"


def _send(queue: Outbox, association: Any, title: str, peer: Peer, result: Path) -> bool:
    """Send one result; return whether the receiver answered, and may be sent the next."""
    import pydicom

    dataset = pydicom.dcmread(result)
    name = f"{dataset.Modality} {dataset.SOPInstanceUID}"
    if queue.attempt(result) and _has(title, peer, dataset):
        queue.confirm(result)
        logger.info("%s: already sent", name)
        return True
    try:
        status = association.send_c_store(dataset).get("Status")
    except (ValueError, RuntimeError) as error:  # it cannot be encoded, or the connection broke meanwhile
        logger.warning("%s: could not be sent to %s (%s); it waits", name, peer, type(error).__name__)
        return isinstance(error, ValueError)
    if status is None:
        logger.warning("%s: %s did not answer; it waits", name, peer)
        return False
    if status in TAKEN:
        queue.confirm(result)
        logger.info("%s: sent", name)
    elif status in PASSING:
        logger.warning("%s: %s refused it (%#06x); it waits", name, peer, status)
    else:
        queue.give_up(result)
        logger.error("%s: %s refused it for good (%#06x); it is in %s", name, peer, status, queue.failed)
    return True


def _has(title: str, peer: Peer, dataset: Any) -> bool:
    """Whether the receiver has an object (C-FIND); False when it cannot be asked."""
    from pydicom import Dataset
    from pynetdicom.sop_class import StudyRootQueryRetrieveInformationModelFind as Find  # type: ignore[attr-defined]

    query = Dataset()
    query.QueryRetrieveLevel = "IMAGE"
    for keyword in ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID"):
        setattr(query, keyword, dataset[keyword].value)
    entity = application(title)
    entity.add_requested_context(Find)
    association = entity.associate(peer.host, peer.port, ae_title=peer.title)
    if not association.is_established:
        return False
    try:
        found = [item for _, item in association.send_c_find(query, Find) if item is not None]
    except ValueError:  # it takes no queries
        return False
    finally:
        association.release()
    return any(item.get("SOPInstanceUID") == dataset.SOPInstanceUID for item in found)
