from __future__ import annotations

import os

import pytest

from monai_lesion.archive import plans
from monai_lesion.archive.listings import Item
from monai_lesion.archive.plans import extend_plan, read_plan, write_plan
from monai_lesion.errors import InputError


def test_a_plan_reads_back_part_by_part_over_several_files(tmp_path, monkeypatch):
    monkeypatch.setattr(plans, "PARTS", 2)
    items = [Item(f"/a/{number}", size=number, frame=number if number % 2 else None) for number in range(11)]
    assert read_plan(tmp_path) is None
    write_plan(tmp_path, iter(items), part_files=2)
    plan = read_plan(tmp_path)
    assert (plan.parts, plan.items) == (6, 11)
    assert [each for number in range(6) for each in plan.part(number)] == items


@pytest.mark.parametrize("known", [1, 2, 3, 4, 5])
def test_a_plan_grows_by_what_it_does_not_have_and_keeps_its_parts(tmp_path, monkeypatch, known):
    monkeypatch.setattr(plans, "PARTS", 2)
    monkeypatch.setattr(plans, "BATCH", 3)
    items = [Item("/a.tar", f"{number}.png", offset=number) for number in range(11)]
    old = write_plan(tmp_path, items[:known], part_files=1)
    plan = extend_plan(old, old.unseen(reversed(items)), part_files=2)
    assert read_plan(tmp_path) == plan
    assert [plan.part(number) for number in range(known)] == [[item] for item in items[:known]]
    assert [each for number in range(known, plan.parts) for each in plan.part(number)] == items[: known - 1 : -1]
    files = {file: file.stat().st_mtime_ns for file in plan.folder.iterdir()}
    assert extend_plan(plan, plan.unseen([Item("/a.tar", "3.png", offset=7)])) == plan
    assert {file: file.stat().st_mtime_ns for file in plan.folder.iterdir()} == files


def test_growing_that_fails_half_way_changes_nothing(tmp_path):
    def broken():
        yield Item("/b")
        yield Item("/c")
        raise InputError("tar", "must be whole")

    plan = write_plan(tmp_path, [Item("/a")])
    before = {file: file.read_bytes() for file in plan.folder.iterdir()}
    with pytest.raises(InputError, match="must be whole"):
        extend_plan(plan, broken(), part_files=1)
    assert {file: file.read_bytes() for file in plan.folder.iterdir()} == before
    assert read_plan(tmp_path) == plan


def test_names_that_are_no_text_survive(tmp_path):
    name = os.fsdecode(b"/a/\xff\xfe.png")
    write_plan(tmp_path, [Item(name)])
    assert read_plan(tmp_path).part(0)[0].path == name


def test_a_part_ends_when_its_pictures_are_large_and_studies_make_small_parts(tmp_path):
    sizes = [plans.PART_BYTES // 2] * 3 + [plans.PART_BYTES * 2, 1]
    plan = write_plan(tmp_path / "a", [Item("/a", size=size) for size in sizes])
    assert [len(plan.part(number)) for number in range(plan.parts)] == [2, 1, 1, 1]
    plan = write_plan(tmp_path / "b", [Item("http://a", study=str(number)) for number in range(25)])
    assert [len(plan.part(number)) for number in range(plan.parts)] == [10, 10, 5]


def test_a_compressed_tar_file_is_one_part(tmp_path):
    items = [Item("/a.png"), *(Item("/b.tgz", f"{number}.png") for number in range(5)), Item("/c.tgz", "1"), Item("/d")]
    plan = write_plan(tmp_path, items, part_files=2)
    assert [len(plan.part(number)) for number in range(plan.parts)] == [1, 5, 1, 1]


def test_a_plan_that_fails_half_way_leaves_none(tmp_path):
    def broken():
        yield Item("/a")
        raise InputError("tar", "must be whole")

    with pytest.raises(InputError, match="must be whole"):
        write_plan(tmp_path, broken(), part_files=1)
    with pytest.raises(InputError, match="must hold pictures"):
        write_plan(tmp_path, [])
    assert list(tmp_path.iterdir()) == []


def test_a_damaged_plan_is_told(tmp_path):
    plan = write_plan(tmp_path, [Item("/a")])
    (plan.folder / "000000.parquet").write_bytes(b"PAR1")
    with pytest.raises(InputError, match="must be the plan that this run made"):
        plan.part(0)
    (plan.folder / "plan.json").write_text('{"parts": "x"}')
    with pytest.raises(InputError, match="must have the numbers parts and items"):
        read_plan(tmp_path)
