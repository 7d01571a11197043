"""Training in several processes, started by torchrun and connected by gloo, on tiny simulated cases."""

from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from monai_lesion.phantoms.files import write_phantoms
from tests.bundles import PLAIN_NETWORK

pytestmark = pytest.mark.slow

CONFIGS = Path(__file__).parents[2] / "bundles" / "lighter_unet" / "configs"
TRAIN, OVERLAY = str(CONFIGS / "train.json"), str(CONFIGS / "multi_gpu_train.json")
CONVERGE = str(CONFIGS.parent / "overlays" / "converge.json")
TINY = {"network_def#group_size": 1, "spatial_size": [32, 32], "tensorboard": False, "device": "cpu", "amp": False}
# Neither normalised over a batch nor random: what one process and two compute is the same but for the order of sums.
PLAIN = {
    "network_def": PLAIN_NETWORK,
    "train#preprocessing#augment": False,
}
# Runs the bundle as `monai.bundle run` does, and notes what this process did.
PROCESS = """
import json, os, sys
from pathlib import Path
from ignite.engine import Events
from monai.bundle import ConfigWorkflow

folder, configs, options, early = json.loads(sys.argv[1])
rank = os.environ.get("RANK", "0")
if early and rank == "1":
    options["max_epochs"] = early
(Path(folder) / f"{rank}.pid").write_text(str(os.getpid()))
workflow = ConfigWorkflow(configs, workflow_type="train", logging_file=False, **options)
workflow.initialize()
trainer, evaluator, seen = workflow.trainer, workflow.evaluator, {"trained": [], "validated": [], "epochs": []}

def files(engine):
    return [Path(item["image"].meta["filename_or_obj"]).stem for item in engine.state.output]

trainer.add_event_handler(Events.ITERATION_COMPLETED, lambda e: seen["trained"].append([e.state.epoch, files(e)]))
evaluator.add_event_handler(Events.ITERATION_COMPLETED, lambda e: seen["validated"].append([e.state.epoch, files(e)]))

@trainer.on(Events.EPOCH_COMPLETED)
def note(engine):
    losses = [evaluator.state.metrics["val_loss"].hex(), evaluator.state.metrics["val_mean_dice"].hex()]
    seen["epochs"].append([*losses, engine.optimizer.param_groups[0]["lr"], engine.state.early_stop])

workflow.run()
workflow.finalize()
(Path(folder) / f"{rank}.json").write_text(json.dumps(seen))
"""


@pytest.fixture(scope="module")
def manifest(tmp_path_factory):
    """Six images to train on, five to validate: one of the second process's shards is smaller."""
    file = write_phantoms(tmp_path_factory.mktemp("cases") / "data", cases=7, seed=4, workers=0, progress=False)
    content = json.loads(file.read_text())
    images = content["training"] + content["validation"] + content["test"]
    content |= {"training": images[:6], "validation": images[6:11], "test": images[12:]}
    file.write_text(json.dumps(content))
    return file


def command(manifest, folder, processes, *, early=0, recipe=(), **options):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "process.py").write_text(PROCESS)
    paths = {"manifest": str(manifest), "ckpt_dir": str(folder / "models"), "output_dir": str(folder / "logs")}
    defaults = {"max_epochs": 2, "batch_size": 6, "learning_rate": 0.003, "progress": False}
    configs = [TRAIN, *recipe, OVERLAY] if processes else [TRAIN, *recipe]
    chosen = json.dumps([str(folder), configs, {**paths, **defaults, **TINY, **options}, early])
    start = ["-m", "torch.distributed.run", "--standalone", f"--nproc_per_node={processes}"] if processes else []
    return [sys.executable, *start, str(folder / "process.py"), chosen]


def environment():
    return {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONWARNINGS": "ignore"}


def train(manifest, folder, processes, **options):
    """Train, and give what each process saw."""
    done = subprocess.run(
        command(manifest, folder, processes, **options), env=environment(), capture_output=True, text=True, timeout=500
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return [json.loads((folder / f"{rank}.json").read_text()) for rank in range(processes or 1)]


def log(folder):
    with (folder / "models" / "metrics.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def weights(folder, name="last.ckpt"):
    state = torch.load(folder / "models" / name, weights_only=True)
    return state["network" if name == "last.ckpt" else "model"]


def largest_difference(first, second):
    return max(
        float((first[key].double() - second[key].double()).abs().max())
        for key in first
        if first[key].is_floating_point()
    )


@pytest.fixture(scope="module")
def pair(manifest, tmp_path_factory):
    """Three epochs of two steps in two processes."""
    folder = tmp_path_factory.mktemp("pair")
    options = {"max_epochs": 3, "batch_size": 4, "lr_scheduler#patience": 0, "learning_rate": 0.02}
    return folder, train(manifest, folder, 2, tensorboard=True, progress=True, **options), options


def test_each_image_is_trained_on_and_validated_once_an_epoch_by_one_process(manifest, pair):
    content = json.loads(manifest.read_text())
    for key, split in (("trained", "training"), ("validated", "validation")):
        listed = sorted(Path(entry["image"]).stem for entry in content[split])
        for epoch in (1, 2, 3):
            seen = [name for process in pair[1] for number, names in process[key] if number == epoch for name in names]
            assert sorted(seen) == listed, (key, epoch)
    steps = [[len(names) for _, names in process["trained"]] for process in pair[1]]
    assert steps == [[2, 1] * 3] * 2
    assert pair[1][0]["trained"][0] != pair[1][0]["trained"][2], "shuffled anew"


def test_loss_schedule_and_early_stop_are_the_same_bits_in_each_process(pair):
    first, second = (process["epochs"] for process in pair[1])
    assert first == second
    assert len({row[0] for row in first}) == 3


def test_one_process_writes_each_file(pair):
    folder = pair[0]
    names = ["last.ckpt", "metrics.csv", "model.json", "model.onnx", "model.pt"]
    assert sorted(path.name for path in (folder / "models").iterdir()) == names
    assert [row["epoch"] for row in log(folder)] == ["1", "2", "3"]
    assert len(list((folder / "logs").glob("events*"))) == 1
    assert not any(key.startswith("module.") for key in weights(folder, "model.pt"))


def test_two_processes_compute_what_one_computes_with_the_same_batch(manifest, tmp_path):
    train(manifest, tmp_path / "one", 0, **PLAIN)
    train(manifest, tmp_path / "two", 2, **PLAIN)
    for one, two in zip(log(tmp_path / "one"), log(tmp_path / "two"), strict=True):
        for name in ("train_loss", "val_loss", "val_mean_dice"):
            assert float(two[name]) == pytest.approx(float(one[name]), abs=1e-5), name
    assert largest_difference(weights(tmp_path / "one"), weights(tmp_path / "two")) < 1e-4


def test_without_synchronised_batch_normalisation_two_processes_stay_near_one(manifest, tmp_path):
    options = {"train#preprocessing#augment": False, "network_def#dropout": 0.0, "max_epochs": 3}
    train(manifest, tmp_path / "one", 0, **options)
    train(manifest, tmp_path / "two", 2, **options)
    for one, two in zip(log(tmp_path / "one"), log(tmp_path / "two"), strict=True):
        assert float(two["train_loss"]) == pytest.approx(float(one["train_loss"]), abs=0.03)
        assert float(two["val_loss"]) == pytest.approx(float(one["val_loss"]), abs=0.03)


def test_resume_in_two_processes_goes_on_where_they_were_and_takes_up_what_one_process_left(manifest, pair, tmp_path):
    folder, _, options = pair
    train(manifest, tmp_path, 2, **{**options, "max_epochs": 1})
    train(manifest, tmp_path, 2, **options, resume=True)
    assert largest_difference(weights(folder), weights(tmp_path)) == 0
    assert [row["val_loss"] for row in log(tmp_path)] == [row["val_loss"] for row in log(folder)]
    train(manifest, tmp_path, 0, **{**options, "max_epochs": 4}, resume=True)
    assert [row["epoch"] for row in log(tmp_path)] == ["1", "2", "3", "4"]


def test_converging_recipe_in_two_processes_averages_what_one_does(manifest, tmp_path):
    # All images make one batch, so that their order does not matter.
    options = {"recipe": [CONVERGE], "max_epochs": 8, "batch_size": 6, "train#batch#augmentation": []}
    options |= {"network_def": PLAIN_NETWORK, "train#preprocessing#calipers": 0.0, "lr_scheduler#warm_up": 0.3}
    train(manifest, tmp_path / "one", 0, **options)
    train(manifest, tmp_path / "two", 2, **options)
    for name in ("last.ckpt", "model.pt"):
        # A bias before a normalisation has no gradient but rounding, which Adam makes as large as any.
        one, two = (
            {key: value for key, value in weights(tmp_path / kind, name).items() if key.endswith("weight")}
            for kind in ("one", "two")
        )
        assert largest_difference(one, two) < 1e-5
    states = [torch.load(tmp_path / name / "models" / "last.ckpt", weights_only=True) for name in ("one", "two")]
    assert all(state["average"]["n_averaged"] == 8 for state in states)


def test_processes_choose_one_precision(manifest, tmp_path):
    options = {"recipe": [CONVERGE], "max_epochs": 3, "batch_size": 2, "amp": "auto", "lr_scheduler#warm_up": 0.3}
    first, second = train(manifest, tmp_path / "whole", 2, **options)
    assert first["epochs"] == second["epochs"]
    whole = torch.load(tmp_path / "whole" / "models" / "last.ckpt", weights_only=True)
    assert isinstance(whole["precision"]["low"], bool)


def test_early_stop_ends_all_processes_at_the_same_epoch(manifest, tmp_path):
    options = {"learning_rate": 0.0, "patience": 1, "min_epochs": 0, "max_epochs": 40, "seed": 3}
    processes = train(manifest, tmp_path, 2, **options)
    assert len(processes[0]["epochs"]) == len(processes[1]["epochs"]) < 40


def test_a_process_that_is_killed_ends_the_others_within_a_minute(manifest, tmp_path):
    run = subprocess.Popen(
        command(manifest, tmp_path, 2, max_epochs=100_000), env=environment(), stderr=subprocess.PIPE, text=True
    )
    wait_for(lambda: (tmp_path / "models" / "last.ckpt").exists() or run.poll() is not None)
    os.kill(int((tmp_path / "1.pid").read_text()), signal.SIGKILL)
    start = time.monotonic()
    _, errors = run.communicate(timeout=120)
    assert time.monotonic() - start < 60
    assert run.returncode != 0
    assert "Signal" in errors
    assert not Path(f"/proc/{(tmp_path / '0.pid').read_text()}").exists()
    # The lock's file stays; who held it is gone, so the next training may have it.
    assert {path.name for path in (tmp_path / "models").iterdir() if path.name.startswith(".")} <= {".training.lock"}


def test_a_process_that_finishes_early_ends_the_others_with_the_reason(manifest, tmp_path):
    done = subprocess.run(
        command(manifest, tmp_path, 2, early=1, max_epochs=100_000),
        env=environment(),
        capture_output=True,
        text=True,
        timeout=500,
    )
    assert time.time() - (tmp_path / "1.json").stat().st_mtime < 60
    assert done.returncode != 0
    assert "The reason: another process of this training has ended" in done.stderr


def wait_for(happened, seconds=400):
    end = time.monotonic() + seconds
    while not happened():
        assert time.monotonic() < end, "nothing happened"
        time.sleep(0.05)
