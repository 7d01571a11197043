"""Presence and quality beside the mask: numbers, gradients, and every way out of PyTorch."""

import ast
import math
import re

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from monai.bundle import ConfigParser

from monai_lesion.errors import InputError
from monai_lesion.networks import FCN, DeepLabV3Plus, EncoderUNet, LighterUNet, LightUNet, TrustHeads, UNet
from monai_lesion.networks.checkpoints import load_weights, start_from
from monai_lesion.networks.complexity import count_flops, count_parameters
from monai_lesion.networks.recognition import describe, override
from monai_lesion.networks.trust_heads import map_numbers, summarise
from tests.networks.test_unet import picture

BUILDERS = {
    "LightUNet": lambda: LightUNet(width=0.125),
    "EncoderUNet": lambda: EncoderUNet(encoder_weights=None, output_stride=16, decoder_channels=(16, 8)),
    "FCN": lambda: FCN(),
    "DeepLab v3+": lambda: DeepLabV3Plus(backbone="mobilenetv2"),
}
SIZES = [(32, 32), (33, 47), (16, 64)]


LARGE = ("FCN", "DeepLab v3+")
ALL = [pytest.param(name, marks=[pytest.mark.slow] if name in LARGE else []) for name in BUILDERS]


@pytest.fixture(scope="module", params=ALL)
@torch.no_grad()
def heads(request):
    torch.manual_seed(0)
    return settled(TrustHeads(BUILDERS[request.param]()))


def settled(network):
    """In evaluation, with the batch statistics of pictures, so that features differ between pictures."""
    for layer in network.modules():
        if isinstance(layer, torch.nn.BatchNorm2d):
            layer.reset_running_stats()
            layer.momentum = None  # the mean over all batches
    for _ in range(3):
        network.train()(pictures(4))
    return network.eval()


def pictures(count):
    """Noise of several strengths, with a bright square of several sizes."""
    x = picture(48, 48, batch=count) * torch.linspace(0.2, 0.6, count)[:, None, None, None]
    for number, each in enumerate(x):
        side = 8 + 8 * (number % 4)
        each[:, 8 : 8 + side, 8 : 8 + side] += 0.4
    return x


def small(**options):
    torch.manual_seed(0)
    return TrustHeads(LightUNet(width=0.0625), **options)


@pytest.mark.parametrize("size", [(16, 16), (17, 31), *SIZES], ids=str)
@torch.no_grad()
def test_the_mask_is_the_networks_and_each_picture_has_two_scores(heads, size):
    x = picture(*size, batch=2)
    logits, scores = heads(x)
    torch.testing.assert_close(logits, heads.network(x))
    assert scores.shape == (2, 2)
    assert scores.isfinite().all()


@torch.no_grad()
def test_scores_of_a_picture_do_not_depend_on_its_batch(heads):
    x = pictures(3)
    alone = torch.cat([heads(each[None])[1] for each in x])
    torch.testing.assert_close(heads(x)[1], alone, atol=1e-5, rtol=1e-4)
    assert (alone[0] - alone[1]).abs().max() > 1e-3


@pytest.mark.slow
@pytest.mark.parametrize("how", ["script", "trace"])
@torch.no_grad()
def test_torchscript_is_the_same_after_saving(heads, tmp_path, how):
    script = torch.jit.script(heads) if how == "script" else torch.jit.trace(heads, picture(*SIZES[0]))
    script.save(str(tmp_path / "heads.ts"))
    loaded = torch.jit.load(str(tmp_path / "heads.ts"))
    for size in SIZES:
        for ours, wanted in zip(loaded(picture(*size, batch=2)), heads(picture(*size, batch=2)), strict=True):
            torch.testing.assert_close(ours, wanted)


@pytest.mark.slow
@pytest.mark.parametrize("heads", BUILDERS, indirect=True)
@torch.no_grad()
def test_onnx_runtime_gives_the_same_numbers_at_any_size(heads, tmp_path):
    onnx = pytest.importorskip("onnx", reason="onnx comes with the dev extra")
    runtime = pytest.importorskip("onnxruntime", reason="onnxruntime comes with the dev extra")
    axes, path = {0: "batch", 2: "height", 3: "width"}, str(tmp_path / "heads.onnx")
    torch.onnx.export(
        heads,
        (picture(*SIZES[1]),),
        path,
        dynamo=False,
        input_names=["image"],
        output_names=["logits", "scores"],
        dynamic_axes={"image": axes, "logits": axes, "scores": {0: "batch"}},
    )
    onnx.checker.check_model(path)
    session = runtime.InferenceSession(path, providers=["CPUExecutionProvider"])
    for size in SIZES:
        x = picture(*size, batch=2)
        outputs = session.run(["logits", "scores"], {"image": x.numpy()})
        for ours, wanted in zip(outputs, heads(x), strict=True):
            torch.testing.assert_close(torch.from_numpy(ours), wanted, atol=1e-4, rtol=1e-4)


@pytest.mark.slow
def test_compiles_without_a_graph_break():
    torch.compiler.reset()
    with torch.no_grad():
        network = settled(small())
        compiled = torch.compile(network, backend="eager", fullgraph=True)
        for ours, wanted in zip(compiled(picture(33, 47)), network(picture(33, 47)), strict=True):
            torch.testing.assert_close(ours, wanted, atol=1e-4, rtol=1e-4)
    logits, scores = torch.compile(small(), backend="eager", fullgraph=True)(picture(32, 32, batch=2))
    (logits.mean() + scores.mean()).backward()


@torch.no_grad()
def test_bfloat16_gives_nearly_the_same_scores():
    network, x = settled(small()), picture(64, 64)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        scores = network(x)[1].float()
    torch.testing.assert_close(scores, network(x)[1], atol=0.05, rtol=0.05)
    half = network.bfloat16()(x.bfloat16())[1].float()
    torch.testing.assert_close(half, scores, atol=0.05, rtol=0.05)


def moved(network, part):
    named = [(name, p.grad) for name, p in network.named_parameters() if name.startswith(part)]
    return {name for name, gradient in named if gradient is not None and gradient.any()}


@pytest.mark.parametrize("score", [0, 1], ids=["presence", "quality"])
def test_no_score_disturbs_the_mask(score):
    network = small()
    network(picture(32, 32, batch=2))[1][:, score].sum().backward()
    assert moved(network, "network") == set()
    assert moved(network, ("presence", "quality")[score])
    assert moved(network, ("quality", "presence")[score]) == set()


def test_the_presence_may_teach_the_encoder_and_nothing_else():
    network = small(presence_gradient=True, dropout=0.0)
    network(picture(32, 32, batch=2))[1][:, 1].sum().backward()
    assert moved(network, "network") == set()
    network(picture(32, 32, batch=2))[1][:, 0].sum().backward()
    assert moved(network, "network.encoder")
    assert moved(network, "network.decoder") | moved(network, "network.head") == set()


def test_the_mask_teaches_the_network_as_it_would_alone():
    network = small(presence_gradient=True)
    alone = LightUNet(width=0.0625)
    alone.load_state_dict(network.network.state_dict())
    for each in (network.network, alone):
        each.dropout.p = 0.0
    x = picture(32, 32, batch=2)
    network(x)[0].mean().backward()
    alone(x).mean().backward()
    for (name, ours), wanted in zip(network.network.named_parameters(), alone.parameters(), strict=True):
        torch.testing.assert_close(ours.grad, wanted.grad, msg=name)


@pytest.mark.slow
def test_heads_learn_what_the_features_show():
    with torch.no_grad():
        network = settled(small(hidden=16, dropout=0.0))
    optimizer = torch.optim.Adam([*network.presence.parameters(), *network.quality.parameters()], lr=0.01)
    generator = torch.Generator().manual_seed(0)
    shows = (torch.rand(24, generator=generator) > 0.5).float()
    x = 0.3 * torch.rand(24, 3, 32, 32, generator=generator) + 0.2
    x[:, :, 8:20, 8:20] += 0.4 * shows[:, None, None, None]
    for _ in range(60):
        loss = F.binary_cross_entropy_with_logits(network(x)[1][:, 0], shows)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert ((network(x)[1][:, 0] > 0) == (shows > 0)).all()


def test_the_summary_averages_the_features_under_the_mask():
    deep = torch.rand(2, 5, 4, 4, generator=torch.Generator().manual_seed(0))
    probability = torch.zeros(2, 1, 64, 64)
    probability[0, :, :32, 32:] = 1  # the upper right quarter
    probability[1] = 0.25
    mean, largest, under = summarise(deep, probability).chunk(3, dim=1)
    torch.testing.assert_close(mean, deep.mean(dim=(2, 3)))
    torch.testing.assert_close(largest, deep.flatten(2).max(dim=2).values)
    torch.testing.assert_close(under[0], deep[0, :, :2, 2:].mean(dim=(1, 2)), atol=1e-3, rtol=1e-3)
    torch.testing.assert_close(under[1], deep[1].mean(dim=(1, 2)), atol=1e-3, rtol=1e-3)


def disc(radius, *, inside=1.0, outside=0.0, side=64):
    rows, columns = np.mgrid[:side, :side] - (side - 1) / 2
    return np.where(rows**2 + columns**2 < radius**2, inside, outside)


def numbers_of(probability):
    return map_numbers(torch.from_numpy(probability).float()[None, None])[0].tolist()


def test_the_numbers_of_a_map_are_what_they_are_called():
    p = disc(12, inside=0.8, outside=0.1)
    mask = p > 0.5
    entropy = -(p * np.log2(p) + (1 - p) * np.log2(1 - p))
    found = numbers_of(p)
    outline = (np.abs(np.diff(p, axis=0)).sum() + np.abs(np.diff(p, axis=1)).sum()) / 2
    outline /= math.sqrt(2 * math.pi * (p.sum() + 1))
    wanted = [
        math.sqrt(p.mean()),
        math.sqrt(mask.mean()),
        0.8,
        entropy.mean(),
        (share := entropy.sum() / (p.sum() + 1)) / (1 + share),
        p[mask].sum() / (mask.sum() + 1),
        2 * p[mask].sum() / (p.sum() + mask.sum() + 1),
        outline / (1 + outline),
    ]
    assert found == pytest.approx(wanted, rel=1e-4)


def test_a_doubtful_map_has_other_numbers_than_a_clear_one():
    clear, pale = numbers_of(disc(12)), numbers_of(disc(12, inside=0.6, outside=0.2))
    assert clear[6] > 0.99 > 0.7 > pale[6]
    assert clear[3] < 0.01 < 0.5 < pale[3]
    pieces = np.kron(np.indices((8, 8)).sum(axis=0) % 2, np.ones((3, 3)))  # as much area in 32 pieces
    scattered = np.zeros((64, 64))
    scattered[20:44, 20:44] = pieces
    assert numbers_of(scattered)[7] > numbers_of(disc(9.6))[7] + 0.1


@pytest.mark.parametrize("value", [0.0, 1.0, 0.5], ids=str)
def test_empty_and_full_maps_have_numbers_too(value):
    assert np.isfinite(numbers_of(np.full((16, 16), value))).all()


def test_one_picture_trains():
    logits, scores = small()(picture(64, 64))
    assert (logits.shape, scores.shape) == ((1, 1, 64, 64), (1, 2))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: TrustHeads(torch.nn.Conv2d(3, 1, 1)), "network: must be a network of monai_lesion.networks, got Conv"),
        (
            lambda: TrustHeads(LightUNet(out_channels=2)),
            "network: must make one map of an image, got 2 output channels",
        ),
        (lambda: TrustHeads(LightUNet(3, 1)), "network: must make one map of an image, got 1 output channels in 3"),
        (lambda: small(hidden=0), "hidden: must be a positive integer, got 0"),
        (lambda: small(dropout=1.0), "dropout: must be at least 0 and less than 1, got 1.0"),
        (lambda: small()(torch.zeros(1, 3, 8, 32)), "input: must have sides of at least 16 pixels"),
        (lambda: small()(torch.zeros(1, 1, 32, 32)), "input: must have the shape (B, 3, H, W), got (1, 1, 32, 32)"),
    ],
)
def test_rejects(make, message):
    with torch.device("meta"), pytest.raises(InputError, match=re.escape(message)):
        make()


@pytest.mark.parametrize(
    ("network", "hidden", "name"),
    [
        (lambda: LighterUNet(group_size=8), 64, "LighterUNet(group_size=8)"),
        (lambda: UNet(width=0.25), 16, "UNet(width=0.25)"),
        (lambda: FCN(), 64, "FCN()"),
        (lambda: EncoderUNet(encoder_weights=None), 64, "EncoderUNet(encoder='efficientnet-lite0')"),
    ],
)
def test_weights_tell_the_network_within(network, hidden, name):
    with torch.device("meta"):
        state = TrustHeads(network(), hidden=hidden).state_dict()
    rest = "" if hidden == 64 else f", hidden={hidden}"
    assert describe(state) == f"TrustHeads(network={name}{rest})"


def test_the_override_for_a_bundle_builds_the_network():
    network = TrustHeads(EncoderUNet(encoder_weights=None, output_stride=16), hidden=8)
    key, _, text = override(network.state_dict()).partition(" ")
    parser = ConfigParser({"network_def": None})
    parser[key] = ast.literal_eval(text.strip('"'))
    built = parser.get_parsed_content("network_def")
    built.load_state_dict(network.state_dict())


def test_a_training_starts_from_the_weights_of_the_network_alone(tmp_path):
    network, trained = small(), LightUNet(width=0.0625)
    torch.save({"model": trained.state_dict()}, tmp_path / "mask.pt")
    fresh = network.presence.score.weight.clone()
    assert start_from(network, tmp_path / "mask.pt") is network
    assert all(torch.equal(a, b) for a, b in zip(network.network.parameters(), trained.parameters(), strict=True))
    assert torch.equal(network.presence.score.weight, fresh)


def test_a_network_to_run_is_not_loaded_without_its_heads(tmp_path):
    torch.save({"model": LightUNet(width=0.0625).state_dict()}, tmp_path / "mask.pt")
    rule = r"must hold weights of TrustHeads\(network=LightUNet\(width=0.0625\)\), got weights of LightUNet\(width"
    with pytest.raises(InputError, match=rule):
        load_weights(small(), tmp_path / "mask.pt")


def test_the_heads_cost_what_their_two_layers_take():
    network = LightUNet(width=0.25)
    heads = TrustHeads(network, hidden=32)
    channels = 3 * 128
    weights = 2 * (channels * 32 + 8 * 32 + 32)
    assert count_flops(heads, (1, 3, 64, 64)) - count_flops(network, (1, 3, 64, 64)) == 2 * weights
    assert count_parameters(heads) - count_parameters(network) == weights + 2 * (32 + 32 + 1) + 2 * 2 * channels
