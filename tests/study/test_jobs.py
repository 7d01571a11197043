"""A training on a few simulated cases: what it leaves, and what is told when it fails."""

import csv
import re
from dataclasses import replace

import monai
import pytest
import torch

from monai_lesion.study.jobs import EVALUATE, TRAIN, run_job
from monai_lesion.study.records import read_record
from tests.study.small import trial

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.mark.slow
def test_the_same_seed_gives_the_same_weights_and_another_gives_others(manifest, tmp_path):
    hashes = {}
    for name, seed in (("first", 0), ("other", 1), ("second", 0)):
        done = trial(manifest, tmp_path / name, seed, max_epochs=1)
        torch.rand(seed + 5)  # whatever happened before must not matter
        assert run_job(TRAIN, done.as_dict(), threads=1) == ""
        hashes[name] = read_record(done.path)["weights_id"]
    assert hashes["first"] == hashes["second"] != hashes["other"]


@pytest.mark.slow
def test_a_trial_leaves_a_record_for_whoever_doubts_it(manifest, tmp_path, capfd):
    done = trial(manifest, tmp_path)
    run_job(TRAIN, done.as_dict(), threads=1)
    record = read_record(done.path)
    assert (record["state"], record["epochs"], record["seed"], record["threads"]) == ("finished", 2, 0, 1)
    assert record["parameters"] == 1_983_583
    assert record["wall_seconds"] > 0
    assert record["peak_memory"]["process_mib"] > 50
    for key in ("config_sha256", "weights_id", "weights_file_sha256"):
        assert len(record[key]) == 64
    assert len(record["manifest"]["file_sha256"]) == 64
    assert {"git_commit", "device_name", "versions", "started", "finished"} <= set(record)
    with (done.path / "models" / "metrics.csv").open(newline="") as file:
        losses = [float(row["val_loss"]) for row in csv.DictReader(file)]
    assert record["best_val_loss"] == min(losses)
    log = (done.path / "train.log").read_text()
    assert re.search(r"epoch 2 of 2: train_loss [\d.]+, val_loss [\d.]+, val_mean_dice [\d.]+", log)
    if not monai.__version__.startswith("1.4."):  # whose statistics go to the screen by a way of their own
        assert capfd.readouterr().out == ""


@pytest.mark.slow
def test_a_failed_trial_is_recorded_with_its_reason(manifest, tmp_path, capfd):
    bad = trial(manifest, tmp_path, patience=0)
    told = run_job(TRAIN, bad.as_dict(), threads=1)
    assert told == "patience: must be positive, got 0"
    assert (read_record(bad.path)["state"], read_record(bad.path)["error"]) == ("failed", told)
    assert "Traceback" in (bad.path / "train.log").read_text()
    assert capfd.readouterr() == ("", "")


@pytest.mark.slow
def test_a_network_that_has_seen_the_test_split_is_not_trained_again(manifest, tmp_path):
    done = trial(manifest, tmp_path)
    (done.path / "evaluation").mkdir(parents=True)
    assert "must not have been tested before it is trained" in run_job(TRAIN, done.as_dict(), threads=1)


@pytest.mark.slow
def test_a_trial_takes_the_overlays_of_its_recipe(manifest, tmp_path):
    done = trial(manifest, tmp_path, max_epochs=4, batch_size=2, **{"lr_scheduler#warm_up": 0.3})
    done = replace(done, recipe=("converge",))
    assert run_job(TRAIN, done.as_dict(), threads=1) == ""
    assert run_job(EVALUATE, done.as_dict(), threads=1) == ""
    record = read_record(done.path)
    assert (record["recipe"], record["state"]) == (["converge"], "finished")
    last = torch.load(done.path / "models" / "last.ckpt", weights_only=True)
    assert last["average"]  # the recipe keeps a moving average of the weights, the paper's does not
