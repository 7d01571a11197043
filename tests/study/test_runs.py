"""A whole study on a few simulated cases: it ends, is interrupted, goes on, and a trial of it fails."""

import json
import signal
import sys
import time

import pytest

from monai_lesion.errors import InputError
from monai_lesion.report.documents import document
from monai_lesion.study.records import read_record
from monai_lesion.study.runs import prepare
from tests.study.foreground import start
from tests.study.small import BUNDLE, FAST, run

pytestmark = pytest.mark.usefixtures("one_thread")


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
    assert "| Lighter U-net @1 | 1,983,583 |" in document([tmp_path / "whole"])


@pytest.mark.slow
def test_ctrl_c_ends_cleanly_and_the_same_command_goes_on(manifest, study_file, tmp_path):
    networks = ["Lighter U-net @1"]
    overrides = {**FAST, "max_epochs": 40, "amp": False}  # what is measured at the start may differ in a second study
    file = study_file(networks=networks, weight_decays=[0], seeds=[0], overrides=overrides)
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
    assert "interrupted; run the same command again to continue" in told
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


def test_a_part_of_a_study_runs_and_the_folder_is_the_whole_studys(manifest, study_file, tmp_path):
    options = {"manifest": manifest, "bundle": BUNDLE}
    part, _ = prepare(study_file(), tmp_path / "out", only=["Lighter U-net @2"], **options)
    assert [entry.name for entry in part.entries] == ["Lighter U-net @2"]
    kept = json.loads((tmp_path / "out" / "study.json").read_text())["study"]["networks"]
    assert [entry["name"] for entry in kept] == ["Lighter U-net @1", "Lighter U-net @2"]
    with pytest.raises(InputError, match="--only: must be one of Lighter U-net @1; Lighter U-net @2, got @2"):
        prepare(study_file(), tmp_path / "other", only=["@2"], **options)
    assert not (tmp_path / "other").exists()


def test_one_seed_of_a_network_runs_alone(manifest, study_file, tmp_path):
    options = {"manifest": manifest, "bundle": BUNDLE}
    later = {"network": "Lighter U-net @2", "seeds": [0, 1, 2]}
    file = study_file(networks=["Lighter U-net @1", later], seeds=[0])
    part, _ = prepare(file, tmp_path / "out", seeds=[1, 2], **options)
    assert [(entry.name, entry.seeds) for entry in part.entries] == [("Lighter U-net @2", (1, 2))]
    kept = json.loads((tmp_path / "out" / "study.json").read_text())["study"]["networks"]
    assert [entry["seeds"] for entry in kept] == [[0], [0, 1, 2]]
    with pytest.raises(InputError, match="--seed: must be one of 0, got 1"):
        prepare(file, tmp_path / "other", only=["Lighter U-net @1"], seeds=[1], **options)
    assert not (tmp_path / "other").exists()


def test_the_data_may_stand_in_the_study_file(manifest, study_file, tmp_path):
    file = study_file(manifest=str(manifest), dataset_dir=str(manifest.parent))
    _, place = prepare(file, tmp_path / "out", bundle=BUNDLE)
    assert (place.manifest, place.dataset_dir) == (manifest, manifest.parent)


def test_refuses_a_manifest_that_is_not_there(study_file, tmp_path):
    with pytest.raises(InputError, match=r"none\.json: the manifest must exist"):
        prepare(study_file(), tmp_path / "out", manifest=tmp_path / "none.json", bundle=BUNDLE)
