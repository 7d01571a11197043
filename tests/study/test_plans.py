"""Which trial is next, and how the weight decay is chosen; no training, only its records."""

import json

import pytest

from monai_lesion.errors import InputError
from monai_lesion.study.jobs import EVALUATE, TRAIN, Job
from monai_lesion.study.plans import Plan, count_trainings
from monai_lesion.study.records import write_record
from monai_lesion.study.specifications import parse_study
from monai_lesion.study.trials import Place

STUDY = parse_study(
    {
        "name": "small",
        "networks": ["U-net", {"network": "Lighter U-net @8", "weight_decays": [0.0001]}],
        "weight_decays": [0.01, 0.0001],
        "seeds": [0, 1],
    }
)
UNET, LIGHTER = STUDY.entries


@pytest.fixture
def place(tmp_path):
    return Place(tmp_path / "out", tmp_path, tmp_path / "manifest.json", None)


def finish(trial, loss=0.5):
    (trial.path / "models").mkdir(parents=True)
    (trial.path / "models" / "model.pt").touch()
    write_record(trial.path, {"state": "finished", "best_val_loss": loss, "wall_seconds": 1.0})


def labels(plan):
    return [job.label for job in plan.ready()]


def run_all(plan, losses, fail=()):
    """Do what is ready until nothing is; give the order."""
    order = []
    while plan.ready():
        job = plan.ready()[0]
        order.append(job.label)
        plan.begin(job)
        if job.label in fail:
            plan.end(job, "broken")
            continue
        if job.kind == TRAIN:
            finish(job.trial, losses.get(job.trial.label, 0.5))
        else:
            (job.trial.path / "evaluation").mkdir()
        plan.end(job, "")
    return order


def test_every_network_is_tested_once_before_a_second_seed_is_trained(place):
    order = run_all(Plan(STUDY, place), {"U-net, weight decay 0.0001, seed 0": 0.3})
    assert order == [
        "U-net, weight decay 0.01, seed 0",
        "U-net, weight decay 0.0001, seed 0",
        "U-net, weight decay 0.0001, seed 0, test split",
        "Lighter U-net @8, weight decay 0.0001, seed 0",
        "Lighter U-net @8, weight decay 0.0001, seed 0, test split",
        "U-net, weight decay 0.0001, seed 1",
        "U-net, weight decay 0.0001, seed 1, test split",
        "Lighter U-net @8, weight decay 0.0001, seed 1",
        "Lighter U-net @8, weight decay 0.0001, seed 1, test split",
    ]


def test_only_the_chosen_weight_decay_sees_the_test_split(place):
    run_all(Plan(STUDY, place), {"U-net, weight decay 0.01, seed 0": 0.1})
    tested = {path.parent.name for path in place.output.glob("trials/u-net/*/evaluation")}
    assert tested == {"wd0.01-seed0", "wd0.01-seed1"}
    choice = json.loads((place.output / "choices.json").read_text())["U-net"]
    assert choice["weight_decay"] == 0.01
    assert choice["val_loss"] == {"0.01": 0.1, "0.0001": 0.5}


def test_a_choice_is_not_made_again(place):
    run_all(Plan(STUDY, place), {"U-net, weight decay 0.01, seed 0": 0.1})
    trial = place.trial(STUDY, UNET, 0.0001, 0)
    write_record(trial.path, {"state": "finished", "best_val_loss": 0.0, "wall_seconds": 1.0})
    plan = Plan(STUDY, place)
    assert plan.choice(UNET) == 0.01
    assert plan.ready() == []


def test_the_choice_waits_for_every_candidate(place):
    plan = Plan(STUDY, place)
    finish(place.trial(STUDY, UNET, 0.01, 0))
    plan = Plan(STUDY, place)
    assert plan.choice(UNET) is None
    assert not (place.output / "choices.json").exists()


def test_finished_trials_are_skipped_and_interrupted_ones_are_not(place):
    finish(place.trial(STUDY, LIGHTER, 0.0001, 0))
    interrupted = place.trial(STUDY, UNET, 0.01, 0)
    write_record(interrupted.path, {"state": "interrupted"})
    found = labels(Plan(STUDY, place))
    assert found[0] == "Lighter U-net @8, weight decay 0.0001, seed 0, test split"
    assert "U-net, weight decay 0.01, seed 0" in found
    assert "Lighter U-net @8, weight decay 0.0001, seed 0" not in found


def test_a_finished_record_without_weights_is_trained_again(place):
    trial = place.trial(STUDY, LIGHTER, 0.0001, 0)
    write_record(trial.path, {"state": "finished"})
    assert trial.label in labels(Plan(STUDY, place))


def test_a_failed_trial_is_left_and_the_rest_go_on(place):
    plan = Plan(STUDY, place)
    order = run_all(plan, {}, fail=["U-net, weight decay 0.01, seed 0"])
    assert len(order) == 9
    assert order[0] == "U-net, weight decay 0.01, seed 0"
    assert json.loads((place.output / "choices.json").read_text())["U-net"]["failed"] == [order[0]]
    assert plan.choice(UNET) == 0.0001


def test_a_network_whose_candidates_all_fail_does_not_stop_the_others(place):
    fail = [f"U-net, weight decay {decay}, seed 0" for decay in ("0.01", "0.0001")]
    order = run_all(Plan(STUDY, place), {}, fail=fail)
    assert [label for label in order if label.startswith("U-net")] == fail
    assert len(order) == 6


def test_what_runs_is_not_given_out_again(place):
    plan = Plan(STUDY, place)
    first, second, *_ = plan.ready()
    plan.begin(first)
    assert plan.ready()[0] == second


def test_counts_what_is_left(place):
    plan = Plan(STUDY, place)
    assert count_trainings(STUDY.entries) == sum(count for _, count in plan.remaining()) == 5
    job = plan.ready()[0]
    finish(job.trial)
    plan.end(job, "")
    assert sum(count for _, count in plan.remaining()) == 4


def test_an_evaluation_is_a_job_of_the_same_trial(place):
    trial = place.trial(STUDY, LIGHTER, 0.0001, 0)
    finish(trial)
    assert Plan(STUDY, place).ready()[0] == Job(EVALUATE, trial)


def test_refuses_choices_that_cannot_be_read(place):
    place.output.mkdir()
    (place.output / "choices.json").write_text("{")
    with pytest.raises(InputError, match=r"choices\.json: must be the choices of a study"):
        Plan(STUDY, place)
