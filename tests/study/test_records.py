"""What a trial leaves to be checked by."""

import mmap

import pytest

from monai_lesion.errors import InputError
from monai_lesion.study.records import PeakMemory, code_version, read_record, versions


def test_tells_code_and_versions():
    assert set(code_version()) == {"git_commit", "git_changed"}
    assert {"python", "torch", "monai"} <= set(versions())


def test_the_peak_is_of_this_trial():
    memory = PeakMemory()
    before = memory.measure()["process_mib"]
    with mmap.mmap(-1, 64 * 2**20) as block:  # of new pages, even where this process keeps what it has freed
        block.write(bytes(len(block)))
        assert memory.measure()["process_mib"] > before + 32


def test_a_record_that_is_none_is_empty_and_a_damaged_one_is_told(tmp_path):
    assert read_record(tmp_path) == {}
    (tmp_path / "run.json").write_text("[]")
    with pytest.raises(InputError, match=r"run\.json: must be the record of a trial, got list"):
        read_record(tmp_path)
