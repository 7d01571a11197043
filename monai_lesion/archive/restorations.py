"""From a row back to the result it was made of: the picture is read again, the network is not run.

::

    row -- picture again --+
        -- run lengths ----+-- Segmentation -- overlay, SEG, SR
    run.json -- algorithm -+
"""

from __future__ import annotations

import tarfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from monai_lesion.archive.jobs import Job, Record
from monai_lesion.archive.listings import Item, is_url
from monai_lesion.archive.pictures import Opener, fetched
from monai_lesion.archive.results import Results
from monai_lesion.archive.run_lengths import decode
from monai_lesion.dicom.identity import Algorithm
from monai_lesion.errors import InputError
from monai_lesion.files import replacing, true_place
from monai_lesion.images.reading import ImageFile, UltrasoundImage
from monai_lesion.images.regions import region_of_interest
from monai_lesion.segmentation.formats import check_free
from monai_lesion.segmentation.results import Segmentation
from monai_lesion.segmentation.segmenters import cropped
from monai_lesion.segmentation.trust import Verdict

CHANGED = "The file has changed since; segment it again"


def restore(row: Mapping[str, Any], record: Record, *, credentials: Path | None = None) -> Segmentation:
    """The result of a row.

    Args:
        row: of the table.
        record: of its folder.
        credentials: file with the log-in of a DICOMweb archive.

    Raises:
        InputError: when the row is an error, or its picture is gone, another or unreadable.
    """
    where = f"row {row['row']}"
    if row["error"] is not None:
        raise InputError(where, "must have a result", got=f"the error {row['error']}")
    with _opened(row, record, credentials) as file:
        image = file.read(row["frame"])
    size = int(row["image_rows"]), int(row["image_columns"])
    if image.pixels.shape[:2] != size:
        raise InputError(where, f"its picture must have {size[0]} x {size[1]} pixels", got=file.size, fix=CHANGED)
    known = record.content["model"]
    names = ("name", "version", "weights", "bundle_version", "settings")
    algorithm = Algorithm(**{name: known[name] for name in names})
    region = region_of_interest(image.calibration.regions) if known["crop"] else None
    if region is not None and region.shape == size:
        region = None
    if region is not None:
        algorithm = cropped(algorithm, region)
    mask = np.zeros(size, np.uint8) if row["mask"] is None else decode(row["mask"]["counts"], row["mask"]["size"])
    return Segmentation(
        image,
        mask,
        mask.astype(np.float32),
        algorithm,
        region,
        verdict=_verdict(row, known["calibration"]),
        name=f"row-{row['row']}",
    )


def _verdict(row: Mapping[str, Any], calibration: Mapping[str, Any] | None) -> Verdict | None:
    if row["decision"] is None or calibration is None:
        return None
    kept = {name: row[name] for name in ("decision", "trust", "unfamiliar", "quality")}
    return Verdict(**kept, calibration=calibration, group=row["group"] or "")


@contextmanager
def _opened(row: Mapping[str, Any], record: Record, credentials: Path | None) -> Iterator[ImageFile]:
    path, member = row["path"], row["member"] or ""
    if is_url(path):
        from monai_lesion.pacs.archives import Instance

        job = Job("", record.run, record.network, credentials=None if credentials is None else str(credentials))
        with fetched(job.archive(path), row["study_uid"], Instance(row["instance_uid"], row["series_uid"], "")) as file:
            yield file
        return
    opener = Opener()
    with opener(_member(path, member) if member else Item(path)) as file:
        yield file
    opener.close()


def _member(path: str, member: str) -> Item:
    try:
        with tarfile.open(path) as archive:
            found = archive.getmember(member)
            return Item(path, member, found.offset_data, found.size)
    except (tarfile.TarError, KeyError, OSError, EOFError) as error:
        raise InputError(path, f"must hold {member}", got=type(error).__name__, fix=CHANGED) from error


def show_row(
    output: str | Path,
    number: int,
    picture: Path | None = None,
    *,
    overwrite: bool = False,
    credentials: Path | None = None,
) -> tuple[Path, str]:
    """Draw the overlay of a row as PNG.

    Args:
        output: folder of the results.
        number: of the row.
        picture: the file to write; None for ``row-NUMBER.png``.
        overwrite: whether to replace an earlier one.
        credentials: file with the log-in of a DICOMweb archive.

    Returns:
        The file, and what was found in a line.

    Raises:
        InputError: when there is no such row, :func:`restore` fails, or the file exists.
    """
    from PIL import Image

    results = Results.open(output)
    row = results.row(number)
    result = restore(row, results.record, credentials=credentials)
    file = picture or Path(f"row-{number}.png")
    sources = {true_place(row["path"])} if not is_url(row["path"]) else set()
    check_free([file], sources, overwrite=overwrite, fix="Add --overwrite, or name another file with --output")
    with replacing(file) as partial:
        Image.fromarray(result.draw()).save(partial, "PNG")
    place = row["instance_uid"] or row["member"] or row["path"]
    return file, f"{place}{_frame(result.image)}: {result.summary}"


def _frame(image: UltrasoundImage) -> str:
    return "" if image.frame is None else f", frame {image.frame}"


def write_dicom(
    output: str | Path,
    folder: Path,
    *,
    where: str = "",
    rows: Sequence[int] = (),
    formats: Sequence[str] = ("dicom-seg", "dicom-sr"),
    overwrite: bool = False,
    credentials: Path | None = None,
    shown: Any = None,
) -> int:
    """Make the DICOM objects of selected rows, ``row-NUMBER.seg.dcm`` and so on; a bad one does not stop the rest.

    Args:
        output: folder of the results.
        folder: where to write.
        where: condition in SQL.
        rows: numbers of rows.
        formats: ``"dicom-seg"``, ``"dicom-sr"`` and ``"sc"``.
        overwrite: whether to replace earlier ones.
        credentials: file with the log-in of a DICOMweb archive.
        shown: a progress bar that counts the rows.

    Returns:
        How many rows were made into objects.

    Raises:
        InputError: when nothing is selected, and at the end for rows that could not be made.
    """
    results, failures, count = Results.open(output), [], 0
    for row in results.select(where, rows):
        count += 1
        try:
            if row["error"] is None and row["instance_uid"] is None:
                fix = 'Select rows by --where "instance_uid IS NOT NULL"'
                raise InputError(f"row {row['row']}", "must come from a DICOM file", got=row["path"], fix=fix)
            restore(row, results.record, credentials=credentials).save(folder, formats, overwrite=overwrite)
        except InputError as error:
            name = f"row {row['row']}: "
            failures.append(name + str(error).removeprefix(name))
        if shown is not None:
            shown.update()
    if not count:
        raise InputError("--where", "must select rows", got="none")
    if failures:
        listed = "\n  ".join(failures[:20]) + (f"\n  and {len(failures) - 20} more" if len(failures) > 20 else "")
        raise InputError("rows", f"{len(failures)} of {count} could not be made into DICOM objects:\n  {listed}")
    return count
