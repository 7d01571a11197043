"""The U-Net family: sizes, arguments, gradients, and every way a network leaves PyTorch."""

import re

import pytest
import torch
from torch import nn

from monai_lesion.errors import InputError
from monai_lesion.networks import LighterUNet, LightUNet, UNet
from tests.networks.conversions import onnx_session, torchscript_copy

BUILDERS = {
    "UNet": UNet,
    "LightUNet": LightUNet,
    "LighterUNet@8": lambda **options: LighterUNet(group_size=8, **options),
}


def randomise_statistics(network):
    """Batch statistics other than 0 and 1, so that a forgotten normalisation shows."""
    generator = torch.Generator().manual_seed(0)
    for layer in network.modules():
        if isinstance(layer, nn.modules.batchnorm._BatchNorm):
            layer.running_mean.normal_(0, 0.1, generator=generator)
            layer.running_var.uniform_(0.5, 1.5, generator=generator)
    return network.eval()


@pytest.fixture(scope="module", params=BUILDERS)
def network(request):
    torch.manual_seed(0)
    return randomise_statistics(BUILDERS[request.param]())


@pytest.fixture(scope="module")
def lighter():
    torch.manual_seed(0)
    return randomise_statistics(LighterUNet(group_size=8))


def picture(*size, channels=3, batch=1):
    return torch.rand(batch, channels, *size, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("size", [(16, 16), (17, 31), (33, 47), (16, 64)], ids=str)
@torch.no_grad()
def test_returns_logits_of_the_inputs_size(network, size):
    logits = network(picture(*size))
    assert logits.shape == (1, 1, *size)
    assert logits.isfinite().all()


@torch.no_grad()
def test_returns_logits_not_probabilities(lighter):
    with_head = LighterUNet(group_size=8).eval()
    with_head.load_state_dict(lighter.state_dict())
    with_head.head.bias.fill_(-50.0)
    assert with_head(picture(16, 16)).max() < -10


@pytest.mark.slow
@pytest.mark.parametrize("name", BUILDERS)
def test_every_parameter_gets_a_gradient(name):
    torch.manual_seed(0)
    network = BUILDERS[name](dropout=0.0)
    network(picture(32, 32, batch=2)).sigmoid().mean().backward()
    without = [key for key, p in network.named_parameters() if p.grad is None or not p.grad.isfinite().all()]
    assert without == []
    # A bias before batch normalisation cannot matter; every weight does.
    still = [key for key, p in network.named_parameters() if key.endswith("weight") and not p.grad.any()]
    assert still == []


@pytest.mark.parametrize(("inputs", "outputs"), [(1, 1), (3, 4), (5, 2)])
@torch.no_grad()
def test_takes_any_number_of_channels(inputs, outputs):
    network = LighterUNet(in_channels=inputs, out_channels=outputs, group_size=4).eval()
    assert network(picture(16, 18, channels=inputs)).shape == (1, outputs, 16, 18)


@pytest.mark.parametrize("kind", [LightUNet, LighterUNet])
@torch.no_grad()
def test_segments_volumes(kind):
    network = kind(spatial_dims=3, in_channels=1, **({"group_size": 8} if kind is LighterUNet else {})).eval()
    assert network(picture(16, 17, 19, channels=1)).shape == (1, 1, 16, 17, 19)


@torch.no_grad()
def test_dropout_is_a_half_after_the_last_encoder_stage_and_only_in_training():
    torch.manual_seed(0)
    network = LighterUNet(group_size=1)
    seen = []
    network.dropout.register_forward_hook(lambda _, inputs, output: seen.append((inputs[0], output)))
    network(picture(64, 64, batch=2))
    before, after = seen.pop()
    assert before.shape == (2, 512, 4, 4)
    live = before != 0
    assert 0.4 < (after[live] == 0).float().mean() < 0.6
    network.eval()(picture(64, 64))
    before, after = seen.pop()
    assert torch.equal(before, after)


@torch.no_grad()
def test_dropout_is_an_argument():
    network = LighterUNet(group_size=1, dropout=0.0)
    x = picture(32, 32, batch=2)
    assert torch.equal(network(x), network(x))


@pytest.mark.parametrize("group_size", [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 5000])
def test_takes_every_group_size_that_divides(group_size):
    with torch.device("meta"):
        network = LighterUNet(group_size=group_size)
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d) and layer.kernel_size == (3, 3):
            image = layer.in_channels == 3
            expected = (1 if group_size == 1 else 3) if image else min(group_size, layer.in_channels)
            assert layer.in_channels // layer.groups == expected
            assert layer.out_channels == layer.in_channels


WIDTHS = [0.0625, 0.125, 0.25, 0.5, 0.75, 1.0, 1.5, 2]


@pytest.mark.parametrize("width", WIDTHS)
def test_width_multiplies_the_channels_of_every_stage(width):
    with torch.device("meta"):
        network, plain = UNet(width=width), UNet()
    for layer, wanted in zip(network.modules(), plain.modules(), strict=True):
        if isinstance(layer, nn.Conv2d):
            image, head = wanted.in_channels == 3, wanted.out_channels == 1
            assert layer.in_channels == (3 if image else wanted.in_channels * width)
            assert layer.out_channels == (1 if head else wanted.out_channels * width)


@pytest.mark.parametrize(
    ("kind", "count"), [(UNet, 17_267_393), (LightUNet, 11_000_257), (LighterUNet, 7_944_661)], ids=str
)
@pytest.mark.parametrize("options", [{}, {"width": 1.0}, {"width": 1}], ids=str)
def test_width_1_is_the_papers_network(kind, count, options):
    with torch.device("meta"):
        assert sum(p.numel() for p in kind(**options).parameters()) == count


@pytest.mark.parametrize("width", WIDTHS)
def test_arithmetic_shrinks_with_the_square_of_the_width_where_layers_are_dense(width):
    with torch.device("meta"):
        dense = {
            w: sum(p.numel() for name, p in UNet(in_channels=3, width=w).named_parameters() if "conv.weight" in name)
            for w in (width, 1.0)
        }
    first = {w: 3 * 9 * 64 * w for w in (width, 1.0)}  # of the image, the one layer that shrinks with the width only
    assert (dense[width] - first[width]) == pytest.approx((dense[1.0] - first[1.0]) * width**2)


@torch.no_grad()
def test_a_narrow_network_segments_and_groups_the_image_as_one():
    network = LighterUNet(group_size=4, width=0.0625).eval()
    assert network(picture(17, 31)).shape == (1, 1, 17, 31)
    grouped = [c for c in network.modules() if isinstance(c, nn.Conv2d) and c.kernel_size == (3, 3)]
    assert grouped[0].groups == 1
    assert {c.in_channels // c.groups for c in grouped[1:]} == {4}


@pytest.mark.parametrize("width", [0, -1, 0.3, 1 / 32, 17, float("nan"), float("inf"), "1", None, True], ids=repr)
@pytest.mark.parametrize("kind", [UNet, LightUNet, LighterUNet])
def test_rejects_other_widths(kind, width):
    with pytest.raises(InputError, match=rf"width: must be a multiple of 1/16, up to 16, got {re.escape(repr(width))}"):
        kind(width=width)


@pytest.mark.parametrize(("group_size", "width"), [(8, 0.1875), (32, 0.75), (64, 1.5)])
def test_rejects_group_sizes_that_do_not_divide_the_layers_of_the_width(group_size, width):
    with pytest.raises(InputError, match="group_size: must be a positive integer that divides the channel count"):
        LighterUNet(group_size=group_size, width=width)


@pytest.mark.parametrize("group_size", [3, 7, 48, 96])
def test_rejects_group_sizes_that_do_not_divide(group_size):
    with pytest.raises(InputError, match=rf"group_size: must be a positive integer that divides .*got {group_size}"):
        LighterUNet(group_size=group_size)


@pytest.mark.parametrize("group_size", [0, -8, 2.5, 8.0, "8", None], ids=repr)
def test_rejects_group_sizes_that_are_no_positive_integers(group_size):
    with pytest.raises(InputError, match=f"group_size: must be a positive integer.*got {re.escape(repr(group_size))}"):
        LighterUNet(group_size=group_size)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"spatial_dims": 1}, "spatial_dims: must be 2 or 3, got 1"),
        ({"spatial_dims": 4}, "spatial_dims: must be 2 or 3, got 4"),
        ({"in_channels": 0}, "in_channels, out_channels: must be positive, got 0, 1"),
        ({"out_channels": -1}, "in_channels, out_channels: must be positive, got 3, -1"),
        ({"dropout": 1.0}, "dropout: must be at least 0 and less than 1, got 1.0"),
        ({"dropout": -0.1}, "dropout: must be at least 0 and less than 1, got -0.1"),
    ],
    ids=str,
)
@pytest.mark.parametrize("kind", [UNet, LightUNet, LighterUNet])
def test_rejects_arguments_out_of_range(kind, options, message):
    with pytest.raises(InputError, match=re.escape(message)):
        kind(**options)


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ((1, 3, 15, 64), "input: must have sides of at least 16 pixels, got (1, 3, 15, 64)"),
        ((1, 3, 64, 8), "input: must have sides of at least 16 pixels"),
        ((1, 1, 32, 32), "input: must have the shape (B, 3, H, W), got (1, 1, 32, 32)"),
        ((3, 32, 32), "input: must have the shape (B, 3, H, W), got (3, 32, 32)"),
        ((1, 3, 32, 32, 32), "input: must have the shape (B, 3, H, W)"),
    ],
    ids=str,
)
def test_rejects_inputs_of_another_shape(lighter, shape, message):
    with pytest.raises(InputError, match=re.escape(message)):
        lighter(torch.zeros(shape))


@torch.no_grad()
def test_pads_half_before_and_half_after_where_pooling_did_not_divide(lighter):
    seen = []
    up = lighter.decoder[3]
    handles = [
        up.up.register_forward_hook(lambda _, inputs, output: seen.append(output)),
        up.stage.register_forward_hook(lambda _, inputs, output: seen.append(inputs[0])),
    ]
    lighter(picture(17, 19))
    for handle in handles:
        handle.remove()
    upsampled, merged = seen
    assert upsampled.shape[2:] == (16, 18)
    padded = merged[:, 64:]  # the skip comes first
    assert torch.equal(padded[:, :, :16, :18], upsampled)
    assert not padded[:, :, 16:].any()
    assert not padded[:, :, :, 18:].any()


SIZES = [(32, 32), (33, 47)]


@pytest.mark.slow
@pytest.mark.parametrize("how", ["script", "trace"])
@torch.no_grad()
def test_torchscript_is_the_same_network_after_saving(lighter, tmp_path, how):
    loaded = torchscript_copy(lighter, picture(*SIZES[0]), tmp_path / "network.ts", how)
    for size in SIZES:
        torch.testing.assert_close(loaded(picture(*size, batch=2)), lighter(picture(*size, batch=2)))


@pytest.mark.slow
def test_volumes_script_too():
    with torch.no_grad():
        network = LighterUNet(3, 1, group_size=1).eval()
        x = picture(16, 17, 16, channels=1)
        torch.testing.assert_close(torch.jit.script(network)(x), network(x))


@pytest.mark.slow
@torch.no_grad()
def test_onnx_is_the_same_network_at_any_size(lighter, tmp_path):
    session = onnx_session(lighter, picture(*SIZES[0]), tmp_path / "network.onnx")
    for size in SIZES:
        x = picture(*size, batch=2)
        (logits,) = session.run(None, {"image": x.numpy()})
        torch.testing.assert_close(torch.from_numpy(logits), lighter(x), atol=1e-5, rtol=1e-4)


@pytest.mark.slow
def test_compiles_without_a_graph_break_in_evaluation_and_training(lighter):
    torch.compiler.reset()  # networks share their forward, and recompilations are counted by function
    compiled = torch.compile(lighter, backend="eager", fullgraph=True)
    for size in SIZES:
        torch.testing.assert_close(compiled(picture(*size)), lighter(picture(*size)), atol=1e-5, rtol=1e-4)
    network = LighterUNet(group_size=1, dropout=0.0)
    torch.compile(network, backend="eager", fullgraph=True)(picture(32, 32, batch=2)).mean().backward()
    gradient = network.head.weight.grad.clone()
    network.zero_grad()
    network(picture(32, 32, batch=2)).mean().backward()
    torch.testing.assert_close(gradient, network.head.weight.grad, atol=1e-6, rtol=1e-3)


@torch.no_grad()
def test_channels_last_bfloat16_gives_nearly_the_same_logits(lighter):
    x = picture(32, 32)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        logits = lighter(x.to(memory_format=torch.channels_last))
    assert (logits.float() - lighter(x)).abs().max() < 0.05
