"""A study through a real Orthanc: segmented, stored, clean for dciodvfy, and not a second time."""

from __future__ import annotations

import logging
import os

import pydicom
import pytest

from monai_lesion.errors import InputError
from monai_lesion.pacs.archives import Archive, ArchiveClosedError, ArchiveError
from monai_lesion.pacs.credentials import Credentials
from monai_lesion.pacs.web import segment_study
from tests.dicom import CINE, needs_dciodvfy, verdict
from tests.pacs import NAME, names_nobody, planted
from tests.pacs.orthanc import PASSWORD, USER, needs_orthanc

pytest.importorskip("highdicom", reason="the writers need highdicom")
pytest.importorskip("requests", reason="DICOMweb needs requests")
pytestmark = [needs_orthanc, pytest.mark.slow]

QUICK = {"retries": 1, "wait": 0.01}


def archive_of(orthanc):
    return Archive(orthanc.url, Credentials(USER, PASSWORD), **QUICK)


@needs_dciodvfy
def test_study_gains_its_results_once_and_nobody_is_named(orthanc, segmenter, tmp_path, caplog):
    caplog.set_level(logging.DEBUG)
    study = "1.2.3.1"
    files = [planted(tmp_path / "in", number, StudyInstanceUID=study) for number in (11, 12)]
    cine = planted(
        tmp_path / "in", 13, StudyInstanceUID=study, SOPClassUID=CINE, NumberOfFrames=2, SeriesInstanceUID="1.2.3.1.9"
    )
    damaged = planted(tmp_path / "in", 14, StudyInstanceUID=study, BurnedInAnnotation="YES")
    cut = pydicom.dcmread(damaged)
    cut.PixelData = cut.PixelData[:100]
    cut.save_as(damaged)
    orthanc.put(*files, cine, damaged)
    before = set(orthanc.held())

    first = segment_study(archive_of(orthanc), study, segmenter=segmenter, radiomics=tmp_path / "rad", progress=False)
    after = orthanc.held()
    new = set(after) - before
    assert (first.segmented, first.stored, first.present) == (3, 12, 0)
    assert list(first.failures) == ["1.2.826.0.1.3680043.8.498.14"]
    assert sorted(after[uid]["Modality"] for uid in new) == ["OT"] * 4 + ["SEG"] * 4 + ["SR"] * 4
    assert {after[uid]["StudyInstanceUID"] for uid in new} == {study}
    assert {after[uid]["PatientName"] for uid in new} == {NAME}
    for uid in new:
        errors = {line for line in verdict(orthanc.download(uid, tmp_path / "o.dcm"))[1] if line.startswith("Error")}
        assert errors == set(), (uid, after[uid]["Modality"])

    second = segment_study(archive_of(orthanc), study, segmenter=segmenter, progress=False)
    assert set(orthanc.held()) == set(after)
    assert (second.segmented, second.stored, second.present) == (3, 0, 12)
    assert second.skipped == 12

    own = [record for record in caplog.records if record.name.startswith("monai_lesion")]
    assert any("burned-in" in record.getMessage() for record in own)
    assert names_nobody(caplog.text + str(first) + str(first.failures))
    assert PASSWORD not in caplog.text
    for folder, _, names in os.walk(tmp_path / "rad"):
        assert names_nobody(" ".join([folder.removeprefix(str(tmp_path)), *names]))


def test_one_series_is_taken_alone(orthanc, segmenter, tmp_path):
    study = "1.2.3.2"
    orthanc.put(
        planted(tmp_path, 21, StudyInstanceUID=study, SeriesInstanceUID="1.2.3.2.1"),
        planted(tmp_path, 22, StudyInstanceUID=study, SeriesInstanceUID="1.2.3.2.2"),
    )
    outcome = segment_study(archive_of(orthanc), study, "1.2.3.2.2", segmenter=segmenter, progress=False)
    assert (outcome.segmented, outcome.stored) == (1, 3)


def test_wrong_password_ends_it_with_401(orthanc, segmenter, caplog):
    archive = Archive(orthanc.url, Credentials(USER, "wrong-one"), **QUICK)
    with pytest.raises(ArchiveClosedError, match=r"401 Unauthorized.*MONAI_LESION_PACS_USER") as caught:
        segment_study(archive, "1.2.3.1", segmenter=segmenter, progress=False)
    assert "wrong-one" not in str(caught.value) + caplog.text


@pytest.mark.parametrize("study", ["1.2.3.404", "../instances"], ids=["absent", "no-uid"])
def test_study_that_is_not_there_is_said_to_be(orthanc, segmenter, study):
    with pytest.raises(InputError, match=study):
        segment_study(archive_of(orthanc), study, segmenter=segmenter, progress=False)


def test_path_that_is_no_dicomweb_is_404(orthanc, segmenter):
    archive = Archive(f"{orthanc.root}/nothing", Credentials(USER, PASSWORD), **QUICK)
    with pytest.raises(ArchiveError, match="404 Not Found"):
        segment_study(archive, "1.2.3.1", segmenter=segmenter, progress=False)
