"""What a label must be before it is kept or learnt from."""

from __future__ import annotations

from pathlib import Path

from monai_lesion.errors import ImageError
from monai_lesion.images.reading import image_size, read_mask
from monai_lesion.measures.masks import check_fits


def check_label(image: str | Path, label: str | Path, *, empty: bool = False) -> None:
    """Refuse a label that cannot be learnt from.

    Args:
        image: the image.
        label: its mask.
        empty: whether a mask without a lesion is allowed, as for a prediction.

    Raises:
        ImageError: when the mask cannot be read, is coloured or empty, or has another size than the image.
    """
    mask, size = read_mask(label), image_size(image)
    check_fits(Path(label).name, mask.shape, size)
    if not empty and not mask.any():
        fix = "Draw the lesion, or leave the image without a label"
        raise ImageError(Path(label).name, "a label must show a lesion", got="an empty mask", fix=fix)
