"""What a segmenter takes for a picture: files, folders, arrays, and the objects of Pillow and pydicom."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from monai_lesion.datasets.image_lists import raise_failures
from monai_lesion.errors import InputError
from monai_lesion.images.pictures import pixels_of
from monai_lesion.images.reading import ImageFile, UltrasoundImage

TAKEN = "a path, a folder, an open file, bytes, an array, a Pillow image, a pydicom Dataset, or several of them"


def is_a(source: object, name: str) -> bool:
    """Whether an object is of a class, which need not be installed.

    Example:
        >>> is_a(True, "builtins.int"), is_a(np.zeros(1), "torch.Tensor")
        (True, False)
    """
    return any(f"{kind.__module__}.{kind.__qualname__}" == name for kind in type(source).__mro__)


def picture_of(source: Any) -> UltrasoundImage | ImageFile | None:
    """The picture or the file that an object in memory is; None for a path and for several pictures.

    Args:
        source: an object.

    Raises:
        ImageError: when bytes are no picture.
        InputError: for an object that is no picture, a tensor for instance.
    """
    if isinstance(source, (UltrasoundImage, ImageFile)):
        return source
    if isinstance(source, np.ndarray):
        return _from_array(source)
    if is_a(source, "torch.Tensor"):
        rule = "must say which axis is which and how black and white are coded, which a tensor does not"
        fix = "Give an 8-bit array, for example tensor.permute(1, 2, 0).cpu().numpy()"
        raise InputError("source", rule, got=f"a tensor of {source.dtype} {tuple(source.shape)}", fix=fix)
    if is_a(source, "PIL.Image.Image"):
        return UltrasoundImage(pixels_of(source, "source"), None, "")
    if is_a(source, "pydicom.dataset.Dataset"):
        return ImageFile(_dicom_bytes(source))
    if isinstance(source, (bytes, bytearray, memoryview)):
        return ImageFile(bytes(source))
    if hasattr(source, "read"):
        content = source.read()
        if not isinstance(content, bytes):
            raise InputError("source", "must be a file open for bytes", got="a text file", fix='Use open(path, "rb")')
        return ImageFile(content)
    if isinstance(source, (str, Path)):
        return None
    if not isinstance(source, Iterable) or isinstance(source, dict):
        raise InputError("source", f"must be {TAKEN}", got=type(source).__name__)
    return None


def _dicom_bytes(dataset: Any) -> bytes:
    """The file that a data set would be."""
    import pydicom

    new = int(pydicom.__version__.split(".")[0]) >= 3
    stream = BytesIO()
    try:
        pydicom.dcmwrite(stream, dataset, **({"enforce_file_format": True} if new else {"write_like_original": False}))
    except Exception as error:  # pydicom raises many kinds, whose texts may quote what they write
        rule = "a Dataset must be complete, with its file_meta and TransferSyntaxUID"
        fix = "Read it with pydicom.dcmread, or give the path"
        raise InputError("source", rule, got=type(error).__name__, fix=fix) from error
    return stream.getvalue()


def _from_array(array: NDArray[Any]) -> UltrasoundImage:
    right = array.dtype == np.uint8 and array.ndim in (2, 3) and array.size
    if not right or (array.ndim == 3 and array.shape[2] != 3):
        rule = "an array must be unsigned 8-bit (H, W) or (H, W, 3)"
        grey = array.dtype != np.uint8 and array.ndim in (2, 3)
        fix = "Map it to 0-255 yourself: only you know what is black and what is white" if grey else ""
        raise InputError("source", rule, got=f"{array.dtype} {array.shape}", fix=fix)
    rgb = array if array.ndim == 3 else np.repeat(array[..., None], 3, axis=2)
    return UltrasoundImage(np.ascontiguousarray(rgb), None, "", None)


class FolderResults(Iterator[Any]):
    """The results of a folder or of a list of files, one by one; a file that cannot be read does not stop the rest.

    At its end it raises an error that names each bad file, as the command line does.

    Args:
        files: the pictures.
        segment: gives the results of one of them.

    Attributes:
        failures: the error of each bad file so far.

    Raises:
        InputError: at the end, for bad files.
    """

    def __init__(self, files: Sequence[Path], segment: Callable[[Path], Iterator[Any]]) -> None:
        self.failures: dict[str, str] = {}
        self._count = len(files)
        self._results = self._each(files, segment)

    def __repr__(self) -> str:
        return f"<results of {self._count} file{'' if self._count == 1 else 's'}, each made when its turn comes>"

    def __next__(self) -> Any:
        return next(self._results)

    def _each(self, files: Sequence[Path], segment: Callable[[Path], Iterator[Any]]) -> Iterator[Any]:
        for file in files:
            try:
                yield from segment(file)
            except InputError as error:
                self.failures[str(file)] = str(error)
        raise_failures(self.failures, len(files))
