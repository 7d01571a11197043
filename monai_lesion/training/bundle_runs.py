"""Train with the bundle, from Python or the command line: a thin door to ``python -m monai.bundle run training``."""

from __future__ import annotations

import json
import logging
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from monai_lesion.errors import InputError, root_cause
from monai_lesion.machine.loggers import no_less_than
from monai_lesion.models.bundles import bundle_folder
from monai_lesion.models.descriptions import WEIGHTS
from monai_lesion.models.presets import load_preset, preset_names
from monai_lesion.networks.recognition import without_pretraining

logger = logging.getLogger(__name__)

RECIPES = ("converge", "paper")  # the paper's is train.json without an overlay
CHECKPOINT = "last.ckpt"


@dataclass(frozen=True)
class TrainingPlan:
    """A training: data, network, recipe and where it goes.

    Args:
        output: folder of the model, ``metrics.csv`` and ``last.ckpt``; ``logs`` in it holds TensorBoard's files.
        manifest: the manifest; None for the simulated cases.
        dataset_dir: folder that its paths start from; None for its own.
        network: one of :func:`network_names`.
        recipe: ``"converge"`` trains to convergence in ``epochs``; ``"paper"`` is the paper's.
        epochs: how long; None for the recipe's own length.
        seed: random seed.
        start_from: weights to start from: a ``model.pt``, a folder that holds one, or the name of a preset.
        settings: further values of the config, which win over the others.
        resume: go on with a training in ``output``.
        bundle: folder of the bundle; None for the package's.
    """

    output: Path
    manifest: Path | None = None
    dataset_dir: Path | None = None
    network: str = "pocket"
    recipe: str = "converge"
    epochs: int | None = None
    seed: int = 0
    start_from: str | Path | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)
    resume: bool = False
    bundle: Path | None = None

    def files(self) -> list[Path]:
        """The configs, in their order.

        Raises:
            InputError: for an unknown network or recipe.
        """
        root = self._root()
        if self.recipe not in RECIPES:
            raise InputError("--recipe", f"must be one of {', '.join(RECIPES)}", got=self.recipe)
        known = network_names(root)
        if self.network not in known:
            close = get_close_matches(self.network.lower(), known, n=1)
            fix = f"Did you mean {close[0]}?" if close else "Another class: --set network_def=\"{'_target_': ...}\""
            raise InputError("--network", f"must be one of {', '.join(known)}", got=self.network, fix=fix)
        recipe = [] if self.recipe == "paper" else [root / "overlays" / f"{self.recipe}.json"]
        return [root / "configs" / "train.json", *recipe, root / "overlays" / f"{self.network}.json"]

    def overrides(self) -> dict[str, Any]:
        """What the command line would say after the configs.

        Raises:
            InputError: when ``start_from`` has no weights.
        """
        chosen = {
            "manifest": None if self.manifest is None else str(self.manifest),
            "dataset_dir": None if self.dataset_dir is None else str(self.dataset_dir),
            "max_epochs": self.epochs,
            "pretrained": None if self.start_from is None else str(_weights(self.start_from)),
            "network_def": self._network_without_pretraining(),
        }
        return {
            **{name: value for name, value in chosen.items() if value is not None},
            "seed": self.seed,
            "resume": self.resume,
            "bundle_root": str(self._root()),  # its version goes into the model; nothing is written there
            "ckpt_dir": str(self.output),
            "output_dir": str(self.output / "logs"),
            **self.settings,
        }

    def _root(self) -> Path:
        return bundle_folder() if self.bundle is None else self.bundle

    def _network_without_pretraining(self) -> dict[str, Any] | None:
        """The network's definition where other weights than an encoder's own are loaded, else None."""
        if self.start_from is None:
            return None
        definition = json.loads(self.files()[-1].read_text(encoding="utf-8"))["network_def"]
        bare = without_pretraining(definition)
        return None if bare == definition else bare

    def command(self) -> str:
        """The command of MONAI that does the same."""
        files = ",".join(f"'{file}'" for file in self.files())
        words = ["python", "-m", "monai.bundle", "run", "training", "--config_file", f"[{files}]"]
        for name, value in self.overrides().items():
            words += [f"--{name}", value if isinstance(value, str) else json.dumps(value)]
        return " ".join(map(_quoted, words))


def network_names(bundle: Path | None = None) -> list[str]:
    """The networks that a training may name: the bundle's overlays that set one."""
    folder = (bundle_folder() if bundle is None else bundle) / "overlays"
    return sorted(file.stem for file in folder.glob("*.json") if "network_def" in file.read_text(encoding="utf-8"))


def run_training(plan: TrainingPlan) -> Path:
    """Train; the log says where it stands.

    Args:
        plan: the training.

    Returns:
        The folder of the model, for ``predict --bundle``.

    Raises:
        InputError: when a setting is unknown, the weights are the preset of another network, the data are at fault, or
            the folder holds a training and ``resume`` is false.
    """
    files, overrides = plan.files(), plan.overrides()
    other = str(plan.start_from) in network_names(plan.bundle) and str(plan.start_from) in preset_names()
    if other and plan.start_from != plan.network and not any(key.startswith("network_def") for key in plan.settings):
        rule, fix = f"must be weights of the network, {plan.network}", f"Add --network {plan.start_from}"
        raise InputError("--start-from", rule, got=f"those of {plan.start_from}", fix=fix)
    if not plan.resume and (plan.output / CHECKPOINT).exists():
        fix = "Add --resume to go on with it, or name another --output"
        raise InputError(plan.output, "must not hold a training", got=CHECKPOINT, fix=fix)
    from monai.bundle import ConfigWorkflow

    try:
        with no_less_than(logging.ERROR, "monai.bundle.workflows"):  # it notes each overlay of another folder
            workflow = ConfigWorkflow([str(file) for file in files], workflow_type="train", **overrides)
        workflow.initialize()
        workflow.run()
        workflow.finalize()
    except Exception as error:
        cause = root_cause(error)
        if isinstance(cause, InputError):
            raise cause from error
        raise
    return plan.output


def _quoted(word: str) -> str:
    """A word for a shell; in double quotes where that keeps a list of MONAI legible."""
    return f'"{word}"' if "'" in word and not set(word) & set('"$`\\!') else shlex.quote(word)


def _weights(start: str | Path) -> Path:
    if str(start) in preset_names() and not Path(start).exists():
        file = load_preset(str(start)).path / WEIGHTS
    else:
        file = Path(start) / WEIGHTS if Path(start).is_dir() else Path(start)
    if not file.is_file():
        fix = f"Name a model.pt, a folder that holds one, or one of {', '.join(preset_names())}"
        raise InputError("--start-from", "must be weights", got=f"no file {file}", fix=fix)
    return file
