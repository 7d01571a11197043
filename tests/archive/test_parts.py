from __future__ import annotations

import pytest

from monai_lesion.archive import parts
from monai_lesion.archive.parts import Manifest, check_parts, part_file, read_part, write_part
from monai_lesion.archive.schemas import PLACES
from monai_lesion.errors import InputError
from tests.archive.tables import table

ROWS = [{"path": "/a", "decision": "lesion"}, {"path": "/b", "error": "x"}, {"path": "/c"}]


def test_a_part_is_counted_and_numbered(tmp_path, monkeypatch):
    monkeypatch.setattr(parts, "GROUP", 2)
    found = write_part(tmp_path, 3, "run", iter(ROWS))
    assert (found.rows, found.errors, found.decisions) == (3, 1, {"lesion": 1, "": 1})
    assert [row["row"] for row in table(tmp_path)] == [3 * PLACES, 3 * PLACES + 1, 3 * PLACES + 2]
    assert part_file(tmp_path, 3).parent.name == "block=0000"
    assert part_file(tmp_path, 1234).parent.name == "block=0001"
    assert read_part(tmp_path, 3, "run") == found


def test_what_is_finished_stays_whoever_comes_second(tmp_path, monkeypatch):
    first = write_part(tmp_path, 0, "run", iter(ROWS))
    content = part_file(tmp_path, 0).read_bytes()
    assert write_part(tmp_path, 0, "run", iter(ROWS[:1])) == first
    monkeypatch.setattr("pathlib.Path.exists", lambda _self: False)  # both began before either was finished
    assert write_part(tmp_path, 0, "run", iter(ROWS[:1])) == first
    assert part_file(tmp_path, 0).read_bytes() == content


def test_rows_that_fail_half_way_leave_nothing(tmp_path):
    def broken():
        yield from ROWS
        raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space"):
        write_part(tmp_path, 0, "run", broken())
    assert [file for file in tmp_path.rglob("*") if file.is_file()] == []


def test_a_part_that_the_manifest_lacks_is_taken_up_and_one_the_disk_lacks_is_not(tmp_path):
    written = [write_part(tmp_path, number, "run", iter(ROWS)) for number in range(3)]
    manifest = Manifest(tmp_path)
    manifest.append(written[0])
    manifest.append(written[2])
    part_file(tmp_path, 2).unlink()
    assert check_parts(tmp_path, "run", 3) == {0: written[0], 1: written[1]}
    assert manifest.read()[1] == written[1]


def test_a_manifest_that_was_cut_off_is_read_and_written_on(tmp_path):
    written = [write_part(tmp_path, number, "run", iter(ROWS)) for number in range(3)]
    manifest = Manifest(tmp_path)
    manifest.append(written[0])
    with manifest.path.open("ab") as file:
        file.write(b'{"part": 1, "by')
    assert manifest.read() == {0: written[0]}
    manifest.append(written[1])
    assert manifest.read() == {0: written[0], 1: written[1]}
    manifest.path.write_text("no\n" + manifest.path.read_text())
    with pytest.raises(InputError, match=r"manifest.jsonl: must list the finished parts, got line 1 is damaged"):
        manifest.read()


@pytest.mark.parametrize("listed", [True, False], ids=["listed", "unlisted"])
@pytest.mark.parametrize("damage", ["cut", "changed"])
def test_a_damaged_part_is_named_and_nothing_is_touched(tmp_path, damage, listed):
    written = [write_part(tmp_path, number, "run", iter(ROWS)) for number in range(2)]
    if listed:
        for part in written:
            Manifest(tmp_path).append(part)
    file = part_file(tmp_path, 1)
    content = bytearray(file.read_bytes())
    content[len(content) // 2 : len(content) // 2 + 8] = b"\xff" * 8
    file.write_bytes(content if damage == "changed" else content[:-9])
    before = {each: each.read_bytes() for each in tmp_path.rglob("*") if each.is_file() and each.suffix == ".parquet"}
    with pytest.raises(InputError, match=r"1 finished parts.*\n.*part-000001.parquet: must .*Restore it, or delete"):
        check_parts(tmp_path, "run", 2)
    assert {each: each.read_bytes() for each in before} == before


def test_parts_of_another_run_or_beyond_the_plan_are_refused(tmp_path):
    write_part(tmp_path, 0, "run", iter(ROWS))
    with pytest.raises(InputError, match="got a part of another run"):
        check_parts(tmp_path, "other", 1)
    with pytest.raises(InputError, match="must be one of the plan's 0 parts"):
        check_parts(tmp_path, "run", 0)
