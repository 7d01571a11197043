"""Files that scanners made, and simulated cases, through the command line and a real Orthanc."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np
import pydicom
import pytest
import typer
from typer.testing import CliRunner

from monai_lesion.commands import pacs as commands
from monai_lesion.errors import InputError
from monai_lesion.phantoms.cases import simulate_case
from monai_lesion.phantoms.dicom import write_dicom
from tests.dicom import needs_dciodvfy, verdict
from tests.pacs import bright_segmenter
from tests.pacs.orthanc import PASSWORD, USER, needs_orthanc
from tests.shared_data import ABSENT, US_DICOM

highdicom = pytest.importorskip("highdicom", reason="the writers need highdicom")
pytest.importorskip("requests", reason="DICOMweb needs requests")
pytestmark = [needs_orthanc, needs_dciodvfy, pytest.mark.slow]
scanner_files = pytest.mark.skipif(not US_DICOM.is_dir(), reason=ABSENT)

CINE_FRAME = 20
LABEL_MAP = "1.2.840.10008.5.1.4.1.1.66.7"
COMPRESSED, PALETTE, COLLEAGUES = (
    ("US1_J2KR.dcm", "US1_UNCR.dcm"),
    ("color-pl.dcm",),
    ("deid_GREYSCALE_IMAGE.dcm", "deid_GREYSCALE_CINE.zip"),
)


@pytest.fixture
def dicomweb(orthanc, segmenter, monkeypatch):
    """The command, with a network that needs no weights; its output and the error at its end."""
    monkeypatch.setenv("MONAI_LESION_PACS_USER", USER)
    monkeypatch.setenv("MONAI_LESION_PACS_PASSWORD", PASSWORD)
    monkeypatch.setattr(commands, "open_segmenter", lambda *_, **__: segmenter)
    app = typer.Typer()
    app.command()(lambda: None)  # with one command alone, typer makes it the whole application
    commands.register(app)

    def run(study, *options):
        arguments = ["dicomweb", orthanc.url, "--study", study, *map(str, options)]
        result = CliRunner().invoke(app, arguments)
        if result.exception is not None and not isinstance(result.exception, InputError):
            raise result.exception
        return result.output, "" if result.exception is None else str(result.exception)

    return run


def unpacked(name: str, folder: Path) -> Path:
    if not name.endswith(".zip"):
        return US_DICOM / name
    with zipfile.ZipFile(US_DICOM / name) as archive:
        return Path(archive.extract(archive.namelist()[0], folder))


def new_objects(orthanc, before):
    """What came in since, by modality; each belongs to the study and has no fault of ours."""
    held = orthanc.held()
    return [tags for uid, tags in held.items() if uid not in before]


def faults_of_ours(orthanc, tags, source_uids, folder):
    """dciodvfy's errors, without those that quote an identifier of the source's own."""
    lines = verdict(orthanc.download(tags["SOPInstanceUID"], folder / "object.dcm"))[1]
    errors = [line for line in lines if line.startswith("Error")]
    return [line for line in errors if not any(f'"{uid}"' in line for uid in source_uids)]


def check_study(orthanc, dicomweb, files, folder, *options, count):
    """Run twice: the first time each image gains SEG, SR and SC without a fault; the second time nothing."""
    headers = [pydicom.dcmread(file, stop_before_pixels=True) for file in files]
    (study,) = {header.StudyInstanceUID for header in headers}
    orthanc.put(*files)
    before = set(orthanc.held())
    output, error = dicomweb(study, *options)
    assert error == ""
    assert f"{count} images segmented, {3 * count} objects stored" in output
    made = new_objects(orthanc, before)
    assert sorted(tags["Modality"] for tags in made) == sorted(["SEG", "SR", "OT"] * count)
    assert {tags["StudyInstanceUID"] for tags in made} == {study}
    uids = {
        header[name].value for header in headers for name in ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID")
    }
    for tags in made:
        assert faults_of_ours(orthanc, tags, uids, folder) == [], tags["Modality"]
    output, error = dicomweb(study, *options)
    assert error == ""
    assert f"0 objects stored, {3 * count} were there already" in output
    assert set(orthanc.held()) == before | {tags["SOPInstanceUID"] for tags in made}
    return made


def test_two_views_of_a_simulated_case_gain_their_results(orthanc, dicomweb, tmp_path):
    case = simulate_case(0, 3)
    files = [tmp_path / f"{view.view}.dcm" for view in case.views]
    for file, view in zip(files, case.views, strict=True):
        write_dicom(file, case, view, seed=0)
    check_study(orthanc, dicomweb, files, tmp_path, count=2)


@scanner_files
@pytest.mark.parametrize("names", [COMPRESSED, PALETTE, COLLEAGUES], ids=["JPEG 2000", "bad UIDs", "calibrated, cine"])
def test_scanners_studies_gain_their_results(orthanc, dicomweb, tmp_path, names):
    files = [unpacked(name, tmp_path) for name in names]
    check_study(
        orthanc, dicomweb, files, tmp_path, *(["--frame", CINE_FRAME] if names == COLLEAGUES else []), count=len(names)
    )


@scanner_files
def test_what_cannot_be_segmented_is_named_and_the_others_are_done(orthanc, dicomweb, tmp_path):
    study, good = "1.2.826.0.1.3680043.8.498.900", "1.2.826.0.1.3680043.8.498.901"
    rules = {
        "cut": "bytes, less than expected",
        "no Rows": "Rows must be a whole number of at least 1, got none",
        "palette": "RGB must have 3 samples per pixel, got SamplesPerPixel 1",
        "CT": None,  # not asked for, so no failure
    }
    for number, kind in enumerate(("good", *rules), 901):
        dataset = pydicom.dcmread(US_DICOM / "US1_UNCR.dcm")
        dataset.StudyInstanceUID, dataset.SOPInstanceUID = study, f"1.2.826.0.1.3680043.8.498.{number}"
        dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
        if kind == "cut":
            dataset.PixelData = dataset.PixelData[:1000]
        elif kind == "no Rows":
            del dataset.Rows
        elif kind == "palette":
            dataset.SamplesPerPixel = 1
        elif kind == "CT":
            dataset.SOPClassUID = dataset.file_meta.MediaStorageSOPClassUID = "1.2.840.10008.5.1.4.1.1.2"
        dataset.save_as(tmp_path / f"{number}.dcm")
        orthanc.put(tmp_path / f"{number}.dcm")
    before = set(orthanc.held())
    output, error = dicomweb(study)
    assert "1 images segmented, 3 objects stored, 0 were there already, 1 others skipped, 3 failed" in output
    lines = [line for line in error.splitlines() if "instance " in line]
    assert len(lines) == 3
    for number, rule in enumerate(rules.values(), 902):
        named = [line for line in lines if f"instance 1.2.826.0.1.3680043.8.498.{number}:" in line]
        assert [rule in line for line in named] == ([True] if rule else [])
    made = new_objects(orthanc, before)
    assert sorted(tags["Modality"] for tags in made) == ["OT", "SEG", "SR"]
    sc = next(tags for tags in made if tags["Modality"] == "OT")
    assert sc["SourceImageSequence"][0]["ReferencedSOPInstanceUID"] == good
    assert "CompressedSamples" not in output + error  # the patient's name


def test_label_map_is_stored_on_request(orthanc, dicomweb, tmp_path):
    case = simulate_case(0, 4)
    write_dicom(tmp_path / "front.dcm", case, case.views[0], seed=0)
    source = pydicom.dcmread(tmp_path / "front.dcm")
    orthanc.put(tmp_path / "front.dcm")
    before = set(orthanc.held())
    _, error = dicomweb(source.StudyInstanceUID, "--seg-type", "labelmap")
    assert error == ""
    (tags,) = (tags for tags in new_objects(orthanc, before) if tags["Modality"] == "SEG")
    file = orthanc.download(tags["SOPInstanceUID"], tmp_path / "seg.dcm")
    seg = highdicom.seg.segread(file)
    assert seg.SOPClassUID == LABEL_MAP
    pixels = seg.get_pixels_by_source_instance([source.SOPInstanceUID])[0]
    found = bright_segmenter()(tmp_path / "front.dcm").mask
    assert found.any()
    np.testing.assert_array_equal(pixels.squeeze(), found)
