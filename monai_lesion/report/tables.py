"""The tables of a report, as Markdown, CSV, LaTeX and HTML."""

from __future__ import annotations

import csv
import html
import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from monai_lesion.measures.metrics import FAILURES
from monai_lesion.report.budgets import precision
from monai_lesion.report.costs import Costs
from monai_lesion.report.paper import paper_results
from monai_lesion.report.results import Result, StudyResults, unique
from monai_lesion.report.statistics import Spread, compare, spread

OTHER_DATA, CPU_TIME = "paper, other data", "CPU, ms"


@dataclass(frozen=True)
class Table:
    """Text in rows and columns.

    Args:
        title: above it.
        columns: their heads; the first column is words, the others are numbers.
        rows: one text for each column.
        note: below it.
    """

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    note: str = ""

    def markdown(self) -> str:
        """A GitHub table, with title and note."""
        lines = [_row(self.columns), "|---|" + "---:|" * (len(self.columns) - 1), *map(_row, self.rows)]
        title = [f"**{self.title}**", ""] if self.title else []
        return "\n".join([*title, *lines, *(["", self.note] if self.note else [])]) + "\n"

    def csv(self) -> str:
        """Comma-separated, the heads first."""
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(self.columns)
        writer.writerows(self.rows)
        return text.getvalue()

    def latex(self) -> str:
        r"""A ``tabular`` as wide as the text, for a document with ``\usepackage{booktabs, graphicx}``."""
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

    def html(self) -> str:
        """A figure with a table in it."""
        numbers = tuple("0123456789+-<")
        words = [not any(row[i].startswith(numbers) for row in self.rows) for i in range(len(self.columns))]

        def cells(row: Sequence[str], tag: str) -> str:
            kinds = [" class=text" if i == 0 or words[i] else "" for i in range(len(row))]
            inner = (f"<{tag}{kind}>{html.escape(cell)}</{tag}>" for kind, cell in zip(kinds, row, strict=True))
            return f"<tr>{''.join(inner)}</tr>"

        note = f"<p class=note>{html.escape(self.note)}</p>" if self.note else ""
        body = "\n".join(cells(row, "td") for row in self.rows)
        head = cells(self.columns, "th")
        return (
            f"<figure><figcaption>{html.escape(self.title)}</figcaption><div class=scroll><table>"
            f"<thead>{head}</thead><tbody>\n{body}\n</tbody></table></div>{note}</figure>"
        )


def _row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cell.replace("|", r"\|") for cell in cells) + " |"


def _tex(text: str) -> str:
    special = {"±": r"$\pm$", "\\": r"\textbackslash{}", "~": r"\textasciitilde{}"}
    special |= {character: f"\\{character}" for character in "&%$#_{}"}
    special |= {"^": r"\textasciicircum{}", "<": "$<$", ">": "$>$"}
    return "".join(special.get(character, character) for character in text)


def results_table(study: StudyResults, costs: Mapping[str, Costs]) -> Table:
    """The study's table: what each network costs and does, beside the paper's figures.

    Args:
        study: with at least one tested network.
        costs: of its networks.
    """
    networks = study.compared()
    rows = []
    for entry, trials in networks.items():
        first, planned = trials[0], study.seeds.get(entry, 0)
        cost = costs.get(entry)
        rows.append(
            [
                entry,
                "" if cost is None else f"{cost.parameters:,}",
                "" if cost is None else f"{cost.flops / 1e9:.2f}",
                "" if cost is None or cost.milliseconds is None else f"{cost.milliseconds:.0f}",
                " or ".join(unique(_number(t.record.get("weight_decay")) for t in trials)),
                f"{len(trials)} of {planned}" if len(trials) < planned else str(len(trials)),
                *_spread_cells(spread(trials, "dice"), 3),
                *_spread_cells(spread(trials, "hd95"), 2),
                _spread_cells(spread(trials, "hd95_monai"), 2)[0],
                *(_counts(trials, flag) for flag in FAILURES),
                *paper_results(study.table, entry, first.record.get("network_def")),
            ]
        )
    first = next(iter(networks.values()))[0]
    columns = ["network", "parameters", f"GFLOP at {_size(first)}", CPU_TIME, "weight decay", "seeds"]
    columns += ["Dice", "Dice, 95 % interval", "95 % HD, px", "95 % HD, 95 % interval", "95 % HD (MONAI), px"]
    optional = [CPU_TIME, f"Dice ({OTHER_DATA})", f"95 % HD ({OTHER_DATA})"]  # left out where there is nothing in them
    columns += ["missed", "false alarms", *optional[1:]]
    keep = [i for i, column in enumerate(columns) if column not in optional or any(row[i] for row in rows)]
    note = _note(first, [trial for trials in networks.values() for trial in trials])
    if columns.index(CPU_TIME) in keep:
        note += " CPU: one image in float32 in PyTorch on the machine of the report, median of five."
    return Table(study.title or study.name, [columns[i] for i in keep], [[row[i] for i in keep] for row in rows], note)


def _note(first: Result, trials: Sequence[Result]) -> str:
    case_count = len({row["case_id"] for row in first.images})
    epochs = sorted({int(trial.record["epochs"]) for trial in trials if trial.record.get("epochs")})
    limits = unique(str(trial.record["max_epochs"]) for trial in trials if trial.record.get("max_epochs"))
    span = f"{epochs[0]} to {epochs[-1]}" if len(epochs) > 1 else "".join(map(str, epochs))
    told = f", {span} epochs of at most {' or '.join(limits)}" if epochs and limits else ""
    return (
        f"{len(first.images)} test images of {case_count} cases, at their original size{told}. Mean ± standard "
        "deviation over the seeds of the mean over images; intervals by bootstrap over cases. 95 % HD is the paper's "
        "(both directed distance sets pooled), over the images where both masks hold something; missed lesions and "
        "false alarms are counted per seed. The paper's figures are on its private data: another data set, no "
        "comparison."
    )


def comparisons_table(study: StudyResults, reference: str) -> Table | None:
    """Each network against the reference, paired by case; None where there is nothing to compare."""
    networks = study.compared()
    if reference not in networks or len(networks) < 2:
        return None
    dice, distance = compare(networks, reference, "dice"), compare(networks, reference, "hd95")
    rows = []
    for name in dice:
        cells = [name]
        for found, digits in ((dice[name], 4), (distance[name], 2)):
            cells += [_signed(found.difference, digits), _p(found.p), _p(found.p_holm), str(found.cases)]
        rows.append(cells)
    columns = ["network"]
    for measure, unit in (("Dice", ""), ("95 % HD", ", px")):
        columns += [f"{measure}{unit}", f"{measure}, p", f"{measure}, p (Holm)", f"{measure}, cases"]
    note = (
        "Mean difference over cases, views and seeds averaged first; Wilcoxon's signed-rank test, two-sided, corrected "
        "after Holm within each measure. A distance is compared in the cases where both networks found the lesion. "
        "The tests say nothing of how much one training differs from the next."
    )
    return Table(f"Difference from {reference}", columns, rows, note)


def choices_table(study: StudyResults) -> Table | None:
    """The weight decays tried and their validation losses; None where none was chosen."""
    if not study.choices:
        return None
    decays = unique(decay for choice in study.choices.values() for decay in choice["val_loss"])
    rows = []
    for entry, choice in study.choices.items():
        losses = [choice["val_loss"].get(decay) for decay in decays]
        rows.append([entry, *("" if x is None else f"{x:.4f}" for x in losses), _number(choice["weight_decay"])])
    note = "Lowest validation loss of a training, averaged over the tuning seeds; the test split had no part in it."
    return Table("Weight decay", ["network", *decays, "chosen"], rows, note)


def failures_table(studies: Sequence[StudyResults]) -> Table | None:
    """The trials that ended with an error; None where there are none."""
    failed = [trial for study in studies for trial in study.failed()]
    rows = [[trial_name(trial), str(trial.record["error"]).splitlines()[0]] for trial in failed]
    return Table("Failed trials", ["trial", "error"], rows) if rows else None


def provenance_table(studies: Sequence[StudyResults]) -> Table:
    """Where each number comes from."""
    rows = []
    for study in studies:
        for trials in study.compared().values():
            rows += [_provenance(trial) for trial in trials]
    columns = ["trial", "commit", "torch", "device", "precision", "epochs", "minutes", "peak MiB", "config", "manifest"]
    note = "First digits of SHA-256 for config, manifest and weights; whole in each trial's run.json."
    return Table("Where the numbers come from", [*columns, "weights"], rows, note)


def _provenance(trial: Result) -> list[str]:
    record = trial.record
    commit = str(record.get("git_commit") or "")[:10] + (" changed" if record.get("git_changed") else "")
    memory = record.get("peak_memory", {})
    seconds = record.get("wall_seconds")
    return [
        trial_name(trial),
        commit,
        str(record.get("versions", {}).get("torch", "")),
        str(record.get("device_name", record.get("device", ""))),
        precision(record),
        str(record.get("epochs", "")),
        "" if seconds is None else f"{seconds / 60:.1f}",
        "" if not memory else f"{memory.get('cuda_mib', memory.get('process_mib', 0)):.0f}",
        str(record.get("config_sha256") or "")[:8],
        str(record.get("manifest", {}).get("file_sha256") or "")[:8],
        str(record.get("weights_id") or record.get("weights_file_sha256") or "")[:8],
    ]


def trial_name(trial: Result) -> str:
    """A trial in words: network, weight decay, seed."""
    decay = trial.record.get("weight_decay")
    told = "" if decay is None else f", weight decay {_number(decay)}"
    return f"{trial.entry}{told}" + ("" if trial.seed is None else f", seed {trial.seed}")


def _spread_cells(found: Spread, digits: int) -> tuple[str, str]:
    if math.isnan(found.mean):
        return "-", "-"
    std = "" if math.isnan(found.std) else f" ± {found.std:.{digits}f}"
    return f"{found.mean:.{digits}f}{std}", f"{found.low:.{digits}f} to {found.high:.{digits}f}"


def _counts(trials: Sequence[Result], flag: str) -> str:
    return ", ".join(str(int(trial.column(flag).sum())) for trial in trials)


def _size(trial: Result) -> str:
    size = trial.record.get("spatial_size")
    return " x ".join(map(str, size)) if size else "the input size"


def _number(value: Any) -> str:
    return "" if value is None else f"{value:g}"


def _signed(value: float, digits: int) -> str:
    return "-" if math.isnan(value) else f"{value:+.{digits}f}"


def _p(value: float) -> str:
    return "-" if math.isnan(value) else ("< 0.001" if value < 0.001 else f"{value:.3f}")
