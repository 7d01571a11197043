"""A trained network in model folders of every kind."""

from __future__ import annotations

import shutil

import pytest
import torch

from monai_lesion.models.writers import write_model_folder
from monai_lesion.phantoms.cases import simulate_case
from monai_lesion.pipeline.steps import Steps
from monai_lesion.segmentation.exports import export_model
from monai_lesion.segmentation.parity import simulated
from tests.small_networks import SIZE, make_segmenter, small_network

DEFINITION = {"_target_": "monai_lesion.networks.LighterUNet", "group_size": 8, "width": 0.125}


@pytest.fixture(scope="session")
def network():
    return small_network()


class Exported:
    """A folder of exported models, each made when it is first asked for: ``folders / "onnxFalse"``."""

    def __init__(self, network, root):
        self._network, self._root = network, root

    def __truediv__(self, name):
        folder = self._root / name
        if not folder.exists():
            format, whole = ("onnx" if name.startswith("onnx") else "openvino"), name.endswith("True")
            options = {"format": format, "end_to_end": whole, "pictures": simulated(1)}
            export_model(make_segmenter(self._network), folder, **options)
        return folder


@pytest.fixture(scope="session")
def folders(network, tmp_path_factory):
    return Exported(network, tmp_path_factory.mktemp("models"))


@pytest.fixture(scope="session")
def view():
    return simulate_case(0, 0).views[0]


@pytest.fixture(scope="session")
def left(network, tmp_path_factory):
    """What a training leaves: weights, and the model folder around them."""
    folder = tmp_path_factory.mktemp("trained")
    torch.save({"model": network.state_dict()}, folder / "model.pt")
    write_model_folder(network, folder, steps=Steps(SIZE), network_def=DEFINITION, name="trained")
    return folder


@pytest.fixture
def trained(left, tmp_path):
    """A copy of it to change."""
    return shutil.copytree(left, tmp_path, dirs_exist_ok=True)
