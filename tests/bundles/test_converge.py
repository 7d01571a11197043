"""The converging recipe, run as MONAI runs it, on tiny simulated cases."""

from __future__ import annotations

import json

import pytest
import torch
from monai.bundle import ConfigParser

from monai_lesion.errors import CheckpointError, InputError
from monai_lesion.phantoms.files import write_phantoms
from tests.bundles.test_lighter_unet import BUNDLE, EVALUATE, INFERENCE, TRAIN, log, run

pytestmark = pytest.mark.slow

CONVERGE = BUNDLE / "overlays" / "converge.json"
SMALL = {"network_def": {"_target_": "monai_lesion.networks.LightUNet", "width": 0.125}}
SCORED = {"network_def": {"_target_": "tests.training.scored_networks.scored_network"}}


@pytest.fixture(scope="module")
def manifest(tmp_path_factory):
    folder = tmp_path_factory.mktemp("cases") / "data"
    return write_phantoms(folder, cases=10, seed=2, workers=0, progress=False)


def converge(manifest, folder, configs=(TRAIN, CONVERGE), **options):
    paths = {"manifest": str(manifest), "ckpt_dir": str(folder), "output_dir": str(folder / "logs")}
    defaults = {"max_epochs": 3, "batch_size": 2, "tensorboard": False, "train#preprocessing#calipers": 0.0, **SMALL}
    if CONVERGE in configs:
        defaults["lr_scheduler#warm_up"] = 0.3
    return run(list(configs), "train", **{**paths, **defaults, **options})


def test_learning_rate_rises_once_and_falls_to_nothing(manifest, tmp_path):
    converge(manifest, tmp_path, max_epochs=5)
    rates = [float(row["learning_rate"]) for row in log(tmp_path)]
    peak = rates.index(max(rates))
    assert peak in (0, 1, 2)
    assert rates[peak:] == sorted(rates[peak:], reverse=True)
    assert max(rates) <= 0.001
    assert rates[-1] < max(rates) / 100


def test_average_of_the_weights_is_kept_and_validated(manifest, tmp_path):
    workflow = converge(manifest, tmp_path)
    last = torch.load(tmp_path / "last.ckpt", weights_only=True)
    kept = torch.load(tmp_path / "model.pt", weights_only=True)["model"]
    assert last["average"]["n_averaged"] == 3 * last["epoch_length"]
    assert set(kept) == set(last["network"])
    evaluator = workflow.parser.get_parsed_content("validate#evaluator")
    for name, value in evaluator.network.state_dict().items():
        assert torch.equal(value, last["average"][f"module.{name}"])
    assert not torch.equal(kept["head.weight"], last["network"]["head.weight"])


def test_resumed_training_is_an_unbroken_one_to_the_bit(manifest, tmp_path):
    class KilledError(Exception):
        pass

    whole, broken = tmp_path / "whole", tmp_path / "broken"
    converge(manifest, whole, amp=False)  # what is measured at the start may differ between the two
    with pytest.MonkeyPatch.context() as patch:
        from monai_lesion.training import Checkpoints

        save = Checkpoints.__call__

        def save_and_die(self, engine):
            save(self, engine)
            if engine.state.epoch == 2:
                raise KilledError

        patch.setattr(Checkpoints, "__call__", save_and_die)
        with pytest.raises(KilledError):
            converge(manifest, broken, amp=False)
    converge(manifest, broken, amp=False, resume=True)
    first, second = (torch.load(folder / "last.ckpt", weights_only=True) for folder in (whole, broken))
    for part in ("network", "average"):
        assert all(torch.equal(first[part][name], second[part][name]) for name in first[part])
    assert first["lr_scheduler"] == second["lr_scheduler"]


def test_scores_are_trained_and_kept_beside_the_logits(manifest, tmp_path):
    workflow = converge(manifest, tmp_path, **SCORED)
    output = workflow.parser.get_parsed_content("validate#evaluator").state.output
    assert all(item["scores"].shape == (2,) and item["pred"].shape == (1, 32, 32) for item in output)
    kept = torch.load(tmp_path / "model.pt", weights_only=True)["model"]
    start = torch.nn.Linear(1, 2).weight.shape
    assert kept["scores.weight"].shape == start
    options = {"manifest": str(manifest), "ckpt_dir": str(tmp_path), **SCORED}
    run([TRAIN, CONVERGE, EVALUATE], "train", **options, overlays=[], output_dir=str(tmp_path / "eval"))
    summary = json.loads((tmp_path / "eval" / "summary.json").read_text())
    assert 0 <= summary["dice"]["mean"] <= 1
    run([INFERENCE], "infer", **{**options, "output_dir": str(tmp_path / "masks")})
    assert list((tmp_path / "masks").glob("*.png"))


def test_pictures_grow_and_are_validated_at_full_size(manifest, tmp_path):
    seen = []
    from monai_lesion.training.inferers import MixedPrecisionInferer

    infer = MixedPrecisionInferer.__call__

    def watch(self, inputs, network, *args, **kwargs):
        seen.append((network.training, tuple(inputs.shape[2:])))
        return infer(self, inputs, network, *args, **kwargs)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(MixedPrecisionInferer, "__call__", watch)
        converge(manifest, tmp_path, sizes=[[0, [16, 16]], [1, [24, 32]]], amp=False)
    trained = [size for training, size in seen if training]
    steps = len(trained) // 3
    assert trained == [(16, 16)] * steps + [(24, 32)] * 2 * steps
    assert {size for training, size in seen if not training} == {(32, 32)}


def test_refuses_to_resume_with_another_number_of_epochs(manifest, tmp_path):
    converge(manifest, tmp_path, max_epochs=2)
    with pytest.raises(CheckpointError, match=r"a schedule of \d+ steps, here a schedule of \d+ steps: another --max_"):
        converge(manifest, tmp_path, max_epochs=4, resume=True)


def test_refuses_to_go_on_from_the_papers_recipe(manifest, tmp_path):
    converge(manifest, tmp_path, configs=[TRAIN])
    with pytest.raises(CheckpointError, match=r"last.ckpt: must belong to this training, got"):
        converge(manifest, tmp_path, resume=True)


def test_refuses_a_checkpoint_without_the_average(manifest, tmp_path):
    converge(manifest, tmp_path, ema=None)
    with pytest.raises(CheckpointError, match=r"got ema none, here 0\.99: another --ema"):
        converge(manifest, tmp_path, resume=True)


def test_refuses_too_few_steps_for_the_schedule(manifest, tmp_path):
    with pytest.raises(InputError, match=r"--max_epochs: must be 2 or more, .*got 1 of 2 steps"):
        converge(manifest, tmp_path, max_epochs=1, batch_size=8)


def test_a_smaller_network_learns_from_teachers(manifest, tmp_path):
    converge(manifest, tmp_path / "teacher", max_epochs=2)
    teacher = {"network": SMALL["network_def"], "weights": str(tmp_path / "teacher/model.pt"), "spatial_size": [32, 32]}
    options = {"max_epochs": 2, "teachers": [teacher], "sizes": [[0, [16, 16]]], "amp": False, "seed": 1}
    converge(manifest, tmp_path / "taught", **options)
    converge(manifest, tmp_path / "alone", **{**options, "teachers": None})
    taught, alone = (
        torch.load(tmp_path / name / "last.ckpt", weights_only=True)["network"] for name in ("taught", "alone")
    )
    assert not torch.equal(taught["head.weight"], alone["head.weight"])


def test_refuses_teachers_under_the_papers_loss(manifest, tmp_path):
    converge(manifest, tmp_path, max_epochs=2)
    teacher = {"network": SMALL["network_def"], "weights": str(tmp_path / "model.pt"), "spatial_size": [32, 32]}
    with pytest.raises(InputError, match="--teachers: need a loss that learns from them, got DiceLoss"):
        converge(manifest, tmp_path / "paper", configs=[TRAIN], teachers=[teacher])


def test_the_chosen_precision_is_kept(manifest, tmp_path):
    workflow = converge(manifest, tmp_path, max_epochs=2)
    kept = torch.load(tmp_path / "last.ckpt", weights_only=True)["precision"]
    way = workflow.parser.get_parsed_content("precision").way
    assert kept == {"low": way.low, "contiguous": way.layout == torch.contiguous_format}


def test_overlay_names_keys_that_exist():
    parser = ConfigParser()
    parser.read_config(str(TRAIN))
    for key in json.loads(CONVERGE.read_text()):
        parent = key.lstrip("+").rpartition("#")[0] or key.lstrip("+")
        assert parent in parser or key in ("_desc_", "encoder_lr_factor", "negatives"), key
