"""Write DICOM objects to files, and check for the libraries that this needs."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING

from monai_lesion.errors import InputError
from monai_lesion.files import replacing
from monai_lesion.images.silence import quiet

if TYPE_CHECKING:
    from pydicom import Dataset


def write(dataset: Dataset, path: str | Path) -> Path:
    """Write an object to a file, whole or not at all.

    Args:
        dataset: what one of the writers returned.
        path: the file; folders are created if needed.

    Returns:
        The file.

    Raises:
        OSError: when it cannot be written.
    """
    file, content = Path(path), BytesIO()
    with quiet():
        dataset.save_as(content, enforce_file_format=True)
    with replacing(file) as partial:
        partial.write_bytes(content.getvalue())  # of a full disk, pydicom tells with a traceback in the text
    return file


def require_highdicom() -> None:
    """Check that highdicom and pydicom 3 are installed.

    Raises:
        InputError: when one is missing; names the extra to install.
    """
    fix = 'Install them: pip install "monai-lesion[dicom]"'
    try:
        import highdicom
        import pydicom
    except ImportError as error:
        raise InputError("DICOM output", "needs highdicom and pydicom 3", got=f"no {error.name}", fix=fix) from error
    if int(pydicom.__version__.split(".")[0]) < 3:
        got = f"pydicom {pydicom.__version__}, highdicom {highdicom.__version__}"
        raise InputError("DICOM output", "needs highdicom and pydicom 3", got=got, fix=fix)
