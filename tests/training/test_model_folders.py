from __future__ import annotations

import json
import logging
import subprocess
import sys

import numpy as np
import pytest
import torch
from ignite.engine import Engine, Events
from torch import nn

from monai_lesion import LesionSegmenter
from monai_lesion.models.folders import read_model
from monai_lesion.networks import FCN, LighterUNet, TrustHeads
from monai_lesion.networks.merging import merge_sets
from monai_lesion.training import Checkpoints
from monai_lesion.training.averaging import WeightAverage
from monai_lesion.training.model_folders import LeaveModelFolder

SIZE = (32, 48)


def small():
    torch.manual_seed(0)
    return LighterUNet(group_size=1, width=0.125, dropout=0.3)


def train(folder, network, losses=(0.5, 0.2, 0.3), *, average=None, input_size=SIZE, raises=None, stop=None):
    """Add one to the bias of the last layer each epoch, with these validation losses."""
    evaluator, trainer = Engine(lambda engine, batch: None), Engine(lambda engine, batch: None)
    bias = [parameter for name, parameter in network.named_parameters() if name.endswith("bias")][-1]

    @trainer.on(Events.EPOCH_COMPLETED)
    def epoch(engine):
        with torch.no_grad():
            bias.add_(1)
        evaluator.state.epoch = engine.state.epoch
        evaluator.state.metrics["val_loss"] = losses[engine.state.epoch - 1]
        if engine.state.epoch == stop:
            engine.terminate()

    @trainer.on(Events.EPOCH_STARTED)
    def fail(engine):
        if raises is not None and engine.state.epoch == len(losses):
            raise raises

    Checkpoints(folder, evaluator, network, {}, average=average, input_size=input_size).attach(trainer)
    LeaveModelFolder(folder, network).attach(trainer)
    trainer.run([0], max_epochs=len(losses))


def logits(folder, pixels):
    return LesionSegmenter.from_model(folder).runtime.outputs(pixels)[0]


def expected(network, folder, pixels):
    network.load_state_dict(torch.load(folder / "model.pt", weights_only=True)["model"])
    with torch.no_grad():
        found = network.eval()(torch.from_numpy(pixels))
    return (found if isinstance(found, torch.Tensor) else found[0]).numpy()


@pytest.fixture
def pixels():
    return np.random.default_rng(0).random((1, 3, *SIZE), np.float32)


@pytest.mark.slow
def test_the_model_is_the_best_network_with_what_it_was_trained_with(tmp_path, pixels, caplog):
    caplog.set_level(logging.INFO)
    folder = tmp_path / "second try" / "models"
    train(folder, small())
    model = read_model(folder)
    assert model.is_current
    assert model.description.name == "second try"
    assert model.description.steps.input_size == SIZE
    definition = {"_target_": "monai_lesion.networks.LighterUNet", "width": 0.125, "group_size": 1, "dropout": 0.3}
    assert model.description.network_def == definition
    np.testing.assert_allclose(logits(folder, pixels), expected(small(), folder, pixels), atol=1e-4)
    assert f"monai-lesion predict scan.png --bundle '{folder}' --output results" in caplog.text


@pytest.mark.parametrize("make", [
    pytest.param(lambda: TrustHeads(small()), id="scores", marks=pytest.mark.slow),
    pytest.param(lambda: merge_sets(LighterUNet(group_size=128, width=0.25)), id="merged sets", marks=pytest.mark.slow),
    pytest.param(lambda: TrustHeads(FCN(stride=32)), id="a stride that shapes do not tell", marks=pytest.mark.slow),
    pytest.param(lambda: nn.Conv2d(3, 1, 3, padding=1), id="another class"),
])  # fmt: skip
def test_other_networks_leave_a_folder_too(tmp_path, pixels, make):
    torch.manual_seed(0)
    network = make()
    train(tmp_path, network)
    np.testing.assert_allclose(logits(tmp_path, pixels), expected(network, tmp_path, pixels), atol=1e-3)


@pytest.mark.slow
def test_the_average_of_the_weights_is_the_model_where_one_is_taken(tmp_path, pixels):
    network = small()
    average = WeightAverage(network, 0.9)
    with torch.no_grad():
        network.head.weight += 1
    train(tmp_path, network, average=average)
    np.testing.assert_allclose(logits(tmp_path, pixels), expected(small(), tmp_path, pixels), atol=1e-4)
    assert torch.equal(
        torch.load(tmp_path / "model.pt", weights_only=True)["model"]["head.weight"], small().head.weight
    )


@pytest.mark.parametrize(
    "error",
    [
        pytest.param(KeyboardInterrupt(), id="Ctrl-C"),
        pytest.param(ValueError("a bad picture"), id="error", marks=pytest.mark.slow),
    ],
)
def test_an_interrupted_training_leaves_its_model_and_its_error(tmp_path, error):
    with pytest.raises(type(error)):
        train(tmp_path, small(), raises=error)
    assert read_model(tmp_path).is_current


@pytest.mark.slow
def test_a_training_that_stops_early_leaves_its_model(tmp_path):
    train(tmp_path, small(), stop=2)
    assert read_model(tmp_path).is_current


def test_a_training_that_ends_before_its_first_epoch_leaves_nothing(tmp_path):
    with pytest.raises(ValueError, match="at once"):
        train(tmp_path, small(), losses=[0.1], raises=ValueError("at once"))
    assert [file.name for file in tmp_path.iterdir()] == [".training.lock"]  # stays, so that no two ever hold it


@pytest.mark.slow
def test_a_second_training_replaces_the_model_of_the_first(tmp_path):
    train(tmp_path, small())
    first = read_model(tmp_path).description.weights_id
    network = small()
    with torch.no_grad():
        network.head.weight += 1
    train(tmp_path, network)
    assert read_model(tmp_path).is_current
    assert read_model(tmp_path).description.weights_id != first


def test_a_folder_that_cannot_be_written_loses_no_training(tmp_path, caplog, monkeypatch):
    def full(*arguments, **options):
        raise OSError("No space left on device")

    monkeypatch.setattr("monai_lesion.training.model_folders.write_model_folder", full)
    train(tmp_path, small())
    assert (tmp_path / "model.pt").is_file()
    assert "no model folder in" in caplog.text
    assert "No space left on device" in caplog.text


@pytest.mark.slow
def test_random_numbers_go_on_as_if_no_folder_were_written(tmp_path):
    network = small()
    torch.manual_seed(5)
    following = torch.rand(1)
    torch.manual_seed(5)
    train(tmp_path, network)
    assert torch.equal(torch.rand(1), following)


@pytest.mark.slow
def test_the_folder_of_a_training_is_segmented_with_without_pytorch(tmp_path):
    from PIL import Image

    train(tmp_path / "models", small())
    Image.fromarray(np.zeros((40, 50), np.uint8)).save(tmp_path / "scan.png")
    code = (
        "import sys; from monai_lesion.commands.app import app\n"
        "try: app(['predict', 'scan.png', '--bundle', 'models', '--output', 'out', '--formats', 'json'])\n"
        "finally: print(sorted({'torch', 'monai'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "[]"
    (result,) = (tmp_path / "out").glob("*.json")
    assert json.loads(result.read_text())["weights_id"] == read_model(tmp_path / "models").description.weights_id


@pytest.mark.slow
def test_a_training_that_was_killed_is_opened_by_its_weights(tmp_path):
    train(tmp_path, small())
    for name in ("model.json", "model.onnx"):
        (tmp_path / name).unlink()
    segmenter = LesionSegmenter.from_bundle(tmp_path)
    assert (segmenter.steps.input_size, segmenter.algorithm.name) == (SIZE, "LighterUNet(width=0.125, group_size=1)")
