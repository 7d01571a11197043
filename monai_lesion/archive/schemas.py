"""The table of an archive: its columns, their units, and the version that every file of it carries."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from monai_lesion.errors import InputError
from monai_lesion.measures.judgements import SIZES as JUDGED
from monai_lesion.segmentation.tables import LENGTHS, SIZES

if TYPE_CHECKING:
    import pyarrow

VERSION = 1
KEY = b"monai_lesion.archive"  # of the JSON in each file's key-value metadata
PLACES = 10_000_000  # rows that a part may have: the number of a row is its part times this, plus its place
IDENTIFIERS = {"patient_id": "PatientID", "study_date": "StudyDate", "accession_number": "AccessionNumber"}
UIDS = {"study_uid": "StudyInstanceUID", "series_uid": "SeriesInstanceUID", "instance_uid": "SOPInstanceUID"}
SCANNER = {"manufacturer": "Manufacturer", "scanner": "ManufacturerModelName"}
UNITS = {"long_axis": ("mm", "px"), "short_axis": ("mm", "px"), "area": ("mm2", "px2")}


class Column(NamedTuple):
    """One column.

    Args:
        name: its name.
        kind: its type: ``int64``, ``int32``, ``double``, ``float``, ``bool``, ``string`` or ``mask``.
        meaning: what it holds, with its unit; null unless it says otherwise where that is not known.
    """

    name: str
    kind: str
    meaning: str


def _sizes() -> list[Column]:
    found = []
    for name in SIZES:
        quantity, unit = name.rsplit("_", 1)
        words = quantity.replace("_", " ")
        found.append(Column(name, "double", f"{words} of the lesion in {unit}"))
        if quantity in JUDGED:
            found += [Column(f"{name}_{end}", "double", f"{end} end of its interval in {unit}") for end in ENDS]
    return found


ENDS = ("low", "high")
COLUMNS = (
    Column("row", "int64", f"number of the row, never null: its part times {PLACES:,}, plus its place"),
    Column("path", "string", "the file, or the URL of the DICOMweb services"),
    Column("member", "string", "the file's name in the tar file `path`"),
    Column("frame", "int32", "frame of a cine, counted from 0; null for a single picture and for a whole bad file"),
    Column("frames", "int32", "frames of the file"),
    *(Column(name, "string", f"{keyword} of a DICOM file") for name, keyword in UIDS.items()),
    *(Column(name, "string", f"{keyword} of a DICOM file") for name, keyword in SCANNER.items()),
    *(Column(name, "string", f"{word}; null unless `--identifiers` asks for it") for name, word in IDENTIFIERS.items()),
    Column("image_rows", "int32", "rows of the picture"),
    Column("image_columns", "int32", "columns of the picture"),
    Column("found", "bool", "whether the mask has a pixel"),
    Column("decision", "string", "`lesion`, `doubtful` or `nothing found`; null without a calibrated model"),
    Column("trust", "double", "estimated Dice of the mask with its reference, 0 to 1"),
    Column("unfamiliar", "bool", "whether the picture is unlike those of the calibration"),
    Column("quality", "double", "the signal behind the trust, 0 to 1"),
    Column("group", "string", "group of the calibration whose intervals are given; empty for all"),
    Column("mean_probability", "double", "mean probability within the mask"),
    *_sizes(),
    Column("interval_level", "double", "share of true sizes that the intervals are made to hold"),
    Column("components", "int32", "separate parts of the mask; the largest is measured"),
    Column("at_border", "bool", "whether the lesion touches the picture's border, so that sizes are lower bounds"),
    Column("calibration", "string", "where millimetres come from, or why there are none"),
    Column("remarks", "string", "what a reader must know, such as a lesion outside the tissue"),
    Column("mask", "mask", "`size` (rows, columns) and `counts`: COCO's compressed run lengths; null without a lesion"),
    Column("network", "string", "the network in words, shortened to 64 characters"),
    Column("weights_id", "string", "identity of its weights"),
    Column("runtime", "string", "what ran it, and its precision"),
    Column("milliseconds", "double", "from the file to this row"),
    Column("error", "string", "why there is no result; null where there is one"),
    Column("error_kind", "string", "the rule that was broken, alike for all files that break it"),
)
NAMES = tuple(column.name for column in COLUMNS)
__all__ = ["COLUMNS", "LENGTHS", "NAMES", "PLACES", "VERSION", "Column", "arrow_schema", "load_arrow"]


def load_arrow() -> Any:
    """The packages ``pyarrow`` and ``pyarrow.parquet``, the first of them.

    Raises:
        InputError: when it is not installed.
    """
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError as error:
        raise InputError("archive", "needs pyarrow", fix="pip install 'monai-lesion[archive]'") from error
    return pyarrow


def arrow_schema(metadata: dict[bytes, bytes] | None = None) -> pyarrow.Schema:
    """The columns for pyarrow.

    Args:
        metadata: what the files carry besides.
    """
    arrow = load_arrow()
    kinds = {
        "int64": arrow.int64(),
        "int32": arrow.int32(),
        "double": arrow.float64(),
        "bool": arrow.bool_(),
        "string": arrow.string(),
        "mask": arrow.struct([("size", arrow.list_(arrow.int32())), ("counts", arrow.string())]),
    }
    fields = [arrow.field(each.name, kinds[each.kind], nullable=each.name != "row") for each in COLUMNS]
    return arrow.schema(fields, metadata=metadata)
