"""The tables of a study."""

from __future__ import annotations

import csv
import json
import re

import numpy as np
import pytest

from monai_lesion.report.galleries import same_cases, worst_images
from monai_lesion.report.kept_records import keep_records
from monai_lesion.report.pages import write_report
from monai_lesion.report.studies import load_studies
from monai_lesion.report.study_tables import results_table, training_table
from tests.report.records import make_study, read_table


def test_the_table_has_costs_results_and_the_papers_figures_marked_as_other_data(page):
    unet, lighter = read_table(page, "made_results")
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
    assert read_table(page, "made_results")[0]["Dice"].split(" ± ")[0] == f"{sum(means) / len(means):.3f}"


def test_the_comparison_names_its_reference(page):
    (row,) = read_table(page, "made_differences")
    assert row["network"] == "Lighter U-net @8"
    assert row["Dice"].startswith("-")


def test_provenance_has_a_row_for_each_training(page):
    rows = read_table(page, "provenance")
    assert [row["trial"] for row in rows][:2] == [
        "U-net, weight decay 0.0001, seed 0",
        "U-net, weight decay 0.0001, seed 1",
    ]
    assert (rows[0]["commit"], rows[0]["precision"]) == ("0123456789", "bfloat16, channels-last")


@pytest.mark.slow
def test_the_ladder_stands_beside_the_papers_and_its_steps(tmp_path):
    rungs = [
        {"network": "Lighter U-net @8", "name": "+ batch 8", "overrides": {"batch_size": 4}},
        {"network": "Lighter U-net @8", "name": "+ weight decay 1e-4"},
    ]
    output = make_study(tmp_path, networks=rungs, table="ladder")
    page = write_report([output], cpu_time=False)
    rows = read_table(page, "made_results")
    assert [row["Dice (paper, other data)"] for row in rows] == ["0.928", "0.929"]
    assert "95 % HD (paper, other data)" not in rows[0]


def test_a_long_training_is_told_in_few_rows_the_last_among_them(tmp_path):
    output = make_study(tmp_path, networks=["U-net"], seeds=[0])
    (log,) = output.glob("trials/*/*/models/metrics.csv")
    rows = [f"{epoch},0.8,{1 / epoch},0.2,120" for epoch in range(1, 94)]
    log.write_text("\n".join(["epoch,train_loss,val_loss,val_mean_dice,seconds", *rows]) + "\n")
    table = training_table(load_studies([output])[0])
    assert len(table.rows) <= 20
    assert table.rows[-1] == ["93", "0.800", "0.011", "0.200", "2.0"]


def test_the_table_says_whether_a_training_was_still_rising(tmp_path):
    output = make_study(tmp_path, networks=["U-net"], seeds=[0])
    (log,) = output.glob("trials/*/*/models/metrics.csv")
    rows = [f"{epoch},0.8,0.7,{0.5 + 0.01 * max(epoch, 8)}" for epoch in range(1, 13)]
    log.write_text("\n".join(["epoch,train_loss,val_loss,val_mean_dice", *rows]) + "\n")
    (study,) = load_studies([output])
    table = results_table(study, {})
    assert table.rows[0][table.columns.index("change at the end")] == "+0.020"  # (11 + 12) / 2 less (9 + 10) / 2
    log.write_text("\n".join(["epoch,train_loss,val_loss,val_mean_dice", *rows[:5]]) + "\n")
    assert "change at the end" not in results_table(load_studies([output])[0], {}).columns


def test_images_without_a_lesion_and_with_several_are_told_apart(tmp_path):
    output = make_study(tmp_path / "study", networks=["U-net"], seeds=[0])
    (file,) = output.glob("trials/*/*/evaluation/per_image.csv")
    with file.open(newline="") as table:
        rows = list(csv.DictReader(table))
    rows[0].update(lesions="0", lesions_found="0", dice="0.0", missed="0", false_alarm="1", label="", hd95="")
    rows[1].update(lesions="3", lesions_found="2", label=json.dumps([rows[1]["label"], rows[2]["label"]]))
    with file.open("w", newline="") as table:
        writer = csv.DictWriter(table, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    (study,) = load_studies([output])
    table = results_table(study, {})
    cells = dict(zip(table.columns, table.rows[0], strict=True))
    assert float(cells["Dice"].split()[0]) == pytest.approx(np.mean([float(row["dice"]) for row in rows[1:]]), abs=6e-4)
    lesions = sum(int(row["lesions"]) for row in rows)
    found = sum(int(row["lesions_found"]) for row in rows)
    assert cells["lesions found"] == f"{found} of {lesions}"
    assert cells["false alarms without lesion"] == "1 of 1 (100%)"
    assert f"Dice is over the {len(rows) - 1} images with a lesion." in table.note
    assert len(worst_images(study, "U-net", 3)) == 3
    assert len(same_cases(study)) > 0
    kept = keep_records([study], tmp_path / "kept")
    (again,) = load_studies([tmp_path / "kept"])
    assert len(kept) == 1
    assert results_table(again, {}).rows[0][-2:] == table.rows[0][-2:]
