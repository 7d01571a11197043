"""Texts of a DICOM header as they are meant: dates, times, and names in any character set."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from monai_lesion.dicom.sources import value_of

if TYPE_CHECKING:
    from pydicom import Dataset

DEFAULT_REPERTOIRE = "iso8859"  # how pydicom reads what is in no stated character set: as Latin 1, each byte a letter


def date_of(text: str) -> str:
    """A date as DICOM writes it, or nothing.

    Example:
        >>> date_of("2021.03.04"), date_of("2021-03-04"), date_of("20210399"), date_of("unknown")
        ('20210304', '20210304', '', '')
    """
    from datetime import datetime

    digits = re.sub(r"[.\-/ ]", "", text)
    try:
        return datetime.strptime(digits, "%Y%m%d").strftime("%Y%m%d") if len(digits) == 8 else ""
    except ValueError:
        return ""


def time_of(text: str) -> str:
    """A time as DICOM writes it, or nothing.

    Example:
        >>> time_of("11:20:00"), time_of("112000.5"), time_of("1120"), time_of("noon")
        ('112000', '112000.5', '1120', '')
    """
    digits = text.replace(":", "").strip()
    return digits if re.fullmatch(r"([01]\d|2[0-3])([0-5]\d([0-5]\d(\.\d{1,6})?)?)?", digits) else ""


def text_of(header: Dataset, keyword: str) -> str:
    """A text of the source in Unicode, without the escape sequences of its character sets and other control characters.

    UTF-8 in a header that states no character set is read as such; so are parts in a set that the header forgot to
    state, if they are announced by their escape sequences.

    Source:
        DICOM PS3.5, 6.1.2 (character sets) and 6.1.3 (control characters); PS3.3, C.12.1.1.2.

    Example:
        >>> from pydicom import Dataset
        >>> header = Dataset()
        >>> header.PatientID = "M\u00c3\u00bcller"
        >>> text_of(header, "PatientID")
        'Müller'
    """
    text = joined(value_of(header, keyword))
    if not text.isascii() or "\x1b" in text:
        text = _decoded(text, value_of(header, "SpecificCharacterSet"))
    return re.sub(r"\x1b[ -/]+[0-~]|[\x00-\x1f\x7f-\x9f]", "", text)


def _decoded(text: str, stated: Any) -> str:
    """A text that pydicom read letter by letter, read as what it is."""
    from pydicom import charset

    try:
        encodings = charset.convert_encodings(stated)
    except LookupError:  # a character set that does not exist
        encodings = [DEFAULT_REPERTOIRE]
    if encodings[0] != DEFAULT_REPERTOIRE:
        return text
    try:
        raw = text.encode("latin-1")
    except UnicodeEncodeError:  # more than single bytes: it was decoded already
        return text
    try:
        return raw.decode("utf-8") if b"\x1b" not in raw else _escaped(raw)
    except UnicodeDecodeError:
        return text


def _escaped(raw: bytes) -> str:
    """Bytes whose escape sequences announce the character sets, whatever the header states."""
    from pydicom import charset
    from pydicom.valuerep import PN_DELIMS

    known = [DEFAULT_REPERTOIRE, *charset.CODES_TO_ENCODINGS.values()]
    return str(charset.decode_bytes(raw, known, PN_DELIMS))


def joined(value: Any) -> str:
    """The values of an element as DICOM writes them, a backslash between two; nothing for none."""
    from pydicom.multival import MultiValue

    if value is None:
        return ""
    return "\\".join(map(str, value)) if isinstance(value, (MultiValue, list)) else str(value)
