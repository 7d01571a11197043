"""Names as people give them: which case, which view, whose."""

from __future__ import annotations

from typing import Any

import pytest

from monai_lesion.datasets.patterns import as_entries, left_out, name_by_stem, name_files
from monai_lesion.errors import InputError


def cases(paths: list[str], pattern: str, **options: Any) -> list[tuple[str, str]]:
    return [(e["case_id"], e["view"]) for e in as_entries(name_files(paths, pattern), **options)]


@pytest.mark.parametrize(
    ("paths", "pattern", "found"),
    [
        (["centreA/0.png", "centreB/0.png"], "*/{case}.png", [("centreA/0", "single"), ("centreB/0", "single")]),
        (["centreA/0.png", "centreB/0.png"], "{centre}/{case}.png", [("centreA/0", "single"), ("centreB/0", "single")]),
        (["a/0.png", "b/1.png"], "*/{case}.png", [("0", "single"), ("1", "single")]),
        (["front/0.png", "side/0.png"], "{view}/{case}.png", [("0", "front"), ("0", "side")]),
        (
            ["A/P1/2020/f.png", "A/P1/2021/f.png", "B/P1/2020/f.png"],
            "{centre}/{patient}/*/{view}.png",
            [("A/P1/2020", "f"), ("A/P1/2021", "f"), ("B/P1/2020", "f")],
        ),
        (["P1_f.png", "P1_s.png"], "{patient}_{view}.png", [("P1", "f"), ("P1", "s")]),
        (["x/y/1_f.png", "1_s.png"], "**/{case}_{view}.png", [("x/y/1", "f"), ("1", "s")]),
        (["1.png", "2.JPG"], "{case}.*", [("1", "single"), ("2", "single")]),
    ],
    ids=["wildcard", "column", "no need", "view", "dates", "patient", "any depth", "any ending"],
)
def test_cases_of_different_folders_stay_different(paths: list[str], pattern: str, found: list[Any]) -> None:
    assert cases(paths, pattern) == found


def test_one_name_in_two_folders_is_said(caplog: pytest.LogCaptureFixture) -> None:
    cases(["a/0.png", "b/0.png"], "*/{case}.png")
    assert "case 0 is in a, b: they are taken for different patients. If one patient is in several" in caplog.text
    caplog.clear()
    cases(["P1/a/0.png", "P1/b/0.png"], "{patient}/*/{case}.png")
    assert not caplog.text  # one patient stays in one split
    days = [f"2021-0{day}-01/P{patient}/us_1.png" for day, patient in ((1, 3), (2, 1), (3, 1), (4, 2))]
    cases(days, "**/{case}_{view}.png")
    assert "case us is in 2021-02-01/P1, 2021-03-01/P1, " in caplog.text  # those of one name first


def test_a_name_of_two_readings_is_read_so_that_there_are_cases(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    six = [f"patient_{number:03}_front.png" for number in range(6)]
    assert cases(six, "{case}_{view}.png") == [(f"patient_{number:03}", "front") for number in range(6)]
    assert (
        "patient_000_front.png can be read in several ways; it is taken for case patient_000, view front" in caplog.text
    )
    two = [f"{number:03}_front_{side}.png" for number in range(6) for side in ("left", "right")]
    assert {case for case, _ in cases(two, "{case}_{view}.png")} == {f"{number:03}" for number in range(6)}
    one = [f"scan_{number:03}.png" for number in range(6)]
    assert {case for case, _ in cases(one, "{case}_{view}.png")} == {"scan"}
    assert "1 cases have 6 kinds of view: does {view} take a part of the case's name?" in caplog.text


def test_a_case_has_one_picture_of_a_view_unless_told_otherwise() -> None:
    paths = ["1_front_a.png", "1_front_b.png", "1_side_a.png"]
    with pytest.raises(
        InputError, match=r"one picture of a view, got 1_front_a.png, 1_front_b.png of case 1, view fro"
    ):
        cases(paths, "{case}_{view}_*.png")
    numbered = cases(paths, "{case}_{view}_*.png", repeated_views=True)
    assert numbered == [("1", "front"), ("1", "front 2"), ("1", "side")]


@pytest.mark.parametrize(
    ("paths", "pattern"),
    [
        ([f"Images/bus_{n:04}-{view}.png" for n in range(5) for view in "lr"], r"Images/\{case\}-\{view\}\.png"),
        ([f"{n}_{view}.jpg" for n in range(5) for view in (1, 2)], r"\{case\}_\{view\}\.jpg"),
        ([f"P{n}/{view}.png" for n in range(5) for view in ("front", "side")], r"\{patient\}/\{view\}\.png"),
        ([f"C/P{n}/2020/{view}.png" for n in range(5) for view in "ab"], r"C/\{patient\}/\{date\}/\{view\}\.png"),
        (
            [f"{c}/{n}/{d}/{v}.dcm" for c in "AB" for n in "123" for d in "45" for v in "ab"],
            r"\{centre\}/\{patient\}/\{date\}/\{view\}\.dcm",
        ),
        (
            [f"2021-0{d}-03/PAT{n}/us_{v:04}.PNG" for d in (1, 2) for n in range(3) for v in (1, 2)],
            r"\{date\}/\{patient\}/\{view\}\.PNG",
        ),
        (
            [f"{c}/2021030{d}/{n}/{v}.png" for c in "AB" for d in (1, 2) for n in "123" for v in "ab"],
            r"\{centre\}/\{date\}/\{patient\}/\{view\}\.png",
        ),
        ([f"C{c}/bus_{n}_{v}.png" for c in "AB" for n in range(3) for v in "lr"], r"\*\*/\{case\}_\{view\}\.png"),
        (
            [f"P{n:03}_2021030{day}_{v}.png" for n in range(4) for day in (1, 2) for v in "ab"],
            r"\{patient\}_\{date\}_\{view\}\.png",
        ),
        ([f"{n:03}{side}.png" for n in range(6) for side in "LR"], r"\{case\}\{view\}\.png"),
        ([f"P{n % 5}/2021-03-1{n}/us.png" for n in range(6)], r"\{patient\}/\{date\}/\{view\}\.png"),
    ],
    ids=[
        *("BUS-BRA", "numbers", "folders", "dates", "centres", "days above", "days between", "names in folders"),
        *("days in names", "sides that touch", "one who came again"),
    ],
)
def test_views_of_one_patient_are_asked_about(paths: list[str], pattern: str) -> None:
    with pytest.raises(InputError, match=rf"which pictures are of one patient.*--images '{pattern}'"):
        name_by_stem(paths)


@pytest.mark.parametrize(
    "paths",
    [
        [f"{kind}/{kind} ({n}).png" for kind in ("benign", "malignant") for n in range(9)],
        [f"scan_{n}.png" for n in range(9)],
        [f"P{n}/2021-03-1{n}/us.png" for n in range(9)],
        [f"{centre}_{n:03}.png" for centre in "AB" for n in range(9)],
        ["a.png", "b.png", "c_d.png"],
    ],
    ids=["BUSI", "numbered", "one day each", "centres", "plain"],
)
def test_pictures_that_stand_alone_are_cases(paths: list[str]) -> None:
    entries = as_entries(name_by_stem(paths))
    assert len({entry["case_id"] for entry in entries}) == len(paths)


def test_proposed_patterns_are_read_as_proposed() -> None:
    names = [f"P{n:03}_2021030{day}_{v}.png" for n in range(4) for day in (1, 2) for v in "ab"]
    entries = as_entries(name_files(names, "{patient}_{date}_{view}.png"))
    assert {entry["patient_id"] for entry in entries} == {f"P{number:03}" for number in range(4)}
    assert [entry["case_id"] for entry in entries[:3]] == ["P000/20210301", "P000/20210301", "P000/20210302"]
    sides = [f"{n:03}{side}.png" for n in range(6) for side in "LR"]
    assert cases(sides, "{case}{view}.png") == [(name[:3], name[3]) for name in sides]


def test_what_is_left_out_is_counted_and_named(tmp_path: Any, caplog: pytest.LogCaptureFixture) -> None:
    for name in ("1.png", "2.PNG", "3.jpg", "4 x.png", "1_mask.png", "deep/5.png", "notes.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    left_out(tmp_path, "{case}.png", {"1.png", "4 x.png", "1_mask.png"})
    assert "left out 2 that differ from --images only by letter case or ending: 2.PNG, 3.jpg" in caplog.text
    assert "left out 1 other pictures that --images does not fit: deep/5.png" in caplog.text


def test_patients_of_one_name_in_two_centres_are_two_and_on_two_dates_one() -> None:
    def patients(pattern: str, *paths: str) -> list[str]:
        return [entry["patient_id"] for entry in as_entries(name_files(paths, pattern))]

    both = ("A/P1/f.png", "B/P1/f.png")
    assert patients("{centre}/{patient}/{view}.png", *both) == ["A/P1", "B/P1"]
    assert patients("{study_date}/{patient}/{view}.png", *both) == ["P1", "P1"]
    assert patients("*/{patient}/{view}.png", *both) == ["P1", "P1"]
    assert patients("{centre}/{patient}/{view}.png", "A/P1/f.png", "B/P2/f.png") == ["P1", "P2"]
