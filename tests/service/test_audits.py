"""Audit messages, held against the structure of the schema in DICOM PS3.15, A.5.1."""

from __future__ import annotations

import re
from xml.etree import ElementTree

import pytest

pytest.importorskip("pydantic", reason="the service needs pydantic")

from monai_lesion.service.audits import Audit
from monai_lesion.service.configurations import AuditPart

# Of each element: attributes, "!" marks those that are required, with the values they may have; then its children in
# their order, each with how often it may stand: 1, ? (0 or 1), * (0 or more) or + (1 or more).
CODED = ({"csd-code!": ".+", "codeSystemName!": ".+", "displayName": ".+", "originalText!": ".+"}, [])
UID = r"[0-2](\.(0|[1-9]\d*))+"
SCHEMA = {
    "AuditMessage": (
        {},
        [
            ("EventIdentification", "1"),
            ("ActiveParticipant", "+"),
            ("AuditSourceIdentification", "1"),
            ("ParticipantObjectIdentification", "*"),
        ],
    ),
    "EventIdentification": (
        {
            "EventActionCode": "[CRUDE]",
            "EventDateTime!": r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?([+-]\d\d:\d\d|Z)?",
            "EventOutcomeIndicator!": "0|4|8|12",
        },
        [("EventID", "1"), ("EventTypeCode", "*"), ("EventOutcomeDescription", "?")],
    ),
    "EventOutcomeDescription": ({}, []),
    "ActiveParticipant": (
        {
            "UserID!": ".*",
            "AlternativeUserID": ".*",
            "UserName": ".*",
            "UserIsRequestor!": "true|false|0|1",
            "NetworkAccessPointID": ".+",
            "NetworkAccessPointTypeCode": "[1-5]",
        },
        [("RoleIDCode", "*"), ("MediaIdentifier", "?")],
    ),
    "AuditSourceIdentification": (
        {"AuditEnterpriseSiteID": ".+", "AuditSourceID!": ".+"},
        [("AuditSourceTypeCode", "*")],
    ),
    "AuditSourceTypeCode": ({"csd-code!": "[1-9]"}, []),
    "ParticipantObjectIdentification": (
        {
            "ParticipantObjectID!": ".+",
            "ParticipantObjectTypeCode": "[1-4]",
            "ParticipantObjectTypeCodeRole": r"[1-9]|1\d|2[0-6]",
            "ParticipantObjectDataLifeCycle": r"[1-9]|1[0-5]",
            "ParticipantObjectSensitivity": ".+",
        },
        [
            ("ParticipantObjectIDTypeCode", "1"),
            ("ParticipantObjectName", "1"),
            ("ParticipantObjectDetail", "*"),
            ("ParticipantObjectDescription", "*"),
        ],
    ),
    "ParticipantObjectName": ({}, []),
    "ParticipantObjectDescription": ({}, [("MPPS", "*"), ("Accession", "*"), ("SOPClass", "*")]),
    "SOPClass": ({"UID": UID, "NumberOfInstances!": r"\d+"}, [("Instance", "*")]),
    **dict.fromkeys(("EventID", "EventTypeCode", "RoleIDCode", "ParticipantObjectIDTypeCode"), CODED),
}
OFTEN = {"1": "", "?": "?", "*": "*", "+": "+"}


def faults(element):
    """Where an element breaks the schema."""
    attributes, children = SCHEMA[element.tag]
    known = {name.rstrip("!"): pattern for name, pattern in attributes.items()}
    found = [f"{element.tag}@{name}" for name in element.attrib if name not in known]
    found += [f"no {element.tag}@{name}" for name in attributes if name[-1] == "!" and name[:-1] not in element.attrib]
    found += [
        f"{element.tag}@{name}={value}"
        for name, value in element.attrib.items()
        if name in known and not re.fullmatch(known[name], value)
    ]
    order = "".join(f"(?:<{name}>){OFTEN[often]}" for name, often in children)
    if not re.fullmatch(order, "".join(f"<{child.tag}>" for child in element)):
        found.append(f"children of {element.tag}: {[child.tag for child in element]}")
    return found + [fault for child in element if child.tag in SCHEMA for fault in faults(child)]


def row(state="done", sop_class="1.2.840.10008.5.1.4.1.1.88.33", patient=""):
    return {"state": state, "sop_class": sop_class, "patient": patient}


def messages(tmp_path, **options):
    return Audit(AuditPart(file=tmp_path / "log" / "audit.xml", **options), "LESION"), tmp_path / "log" / "audit.xml"


def read(file):
    return [ElementTree.fromstring(line) for line in file.read_text(encoding="utf-8").splitlines()]


def test_messages_follow_the_schema(tmp_path):
    audit, file = messages(tmp_path, patient_ids=True)
    assert audit.activity(started=True)
    assert audit.transferred("1.2.3", "archive", "10.0.0.7", [row(patient="P <&> 1"), row("failed")])
    assert audit.transferred("1.2.4", "web", "https://archive.example/dicom-web", [row(), row(sop_class="1.2.5")])
    assert audit.activity(started=False)
    found = read(file)
    assert len(found) == 4
    assert [fault for message in found for fault in faults(message)] == []
    assert oct(file.stat().st_mode & 0o777) == "0o600"


def test_the_schema_of_this_test_finds_faults():
    good = (
        '<AuditSourceIdentification AuditSourceID="x"><AuditSourceTypeCode csd-code="4"/></AuditSourceIdentification>'
    )
    assert faults(ElementTree.fromstring(good)) == []
    for bad in (
        good.replace(' AuditSourceID="x"', ""),
        good.replace('"4"', '"44"'),
        good.replace("AuditSourceID=", "ID="),
    ):
        assert faults(ElementTree.fromstring(bad))
    assert faults(ElementTree.fromstring("<AuditMessage/>"))


def test_a_message_says_what_a_destination_has_of_a_study(tmp_path):
    audit, file = messages(tmp_path)
    rows = [row(), row(), row(sop_class="1.2.5", patient="4711"), row("kept")]
    audit.transferred("1.2.3", "archive", "10.0.0.7", rows)
    (message,) = read(file)
    event, source, destination, _, study, patient = message
    assert event.find("EventID").attrib["csd-code"] == "110104"
    assert event.attrib["EventOutcomeIndicator"] == "4"
    assert "1 of 4 results" in event.findtext("EventOutcomeDescription")
    assert (source.attrib["UserID"], source.attrib["UserIsRequestor"]) == ("LESION", "true")
    assert (destination.attrib["UserID"], destination.attrib["NetworkAccessPointTypeCode"]) == ("archive", "2")
    assert study.attrib["ParticipantObjectID"] == "1.2.3"
    classes = {each.attrib["UID"]: each.attrib["NumberOfInstances"] for each in study.iter("SOPClass")}
    assert classes == {"1.2.5": "1", "1.2.840.10008.5.1.4.1.1.88.33": "2"}
    assert patient.attrib["ParticipantObjectID"] == "withheld"
    assert "4711" not in file.read_text()


@pytest.mark.parametrize(
    ("states", "outcome"), [(["done"], "0"), (["done", "dropped"], "4"), (["failed", "failed"], "8")]
)
def test_the_outcome_is_told(tmp_path, states, outcome):
    audit, file = messages(tmp_path)
    audit.transferred("1.2.3", "archive", "host.example", [row(state) for state in states])
    assert read(file)[0][0].attrib["EventOutcomeIndicator"] == outcome


def test_a_trail_that_cannot_be_written_is_said_and_not_counted(tmp_path, caplog):
    (tmp_path / "log").write_text("a file")
    audit, _ = messages(tmp_path)
    assert audit.wanted
    assert not audit.activity(started=True)
    assert "an audit message could not be written" in caplog.text
    assert not Audit(AuditPart(), "LESION").wanted
    assert not Audit(AuditPart(syslog="tcp://127.0.0.1:9"), "LESION").activity(started=True)
