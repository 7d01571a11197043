from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import scipy.ndimage
import torch
from monai.transforms import Compose, FillHolesd, KeepLargestConnectedComponentd

from monai_lesion import LesionSegmenter
from monai_lesion.images.reading import read_image
from monai_lesion.measures.metrics import dice
from monai_lesion.phantoms.cases import simulate_case
from monai_lesion.pipeline.operations import _components, clean, resize
from monai_lesion.pipeline.steps import Steps
from monai_lesion.pipeline.transforms import postprocessing, preprocessing
from monai_lesion.segmentation.transform_segmenters import TransformSegmenter
from tests.shared_data import ABSENT, BUSBRA


class Texture(torch.nn.Module):
    """Logits with many components, holes and both signs: contrast, unlike in each channel."""

    def forward(self, x):
        mean = torch.nn.functional.avg_pool2d(x, 7, stride=1, padding=3, count_include_pad=False)
        return ((x - mean) * torch.tensor([3.0, 5.0, -7.0])[:, None, None] * 4).sum(1, keepdim=True) + x[:, :1] - 0.4


class Fixed(torch.nn.Module):
    """One answer to every picture."""

    def __init__(self, mask):
        super().__init__()
        self.logits = torch.from_numpy(np.where(mask, 4.0, -4.0).astype(np.float32))[None, None]

    def forward(self, x):
        return self.logits


def both(network, size=(256, 256), *, threshold=0.5, keep="largest", order="resize_first", channel_order="rgb"):
    """The same network with the steps in numpy, and with MONAI's transforms."""
    before = preprocessing(spatial_size=size)
    after = postprocessing(before, threshold=threshold, keep=keep, order=order, drop_channel=True)
    steps = Steps(size, threshold, keep, order, channel_order)
    direct = LesionSegmenter(network, steps, device="cpu")
    return direct, TransformSegmenter(network, before, after, channel_order=channel_order, device="cpu")


def assert_same(segmenters, pixels):
    direct, monai = (segmenter(pixels) for segmenter in segmenters)
    np.testing.assert_allclose(direct.probability, monai.probability, rtol=0, atol=1e-6)
    np.testing.assert_array_equal(direct.mask, monai.mask)
    assert direct.mask.dtype == np.uint8
    assert direct.probability.dtype == np.float32
    assert direct.mask.flags.c_contiguous
    return direct


def assert_near(segmenters, pixels):
    """As :func:`assert_same`, but a grey level that lies half-way between two may round either way."""
    direct, monai = (segmenter(pixels) for segmenter in segmenters)
    difference = np.abs(direct.probability - monai.probability)
    assert (difference > 1e-6).mean() < 0.05
    assert difference.max() < 0.01
    assert dice(direct.mask, monai.mask) >= 0.999


def noise(*size):
    draw = np.random.default_rng(size)
    coarse = draw.integers(0, 256, (size[0] // 5 + 1, size[1] // 5 + 1, 3), dtype=np.uint8)
    return np.ascontiguousarray(coarse.repeat(5, 0).repeat(5, 1)[: size[0], : size[1]])


SIZES = [(432, 646), (1, 1), (1, 300), (300, 1), (2, 3), (17, 901), (901, 17), (255, 257), (256, 256), (511, 63)]


@pytest.mark.parametrize("size", SIZES, ids=str)
def test_pictures_of_any_size_get_the_bundles_pixels(size):
    assert_same(both(Texture()), noise(*size))


@pytest.mark.parametrize("size", [(256, 256), (32, 64), (100, 77)], ids=str)
@pytest.mark.parametrize(
    "threshold", [0.3, 0.999, *[pytest.param(each, marks=pytest.mark.slow) for each in (0.1, 0.5, 0.7)]]
)
def test_any_threshold_and_network_size_gives_the_bundles_pixels(threshold, size):
    assert_near(both(Texture(), size, threshold=threshold), noise(120, 91))


def test_phantoms_get_the_bundles_pixels():
    segmenters = both(Texture())
    for case in range(2):
        for view in simulate_case(0, case).views:
            assert assert_same(segmenters, view.pixels).mask.any()


def test_bgr_gets_the_bundles_pixels():
    pixels = noise(90, 70)
    blue_first = assert_same(both(Texture(), channel_order="bgr"), pixels)
    assert (blue_first.probability != both(Texture())[0](pixels).probability).any()


def ring(rows, columns):
    mask = np.zeros((32, 32), bool)
    mask[rows, columns] = True
    mask[rows.start + 2 : rows.stop - 2, columns.start + 2 : columns.stop - 2] = False
    return mask


MASKS = {
    "empty": np.zeros((32, 32), bool),
    "full": np.ones((32, 32), bool),
    "two equal": ring(slice(2, 10), slice(3, 11)) | ring(slice(18, 26), slice(16, 24)),
    "four equal points": np.isin(np.arange(1024).reshape(32, 32), [70, 90, 500, 900]),
    "hole": ring(slice(4, 20), slice(6, 29)),
    "hole open to a corner": ring(slice(0, 12), slice(0, 12)) & ~np.eye(32, dtype=bool),
    "ring within a ring": ring(slice(1, 31), slice(1, 31)) | ring(slice(8, 20), slice(8, 20)),
}


@pytest.mark.parametrize("mask", MASKS.values(), ids=MASKS)
@pytest.mark.parametrize("size", [(32, 32), (61, 87)], ids=str)
@pytest.mark.parametrize("order", ["resize_first", "threshold_first"])
@pytest.mark.parametrize("keep", ["largest", "all"])
def test_answers_of_any_shape_get_the_bundles_pixels(mask, size, order, keep):
    assert_same(both(Fixed(mask), (32, 32), keep=keep, order=order), noise(*size))


@pytest.mark.parametrize("size", [(432, 646), (17, 901), (1, 300)], ids=str)
@pytest.mark.parametrize(("keep", "order"), [("all", "resize_first"), ("largest", "threshold_first")])
def test_other_choices_get_the_bundles_pixels(size, keep, order):
    assert_same(both(Texture(), keep=keep, order=order), noise(*size))


@pytest.mark.parametrize("density", [0.02, 0.1, 0.3, 0.41, 0.6, 0.95])
def test_random_masks_are_cleaned_as_by_monai(density):
    steps = Compose([KeepLargestConnectedComponentd("m", applied_labels=[1]), FillHolesd("m", applied_labels=[1])])
    draw = np.random.default_rng(11)
    for _ in range(8):  # many components of one size among them
        mask = draw.random(draw.integers(1, 90, 2)) < density
        turned = torch.from_numpy(np.ascontiguousarray(mask.T).astype(np.float32))[None]
        np.testing.assert_array_equal(clean(mask), np.asarray(steps({"m": turned})["m"][0].numpy().T))


@pytest.mark.slow
@pytest.mark.skipif(not BUSBRA.is_dir(), reason=ABSENT)
def test_real_pictures_get_the_bundles_pixels():
    segmenters = both(Texture())
    files = sorted(Path(BUSBRA).rglob("bus_*.png"))[::150]
    assert files
    for file in files:
        assert_near(segmenters, read_image(file).pixels)


def test_a_picture_of_one_row_also_passes_through_monais_steps():
    segmenter = both(Texture())[1]
    assert segmenter(noise(1, 30)).mask.shape == (1, 30)


RESIZED = [((50, 81), (32, 48)), ((32, 48), (50, 81)), ((17, 23), (17, 23)), ((20, 300), (256, 256))]


@pytest.mark.parametrize(("size", "target"), RESIZED, ids=str)
def test_resize_is_that_of_pytorch(size, target):
    image = np.random.default_rng(0).random((3, *size), dtype=np.float32)
    expected = torch.nn.functional.interpolate(torch.from_numpy(image)[None], target, mode="bilinear")[0].numpy()
    resized = resize(image, *target)
    assert resized.dtype == np.float32
    np.testing.assert_allclose(resized, expected, rtol=0, atol=5e-7)


def test_a_component_that_winds_up_and_down_is_one():
    mask = np.zeros((41, 60), bool)
    mask[:, ::4] = True  # columns, joined at the bottom and at the top by turns
    mask[-1, :57] = mask[0, :57] = True
    mask[-1, 2::8] = mask[0, 6::8] = False
    labels, count = scipy.ndimage.label(mask, np.ones((3, 3)))
    assert count == 1
    lines, starts, _, roots = _components(mask)
    assert set(roots) == {0}
    mask[20, 28] = False  # cut in two
    labels, _ = scipy.ndimage.label(mask, np.ones((3, 3)))
    lines, starts, _, roots = _components(mask)
    assert len(set(roots)) == 2
    assert len(set(zip(roots, labels[lines, starts], strict=True))) == 2


@pytest.mark.parametrize("value", [False, True])
def test_masks_of_one_value_stay(value):
    mask = np.full((5, 7), value)
    np.testing.assert_array_equal(clean(mask), mask)


def test_a_corner_connects_and_a_diagonal_gap_opens_a_hole():
    mask = np.zeros((7, 9), bool)
    mask[1:6, 1:6] = True
    mask[2:5, 2:5] = False
    ring = clean(mask)
    assert ring[1:6, 1:6].all()
    mask[1, 1] = False  # now the hole touches the outside by a corner only
    assert clean(mask)[3, 3] == 0
    mask[6, 6] = mask[0, 8] = True
    assert clean(mask)[6, 6] == 1
    assert clean(mask)[0, 8] == 0
