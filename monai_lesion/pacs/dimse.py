"""Talk DIMSE, as scanners and archives do: addresses of peers, and sending results by C-STORE."""

from __future__ import annotations

import logging
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from monai_lesion.errors import InputError
from monai_lesion.pacs.queues import Queue

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
DUPLICATE = 0x0111
HOPELESS = range(0xA900, 0xAA00), range(0xC000, 0xD000)  # the object, not the moment, is refused (PS3.4, B.2.3)
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
    entity = AE(ae_title=checked_title(title))
    entity.acse_timeout = entity.dimse_timeout = entity.connection_timeout = 30
    entity.network_timeout = 120
    return entity


def send_results(queue: Queue, title: str, peer: Peer) -> int:
    """Send the queued results; what the receiver refuses for now stays in the queue.

    When an earlier attempt was cut off, the result may have arrived all the same, so the receiver is asked first.

    Args:
        queue: queue of results.
        title: our AE title.
        peer: the receiver.

    Returns:
        The number of results that are still to be sent.
    """
    import pydicom

    results = queue.results()
    if not results:
        return 0
    entity = application(title)
    syntaxes = list(IMAGE_SYNTAXES[:2])
    for kind in sorted({str(pydicom.dcmread(each, stop_before_pixels=True).SOPClassUID) for each in results}):
        entity.add_requested_context(kind, syntaxes)
    association = entity.associate(peer.host, peer.port, ae_title=peer.title)
    if not association.is_established:
        logger.warning("%s: must be reachable and accept the AE title %s; %d results wait", peer, title, len(results))
        return len(results)
    try:
        for result in results:
            if not association.is_established:
                logger.warning("%s: broke the connection", peer)
                break
            _send(queue, association, title, peer, result)
    finally:
        if association.is_established:
            association.release()
    return len(queue.results())


def _send(queue: Queue, association: Any, title: str, peer: Peer, result: Path) -> None:
    import pydicom

    dataset = pydicom.dcmread(result)
    name = f"{dataset.Modality} {dataset.SOPInstanceUID}"
    if queue.attempt(result) and _has(title, peer, dataset):
        queue.confirm(result)
        logger.info("%s: already sent", name)
        return
    try:
        status = association.send_c_store(dataset).get("Status")
    except ValueError:  # no presentation context for its class
        logger.warning("%s: %s does not take objects of this kind; it waits", name, peer)
        return
    if status is None:
        logger.warning("%s: %s did not answer; it waits", name, peer)
    elif status in (0, DUPLICATE) or 0xB000 <= status < 0xC000:
        queue.confirm(result)
        logger.info("%s: sent", name)
    elif any(status in codes for codes in HOPELESS):
        queue.give_up(result)
        logger.error("%s: %s refused it (%#06x); it is in %s", name, peer, status, queue.failed)
    else:
        logger.warning("%s: %s refused it (%#06x); it waits", name, peer, status)


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
