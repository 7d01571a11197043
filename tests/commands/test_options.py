from __future__ import annotations

import inspect
from pathlib import Path

import numpy as np
import pytest
import typer
from typer.testing import CliRunner

from monai_lesion.commands.options import BundleOptions, NetworkOptions, open_segmenter, shared
from monai_lesion.errors import InputError
from monai_lesion.models.presets import DEFAULT, load_preset


def test_a_dataclass_of_options_is_spread_over_the_signature():
    given = []
    app = typer.Typer()

    @app.command()
    @shared
    def segment(*, file: Path, network: BundleOptions, count: int = 3) -> None:
        """Segment."""
        given.append((file, network, count))

    assert list(inspect.signature(segment).parameters) == ["file", "count", "bundle", "weights", "code", "settings"]
    call = ["a.png", "--count", "4", "--bundle", "b", "--set", "x=1", "--set", "y=2"]
    assert CliRunner().invoke(app, call, catch_exceptions=False).exit_code == 0
    assert given == [(Path("a.png"), BundleOptions(bundle=Path("b"), settings=["x=1", "y=2"]), 4)]


def test_a_folder_that_is_called_like_a_runtime_does_not_stand_in_for_it(tmp_path, monkeypatch):
    (tmp_path / "onnx").mkdir()
    (tmp_path / "onnx" / "model.json").write_text("{}")
    monkeypatch.chdir(tmp_path)
    segmenter = open_segmenter(NetworkOptions(runtime="onnx"))
    assert segmenter.algorithm.weights == load_preset().description.weights_id
    with pytest.raises(InputError, match=r"model.json: must have schema 2, got none"):
        open_segmenter(NetworkOptions(runtime="./onnx"))


def test_a_folder_as_runtime_must_hold_the_weights_that_are_named():
    preset = load_preset().path
    picture = np.zeros((40, 50, 3), np.uint8)
    alone = open_segmenter(NetworkOptions(runtime=str(preset)))
    beside = open_segmenter(NetworkOptions(bundle=Path(DEFAULT), runtime=str(preset)))
    np.testing.assert_array_equal(alone(picture).probability, beside(picture).probability)


@pytest.mark.parametrize(
    ("options", "fix"),
    [
        (
            {"bundle": Path("pocket"), "weights": Path("mine/a.pt")},
            "Name the folder of your weights instead: --bundle mine",
        ),
        ({"settings": ["threshold=0.4"]}, "To use others, name the bundle"),
    ],
    ids=str,
)
def test_weights_and_settings_ask_for_a_bundle(options, fix):
    with pytest.raises(InputError, match=rf"--bundle: a preset has its own weights and settings, got \w+.*{fix}"):
        open_segmenter(NetworkOptions(**options))


def test_weights_alone_are_looked_for_where_they_are_said_to_be():
    with pytest.raises(InputError, match=r"a\.pt: the weights must exist, got no file"):
        open_segmenter(NetworkOptions(weights=Path("a.pt")))


def test_another_device_than_the_cpu_is_refused_where_it_is_not_there():
    import torch

    if torch.cuda.is_available():
        pytest.skip("CUDA is there")
    with pytest.raises(InputError, match="device: CUDA needs a GPU and a PyTorch built for it"):
        open_segmenter(NetworkOptions(device="cuda"))
