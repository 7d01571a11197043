"""Records that are kept: the same tables, no path, no picture."""

import pytest

from monai_lesion.report.documents import document
from monai_lesion.report.kept_records import keep_records
from monai_lesion.report.pages import write_report
from monai_lesion.report.studies import load_studies
from tests.report.records import change, make_study, read_table

pytestmark = pytest.mark.usefixtures("no_plots")


def test_kept_records_give_the_same_table_and_carry_no_path_or_picture(output, page, tmp_path):
    kept = tmp_path / "results"
    write_report([output], tmp_path / "report", records=kept, cpu_time=False)
    folders = sorted(path.name for path in kept.iterdir())
    assert folders == [f"made-{name}-seed{seed}" for name in ("lighter-u-net-8", "u-net") for seed in (0, 1)]
    text = "".join(path.read_text() for path in kept.rglob("*") if path.is_file())
    assert str(output.parent) not in text
    assert "secret-host" not in text
    assert all(path.suffix in (".json", ".csv") for path in kept.rglob("*") if path.is_file())
    assert document([kept]) == document([output])
    again = write_report([kept], tmp_path / "again", cpu_time=False)
    assert read_table(again, "made_results") == read_table(page, "made_results")
    assert "No pictures" in again.read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("told", "kind"),
    [("OSError: no /data/smith.png\nat 3", "OSError"), ("/data/smith.png: must be a picture, got text", "InputError")],
)
def test_kept_records_tell_which_trials_failed_and_name_no_file(tmp_path, told, kind):
    output = make_study(tmp_path)
    next(output.glob("trials/u-net/wd0.0001-seed1/evaluation/per_image.csv")).unlink()
    change(output, "trials/u-net/wd0.0001-seed1/run.json", state="failed", error=told)
    keep_records(load_studies([output]), tmp_path / "kept")
    assert not [file for file in (tmp_path / "kept").rglob("*") if file.is_file() and b"smith" in file.read_bytes()]
    page = write_report([tmp_path / "kept"], tmp_path / "report", cpu_time=False)
    (failed,) = read_table(page, "failed_trials")
    assert failed == {"trial": "U-net, weight decay 0.0001, seed 1", "error": kind}
    assert read_table(page, "made_results") == read_table(write_report([output], cpu_time=False), "made_results")


def test_what_failed_and_is_no_longer_planned_is_not_kept(tmp_path):
    output = make_study(tmp_path)
    next(output.glob("trials/u-net/wd0.0001-seed1/evaluation/per_image.csv")).unlink()
    change(output, "trials/u-net/wd0.0001-seed1/run.json", state="failed", error="OSError: disk full", entry="FCN-8s")
    keep_records(load_studies([output]), tmp_path / "kept")
    assert len(list((tmp_path / "kept").iterdir())) == 3


def test_what_failed_and_then_went_well_is_no_longer_kept_as_failed(tmp_path):
    output = make_study(tmp_path)
    file = next(output.glob("trials/u-net/wd0.0001-seed1/evaluation/per_image.csv"))
    record, images = file.parents[1] / "run.json", file.read_text(encoding="utf-8")
    before = record.read_text(encoding="utf-8")
    file.unlink()
    change(output, "trials/u-net/wd0.0001-seed1/run.json", state="failed", error="OSError: disk full")
    keep_records(load_studies([output]), tmp_path / "kept")
    (kept,) = load_studies([tmp_path / "kept"])
    assert [trial.seed for trial in kept.failed()] == [1]
    file.write_text(images, encoding="utf-8")
    record.write_text(before, encoding="utf-8")
    keep_records(load_studies([output]), tmp_path / "kept")
    (kept,) = load_studies([tmp_path / "kept"])
    assert not kept.failed()
    assert len(kept.tested("U-net")) == 2
