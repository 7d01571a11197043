"""A table of text that can be written as Markdown, CSV and LaTeX."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Table:
    """Text in rows and columns.

    Args:
        title: text above the table.
        columns: column headings.
        rows: one text for each column.
        note: text below the table.
        words: indices of the columns with words; the others contain figures and are aligned right.
    """

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    note: str = ""
    words: Collection[int] = (0,)

    def markdown(self, *, title: bool = True) -> str:
        """Write a GitHub table with its note, and its title unless a heading has it."""
        rule = "|" + "".join("---|" if i in self.words else "---:|" for i in range(len(self.columns)))
        above = [f"**{self.title}**", ""] if title and self.title else []
        below = ["", self.note] if self.note else []
        return "\n".join([*above, _row(self.columns), rule, *map(_row, self.rows), *below]) + "\n"

    def csv(self) -> str:
        """Write comma-separated values, headings first."""
        text = io.StringIO()
        csv.writer(text, lineterminator="\n").writerows([self.columns, *self.rows])
        return text.getvalue()

    def latex(self) -> str:
        r"""Write a ``tabular`` as wide as the text, for a document with ``\usepackage{booktabs, graphicx}``."""
        lines = [
            r"\begin{table}",
            r"\centering",
            rf"\caption{{{_tex(' '.join([self.title + '.', self.note]).strip())}}}",
            r"\resizebox{\textwidth}{!}{%",
            rf"\begin{{tabular}}{{l{'r' * (len(self.columns) - 1)}}}",
            r"\toprule",
            " & ".join(map(_tex, self.columns)) + r" \\",
            r"\midrule",
            *(" & ".join(map(_tex, row)) + r" \\" for row in self.rows),
            r"\bottomrule",
            r"\end{tabular}}",
            r"\end{table}",
        ]
        return "\n".join(lines) + "\n"

    def text_columns(self) -> list[bool]:
        """Whether each column is text: the first, and any without a figure in its cells."""
        figures = tuple("0123456789+-<")
        return [i == 0 or not any(row[i].startswith(figures) for row in self.rows) for i in range(len(self.columns))]


def number(value: float | None, form: str) -> str:
    """Format a figure, or give a dash if there is none.

    Example:
        >>> number(0.8125, ".3f"), number(math.nan, ".3f")
        ('0.812', '-')
    """
    return "-" if value is None or math.isnan(value) else format(value, form)


def p_value(p: float) -> str:
    """Format a p-value with three decimals, or say how small it is.

    Example:
        >>> p_value(0.03), p_value(1e-9)
        ('0.030', '< 0.001')
    """
    return "< 0.001" if p < 0.001 else number(p, ".3f")


def _row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cell.replace("|", r"\|") for cell in cells) + " |"


def _tex(text: str) -> str:
    special = {"±": r"$\pm$", "\\": r"\textbackslash{}", "~": r"\textasciitilde{}"}
    special |= {character: f"\\{character}" for character in "&%$#_{}"}
    special |= {"^": r"\textasciicircum{}", "<": "$<$", ">": "$>$"}
    return "".join(special.get(character, character) for character in text)
