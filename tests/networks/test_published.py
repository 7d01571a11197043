"""Published checkpoints compute in our classes what they compute in the authors'."""

import importlib.util
import pickle
import sys
from pathlib import Path

import pytest
import torch
from torch import nn

from monai_lesion.errors import CheckpointError
from monai_lesion.networks import LighterUNet, LightUNet, UNet
from monai_lesion.networks.published import load_published
from tests.networks.torch_files import save_legacy

FORMATS = {"zip": torch.save, "legacy": save_legacy}


@pytest.fixture(scope="module")
def authors():
    """The authors' classes, in a module that is importable only while this fixture's ``saved`` needs it."""
    spec = importlib.util.spec_from_file_location("authors_own_models", Path(__file__).parent / "authors_models.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def randomise(network, seed=0):
    """Weights and batch statistics as after a training, of a size that keeps the logits off saturation."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for layer in network.modules():
            if isinstance(layer, nn.Conv2d):
                nn.init.kaiming_normal_(layer.weight, generator=generator)
                if layer.bias is not None:
                    nn.init.zeros_(layer.bias)
            if isinstance(layer, nn.BatchNorm2d):
                layer.weight.uniform_(0.7, 1.3, generator=generator)
                layer.bias.normal_(0, 0.2, generator=generator)
                layer.running_mean.normal_(0, 0.2, generator=generator)
                layer.running_var.uniform_(0.5, 1.5, generator=generator)
                layer.num_batches_tracked.fill_(7)
    return network.eval()


@pytest.fixture(scope="module")
def lighter8(authors):
    return randomise(authors.Lighter_UNet(size=8))


@pytest.fixture
def save(authors, tmp_path):
    def save(network, how="zip"):
        sys.modules[authors.__name__] = authors  # pickle checks that it can be found
        try:
            FORMATS[how](network, tmp_path / "published.pth")
        finally:
            del sys.modules[authors.__name__]
        return tmp_path / "published.pth"

    return save


@torch.no_grad()
def assert_equal_probabilities(ours, theirs, *sizes, batch=2):
    for size in sizes:
        image = torch.rand(batch, theirs.n_channels, *size, generator=torch.Generator().manual_seed(1))
        expected = theirs(image)
        assert expected.std() > 0.01  # no constant picture would prove anything
        torch.testing.assert_close(torch.sigmoid(ours(image)), expected, atol=1e-6, rtol=0)


@pytest.mark.parametrize(
    ("name", "size", "how", "kind"),
    [
        pytest.param("UNet", None, "zip", UNet, id="U-net", marks=pytest.mark.slow),
        pytest.param("Light_UNet", None, "legacy", LightUNet, id="Light U-net"),
        pytest.param("Lighter_UNet", 128, "zip", LighterUNet, id="Lighter U-net @128", marks=pytest.mark.slow),
        pytest.param("Lighter_UNet", 1, "legacy", LighterUNet, id="Lighter U-net @1"),
    ],
)
def test_computes_what_the_authors_network_computes(authors, save, name, size, how, kind):
    theirs = randomise(getattr(authors, name)(size=size))
    ours = load_published(save(theirs, how))
    assert type(ours) is kind
    assert getattr(ours, "group_size", None) == size
    assert_equal_probabilities(ours, theirs, (33, 47))


@pytest.mark.parametrize("how", FORMATS)
def test_reads_every_format_of_torch_save_without_the_authors_classes(lighter8, save, how):
    path = save(lighter8, how)
    with pytest.raises((ModuleNotFoundError, AttributeError, pickle.UnpicklingError)):
        torch.load(path, weights_only=False)
    ours = load_published(path)
    assert "authors_own_models" not in sys.modules
    assert ours.group_size == 8
    assert_equal_probabilities(ours, lighter8, (16, 31), (50, 37))


@pytest.mark.parametrize("how", FORMATS)
def test_the_formats_written_here_are_those_that_torch_reads(authors, lighter8, save, how, monkeypatch):
    path = save(lighter8, how)
    monkeypatch.setitem(sys.modules, authors.__name__, authors)
    theirs = torch.load(path, weights_only=False)
    for name, tensor in theirs.state_dict().items():
        torch.testing.assert_close(tensor, lighter8.state_dict()[name], atol=0, rtol=0)


@pytest.mark.slow
def test_equals_the_authors_network_at_the_papers_size(lighter8, save):
    assert_equal_probabilities(load_published(save(lighter8)), lighter8, (256, 256), batch=1)


@pytest.mark.parametrize(("inputs", "outputs"), [(1, 1), (3, 2)])
def test_infers_the_channel_counts(authors, save, inputs, outputs):
    theirs = randomise(authors.Lighter_UNet(inputs, outputs, size=4))
    ours = load_published(save(theirs))
    assert (ours.in_channels, ours.head.out_channels) == (inputs, outputs)
    assert_equal_probabilities(ours, theirs, (32, 40))


@pytest.mark.parametrize(
    "wrap",
    [
        pytest.param(lambda network: network.state_dict(), id="plain"),
        pytest.param(lambda network: {"state_dict": network.state_dict(), "epoch": 3}, id="state_dict"),
        pytest.param(lambda network: {"model": network.state_dict(), "loss": 0.1}, id="model"),
        pytest.param(lambda network: {"net": network.state_dict()}, id="net"),
        pytest.param(lambda network: {f"module.{k}": v for k, v in network.state_dict().items()}, id="DataParallel"),
        pytest.param(lambda network: {"model": network, "epoch": 3}, id="module under a key"),
        pytest.param(nn.DataParallel, id="whole DataParallel"),
    ],
)
def test_reads_every_wrapping(lighter8, save, wrap):
    assert_equal_probabilities(load_published(save(wrap(lighter8))), lighter8, (17, 32))


def test_reads_a_state_dict_in_the_legacy_format(lighter8, save):
    assert_equal_probabilities(load_published(save(lighter8.state_dict(), "legacy")), lighter8, (17, 32))


def test_reads_checkpoints_that_do_not_count_batches(lighter8, save):
    state = {k: v for k, v in lighter8.state_dict().items() if not k.endswith("num_batches_tracked")}
    ours = load_published(save(state))
    assert_equal_probabilities(ours, lighter8, (16, 16))
    assert ours.state_dict()["encoder.0.set1.norm.num_batches_tracked"] == 0


def test_returns_a_trainable_float32_network_in_evaluation_mode_that_wants_bgr(lighter8, save):
    ours = load_published(save({name: tensor.double() for name, tensor in lighter8.state_dict().items()}))
    assert ours.channel_order == "bgr"
    assert not ours.training
    assert all(p.requires_grad and p.dtype == torch.float32 and p.device.type == "cpu" for p in ours.parameters())
    assert ours.state_dict()["encoder.0.set1.norm.num_batches_tracked"] == 7


def test_keeps_the_weights_in_their_own_channel_order(lighter8, save):
    ours = load_published(save(lighter8))
    torch.testing.assert_close(ours.encoder[0].set1.conv.grouped.weight, lighter8.inc.double_conv[0].conv[0].weight)


def test_reads_channels_last_weights(lighter8, save):
    last = {k: v.to(memory_format=torch.channels_last) if v.dim() == 4 else v for k, v in lighter8.state_dict().items()}
    assert_equal_probabilities(load_published(save(last)), lighter8, (16, 16))


def change(path, value):
    """Change one attribute deep in a copy of a network."""

    def apply(network):
        *parents, last = path.split(".")
        target = network.get_submodule(".".join(parents))
        setattr(target, last, value)
        return network

    return apply


@pytest.mark.parametrize(
    ("twist", "message"),
    [
        pytest.param(change("up1.up.align_corners", False), "align_corners of up1.up.Upsample", id="corners"),
        pytest.param(change("inc.double_conv.1.eps", 1e-3), "eps of inc.double_conv.1.BatchNorm2d", id="eps"),
        pytest.param(change("outc.conv.padding", (1, 1)), "padding of outc.conv.Conv2d", id="padding"),
        pytest.param(change("inc.double_conv.2", nn.LeakyReLU()), "activation.LeakyReLU", id="activation"),
        pytest.param(change("up1.up", nn.ConvTranspose2d(512, 512, 2)), "conv.ConvTranspose2d", id="transposed"),
        pytest.param(change("extra", nn.Sequential(nn.Conv2d(3, 3, 1))), "got extra.0.", id="extra layer"),
    ],
)
def test_refuses_a_twin_that_computes_otherwise(authors, save, twist, message):
    with pytest.raises(CheckpointError, match=message):
        load_published(save(twist(authors.Lighter_UNet(size=1))))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        pytest.param(
            lambda s: {k: v for k, v in s.items() if "up2" not in k}, "16 tensors too few", id="missing stage"
        ),
        pytest.param(lambda s: s | {"outc.conv.bias": torch.zeros(5)}, "head.bias", id="other shape"),
        pytest.param(lambda s: s | {"fc.weight": torch.zeros(5)}, "got fc.weight", id="other name"),
        pytest.param(lambda s: s | {"epoch": 3}, "must hold tensors only, got epoch", id="not a tensor"),
        pytest.param(lambda s: {"outc.conv.bias": torch.zeros(1)}, "1 tensors of another network", id="one tensor"),
        pytest.param(lambda s: [s], "a module or a state dict, got list", id="list"),
        pytest.param(lambda s: {}, "a module or a state dict", id="nothing"),
        pytest.param(lambda s: torch.zeros(3), "a module or a state dict", id="tensor"),
        pytest.param(lambda s: LighterUNet(group_size=1).state_dict(), "authors' networks", id="our own names"),
    ],
)
def test_says_what_is_wrong_with_other_content(lighter8, save, content, message):
    with pytest.raises(CheckpointError, match=message):
        load_published(save(content(lighter8.state_dict())))


def test_refuses_a_group_size_that_does_not_divide(lighter8, save):
    state = {
        k: torch.zeros(len(v), 3, 3, 3) if v.dim() == 4 and v.shape[2] == 3 else v
        for k, v in lighter8.state_dict().items()
    }
    with pytest.raises(CheckpointError, match="group_size"):
        load_published(save(state))


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(CheckpointError, match=r"absent\.pth: the checkpoint must exist"):
        load_published(tmp_path / "absent.pth")
