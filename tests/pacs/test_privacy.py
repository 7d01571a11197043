"""Everything that the commands write, searched for a planted patient: files, their names, standard output and error."""

from __future__ import annotations

import gzip
import os
import signal
import subprocess
import sys
import warnings
from io import BytesIO
from pathlib import Path

import pydicom
import pytest
from PIL import Image
from pydicom import Dataset

from tests.dicom import CINE, RETIRED
from tests.pacs import SMALL, finds_everything, planted
from tests.pacs.orthanc import PASSWORD, USER, free_port, needs_orthanc, running_orthanc

pytest.importorskip("highdicom", reason="the writers need highdicom")
pytestmark = pytest.mark.slow

STUDY = "1.2.826.0.1.3680043.8.498.77"
# What DICOM requires of a patient and a study: in the objects, in these attributes, and nowhere else.
REQUIRED = {
    "PatientName": "Planted^Petra",
    "PatientID": "PLANTED-4711",
    "PatientBirthDate": "19570813",
    "AccessionNumber": "ACC-XQ-8812",
    "StudyID": "SID-XQ-77",
    "ReferringPhysicianName": "Referrer^Quirina",
}
HIDDEN = "Zhidden"  # in every attribute that is nowhere needed
UNNEEDED = (
    "OtherPatientIDs",
    "OtherPatientNames",
    "PatientAddress",
    "PatientTelephoneNumbers",
    "PatientBirthName",
    "PatientMotherBirthName",
    "EthnicGroup",
    "Occupation",
    "AdditionalPatientHistory",
    "PatientComments",
    "InstitutionName",
    "InstitutionAddress",
    "StationName",
    "InstitutionalDepartmentName",
    "OperatorsName",
    "PerformingPhysicianName",
    "NameOfPhysiciansReadingStudy",
    "StudyDescription",
    "SeriesDescription",
    "ImageComments",
    "DeviceSerialNumber",
    "ProtocolName",
    "RequestingPhysician",
)
# "-4711", for the digits alone stand in some UID by chance.
WORDS = [HIDDEN, "Planted", "Petra", "-4711", "19570813", "ACC-XQ", "SID-XQ", "Quirina"]
FORMATS = "png,nifti,json,overlay,dicom-seg,dicom-sr,sc"


def make_sources(folder: Path) -> list[Path]:
    """A calibrated image, a cine, a retired class, one with values that pydicom quotes, one cut off, one burned in."""
    values = {**REQUIRED, **dict.fromkeys(UNNEEDED, HIDDEN), "StudyInstanceUID": STUDY}
    odd = {"StudyTime": "11:20:00", "PatientBirthDate": "Planted", "PatientSex": "Petra", "StudyDate": "Planted Petra"}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        files = [
            planted(folder, 1, **values),
            planted(folder, 2, **values, SOPClassUID=CINE, NumberOfFrames=2),
            planted(folder, 3, **values, SOPClassUID=RETIRED, SeriesInstanceUID=f"{STUDY}.3"),
            planted(folder, 4, **{**values, **odd}),
            planted(folder, 5, **values),
            planted(folder, 6, **values, BurnedInAnnotation="YES"),
        ]
        for file in files:
            dataset = pydicom.dcmread(file)
            dataset.update({name: REQUIRED[name] for name in ("PatientName", "PatientID")})
            dataset.private_block(0x0009, HIDDEN, create=True).add_new(1, "LO", HIDDEN)
            request = Dataset()
            request.ScheduledProcedureStepDescription = request.RequestedProcedureDescription = HIDDEN
            dataset.RequestAttributesSequence = [request]
            if file == files[4]:
                dataset.PixelData = dataset.PixelData[:100]
            dataset.save_as(file)
    assert words_in(files[0].read_bytes()) == WORDS
    return files


def words_in(content: bytes | str) -> list[str]:
    data = (content.encode() if isinstance(content, str) else content).lower()
    return [word for word in WORDS if word.lower().encode() in data]


def leaks_of_object(dataset: Dataset) -> list[str]:
    """Planted words outside the attributes that DICOM requires them in."""
    patient = {element.keyword for element in dataset.group_dataset(0x0010)}
    found = sorted(patient - {"PatientName", "PatientID", "PatientBirthDate", "PatientSex"})
    for keyword in REQUIRED:
        assert keyword in dataset
        del dataset[keyword]
    content = BytesIO()
    dataset.save_as(content, enforce_file_format=True)
    return found + words_in(content.getvalue())


def leaks(folder: Path) -> dict[str, list[str]]:
    found = {}
    for file in sorted(path for path in folder.rglob("*") if path.is_file()):
        content = file.read_bytes()
        if file.suffix == ".dcm":
            words = leaks_of_object(pydicom.dcmread(file))
        elif file.suffix == ".gz":
            words = words_in(gzip.decompress(content))
        else:
            words = words_in(content)
            if file.suffix == ".png":
                words += words_in(str(Image.open(file).info))
        name = str(file.relative_to(folder))
        if words or words_in(name):
            found[name] = words + words_in(name)
    return found


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """A network that finds a lesion everywhere, so that every kind of result is written."""
    return finds_everything(tmp_path_factory.mktemp("weights"))


def start(command, *arguments, weights):
    line = [sys.executable, "-m", "monai_lesion.commands.app", command, *arguments, "--weights", weights, *SMALL]
    variables = {"MONAI_LESION_PACS_USER": USER, "MONAI_LESION_PACS_PASSWORD": PASSWORD, "OMP_NUM_THREADS": "1"}
    pipe = subprocess.PIPE
    return subprocess.Popen(list(map(str, line)), stdout=pipe, stderr=pipe, text=True, env={**os.environ, **variables})


def test_predict_names_nobody(tmp_path, weights):
    sources, out = make_sources(tmp_path / "in"), tmp_path / "out"
    options = ["--output", out, "--formats", FORMATS, "--crop"]
    process = start("predict", *sources, *options, weights=weights)
    output, errors = process.communicate(timeout=500)
    assert process.returncode == 1, errors
    assert "6 could not be segmented" not in errors
    assert "5.dcm: must be a readable DICOM image" in errors
    assert "6.dcm: BurnedInAnnotation is YES" in errors
    written = [file for file in out.iterdir() if file.name != "results.csv"]
    assert len(written) == 6 * len(FORMATS.split(","))  # four images and two frames
    assert leaks(out) == {}
    assert words_in(output + errors) == []


@needs_orthanc
def test_dicomweb_names_nobody(tmp_path, weights):
    pytest.importorskip("requests", reason="DICOMweb needs requests")
    sources = make_sources(tmp_path / "in")
    with running_orthanc(tmp_path / "orthanc") as orthanc:
        orthanc.put(*sources)
        before = set(orthanc.held())
        options = ["--study", STUDY, "--radiomics", tmp_path / "radiomics"]
        process = start("dicomweb", orthanc.url, *options, weights=weights)
        output, errors = process.communicate(timeout=500)
        assert process.returncode == 1, errors
        assert "498.5: must be a readable DICOM image" in errors
        assert "498.6 has burned-in annotation" in errors
        made = set(orthanc.held()) - before
        assert len(made) == 3 * 6
        for uid in made:
            orthanc.download(uid, tmp_path / f"{uid}.dcm")
            assert leaks_of_object(pydicom.dcmread(tmp_path / f"{uid}.dcm")) == []
    assert len(list((tmp_path / "radiomics").iterdir())) == 2 * 6 + 1
    assert leaks(tmp_path / "radiomics") == {}
    assert words_in(output + errors) == []
    assert PASSWORD not in output + errors


@needs_orthanc
@pytest.mark.skipif(os.name != "posix", reason="POSIX signals")
def test_listen_names_nobody(tmp_path, weights):
    pytest.importorskip("pynetdicom", reason="DIMSE needs pynetdicom")
    from tests.pacs.test_listeners import until

    sources, port, queue = make_sources(tmp_path / "in"), free_port(), tmp_path / "queue"
    with running_orthanc(tmp_path / "orthanc", modalities={"LESION": port}) as orthanc:
        names = orthanc.put(*sources)
        before = set(orthanc.held())
        options = ["--aet", "LESION", "--port", port, "--from", "ORTHANC", "--to", f"ORTHANC@127.0.0.1:{orthanc.dicom}"]
        options += ["--host", "127.0.0.1", "--queue", queue, "--radiomics", tmp_path / "radiomics"]
        process = start("listen", *options, weights=weights)
        try:
            log = process.stderr.readline()
            while "LESION is listening on" not in log:
                line = process.stderr.readline()
                assert line, log
                log += line
            orthanc.ask("/modalities/LESION/store", names)
            assert until(lambda: len(orthanc.held()) == len(before) + 18, 500)
            assert until(lambda: not list((queue / "outgoing").iterdir()))
        finally:
            process.send_signal(signal.SIGTERM)
            output, errors = process.communicate(timeout=120)
        log += errors
        for uid in set(orthanc.held()) - before:
            orthanc.download(uid, tmp_path / f"{uid}.dcm")
            assert leaks_of_object(pydicom.dcmread(tmp_path / f"{uid}.dcm")) == []
    assert len(list((queue / "failed").iterdir())) == 1
    assert "498.6 has burned-in annotation" in log
    assert words_in(output + log) == []
    assert words_in(" ".join(str(path.relative_to(tmp_path)) for path in queue.rglob("*"))) == []
    assert leaks(tmp_path / "radiomics") == {}
