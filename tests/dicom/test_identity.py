"""Identity: nothing of the patient but what DICOM requires, and one identifier for one content."""

from __future__ import annotations

import warnings
from dataclasses import replace

import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset

from monai_lesion.dicom import Algorithm, measurement_report, secondary_capture, segmentation
from monai_lesion.dicom.identity import IDENTITY, identity
from monai_lesion.errors import InputError
from monai_lesion.measures.sizes import measure
from tests.dicom import CINE, PICTURE, PLANTED, SPACING, WEIGHTS, ellipse_mask, encoded, make_source

pytest.importorskip("highdicom", reason="the writers need highdicom")

ALGORITHM = Algorithm("Lighter U-net @128", "0.1.0", WEIGHTS, bundle_version="0.2.0", settings={"threshold": "0.5"})
OTHERS = [
    replace(ALGORITHM, name="Light U-net"),
    replace(ALGORITHM, version="0.1.1"),
    replace(ALGORITHM, weights="0" * 64),
    replace(ALGORITHM, bundle_version="0.3.0"),
    replace(ALGORITHM, settings={"threshold": "0.4"}),
]


def seg(source, mask, algorithm, frame=None):
    return segmentation(source, mask, algorithm, frame=frame)


def labelmap(source, mask, algorithm, frame=None):
    return segmentation(source, mask, algorithm, frame=frame, kind="labelmap")


def report(source, mask, algorithm, frame=None):
    return measurement_report(source, measure(mask, SPACING), algorithm, frame=frame)


def capture(source, mask, algorithm, frame=None):
    return secondary_capture(source, PICTURE, mask, algorithm, frame=frame, measurements=measure(mask, SPACING))


makers = pytest.mark.parametrize("make", [seg, labelmap, report, capture])


@makers
def test_copies_the_required_attributes_and_nothing_else_of_the_patient(tmp_path, make):
    planted = {
        "PatientName": "Required^Name",
        "PatientID": "required-id",
        "PatientBirthDate": "19700102",
        "ReferringPhysicianName": "Required^Referrer",
        "PatientComments": PLANTED,
        "OtherPatientIDs": PLANTED,
        "OtherPatientNames": PLANTED,
        "PatientAddress": PLANTED,
        "PatientBirthName": PLANTED,
        "PatientSize": 1.7,
        "EthnicGroup": PLANTED,
        "IssuerOfPatientID": PLANTED,
        "InstitutionName": PLANTED,
        "InstitutionAddress": PLANTED,
        "StationName": PLANTED,
        "OperatorsName": PLANTED,
        "PerformingPhysicianName": PLANTED,
        "StudyDescription": PLANTED,
        "SeriesDescription": PLANTED,
        "ImageComments": PLANTED,
        "DeviceSerialNumber": PLANTED,
        "ProtocolName": PLANTED,
        "ManufacturerModelName": PLANTED,
    }
    file = make_source(tmp_path, **planted)
    made, source = make(file, ellipse_mask(), ALGORITHM), pydicom.dcmread(file)
    content = encoded(made)
    assert PLANTED.encode() not in content
    assert b"required-id" in content
    for keyword in IDENTITY:
        assert made[keyword].value == source[keyword].value
    group = {element.keyword for element in made.group_dataset(0x0010)}
    assert group == {"PatientName", "PatientID", "PatientBirthDate", "PatientSex"}


@makers
def test_no_warning_or_log_names_the_patient(tmp_path, make, caplog):
    long = f"{PLANTED}^" + "x" * 80
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        names = {"PatientName": PLANTED, "PatientBirthDate": PLANTED, "StudyTime": PLANTED}
        file = make_source(tmp_path, **names, PatientID=long, StudyID=long, ReferringPhysicianName=long)
    caplog.clear()  # of what making the source said
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        content = encoded(make(file, ellipse_mask(), ALGORITHM))
    assert long.encode() in content
    assert PLANTED not in caplog.text + "".join(str(each.message) for each in caught)


@makers
def test_no_warning_or_log_quotes_what_is_malformed(tmp_path, make, caplog):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        lossy = {"LossyImageCompression": "01", "LossyImageCompressionMethod": f"{PLANTED}\u00e9"}
        file = make_source(tmp_path, **lossy, SeriesInstanceUID=PLANTED)
    caplog.clear()  # of what making the source said
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        made = make(file, ellipse_mask(), ALGORITHM)
        encoded(made)
    assert PLANTED not in caplog.text + "".join(str(each.message) for each in caught)
    assert "LossyImageCompressionMethod" not in made  # dciodvfy would refuse it


@makers
def test_bare_source_gives_empty_attributes(tmp_path, make):
    absent = dict.fromkeys(set(IDENTITY) - {"StudyInstanceUID"} | {"ContentDate", "ContentTime", "InstanceNumber"})
    made = make(make_source(tmp_path, **absent, SeriesNumber=None), ellipse_mask(), ALGORITHM)
    for keyword in set(IDENTITY) - {"StudyInstanceUID"}:
        assert not made[keyword].value
    assert (str(made.ContentDate), str(made.ContentTime), made.InstanceNumber) == ("19000101", "000000", 1)


@makers
def test_same_result_is_the_same_object_byte_for_byte(tmp_path, make):
    file = make_source(tmp_path)
    one, two = (make(file, ellipse_mask(), ALGORITHM) for _ in range(2))
    assert encoded(one) == encoded(two)
    from_dataset = make(pydicom.dcmread(file), ellipse_mask(), ALGORITHM)
    assert encoded(from_dataset) == encoded(one)


@makers
def test_no_identifier_names_two_contents(tmp_path, make):
    file = make_source(tmp_path, SOPClassUID=CINE, NumberOfFrames=2)
    mask = ellipse_mask()
    other = mask.copy()
    other[20, 53] = 1  # one pixel more at the end of the long axis
    first = make(file, mask, ALGORITHM, frame=0)
    made = [first, make(file, other, ALGORITHM, frame=0), make(file, mask, ALGORITHM, frame=1)]
    made += [make(file, mask, algorithm, frame=0) for algorithm in OTHERS]
    file = make_source(tmp_path, SOPClassUID=CINE, NumberOfFrames=2, PatientName="Corrected^Name")
    made.append(make(file, mask, ALGORITHM, frame=0))
    assert len({each.SOPInstanceUID for each in made}) == len(made)
    assert all(each.SOPInstanceUID == each.file_meta.MediaStorageSOPInstanceUID for each in made)
    series = [each.SeriesInstanceUID for each in made]
    assert series[0] == series[1] == series[2] == series[-1]  # one series per source series and algorithm
    assert len(set(series)) == 1 + len(OTHERS)


def test_each_kind_has_a_series_of_its_own(tmp_path):
    file = make_source(tmp_path)
    made = [make(file, ellipse_mask(), ALGORITHM) for make in (seg, report, capture)]
    assert len({each.SeriesInstanceUID for each in made}) == len({each.SeriesNumber for each in made}) == 3
    assert {each.StudyInstanceUID for each in made} == {pydicom.dcmread(file).StudyInstanceUID}


@pytest.mark.parametrize(
    ("number", "expected"),
    [(None, 1), (7, 701), (999_999, 99_999_901), (1_000_000, 1), (2**31 - 1, 48_364_701)],
    ids=["none", "small", "six digits", "seven digits", "the largest of DICOM"],
)
def test_series_number_follows_from_that_of_the_source_and_stays_a_number_of_dicom(tmp_path, number, expected):
    """An integer string holds at most 2 ** 31 - 1 (PS3.5, 6.2)."""
    made = seg(make_source(tmp_path, SeriesNumber=number), ellipse_mask(), ALGORITHM)
    assert made.SeriesNumber == expected


@pytest.mark.parametrize(
    ("keyword", "value", "expected"),
    [
        ("StudyTime", "11:20:00", "112000"),
        ("StudyTime", "185059.000000", "185059.000000"),
        ("StudyTime", "25:00", ""),
        ("StudyDate", "1994.11.05", "19941105"),
        ("StudyDate", "19941399", ""),
        ("PatientSex", "female", ""),
        ("PatientSex", "F", "F"),
        ("PatientID", "a\\b", "a\\b"),
    ],
)
def test_repairs_or_empties_what_is_malformed(keyword, value, expected):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        header = Dataset()
        setattr(header, keyword, value)
        found = identity(header)[keyword].value
    assert ("\\".join(found) if keyword == "PatientID" else found) == expected


@pytest.mark.parametrize(
    ("charset", "name"),
    [
        ("ISO_IR 100", "Müller^Jürgen"),
        (["", "ISO 2022 IR 87"], "Yamada^Tarou=山田^太郎=やまだ^たろう"),
        ("ISO_IR 192", "Иванов^Иван"),
    ],
    ids=["latin-1", "japanese", "utf-8"],
)
def test_names_survive_their_character_set(tmp_path, charset, name):
    file = make_source(tmp_path, SpecificCharacterSet=charset, PatientName=name)
    made = seg(file, ellipse_mask(), ALGORITHM)
    (tmp_path / "seg.dcm").write_bytes(encoded(made))
    again = pydicom.dcmread(tmp_path / "seg.dcm")
    assert str(again.PatientName) == name
    assert again.SpecificCharacterSet == "ISO_IR 192"


@makers
def test_ill_formed_identifiers_of_the_source_are_kept_as_they_are(tmp_path, make):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        file = make_source(tmp_path, StudyInstanceUID="999.01.x", SeriesInstanceUID="5" * 70)
        assert make(file, ellipse_mask(), ALGORITHM).StudyInstanceUID == "999.01.x"


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"weights": ""}, "algorithm weights: must have 1 to 128 characters, got ''"),
        ({"name": "x" * 65}, "algorithm name: must have 1 to 64 characters"),
        ({"name": "a\\b"}, "algorithm: must be printable ASCII without a backslash"),
        ({"settings": {"crop": "région"}}, "algorithm: must be printable ASCII"),
    ],
    ids=["empty", "long", "backslash", "accent"],
)
def test_algorithm_refuses_what_dicom_cannot_hold(values, message):
    with pytest.raises(InputError, match=message):
        Algorithm(**{"name": "net", "version": "0.1.0", "weights": WEIGHTS, **values})


def test_neither_the_hour_nor_the_library_enters(tmp_path):
    made = seg(make_source(tmp_path), np.zeros(PICTURE.shape[:2]), ALGORITHM)
    assert "InstanceCreationDate" not in made
    assert "ContributingEquipmentSequence" not in made
