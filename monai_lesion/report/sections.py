"""Collect what a report says about each study, before it becomes a page or a part of a document."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from monai_lesion.report.budgets import budget, missing
from monai_lesion.report.costs import Costs, network_costs
from monai_lesion.report.studies import StudyRecords, load_compared
from monai_lesion.report.study_tables import (
    choices_table,
    comparisons_table,
    failures_table,
    provenance_table,
    results_table,
)
from monai_lesion.report.tables import Table


@dataclass(frozen=True)
class Section:
    """What a report says about a study.

    Args:
        study: with at least one tested network.
        reference: the network that the others are compared with.
        costs: costs of the networks.
        budget: how it was made, in sentences.
        missing: what has not been tested yet, in sentences.
        tables: tables with content, by name: ``results`` first, then ``differences`` and ``weight_decays``.
    """

    study: StudyRecords
    reference: str
    costs: Mapping[str, Costs]
    budget: str
    missing: list[str]
    tables: Mapping[str, Table]

    @property
    def title(self) -> str:
        """Title of the section."""
        return self.study.title or self.study.name


def read_sections(
    folders: Sequence[str | Path], reference: str | None = None, *, cpu_time: bool = False
) -> list[Section]:
    """Read studies, or records that were kept of them; one section each, never two in one table.

    Args:
        folders: folders of studies, or of kept records.
        reference: the network that the others are compared with; None for the first of each study.
        cpu_time: time every network on this machine's CPU.

    Raises:
        InputError: when there is nothing to report on, results cannot be compared, or the reference is unknown.
    """
    return [_section(study, study.reference(reference), cpu_time) for study in load_compared(folders, reference)]


def _section(study: StudyRecords, reference: str, cpu_time: bool) -> Section:
    costs = network_costs(study.compared(), cpu_time=cpu_time)
    tables = {
        "results": results_table(study, costs),
        "differences": comparisons_table(study, reference),
        "weight_decays": choices_table(study),
    }
    told = {name: table for name, table in tables.items() if table is not None}
    return Section(study, reference, costs, " ".join(budget(study)), missing(study), told)


def closing_tables(sections: Sequence[Section]) -> dict[str, Table]:
    """Make the tables at the end: failed trials, if any, and where the numbers come from."""
    studies = [section.study for section in sections]
    tables = {"failed_trials": failures_table(studies), "provenance": provenance_table(studies)}
    return {name: table for name, table in tables.items() if table is not None}
