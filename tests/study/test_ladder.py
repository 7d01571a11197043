"""The paper's tuning ladder: what each rung trains with, and that each one trains."""

import json
from pathlib import Path

import pytest
import torch

from monai_lesion.phantoms.files import write_phantoms
from monai_lesion.report.paper import LADDER
from monai_lesion.report.studies import load_studies
from monai_lesion.report.study_tables import results_table
from monai_lesion.study.engines import SequentialEngine
from monai_lesion.study.runs import prepare, run_study
from monai_lesion.study.specifications import load_study

ROOT = Path(__file__).parents[2]
FILE = ROOT / "studies" / "ladder.json"
BUNDLE = ROOT / "bundles" / "lighter_unet"

# After the paper, section 4: BCE and SGD 1e-3 with a batch of 2, then one change after the other.
RUNGS = {
    "BCE, SGD 1e-3, batch 2": ("SGD", 1e-3, "bce", False, False, 2, 0),
    "+ augmentation": ("SGD", 1e-3, "bce", True, False, 2, 0),
    "+ Dice loss": ("SGD", 1e-3, "dice", True, False, 2, 0),
    "+ Adam 1e-4": ("Adam", 1e-4, "dice", True, False, 2, 0),
    "+ plateau schedule": ("Adam", 1e-4, "dice", True, True, 2, 0),
    "+ batch 8": ("Adam", 1e-4, "dice", True, True, 8, 0),
    "+ weight decay 1e-4": ("Adam", 1e-4, "dice", True, True, 8, 1e-4),
}


def bce(logits, target):
    return torch.nn.functional.binary_cross_entropy_with_logits(logits, target)


def dice(logits, target):
    probability = logits.sigmoid()
    overlap = 2 * (probability * target).sum((1, 2, 3))
    return (1 - overlap / (probability.sum((1, 2, 3)) + target.sum((1, 2, 3)))).mean()


@pytest.mark.parametrize("rung", RUNGS)
def test_a_rung_trains_with_what_the_paper_says(rung):
    from monai.bundle import ConfigParser

    (entry,) = [entry for entry in load_study(FILE).entries if entry.name == rung]
    parser = ConfigParser()
    parser.read_config(str(BUNDLE / "configs" / "train.json"))
    parser.update(
        {**entry.overrides, "weight_decay": entry.weight_decays[0], "network_def#width": 0.25, "device": "cpu"}
    )
    optimizer, rate, loss, augment, schedule, batch, decay = RUNGS[rung]
    made = parser.get_parsed_content("optimizer")
    assert type(made).__name__ == optimizer
    assert (made.defaults["lr"], made.defaults["weight_decay"]) == (rate, decay)
    plateau = parser.get_parsed_content("lr_scheduler")
    for _ in range(250):  # of a loss that never falls
        plateau.step(1.0)
    assert (made.param_groups[0]["lr"] < rate) is schedule
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(3, 1, 8, 8, generator=generator)
    target = (torch.rand(3, 1, 8, 8, generator=generator) > 0.5).float()
    expected = {"bce": bce, "dice": dice}[loss](logits, target)
    assert float(parser.get_parsed_content("loss")(logits, target)) == pytest.approx(float(expected), abs=1e-5)
    assert parser["train#preprocessing#augment"] is augment
    assert parser["batch_size"] == batch


@pytest.mark.slow
def test_every_rung_trains_and_stands_beside_the_papers(tmp_path):
    manifest = write_phantoms(tmp_path / "data", cases=4, seed=2, workers=0, progress=False)
    content = json.loads(FILE.read_text(encoding="utf-8"))
    for entry in content["networks"]:  # narrow, for the time; the rungs stay as they are
        entry["network"] = {"_target_": "monai_lesion.networks.UNet", "width": 0.125}
    (tmp_path / "ladder.json").write_text(json.dumps({**content, "seeds": [0]}))
    settings = {"spatial_size": [32, 32], "max_epochs": 1, "min_epochs": 0, "amp": False}  # nothing is measured
    study, place = prepare(
        tmp_path / "ladder.json", tmp_path / "out", manifest=manifest, bundle=BUNDLE, settings=settings
    )
    outcome = run_study(study, place, SequentialEngine(threads=1), say=lambda line: None)
    assert (outcome.trained, outcome.tested, outcome.failures) == (7, 7, {})
    (results,) = load_studies([tmp_path / "out"])
    hashes = {trials[0].record["weights_id"] for trials in results.compared().values()}
    assert len(hashes) == 6  # in one epoch the schedule has nothing to halve yet
    table = results_table(results, {})
    column = table.columns.index("Dice (paper, other data)")
    assert [(row[0], float(row[column])) for row in table.rows] == list(LADDER.items())
