"""Audit messages of DICOM PS3.15, A.5: what was stored for which study, and when the service began and ended."""

from __future__ import annotations

import logging
import os
import socket
from collections import Counter
from collections.abc import Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from monai_lesion._version import __version__
from monai_lesion.service.configurations import AuditPart
from monai_lesion.service.registers import DONE
from monai_lesion.service.syslogs import send_syslog

logger = logging.getLogger(__name__)

SUCCESS, MINOR_FAILURE, SERIOUS_FAILURE = "0", "4", "8"
WITHHELD = "withheld"


class Audit:
    """Write audit messages to a file and to a syslog server.

    Args:
        part: where they go, and what they may say.
        title: our AE title.
    """

    def __init__(self, part: AuditPart, title: str) -> None:
        self._part, self._title = part, title

    @property
    def wanted(self) -> bool:
        """Whether messages go anywhere."""
        return self._part.file is not None or self._part.syslog is not None

    def activity(self, *, started: bool) -> bool:
        """Say that the service began or ended (A.5.3.1); return whether that was written."""
        message = _message("110100", "Application Activity", "E", SUCCESS)
        code = ("110120", "Application Start") if started else ("110121", "Application Stop")
        _coded(message[0], "EventTypeCode", *code)
        _participant(message, self._title, role=("110150", "Application"), requestor=False)
        self._source(message)
        return self._write(message)

    def transferred(self, study: str, destination: str, address: str, rows: Sequence[dict[str, Any]]) -> bool:
        """Say which results of a study a destination has (A.5.3.7); return whether that was written.

        Args:
            study: its Study Instance UID.
            destination: name of the destination.
            address: its host or URL.
            rows: the results, as the register has them.
        """
        lost = sum(row["state"] != DONE for row in rows)
        outcome = SUCCESS if not lost else SERIOUS_FAILURE if lost == len(rows) else MINOR_FAILURE
        message = _message("110104", "DICOM Instances Transferred", "C", outcome)
        if lost:
            text = f"{lost} of {len(rows)} results were set aside or not committed"
            ElementTree.SubElement(message[0], "EventOutcomeDescription").text = text
        _participant(message, self._title, role=("110153", "Source Role ID"), requestor=True)
        _participant(message, destination, role=("110152", "Destination Role ID"), requestor=False, address=address)
        self._source(message)
        found = _object(message, study, "2", "3", ("110180", "DCM", "Study Instance UID"))
        description = ElementTree.SubElement(found, "ParticipantObjectDescription")
        for sop_class, number in sorted(Counter(row["sop_class"] for row in rows if row["state"] == DONE).items()):
            ElementTree.SubElement(description, "SOPClass", UID=sop_class, NumberOfInstances=str(number))
        patients = sorted({row["patient"] for row in rows if row["patient"]}) if self._part.patient_ids else []
        for patient in patients or [WITHHELD]:
            _object(message, patient, "1", "1", ("2", "RFC-3881", "Patient Number"))
        return self._write(message)

    def _source(self, message: ElementTree.Element) -> None:
        source = ElementTree.SubElement(message, "AuditSourceIdentification", AuditSourceID=self._part.source)
        # 4: a process of an application server (table A.5.2-1); the schema takes the code alone
        ElementTree.SubElement(source, "AuditSourceTypeCode", {"csd-code": "4"})

    def _write(self, message: ElementTree.Element) -> bool:
        content = ElementTree.tostring(message, encoding="unicode")
        try:
            if self._part.file is not None:
                _append(self._part.file, '<?xml version="1.0" encoding="UTF-8"?>' + content + "\n")
            if self._part.syslog is not None:
                send_syslog(self._part.syslog, content)
        except OSError as error:
            text = "an audit message could not be written (%s); it is tried again"
            logger.error(text, error.strerror or type(error).__name__, extra={"event": "not audited"})
            return False
        return True


def _message(code: str, text: str, action: str, outcome: str) -> ElementTree.Element:
    message = ElementTree.Element("AuditMessage")
    moment = datetime.now(timezone.utc).isoformat(timespec="milliseconds")
    event = ElementTree.SubElement(
        message, "EventIdentification", EventActionCode=action, EventDateTime=moment, EventOutcomeIndicator=outcome
    )
    _coded(event, "EventID", code, text)
    return message


def _coded(parent: ElementTree.Element, name: str, code: str, text: str, system: str = "DCM") -> None:
    ElementTree.SubElement(parent, name, {"csd-code": code, "codeSystemName": system, "originalText": text})


def _participant(
    message: ElementTree.Element, user: str, *, role: tuple[str, str], requestor: bool, address: str = ""
) -> None:
    known = {"UserID": user, "UserIsRequestor": "true" if requestor else "false"}
    if not address:
        known |= {"AlternativeUserID": str(os.getpid()), "UserName": f"monai_lesion {__version__}"}
    place = address or socket.gethostname()
    kind = "5" if "://" in place else "2" if _numeric(place) else "1"  # an address, a number, a name
    known |= {"NetworkAccessPointID": place, "NetworkAccessPointTypeCode": kind}
    participant = ElementTree.SubElement(message, "ActiveParticipant", known)
    _coded(participant, "RoleIDCode", *role)


def _numeric(place: str) -> bool:
    import ipaddress

    try:
        ipaddress.ip_address(place)
    except ValueError:
        return False
    return True


def _object(
    message: ElementTree.Element, name: str, kind: str, role: str, code: tuple[str, str, str]
) -> ElementTree.Element:
    found = ElementTree.SubElement(
        message,
        "ParticipantObjectIdentification",
        ParticipantObjectID=name,
        ParticipantObjectTypeCode=kind,
        ParticipantObjectTypeCodeRole=role,
    )
    _coded(found, "ParticipantObjectIDTypeCode", code[0], code[2], code[1])
    # The schema wants a name or a query; the patient's name is not written.
    ElementTree.SubElement(found, "ParticipantObjectName").text = WITHHELD if kind == "1" else name
    return found


def _append(file: Path, line: str) -> None:
    file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    handle = os.open(file, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    try:
        os.write(handle, line.encode())
        os.fsync(handle)
    finally:
        os.close(handle)
