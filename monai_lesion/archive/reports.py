"""A page about a table: how many of each decision, how large the lesions are, what is doubtful, and what went wrong."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

from monai_lesion._version import NOTICE, __version__
from monai_lesion.archive.restorations import restore
from monai_lesion.archive.results import VIEW, Results
from monai_lesion.errors import InputError
from monai_lesion.files import replacing
from monai_lesion.report.galleries import Picture, jpeg

TEMPLATE = Path(__file__).with_name("report.html")
GALLERY = 24
BINS = 24
SIZES = (("long_axis_mm", "mm"), ("area_mm2", "mm²"), ("long_axis_px", "px"))
SCANNERS = 30
KINDS = 50


@dataclass(frozen=True)
class Bar:
    """A bar of a chart.

    Args:
        label: what it counts.
        count: how many.
        share: of the longest bar, 0 to 1.
    """

    label: str
    count: int
    share: float


@dataclass(frozen=True)
class Chart:
    """Bars below a title.

    Args:
        title: says what is counted, with its unit.
        bars: in order.
        note: a line below.
    """

    title: str
    bars: Sequence[Bar]
    note: str = ""


def write_archive_report(
    output: str | Path, page: Path | None = None, *, gallery: int = GALLERY, credentials: Path | None = None
) -> Path:
    """Write the page: one file that needs no other, readable while the run goes on.

    Args:
        output: folder of the results.
        page: the file; None for ``report.html`` in the folder. An earlier one is replaced.
        gallery: most doubtful frames to show, the least trusted first; their pictures are read again.
        credentials: file with the log-in of a DICOMweb archive.

    Raises:
        InputError: when there are no results, or Jinja or DuckDB is missing.
    """
    try:
        from jinja2 import Environment, StrictUndefined
    except ImportError as error:
        raise InputError("archive", "needs Jinja", fix="pip install 'monai-lesion[archive]'") from error
    results = Results.open(output)
    query = _Query(results.connect())
    file = page or results.output / "report.html"
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.filters["base64"] = lambda data: base64.b64encode(data).decode()
    (total, errors, pictures) = query.one("count(*), count(error), count(DISTINCT (path, member, instance_uid))")
    text = environment.from_string(TEMPLATE.read_text(encoding="utf-8")).render(
        total=total,
        errors=errors,
        pictures=pictures,
        model=results.record.content["model"],
        sources=results.record.content["choices"].get("sources", []),
        charts=[each for each in (_decisions(query), *map(query.sizes, SIZES), _scanners(query)) if each.bars],
        kinds=query.all("error_kind, count(*), any_value(error)", "error IS NOT NULL", "1", "2 DESC, 1", KINDS),
        doubtful=query.one("count(*)", "decision = 'doubtful'")[0],
        judged=query.one("count(decision)")[0] > 0,
        gallery=_gallery(results, gallery, credentials),
        version=__version__,
        today=date.today().isoformat(),
        notice=NOTICE,
    )
    with replacing(file) as partial:
        partial.write_text(text, encoding="utf-8")
    return file


class _Query:
    """Asks a table."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection

    def all(self, what: str, where: str = "true", group: str = "", order: str = "", most: int = 0) -> list[Any]:
        text = f"SELECT {what} FROM {VIEW} WHERE {where}"
        text += f" GROUP BY {group}" if group else ""
        text += f" ORDER BY {order}" if order else ""
        text += f" LIMIT {most}" if most else ""
        return list(self._connection.execute(text).fetchall())

    def one(self, what: str, where: str = "true") -> Any:
        return self.all(what, where)[0]

    def sizes(self, size: tuple[str, str]) -> Chart:
        """How often each size occurs, the rarest hundredth at the long end in one bar."""
        name, unit = size
        title = f"{name.rsplit('_', 1)[0].replace('_', ' ').capitalize()}, {unit}"
        counted, most, middle = self.one(f"count({name}), quantile_cont({name}, 0.99), median({name})")
        if not counted:
            return Chart(title, ())
        step = _step(float(most) / BINS)
        last = int(float(most) // step)
        found = dict(self.all(f"least(floor({name} / {step}), {last})::INT, count(*)", f"{name} IS NOT NULL", "1"))
        labels = [f"{place * step:g}-{(place + 1) * step:g}" for place in range(last)] + [f"{last * step:g} and more"]
        note = f"{counted} frames; median {middle:.1f} {unit}"
        return Chart(title, _bars([(label, found.get(place, 0)) for place, label in enumerate(labels)]), note)


def _step(least: float) -> float:
    """A round width of a bin, at least so much.

    Example:
        >>> _step(0.3), _step(2.1), _step(40.0)
        (0.5, 5.0, 50.0)
    """
    power = 0.001
    while True:
        for step in (1.0, 2.0, 5.0):
            if step * power >= least:
                return float(f"{step * power:.6g}")
        power *= 10


def _bars(counts: Sequence[tuple[Any, int]]) -> list[Bar]:
    longest = max((count for _, count in counts), default=0)
    return [Bar(str(label), count, count / longest if longest else 0.0) for label, count in counts]


def _decisions(query: _Query) -> Chart:
    words = "CASE WHEN error IS NOT NULL THEN 'error' WHEN decision IS NOT NULL THEN decision "
    words += "WHEN found THEN 'not judged, a mask is there' ELSE 'not judged, no mask' END"
    return Chart("Frames by decision", _bars(query.all(f"{words}, count(*)", group="1", order="2 DESC, 1")))


def _scanners(query: _Query) -> Chart:
    found = query.all("scanner, count(*)", "scanner IS NOT NULL AND found", "1", "2 DESC, 1", SCANNERS)
    return Chart("Frames with a mask by scanner", _bars(found))


def _gallery(results: Results, most: int, credentials: Path | None) -> list[Picture]:
    chosen = _Query(results.connect()).all("row", "decision = 'doubtful'", order="trust, row", most=max(most, 1))
    pictures = []
    for row in results.select(rows=[number for (number,) in chosen[:most]]) if chosen and most else ():
        try:
            result = restore(row, results.record, credentials=credentials)
            pictures.append((row["trust"], Picture(jpeg(result.draw()), f"Row {row['row']}: {result.summary}")))
        except InputError:  # told by `archive show`; the page shows what it can
            pictures.append((row["trust"], Picture(b"", f"Row {row['row']}: its picture cannot be read now")))
    return [picture for _, picture in sorted(pictures, key=lambda pair: pair[0])]
