"""A report as files: tables, plots, and one HTML page that holds all of it and needs nothing else."""

from __future__ import annotations

import base64
import html
from collections.abc import Sequence
from dataclasses import replace
from datetime import date
from pathlib import Path

from monai_lesion._version import NOTICE, __version__
from monai_lesion.files import replacing
from monai_lesion.report.budgets import budget, missing
from monai_lesion.report.costs import Costs, network_costs
from monai_lesion.report.figures import Picture, has_pictures, same_cases, worst_images
from monai_lesion.report.keeping import keep_records
from monai_lesion.report.plots import plot_boxes, plot_costs, plot_curves
from monai_lesion.report.results import StudyResults, load_compared
from monai_lesion.report.tables import (
    Table,
    choices_table,
    comparisons_table,
    failures_table,
    provenance_table,
    results_table,
)

PICTURES_IN_A_ROW = 6

STYLE = """
:root { color-scheme: light; }
body { font: 15px/1.5 system-ui, "DejaVu Sans", sans-serif; color: #1c2733; background: #fff; margin: 0; }
main { max-width: 1440px; margin: 0 auto; padding: 24px 20px 60px; }
h1 { font-size: 25px; margin: 0 0 4px; } h2 { font-size: 20px; margin: 44px 0 8px; border-bottom: 1px solid #d5dce4; }
h3 { font-size: 16px; margin: 28px 0 6px; }
p { max-width: 75ch; } .notice { color: #8a3b12; font-weight: 600; } .note { color: #4d5a68; font-size: 13px; }
figure { margin: 18px 0 26px; } figcaption { font-weight: 600; margin-bottom: 6px; }
.scroll { overflow-x: auto; } table { border-collapse: collapse; font-size: 12px; }
th, td { padding: 4px 6px; text-align: right; border-bottom: 1px solid #e3e8ee; white-space: nowrap; }
th { border-bottom: 1.5px solid #5a6a7a; vertical-align: bottom; white-space: normal; min-width: 46px; }
th.text, td.text { text-align: left; white-space: normal; min-width: 60px; max-width: 260px; }
th:first-child, td:first-child { position: sticky; left: 0; background: #fff; }
.plot img { max-width: 100%; height: auto; }
.grid { display: grid; gap: 12px; grid-template-columns: repeat(auto-fill, minmax(260px, 1fr)); }
.row { display: grid; gap: 8px; }
.row { border-top: 1px solid #d5dce4; padding: 10px 0 14px; } .picture { margin: 0; }
.picture img { width: 100%; max-width: 480px; display: block; background: #000; }
.picture figcaption { font-weight: 400; font-size: 12px; margin: 3px 0 0; line-height: 1.35; }
.red { color: #c00000; font-weight: 600; } .green { color: #008000; font-weight: 600; }
@page { size: A4 landscape; margin: 10mm; }
@media print {
  body { font-size: 9.5pt; } main { max-width: none; padding: 0; } p { max-width: none; break-inside: avoid; }
  h2 { margin-top: 20px; } h2, h3, h3 + p, figcaption { break-after: avoid; } figure, .row { break-inside: avoid; }
  figure { margin: 10px 0 14px; } .plot img { max-height: 78mm; }
  .scroll { overflow: visible; } table { font-size: 7.5pt; width: 100%; }
  th, td { padding: 2px 3px; white-space: normal; } th { min-width: 0; } td:first-child { min-width: 90px; }
  th:first-child, td:first-child { position: static; }
  .grid { display: block; } h3.gallery { break-before: page; }
  .grid .picture { display: inline-block; width: 24%; margin: 0 .4% 8px 0; vertical-align: top; }
  .picture figcaption { font-size: 7.5pt; } .picture img { width: auto; max-width: 100%; max-height: 48mm; }
}
"""


def write_report(
    folders: Sequence[str | Path],
    output: str | Path | None = None,
    *,
    reference: str | None = None,
    records: str | Path | None = None,
    cpu_time: bool = True,
) -> Path:
    """Write the report on studies that have run, finished or not.

    Args:
        folders: of studies, or of kept records.
        output: folder of the report: ``index.html``, ``tables/`` and ``figures/``; None for ``report`` in the first.
        reference: the network that the others are compared with; None for the first of each table.
        records: also keep records small enough to commit, in this folder.
        cpu_time: time every network on this machine's CPU.

    Returns:
        The page, ``index.html``.

    Raises:
        InputError: when there is nothing to report on, results cannot be compared, or the reference is unknown.
    """
    studies = load_compared(folders, reference)
    root = Path(output) if output is not None else Path(folders[0]) / "report"
    parts: list[str] = []
    tables: dict[str, Table] = {}
    for study in studies:
        base = study.reference(reference)
        costs = network_costs(study.compared(), cpu_time=cpu_time)
        own = _tables(study, base, costs)
        tables |= {f"{study.name}_{name}": table for name, table in own.items()}
        parts.append(_section(study, list(own.values()), _plots(study, costs, root / "figures"), base))
    closing = {"failed_trials": failures_table(studies), "provenance": provenance_table(studies)}
    for name, table in closing.items():
        if table is not None:
            tables[name] = table
            parts.append(f"<h2>{html.escape(table.title)}</h2>{replace(table, title='').html()}")
    _write_tables(tables, root / "tables")
    page = root / "index.html"
    _write(page, _page(studies, parts))
    if records is not None:
        keep_records(studies, Path(records))
    return page


def markdown_tables(folders: Sequence[str | Path], *, reference: str | None = None) -> str:
    """The tables of studies or of kept records in Markdown, for a document.

    Args:
        folders: as of :func:`write_report`.
        reference: as of :func:`write_report`.

    Raises:
        InputError: as :func:`write_report`.
    """
    studies = load_compared(folders, reference)
    tables = [
        table
        for study in studies
        for table in _tables(study, study.reference(reference), network_costs(study.compared())).values()
    ]
    return "\n".join(table.markdown() for table in tables)


def _tables(study: StudyResults, base: str, costs: dict[str, Costs]) -> dict[str, Table]:
    """The tables of a study that say something."""
    found = {
        "results": results_table(study, costs),
        "differences": comparisons_table(study, base),
        "weight_decays": choices_table(study),
    }
    return {name: table for name, table in found.items() if table is not None}


def _plots(study: StudyResults, costs: dict[str, Costs], folder: Path) -> list[tuple[str, Path]]:
    drawn = [
        (
            "Dice against cost. Orange: no other network is as cheap and better. Bars: 95 % interval over cases.",
            plot_costs(study, costs, folder / f"{study.name}_costs.svg"),
        ),
        (
            "Every test image, seeds averaged: box from the lower to the upper quartile, orange the median.",
            plot_boxes(study, folder / f"{study.name}_boxes.svg"),
        ),
        (
            "Loss by epoch. Grey: training; blue: validation; strong lines: the networks that were tested.",
            plot_curves(study, folder / f"{study.name}_curves.svg"),
        ),
    ]
    return [(caption, path) for caption, path in drawn if path is not None]


def _section(study: StudyResults, tables: list[Table], plots: list[tuple[str, Path]], reference: str) -> str:
    title = study.title or study.name
    first, *others = tables
    parts = [f"<h2>{html.escape(title)}</h2>", _about(study), replace(first, title="").html()]
    parts += [table.html() for table in others]
    for caption, path in plots:
        data = base64.b64encode(path.read_bytes()).decode()
        image = f'<img alt="{html.escape(caption)}" src="data:image/svg+xml;base64,{data}">'
        parts.append(f"<figure class=plot><figcaption>{html.escape(caption)}</figcaption>{image}</figure>")
    if not has_pictures(study):
        parts.append("<p class=note>No pictures: images or masks are not at hand (kept records have none).</p>")
        return "\n".join(parts)
    legend = "Reference contour in <span class=red>red</span>, prediction in <span class=green>green</span>"
    rows = list(map(_row, same_cases(study)))
    parts += [
        "<h3>The same cases across networks</h3>",
        f"<p>{legend}; first seed of each network. Cases picked by percentile of their mean Dice (5, 25, 50, 75, 95), "
        "not by beauty.</p>",
        *rows,
    ]
    worst = worst_images(study, reference)
    parts += [
        f"<h3 class=gallery>The worst {len(worst)} images</h3>",
        f"<p>Lowest mean Dice over all networks and seeds. {legend} of {html.escape(reference)}, first seed.</p>",
        "<div class=grid>" + "".join(map(_picture, worst)) + "</div>",
    ]
    return "\n".join(parts)


def _about(study: StudyResults) -> str:
    """What was compared, and what of it is missing."""
    told = [" ".join(budget(study)), *missing(study)]
    return "".join(f"<p>{html.escape(text)}</p>" for text in told)


def _row(pictures: Sequence[Picture]) -> str:
    columns = f"grid-template-columns: repeat({min(len(pictures), PICTURES_IN_A_ROW)}, minmax(0, 300px))"
    return f'<div class=row style="{columns}">{"".join(map(_picture, pictures))}</div>'


def _picture(picture: Picture) -> str:
    data = base64.b64encode(picture.jpeg).decode()
    caption = html.escape(picture.caption)
    image = f'<img alt="{caption}" loading=lazy src="data:image/jpeg;base64,{data}">'
    return f"<figure class=picture>{image}<figcaption>{caption}</figcaption></figure>"


def _page(studies: Sequence[StudyResults], parts: Sequence[str]) -> str:
    title = " · ".join(study.title or study.name for study in studies)
    return (
        f"<!doctype html>\n<html lang=en>\n<meta charset=utf-8>\n"
        f'<meta name=viewport content="width=device-width, initial-scale=1">\n'
        f"<title>{html.escape(title)}</title>\n<style>{STYLE}</style>\n<main>\n"
        f"<h1>Lesion segmentation in ultrasound: comparison of networks</h1>\n"
        f"<p class=note>monai_lesion {__version__}, {date.today().isoformat()}</p>\n<p class=notice>{NOTICE}.</p>\n"
        + "\n".join(parts)
        + "\n</main>\n</html>\n"
    )


def _write_tables(tables: dict[str, Table], folder: Path) -> None:
    for name, table in tables.items():
        for ending, text in (("md", table.markdown()), ("csv", table.csv()), ("tex", table.latex())):
            _write(folder / f"{name}.{ending}", text)


def _write(path: Path, text: str) -> None:
    with replacing(path) as partial:
        partial.write_text(text, encoding="utf-8")
