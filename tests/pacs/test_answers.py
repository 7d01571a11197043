"""What archives answer, read as it is meant: by content, whatever the label says; what cannot be read is named."""

from __future__ import annotations

import json

import pytest

from monai_lesion.pacs.answers import Answer, UnreadableError, listed, single_object, value, verdicts

UID, OTHER = "1.2.3", "1.2.4"
STORED = {"00081199": {"vr": "SQ", "Value": [{"00081155": {"vr": "UI", "Value": [UID]}}]}}
REFUSED = {
    "00081198": {
        "vr": "SQ",
        "Value": [{"00081155": {"vr": "UI", "Value": [OTHER]}, "00081197": {"vr": "US", "Value": [0x0122]}}],
    }
}
XML = """<?xml version="1.0" encoding="UTF-8"?>
<NativeDicomModel xmlns="http://dicom.nema.org/PS3.19/models/NativeDICOM">
 <DicomAttribute tag="00081199" vr="SQ" keyword="ReferencedSOPSequence"><Item number="1">
  <DicomAttribute tag="00081155" vr="UI"><Value number="1">1.2.3</Value></DicomAttribute>
 </Item></DicomAttribute>
 <DicomAttribute tag="00081198" vr="SQ" keyword="FailedSOPSequence"><Item number="1">
  <DicomAttribute tag="00081155" vr="UI"><Value number="1">1.2.4</Value></DicomAttribute>
  <DicomAttribute tag="00081197" vr="US"><Value number="1">290</Value></DicomAttribute>
 </Item></DicomAttribute>
</NativeDicomModel>"""
BOTH = json.dumps({**STORED, **REFUSED})


@pytest.mark.parametrize(
    ("media_type", "text"),
    [
        ("application/dicom+json", BOTH),
        ("application/dicom+json; charset=utf-8", BOTH),
        ("application/json;charset=UTF-8", f"[{BOTH}]"),
        ("", BOTH),
        ("text/plain", f"\ufeff{BOTH}"),
        ("application/dicom+xml", XML),
        ("application/dicom+xml; charset=utf-8", XML),
        ("text/xml", XML.partition("\n")[2]),
    ],
    ids=["json", "charset", "list", "no type", "byte order mark", "xml", "xml charset", "xml without prolog"],
)
def test_what_became_of_each_object_is_read(media_type, text):
    said = verdicts(Answer(202, media_type, text.encode()))
    assert (said.stored, said.refused) == ({UID}, {OTHER: 0x0122})


@pytest.mark.parametrize("content", [b"", b"  \n", b"{}", b"[]", b'{"message": "ok"}'])
def test_answer_that_says_nothing_of_any_object_is_no_success(content):
    said = verdicts(Answer(200, "application/dicom+json", content))
    assert (said.stored, said.refused) == (set(), {})


@pytest.mark.parametrize(
    "content",
    [
        b"<!DOCTYPE html><title>Sign in</title>",
        b"<html><body>Sign in</body></html>",
        b'<!DOCTYPE a [<!ENTITY b "ha">]><NativeDicomModel>&b;</NativeDicomModel>',
        b"<NativeDicomModel>",
        b"Sign in",
        b'"text"',
        b"[1, 2]",
        b'{"00081199":',
        b"[" * 100_000,
        b"\x00\x01\x02",
    ],
    ids=["page", "html", "entity", "cut xml", "text", "json text", "numbers", "cut json", "deep", "bytes"],
)
def test_anything_else_is_unreadable(content):
    with pytest.raises(UnreadableError):
        verdicts(Answer(200, "application/dicom+json", content))


def test_item_of_another_form_has_no_value():
    assert [
        value(item, "00080018") for item in ({}, {"00080018": {}}, {"00080018": 3}, {"00080018": {"Value": [{}]}})
    ] == [""] * 4


def test_list_is_read_and_an_empty_answer_is_an_empty_list():
    assert listed(Answer(200, "", json.dumps([STORED, REFUSED]).encode())) == [STORED, REFUSED]
    assert listed(Answer(200, "", json.dumps(STORED).encode())) == [STORED]
    assert listed(Answer(204, "", b"")) == []


FILE = b"\x00" * 128 + b"DICM" + bytes(range(256)) + b"\r\n--not a delimiter\r\n\r\n"


def enclosed(content=FILE, *, lead=b"", end=b"\r\n--abc--\r\n"):
    return lead + b"--abc\r\nContent-Type: application/dicom\r\n\r\n" + content + end


@pytest.mark.parametrize(
    ("media_type", "content"),
    [
        ('multipart/related; type="application/dicom"; boundary=abc', enclosed()),
        ('multipart/related; boundary="abc"; type="application/dicom"', enclosed(lead=b"\r\n")),
        ("Multipart/Related; Boundary=abc", enclosed(end=b"\r\n--abc--")),
        ("", enclosed()),
        ("application/dicom", FILE),
        ("application/octet-stream", FILE),
        ("", FILE),
    ],
    ids=["usual", "quoted", "upper case", "no type", "alone", "bytes", "alone, no type"],
)
def test_object_is_kept_as_it_came(media_type, content):
    assert single_object(Answer(200, media_type, content)) == FILE


@pytest.mark.parametrize("length", [40, 200, 440])
def test_object_without_its_end_is_cut_off(length):
    with pytest.raises(UnreadableError, match="end") as caught:
        single_object(Answer(200, "multipart/related; boundary=abc", enclosed()[:length]))
    assert caught.value.cut


@pytest.mark.parametrize(
    "content",
    [b"", b"<html>", b"--", b"[]", enclosed(end=b"\r\n--abc\r\nContent-Type: application/dicom\r\n\r\nx\r\n--abc--")],
    ids=["nothing", "page", "dashes", "list", "two"],
)
def test_what_is_no_object_is_unreadable(content):
    with pytest.raises(UnreadableError):
        single_object(Answer(200, "text/html", content))


@pytest.mark.parametrize(
    ("answer", "shown"),
    [
        (Answer(200, "text/html; charset=utf-8", b"\n<html>\n<p>"), '200 OK, text/html; charset=utf-8, "<html>"'),
        (Answer(599, "", b""), "599, no type, nothing"),
        (Answer(200, "a\x1b[31m", b"b\x1b[31mc"), '200 OK, a?[31m, "b?[31mc"'),
        (Answer(200, "application/dicom", FILE), f"200 OK, application/dicom, {len(FILE)} bytes"),
        (Answer(200, "text/plain", b"x" * 900), f'200 OK, text/plain, "{"x" * 80}"'),
    ],
    ids=["page", "empty", "escapes", "bytes", "long"],
)
def test_unreadable_answer_is_shown_by_status_type_and_first_line(answer, shown):
    assert str(answer) == shown


def test_first_line_ends_where_a_value_begins():
    text = '[{"00100010":{"vr":"PN","Value":[{"Alphabetic":"Planted^Petra"'
    assert "Planted" not in str(Answer(200, "application/json", text.encode()))
    assert '"00100010"' in str(Answer(200, "application/json", text.encode()))
