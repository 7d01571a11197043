"""What a trial leaves for whoever doubts it."""

import json

import pytest
import torch

from monai_lesion.errors import InputError
from monai_lesion.study.records import PeakMemory, code_version, read_record, versions
from monai_lesion.study.trials import config_hash


def test_the_hash_of_a_config_leaves_out_where_it_runs_and_keeps_what_it_computes():
    config = {"batch_size": 8, "weight_decay": 0.1, "loss": {"_target_": "DiceLoss"}}
    same = {"_desc_": "x", "ckpt_dir": "y", "seed": 3, "device": "cuda", **dict(reversed(config.items()))}
    assert config_hash(same) == config_hash(config)
    assert config_hash({**config, "weight_decay": 0.2}) != config_hash(config)
    assert config_hash({**config, "loss": {"_target_": "DiceCELoss"}}) != config_hash(config)


def test_tells_code_and_versions():
    assert set(code_version()) == {"git_commit", "git_changed"}
    assert {"python", "torch", "monai"} <= set(versions())


def test_the_peak_is_of_this_trial():
    memory = PeakMemory()
    before = memory.measure()["process_mib"]
    block = torch.ones(64 * 2**20 // 4)
    assert memory.measure()["process_mib"] > before + 32
    del block


def test_a_record_that_is_none_is_empty_and_a_damaged_one_is_told(tmp_path):
    assert read_record(tmp_path) == {}
    (tmp_path / "run.json").write_text("[]")
    with pytest.raises(InputError, match=r"run\.json: must be the record of a trial, got list in place"):
        read_record(tmp_path)


def test_a_record_of_earlier_versions_is_read_under_the_keys_of_today(tmp_path):
    earlier = {"weights_hash": "ab", "weights_sha256": "cd", "manifest": {"path": "m.json", "sha256": "ef"}}
    (tmp_path / "run.json").write_text(json.dumps(earlier))
    manifest = {"path": "m.json", "file_sha256": "ef"}
    assert read_record(tmp_path) == {"weights_id": "ab", "weights_file_sha256": "cd", "manifest": manifest}
