"""A report as a part of a Markdown document, made of records that are committed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from monai_lesion.errors import InputError
from monai_lesion.files import replacing
from monai_lesion.report.calipers import TABLE, caliper_section
from monai_lesion.report.sections import Section, closing_tables, read_sections
from monai_lesion.report.study_tables import ALARMS, AT_END, FOUND, subgroup_tables, training_table
from monai_lesion.report.tables import Table

WIDTH = 10  # columns of a table that is read at a glance
FIRST = ("network", "Dice", "Dice, 95 % interval", "95 % HD, px", "missed", "false alarms", FOUND, ALARMS, AT_END)
REST = "Costs, further measures and the paper's figures"
BEGIN, END = "<!-- generated: begin -->", "<!-- generated: end -->"


def write_document(folders: Sequence[str | Path], page: str | Path, *, reference: str | None = None) -> Path:
    """Write the tables of studies or of kept records between the two marks of a Markdown document.

    The rest of the document stays as it is. The same records give the same text on every machine: no time is taken.

    Args:
        folders: folders of studies, or of kept records.
        page: a document with the lines ``<!-- generated: begin -->`` and ``<!-- generated: end -->``.
        reference: the network that the others are compared with; None for the first of each table.

    Raises:
        InputError: when the document has no such marks, the results cannot be compared, or the reference is unknown.
    """
    path = Path(page)
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        got = "no such file" if isinstance(error, FileNotFoundError) else error
        fix = f"Make it, with the lines {BEGIN} and {END} where the tables belong"
        raise InputError(page, "must be a readable document", got=got, fix=fix) from error
    if text.count(BEGIN) != 1 or text.count(END) != 1 or text.index(BEGIN) > text.index(END):
        fix = f"Put the lines {BEGIN} and {END} where the tables belong"
        raise InputError(page, "must have a beginning and an end of what is generated, once", fix=fix)
    before, after = text.split(BEGIN)[0], text.split(END)[1]
    with replacing(path) as partial:
        made = f"{before}{BEGIN}\n{document(folders, reference=reference)}{END}{after}"
        partial.write_text(made, encoding="utf-8", newline="")
    return path


def document(folders: Sequence[str | Path], *, reference: str | None = None) -> str:
    """The tables of studies or of kept records in Markdown, each study with its budget and never two in one table.

    Args:
        folders: see :func:`write_document`.
        reference: see :func:`write_document`.

    Raises:
        InputError: see :func:`write_document`.
    """
    sections = read_sections(folders, reference)
    parts = [part for section in sections for part in _parts(section)]
    for folder in map(Path, folders):
        parts += [caliper_section(file) for file in sorted(folder.glob(f"*/{TABLE}"))]
    for table in closing_tables(sections).values():
        parts.append(f"## {table.title}\n\n{table.markdown(title=False)}")
    return "\n".join(parts)


def _parts(section: Section) -> list[str]:
    first, *others = section.tables.values()
    training = training_table(section.study)
    others += subgroup_tables(section.study)
    heading = f"## {section.title}\n\n{' '.join([section.budget, *section.missing])}\n"
    parts = [heading, *_first(first), *(table.markdown() for table in others)]
    return parts if training is None else [*parts, _folded(_narrow(training))]


def _first(table: Table) -> list[str]:
    """What a reader looks for first, and the rest of a wide table folded below it."""
    chosen = [i for i, name in enumerate(table.columns) if name in FIRST]
    others = [0, *(i for i in range(1, len(table.columns)) if i not in chosen)]
    if len(table.columns) <= WIDTH:
        return [table.markdown(title=False)]
    rest = replace(_columns(table, others), title=REST, note="")
    return [_columns(table, chosen).markdown(title=False), _folded(rest)]


def _columns(table: Table, chosen: Sequence[int]) -> Table:
    rows = [[row[i] for i in chosen] for row in table.rows]
    return replace(table, columns=[table.columns[i] for i in chosen], rows=rows)


def _narrow(table: Table) -> Table:
    """A table of many columns and few rows, turned: a line of each column, and of the rows no more than fit."""
    if len(table.columns) <= WIDTH:
        return table
    step = -(-len(table.rows) // WIDTH)
    rows = [row for number, row in enumerate(table.rows) if (len(table.rows) - 1 - number) % step == 0]
    turned = [[name, *(row[i] for row in rows)] for i, name in enumerate(table.columns) if i]
    return replace(table, columns=[f"network, by {table.columns[0]}", *(row[0] for row in rows)], rows=turned)


def _folded(table: Table) -> str:
    """A table that opens at a click, on GitHub and on the site."""
    return f'<details markdown="1">\n<summary>{table.title}</summary>\n\n{table.markdown(title=False)}\n</details>\n'
