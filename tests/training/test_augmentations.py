from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy.ndimage import affine_transform

from monai_lesion.errors import InputError
from monai_lesion.training.augmentations import BatchAugmentation

STILL = {"horizontal": 0.0, "vertical": 0.0, "affine": 0.0, "intensity": 0.0}


def picture(rows=24, columns=32):
    """A smooth picture and a mask that is where the picture is bright."""
    y, x = torch.meshgrid(torch.arange(rows), torch.arange(columns), indexing="ij")
    bump = torch.exp(-(((x - 20) / 6.0) ** 2 + ((y - 9) / 4.0) ** 2))
    image = bump[None, None].expand(1, 3, rows, columns).clone()
    return image, (image[:, :1] > 0.5).to(torch.uint8)


def test_nothing_happens_without_any_probability():
    image, label = picture()
    varied, mask = BatchAugmentation(**STILL)(image, label)
    assert torch.allclose(varied, image, atol=1e-5)
    assert torch.equal(mask, label)
    assert mask.dtype == label.dtype


@pytest.mark.parametrize(("name", "axis"), [("horizontal", 3), ("vertical", 2)])
def test_flips(name, axis):
    image, label = picture()
    varied, mask = BatchAugmentation(**{**STILL, name: 1.0})(image, label)
    assert torch.allclose(varied, image.flip(axis), atol=1e-5)
    assert torch.equal(mask, label.flip(axis))


def test_picture_and_label_move_together():
    torch.manual_seed(3)
    image, label = picture()
    varied, mask = BatchAugmentation(**{**STILL, "horizontal": 0.5, "vertical": 0.5, "affine": 1.0})(
        image.repeat(16, 1, 1, 1), label.repeat(16, 1, 1, 1)
    )
    drawn = varied[:, :1] > 0.5
    both = (drawn & (mask > 0)).sum(dim=(1, 2, 3))
    either = (drawn | (mask > 0)).sum(dim=(1, 2, 3))
    assert (mask.float().mean(dim=(1, 2, 3)) > 0).all()
    assert (both / either > 0.7).all()


def test_map_turns_shifts_and_scales_in_pixels():
    """The map is the one of scipy, which knows nothing of PyTorch's coordinates; the picture is no square."""
    augmentation = BatchAugmentation(**{**STILL, "affine": 1.0})
    torch.manual_seed(5)
    (theta,) = augmentation.draw_maps(1, 24, 32)
    image, _ = picture()
    grid = torch.nn.functional.affine_grid(theta[None], [1, 1, 24, 32], align_corners=False)
    ours = torch.nn.functional.grid_sample(
        image, grid, mode="bilinear", padding_mode="reflection", align_corners=False
    )[0, 0]
    to_pixels = np.diag([32 / 2, 24 / 2])
    linear = to_pixels @ theta[:, :2].numpy() @ np.linalg.inv(to_pixels)  # of (x, y) from the middle
    middle = np.array([15.5, 11.5])
    offset = middle - linear @ middle + to_pixels @ theta[:, 2].numpy()
    swap = np.array([[0, 1], [1, 0]])  # scipy's order is (row, column)
    theirs = affine_transform(image[0, 0].numpy(), swap @ linear @ swap, offset=swap @ offset, order=1, mode="reflect")
    assert np.abs(ours.numpy() - theirs).max() < 1e-4


def test_drawn_maps_are_within_their_ranges():
    augmentation = BatchAugmentation(**{**STILL, "affine": 1.0}, rotation=20.0, scale=0.25, translation=0.1, shear=0.0)
    torch.manual_seed(0)
    maps = augmentation.draw_maps(2000, 16, 16).double()
    scales = torch.linalg.svdvals(maps[:, :, :2])
    assert 0.795 < float(scales.min()) < 0.82
    assert 1.22 < float(scales.max()) < 1.255
    assert 0.19 < float(maps[:, :, 2].abs().max()) <= 0.2  # of a side that is 2 long
    plain = BatchAugmentation(**{**STILL, "affine": 1.0}, rotation=20.0, scale=0.0, translation=0.0, shear=0.0)
    to_pixels = torch.diag(torch.tensor([32 / 2, 16 / 2]))
    turned = to_pixels @ plain.draw_maps(2000, 16, 32)[:, :, :2] @ to_pixels.inverse()
    assert torch.allclose(turned @ turned.mT, torch.eye(2).expand(2000, 2, 2), atol=1e-5), "a turn, in pixels"
    angles = torch.rad2deg(torch.atan2(turned[:, 1, 0], turned[:, 0, 0]))
    assert 19 < float(angles.max()) <= 20.001
    assert -20.001 <= float(angles.min()) < -19


def test_what_comes_in_from_outside_is_the_picture_mirrored():
    image = torch.ones(8, 3, 16, 16) * 0.4
    torch.manual_seed(1)
    varied, _ = BatchAugmentation(**{**STILL, "affine": 1.0}, translation=0.5)(image, image[:, :1] > 1)
    assert torch.allclose(varied, image, atol=1e-5)


@pytest.mark.parametrize("name", ["gamma", "gain", "speckle", "blur"])
def test_each_change_of_intensity_leaves_the_label_and_the_range(name):
    off = {"gamma": 0.0, "gain": 0.0, "speckle": 0.0, "blur": 0.0}
    strength = {"gamma": 0.5, "gain": 0.3, "speckle": 0.3, "blur": 1.5}[name]
    image, label = picture()
    torch.manual_seed(2)
    augmentation = BatchAugmentation(**{**STILL, "intensity": 1.0}, **{**off, name: strength})
    varied, mask = augmentation(image.repeat(4, 1, 1, 1), label.repeat(4, 1, 1, 1))
    change = (varied - image).abs().amax(dim=(1, 2, 3))
    assert (change > 1e-3).all()
    assert float(varied.min()) >= 0
    assert float(varied.max()) <= 1
    assert torch.equal(mask, label.repeat(4, 1, 1, 1))
    assert torch.allclose(varied[:, 0], varied[:, 1])  # grey stays grey


def test_blur_keeps_the_mean_and_takes_contrast():
    torch.manual_seed(0)
    image = torch.rand(1, 3, 32, 32)
    off = {"gamma": 0.0, "gain": 0.0, "speckle": 0.0}
    varied, _ = BatchAugmentation(**{**STILL, "intensity": 1.0}, **off, blur=1.5)(image, image[:, :1] > 1)
    assert float(varied.mean()) == pytest.approx(float(image.mean()), abs=0.01)
    assert float(varied.std()) < 0.9 * float(image.std())


def test_pictures_of_a_batch_are_varied_apart_and_repeat_with_the_seed():
    image, label = picture()
    batch = image.repeat(4, 1, 1, 1), label.repeat(4, 1, 1, 1)
    torch.manual_seed(7)
    first, _ = BatchAugmentation(affine=1.0)(*batch)
    torch.manual_seed(7)
    second, _ = BatchAugmentation(affine=1.0)(*batch)
    assert torch.equal(first, second)
    assert not torch.allclose(first[0], first[1], atol=1e-3)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"affine": 1.2}, "affine: must be a probability from 0 to 1, got 1.2"),
        ({"speckle": -0.1}, "speckle: must not be negative, got -0.1"),
        ({"gamma": math.nan}, "gamma: must not be negative"),
    ],
    ids=["probability", "range", "nan"],
)
def test_refuses_arguments_out_of_range(options, message):
    with pytest.raises(InputError, match=message):
        BatchAugmentation(**options)
