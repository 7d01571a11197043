"""Write a report: tables, plots, and one self-contained HTML page with all of them."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from monai_lesion._version import NOTICE, __version__
from monai_lesion.files import replacing
from monai_lesion.report.galleries import Picture, has_pictures, same_cases, worst_images
from monai_lesion.report.kept_records import keep_records
from monai_lesion.report.plots import draw_plots
from monai_lesion.report.sections import Section, closing_tables, read_sections
from monai_lesion.report.tables import Table
from monai_lesion.report.trust_plots import draw_trust

TEMPLATE = Path(__file__).with_name("page.html")


@dataclass(frozen=True)
class Chapter:
    """A section and its drawings.

    Args:
        section: the study in words and tables.
        plots: caption and SVG content of each plot.
        rows: the same cases across networks, one row per image; empty without pictures.
        worst: the worst images.
    """

    section: Section
    plots: Sequence[tuple[str, bytes]]
    rows: Sequence[Sequence[Picture]]
    worst: Sequence[Picture]


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
        folders: folders of studies, or of kept records.
        output: folder of the report: ``index.html``, ``tables/`` and ``figures/``; None for ``report`` in the first.
        reference: the network that the others are compared with; None for the first of each table.
        records: also keep records small enough to commit, in this folder.
        cpu_time: time every network on this machine's CPU.

    Returns:
        The page, ``index.html``.

    Raises:
        InputError: when there is nothing to report on, results cannot be compared, or the reference is unknown.
    """
    sections = read_sections(folders, reference, cpu_time=cpu_time)
    closing = closing_tables(sections)
    root = Path(output) if output is not None else Path(folders[0]) / "report"
    chapters = [_chapter(section, root / "figures") for section in sections]
    for section in sections:
        _write_tables({f"{section.study.name}_{name}": table for name, table in section.tables.items()}, root)
    _write_tables(closing, root)
    page = root / "index.html"
    _write(page, render_page(chapters, list(closing.values())))
    if records is not None:
        keep_records([section.study for section in sections], Path(records))
    return page


def render_page(chapters: Sequence[Chapter], closing: Sequence[Table]) -> str:
    """Render the page; the content of records is always escaped.

    Args:
        chapters: one for each study.
        closing: tables at the end of the page.
    """
    from jinja2 import Environment, StrictUndefined

    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.filters["base64"] = lambda data: base64.b64encode(data).decode()
    template = environment.from_string(TEMPLATE.read_text(encoding="utf-8"))
    today = date.today().isoformat()
    return template.render(chapters=chapters, closing=closing, version=__version__, today=today, notice=NOTICE)


def _chapter(section: Section, folder: Path) -> Chapter:
    drawn = [*draw_plots(section.study, section.costs, folder), *draw_trust(section.study, folder)]
    plots = [(caption, path.read_bytes()) for caption, path in drawn]
    if not has_pictures(section.study):
        return Chapter(section, plots, (), ())
    return Chapter(section, plots, same_cases(section.study), worst_images(section.study, section.reference))


def _write_tables(tables: dict[str, Table], root: Path) -> None:
    for name, table in tables.items():
        for ending, text in (("md", table.markdown()), ("csv", table.csv()), ("tex", table.latex())):
            _write(root / "tables" / f"{name}.{ending}", text)


def _write(path: Path, text: str) -> None:
    with replacing(path) as partial:
        partial.write_text(text, encoding="utf-8")
