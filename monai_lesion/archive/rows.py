"""From an item of an archive to rows of the table: every frame has one, a bad file too.

::

    item -- open -- frame -- segment -- measure -- run lengths -- row
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from functools import partial
from typing import TYPE_CHECKING, Any

from monai_lesion.archive.listings import Item
from monai_lesion.archive.pictures import Opener, fetched
from monai_lesion.archive.run_lengths import encode
from monai_lesion.archive.schemas import ENDS, IDENTIFIERS, NAMES, SCANNER, UIDS
from monai_lesion.errors import InputError, printable
from monai_lesion.images.dicom_files import SOP_CLASSES
from monai_lesion.images.reading import ImageFile
from monai_lesion.measures.judgements import SIZES as JUDGED
from monai_lesion.segmentation.batches import told
from monai_lesion.segmentation.tables import row_of

if TYPE_CHECKING:
    from monai_lesion.pacs.archives import Archive
    from monai_lesion.segmentation.results import Segmentation
    from monai_lesion.segmentation.segmenters import Segmenter

Row = dict[str, Any]
SAME = frozenset(NAMES)  # of the columns of a batch's table, those that this table has too


class RowMaker:
    """Makes the rows of items.

    Args:
        segmenter: segments each frame.
        stride: takes every so many frames of a cine, from the first.
        identifiers: whether rows name patient, date and accession number.
        archive: gives the archive of a study's URL.
    """

    def __init__(
        self,
        segmenter: Segmenter,
        *,
        stride: int = 1,
        identifiers: bool = False,
        archive: Callable[[str], Archive] | None = None,
    ) -> None:
        self.segmenter, self.stride, self.identifiers = segmenter, stride, identifiers
        self.open = Opener()
        self._archive = archive

    def __call__(self, item: Item) -> Iterator[Row]:
        """Give the rows of an item; whatever is wrong with it is in a row.

        Raises:
            ArchiveClosedError: when the archive refuses everything, which says nothing of one study.
        """
        if item.study:
            yield from self._study(item)
        else:
            known = {"path": stored(item.path), "member": stored(item.member) or None}
            yield from self._file(lambda: self.open(item), item.name, known, item.frame)

    def failure(self, item: Item, rule: str, got: str) -> Row:
        """The row of an item that was not tried."""
        known = {"path": stored(item.path), "member": stored(item.member) or None, "study_uid": item.study or None}
        return _failed(known, item.name, InputError(item.name, rule, got=got), time.perf_counter())

    def _study(self, item: Item) -> Iterator[Row]:
        from monai_lesion.pacs.archives import ArchiveClosedError
        from monai_lesion.pacs.objects import is_own

        start, known = time.perf_counter(), {"path": item.path, "study_uid": item.study}
        try:
            archive = self._archive(item.path)  # type: ignore[misc]
            listed = archive.instances(item.study)
            series = archive.series(item.study)
        except ArchiveClosedError:
            raise
        except Exception as error:
            yield _failed(known, item.name, error, start)
            return
        ours = {each["uid"] for each in series if is_own(each["manufacturer"], each["modality"])}
        for instance in sorted(listed, key=lambda each: (each.series, each.uid)):
            if instance.sop_class in ("", *SOP_CLASSES) and instance.series not in ours:
                uids = {"series_uid": instance.series, "instance_uid": instance.uid}
                opener = partial(fetched, archive, item.study, instance)
                yield from self._file(opener, f"instance {instance.uid}", {**known, **uids}, item.frame)

    def _file(
        self, opener: Callable[[], AbstractContextManager[ImageFile]], name: str, known: Row, only: int | None
    ) -> Iterator[Row]:
        start = time.perf_counter()
        try:
            with opener() as file:
                known = {**known, **self._header_of(file), "frames": file.frames}
                numbers = [only] if only is not None else range(0, file.frames, self.stride)
                for number in numbers:
                    frame = number if file.frames > 1 or only else None
                    try:
                        result = self.segmenter.segment(file.read(frame))
                        row = self._row(result, known)
                        row["milliseconds"] = _since(start)
                    except Exception as error:
                        row = _failed({**known, "frame": frame}, name, error, start)
                    yield row
                    start = time.perf_counter()
        except Exception as error:
            if type(error).__name__ == "ArchiveClosedError":
                raise
            yield _failed(known, name, error, start)

    def _header_of(self, file: ImageFile) -> Row:
        header = file.header
        if header is None:
            return {}
        from monai_lesion.dicom.texts import text_of
        from monai_lesion.pacs.objects import why_not

        if (why := why_not(header)) is not None:
            raise InputError(file.path, "must be an ultrasound picture", got=why)
        wanted = {**UIDS, **SCANNER, **(IDENTIFIERS if self.identifiers else {})}
        return {name: text_of(header, keyword) or None for name, keyword in wanted.items()}

    def _row(self, result: Segmentation, known: Row) -> Row:
        found: Mapping[str, Any] = row_of(result)
        row = {**known, **{name: value for name, value in found.items() if name in SAME}}
        row |= {"image_rows": found["rows"], "image_columns": found["columns"]}
        row["remarks"] = "; ".join(result.remarks) or None
        verdict = result.verdict
        if verdict is not None:
            row |= {name: getattr(verdict, name) for name in ("trust", "unfamiliar", "quality", "group")}
        for name, interval in (result.intervals or {}).items():
            if name in JUDGED:
                for end in ENDS:
                    size = getattr(interval, end)
                    row[f"{name}_{size.unit}_{end}"] = round(size.value, 3)
                row["interval_level"] = interval.level
        if found["found"]:
            row["mask"] = {"size": list(result.mask.shape), "counts": encode(result.mask)}
        return row


def stored(text: str) -> str:
    """A path as the table holds it: bytes that are no UTF-8 are escaped."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def _failed(known: Row, name: str, error: Exception, start: float) -> Row:
    from pathlib import Path

    text = told(error, Path(name))
    for place in ("source", "instance.dcm"):  # what a picture in memory or in a temporary file is called
        head, colon, rest = text.partition(": ")
        if colon and head.endswith(place):
            text = f"{printable(name)}: {rest}"
    return {**known, "error": stored(text), "error_kind": stored(kind_of(text)), "milliseconds": _since(start)}


def kind_of(text: str) -> str:
    """The rule that an error states, without the file, what was got, and the fix.

    Example:
        >>> kind_of("a/b.png: must not be empty, got 0 bytes. Copy or export the file again")
        'must not be empty'
    """
    rule = text.split(", got ")[0]
    return rule.rsplit(": ", 1)[-1] if ": " in rule else rule


def _since(start: float) -> float:
    return round((time.perf_counter() - start) * 1000, 2)
