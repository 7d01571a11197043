"""How much a network leans on the calipers: the same pictures with them, without them and with them elsewhere."""

from __future__ import annotations

import csv
import io
import json
import math
import zlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from monai_lesion.calipers.detection import Annotations, find_annotations
from monai_lesion.calipers.markers import Pixels
from monai_lesion.calipers.removal import annotation_mask, inpaint, move, shift_elsewhere, shifted
from monai_lesion.errors import InputError
from monai_lesion.files import replacing
from monai_lesion.images.reading import read_image, read_mask
from monai_lesion.measures.metrics import score_image

MEASURES = ("dice", "hd95")
VARIANTS = {
    "original": "as the scanner stored it",
    "removed": "calipers, their numbers and dotted lines inpainted",
    "moved": "the same strokes added elsewhere",
    "control": "calipers kept; as many pixels inpainted elsewhere",
}

Segment = Callable[[Pixels], NDArray[Any]]
Record = dict[str, Any]


class Variants(NamedTuple):
    """The pictures that are compared, and how far the calipers were moved."""

    pictures: dict[str, Pixels]
    shift: tuple[int, int]


class Difference(NamedTuple):
    """A variant less the original, over the images that have both; intervals by bootstrap over cases."""

    images: int
    mean: float
    low: float
    high: float
    p: float
    p_holm: float


def variants(image: Pixels, annotations: Annotations, rng: np.random.Generator) -> Variants:
    """The picture as it is, without its calipers, with them elsewhere, and with an inpainted patch as a control.

    Args:
        image: 8-bit, with the calipers of ``annotations``.
        annotations: at least one marker.
        rng: of the place where the calipers go.

    Shape:
        - image: ``(H, W, 3)``
    """
    mask = annotation_mask(image, annotations)
    removed = inpaint(image, mask)
    shift = shift_elsewhere(mask, rng)
    pictures = {
        "original": image,
        "removed": removed,
        "moved": move(image, removed, shift),
        "control": inpaint(image, shifted(mask, shift) & ~mask),
    }
    return Variants(pictures, shift)


def compare_images(
    segment: Segment,
    entries: Sequence[Mapping[str, Any]],
    *,
    seed: int = 0,
    progress: Callable[[Iterable[Any]], Iterable[Any]] = iter,
) -> list[Record]:
    """Segment every variant of every image and score it at the image's own size.

    Args:
        segment: gives the mask ``(H, W)`` of a picture ``(H, W, 3)``.
        entries: of a manifest, with absolute paths.
        seed: of the places where calipers go; each image has its own, whatever the others.
        progress: wraps the entries, as tqdm does.

    Returns:
        For each image and variant ``case_id``, ``view``, ``image`` (file name), ``markers`` (how many were found),
        ``moved_rows``, ``moved_columns``, ``variant`` and what
        :func:`~monai_lesion.measures.metrics.score_image` gives.
        An image in which no calipers are found has the original only.
    """
    records: list[Record] = []
    for entry in progress(entries):
        image, label = read_image(entry["image"], frame=entry.get("frame")).pixels, read_mask(entry["label"])
        found = find_annotations(image)
        made = Variants({"original": image}, (0, 0))
        if found:
            own = zlib.crc32(Path(entry["image"]).name.encode())
            made = variants(image, found, np.random.default_rng([seed, own]))
        for name, picture in made.pictures.items():
            records.append(
                {
                    "case_id": entry["case_id"],
                    "view": entry["view"],
                    "image": Path(entry["image"]).name,
                    "markers": len(found.markers),
                    "moved_rows": made.shift[0],
                    "moved_columns": made.shift[1],
                    "variant": name,
                    **score_image(segment(picture) > 0, label),
                }
            )
    return records


def differences(records: Sequence[Record]) -> dict[str, dict[str, Difference]]:
    """Each measure of each variant less the original's, image by image, with Wilcoxon's signed-rank test.

    Images without calipers are left out. The p-values are corrected together after Holm.

    Raises:
        InputError: when no image has calipers.
    """
    from scipy.stats import wilcoxon

    from monai_lesion.report.statistics import bootstrap_interval, holm

    with_calipers = [record for record in records if record["markers"]]
    if not with_calipers:
        raise InputError("the images", "must have calipers in at least one of them", got="none found")
    originals = {record["image"]: record for record in with_calipers if record["variant"] == "original"}
    raw: dict[tuple[str, str], tuple[int, float, float, float, float]] = {}
    for name in [variant for variant in VARIANTS if variant != "original"]:
        own = [record for record in with_calipers if record["variant"] == name]
        for measure in MEASURES:
            change = np.array([record[measure] - originals[record["image"]][measure] for record in own], np.float64)
            known = change[np.isfinite(change)]
            low, high = bootstrap_interval(change[None], [str(record["case_id"]) for record in own])
            p = float(wilcoxon(known).pvalue) if np.any(known) else (1.0 if len(known) else math.nan)
            raw[name, measure] = len(known), float(known.mean()) if len(known) else math.nan, low, high, p
    corrected = holm([row[-1] for row in raw.values()])
    table: dict[str, dict[str, Difference]] = {}
    for (key, row), adjusted in zip(raw.items(), corrected, strict=True):
        table.setdefault(key[0], {})[key[1]] = Difference(*row, adjusted)
    return table


def format_comparison(records: Sequence[Record]) -> str:
    """The comparison as Markdown: a line for each variant, then what the numbers are.

    Raises:
        InputError: as :func:`differences`.
    """
    changes = differences(records)
    images = {record["image"]: record["markers"] for record in records}
    lines = [
        "| picture | images | Dice | change [95 % interval] | p | HD95 (px) | change [95 % interval] | p | missed |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for name in VARIANTS:
        own = [record for record in records if record["variant"] == name and record["markers"]]
        cells = [name, str(len(own))]
        for measure, digits in zip(MEASURES, (3, 2), strict=True):
            values = np.array([record[measure] for record in own], np.float64)
            known = values[np.isfinite(values)]
            cells.append(f"{known.mean():.{digits}f}" if len(known) else "-")
            if name == "original":
                cells += ["", ""]
                continue
            change = changes[name][measure]
            interval = f"{change.mean:+.{digits}f} [{change.low:+.{digits}f}, {change.high:+.{digits}f}]"
            cells += [interval, "-" if math.isnan(change.p_holm) else _p(change.p_holm)]
        lines.append("| " + " | ".join([*cells, str(sum(bool(record["missed"]) for record in own))]) + " |")
    without = [record for record in records if not record["markers"]]
    rest = f"; Dice {np.mean([record['dice'] for record in without]):.3f}" if without else ""
    return "\n".join(
        [
            *lines,
            "",
            *(f"- {name}: {meaning}" for name, meaning in VARIANTS.items()),
            f"- Calipers were found in {sum(map(bool, images.values()))} of {len(images)} images; the others "
            f"({len(without)}{rest}) are not in the table.",
            "- Change: the picture less the original, image by image, over the images that have both; 95 % interval by "
            "bootstrap over cases; p of Wilcoxon's signed-rank test, corrected after Holm for the six tests.",
            "- HD95: the paper's, pooled, in pixels of the image; a missed lesion has none.",
        ]
    )


def _p(value: float) -> str:
    return "< 0.001" if value < 0.001 else f"{value:.3f}"


def write_comparison(records: Sequence[Record], output_dir: str | Path, about: Mapping[str, Any]) -> str:
    """Write ``calipers.md``, ``calipers.csv`` (image by image) and ``calipers.json`` (what was compared).

    Args:
        records: of :func:`compare_images`.
        output_dir: folder, made when absent.
        about: facts such as the manifest and the weights.

    Returns:
        The table.

    Raises:
        InputError: as :func:`differences`, before anything is written.
    """
    table = format_comparison(records)
    changes = {
        name: {measure: _finite(change._asdict()) for measure, change in by_measure.items()}
        for name, by_measure in differences(records).items()
    }
    text = io.StringIO()
    writer = csv.DictWriter(text, list(records[0]), lineterminator="\n")
    writer.writeheader()
    for record in records:
        writer.writerow({key: _cell(value) for key, value in record.items()})
    title = f"# Calipers: {in_words(about)}"
    facts = json.dumps({**about, "changes": changes}, indent=2, allow_nan=False)
    folder = Path(output_dir)
    for name, content in (
        ("calipers.csv", text.getvalue()),
        ("calipers.json", facts + "\n"),
        ("calipers.md", f"{title}\n\n{table}\n"),
    ):
        with replacing(folder / name) as partial:
            partial.write_text(content, encoding="utf-8", newline="")
    return table


def in_words(about: Mapping[str, Any]) -> str:
    """The facts of a comparison, hashes by their first digits.

    Example:
        >>> in_words({"network": "UNet()", "weights_id": "1cd56f9ebcb5d87a086a"})
        'network UNet(), weights_id 1cd56f9ebcb5'
    """
    hashes = ("weights_id", "weights_file_sha256")
    return ", ".join(f"{key} {value[:12] if key in hashes else value}" for key, value in about.items())


def read_comparison(path: str | Path) -> list[Record]:
    """The records of a ``calipers.csv``; a measure that is not there is nan.

    Raises:
        InputError: when the file cannot be read or lacks a column.
    """
    counts = ("markers", "moved_rows", "moved_columns", "missed", "false_alarm")
    try:
        with Path(path).open(newline="", encoding="utf-8") as file:
            rows: list[Record] = list(csv.DictReader(file))
        for row in rows:
            row.update({key: int(row[key]) for key in counts})
            row.update({key: float(row[key] or "nan") for key in (*MEASURES, "hd95_monai")})
    except (OSError, KeyError, ValueError) as error:
        raise InputError(path, "must be a table of study calipers", got=repr(error)) from error
    return rows


def _cell(value: Any) -> Any:
    if isinstance(value, bool | np.bool_):
        return int(value)
    if isinstance(value, float):
        return "" if math.isnan(value) else round(value, 5)
    return value


def _finite(values: Mapping[str, Any]) -> dict[str, Any]:
    return {key: None if isinstance(value, float) and math.isnan(value) else value for key, value in values.items()}
