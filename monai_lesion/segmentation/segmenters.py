"""What all segmenters share, whatever runs the network; imports neither PyTorch nor MONAI."""

from __future__ import annotations

import logging
import os
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple, overload

import numpy as np
from numpy.typing import NDArray

from monai_lesion.datasets.image_lists import cine_name, find_images, frame_name, output_names
from monai_lesion.dicom.identity import Algorithm
from monai_lesion.errors import InputError
from monai_lesion.images.reading import ImageFile, UltrasoundImage, opened, read_image
from monai_lesion.images.regions import Region, region_of_interest
from monai_lesion.segmentation.results import Segmentation
from monai_lesion.segmentation.sources import TAKEN, FolderResults, picture_of
from monai_lesion.segmentation.trust import Trust, Verdict

logger = logging.getLogger(__name__)

Source = str | Path | ImageFile | UltrasoundImage | bytes | NDArray[np.uint8]


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

        -- read -- (crop) -- find -- (judge) -- Segmentation

    Attributes:
        crop: whether the network sees only the largest region of 2-D tissue that the DICOM header names.
        settings: everything else that decides the mask, such as the threshold, for DICOM objects.
        trust: gives each result decision, trust and intervals; None without a calibration.
        untrusted: why not, where it is None.
    """

    crop: bool
    settings: Mapping[str, str]
    trust: Trust | None = None
    untrusted: str = "the model carries no calibration (monai-lesion calibrate makes one)"

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
    def __call__(self, source: str | Path | ImageFile | bytes, *, frame: int) -> Segmentation: ...  # type: ignore[overload-overlap]
    @overload
    def __call__(self, source: Any, *, frame: int | None = None) -> Any: ...

    def __call__(self, source: Any, *, frame: int | None = None) -> Segmentation | Iterator[Segmentation]:
        """Segment one picture, or several one by one as you iterate.

        Args:
            source: a path, an open file or its bytes, an 8-bit array ``(H, W)`` or ``(H, W, 3)`` RGB, a Pillow image,
                or a pydicom ``Dataset``; a folder, which is searched as the command line does; or an iterable of any
                of them.
            frame: frame of a cine, counted from 0; None for all.

        Returns:
            One result for a picture or a frame. For a folder, for several sources, and for a cine without ``frame``, an
            iterator that reads and segments each picture when its turn comes. That of a folder or of a list of paths
            goes on after a bad file, and raises at its end.

        Raises:
            ImageError: when a file cannot be read.
            InputError: for an array of another shape or type, or an object that is no picture.
        """
        picture = picture_of(source)
        if isinstance(picture, UltrasoundImage):
            return self.segment(picture)
        if isinstance(source, (list, tuple)) and all(isinstance(each, (str, Path)) for each in source):
            return FolderResults(list(map(Path, source)), lambda file: self._each(file, frame))
        if picture is None and not isinstance(source, (str, Path)):
            return (result for each in source for result in self._each(each, frame))
        if picture is None and os.path.isdir(source):
            return self._folder(Path(source), frame)
        with opened(picture or source) as file:
            if frame is None and file.frames > 1:
                return self._each(picture or source, None)
            image = read_image(file, frame=frame)
        return self.segment(image)

    def _each(self, source: Any, frame: int | None) -> Iterator[Segmentation]:
        """Give the result of a picture, or of each frame of a cine, or of each picture of a folder."""
        picture = picture_of(source)
        if isinstance(picture, UltrasoundImage):
            yield self.segment(picture)
            return
        if picture is None and not isinstance(source, (str, Path)):
            raise InputError("source", f"must be {TAKEN}", got=f"a {type(source).__name__} among several")
        if picture is None and isinstance(source, (str, Path)) and os.path.isdir(source):
            yield from self._folder(Path(source), frame)
            return
        with opened(picture or source) as file:
            for number in range(file.frames) if frame is None and file.frames > 1 else [frame]:
                yield self.segment(read_image(file, frame=number))

    def _folder(self, folder: Path, frame: int | None) -> FolderResults:
        """Give the results of a folder, with the names that the command line gives their files."""
        files = find_images(folder)
        names = dict(zip(files, output_names(files), strict=True))
        taken = {name.casefold() for name in names.values()}

        def segment(file: Path) -> Iterator[Segmentation]:
            with opened(file) as source:
                name = cine_name(names[file], source.frames, taken)
                for result in self._each(source, frame):
                    yield replace(result, name=frame_name(name, result.image.frame))

        return FolderResults(files, segment)

    def segment(self, image: UltrasoundImage) -> Segmentation:
        """Segment a picture that is already in memory.

        Raises:
            InputError: when memory runs out, so that a batch can go on with the next picture; or for pixels of
                another shape or type.
        """
        _check_pixels(image)
        try:
            result = _doubted(self._segment(image))
            for remark in result.remarks:
                frame = "" if image.frame is None else f", frame {image.frame}"
                logger.warning("%s%s: %s", image.path or "source", frame, remark)
            return result
        except Exception as error:  # each runtime has its own error when memory runs out
            if not out_of_memory(error):
                raise
            raise no_memory(image) from error

    def _segment(self, image: UltrasoundImage) -> Segmentation:
        region = region_of_interest(image.calibration.regions) if self.crop else None
        if region is None or region.shape == image.pixels.shape[:2]:
            found, verdict = self._judged(image, scanner_of(image))
            return Segmentation(image, found.mask, found.probability, self.algorithm, None, found.scores, verdict)
        mask, probability = np.zeros(image.pixels.shape[:2], np.uint8), np.zeros(image.pixels.shape[:2], np.float32)
        part = UltrasoundImage(
            np.ascontiguousarray(image.pixels[region.slices]), image.spacing, image.path, image.frame
        )
        found, verdict = self._judged(part, scanner_of(image))
        mask[region.slices], probability[region.slices] = found.mask, found.probability
        return Segmentation(image, mask, probability, cropped(self.algorithm, region), region, found.scores, verdict)

    def _judged(self, image: UltrasoundImage, scanner: str) -> tuple[Finding, Verdict | None]:
        """What is found, and how far it is to be believed; the mask is empty where that is nothing."""
        found = Finding(*self.find(image))
        if self.trust is None:
            return found, None

        def segment(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
            return Finding(*self.find(replace(image, pixels=pixels))).mask

        signals = self.trust.signals(found.mask, found.scores, image.pixels, segment)
        verdict = self.trust.verdict(signals, found=bool(found.mask.any()), scanner=scanner)
        if verdict.decision == "nothing found":
            found = found._replace(mask=np.zeros_like(found.mask))
        return found, verdict


def _doubted(result: Segmentation) -> Segmentation:
    """A lesion that does not lie in the tissue is doubtful, however sure the network is."""
    verdict = result.verdict
    if verdict is None or verdict.decision != "lesion" or not result.remarks:
        return result
    return replace(result, verdict=replace(verdict, decision="doubtful"))


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


def scanner_of(image: UltrasoundImage) -> str:
    """The scanner's model that the header names; empty where it does not."""
    return "" if image.header is None else str(image.header.get("ManufacturerModelName") or "")


def cropped(algorithm: Algorithm, region: Region) -> Algorithm:
    """The algorithm that was shown only a region, for DICOM objects."""
    crop = f"rows {region.top}-{region.bottom} columns {region.left}-{region.right}"
    return replace(algorithm, settings={**algorithm.settings, "crop": crop})


def _check_pixels(image: UltrasoundImage) -> None:
    pixels = image.pixels
    if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[2] != 3 or not pixels.size:
        rule = "pixels must be unsigned 8-bit (H, W, 3), at least one"
        raise InputError(image.path or "source", rule, got=f"{pixels.dtype} {pixels.shape}")
