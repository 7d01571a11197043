"""The images and masks of :mod:`monai_lesion.images.reading` for MONAI's ``LoadImaged``, in its order, (W, H)."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from monai.data import ImageReader, MetaTensor
from monai.transforms import LoadImaged
from numpy.typing import NDArray

from monai_lesion.errors import ImageError
from monai_lesion.images.dicom_images import is_dicom
from monai_lesion.images.reading import (
    ImageFile,
    UltrasoundImage,
    image_size,
    read_image,
    read_mask,
    read_masks,
)

__all__ = ["MaskReader", "UltrasoundImage", "UltrasoundReader", "image_size", "is_dicom", "read_image", "read_mask"]


class UltrasoundReader(ImageReader):  # type: ignore[misc]
    """Give ``LoadImaged`` an 8-bit RGB picture ``(W, H, 3)`` with true geometry.

    MONAI's readers give palette indices, four channels or clipped 16-bit, and a spacing of 1 mm where none is known.
    A cine gives its first frame, with a warning.

    The file is read in ``get_data``, for ``LoadImaged`` answers an error in ``read`` by trying MONAI's readers.
    """

    def verify_suffix(self, filename: Sequence[Any] | Any) -> bool:
        """Any file: the content decides."""
        return True

    def read(self, data: Any, **kwargs: Any) -> list[Any]:
        """The path or paths, still unread."""
        return list(data) if isinstance(data, (list, tuple)) else [data]

    def get_data(self, img: Sequence[UltrasoundImage | str | Path]) -> tuple[NDArray[np.uint8], dict[str, Any]]:
        """The pixels ``(W, H, 3)`` and MONAI's metadata.

        Raises:
            ImageError: when the file cannot be read, or there are several.
        """
        image = _only(img)
        if not isinstance(image, UltrasoundImage):
            with ImageFile(image) as file:
                image = file.read(first=True)
        pixels = np.ascontiguousarray(image.pixels.transpose(1, 0, 2))
        size = (*pixels.shape[:2], 1) if image.solid else pixels.shape[:2]
        return pixels, _meta(image.path, size, -1, image.affine)


class MaskReader(ImageReader):  # type: ignore[misc]
    """Give ``LoadImaged`` a mask ``(W, H)`` of 0 and 1, uint8; several files give their union.

    The file is read in ``get_data``, as by :class:`UltrasoundReader`.
    """

    def verify_suffix(self, filename: Sequence[Any] | Any) -> bool:
        """Any file: the content decides."""
        return True

    def read(self, data: Any, **kwargs: Any) -> list[Any]:
        """The path or paths, still unread."""
        return list(data) if isinstance(data, (list, tuple)) else [data]

    def get_data(self, img: Sequence[str | Path]) -> tuple[NDArray[np.uint8], dict[str, Any]]:
        """The mask ``(W, H)`` and MONAI's metadata.

        Raises:
            ImageError: when a file cannot be read, or two differ in size.
        """
        pixels = np.ascontiguousarray(read_masks(img).T.astype(np.uint8))
        return pixels, _mask_meta(str(img[0]), pixels.shape)


class LoadLabeld(LoadImaged):  # type: ignore[misc]
    """``LoadImaged`` for masks, which also takes the label ``[]`` of a picture without a lesion.

    Its mask ``(W, H)`` is empty and as large as the picture, which must be loaded, channel first, before.

    Args:
        key: key of the label.
        image_key: key of its picture.
    """

    def __init__(self, key: str = "label", *, image_key: str = "image") -> None:
        super().__init__(key, reader=MaskReader)
        self.image_key = image_key

    def __call__(self, data: Mapping[Hashable, Any], reader: Any = None) -> dict[Hashable, Any]:
        """Load each key, or make its empty mask."""
        key = self.keys[0]
        if not isinstance(data[key], (list, tuple)) or len(data[key]):
            loaded: dict[Hashable, Any] = super().__call__(data, reader)
            return loaded
        picture = data[self.image_key]
        mask = torch.zeros(picture.shape[1:3], dtype=torch.float32)
        meta = _mask_meta(str(picture.meta["filename_or_obj"]), mask.shape)
        return {**data, key: MetaTensor.ensure_torch_and_prune_meta(mask, meta)}


def _mask_meta(path: str, size: Sequence[int]) -> dict[str, Any]:
    return _meta(path, size, "no_channel", np.diag([-1.0, -1.0, 1.0, 1.0]))


def _only(items: Sequence[Any]) -> Any:
    if len(items) != 1:
        raise ImageError(", ".join(map(str, items)) or "the image", "must be one file", got=len(items))
    return items[0]


def _meta(path: str, size: Sequence[int], channel: int | str, affine: NDArray[np.float64]) -> dict[str, Any]:
    return {
        "filename_or_obj": path,
        "spatial_shape": np.asarray(size),
        "original_channel_dim": channel,
        "affine": affine,
        "original_affine": affine,
        "space": "RAS",
    }
