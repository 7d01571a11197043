"""A report as a part of a Markdown document, made of records that are committed."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from monai_lesion.errors import InputError
from monai_lesion.files import replacing
from monai_lesion.report.calipers import TABLE, caliper_section
from monai_lesion.report.sections import Section, closing_tables, read_sections
from monai_lesion.report.study_tables import subgroup_tables, training_table

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
        got = "nothing there" if isinstance(error, FileNotFoundError) else error
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
    others += [*subgroup_tables(section.study), *([] if training is None else [training])]
    heading = f"## {section.title}\n\n{' '.join([section.budget, *section.missing])}\n"
    return [heading, first.markdown(title=False), *(table.markdown() for table in others)]
