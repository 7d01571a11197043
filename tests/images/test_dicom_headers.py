"""Headers in any transfer syntax, and not a word of what they say of a patient."""

from __future__ import annotations

import logging
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from pydicom.uid import UID

from monai_lesion.errors import ImageError
from monai_lesion.images.readers import is_dicom, read_image
from monai_lesion.images.silence import quiet
from tests.images import colours, write_dicom
from tests.images.dicom_pictures import deflated, plain


@pytest.fixture(autouse=True)
def unfiltered(monkeypatch: pytest.MonkeyPatch) -> None:
    """The commands of an archive silence pydicom in their process for good; other tests may have run one here."""
    monkeypatch.setattr(logging.getLogger("pydicom"), "filters", [])


def test_deflated_file_holds_the_same_pixels(tmp_path: Path) -> None:
    source = plain(tmp_path / "a", "RGB")
    target = deflated(tmp_path / "b", source.read_bytes())
    assert str(pydicom.dcmread(target).file_meta.TransferSyntaxUID).endswith(".1.99")
    np.testing.assert_array_equal(read_image(target).pixels, colours())


@pytest.mark.parametrize("syntax", ["explicit", "implicit"])
@pytest.mark.parametrize("meta", [True, False], ids=["with meta", "bare"])
def test_file_without_preamble_is_read(syntax: str, meta: bool, tmp_path: Path) -> None:
    source = plain(tmp_path / "a", "RGB")
    content = source.read_bytes()
    size = 132 + 12 + int.from_bytes(content[140:144], "little")
    if syntax == "implicit":
        dataset = pydicom.dcmread(source)
        dataset.file_meta.TransferSyntaxUID = UID("1.2.840.10008.1.2")
        dataset.is_implicit_VR, dataset.is_little_endian = True, True
        dataset["PixelData"].VR = "OW"
        dataset.save_as(source, **({} if pydicom.__version__.startswith("2") else {"implicit_vr": True}))
        content = source.read_bytes()
        size = 132 + 12 + int.from_bytes(content[140:144], "little")
    (tmp_path / "b").write_bytes(content[132:] if meta else content[size:])
    assert is_dicom(tmp_path / "b")
    np.testing.assert_array_equal(read_image(tmp_path / "b").pixels, colours())


def test_burned_in_text_is_warned_of_once_a_file(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    file = write_dicom(tmp_path / "a.dcm", colours().tobytes(), "RGB", BurnedInAnnotation="YES", PatientName="Doe^Jane")
    for _ in range(2):
        read_image(file)
    (record,) = [each for each in caplog.records if "BurnedInAnnotation is YES" in each.message]
    assert record.levelno == logging.WARNING
    assert "Doe" not in caplog.text


def test_no_patient_attribute_is_logged_or_warned_of(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, recwarn: Any
) -> None:
    file = write_dicom(tmp_path / "a.dcm", colours().tobytes(), "RGB", PatientName="PLANTED^NAME", PatientID="P" * 64)
    # pydicom quotes an age that is none, when it reads it and in its warnings.
    dataset = pydicom.dcmread(file)
    dataset.add_new("PatientAge", "AS", "PLAN")
    dataset.save_as(file)
    content = file.read_bytes()
    caplog.clear()
    recwarn.clear()
    with caplog.at_level(logging.DEBUG):
        read_image(file)
        file.write_bytes(content[:-100])
        with pytest.raises(ImageError) as caught:
            read_image(file)
    assert "PLAN" not in caplog.text + str(caught.value) + "".join(str(each.message) for each in recwarn)


def test_pydicoms_own_warnings_come_back_afterwards(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    read_image(plain(tmp_path / "a", "RGB"))
    with caplog.at_level(logging.WARNING, "pydicom"):
        logging.getLogger("pydicom").warning("heard")
    assert "heard" in caplog.text


def test_quiet_keeps_back_what_quotes_a_patient(caplog):
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        with quiet():
            warnings.warn("Invalid value for VR PN: Doe^Jane", stacklevel=1)
            logging.getLogger("pydicom").warning("Doe^Jane")
        assert not seen
        warnings.warn("heard again", stacklevel=1)
        logging.getLogger("pydicom").warning("logged again")
    assert [str(one.message) for one in seen] == ["heard again"]
    assert caplog.messages == ["logged again"]
