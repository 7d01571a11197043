"""The images of a batch: folders, files or a manifest's split, the unreadable ones set aside and reported."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from pathlib import Path

from monai_lesion.data.readers import is_dicom, read_image
from monai_lesion.errors import ImageError, InputError

logger = logging.getLogger(__name__)

SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".dcm", ".nii", ".gz", ".nrrd", ".mha")


def find_images(sources: str | Path | Iterable[str | Path]) -> list[Path]:
    """The image files of a list of files and folders, folders sorted and with their subfolders.

    Args:
        sources: a file, a folder or several; in a folder, files with a picture's ending or a DICOM preamble count.

    Raises:
        InputError: when nothing is found.
    """
    listed = [sources] if isinstance(sources, (str, Path)) else list(sources)
    files: list[Path] = []
    for source in map(Path, listed):
        if source.is_dir():
            inside = (path for path in sorted(source.rglob("*")) if path.is_file() and not path.name.startswith("."))
            files += [path for path in inside if path.suffix.lower() in SUFFIXES or is_dicom(path)]
        else:
            files.append(source)  # a missing file is reported as one bad file of the batch
    if not files:
        raise InputError("images", "must name image files or folders that hold some", got=", ".join(map(str, listed)))
    return list(dict.fromkeys(files))


def output_names(files: Sequence[Path]) -> list[str]:
    """A distinct name for each file's results: its own without ending, more of its path where two are alike.

    Example:
        >>> output_names([Path("a/1.png"), Path("b/1.png"), Path("b/2.png")])
        ['a/1', 'b/1', '2']
    """
    names = [path.name.removesuffix(".gz").rsplit(".", 1)[0] or path.name for path in files]
    for depth in range(2, 64):
        again = {name for name in names if names.count(name) > 1} if len(set(names)) < len(names) else set()
        if not again:
            break
        if depth == 2:  # same stem, other ending
            names = [path.name if name in again else name for name, path in zip(names, files, strict=True)]
            continue
        names = [
            "/".join([*path.absolute().parts[1:-1][-(depth - 2) :], name.rsplit("/", 1)[-1]]) if name in again else name
            for name, path in zip(names, files, strict=True)
        ]
    return names


class ImageList:
    """Images for the bundle's inference: ``entries`` are readable, ``failures`` are not.

    Args:
        images: files and folders; None takes the manifest's split.
        manifest: manifest whose split is segmented when ``images`` is None; None for the simulated cases.
        dataset_dir: folder that the manifest's paths start from.
        split: the split.

    Raises:
        InputError: when there is no image at all.
    """

    def __init__(
        self,
        images: str | Path | Iterable[str | Path] | None = None,
        *,
        manifest: str | Path | None = None,
        dataset_dir: str | Path | None = None,
        split: str = "test",
    ) -> None:
        if images is not None:
            files = find_images(images.split(",") if isinstance(images, str) else images)
        else:
            from monai_lesion.data.defaults import open_data

            data = open_data(manifest, dataset_dir, splits=[split], labels=False)
            files = [Path(entry["image"]) for entry in data.entries(split)]
        self.names = dict(zip(map(str, files), output_names(files), strict=True))
        self.entries: list[dict[str, str]] = []
        self.failures: dict[str, str] = {}
        for file in files:
            try:
                read_image(file, frame=0)
                self.entries.append({"image": str(file)})
            except ImageError as error:
                logger.error("%s", error)
                self.failures[str(file)] = str(error)

    def report(self) -> None:
        """Raise when images were left out, so that the run ends with a non-zero exit.

        Raises:
            InputError: naming each bad file.
        """
        if self.failures:
            listed = "\n  ".join(self.failures.values())
            total = len(self.names)
            raise InputError("images", f"{len(self.failures)} of {total} could not be segmented:\n  {listed}")
