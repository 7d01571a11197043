from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from monai.transforms import Compose, FillHolesd, KeepLargestConnectedComponentd, Resized

from monai_lesion import LesionSegmenter
from monai_lesion.images.reading import read_image
from monai_lesion.phantoms.cases import simulate_case
from monai_lesion.pipeline import client
from monai_lesion.pipeline.recipes import exact_recipe
from monai_lesion.pipeline.transforms import Uprightd, postprocessing, preprocessing
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


def both(network, size=(256, 256), *, threshold=0.5, **options):
    """The same network on the direct path, and on MONAI's transforms."""
    segmenters = []
    for recipe in (True, False):
        before = preprocessing(spatial_size=size)
        after = postprocessing(before, threshold=threshold, drop_channel=True)
        segmenter = LesionSegmenter(network, before, after, device="cpu", **options)
        assert segmenter.recipe is not None
        if not recipe:
            segmenter.recipe = None
        segmenters.append(segmenter)
    return segmenters


def assert_same(segmenters, pixels):
    direct, monai = (segmenter(pixels) for segmenter in segmenters)
    np.testing.assert_array_equal(direct.probability, monai.probability)
    np.testing.assert_array_equal(direct.mask, monai.mask)
    assert direct.mask.dtype == np.uint8
    assert direct.probability.dtype == np.float32
    assert direct.mask.flags.c_contiguous
    return direct


def noise(*size):
    draw = np.random.default_rng(size)
    coarse = draw.integers(0, 256, (size[0] // 5 + 1, size[1] // 5 + 1, 3), dtype=np.uint8)
    return np.ascontiguousarray(coarse.repeat(5, 0).repeat(5, 1)[: size[0], : size[1]])


SIZES = [(432, 646), (1, 1), (1, 300), (300, 1), (2, 3), (17, 901), (901, 17), (255, 257), (256, 256), (511, 63)]


@pytest.mark.parametrize("size", SIZES, ids=str)
def test_pictures_of_any_size_get_the_bundles_pixels(size):
    assert_same(both(Texture()), noise(*size))


@pytest.mark.parametrize("size", [(256, 256), (32, 64), (100, 77)], ids=str)
@pytest.mark.parametrize("threshold", [0.0, 0.1, 0.3, 0.5, 0.7, 0.999, 1.0])
def test_any_threshold_and_network_size_gives_the_bundles_pixels(threshold, size):
    assert_same(both(Texture(), size, threshold=threshold), noise(120, 91))


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
def test_answers_of_any_shape_get_the_bundles_pixels(mask, size):
    assert_same(both(Fixed(mask), (32, 32)), noise(*size))


@pytest.mark.parametrize("density", [0.02, 0.1, 0.3, 0.41, 0.6, 0.95])
def test_random_masks_are_cleaned_as_by_monai(density):
    steps = Compose([KeepLargestConnectedComponentd("m", applied_labels=[1]), FillHolesd("m", applied_labels=[1])])
    draw = np.random.default_rng(11)
    for _ in range(8):  # many components of one size among them
        mask = draw.random(draw.integers(1, 90, 2)) < density
        turned = torch.from_numpy(np.ascontiguousarray(mask.T).astype(np.float32))[None]
        np.testing.assert_array_equal(client.clean(mask), np.asarray(steps({"m": turned})["m"][0].numpy().T))


@pytest.mark.skipif(not BUSBRA.is_dir(), reason=ABSENT)
def test_real_pictures_get_the_bundles_pixels():
    segmenters = both(Texture())
    files = sorted(Path(BUSBRA).rglob("bus_*.png"))[::150]
    assert files
    for file in files:
        assert_same(segmenters, read_image(file).pixels)


def options(**changed):
    before = preprocessing(spatial_size=(32, 32))
    return before, postprocessing(before, drop_channel=True, **changed)


def replaced(kind, *steps):
    before, after = options()
    chosen = before if any(isinstance(step, kind) for step in before.transforms) else after
    kept = [each for step in chosen.transforms for each in (steps if isinstance(step, kind) else [step])]
    return (Compose(kept), after) if chosen is before else (before, Compose(kept))


OTHERS = {
    "threshold first": options(order="threshold_first"),
    "another key": options(target="mask"),
    "smoothed": replaced(Resized, Resized("image", (32, 32), mode="bilinear", anti_aliasing=True)),
    "nearest": replaced(Resized, Resized("image", (32, 32), mode="nearest")),
    "not upright": replaced(Uprightd),
    "two components": replaced(
        KeepLargestConnectedComponentd, KeepLargestConnectedComponentd("pred", applied_labels=[1], num_components=2)
    ),
    "edges only": replaced(
        KeepLargestConnectedComponentd, KeepLargestConnectedComponentd("pred", applied_labels=[1], connectivity=1)
    ),
    "holes left": replaced(FillHolesd),
    "augmented": (preprocessing(augment=True), options()[1]),
}


def test_the_bundles_steps_are_known_with_and_without_the_channel():
    before = preprocessing(spatial_size=(32, 48))
    for dropped in (True, False):
        recipe = exact_recipe(before, postprocessing(before, threshold=0.3, drop_channel=dropped))
        assert (recipe.spatial_size, recipe.threshold) == ((32, 48), 0.3)


@pytest.mark.parametrize("steps", OTHERS.values(), ids=OTHERS)
def test_other_steps_are_left_to_monai(steps):
    assert exact_recipe(*steps) is None


def test_a_picture_of_one_row_also_passes_through_monais_steps():
    segmenter = both(Texture())[1]
    assert segmenter(noise(1, 30)).mask.shape == (1, 30)
