"""Experiment tracking, read back with the programs that show it: the real TensorBoard and MLflow."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from monai_lesion.errors import InputError
from monai_lesion.phantoms.files import write_phantoms
from monai_lesion.training import untracked

CONFIGS = Path(__file__).parents[2] / "bundles" / "lighter_unet" / "configs"
TRAIN, EVALUATE, INFERENCE = (str(CONFIGS / f"{name}.json") for name in ("train", "evaluate", "inference"))
# Loaded by Python before anything else: notes each attempt to reach a network, and refuses it.
NO_NETWORK = """
import os, socket

def refuse(self, address):
    with open(os.environ["NETWORK_LOG"], "a") as file:
        file.write(f"{address}\\n")
    raise OSError("no network in this test")

def resolve(*arguments, **options):
    refuse(None, arguments[:2])

socket.socket.connect = refuse
socket.socket.connect_ex = refuse
socket.getaddrinfo = resolve
"""


def run_bundle(folder, name, configs, **options):
    """One run that MLflow follows; what it does on a network stands in ``network.txt``."""
    options |= {"network_def#group_size": 1, "spatial_size": "[32,32]", "progress": "False", "tracking": "mlflow"}
    options |= {"ckpt_dir": folder / "models"}
    command = [sys.executable, "-m", "monai.bundle", "run", name, "--config_file", str(configs)]
    command += [str(part) for key, value in options.items() for part in (f"--{key}", value)]
    # MLflow is silent by itself where it believes itself tested.
    environment = {key: value for key, value in os.environ.items() if key not in ("PYTEST_CURRENT_TEST", "CI")}
    environment |= {"PYTHONPATH": str(folder), "NETWORK_LOG": str(folder / "network.txt"), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, env=environment, cwd=folder, capture_output=True, text=True, timeout=580)
    assert done.returncode == 0, done.stderr[-3000:]


@pytest.fixture(scope="module", autouse=True)
def mlflow_is_back():
    """tests/conftest.py keeps it from MONAI, which imports it with itself."""
    if sys.modules.get("mlflow", False) is None:
        del sys.modules["mlflow"]


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """The folder of a training of two epochs that TensorBoard and MLflow followed without a network."""
    pytest.importorskip("mlflow")
    pytest.importorskip("tensorboard")
    folder = tmp_path_factory.mktemp("run")
    manifest = write_phantoms(folder / "data", cases=7, seed=2, workers=0, progress=False)
    (folder / "sitecustomize.py").write_text(NO_NETWORK)
    options = {"manifest": manifest, "output_dir": folder / "logs", "run_name": "first", "tensorboard": "True"}
    run_bundle(folder, "training", TRAIN, **options, max_epochs=2, batch_size=4, learning_rate=0.003)
    return folder


@pytest.mark.slow
def test_tracking_reaches_for_no_network(run):
    assert not (run / "network.txt").exists(), (run / "network.txt").read_text()


@pytest.mark.slow
def test_mlflow_has_parameters_metrics_and_artefacts_of_the_run(run):
    import mlflow

    client = mlflow.MlflowClient(f"sqlite:///{run / 'logs' / 'mlruns.db'}")
    (experiment,) = [found for found in client.search_experiments() if found.name != "Default"]
    (found,) = client.search_runs([experiment.experiment_id])
    assert (found.info.run_name, found.info.status) == ("first", "FINISHED")
    expected = {"learning_rate": "0.003", "batch_size": "4", "network": "LighterUNet(group_size=1)", "max_epochs": "2"}
    assert expected.items() <= found.data.params.items()
    losses = [metric.value for metric in client.get_metric_history(found.info.run_id, "val_loss")]
    logged = [line.split(",")[2] for line in (run / "models" / "metrics.csv").read_text().splitlines()[1:]]
    assert [f"{loss:.6f}" for loss in losses] == logged
    assert {"train_loss", "val_mean_dice", "lr_group_0"} <= found.data.metrics.keys()
    folder = Path(client.download_artifacts(found.info.run_id, "", str(run)))
    for name in ("model.pt", "metrics.csv"):
        assert (folder / name).read_bytes() == (run / "models" / name).read_bytes()
    (config,) = folder.glob("config_*.json")
    assert json.loads(config.read_text())["learning_rate"] == 0.003


@pytest.mark.slow
def test_each_evaluation_is_a_finished_run_with_its_means_and_tables(run):
    import mlflow

    options = {"manifest": run / "data" / "phantoms.json", "output_dir": run / "evaluation"}
    for split in ("validation", "test"):
        run_bundle(run, "evaluating", [TRAIN, EVALUATE], **options, split=split)
    client = mlflow.MlflowClient(f"sqlite:///{run / 'evaluation' / 'mlruns.db'}")
    (experiment,) = [found for found in client.search_experiments() if found.name != "Default"]
    last, first = client.search_runs([experiment.experiment_id])
    assert [(found.info.status, found.data.params["split"]) for found in (first, last)] == [
        ("FINISHED", "validation"),
        ("FINISHED", "test"),
    ]
    summary = json.loads((run / "evaluation" / "summary.json").read_text())
    assert last.data.metrics["mean_dice"] == pytest.approx(summary["dice"]["mean"])
    assert last.data.params["weights_id"] == summary["weights_id"]
    folder = Path(client.download_artifacts(last.info.run_id, "", str(run)))
    for name in ("summary.json", "per_image.csv", "per_case.csv"):
        assert (folder / name).read_bytes() == (run / "evaluation" / name).read_bytes()
    assert (folder / "sheet.png").is_file()
    assert not (run / "network.txt").exists(), (run / "network.txt").read_text()


@pytest.mark.slow
def test_tracked_inference_reaches_for_no_network(run):
    run_bundle(run, "inferring", INFERENCE, images=run / "data" / "images", output_dir=run / "masks")
    assert not (run / "network.txt").exists(), (run / "network.txt").read_text()


@pytest.mark.slow
def test_tensorboard_shows_losses_learning_rate_and_four_overlays(run):
    from tensorboard.backend.event_processing import event_accumulator as accumulators

    (file,) = (run / "logs").glob("events*")
    events = accumulators.EventAccumulator(str(file))
    events.Reload()
    assert {"train_loss", "val_loss", "val_mean_dice", "learning_rate"} <= set(events.Tags()["scalars"])
    assert [(row.step, round(row.value, 6)) for row in events.Scalars("learning_rate")] == [(1, 0.003), (2, 0.003)]
    logged = [line.split(",")[2] for line in (run / "models" / "metrics.csv").read_text().splitlines()[1:]]
    assert [f"{row.value:.6f}" for row in events.Scalars("val_loss")] == logged
    validation = len(json.loads((run / "data" / "phantoms.json").read_text())["validation"])
    assert events.Tags()["images"] == [f"validation/{number}" for number in range(1, min(4, validation) + 1)]
    picture = events.Images("validation/1")[-1]
    assert (picture.width, picture.height, picture.step) == (32, 32, 2)


def test_without_mlflow_the_error_names_the_extra(monkeypatch):
    monkeypatch.setattr("monai_lesion.training.tracking.find_spec", lambda name: None)
    with pytest.raises(InputError, match=r"--tracking mlflow: needs the package mlflow.*monai-lesion\[tracking\]"):
        untracked()


@pytest.mark.slow
def test_reports_of_mlflow_are_switched_off(monkeypatch):
    client = pytest.importorskip("mlflow.telemetry.client")
    monkeypatch.setenv("MLFLOW_DISABLE_TELEMETRY", "false")
    monkeypatch.setattr(client, "_MLFLOW_TELEMETRY_CLIENT", object())
    assert untracked() is False
    assert client.get_telemetry_client() is None


def test_overlays_are_drawn_of_the_first_images_only(tmp_path):
    pytest.importorskip("tensorboard")
    from ignite.engine import Engine

    from monai_lesion.training import TensorBoard

    item = {"image": torch.zeros(3, 8, 8), "label": torch.zeros(1, 8, 8), "mask": torch.zeros(1, 8, 8)}
    item["label"][0, 2:6, 2:6] = 1
    evaluator = Engine(lambda engine, batch: [item] * 3)
    trainer = Engine(lambda engine, batch: [{"loss": torch.tensor(0.5)}])
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.125)
    board = TensorBoard(tmp_path, evaluator, optimizer, overlays=4)
    board.attach(trainer)
    evaluator.run([0, 1])
    assert len(board.drawn) == 4
    assert board.drawn[0][1, 4].tolist() == [255, 40, 40]
    assert not any(tmp_path.iterdir()), "nothing is written before the training starts"
