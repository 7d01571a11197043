"""What a header means by its bytes."""

from __future__ import annotations

import pytest
from pydicom.dataset import Dataset

from monai_lesion.dicom.identity import identity
from monai_lesion.dicom.texts import date_of, joined, text_of, time_of
from monai_lesion.images.silence import quiet


@pytest.mark.parametrize(
    ("text", "date"),
    [
        ("20210304", "20210304"),
        ("2021.03.04", "20210304"),
        ("2021/03 04", "20210304"),
        ("20210230", ""),
        ("210304", ""),
        ("202103040", ""),
        ("", ""),
    ],
)
def test_dates_are_repaired_or_nothing(text, date):
    assert date_of(text) == date


@pytest.mark.parametrize(
    ("text", "time"),
    [
        ("235959.999999", "235959.999999"),
        ("23:59", "2359"),
        (" 07 ", "07"),
        ("2400", ""),
        ("2360", ""),
        ("235960", ""),
        ("120000.1234567", ""),
        ("7", ""),
        ("", ""),
    ],
)
def test_times_are_repaired_or_nothing(text, time):
    assert time_of(text) == time


def test_values_are_joined_by_backslashes():
    assert joined(None) == ""
    assert joined("a") == "a"
    assert joined(["a", 2]) == "a\\2"


def test_an_absent_text_is_empty():
    assert text_of(Dataset(), "PatientName") == ""


def in_bytes(stated, raw):
    """A header whose name was read from these bytes."""
    from pydicom.dataelem import RawDataElement
    from pydicom.tag import Tag

    header = Dataset()
    if stated is not None:
        header.SpecificCharacterSet = stated
    header[0x00100010] = RawDataElement(Tag(0x00100010), "PN", len(raw), raw, 0, False, True)
    return header


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    ("stated", "raw", "expected"),
    [
        (None, "Müller^Änne".encode(), "Müller^Änne"),
        ("", "张^小东".encode(), "张^小东"),
        ("ISO_IR 6", "Müller^Änne".encode(), "Müller^Änne"),
        ("UTF-8", "Müller^Änne".encode(), "Müller^Änne"),
        (None, "Müller^Änne".encode("latin-1"), "Müller^Änne"),
        ("ISO_IR 100", "Müller^Änne".encode("latin-1"), "Müller^Änne"),
        ("ISO_IR 192", "Müller^Änne".encode(), "Müller^Änne"),
        (["", "ISO 2022 IR 58"], b"Zhang^X=\x1b$)A\xd5\xc5^\x1b$)A\xd0\xa1\xb6\xab", "Zhang^X=张^小东"),
        ("ISO 2022 IR 58", b"Zhang^X=\x1b$)A\xd5\xc5^\x1b$)A\xd0\xa1\xb6\xab", "Zhang^X=张^小东"),
        (None, b"Zhang^X=\x1b$)A\xd5\xc5^\x1b$)A\xd0\xa1\xb6\xab", "Zhang^X=张^小东"),
        (["", "ISO 2022 IR 149"], b"Hong^G=\x1b$)C\xfb\xf3^\x1b$)C\xd1\xce\xd4\xd7", "Hong^G=洪^吉洞"),
        (["", "ISO 2022 IR 87"], b"Yamada^T=\x1b$B;3ED\x1b(B^\x1b$BB@O:\x1b(B", "Yamada^T=山田^太郎"),
        (["", "ISO 2022 IR 100"], b"M\x1b-A\xfcller", "Müller"),
        (None, b"Doe\n^Jane\x00\x1b[31m", "Doe^Jane[31m"),
    ],
)
def test_names_read_as_they_were_meant_in_any_character_set(stated, raw, expected):
    header = in_bytes(stated, raw)
    with quiet():
        assert text_of(header, "PatientName") == expected
        found = identity(header)
        assert str(found.PatientName) == expected
    assert found.get("SpecificCharacterSet") == (None if expected.isascii() else "ISO_IR 192")
