"""Identity: nothing of the patient but what DICOM requires, and one identifier for one content."""

from __future__ import annotations

import sys
import warnings
from dataclasses import replace

import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset, FileMetaDataset

from monai_lesion.dicom import Algorithm, measurement_report, secondary_capture, segmentation
from monai_lesion.dicom.identity import (
    IDENTITY,
    creation,
    identity,
    lossy_compression,
    moment,
    seal,
    stable_uid,
    stand_in,
    tracking,
)
from monai_lesion.dicom.sources import SINGLE_FRAME_ULTRASOUND, SourceFrame, open_source
from monai_lesion.errors import InputError
from monai_lesion.measures.sizes import measure
from tests.dicom import (
    CINE,
    PICTURE,
    PLANTED,
    RETIRED,
    RETIRED_CINE,
    SHAPE,
    SPACING,
    WEIGHTS,
    ellipse_mask,
    encoded,
    make_source,
)

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


@pytest.mark.slow
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


def references(dataset):
    """Class and identifier of every instance that a dataset refers to, however deep."""
    for element in dataset:
        if element.VR == "SQ":
            for item in element.value:
                yield from references(item)
    if "ReferencedSOPInstanceUID" in dataset:
        yield str(dataset.ReferencedSOPInstanceUID), str(dataset.ReferencedSOPClassUID)


@pytest.mark.parametrize("make", [seg, labelmap, report])
def test_every_reference_names_the_true_class_of_its_image(tmp_path, make):
    file = make_source(tmp_path, SOPClassUID=RETIRED)
    uid = str(pydicom.dcmread(file).SOPInstanceUID)
    assert set(references(make(file, ellipse_mask(), ALGORITHM))) == {(uid, RETIRED)}


def test_report_does_not_change_the_class_of_the_segmentation(tmp_path):
    file = make_source(tmp_path, SOPClassUID=RETIRED)
    mask, uid = ellipse_mask(), str(pydicom.dcmread(file).SOPInstanceUID)
    other = seg(file, mask, ALGORITHM)
    made = measurement_report(file, measure(mask, SPACING), ALGORITHM, segmentation=other)
    assert set(references(made)) == {(uid, RETIRED), (str(other.SOPInstanceUID), str(other.SOPClassUID))}


def test_identifiers_of_unchanged_inputs_stay():
    """Where one must change, all results of earlier versions get new series: say so in CHANGELOG.md."""
    header = Dataset()
    header.SOPInstanceUID, header.SeriesInstanceUID = "1.2.3", "1.2.4"
    source, algorithm = SourceFrame(header, None, "source.dcm"), Algorithm("net", "0.1.0", "9f86d0")
    root = "1.2.826.0.1.3680043.8.498."
    assert stable_uid("series", "1.2.3") == f"{root}66810896807124916077491838437179880982"
    series = creation(source, algorithm, "SEG")["series_instance_uid"]
    assert series == f"{root}26669712851911622296705904116628894237"
    assert tracking(source, algorithm)[1] == f"{root}96266529469172999793385345950938282233"
    result = Dataset()
    result.ContentLabel, result.file_meta = "LESION", FileMetaDataset()
    sealed = seal(result, source)
    assert sealed.SOPInstanceUID == f"{root}10636933696685672987738096059862397032"
    assert sealed.file_meta.MediaStorageSOPInstanceUID == sealed.SOPInstanceUID


def test_highdicom_sees_a_single_ultrasound_image_of_nobody(tmp_path):
    file = make_source(tmp_path, SOPClassUID=RETIRED_CINE, NumberOfFrames=2, PatientName=PLANTED)
    seen, source = stand_in(open_source(file, 1)), pydicom.dcmread(file)
    assert (seen.SOPClassUID, seen.Modality, seen.Rows, seen.Columns) == (SINGLE_FRAME_ULTRASOUND, "US", *SHAPE)
    for keyword in ("SOPInstanceUID", "SeriesInstanceUID", "StudyInstanceUID"):
        assert seen[keyword].value == source[keyword].value
    assert not any(seen[keyword].value for keyword in set(IDENTITY) - {"StudyInstanceUID"})


def test_lesion_is_tracked_by_picture_and_algorithm(tmp_path):
    file = make_source(tmp_path, SOPClassUID=CINE, NumberOfFrames=2)
    frames = [open_source(file, frame) for frame in (0, 1)]
    (name, first), (_, again) = (tracking(frames[0], ALGORITHM) for _ in range(2))
    assert (name, first) == ("Lesion 1", again)
    others = [tracking(frames[1], ALGORITHM), *(tracking(frames[0], algorithm) for algorithm in OTHERS)]
    assert first not in [uid for _, uid in others]


def test_each_kind_has_a_series_of_its_own(tmp_path):
    file = make_source(tmp_path)
    made = [make(file, ellipse_mask(), ALGORITHM) for make in (seg, report, capture)]
    assert len({each.SeriesInstanceUID for each in made}) == len({each.SeriesNumber for each in made}) == 3
    assert {each.StudyInstanceUID for each in made} == {pydicom.dcmread(file).StudyInstanceUID}


def test_each_kind_has_a_series_number_of_its_own_that_follows_from_that_of_the_source(tmp_path):
    file = make_source(tmp_path, SeriesNumber=7)
    numbers = [make(file, ellipse_mask(), ALGORITHM).SeriesNumber for make in (seg, report, capture, labelmap)]
    assert numbers == [701, 702, 703, 704]


@makers
def test_missing_extra_is_named(tmp_path, make, monkeypatch):
    file = make_source(tmp_path)
    monkeypatch.setitem(sys.modules, "highdicom", None)
    with pytest.raises(InputError, match=r"needs highdicom .* got no highdicom"):
        make(file, ellipse_mask(), ALGORITHM)


@makers
def test_says_what_made_it(tmp_path, make):
    algorithm = replace(ALGORITHM, weights="0123456789abcdef" * 8)
    made = make(make_source(tmp_path, InstanceNumber=12), ellipse_mask(), algorithm)
    assert made.Manufacturer == "monai_lesion"
    assert made.ManufacturerModelName == "Lighter U-net @128"
    assert made.SoftwareVersions == "0.1.0 (bundle 0.2.0, weights 0123456789ab)"
    assert made.DeviceSerialNumber == "0123456789abcdef" * 4  # 64 characters are all that fit
    assert made.InstanceNumber == 12


@pytest.mark.parametrize(
    ("absent", "expected"),
    [
        ((), ("20210304", "010101")),
        (("Content",), ("20210305", "020202")),
        (("Content", "Acquisition"), ("20210306", "030303")),
        (("Content", "Acquisition", "Series"), ("20210307", "040404")),
        (("Content", "Acquisition", "Series", "Study"), ("19000101", "000000")),
    ],
    ids=["content", "acquisition", "series", "study", "none"],
)
def test_moment_is_the_one_nearest_to_the_picture(absent, expected):
    header = Dataset()
    for number, name in enumerate(("Content", "Acquisition", "Series", "Study")):
        if name not in absent:
            setattr(header, f"{name}Date", f"2021030{number + 4}")
            setattr(header, f"{name}Time", f"0{number + 1}" * 3)
    assert moment(header) == expected


def test_moment_without_a_time_is_the_start_of_its_day():
    header = Dataset()
    header.ContentDate, header.StudyDate, header.StudyTime = "20210304", "20210303", "120000"
    assert moment(header) == ("20210304", "000000")


@pytest.mark.filterwarnings("ignore:Invalid value for VR CS")
@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({}, ("00", None, None)),
        ({"LossyImageCompression": "00", "LossyImageCompressionRatio": 9.5}, ("00", None, None)),
        (
            {
                "LossyImageCompression": "01",
                "LossyImageCompressionRatio": 9.5,
                "LossyImageCompressionMethod": "ISO_10918_1",
            },
            ("01", 9.5, "ISO_10918_1"),
        ),
        (
            {"LossyImageCompression": "01", "LossyImageCompressionMethod": ["ISO_10918_1", "ISO_15444_1"]},
            ("01", None, ["ISO_10918_1", "ISO_15444_1"]),
        ),
        ({"LossyImageCompression": "01", "LossyImageCompressionMethod": ["ISO_10918_1", "é"]}, ("01", None, None)),
    ],
    ids=["unknown", "none", "once", "twice", "malformed"],
)
def test_lossy_compression_of_the_source_is_told(tmp_path, values, expected):
    found = lossy_compression(open_source(make_source(tmp_path, **values)))
    names = ("LossyImageCompression", "LossyImageCompressionRatio", "LossyImageCompressionMethod")
    assert tuple(found.get(name) for name in names) == expected


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
        ("PatientSex", "M", "M"),
        ("PatientSex", "O", "O"),
        ("StudyTime", "23", "23"),
        ("StudyTime", "24", ""),
        ("StudyTime", "1960", ""),
        ("StudyTime", "195960", ""),
        ("StudyTime", "195959.1234567", ""),
        ("StudyDate", "1994-11-05", "19941105"),
        ("StudyDate", "1994/11 05", "19941105"),
        ("StudyDate", "941105", ""),
        ("StudyID", None, ""),
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


def test_plain_names_need_no_character_set():
    header = Dataset()
    header.PatientName, header.SpecificCharacterSet = "Muller^Jurgen", "ISO_IR 100"
    assert "SpecificCharacterSet" not in identity(header)


def test_algorithm_takes_what_dicom_just_holds():
    longest = Algorithm("n" * 64, "v" * 16, "w" * 128, bundle_version="b" * 16, settings={"mark": " ~"})
    assert len(longest.version_text) == 64
    unbundled = Algorithm("net", "0.1.0", "9f86d081884c7d65", settings={"threshold": "0.5", "crop": "yes"})
    assert unbundled.version_text == "0.1.0 (weights 9f86d081884c)"
    assert list(unbundled.parameters.items()) == [
        ("weights_id", "9f86d081884c7d65"),
        ("crop", "yes"),
        ("threshold", "0.5"),
        ("notice", "Research use only; not a medical device"),
    ]
    assert list(longest.parameters) == ["bundle_version", "weights_id", "mark", "notice"]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"weights": ""}, "algorithm weights: must have 1 to 128 characters, got ''"),
        ({"name": "x" * 65}, "algorithm name: must have 1 to 64 characters"),
        ({"version": "x" * 17}, "algorithm version: must have 1 to 16 characters"),
        ({"weights": "x" * 129}, "algorithm weights: must have 1 to 128 characters"),
        ({"bundle_version": "x" * 17}, "algorithm bundle_version: must have 1 to 16 characters"),
        ({"name": "a\nb"}, "algorithm: must be printable ASCII"),
        ({"settings": {"région": "1"}}, "algorithm: must be printable ASCII"),
        ({"name": "a\\b"}, "algorithm: must be printable ASCII without a backslash"),
        ({"settings": {"crop": "région"}}, "algorithm: must be printable ASCII"),
    ],
    ids=[
        *("empty", "long name", "long version", "long weights", "long bundle", "line break", "accent in a name"),
        *("backslash", "accent"),
    ],
)
def test_algorithm_refuses_what_dicom_cannot_hold(values, message):
    with pytest.raises(InputError, match=message):
        Algorithm(**{"name": "net", "version": "0.1.0", "weights": WEIGHTS, **values})


def test_neither_the_hour_nor_the_library_enters(tmp_path):
    made = seg(make_source(tmp_path), np.zeros(PICTURE.shape[:2]), ALGORITHM)
    assert "InstanceCreationDate" not in made
    assert "ContributingEquipmentSequence" not in made


@pytest.mark.parametrize(
    ("syntax", "said", "expected"),
    [
        ("1.2.840.10008.1.2.4.50", None, ("01", "ISO_10918_1")),
        ("1.2.840.10008.1.2.4.50", "00", ("01", "ISO_10918_1")),
        ("1.2.840.10008.1.2.4.51", "", ("01", "ISO_10918_1")),
        ("1.2.840.10008.1.2.4.81", None, ("01", "ISO_14495_1")),
        ("1.2.840.10008.1.2.4.91", None, ("01", "ISO_15444_1")),
        ("1.2.840.10008.1.2.4.91", "00", ("00", None)),
        ("1.2.840.10008.1.2.4.70", None, ("00", None)),
        ("1.2.840.10008.1.2.4.90", None, ("00", None)),
        ("1.2.840.10008.1.2.1", None, ("00", None)),
        ("1.2.840.10008.1.2.1", "01", ("01", None)),
    ],
)
def test_what_the_transfer_syntax_loses_is_told_though_the_header_is_silent(tmp_path, syntax, said, expected):
    source = pydicom.dcmread(make_source(tmp_path, LossyImageCompression=said), stop_before_pixels=True)
    source.file_meta.TransferSyntaxUID = syntax
    for made in (
        segmentation(source, ellipse_mask(), ALGORITHM),
        secondary_capture(source, PICTURE, ellipse_mask(), ALGORITHM),
    ):
        assert (made.LossyImageCompression, made.get("LossyImageCompressionMethod")) == expected


def test_highdicom_does_not_repeat_the_source_on_the_log(tmp_path, caplog):
    caplog.set_level("DEBUG")
    file = make_source(tmp_path, PatientName=PLANTED, PatientID=PLANTED)
    caplog.clear()
    for make in (seg, labelmap, report, capture):
        make(file, ellipse_mask(), ALGORITHM)
    assert [record.name for record in caplog.records if not record.name.startswith("monai_lesion")] == []
