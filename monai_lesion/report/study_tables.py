"""Make the tables of a study: results, comparisons, weight decays, groups, training and sources."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from monai_lesion.measures.lesions import has_lesion, lesion_cells, summarise_lesions
from monai_lesion.measures.metrics import FAILURES
from monai_lesion.report.budgets import precision
from monai_lesion.report.comparisons import Spread, compare, spread
from monai_lesion.report.costs import Costs
from monai_lesion.report.paper import paper_results
from monai_lesion.report.studies import StudyRecords, TrialRecord, unique
from monai_lesion.report.tables import Table, number, p_value

OTHER_DATA, CPU_TIME = "paper, other data", "CPU, ms"
FOUND, ALARMS = "lesions found", "false alarms without lesion"
AT_END = "change at the end"
EPOCHS = 20  # rows of a table of the training


def results_table(study: StudyRecords, costs: Mapping[str, Costs]) -> Table:
    """Make the main table: cost and results of each network, beside the paper's figures.

    Args:
        study: with at least one tested network.
        costs: costs of its networks.
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
                " or ".join(unique(_decay(t.record.get("weight_decay")) for t in trials)),
                f"{len(trials)} of {planned}" if len(trials) < planned else str(len(trials)),
                *_spread_cells(spread(trials, "dice"), ".3f"),
                *_spread_cells(spread(trials, "hd95"), ".2f"),
                _spread_cells(spread(trials, "hd95_monai"), ".2f")[0],
                *(_counts(trials, flag) for flag in FAILURES),
                *_lesion_cells(trials),
                _change_at_end(trials),
                *paper_results(study.table, entry, first.record.get("network_def")),
            ]
        )
    first = next(iter(networks.values()))[0]
    columns = ["network", "parameters", f"GFLOP at {_size(first)}", CPU_TIME, "weight decay", "seeds"]
    columns += ["Dice", "Dice, 95 % interval", "95 % HD, px", "95 % HD, 95 % interval", "95 % HD (MONAI), px"]
    optional = [CPU_TIME, f"Dice ({OTHER_DATA})", f"95 % HD ({OTHER_DATA})"]  # left out where there is nothing in them
    columns += ["missed", "false alarms", FOUND, ALARMS, AT_END, *optional[1:]]
    table = _without_empty(Table(study.title or study.name, columns, rows), [*optional, FOUND, ALARMS, AT_END])
    note = _note(first, [trial for trials in networks.values() for trial in trials])
    if AT_END in table.columns:
        note += (
            " Change at the end: mean validation Dice over the last sixth of the epochs, less that of the sixth before."
        )
    if CPU_TIME in table.columns:
        note += " CPU: one image in float32 in PyTorch on the machine of the report, median of five."
    return replace(table, note=note)


def _change_at_end(trials: Sequence[TrialRecord]) -> str:
    """By how much the validation Dice still rose in the last third of the epochs; empty for short trainings."""
    changes = []
    for trial in trials:
        scores, sixth = [row["val_mean_dice"] for row in trial.log if "val_mean_dice" in row], len(trial.log) // 6
        if sixth and len(scores) == len(trial.log):
            changes.append((sum(scores[-sixth:]) - sum(scores[-2 * sixth : -sixth])) / sixth)
    return f"{sum(changes) / len(changes):+.3f}" if changes else ""


def _without_empty(table: Table, optional: Sequence[str]) -> Table:
    """Drop the optional columns that are empty."""
    keep = [i for i, name in enumerate(table.columns) if name not in optional or any(row[i] for row in table.rows)]
    rows = [[row[i] for i in keep] for row in table.rows]
    return replace(table, columns=[table.columns[i] for i in keep], rows=rows)


def _note(first: TrialRecord, trials: Sequence[TrialRecord]) -> str:
    case_count = len({row["case_id"] for row in first.images})
    without = sum(not has_lesion(row) for row in first.images)
    apart = f" Dice is over the {len(first.images) - without} images with a lesion." if without else ""
    epochs = sorted({int(trial.record["epochs"]) for trial in trials if trial.record.get("epochs")})
    limits = unique(str(trial.record["max_epochs"]) for trial in trials if trial.record.get("max_epochs"))
    span = f"{epochs[0]} to {epochs[-1]}" if len(epochs) > 1 else "".join(map(str, epochs))
    told = f", {span} epochs of at most {' or '.join(limits)}" if epochs and limits else ""
    return (
        f"{len(first.images)} test images of {case_count} cases, at their original size{told}. Mean ± standard "
        f"deviation over the seeds of the mean over images; intervals by bootstrap over cases.{apart} 95 % HD is the "
        "paper's (both directed distance sets pooled), over the images where both masks hold something; missed lesions "
        "and false alarms are counted per seed. The paper's figures are on its private data: another data set, no "
        "comparison."
    )


def comparisons_table(study: StudyRecords, reference: str) -> Table | None:
    """Compare each network with the reference, paired by case; None with nothing to compare."""
    networks = study.compared()
    if reference not in networks or len(networks) < 2:
        return None
    dice, distance = compare(networks, reference, "dice"), compare(networks, reference, "hd95")
    rows = []
    for name in dice:
        cells = [name]
        for found, form in ((dice[name], "+.4f"), (distance[name], "+.2f")):
            cells += [number(found.difference, form), p_value(found.p), p_value(found.p_holm), str(found.cases)]
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


def choices_table(study: StudyRecords) -> Table | None:
    """List the weight decays tried and their validation losses; None if none was chosen."""
    if not study.choices:
        return None
    decays = unique(decay for choice in study.choices.values() for decay in choice["val_loss"])
    rows = []
    for entry, choice in study.choices.items():
        losses = [choice["val_loss"].get(decay) for decay in decays]
        rows.append([entry, *("" if x is None else f"{x:.4f}" for x in losses), _decay(choice["weight_decay"])])
    note = "Lowest validation loss of a training, averaged over the tuning seeds; the test split had no part in it."
    return Table("Weight decay", ["network", *decays, "chosen"], rows, note)


def subgroup_tables(study: StudyRecords) -> list[Table]:
    """Average over the images of each group, for trials that were evaluated by column (``--by``)."""
    tables = []
    for tested in study.compared().values():
        for trial in tested:
            file = trial.folder / "summary.json"
            summary = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
            if not summary.get("by"):
                continue
            rows = [_group("all", summary)]
            for column, groups in summary["by"].items():
                rows += [_group(f"{column}: {name}", group) for name, group in groups.items()]
            columns = ["images", "n", "Dice", "Dice, median (quartiles)", "95 % HD, px", "95 % HD (MONAI), px"]
            columns += ["missed", "false alarms", FOUND, ALARMS]
            note = "Mean ± standard deviation over the images, of one training."
            if summary.get("without_lesion", {}).get("n"):
                note += " Dice is over the images with a lesion."
            title = f"Groups of images, {trial_name(trial)}"
            tables.append(_without_empty(Table(title, columns, rows, note), [FOUND, ALARMS]))
    return tables


def _group(name: str, group: Mapping[str, Any]) -> list[str]:
    dice = group["dice"]
    middle, low, high = (number(dice[key], ".3f") for key in ("median", "q25", "q75"))
    spreads = [
        f"{number(group[measure]['mean'], form)} ± {number(group[measure]['std'], form)}"
        for measure, form in (("dice", ".3f"), ("hd95", ".1f"), ("hd95_monai", ".1f"))
    ]
    counts = [str(group["missed"]), str(group["false_alarms"]), *lesion_cells(group)]
    return [
        name,
        str(group["n"]),
        spreads[0],
        f"{middle} ({low} to {high})",
        *spreads[1:],
        *counts,
        *lesion_cells(group),
    ]


def training_table(study: StudyRecords) -> Table | None:
    """List losses by epoch, one training in detail or several side by side; None without logs."""
    logged = [t for tested in study.compared().values() for t in tested if t.log]
    if not logged:
        return None
    by_epoch = [{int(row["epoch"]): row for row in trial.log} for trial in logged]
    epochs = sorted({epoch for rows in by_epoch for epoch in rows})
    step = -(-len(epochs) // EPOCHS)
    chosen = [epoch for number, epoch in enumerate(epochs) if (len(epochs) - 1 - number) % step == 0]
    if len(logged) > 1:
        columns = ["epoch", *map(trial_name, logged)]
        cells = [[_loss(rows.get(epoch, {}), "val_loss") for rows in by_epoch] for epoch in chosen]
        title = "Validation loss by epoch"
    else:
        keys = ("train_loss", "val_loss", "val_mean_dice", "seconds")
        columns = ["epoch", "training loss", "validation loss", "validation Dice at the input's size", "minutes"]
        cells = [[_loss(by_epoch[0].get(epoch, {}), key) for key in keys] for epoch in chosen]
        title = "Training"
    rows = [[str(epoch), *row] for epoch, row in zip(chosen, cells, strict=True)]
    note = "The validation split; the test split had no part in it."
    return Table(title, columns, rows, note)


def _loss(row: Mapping[str, float], key: str) -> str:
    if key not in row:
        return ""
    return f"{row[key] / 60:.1f}" if key == "seconds" else f"{row[key]:.3f}"


def failures_table(studies: Sequence[StudyRecords]) -> Table | None:
    """List the trials that ended with an error; None without any."""
    failed = [trial for study in studies for trial in study.failed()]
    rows = [[trial_name(trial), str(trial.record["error"]).splitlines()[0]] for trial in failed]
    return Table("Failed trials", ["trial", "error"], rows) if rows else None


def provenance_table(studies: Sequence[StudyRecords]) -> Table:
    """List where each number comes from."""
    rows = []
    for study in studies:
        for trials in study.compared().values():
            rows += [_provenance(trial) for trial in trials]
    columns = ["trial", "commit", "torch", "device", "precision", "epochs", "minutes", "peak MiB", "config", "manifest"]
    note = "First digits of SHA-256 for config, manifest and weights; whole in each trial's run.json."
    return Table("Where the numbers come from", [*columns, "weights"], rows, note)


def _provenance(trial: TrialRecord) -> list[str]:
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


def trial_name(trial: TrialRecord) -> str:
    """Name a trial: network, weight decay, seed."""
    decay = trial.record.get("weight_decay")
    told = "" if decay is None else f", weight decay {_decay(decay)}"
    return f"{trial.entry}{told}" + ("" if trial.seed is None else f", seed {trial.seed}")


def _spread_cells(found: Spread, form: str) -> tuple[str, str]:
    mean, std, low, high = (number(value, form) for value in found)
    if mean == "-":
        return "-", "-"
    return mean if std == "-" else f"{mean} ± {std}", f"{low} to {high}"


def _counts(trials: Sequence[TrialRecord], flag: str) -> str:
    return ", ".join(str(int(trial.column(flag).sum())) for trial in trials)


def _lesion_cells(trials: Sequence[TrialRecord]) -> list[str]:
    """Count lesions found, and false alarms on images without a lesion, for each seed; empty without any."""
    cells = [lesion_cells({"n": len(trial.images), **summarise_lesions(trial.images)}) for trial in trials]
    return [", ".join(column) if any(column) else "" for column in zip(*cells, strict=True)]


def _size(trial: TrialRecord) -> str:
    size = trial.record.get("spatial_size")
    return " x ".join(map(str, size)) if size else "the input size"


def _decay(value: Any) -> str:
    return "" if value is None else f"{value:g}"
