"""Open an item of an archive: a file, a member of a tar file, or an instance that DICOMweb services send."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from monai_lesion.archive.listings import Item
from monai_lesion.errors import ImageError
from monai_lesion.images.reading import ImageFile

if TYPE_CHECKING:
    from monai_lesion.pacs.archives import Archive, Instance

MEMBER_BYTES = 2**30  # of a tar file's member, which is read into memory


class Opener:
    """Opens items; a tar file stays open while its members follow each other.

    Example:
        >>> import numpy as np
        >>> from PIL import Image
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     Image.fromarray(np.zeros((32, 40), np.uint8)).save(f"{folder}/1.png")
        ...     with Opener()(Item(f"{folder}/1.png")) as file:
        ...         file.size
        (32, 40)
    """

    def __init__(self) -> None:
        self._path = ""
        self._stream: IO[bytes] | None = None

    @contextmanager
    def __call__(self, item: Item) -> Iterator[ImageFile]:
        """Open a file or a member of a tar file.

        Raises:
            ImageError: when it cannot be read.
        """
        with ImageFile(self._member(item) if item.member else item.path) as file:
            yield file

    def close(self) -> None:
        """Close the tar file."""
        if self._stream is not None:
            self._stream.close()
        self._path, self._stream = "", None

    def _member(self, item: Item) -> bytes:
        if item.size > MEMBER_BYTES:
            raise ImageError(item.name, f"must have at most {MEMBER_BYTES} bytes in a tar file", got=item.size)
        try:
            if self._stream is None or self._path != item.path:
                self.close()
                self._path, self._stream = item.path, _unpacked(Path(item.path))
            self._stream.seek(item.offset)
            content = self._stream.read(item.size)
        except (OSError, EOFError) as error:  # gzip's and lzma's own among them
            self.close()
            got = str(error) or type(error).__name__
            raise ImageError(item.name, "must be readable in its tar file", got=got) from error
        if len(content) < item.size:
            raise ImageError(item.name, f"must have {item.size} bytes in its tar file", got=len(content))
        return content


def _unpacked(path: Path) -> IO[bytes]:
    """A tar file without its compression, which is known by how it begins."""
    import bz2
    import gzip
    import lzma

    with path.open("rb") as file:
        start = file.read(6)
    opener: Any = open
    for mark, each in ((b"\x1f\x8b", gzip.open), (b"BZh", bz2.open), (b"\xfd7zXZ\x00", lzma.open)):
        opener = each if start.startswith(mark) else opener
    stream: IO[bytes] = opener(path, "rb")
    return stream


@contextmanager
def fetched(archive: Archive, study: str, instance: Instance) -> Iterator[ImageFile]:
    """Fetch an instance to a temporary file and open it.

    Raises:
        ArchiveError: when the archive does not send it.
        ImageError: when it cannot be read.
    """
    with tempfile.TemporaryDirectory(prefix="monai_lesion-") as folder:
        file = Path(folder, "instance.dcm")
        archive.fetch(study, instance, file)
        with ImageFile(file) as opened:
            yield opened
