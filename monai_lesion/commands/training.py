"""The commands `train`, `evaluate` and `crossval`; heavy imports wait until they run."""

from __future__ import annotations

import json
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Annotated

import typer

from monai_lesion.commands.options import NetworkOptions, assignments, open_segmenter, shared
from monai_lesion.commands.parsing import listed

if TYPE_CHECKING:
    from monai_lesion.training.bundle_runs import TrainingPlan

Manifest = Annotated[Path | None, typer.Option(help="Manifest of the pictures.", show_default="simulated cases")]
DatasetDir = Annotated[
    Path | None,
    typer.Option(
        "--dataset-dir",
        "--dataset_dir",
        help="Folder that the paths in the manifest start from.",
        show_default="the manifest's folder",
    ),
]
Output = Annotated[Path, typer.Option("--output", "-o", help="Folder for the model and everything beside it.")]
Network = Annotated[str, typer.Option(help="Network to train: pocket, unet, lighter_unet_8 ...")]
Epochs = Annotated[int | None, typer.Option(min=1, help="How long to train.", show_default="the recipe's")]
Seed = Annotated[int, typer.Option(help="Random seed.")]
StartFrom = Annotated[
    str | None,
    typer.Option(
        help="Weights to start from: pocket, clinic, a model's folder or a model.pt.", show_default="random ones"
    ),
]
Settings = Annotated[
    list[str] | None, typer.Option("--set", help="Any other value of the config: batch_size=4. May be repeated.")
]
By = Annotated[str, typer.Option(help="Columns to group the results by, e.g. device,pathology.", show_default="none")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


class Recipe(str, Enum):
    """How a network is trained."""

    CONVERGE = "converge"
    PAPER = "paper"


RecipeOption = Annotated[Recipe, typer.Option(help="converge, in a known time, or the paper's.")]


@dataclass(frozen=True)
class PlanOptions:
    """What to train and how."""

    dataset_dir: DatasetDir = None
    network: Network = "pocket"
    recipe: RecipeOption = Recipe.CONVERGE
    epochs: Epochs = None
    start_from: StartFrom = None
    seed: Seed = 0
    settings: Settings = None

    def plan(self, output: Path, manifest: Path | None, *, resume: bool = False) -> TrainingPlan:
        """The training that they describe."""
        from monai_lesion.training.bundle_runs import TrainingPlan

        return TrainingPlan(
            output,
            manifest=manifest,
            dataset_dir=self.dataset_dir,
            network=self.network,
            recipe=self.recipe.value,
            epochs=self.epochs,
            seed=self.seed,
            start_from=self.start_from,
            settings=assignments(self.settings),
            resume=resume,
        )


def register(app: typer.Typer) -> None:
    """Add the commands to an application."""
    app.command()(shared(train))
    app.command()(shared(evaluate))
    app.command()(shared(crossval))


def train(
    *,
    output: Output,
    manifest: Manifest = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the training in --output.")] = False,
    options: PlanOptions,
) -> None:
    """Train a network on your pictures.

    Does what "python -m monai.bundle run training" does, and shows that command. Leaves a model in OUTPUT, which
    "predict --bundle OUTPUT" uses.
    """
    from monai_lesion.training.bundle_runs import run_training

    plan = options.plan(output, manifest, resume=resume)
    typer.echo(f"$ {plan.command()}", err=True)
    model = run_training(plan)
    data = f" --manifest {quote(str(manifest))}" if manifest is not None else ""
    data += f" --dataset-dir {quote(str(options.dataset_dir))}" if options.dataset_dir is not None else ""
    named = quote(str(model))
    typer.echo(f"The model is in {model}. Use it, and see how good it is:")
    typer.echo(f"  monai-lesion predict PICTURES --bundle {named} --output results")
    typer.echo(f"  monai-lesion evaluate --bundle {named}{data} --output {quote(str(model / 'evaluation'))}")


def evaluate(
    *,
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder for tables, masks and overlays.")],
    manifest: Manifest = None,
    dataset_dir: DatasetDir = None,
    split: Annotated[str, typer.Option(help="Split to evaluate.")] = "test",
    by: By = "",
    as_json: AsJson = False,
    network: NetworkOptions,
) -> None:
    """Score a network on the pictures of a manifest.

    Every picture is scored at its own size. Missed lesions and false alarms are counted beside every mean.
    """
    from monai_lesion.measures.decisions import format_decisions
    from monai_lesion.measures.tables import format_table
    from monai_lesion.training.model_scores import score_model

    segmenter = open_segmenter(network)
    summary = score_model(segmenter, manifest, output, dataset_dir=dataset_dir, split=split, by=listed(by), log=False)
    if as_json:
        typer.echo((output / "summary.json").read_text(encoding="utf-8").rstrip())
        return
    typer.echo(f"{summary['manifest']}, {split}, at the original size:\n{format_table(summary, unit='px')}")
    if told := format_decisions(summary.get("trust", {})):
        typer.echo(told)
    typer.echo(f"Tables, masks and overlays are in {output}")


def crossval(
    *,
    output: Output,
    manifest: Annotated[Path, typer.Option(help="Manifest of the pictures; its split is dealt anew.")],
    folds: Annotated[int, typer.Option(min=2, help="Number of folds; a patient is in one of them.")] = 5,
    stratify: Annotated[
        str, typer.Option(help="Columns to balance over the folds, e.g. device,pathology.", show_default="none")
    ] = "",
    views: Annotated[int, typer.Option(help="Views of each picture to average when scoring: 1, 2 or 4.")] = 1,
    by: By = "",
    as_json: AsJson = False,
    options: PlanOptions,
) -> None:
    """Train one network for each fold of the patients, and average them.

    Every picture is scored by a network that has not seen its patient. The folds' mean is one model. Run the same
    command again to go on where it stopped.
    """
    from monai_lesion.measures.tables import format_table
    from monai_lesion.training.cross_validation import cross_validate

    found = cross_validate(
        options.plan(output, manifest),
        folds=folds,
        stratify=listed(stratify),
        views=views,
        by=listed(by),
        say=lambda line: typer.echo(line, err=True),
    )
    if as_json:
        typer.echo(json.dumps(json.loads((found.evaluation / "summary.json").read_text(encoding="utf-8")), indent=2))
        return
    typer.echo(format_table(found.summary, unit="px"))
    typer.echo(f"Tables of all patients are in {found.evaluation}. The folds' mean is a model in {found.model}:")
    typer.echo(f"  monai-lesion predict PICTURES --bundle {quote(str(found.model))} --output results")
