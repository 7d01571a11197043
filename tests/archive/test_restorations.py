"""What a row is turned back into is what the segmenter gives of its picture."""

from __future__ import annotations

import tarfile

import numpy as np
import pytest
from PIL import Image

from monai_lesion.archive.jobs import Network
from monai_lesion.archive.restorations import restore, show_row, write_dicom
from monai_lesion.archive.results import Results
from monai_lesion.errors import InputError
from tests.archive.tables import run, table
from tests.dicom import make_source
from tests.segmentation.pictures import red

pytest.importorskip("duckdb", reason="DuckDB is in the extra archive")


@pytest.fixture
def results(pictures, model, tmp_path):
    run(pictures, tmp_path / "out", model)
    return Results.open(tmp_path / "out")


def test_every_result_comes_back(results, model):
    segmenter = Network(str(model)).open()
    for row in table(results.output, clock=True):
        if row["error"] is not None:
            with pytest.raises(InputError, match=f"row {row['row']}: must have a result, got the error"):
                restore(row, results.record)
            continue
        found, expected = restore(row, results.record), segmenter(row["path"], frame=row["frame"])
        assert (found.mask == expected.mask).all()
        assert (found.summary, found.algorithm, found.region) == (
            expected.summary,
            expected.algorithm,
            expected.region,
        )
        assert (found.draw() == expected.draw()).all()
        assert str(found.intervals) == str(expected.intervals)


def test_a_member_of_a_tar_file_is_found_again(pictures, model, tmp_path):
    with tarfile.open(tmp_path / "a.tar.gz", "w:gz") as archive:
        archive.add(pictures / "0.png", "sub/0.png")
    run(tmp_path / "a.tar.gz", tmp_path / "tar", model)
    _, told = show_row(tmp_path / "tar", 0, tmp_path / "0.png")
    assert told.startswith("sub/0.png: long axis")
    with tarfile.open(tmp_path / "a.tar.gz", "w:gz") as archive:
        archive.add(pictures / "0.png", "other.png")
    with pytest.raises(InputError, match=r"a.tar.gz: must hold sub/0.png, got KeyError. The file has changed"):
        show_row(tmp_path / "tar", 0, tmp_path / "1.png")


def test_the_overlay_is_drawn_and_replaces_nothing(results, pictures, tmp_path):
    file, told = show_row(results.output, 0, tmp_path / "row.png")
    with Image.open(file, formats=["PNG"]) as picture:
        drawn = np.asarray(picture)
    assert (drawn != red()[0]).any()
    assert "long axis" in told
    with pytest.raises(InputError, match="must not exist yet"):
        show_row(results.output, 0, file)
    show_row(results.output, 1, file, overwrite=True)
    with pytest.raises(InputError, match="must not be a picture that is segmented"):
        show_row(results.output, 0, pictures / "0.png", overwrite=True)


def test_a_picture_that_has_changed_is_told(results, pictures):
    Image.fromarray(red(20, 30)[0]).save(pictures / "0.png")
    with pytest.raises(InputError, match=r"row 0: its picture must have 48 x 80 pixels, got \(20, 30\)"):
        restore(results.row(0), results.record)


def test_dicom_objects_are_byte_for_byte_those_of_the_segmenter(model, tmp_path):
    pytest.importorskip("highdicom", reason="highdicom is in the extra dicom")
    (tmp_path / "source").mkdir()
    make_source(tmp_path / "source")
    (tmp_path / "source" / "bad.png").write_bytes(b"x")
    Image.fromarray(red()[0]).save(tmp_path / "source" / "plain.png")
    run(tmp_path / "source", tmp_path / "out", model)
    rows = {row["path"].rsplit("/", 1)[-1]: row for row in table(tmp_path / "out")}
    (dicom,) = (row for name, row in rows.items() if name.endswith(".dcm"))
    assert write_dicom(tmp_path / "out", tmp_path / "objects", where="instance_uid IS NOT NULL") == 1
    Network(str(model)).open()(dicom["path"]).save(tmp_path / "expected", ["dicom-seg", "dicom-sr"], name="x")
    for ending in ("sr.dcm", "seg.dcm"):
        expected = tmp_path / "expected" / f"x.{ending}"
        made = tmp_path / "objects" / f"row-{dicom['row']}.{ending}"
        assert made.exists() == expected.exists()
        assert not made.exists() or made.read_bytes() == expected.read_bytes()
    assert (tmp_path / "expected" / "x.sr.dcm").exists()
    with pytest.raises(InputError, match=r"rows: 2 of 3 could not be made into DICOM objects:\n  row 0: must have"):
        write_dicom(tmp_path / "out", tmp_path / "all", where="true")
    with pytest.raises(InputError, match=r"must come from a DICOM file, got .*plain\.png. Select rows by --where"):
        write_dicom(tmp_path / "out", tmp_path / "none", rows=[rows["plain.png"]["row"]])
    assert len(list((tmp_path / "all").iterdir())) >= 1
    with pytest.raises(InputError, match="must select rows, got none"):
        write_dicom(tmp_path / "out", tmp_path / "none", where="false")
