"""Random geometry and intensity of a whole batch at once."""

from __future__ import annotations

import math

import torch
from torch.nn.functional import affine_grid, conv2d, grid_sample, interpolate

from monai_lesion.errors import InputError


class BatchAugmentation:
    """Flip, turn, shift and scale pictures with their labels; change gamma, gain, speckle and sharpness of pictures.

    ::

        -- flip, affine map (one sampling) -- gamma -- gain -- speckle -- blur -- clamp to 0-1 --

    MONAI's random transforms work on one picture at a time and carry its metadata through each step: at 192 x 192 the
    paper's flips and map take about 6 ms a picture, half of them without a map. This class draws for each picture
    and computes for all. What the map brings in from outside is the picture mirrored at its border.

    The numbers come from PyTorch's generator, which :class:`monai_lesion.training.SeedEveryEpoch` seeds.

    Args:
        horizontal: probability of a flip from left to right.
        vertical: probability of a flip upside down; ultrasound has an up, and shadows fall down.
        affine: probability of a map.
        scale: each axis is magnified by a factor between 1 / (1 + scale) and 1 + scale.
        translation: the largest shift along each axis either way, as a share of its size.
        rotation: the largest angle either way, in degrees.
        shear: the largest shear angle either way, in degrees.
        intensity: probability of each of the four changes of intensity.
        gamma: the exponent is between 1 / (1 + gamma) and 1 + gamma.
        gain: contrast about the picture's mean changes by up to this share, brightness by up to half of it.
        speckle: largest standard deviation of noise that multiplies each pixel.
        blur: largest standard deviation of a Gaussian blur, in pixels.

    Raises:
        InputError: for a probability outside 0 to 1, or a negative range.
    """

    def __init__(
        self,
        *,
        horizontal: float = 0.5,
        vertical: float = 0.0,
        affine: float = 0.8,
        scale: float = 0.25,
        translation: float = 0.12,
        rotation: float = 20.0,
        shear: float = 8.0,
        intensity: float = 0.3,
        gamma: float = 0.5,
        gain: float = 0.3,
        speckle: float = 0.15,
        blur: float = 1.2,
    ) -> None:
        for name, value in {
            "horizontal": horizontal,
            "vertical": vertical,
            "affine": affine,
            "intensity": intensity,
        }.items():
            if not 0 <= value <= 1:
                raise InputError(name, "must be a probability from 0 to 1", got=value)
        ranges = {"scale": scale, "translation": translation, "rotation": rotation, "shear": shear}
        for name, value in {**ranges, "gamma": gamma, "gain": gain, "speckle": speckle, "blur": blur}.items():
            if not value >= 0:
                raise InputError(name, "must not be negative", got=value)
        self.horizontal, self.vertical, self.affine, self.intensity = horizontal, vertical, affine, intensity
        self.scale, self.translation, self.shear = scale, translation, math.tan(math.radians(shear))
        self.rotation = math.radians(rotation)
        self.gamma, self.gain, self.speckle, self.blur = gamma, gain, speckle, blur

    def __call__(self, images: torch.Tensor, labels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Vary a batch.

        Args:
            images: ``(B, C, H, W)``, float in 0-1.
            labels: ``(B, 1, H, W)``, 0 and 1.

        Returns:
            Both, in the same shapes and types.
        """
        rows, columns = images.shape[2:]
        maps = self.draw_maps(len(images), rows, columns).to(images)
        grid = affine_grid(maps, [len(images), 1, rows, columns], align_corners=False)
        both = torch.cat([images, labels.to(images)], dim=1)
        both = grid_sample(both, grid, mode="bilinear", padding_mode="reflection", align_corners=False)
        return self.vary_intensity(both[:, :-1]), (both[:, -1:] >= 0.5).to(labels.dtype)

    def draw_maps(self, count: int, rows: int, columns: int) -> torch.Tensor:
        """Maps ``(count, 2, 3)`` from places in the new picture to places in the old one, in PyTorch's -1 to 1."""
        angle = _between(count, -self.rotation, self.rotation)
        shear, zoom = _between((count, 2), -self.shear, self.shear), _around_one((count, 2), self.scale)
        shift = 2 * _between((count, 2), -self.translation, self.translation)
        cos, sin = torch.cos(angle), torch.sin(angle)
        turn = torch.stack([torch.stack([cos, -sin], 1), torch.stack([sin, cos], 1)], 1)
        slant = torch.eye(2).repeat(count, 1, 1)
        slant[:, 0, 1], slant[:, 1, 0] = shear[:, 0], shear[:, 1]
        linear = turn @ slant @ torch.diag_embed(1 / zoom)
        aspect = torch.tensor([float(columns), float(rows)])  # angles are those of square pixels
        linear = linear * aspect[None, None, :] / aspect[None, :, None]
        mapped = torch.cat([linear, shift[:, :, None]], 2)
        still = torch.eye(2, 3).repeat(count, 1, 1)
        maps = torch.where((torch.rand(count) < self.affine)[:, None, None], mapped, still)
        flips = torch.stack([_signs(count, self.horizontal), _signs(count, self.vertical)], 1)
        return torch.cat([maps[:, :, :2] * flips[:, None, :], maps[:, :, 2:]], 2)

    def vary_intensity(self, images: torch.Tensor) -> torch.Tensor:
        """Gamma, gain, speckle and blur of some of the pictures ``(B, C, H, W)``."""
        images = images.clamp(0, 1)
        some = self._some(images)
        if len(some):
            exponent = _around_one(len(some), self.gamma).to(images)[:, None, None, None]
            images[some] = images[some].clamp(min=1e-6) ** exponent
        some = self._some(images)
        if len(some):
            contrast = 1 + _between(len(some), -self.gain, self.gain).to(images)[:, None, None, None]
            shift = _between(len(some), -self.gain / 2, self.gain / 2).to(images)[:, None, None, None]
            chosen = images[some]
            mean = chosen.mean(dim=(1, 2, 3), keepdim=True)
            images[some] = (chosen - mean) * contrast + mean + shift
        some = self._some(images)
        if len(some):
            strength = _between(len(some), 0, self.speckle).to(images)[:, None, None, None]
            rows, columns = images.shape[2:]
            grains = torch.randn(len(some), 1, (rows + 1) // 2, (columns + 1) // 2).to(images)  # two pixels wide
            images[some] *= 1 + strength * interpolate(grains, (rows, columns), mode="bilinear")
        for number in self._some(images).tolist():
            images[number] = _blurred(images[number], float(_between(1, 0.3, max(self.blur, 0.3))))
        return images.clamp_(0, 1)

    def _some(self, images: torch.Tensor) -> torch.Tensor:
        return (torch.rand(len(images)) < self.intensity).nonzero()[:, 0].to(images.device)


def _between(shape: int | tuple[int, ...], low: float, high: float) -> torch.Tensor:
    return low + (high - low) * torch.rand(shape)


def _around_one(shape: int | tuple[int, ...], share: float) -> torch.Tensor:
    """Factors whose logarithm is uniform: as often below 1 as above."""
    limit = math.log(1 + share)
    return torch.exp(_between(shape, -limit, limit))


def _signs(count: int, probability: float) -> torch.Tensor:
    return 1 - 2 * (torch.rand(count) < probability).float()


def _blurred(image: torch.Tensor, deviation: float) -> torch.Tensor:
    """One picture ``(C, H, W)`` under a Gaussian."""
    reach = max(1, math.ceil(2 * deviation))
    steps = torch.arange(-reach, reach + 1, dtype=image.dtype, device=image.device)
    weights = torch.exp(-0.5 * (steps / deviation) ** 2)
    weights = weights / weights.sum()
    padded = torch.nn.functional.pad(image[:, None], (reach, reach, reach, reach), mode="replicate")
    return conv2d(conv2d(padded, weights[None, None, None, :]), weights[None, None, :, None])[:, 0]
