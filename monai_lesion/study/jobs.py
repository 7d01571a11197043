"""What an engine runs: train a trial, or score its network on the test split; each an ordinary run of the bundle."""

from __future__ import annotations

import csv
import gc
import json
import logging
import math
import shutil
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timezone
from importlib import import_module
from pathlib import Path
from typing import Any

from monai_lesion.errors import InputError, root_cause
from monai_lesion.files import file_sha256
from monai_lesion.study.records import (
    PeakMemory,
    code_version,
    machine,
    read_record,
    versions,
    write_record,
)
from monai_lesion.study.trials import Trial, config_hash, overlay

logger = logging.getLogger(__name__)

TRAIN, EVALUATE = "train", "evaluate"


@dataclass(frozen=True)
class Job:
    """One piece of work.

    Args:
        kind: ``train`` or ``evaluate``.
        trial: the trial that the job belongs to.
    """

    kind: str
    trial: Trial

    @property
    def label(self) -> str:
        """The job in words."""
        return f"{self.trial.label}{', test split' if self.kind == EVALUATE else ''}"


def run_job(kind: str, trial: Mapping[str, Any], *, threads: int | None = None, progress: bool = False) -> str:
    """Run a job; what goes wrong is recorded, not raised, so that the other trials go on.

    Args:
        kind: ``train`` or ``evaluate``.
        trial: the trial as plain data.
        threads: threads for PyTorch on the CPU; None leaves its setting.
        progress: show the bundle's own bar.

    Returns:
        The error, empty when there is none.

    Raises:
        KeyboardInterrupt: after the record says so.
    """
    import torch

    known = Trial(**trial)
    if threads:
        torch.set_num_threads(threads)
    known.path.mkdir(parents=True, exist_ok=True)
    work = _train if kind == TRAIN else _evaluate
    with _log_to(known.path / f"{kind}.log"):
        try:
            work(known, progress)
        except KeyboardInterrupt:
            if kind == TRAIN:
                write_record(known.path, {**read_record(known.path), "state": "interrupted"})
            raise
        except Exception as error:
            logger.exception("%s failed", kind)
            cause = root_cause(error)
            told = str(cause) if isinstance(cause, InputError) else f"{type(cause).__name__}: {cause}"
            record = {**read_record(known.path), "error": told}
            write_record(known.path, record | ({"state": "failed"} if kind == TRAIN else {}))
            return told
        finally:
            gc.collect()
    return ""


def _train(trial: Trial, progress: bool) -> None:
    """Train, or go on from ``last.ckpt``."""
    import torch

    from monai_lesion.networks.complexity import count_parameters
    from monai_lesion.networks.definitions import build_network
    from monai_lesion.networks.identity import weights_id

    earlier = read_record(trial.path)
    if (trial.path / "evaluation").exists():
        fix = "A network that has seen the test split is not trained again; choose a new --output"
        raise InputError(trial.path, "must not have been tested before it is trained", got="a test result", fix=fix)
    start, memory = time.monotonic(), PeakMemory()
    workflow = _workflow(TRAIN, trial, {"resume": True, "progress": progress})
    parser = workflow.parser
    record: dict[str, Any] = {
        "state": "running",
        "study": trial.study,
        "entry": trial.entry,
        "network_def": dict(trial.network_def),
        "weight_decay": trial.weight_decay,
        "seed": trial.seed,
        "recipe": list(trial.recipe),
        "overrides": dict(trial.overrides),
        **{key: parser[key] for key in ("spatial_size", "batch_size", "max_epochs", "min_epochs", "amp")},
        "config_sha256": config_hash(parser.get()),
        "manifest": {
            "name": json.loads(Path(trial.manifest).read_text(encoding="utf-8")).get("name", ""),
            "path": trial.manifest,
            "dataset_dir": trial.dataset_dir,
            "file_sha256": file_sha256(Path(trial.manifest)),
        },
        **code_version(),
        "versions": versions(),
        **machine(str(parser.get_parsed_content("device"))),
        "started": earlier.get("started", _now()),
        "resumed": earlier.get("resumed", 0) + bool(earlier),
    }
    write_record(trial.path, record)
    try:
        workflow.initialize()
        workflow.run()
    finally:
        memory_used = memory.measure()
        record["peak_memory"] = {
            kind: max(value, earlier.get("peak_memory", {}).get(kind, 0.0)) for kind, value in memory_used.items()
        }
        record["wall_seconds"] = round(earlier.get("wall_seconds", 0.0) + time.monotonic() - start, 1)
        write_record(trial.path, record)
    weights = trial.path / "models" / "model.pt"
    state = torch.load(weights, map_location="cpu", weights_only=True)["model"]
    record |= {
        **_outcome(trial.path / "models" / "metrics.csv"),
        "weights_id": weights_id(state),
        "weights_file_sha256": file_sha256(weights),
        "amp": bool(parser.get_parsed_content("precision")),
        "parameters": count_parameters(build_network(trial.network_def, any_class=True)),
        "state": "finished",
        "finished": _now(),
    }
    write_record(trial.path, record)


def _evaluate(trial: Trial, progress: bool) -> None:
    """Score the network of the lowest validation loss on the test split, once."""
    record = read_record(trial.path)
    folder, partial = trial.path / "evaluation", trial.path / "evaluation.partial"
    if folder.exists():
        raise InputError(folder, "the test split is used once for each network", got="a result")
    shutil.rmtree(partial, ignore_errors=True)
    start = time.monotonic()
    workflow = _workflow(EVALUATE, trial, {"output_dir": str(partial), "overlays": [], "progress": progress})
    workflow.initialize()
    workflow.run()
    partial.rename(folder)
    record.pop("error", None)
    seconds = round(time.monotonic() - start, 1)
    write_record(trial.path, {**record, "evaluation": {"split": "test", "finished": _now(), "wall_seconds": seconds}})


def _workflow(kind: str, trial: Trial, changes: Mapping[str, Any]) -> Any:
    from monai.bundle import ConfigWorkflow

    folder = Path(trial.bundle)
    configs = [str(folder / "configs" / "train.json"), *(str(overlay(folder, name)) for name in trial.recipe)]
    if kind == EVALUATE:
        configs.append(str(folder / "configs" / "evaluate.json"))
    overrides = {**trial.changes(), "tensorboard": False, **changes}
    if kind == EVALUATE:  # what evaluates is the same whatever was changed in training
        fixed = json.loads(Path(configs[-1]).read_text(encoding="utf-8"))
        overrides = {key: value for key, value in overrides.items() if key in changes or key not in fixed}
    return ConfigWorkflow(configs, workflow_type="train", logging_file=False, **overrides)


def _outcome(log: Path) -> dict[str, Any]:
    """Epochs and the best of them, from ``metrics.csv``."""
    rows = read_log(log)
    best = min(rows, key=lambda row: row.get("val_loss", math.inf))
    return {
        "epochs": len(rows),
        "best_epoch": int(best["epoch"]),
        "best_val_loss": best.get("val_loss", math.nan),
        "best_val_dice": best.get("val_mean_dice", math.nan),
    }


def read_log(path: Path) -> list[dict[str, float]]:
    """The numbers of a training's ``metrics.csv``, one row per epoch."""
    with path.open(newline="", encoding="utf-8") as file:
        return [{key: float(value) for key, value in row.items() if value} for row in csv.DictReader(file)]


def _now() -> str:
    return datetime.now(timezone.utc).isoformat(timespec="seconds")


@contextmanager
def _log_to(path: Path) -> Iterator[None]:
    """Logs go to the trial's own file and nowhere else; MONAI's and our hooks are put back afterwards."""
    from monai.apps import get_logger

    import_module("monai.bundle")  # MONAI's loggers, which write to standard output, appear when it is imported
    get_logger("monai.handlers.StatsHandler")
    names = [name for name in logging.root.manager.loggerDict if name.startswith("monai.")]
    root, hook = logging.getLogger(), sys.excepthook
    loggers = [root, *map(logging.getLogger, names)]
    handlers = [list(each.handlers) for each in loggers]
    level = root.level
    file = logging.FileHandler(path, encoding="utf-8")
    file.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    for each in loggers:
        each.handlers[:] = [] if each.propagate and each is not root else [file]
    root.setLevel(logging.INFO)
    logging.captureWarnings(True)
    try:
        yield
    finally:
        logging.captureWarnings(False)
        for each, own in zip(loggers, handlers, strict=True):
            each.handlers[:] = own
        root.setLevel(level)
        sys.excepthook = hook
        file.close()
