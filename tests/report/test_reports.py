"""A report from finished trials: what may be compared, the tables, the page, the records that are kept."""

import base64
import csv
import json
import re
import subprocess
from html.parser import HTMLParser

import pytest

from monai_lesion.errors import InputError
from monai_lesion.report.costs import network_costs
from monai_lesion.report.documents import BEGIN, END, write_document
from monai_lesion.report.figures import mean_dice, same_cases, worst_images
from monai_lesion.report.keeping import keep_records
from monai_lesion.report.pages import markdown_tables, write_report
from monai_lesion.report.plots import pareto_front
from monai_lesion.report.results import load_results
from monai_lesion.report.tables import Table, results_table
from tests.report.records import change, make_study


@pytest.fixture(scope="module")
def output(tmp_path_factory):
    return make_study(tmp_path_factory.mktemp("made"))


@pytest.fixture(scope="module")
def page(output, tmp_path_factory):
    pytest.importorskip("matplotlib", reason="matplotlib comes with the study extra")
    return write_report([output], tmp_path_factory.mktemp("report"), cpu_time=False)


def table(page, name):
    with (page.parent / "tables" / f"{name}.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def test_the_table_has_costs_results_and_the_papers_figures_marked_as_other_data(page):
    unet, lighter = table(page, "made_results")
    assert (unet["network"], unet["parameters"], unet["GFLOP at 64 x 64"]) == ("U-net", "17,267,393", "5.00")
    assert (lighter["weight decay"], lighter["seeds"]) == ("0.0001", "2")
    assert lighter["Dice (paper, other data)"] == "0.921 ± 0.002"
    assert lighter["95 % HD (paper, other data)"] == "15.14 ± 0.43"
    assert (lighter["missed"], lighter["false alarms"]) == ("1, 1", "1, 1")
    assert re.fullmatch(r"0\.\d{3} ± 0\.\d{3}", unet["Dice"])
    assert re.fullmatch(r"0\.\d{3} to 0\.\d{3}", unet["Dice, 95 % interval"])
    assert float(unet["Dice"][:5]) > float(lighter["Dice"][:5])


def test_the_mean_is_that_of_the_per_image_files(output, page):
    means = []
    for file in sorted(output.glob("trials/u-net/*/evaluation/per_image.csv")):
        with file.open(newline="") as rows:
            values = [float(row["dice"]) for row in csv.DictReader(rows)]
        means.append(sum(values) / len(values))
    assert table(page, "made_results")[0]["Dice"].split(" ± ")[0] == f"{sum(means) / len(means):.3f}"


def test_the_comparison_names_its_reference(page):
    (row,) = table(page, "made_differences")
    assert row["network"] == "Lighter U-net @8"
    assert row["Dice"].startswith("-")


def test_provenance_has_a_row_for_each_training(page):
    rows = table(page, "provenance")
    assert [row["trial"] for row in rows][:2] == [
        "U-net, weight decay 0.0001, seed 0",
        "U-net, weight decay 0.0001, seed 1",
    ]
    assert (rows[0]["commit"], rows[0]["precision"]) == ("0123456789", "bfloat16, channels-last")


class Resources(HTMLParser):
    def __init__(self):
        super().__init__()
        self.links, self.tags = [], []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.links += [value for key, value in attrs if key in ("src", "href")]


def test_the_page_needs_nothing_else_and_says_what_it_is(page):
    text = page.read_text(encoding="utf-8")
    parser = Resources()
    parser.feed(text)
    assert all(link.startswith("data:image/") for link in parser.links)
    assert not {"script", "link", "iframe"} & set(parser.tags)
    assert "url(" not in text
    assert "Research use only; not a medical device" in text
    assert "another data set, no comparison" in text
    assert "trained from scratch" in text
    for link in parser.links:
        kind, data = link.split(";base64,")
        start = base64.b64decode(data)[:5]
        assert start.startswith(b"<?xml" if "svg" in kind else b"\xff\xd8\xff")


def test_the_page_shows_the_same_cases_across_networks_and_the_worst_images(output, page):
    text = page.read_text(encoding="utf-8")
    (study,) = load_results([output])
    rows = same_cases(study)
    assert all(len(row) == 3 for row in rows)
    worst = worst_images(study, "U-net")
    assert len(worst) == 12  # of twenty, for there are no more
    assert "case 05 side: mean Dice 0.000, missed by 4 of 4 trainings" in worst[0].caption
    scores = mean_dice(study.compared())
    assert [float(p.caption.split("mean Dice ")[1][:5]) for p in worst] == pytest.approx(sorted(scores), abs=1e-3)
    assert text.count("data:image/jpeg") == sum(map(len, rows)) + len(worst)


def test_plots_are_also_files(page):
    names = {path.name for path in (page.parent / "figures").iterdir()}
    assert names == {"made_costs.svg", "made_boxes.svg", "made_curves.svg"}


def test_a_second_report_is_the_same(output, page, tmp_path):
    again = write_report([output], tmp_path, cpu_time=False)
    for file in sorted((page.parent / "tables").iterdir()):
        assert (again.parent / "tables" / file.name).read_bytes() == file.read_bytes()


def test_kept_records_give_the_same_table_and_carry_no_path_or_picture(output, page, tmp_path):
    kept = tmp_path / "results"
    write_report([output], tmp_path / "report", records=kept, cpu_time=False)
    folders = sorted(path.name for path in kept.iterdir())
    assert folders == [f"made-{name}-seed{seed}" for name in ("lighter-u-net-8", "u-net") for seed in (0, 1)]
    text = "".join(path.read_text() for path in kept.rglob("*") if path.is_file())
    assert str(output.parent) not in text
    assert "secret-host" not in text
    assert all(path.suffix in (".json", ".csv") for path in kept.rglob("*") if path.is_file())
    assert markdown_tables([kept]) == markdown_tables([output])
    again = write_report([kept], tmp_path / "again", cpu_time=False)
    assert table(again, "made_results") == table(page, "made_results")
    assert "No pictures" in again.read_text(encoding="utf-8")


def test_an_evaluation_made_by_hand_is_a_record_too(tmp_path):
    source = make_study(tmp_path / "made", networks=["U-net"], seeds=[0])
    trial = next(source.glob("trials/*/*"))
    (tmp_path / "results" / "one").mkdir(parents=True)
    (trial / "evaluation" / "per_image.csv").rename(tmp_path / "results" / "one" / "per_image.csv")
    summary = {"network": "UNet()", "manifest": "phantoms", "order": "resize_first"}
    (tmp_path / "results" / "one" / "summary.json").write_text(json.dumps(summary))
    assert "| UNet() |" in markdown_tables([tmp_path / "results"])


def test_an_unfinished_study_says_what_is_missing(tmp_path):
    output = make_study(tmp_path)
    for file in output.glob("trials/lighter-u-net-8/*/evaluation/per_image.csv"):
        file.unlink()
    next(output.glob("trials/u-net/wd0.0001-seed1/evaluation/per_image.csv")).unlink()
    change(output, "trials/lighter-u-net-8/wd0.0001-seed0/run.json", state="failed", error="OSError: disk full")
    page = write_report([output], cpu_time=False)
    assert page == output / "report" / "index.html"
    text = page.read_text(encoding="utf-8")
    assert "Not tested yet: Lighter U-net @8." in text
    assert "Fewer seeds than planned: U-net." in text
    assert table(page, "made_results")[0]["seeds"] == "1 of 2"
    assert table(page, "failed_trials")[0]["error"] == "OSError: disk full"


@pytest.mark.parametrize(
    ("told", "kind"),
    [("OSError: no /data/smith.png\nat 3", "OSError"), ("/data/smith.png: must be a picture, got text", "InputError")],
)
def test_kept_records_tell_which_trials_failed_and_name_no_file(tmp_path, told, kind):
    output = make_study(tmp_path)
    next(output.glob("trials/u-net/wd0.0001-seed1/evaluation/per_image.csv")).unlink()
    change(output, "trials/u-net/wd0.0001-seed1/run.json", state="failed", error=told)
    keep_records(load_results([output]), tmp_path / "kept")
    assert not [file for file in (tmp_path / "kept").rglob("*") if file.is_file() and b"smith" in file.read_bytes()]
    page = write_report([tmp_path / "kept"], tmp_path / "report", cpu_time=False)
    (failed,) = table(page, "failed_trials")
    assert failed == {"trial": "U-net, weight decay 0.0001, seed 1", "error": kind}
    assert table(page, "made_results") == table(write_report([output], cpu_time=False), "made_results")


def test_what_failed_and_is_no_longer_planned_is_not_kept(tmp_path):
    output = make_study(tmp_path)
    next(output.glob("trials/u-net/wd0.0001-seed1/evaluation/per_image.csv")).unlink()
    change(output, "trials/u-net/wd0.0001-seed1/run.json", state="failed", error="OSError: disk full", entry="FCN-8s")
    keep_records(load_results([output]), tmp_path / "kept")
    assert len(list((tmp_path / "kept").iterdir())) == 3


def test_what_failed_and_then_went_well_is_no_longer_kept_as_failed(tmp_path):
    output = make_study(tmp_path)
    file = next(output.glob("trials/u-net/wd0.0001-seed1/evaluation/per_image.csv"))
    record, images = file.parents[1] / "run.json", file.read_text(encoding="utf-8")
    before = record.read_text(encoding="utf-8")
    file.unlink()
    change(output, "trials/u-net/wd0.0001-seed1/run.json", state="failed", error="OSError: disk full")
    keep_records(load_results([output]), tmp_path / "kept")
    (kept,) = load_results([tmp_path / "kept"])
    assert [trial.seed for trial in kept.failed()] == [1]
    file.write_text(images, encoding="utf-8")
    record.write_text(before, encoding="utf-8")
    keep_records(load_results([output]), tmp_path / "kept")
    (kept,) = load_results([tmp_path / "kept"])
    assert not kept.failed()
    assert len(kept.tested("U-net")) == 2


def test_the_ladder_stands_beside_the_papers_and_its_steps(tmp_path):
    rungs = [
        {"network": "Lighter U-net @8", "name": "+ batch 8", "overrides": {"batch_size": 4}},
        {"network": "Lighter U-net @8", "name": "+ weight decay 1e-4"},
    ]
    output = make_study(tmp_path, networks=rungs, table="ladder")
    page = write_report([output], cpu_time=False)
    rows = table(page, "made_results")
    assert [row["Dice (paper, other data)"] for row in rows] == ["0.928", "0.929"]
    assert "95 % HD (paper, other data)" not in rows[0]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (
            {"manifest": {"path": "x", "file_sha256": "dd" * 32}},
            "a table must have one manifest, got aaaaaaaaaaaa in .*",
        ),
        ({"spatial_size": [128, 128]}, "a table must have one input resolution, got 64 x 64 in .*, 128 x 128 in"),
    ],
    ids=["manifests", "resolutions"],
)
def test_refuses_to_mix(tmp_path, values, message):
    output = make_study(tmp_path)
    change(output, "trials/lighter-u-net-8/wd0.0001-seed1/run.json", **values)
    with pytest.raises(InputError, match=message):
        write_report([output], cpu_time=False)
    assert not (output / "report").exists()


def test_refuses_to_mix_test_images(tmp_path):
    output = make_study(tmp_path)
    file = next(output.glob("trials/u-net/wd0.0001-seed1/evaluation/per_image.csv"))
    file.write_text("".join(file.read_text().splitlines(keepends=True)[:-1]))
    with pytest.raises(InputError, match=r"one set of test images, got 12 images in .*, 11 images in"):
        load_results([output])


def test_refuses_a_folder_without_trials_and_a_study_without_tests(tmp_path):
    with pytest.raises(InputError, match="must hold the trials of a study, or kept records, got none"):
        load_results([tmp_path])
    output = make_study(tmp_path)
    for file in output.glob("trials/*/*/evaluation/per_image.csv"):
        file.unlink()
    with pytest.raises(InputError, match="at least one network must have been tested, got 4 trials without"):
        load_results([output])


def test_refuses_an_unknown_reference(output, tmp_path):
    with pytest.raises(InputError, match="--reference: must be of Lighter U-net @8; U-net, got U-Net"):
        write_report([output], tmp_path, reference="U-Net", cpu_time=False)
    with pytest.raises(InputError, match="--reference: must be of Lighter U-net @8; U-net, got U-Net"):
        markdown_tables([output], reference="U-Net")


def test_an_unknown_reference_leaves_the_document_as_it_was(output, tmp_path):
    page = tmp_path / "page.md"
    page.write_text(f"{BEGIN}\nold\n{END}\n")
    with pytest.raises(InputError, match="--reference"):
        write_document([output], page, reference="U-Net")
    assert "old" in page.read_text()


def test_latex_escapes_what_it_must():
    text = Table("100 %", ["network", "a_b"], [["U-net @1 & 2", "0.9 ± 0.1"]]).latex()
    assert r"U-net @1 \& 2 & 0.9 $\pm$ 0.1 \\" in text
    assert r"\caption{100 \%.}" in text
    assert r"network & a\_b \\" in text


def test_latex_compiles(page, tmp_path):
    programs = {"tectonic": [], "pdflatex": ["-interaction=nonstopmode", "-halt-on-error"]}
    from shutil import which

    program = next((name for name in programs if which(name)), None)
    if program is None:
        pytest.skip("no LaTeX on this machine")
    body = "\n".join(path.read_text() for path in sorted((page.parent / "tables").glob("*.tex")))
    text = f"\\documentclass{{article}}\\usepackage{{booktabs,graphicx}}\\begin{{document}}\n{body}\\end{{document}}"
    (tmp_path / "all.tex").write_text(text)
    subprocess.run([program, *programs[program], "all.tex"], cwd=tmp_path, check=True, capture_output=True)


@pytest.mark.parametrize(
    ("points", "front"),
    [
        ([(1, 0.5), (2, 0.6), (3, 0.7)], [0, 1, 2]),
        ([(1, 0.7), (2, 0.6), (3, 0.7)], [0]),
        ([(2, 0.6), (2, 0.7), (1, 0.1)], [2, 1]),
        ([(5, 0.5)], [0]),
    ],
    ids=str,
)
def test_the_front_is_what_no_other_beats(points, front):
    assert pareto_front(points) == front


def test_time_stands_behind_the_arithmetic_only_where_it_was_taken(output):
    (study,) = load_results([output])
    costs = network_costs(study.compared())
    bare = results_table(study, costs)
    assert "CPU, ms" not in bare.columns
    assert "CPU:" not in bare.note
    timed = results_table(study, {name: cost._replace(milliseconds=12.4) for name, cost in costs.items()})
    assert timed.columns.index("CPU, ms") == 3
    assert [row[3] for row in timed.rows] == ["12"] * len(timed.rows)
    assert "CPU: one image in float32" in timed.note
