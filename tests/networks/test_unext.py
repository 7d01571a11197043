"""UNeXt: its authors' size, its shifts, its forward pass by hand."""

import pytest
import torch
import torch.nn.functional as F

from monai_lesion.errors import InputError
from monai_lesion.networks import UNeXt
from monai_lesion.networks.complexity import count_flops, count_parameters
from monai_lesion.networks.unext import shift
from tests.networks.test_unet import picture, randomise_statistics


def test_has_its_authors_parameters_and_arithmetic():
    with torch.device("meta"):
        network = UNeXt()
    assert round(count_parameters(network) / 1e6, 2) == 1.47
    assert count_flops(network) / 2e9 == pytest.approx(0.57, abs=0.01)  # the paper counts a multiply-add as one


@pytest.mark.parametrize("axis", [2, 3])
@pytest.mark.parametrize("channels", [5, 13, 128])
def test_shifting_is_rolling_in_a_frame_of_zeros(axis, channels):
    x = torch.rand(2, channels, 6, 7)
    framed = F.pad(x, (2, 2, 2, 2)).chunk(5, 1)
    rolled = torch.cat([torch.roll(part, by, axis) for part, by in zip(framed, range(-2, 3), strict=True)], 1)
    assert torch.equal(shift(x, axis), rolled[:, :, 2:-2, 2:-2])


def by_hand(state, x):
    """The forward pass from the weights alone, in another style, for sides that 32 divides."""

    def conv(name, x, **options):
        return F.conv2d(x, state[f"{name}.weight"], state[f"{name}.bias"], **options)

    def batch_norm(name, x):
        moments = state[f"{name}.running_mean"], state[f"{name}.running_var"]
        return F.batch_norm(x, *moments, state[f"{name}.weight"], state[f"{name}.bias"])

    def layer_norm(name, x):
        mean, variance = x.mean(1, keepdim=True), x.var(1, keepdim=True, unbiased=False)
        scale, offset = (state[f"{name}.{end}"][:, None, None] for end in ("weight", "bias"))
        return (x - mean) / (variance + 1e-5).sqrt() * scale + offset

    def mlp(name, x):
        y = conv(f"{name}.first", shift(layer_norm(f"{name}.norm", x), 2))
        y = F.gelu(conv(f"{name}.depthwise", y, padding=1, groups=y.shape[1]))
        return x + conv(f"{name}.second", shift(y, 3))

    skips = []
    for i in range(3):
        x = F.relu(F.max_pool2d(batch_norm(f"encoder.{i}.1", conv(f"encoder.{i}.0", x, padding=1)), 2))
        skips.append(x)
    for i in (3, 4):
        x = layer_norm(f"encoder.{i}.embedded", conv(f"encoder.{i}.conv", x, stride=2, padding=1))
        x = layer_norm(f"encoder.{i}.norm", mlp(f"encoder.{i}.mlp", x))
        skips.append(x)
    for i, skip in enumerate([skips[3], skips[2], skips[1], skips[0], 0.0]):
        x = conv(f"decoder.{i}.conv", x, padding=1)
        x = batch_norm(f"decoder.{i}.norm", x) if i < 4 else x
        x = F.relu(F.interpolate(x, size=[2 * side for side in x.shape[2:]], mode="bilinear")) + skip
        x = layer_norm(f"decoder.{i}.mixed.1", mlp(f"decoder.{i}.mixed.0", x)) if i < 2 else x
    return conv("head", x)


@torch.no_grad()
def test_computes_what_its_paper_describes():
    torch.manual_seed(0)
    network, x = randomise_statistics(UNeXt()), picture(64, 96, batch=2)
    torch.testing.assert_close(network(x), by_hand(network.state_dict(), x), atol=1e-5, rtol=1e-4)


def test_refuses_volumes():
    with pytest.raises(InputError, match=r"spatial_dims: must be 2 for UNeXt, got 3\. The U-nets and FCN take volumes"):
        UNeXt(spatial_dims=3)
