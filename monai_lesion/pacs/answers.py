"""Read what a DICOMweb archive answers: a list, an object as it came, and what became of each object it was sent.

What an answer is shows in its content: archives label it in many ways, and a login page comes with status 200 too.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.client import responses
from typing import Any
from xml.etree import ElementTree

REFERENCED, FAILED = "00081199", "00081198"
REFERENCED_UID, FAILURE_REASON = "00081155", "00081197"


class UnreadableError(ValueError):
    """An answer that is not what DICOMweb asks for; ``cut`` when it is the beginning of one."""

    def __init__(self, why: str, *, cut: bool = False) -> None:
        super().__init__(why)
        self.cut = cut


@dataclass(frozen=True)
class Answer:
    """An HTTP answer, read whole.

    Attributes:
        status: its status.
        media_type: its Content-Type with all parameters; empty when there is none.
        content: its body.
    """

    status: int
    media_type: str
    content: bytes = field(repr=False)

    def __str__(self) -> str:
        """Status, type and first line, for a message.

        The line ends where a DICOM value begins: it may be a patient's.

        Example:
            >>> str(Answer(200, "text/html", b"<!DOCTYPE html>" + bytes([10]) + b"<title>Sign in</title>"))
            '200 OK, text/html, "<!DOCTYPE html>"'
        """
        parts = [f"{self.status} {responses.get(self.status, '')}".strip(), _shown(self.media_type) or "no type"]
        if not self.content:
            return ", ".join([*parts, "nothing"])
        text = self.content[:500].decode("utf-8", "replace").strip()
        if sum((not mark.isprintable() and not mark.isspace()) or mark == "\ufffd" for mark in text) > len(text) // 4:
            return ", ".join([*parts, f"{len(self.content)} bytes"])
        line = re.split(r"(?i)\"?<?value", text.splitlines()[0] if text else "", maxsplit=1)[0]
        return ", ".join([*parts, f'"{_shown(line)}"'])


@dataclass(frozen=True)
class Verdicts:
    """What an archive says of the objects that it was sent.

    Attributes:
        stored: identifiers of those that it stored.
        refused: why it refused the others, by identifier; an empty one when it does not say which.
    """

    stored: frozenset[str]
    refused: dict[str, int]


def listed(answer: Answer) -> list[dict[str, Any]]:
    """The items of a search (PS3.18, 10.6); some archives send one item without its list.

    Raises:
        UnreadableError: when it is no list of items.
    """
    if not answer.content.strip():
        return []
    found = _json(answer)
    items = found if isinstance(found, list) else [found]
    if not all(isinstance(item, dict) for item in items):
        raise UnreadableError("it is no list of DICOM items")
    return items


def value(item: dict[str, Any], tag: str) -> str:
    """The first value of an attribute in the DICOM JSON model (PS3.18, F); empty when there is none.

    Example:
        >>> value({"00080060": {"vr": "CS", "Value": ["US"]}}, "00080060")
        'US'
    """
    attribute = item.get(tag)
    values = attribute.get("Value") if isinstance(attribute, dict) else None
    first = values[0] if isinstance(values, list) and values else ""
    return str(first) if isinstance(first, (str, int, float)) else ""


def single_object(answer: Answer) -> bytes:
    """The object that was asked for (PS3.18, 10.4), byte by byte as it came.

    Raises:
        UnreadableError: when it is no object, several, or cut off.
    """
    content = answer.content
    if content[128:132] == b"DICM":
        return content
    match = re.search(r"boundary=(?:\"([^\"]*)\"|([^;\s]+))", answer.media_type, re.IGNORECASE)
    marker = b"--" + (match[1] or match[2] or "").encode() if match else content[:200].partition(b"\n")[0].strip()
    if not content[: len(marker) + 4].lstrip().startswith(marker) or not marker.startswith(b"--") or len(marker) < 3:
        raise UnreadableError("it is no DICOM object")
    headers = content.find(b"\r\n\r\n", content.find(marker))
    end = content.find(b"\r\n" + marker, headers + 2)  # the line break before a delimiter belongs to it
    if headers < 0 or end < 0:
        raise UnreadableError("its end is missing", cut=True)
    if content[end + 2 + len(marker) :][:2] != b"--":
        raise UnreadableError("it has more than the one object that was asked for")
    return content[headers + 4 : end]


def verdicts(answer: Answer) -> Verdicts:
    """What became of each object (PS3.18, 10.5.3 and annex I.2), told as JSON, as a list of JSON, or as XML.

    Raises:
        UnreadableError: when the answer cannot be read; one that says nothing of any object can.
    """
    stored, refused = set(), {}
    if answer.content.strip():
        for item in _items(answer):
            stored |= {value(each, REFERENCED_UID) for each in _sequence(item, REFERENCED)}
            for each in _sequence(item, FAILED):
                reason = value(each, FAILURE_REASON)
                refused[value(each, REFERENCED_UID)] = int(reason) if reason.isdecimal() else 0
    return Verdicts(frozenset(stored), refused)


def _items(answer: Answer) -> list[dict[str, Any]]:
    if answer.content.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"<"):
        return [_native_model(answer)]
    return listed(answer)


def _sequence(item: dict[str, Any], tag: str) -> Iterator[dict[str, Any]]:
    attribute = item.get(tag)
    values = attribute.get("Value") if isinstance(attribute, dict) else None
    yield from (each for each in values or [] if isinstance(each, dict)) if isinstance(values, list) else ()


def _json(answer: Answer) -> Any:
    try:
        return json.loads(answer.content.removeprefix(b"\xef\xbb\xbf"))
    except (ValueError, RecursionError) as error:  # the decoder's text may quote the content
        raise UnreadableError("it is no DICOM JSON") from error


def _native_model(answer: Answer) -> dict[str, Any]:
    """The attributes of the Native DICOM Model (PS3.19, A.1), as the JSON model has them."""
    if b"<!DOCTYPE" in answer.content or b"<!ENTITY" in answer.content:  # the model has none; they can blow up
        raise UnreadableError("it is no DICOM XML")
    try:
        root = ElementTree.fromstring(answer.content)
    except (ElementTree.ParseError, ValueError, LookupError) as error:
        raise UnreadableError("it is no DICOM XML") from error
    if _name(root) != "NativeDicomModel":
        raise UnreadableError("it is no DICOM XML")
    return _attributes(root)


def _attributes(parent: ElementTree.Element) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for attribute in parent:
        values: list[Any] = []
        for child in attribute:
            if _name(child) == "Item":
                values.append({tag: {"Value": [text]} for tag, text in _leaves(child)})
            elif _name(child) == "Value":
                values.append((child.text or "").strip())
        found[attribute.get("tag", "")] = {"Value": values}
    return found


def _leaves(item: ElementTree.Element) -> Iterator[tuple[str, str]]:
    """The attributes of an item that have a value of their own; those of deeper items are not asked for."""
    for attribute in item:
        for child in attribute:
            if _name(child) == "Value":
                yield attribute.get("tag", ""), (child.text or "").strip()


def _name(element: ElementTree.Element) -> str:
    return element.tag.rpartition("}")[2]


def _shown(text: str) -> str:
    """Text from a peer for a message: one line, short, no control characters."""
    return "".join(mark if mark.isprintable() else "?" for mark in text)[:80]
