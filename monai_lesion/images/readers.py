"""The images and masks of :mod:`monai_lesion.images.reading` for MONAI's ``LoadImaged``, in its order, (W, H)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from monai.data import ImageReader
from numpy.typing import NDArray

from monai_lesion.errors import ImageError
from monai_lesion.images.dicom_images import is_dicom
from monai_lesion.images.reading import ImageFile, UltrasoundImage, image_size, read_image, read_mask

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
    """Give ``LoadImaged`` a mask ``(W, H)`` of 0 and 1, uint8.

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
            ImageError: when the file cannot be read, or there are several.
        """
        path = _only(img)
        pixels = np.ascontiguousarray(read_mask(path).T.astype(np.uint8))
        return pixels, _meta(str(path), pixels.shape, "no_channel", np.diag([-1.0, -1.0, 1.0, 1.0]))


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
