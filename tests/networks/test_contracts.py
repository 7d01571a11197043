"""What every network promises, U-net or not: sizes, arguments, gradients, and every way it leaves PyTorch."""

import re

import pytest
import torch

from monai_lesion.errors import CheckpointError, InputError
from monai_lesion.networks import (
    FCN,
    CMUNeXt,
    DeepLabV3Plus,
    EncoderUNet,
    LighterUNet,
    LightUNet,
    TrustHeads,
    UNet,
    UNeXt,
    logits_of,
)
from monai_lesion.networks.checkpoints import load_weights
from monai_lesion.networks.contracts import initialise_for_relu
from monai_lesion.networks.recognition import describe
from tests.networks.conversions import onnx_session, torchscript_copy
from tests.networks.test_unet import picture, randomise_statistics


def ready(network):
    """Begin as for ReLU: from PyTorch's own beginning the logits of this one differ by less than bfloat16 can say."""
    initialise_for_relu(network)
    return network


BUILDERS = {
    "FCN-32s": lambda **options: FCN(stride=32, **options),
    "FCN-8s": lambda **options: FCN(stride=8, **options),
    "DeepLab v3+": lambda **options: DeepLabV3Plus(backbone="mobilenetv2", **options),
    "EncoderUNet": lambda **options: EncoderUNet(encoder_weights=None, **options),
    "EncoderUNet, cut": lambda **options: EncoderUNet(
        encoder="efficientnet-lite2",
        encoder_weights=None,
        decoder_channels=(32, 24, 16),
        group_size=8,
        output_stride=16,
        **options,
    ),
    "UNeXt": UNeXt,
    "CMUNeXt": lambda **options: ready(CMUNeXt(**options)),
}
ONE_OF_EACH = ["FCN-8s", "DeepLab v3+", "EncoderUNet", "UNeXt", "CMUNeXt"]
ALL = [
    pytest.param(name, marks=[pytest.mark.slow] if name in ("FCN-32s", "FCN-8s", "EncoderUNet") else [])
    for name in BUILDERS
]
SIZES = [(32, 32), (33, 47)]


@pytest.fixture(scope="module", params=ALL)
def network(request):
    torch.manual_seed(0)
    return randomise_statistics(BUILDERS[request.param]())


@pytest.mark.parametrize("size", [(16, 16), (17, 31), (33, 47), (16, 64), (64, 32)], ids=str)
@torch.no_grad()
def test_returns_logits_of_the_inputs_size(network, size):
    logits = network(picture(*size))
    assert logits.shape == (1, 1, *size)
    assert logits.isfinite().all()


@pytest.mark.parametrize("size", SIZES, ids=str)
@torch.no_grad()
def test_is_an_encoder_and_a_decoder(network, size):
    x = picture(*size, batch=2)
    features = network.encode(x)
    assert features[0].shape[2:] == x.shape[2:]
    sides = [each.shape[2] for each in features[1:]]
    assert sides == sorted(sides, reverse=True)
    assert features[-1].shape[:2] == (2, network.deep_channels)
    torch.testing.assert_close(network.decode(features), network(x))


@torch.no_grad()
def test_returns_logits_not_probabilities(network):
    bias = network.head.bias.clone()
    try:
        network.head.bias.fill_(-1000.0)
        assert network(picture(32, 32)).max() < -10
    finally:
        network.head.bias.copy_(bias)


@pytest.mark.parametrize("name", ALL)
def test_every_parameter_gets_a_gradient(name):
    torch.manual_seed(0)
    network = BUILDERS[name](dropout=0.0)
    network(picture(64, 64, batch=2)).sigmoid().mean().backward()
    without = [key for key, p in network.named_parameters() if p.grad is None or not p.grad.isfinite().all()]
    assert without == []
    still = [key for key, p in network.named_parameters() if key.endswith("weight") and not p.grad.any()]
    assert still == []


@pytest.mark.parametrize("name", ONE_OF_EACH)
@pytest.mark.parametrize(("inputs", "outputs"), [(1, 1), (5, 2)])
@torch.no_grad()
def test_takes_any_number_of_channels(name, inputs, outputs):
    network = BUILDERS[name](in_channels=inputs, out_channels=outputs).eval()
    assert network(picture(16, 18, channels=inputs)).shape == (1, outputs, 16, 18)


@pytest.mark.parametrize("name", ONE_OF_EACH)
@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"spatial_dims": 1}, "spatial_dims: must be 2 or 3, got 1"),
        ({"in_channels": 0}, "in_channels, out_channels: must be positive, got 0, 1"),
        ({"out_channels": -1}, "in_channels, out_channels: must be positive, got 3, -1"),
        ({"dropout": 1.0}, "dropout: must be at least 0 and less than 1, got 1.0"),
    ],
    ids=str,
)
def test_rejects_arguments_out_of_range(name, options, message):
    with pytest.raises(InputError, match=re.escape(message)):
        BUILDERS[name](**options)


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ((1, 3, 15, 64), "input: must have sides of at least 16 pixels, got (1, 3, 15, 64)"),
        ((1, 1, 32, 32), "input: must have the shape (B, 3, H, W), got (1, 1, 32, 32)"),
        ((3, 32, 32), "input: must have the shape (B, 3, H, W), got (3, 32, 32)"),
        ((1, 3, 32, 32, 32), "input: must have the shape (B, 3, H, W)"),
    ],
    ids=str,
)
def test_rejects_inputs_of_another_shape(network, shape, message):
    with pytest.raises(InputError, match=re.escape(message)):
        network(torch.zeros(shape))


@pytest.mark.slow
@pytest.mark.parametrize("how", ["script", "trace"])
@torch.no_grad()
def test_torchscript_is_the_same_network_after_saving(network, tmp_path, how):
    loaded = torchscript_copy(network, picture(*SIZES[0]), tmp_path / "network.ts", how)
    for size in SIZES:
        torch.testing.assert_close(loaded(picture(*size, batch=2)), network(picture(*size, batch=2)))


@pytest.mark.slow
@pytest.mark.parametrize("network", BUILDERS, indirect=True)
@torch.no_grad()
def test_onnx_is_the_same_network_at_any_size(network, tmp_path):
    session = onnx_session(network, picture(*SIZES[1]), tmp_path / "network.onnx")
    for size in SIZES:
        x = picture(*size, batch=2)
        (logits,) = session.run(None, {"image": x.numpy()})
        torch.testing.assert_close(torch.from_numpy(logits), network(x), atol=1e-4, rtol=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("name", ONE_OF_EACH)
def test_compiles_without_a_graph_break_in_evaluation_and_training(name):
    torch.compiler.reset()  # networks share their forward, and recompilations are counted by function
    torch.manual_seed(0)
    network = randomise_statistics(BUILDERS[name](dropout=0.0))
    compiled = torch.compile(network, backend="eager", fullgraph=True)
    with torch.no_grad():
        for size in SIZES:
            torch.testing.assert_close(compiled(picture(*size)), network(picture(*size)), atol=1e-4, rtol=1e-4)
    torch.compile(network.train(), backend="eager", fullgraph=True)(picture(32, 32, batch=2)).mean().backward()
    gradient = network.head.weight.grad.clone()
    network.zero_grad()
    network(picture(32, 32, batch=2)).mean().backward()
    torch.testing.assert_close(gradient, network.head.weight.grad, atol=1e-5, rtol=1e-2)


@torch.no_grad()
def test_channels_last_bfloat16_gives_nearly_the_same_logits(network):
    x = picture(64, 64)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        logits = network(x.to(memory_format=torch.channels_last))
    plain = network(x)
    assert (logits.float() - plain).abs().mean() < 0.25 * plain.std()  # the deepest rounds 60 times


@pytest.mark.parametrize(
    ("kind", "options", "told"),
    [
        (FCN, {}, "FCN()"),
        (FCN, {"stride": 32}, "FCN()"),  # the strides have the same shapes
        (FCN, {"spatial_dims": 3, "in_channels": 1}, "FCN(spatial_dims=3, in_channels=1)"),
        (DeepLabV3Plus, {}, "DeepLabV3Plus(backbone='resnet101')"),
        (DeepLabV3Plus, {"backbone": "mobilenetv2"}, "DeepLabV3Plus(backbone='mobilenetv2')"),
        (UNeXt, {"in_channels": 1}, "UNeXt(in_channels=1)"),
        (CMUNeXt, {"out_channels": 2}, "CMUNeXt(out_channels=2)"),
        (UNet, {"width": 0.5}, "UNet(width=0.5)"),
        (LightUNet, {"width": 0.125}, "LightUNet(width=0.125)"),
        (LighterUNet, {"width": 0.25, "group_size": 8}, "LighterUNet(width=0.25, group_size=8)"),
        (EncoderUNet, {"encoder_weights": None}, "EncoderUNet(encoder='efficientnet-lite0')"),
        (
            EncoderUNet,
            {"encoder": "efficientnet-lite1", "encoder_weights": None, "in_channels": 1, "group_size": None},
            "EncoderUNet(in_channels=1, encoder='efficientnet-lite1', group_size=None)",
        ),
        (
            EncoderUNet,
            {
                "encoder": "efficientnet-lite2",
                "encoder_weights": None,
                "output_stride": 16,
                "decoder_channels": [64, 48],
                "group_size": 8,
            },
            "EncoderUNet(encoder='efficientnet-lite2', output_stride=16, decoder_channels=[64, 48], group_size=8)",
        ),
    ],
    ids=str,
)
def test_weights_tell_which_network_they_belong_to(kind, options, told):
    with torch.device("meta"):
        assert describe(kind(**options).state_dict()) == told


def test_weights_of_another_network_name_the_override(tmp_path):
    torch.save({"model": LighterUNet(width=0.0625, group_size=4).state_dict()}, tmp_path / "model.pt")
    with torch.device("meta"):
        network = UNet(width=0.0625)
    wanted = (
        "got weights of LighterUNet(width=0.0625, group_size=4)",
        "network_def \"{'_target_': 'monai_lesion.networks.LighterUNet', 'width': 0.0625, 'group_size': 4}\"",
    )
    with pytest.raises(CheckpointError) as caught:
        load_weights(network, tmp_path / "model.pt")
    assert all(text in str(caught.value) for text in wanted)


def test_naming_a_network_draws_no_random_numbers():
    state = EncoderUNet(encoder="efficientnet-lite2", encoder_weights=None).state_dict()
    torch.manual_seed(0)
    wanted = torch.rand(3)
    torch.manual_seed(0)
    describe(state)
    assert torch.equal(torch.rand(3), wanted)


def test_logits_come_first_where_a_network_returns_more():
    network, x = LightUNet(width=0.0625).eval(), picture(32, 32)
    assert torch.equal(logits_of(TrustHeads(network).eval()(x)), logits_of(network(x)))
