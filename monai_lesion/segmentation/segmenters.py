"""What all segmenters share, whatever runs the network; imports neither PyTorch nor MONAI."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple, overload

import numpy as np
from numpy.typing import NDArray

from monai_lesion.dicom.identity import Algorithm
from monai_lesion.errors import InputError
from monai_lesion.images.reading import ImageFile, UltrasoundImage, opened, read_image
from monai_lesion.images.regions import Region, region_of_interest
from monai_lesion.segmentation.results import Segmentation

Source = str | Path | ImageFile | NDArray[np.uint8]


class Finding(NamedTuple):
    """What a segmenter finds in a picture, upright.

    Args:
        mask: ``(H, W)`` uint8, 1 in the lesion.
        probability: ``(H, W)`` float32 in 0-1.
        scores: float32 ``(1, S)`` from a network that scores its own mask; None from any other.
    """

    mask: NDArray[np.uint8]
    probability: NDArray[np.float32]
    scores: NDArray[np.float32] | None = None


class Segmenter(ABC):
    """Segment pictures, files or cines, one or many.

    ::

        -- read -- (crop) -- find -- Segmentation

    Attributes:
        crop: whether the network sees only the largest region of 2-D tissue that the DICOM header names.
        settings: everything else that decides the mask, such as the threshold, for DICOM objects.
    """

    crop: bool
    settings: Mapping[str, str]

    @property
    @abstractmethod
    def algorithm(self) -> Algorithm:
        """The algorithm that finds the lesion, for DICOM objects."""

    @abstractmethod
    def find(self, image: UltrasoundImage) -> Finding:
        """Find mask, probability and scores, upright and in the size of the picture."""

    @overload
    def __call__(self, source: NDArray[np.uint8], *, frame: int | None = None) -> Segmentation: ...  # type: ignore[overload-overlap]
    @overload
    def __call__(self, source: str | Path | ImageFile, *, frame: int) -> Segmentation: ...  # type: ignore[overload-overlap]
    @overload
    def __call__(self, source: str | Path | ImageFile, *, frame: None = None) -> Any: ...
    @overload
    def __call__(self, source: Iterable[Source], *, frame: int | None = None) -> Iterator[Segmentation]: ...

    def __call__(
        self, source: Source | Iterable[Source], *, frame: int | None = None
    ) -> Segmentation | Iterator[Segmentation]:
        """Segment one picture, or several one by one as you iterate.

        Args:
            source: a path, an open file, an 8-bit array ``(H, W)`` or ``(H, W, 3)`` RGB, or an iterable of any of them.
            frame: frame of a cine, counted from 0; None for all.

        Returns:
            One result for a picture or a frame. For several sources, and for a cine without ``frame``, an iterator that
            reads and segments each frame when its turn comes.

        Raises:
            ImageError: when a file cannot be read.
            InputError: for an array of another shape or type.
        """
        if isinstance(source, np.ndarray):
            return self.segment(_from_array(source))
        if not isinstance(source, (str, Path, ImageFile)):
            return (result for each in source for result in self._each(each, frame))
        with opened(source) as file:
            if frame is None and file.frames > 1:
                return self._each(source, None)
            image = read_image(file, frame=frame)
        return self.segment(image)

    def _each(self, source: Source, frame: int | None) -> Iterator[Segmentation]:
        """Give the result of a picture, or of each frame of a cine."""
        if isinstance(source, np.ndarray):
            yield self.segment(_from_array(source))
            return
        with opened(source) as file:
            for number in range(file.frames) if frame is None and file.frames > 1 else [frame]:
                yield self.segment(read_image(file, frame=number))

    def segment(self, image: UltrasoundImage) -> Segmentation:
        """Segment a picture that is already in memory.

        Raises:
            InputError: when memory runs out, so that a batch can go on with the next picture; or for pixels of
                another shape or type.
        """
        _check_pixels(image)
        try:
            return self._segment(image)
        except Exception as error:  # each runtime has its own error when memory runs out
            if not out_of_memory(error):
                raise
            raise no_memory(image) from error

    def _segment(self, image: UltrasoundImage) -> Segmentation:
        region = region_of_interest(image.calibration.regions) if self.crop else None
        if region is None:
            found = Finding(*self.find(image))
            return Segmentation(image, found.mask, found.probability, self.algorithm, scores=found.scores)
        mask, probability = np.zeros(image.pixels.shape[:2], np.uint8), np.zeros(image.pixels.shape[:2], np.float32)
        part = UltrasoundImage(
            np.ascontiguousarray(image.pixels[region.slices]), image.spacing, image.path, image.frame
        )
        found = Finding(*self.find(part))
        mask[region.slices], probability[region.slices] = found.mask, found.probability
        return Segmentation(image, mask, probability, _cropped(self.algorithm, region), region, found.scores)


def check_finite(output: Any, segmenter: object) -> None:
    """Refuse the output of a broken network, which would otherwise look like an empty mask.

    Raises:
        InputError: when some of ``output`` is NaN or infinite.
    """
    if output is not None and not np.isfinite(output).all():
        fix = "Its weights are damaged, or it was not trained to the end"
        raise InputError(f"network {segmenter}", "must compute finite numbers", got="NaN or infinity", fix=fix)


def out_of_memory(error: BaseException) -> bool:
    """Whether an error means that memory ran out; PyTorch, OpenVINO and ONNX Runtime only say so in their message."""
    words = ("allocate memory", "not enough memory", "out of memory", "bad_alloc", "bad allocation")
    return isinstance(error, MemoryError) or any(word in str(error) for word in words)


def no_memory(image: UltrasoundImage) -> InputError:
    """Make the error for a picture that is too large for the memory."""
    rows, columns = image.pixels.shape[:2]
    fix = "Close other programs, or crop the picture"
    where = image.path or "source"
    return InputError(where, "needs more memory than this machine has", got=f"{rows} x {columns} pixels", fix=fix)


def _cropped(algorithm: Algorithm, region: Region) -> Algorithm:
    crop = f"rows {region.top}-{region.bottom} columns {region.left}-{region.right}"
    return replace(algorithm, settings={**algorithm.settings, "crop": crop})


def _check_pixels(image: UltrasoundImage) -> None:
    pixels = image.pixels
    if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[2] != 3 or not pixels.size:
        rule = "pixels must be unsigned 8-bit (H, W, 3), at least one"
        raise InputError(image.path or "source", rule, got=f"{pixels.dtype} {pixels.shape}")


def _from_array(array: NDArray[Any]) -> UltrasoundImage:
    right = array.dtype == np.uint8 and array.ndim in (2, 3) and array.size
    if not right or (array.ndim == 3 and array.shape[2] != 3):
        rule = "an array must be unsigned 8-bit (H, W) or (H, W, 3)"
        raise InputError("source", rule, got=f"{array.dtype} {array.shape}")
    rgb = array if array.ndim == 3 else np.repeat(array[..., None], 3, axis=2)
    return UltrasoundImage(np.ascontiguousarray(rgb), None, "", None)
