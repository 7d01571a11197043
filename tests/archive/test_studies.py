"""The studies of a DICOMweb query, from a real Orthanc and from one that goes away."""

from __future__ import annotations

import pytest
from PIL import Image

from monai_lesion.archive.jobs import Job, Network
from monai_lesion.archive.listings import Item
from monai_lesion.archive.plans import write_plan
from monai_lesion.archive.restorations import show_row, write_dicom
from monai_lesion.archive.workers import PartWorker
from monai_lesion.errors import InputError
from tests.archive.tables import run, table

pytest.importorskip("requests", reason="DICOMweb needs requests")
GONE = "http://127.0.0.1:1/dicom-web"


def test_an_archive_that_is_not_there_is_told_before_anything_is_planned(model, tmp_path, monkeypatch):
    monkeypatch.setattr("monai_lesion.pacs.archives.time.sleep", lambda _seconds: None)
    with pytest.raises(InputError, match=r"127\.0\.0\.1:1/dicom-web: must be reachable, got Connection refused"):
        run(f"{GONE}?StudyDate=2026-", tmp_path / "out", model)
    assert not (tmp_path / "out" / "plan").exists()


def test_an_archive_that_goes_away_stops_the_run_and_makes_no_rows(model, tmp_path, monkeypatch):
    monkeypatch.setattr("monai_lesion.pacs.archives.time.sleep", lambda _seconds: None)
    write_plan(tmp_path, [Item(GONE, study="1.2.3")])
    network = Network(str(model))
    worker = PartWorker(Job(str(tmp_path), "run", network, weights_id=network.open().algorithm.weights))
    done = worker({"part": [0]})
    assert done["part"] == [""]
    assert "must be reachable" in done["stopped"][0]
    assert list(tmp_path.rglob("part-*")) == []


@pytest.mark.slow
def test_the_studies_of_a_query_are_rows_and_can_be_drawn_again(model, tmp_path, monkeypatch):
    pytest.importorskip("highdicom", reason="highdicom is in the extra dicom")
    from tests.dicom import CINE
    from tests.pacs import planted
    from tests.pacs.orthanc import PASSWORD, PLUGIN, PROGRAM, USER, running_orthanc

    if PROGRAM is None or PLUGIN is None:
        pytest.skip("Orthanc is not installed (Debian: orthanc, orthanc-dicomweb)")
    monkeypatch.setenv("MONAI_LESION_PACS_USER", USER)
    monkeypatch.setenv("MONAI_LESION_PACS_PASSWORD", PASSWORD)
    with running_orthanc(tmp_path / "orthanc") as orthanc:
        orthanc.put(
            planted(tmp_path / "in", 1, StudyInstanceUID="1.2.1", StudyDate="20260101"),
            planted(
                tmp_path / "in",
                2,
                StudyInstanceUID="1.2.2",
                StudyDate="20260102",
                SOPClassUID=CINE,
                NumberOfFrames=3,
                SeriesInstanceUID="1.2.2.9",
            ),
            planted(tmp_path / "in", 3, StudyInstanceUID="1.2.3", StudyDate="20200101"),
        )
        outcome = run(f"{orthanc.url}?StudyDate=20260101-", tmp_path / "out", model)
        rows = table(tmp_path / "out")
        assert (outcome.rows, outcome.errors) == (4, 0)
        assert sorted((row["study_uid"], row["frame"]) for row in rows if row["frame"] is None) == [("1.2.1", None)]
        assert [row["frame"] for row in rows if row["study_uid"] == "1.2.2"] == [0, 1, 2]
        assert {row["path"] for row in rows} == {orthanc.url}
        assert "Planted" not in str(rows)
        file, _ = show_row(tmp_path / "out", rows[0]["row"], tmp_path / "row.png")
        with Image.open(file, formats=["PNG"]) as picture:
            assert picture.size == (rows[0]["image_columns"], rows[0]["image_rows"])
        assert write_dicom(tmp_path / "out", tmp_path / "objects", where="study_uid = '1.2.1'") == 1
        assert PASSWORD not in "".join(
            each.read_text(errors="replace") for each in (tmp_path / "out").rglob("*") if each.is_file()
        )
