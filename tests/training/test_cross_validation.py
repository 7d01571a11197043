"""Folds are trained by a stand-in that writes an untrained network; what is scored and joined is real."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from monai_lesion.errors import InputError
from monai_lesion.networks import LightUNet
from monai_lesion.networks.definitions import definition_of
from monai_lesion.networks.weight_files import Weights
from monai_lesion.segmentation.lesion_segmenters import LesionSegmenter
from monai_lesion.training.bundle_runs import TrainingPlan
from monai_lesion.training.cross_validation import cross_validate, write_ensemble

LABELS = {"0": "background", "1": "lesion"}


def make_plan(tmp_path):
    entries = []
    for number in range(6):
        pixels = np.random.default_rng(number).integers(0, 255, (20, 24), np.uint8)
        mask = np.zeros((20, 24), np.uint8)
        mask[5:12, 6:15] = 255
        Image.fromarray(pixels).save(tmp_path / f"{number}.png")
        Image.fromarray(mask).save(tmp_path / f"{number}_mask.png")
        place = {"case_id": str(number), "patient_id": str(number // 2), "view": "a"}
        entries.append({**place, "image": f"{number}.png", "label": f"{number}_mask.png"})
    content = {
        "name": "six",
        "description": "",
        "licence": "",
        "reference": "",
        "labels": {"0": "background", "1": "lesion"},
    }
    (tmp_path / "all.json").write_text(json.dumps({**content, "training": entries, "validation": [], "test": []}))
    return TrainingPlan(tmp_path / "folds", manifest=tmp_path / "all.json")


@pytest.fixture
def plan(tmp_path):
    return make_plan(tmp_path)


@pytest.fixture(scope="module")
def validated(tmp_path_factory):
    """A cross-validation that ran, what it found, and the patients that each fold was trained with."""
    plan, trained = make_plan(tmp_path_factory.mktemp("validated")), {}

    def watch(each):
        manifest = json.loads(each.manifest.read_text())
        trained[each.output.parent.name] = {entry["patient_id"] for entry in manifest["training"]}
        return train(each)

    return plan, cross_validate(plan, folds=3, train=watch, say=lambda line: None), trained


def train(plan):
    torch.manual_seed(int(plan.output.parent.name[-1]))
    network = LightUNet(width=0.0625)
    plan.output.mkdir(parents=True, exist_ok=True)
    torch.save(Weights(network.state_dict(), definition_of(network), (32, 32)).to_dict(), plan.output / "model.pt")
    return plan.output


def rows(folder):
    with (folder / "per_image.csv").open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.mark.slow
def test_every_picture_is_scored_once_by_a_network_that_never_saw_its_patient(validated):
    _, found, trained = validated
    table = rows(found.evaluation)
    assert sorted(row["case_id"] for row in table) == list("012345")
    for row in table:
        assert row["patient_id"] not in trained[row["mask"].split("/")[1]]
        assert (found.evaluation / row["mask"]).is_file()
    assert found.summary["n"] == 6


@pytest.mark.slow
def test_the_model_is_the_mean_of_the_folds(validated):
    plan, found, _ = validated
    pixels = np.asarray(Image.open(plan.manifest.parent / "0.png"))
    single = [LesionSegmenter.from_bundle(plan.output / f"fold{n}" / "model")(pixels).probability for n in (1, 2, 3)]
    joined = LesionSegmenter.from_model(found.model)(pixels).probability
    np.testing.assert_allclose(joined, np.mean(single, axis=0), atol=2e-3)


@pytest.mark.slow
def test_finished_folds_are_not_trained_again_and_another_division_is_refused(validated):
    plan, *_ = validated

    def never(each):
        raise AssertionError(each)

    cross_validate(plan, folds=3, train=never, say=lambda line: None)
    with pytest.raises(InputError, match="must hold the same cross-validation, got one with another folds"):
        cross_validate(plan, folds=2, train=never)
    with pytest.raises(InputError, match="another seed"):
        cross_validate(replace(plan, seed=1), folds=3, train=never)


def test_a_folder_of_other_files_is_left_alone(plan):
    plan.output.mkdir()
    (plan.output / "thesis.doc").touch()
    with pytest.raises(InputError, match="must be new, empty or a cross-validation's"):
        cross_validate(plan, train=train)


def test_networks_of_two_sizes_have_no_mean(tmp_path):
    for number, size in enumerate([(32, 32), (32, 48)]):
        folder = tmp_path / str(number)
        folder.mkdir()
        network = LightUNet(width=0.0625)
        torch.save(Weights(network.state_dict(), definition_of(network), size).to_dict(), folder / "model.pt")
    with pytest.raises(InputError, match="must have one input size"):
        write_ensemble([tmp_path / "0", tmp_path / "1"], Path(tmp_path / "out"))
