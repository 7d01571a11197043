"""The register: what became of each result, what an archive was asked, and what may be forgotten."""

from __future__ import annotations

from dataclasses import replace

import pytest

pytest.importorskip("pydantic", reason="the service needs pydantic")

from monai_lesion.errors import InputError
from monai_lesion.service.registers import DONE, FAILED, STORED, TRYING, WAITING, Record, Register

DAY = 86400


class Clock:
    def __init__(self):
        self.now = 1_000_000_000.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def register(tmp_path, clock):
    found = Register(tmp_path / "register.sqlite", clock)
    yield found
    found.close()


def record(uid="1.1", destination="archive", **changes):
    return Record(uid, destination, "dicom-sr", "1.2.3", "study", "series", **changes)


def done(register, *records):
    for each in records:
        register.add(each)
        register.set(each.uid, each.destination, DONE)
        register.audit("study", each.destination)


def test_a_result_is_entered_once_and_keeps_its_state_over_a_restart(tmp_path, register):
    assert register.add(record()) == WAITING
    register.set("1.1", "archive", TRYING)
    assert register.add(record()) == TRYING
    assert register.state("1.1", "other") == ""
    again = Register(tmp_path / "register.sqlite")
    assert again.state("1.1", "archive") == TRYING
    again.close()


def test_a_failed_result_begins_anew(register):
    register.add(record())
    register.set("1.1", "archive", FAILED)
    assert register.add(record()) == WAITING


def test_results_come_oldest_first(register, clock):
    for uid in ("1.9", "1.1", "1.5"):
        register.add(record(uid))
        clock.now += 1
    assert [row["uid"] for row in register.in_state("archive", WAITING)] == ["1.9", "1.1", "1.5"]
    assert register.counts() == {("archive", WAITING): (3, 1_000_000_000.0)}


def test_a_new_engine_replaces_the_results_of_the_old_and_says_so_again_and_again(register, clock):
    register.add(record("1.1", source="7", frame=-1, engine="old"))
    register.add(record("1.2", source="8", frame=-1, engine="old"))
    clock.now += 1
    register.add(replace(record("1.4", source="7", frame=-1, engine="old"), format="sc"))
    assert register.replaced("7", -1, "old") == []
    assert register.replaced("7", -1, "new") == ["1.1:series:1.2.3", "1.4:series:1.2.3"]
    assert register.replaced("7", -1, "new", ["series", "other"]) == []
    register.add(record("1.3", source="7", frame=-1, engine="new", replaces="1.1:series:1.2.3"))
    done(register, record("1.1"), record("1.3"))
    register.prune(days=0.0, entries=1)
    assert register.state("1.1", "archive") == ""
    assert register.replaced("7", -1, "new") == ["1.1:series:1.2.3"]  # as when it was made first


def test_what_an_archive_is_asked_is_remembered(register, clock):
    register.add(record())
    register.set("1.1", "archive", STORED)
    register.ask("9.1", "archive", ["1.1"])
    assert register.asked("9.1") == "archive"
    assert register.asked("9.2") == ""
    row = register.get("1.1", "archive")
    assert (row["asked"], row["asked_at"]) == (1, clock.now)
    assert register.give_back("1.1", "archive") == 1
    assert register.get("1.1", "archive")["asked"] == 0


def test_a_study_is_audited_when_nothing_of_it_is_open_or_new(register, clock):
    register.add(record("1.1"))
    register.add(record("1.2"))
    register.set("1.1", "archive", DONE)
    assert register.finished() == []
    register.set("1.2", "archive", FAILED)
    assert register.finished() == [("study", "archive")]
    assert register.finished(quiet=10) == []
    clock.now += 10
    assert register.finished(quiet=10) == [("study", "archive")]
    register.audit("study", "archive")
    assert register.finished() == []


def test_pruning_goes_by_age_and_by_number_and_leaves_what_is_open(register, clock):
    for number in range(4):
        done(register, record(f"1.{number}"))
        clock.now += DAY
    register.add(record("1.8"))
    assert register.prune(days=3.5, entries=100) == 1
    assert register.pruned
    assert register.prune(days=100, entries=2) == 2
    assert [register.state(f"1.{number}", "archive") for number in range(4)] == ["", "", "", DONE]
    assert register.state("1.8", "archive") == WAITING


def test_nothing_pruned_is_not_said_to_be(register):
    done(register, record())
    assert register.prune(days=1, entries=10) == 0
    assert not register.pruned


def test_what_is_not_audited_is_not_forgotten(register, clock):
    register.add(record())
    register.set("1.1", "archive", DONE)
    clock.now += 10 * DAY
    assert register.prune(days=1, entries=0) == 0


def test_fetched_images_are_remembered_by_poller(register):
    register.fetch("nightly", "study", ["1.1", "1.2"])
    assert register.was_fetched("nightly", "1.1")
    assert not register.was_fetched("daily", "1.1")


def test_a_damaged_register_is_refused_with_what_to_do(tmp_path):
    file = tmp_path / "bad.sqlite"
    file.write_bytes(b"no database" * 1000)
    with pytest.raises(InputError, match="must be the register of a queue"):
        Register(file)
