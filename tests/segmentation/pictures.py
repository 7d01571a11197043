"""Pictures whose lesion is red, and a network that finds it without training."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from monai_lesion.pipeline.steps import Steps
from tests.images import write_dicom as write_pixels

STEPS = Steps(input_size=(48, 80))


class Brightness(torch.nn.Module):
    """A network that needs no training: a lesion is what is red."""

    def __init__(self, channel=0):
        super().__init__()
        self.channel = channel

    def forward(self, x):
        return (x[:, self.channel : self.channel + 1] - 0.5) * 20


def red(rows=48, columns=80):
    """A picture with a red mark that no flip or transposition leaves alike, and its mask."""
    picture = np.full((rows, columns, 3), 20, np.uint8)
    mask = np.zeros((rows, columns), bool)
    mask[6:20, 10:60] = True
    mask[20:30, 10:22] = True
    picture[mask, 0] = 240
    return picture, mask


def red_dicom(path, frames=1, **values):
    """Pictures with the red mark, which moves down by two rows a frame."""
    picture, _ = red()
    data = b"".join(np.roll(picture, 2 * frame, axis=0).tobytes() for frame in range(frames))
    several = {"NumberOfFrames": frames} if frames > 1 else {}
    return write_pixels(path, data, "RGB", Rows=48, Columns=80, **several, **values)


BUNDLE = Path(__file__).parents[2] / "bundles" / "lighter_unet"
