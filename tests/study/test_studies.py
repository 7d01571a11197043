"""A whole study on a few simulated cases: trials that fail, are killed, resume; the same on Ray."""

import csv
import json
import os
import signal
import sys
import threading
import time
from pathlib import Path

import monai
import pytest
import torch

from monai_lesion.errors import InputError
from monai_lesion.phantoms.files import write_phantoms
from monai_lesion.report.pages import markdown_tables
from monai_lesion.study.engines import RayEngine, SequentialEngine, check_address
from monai_lesion.study.jobs import TRAIN, run_job
from monai_lesion.study.records import read_record
from monai_lesion.study.runs import prepare, run_study
from monai_lesion.study.trials import Place
from tests.study.foreground import start

ROOT = Path(__file__).parents[2]
BUNDLE = ROOT / "bundles" / "lighter_unet"
FAST = {"spatial_size": [32, 32], "max_epochs": 2, "min_epochs": 0, "batch_size": 4, "learning_rate": 0.003}
SMALL = {
    "name": "small",
    "networks": ["Lighter U-net @1", {"network": "Lighter U-net @2", "weight_decays": [0.0001], "seeds": [0]}],
    "weight_decays": [0.0001, 0],
    "seeds": [0, 1],
    "overrides": FAST,
}


@pytest.fixture(scope="module")
def manifest(tmp_path_factory):
    folder = tmp_path_factory.mktemp("cases") / "data"
    return write_phantoms(folder, cases=4, seed=2, workers=0, progress=False)


@pytest.fixture
def study_file(tmp_path):
    def write(**changes):
        (tmp_path / "study.json").write_text(json.dumps({**SMALL, **changes}))
        return tmp_path / "study.json"

    return write


@pytest.fixture(autouse=True)
def one_thread():
    """The same sums in the same order, here and on Ray."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def trial(manifest, folder, seed=0, **overrides):
    from monai_lesion.study.specifications import parse_study

    known = parse_study({**SMALL, "networks": ["Lighter U-net @1"], "overrides": {**FAST, **overrides}})
    return Place(folder, BUNDLE, manifest, None).trial(known, known.entries[0], 0.0001, seed)


def run(file, manifest, output, engine=None, **options):
    lines = []
    study, place = prepare(file, output, manifest=manifest, bundle=BUNDLE, **options)
    return run_study(study, place, engine or SequentialEngine(threads=1), say=lines.append), lines


def test_the_same_seed_gives_the_same_weights_and_another_gives_others(manifest, tmp_path):
    hashes = {}
    for name, seed in (("first", 0), ("other", 1), ("second", 0)):
        done = trial(manifest, tmp_path / name, seed, max_epochs=1)
        torch.rand(seed + 5)  # whatever happened before must not matter
        assert run_job(TRAIN, done.as_dict(), threads=1) == ""
        hashes[name] = read_record(done.path)["weights_id"]
    assert hashes["first"] == hashes["second"] != hashes["other"]


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
    assert "Key metric: val_loss" in log or monai.__version__.startswith("1.4.")
    if not monai.__version__.startswith("1.4."):  # whose statistics go to the screen by a way of their own
        assert "val_mean_dice" in log
        assert capfd.readouterr().out == ""


def test_a_failed_trial_is_recorded_with_its_reason(manifest, tmp_path, capfd):
    bad = trial(manifest, tmp_path, patience=0)
    told = run_job(TRAIN, bad.as_dict(), threads=1)
    assert told == "patience: must be positive, got 0"
    assert (read_record(bad.path)["state"], read_record(bad.path)["error"]) == ("failed", told)
    assert "Traceback" in (bad.path / "train.log").read_text()
    assert capfd.readouterr() == ("", "")


def test_a_network_that_has_seen_the_test_split_is_not_trained_again(manifest, tmp_path):
    done = trial(manifest, tmp_path)
    (done.path / "evaluation").mkdir(parents=True)
    assert "must not have been tested before it is trained" in run_job(TRAIN, done.as_dict(), threads=1)


@pytest.mark.slow
def test_a_study_runs_resumes_and_reports(manifest, study_file, tmp_path):
    outcome, lines = run(study_file(), manifest, tmp_path / "whole")
    assert (outcome.trained, outcome.tested, outcome.failures) == (4, 3, {})
    assert lines[-1].startswith("[4/4] done: Lighter U-net @1")
    assert any("min left" in line for line in lines)
    tested = sorted(path.parent.name for path in (tmp_path / "whole").glob("trials/*/*/evaluation"))
    assert len(tested) == 3
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "whole").rglob("*.pt")}
    outcome, lines = run(study_file(), manifest, tmp_path / "whole")
    assert lines == ["4 of 4 networks are trained already"]
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "whole").rglob("*.pt")} == before
    table = markdown_tables([tmp_path / "whole"])
    assert "| Lighter U-net @1 | 1,983,583 |" in table


@pytest.mark.slow
def test_ctrl_c_ends_cleanly_and_the_same_command_goes_on(manifest, study_file, tmp_path):
    networks = ["Lighter U-net @1"]
    file = study_file(networks=networks, weight_decays=[0], seeds=[0], overrides={**FAST, "max_epochs": 40})
    output = tmp_path / "out"
    command = [
        sys.executable,
        "-m",
        "monai_lesion.commands.app",
        "study",
        "run",
        str(file),
        "--manifest",
        str(manifest),
    ]
    command += ["--output", str(output), "--cpus-per-trial", "1"]
    process = start(command)
    log = output / "trials" / "lighter-u-net-1" / "wd0-seed0" / "models" / "metrics.csv"
    for _ in range(6000):
        time.sleep(0.1)
        if log.exists() and len(log.read_text().splitlines()) > 2:
            break
    process.send_signal(signal.SIGINT)
    _, told = process.communicate(timeout=120)
    assert process.returncode == 130, told
    assert "interrupted; the same command goes on" in told
    assert "Traceback" not in told
    assert read_record(log.parents[1])["state"] == "interrupted"
    epochs = len(log.read_text().splitlines()) - 1
    assert 1 < epochs < 40, "interrupted too late to show anything"
    again = start(command)
    _, told = again.communicate(timeout=600)
    assert again.returncode == 0, told
    record = read_record(log.parents[1])
    assert (record["state"], record["epochs"], record["resumed"]) == ("finished", 40, 1)
    whole, _ = run(file, manifest, tmp_path / "whole")
    (unbroken,) = whole.output.glob("trials/*/*")
    assert read_record(unbroken)["weights_id"] == record["weights_id"]


@pytest.mark.slow
def test_a_failed_trial_does_not_stop_the_others(manifest, study_file, tmp_path):
    broken = {"network": "Lighter U-net @2", "overrides": {"patience": 0}}
    file = study_file(networks=[broken, "Lighter U-net @1"], weight_decays=[0], seeds=[0])
    outcome, lines = run(file, manifest, tmp_path / "out")
    assert list(outcome.failures) == ["Lighter U-net @2, weight decay 0, seed 0"]
    assert (outcome.trained, outcome.tested) == (1, 1)
    assert any("FAILED: Lighter U-net @2" in line and "patience: must be positive" in line for line in lines)


@pytest.mark.slow
def test_ray_with_two_workers_one_of_them_killed_gives_the_table_of_the_sequential_run(
    manifest, study_file, tmp_path, monkeypatch
):
    ray = pytest.importorskip("ray", reason="ray comes with the study extra")
    monkeypatch.delenv("RAY_USAGE_STATS_ENABLED", raising=False)
    file = study_file(networks=["Lighter U-net @1"], overrides={**FAST, "max_epochs": 8})
    run(file, manifest, tmp_path / "one")
    output = tmp_path / "two"
    killed = []

    def kill_a_worker():
        for _ in range(12000):
            time.sleep(0.05)
            for log in output.glob("trials/*/*/models/metrics.csv"):
                record = read_record(log.parents[1])
                if record.get("state") == "running" and len(log.read_text().splitlines()) > 2:
                    os.kill(record["pid"], signal.SIGKILL)
                    killed.append(log.parents[1])
                    return

    thread = threading.Thread(target=kill_a_worker)
    thread.start()
    outcome, _ = run(file, manifest, output, RayEngine(workers=2))
    thread.join()
    assert killed, "no worker was killed in time"
    assert outcome.failures == {}
    assert read_record(killed[0])["resumed"] == 1
    assert markdown_tables([output]) == markdown_tables([tmp_path / "one"])
    assert os.environ["RAY_USAGE_STATS_ENABLED"] == "0"  # which the processes that Ray starts inherit
    assert not ray.is_initialized()


@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("127.0.0.1:1", r"--address 127\.0\.0\.1:1: must answer, got .*refused"),
        ("ray://127.0.0.1:1", "must answer"),
        ("head", "must be host:port, ray://host:port or auto, got no port"),
        ("head:many", "must be host:port"),
    ],
)
def test_an_address_that_does_not_answer_is_told_at_once(address, message):
    start = time.monotonic()
    with pytest.raises(InputError, match=message):
        check_address(address)
    assert time.monotonic() - start < 6


def test_a_missing_ray_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(InputError, match=r"--engine ray: needs Ray. pip install 'monai-lesion\[study\]'"):
        RayEngine()


@pytest.mark.parametrize(
    ("settings", "message"),
    [({"seed": 3}, "--set: must not set what the study sets, got 'seed'"), ({"max_epoch": 1}, "got 'max_epoch'")],
    ids=str,
)
def test_refuses_settings_before_anything_is_trained(manifest, study_file, tmp_path, settings, message):
    with pytest.raises(InputError, match=message):
        prepare(study_file(), tmp_path / "out", manifest=manifest, bundle=BUNDLE, settings=settings)
    assert not (tmp_path / "out").exists()


def test_settings_are_overrides_of_every_trial(manifest, study_file, tmp_path):
    options = {"manifest": manifest, "bundle": BUNDLE, "settings": {"max_epochs": 3}}
    study, _ = prepare(study_file(), tmp_path / "out", **options)
    assert study.overrides["max_epochs"] == 3
    with pytest.raises(InputError, match="must hold the same study, got another: overrides differs"):
        prepare(study_file(), tmp_path / "out", manifest=manifest, bundle=BUNDLE)


def test_the_data_may_stand_in_the_study_file(manifest, study_file, tmp_path):
    file = study_file(manifest=str(manifest), dataset_dir=str(manifest.parent))
    _, place = prepare(file, tmp_path / "out", bundle=BUNDLE)
    assert (place.manifest, place.dataset_dir) == (manifest, manifest.parent)


def test_refuses_a_manifest_that_is_not_there(study_file, tmp_path):
    with pytest.raises(InputError, match=r"none\.json: the manifest must exist"):
        prepare(study_file(), tmp_path / "out", manifest=tmp_path / "none.json", bundle=BUNDLE)
