"""Labels that a server keeps, and those it refuses."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from monai_lesion.errors import ImageError
from monai_lesion.label.labels import check_label
from tests.images import colours, lesion


def save(path: Path, array: np.ndarray) -> Path:
    Image.fromarray(array).save(path)
    return path


@pytest.fixture
def image(tmp_path: Path) -> Path:
    return save(tmp_path / "image.png", colours())


def test_mask_of_the_images_size_is_kept(image: Path, tmp_path: Path) -> None:
    check_label(image, save(tmp_path / "label.png", lesion().astype(np.uint8)))


@pytest.mark.parametrize(
    ("label", "message"),
    [
        (colours(), "a mask must be grey, got colours"),
        (
            lesion().T.astype(np.uint8),
            r"label.png: a label must have its image's 20 x 30 rows and columns, got 30 x 20",
        ),
        (np.zeros((20, 30), np.uint8), "a label must show a lesion, got an empty mask. Draw the lesion"),
    ],
    ids=["colours", "turned", "empty"],
)
def test_other_masks_are_refused(label: np.ndarray, message: str, image: Path, tmp_path: Path) -> None:
    with pytest.raises(ImageError, match=message):
        check_label(image, save(tmp_path / "label.png", label))


def test_prediction_may_be_empty(image: Path, tmp_path: Path) -> None:
    check_label(image, save(tmp_path / "label.png", np.zeros((20, 30), np.uint8)), empty=True)
