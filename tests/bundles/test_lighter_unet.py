"""The bundle, run as MONAI runs it, on tiny simulated cases."""

from __future__ import annotations

import csv
import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from ignite.engine import Engine
from monai.bundle import ConfigParser, ConfigWorkflow
from monai.handlers import CheckpointLoader

from monai_lesion import LesionSegmenter
from monai_lesion.datasets.manifests import load_manifest
from monai_lesion.errors import CheckpointError, InputError, ManifestError, root_cause
from monai_lesion.images.readers import read_image, read_mask
from monai_lesion.measures.metrics import score_image
from monai_lesion.networks import LighterUNet
from monai_lesion.phantoms.files import write_phantoms

BUNDLE = Path(__file__).parents[2] / "bundles" / "lighter_unet"
TRAIN, EVALUATE, INFERENCE = (BUNDLE / "configs" / f"{name}.json" for name in ("train", "evaluate", "inference"))
OPTIONS = {"width": 0.125, "group_size": 1}
OVERRIDES = {**{f"network_def#{name}": value for name, value in OPTIONS.items()}, "spatial_size": [32, 32]}
TINY = {**OVERRIDES, "progress": False}


def run(configs, workflow_type, **options):
    configs = [str(config) for config in configs]
    workflow = ConfigWorkflow(configs, workflow_type=workflow_type, logging_file=False, **{**TINY, **options})
    try:
        workflow.initialize()
        workflow.run()
    except Exception as error:
        raise root_cause(error) from error
    return workflow


def train(manifest, folder, **options):
    defaults = {"max_epochs": 2, "batch_size": 4, "tensorboard": False, "learning_rate": 0.003}
    defaults["amp"] = False  # what is measured at the start may differ between two trainings that are compared
    paths = {"manifest": str(manifest), "ckpt_dir": str(folder), "output_dir": str(folder / "logs")}
    return run([TRAIN], "train", **{**paths, **defaults, **options})


@pytest.fixture(scope="module")
def manifest(tmp_path_factory):
    folder = tmp_path_factory.mktemp("cases") / "data"
    return write_phantoms(folder, cases=4, seed=2, formats=("png", "dicom"), workers=0, progress=False)


@pytest.fixture(scope="module")
def trained(manifest, tmp_path_factory):
    folder = tmp_path_factory.mktemp("trained")
    train(manifest, folder, max_epochs=4)
    return folder


def log(folder):
    with (folder / "metrics.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def weights(folder, name="model.pt"):
    state = torch.load(folder / name, weights_only=True)
    return state.get("model", state.get("network"))


def test_recipe_is_the_papers():
    parser = ConfigParser()
    parser.read_config(str(TRAIN))
    config = parser.config
    assert (config["batch_size"], config["learning_rate"], config["weight_decay"]) == (8, 1e-4, 1e-4)
    assert (config["max_epochs"], config["min_epochs"], config["patience"]) == (200, 50, 15)
    assert (config["lr_scheduler"]["factor"], config["lr_scheduler"]["patience"]) == (0.5, 5)
    assert config["spatial_size"] == [256, 256]
    assert config["optimizer"]["_target_"] == "torch.optim.Adam"
    assert sum(p.numel() for p in parser.get_parsed_content("network_def").parameters()) == 7_944_661


def test_loss_is_one_minus_the_dice_of_the_probabilities_averaged_over_the_images():
    parser = ConfigParser()
    parser.read_config(str(TRAIN))
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(3, 1, 8, 8, generator=generator)
    label = (torch.rand(3, 1, 8, 8, generator=generator) > 0.7).float()
    found = torch.sigmoid(logits)
    dice = [2 * (p * t).sum() / (p.sum() + t.sum()) for p, t in zip(found, label, strict=True)]
    expected = 1 - sum(dice) / 3
    assert parser.get_parsed_content("loss")(logits, label).item() == pytest.approx(float(expected), abs=1e-6)


@pytest.mark.parametrize("part", ["train", "validate"])
def test_pictures_are_read_by_as_many_threads_as_torch_may_use(part, monkeypatch):
    monkeypatch.setattr(torch, "get_num_threads", lambda: 7)
    parser = ConfigParser()
    parser.read_config(str(TRAIN))
    assert parser.get_parsed_content(f"{part}#dataset#num_workers") == 7


@pytest.mark.slow
def test_training_leaves_the_best_and_the_last_network_and_a_log(trained):
    names = ["last.ckpt", "metrics.csv", "model.json", "model.onnx", "model.pt"]
    assert sorted(path.name for path in trained.iterdir() if path.is_file()) == names
    assert [row["epoch"] for row in log(trained)] == ["1", "2", "3", "4"]


@pytest.mark.slow
def test_validation_loss_of_the_log_is_the_loss_of_the_kept_network(manifest, tmp_path):
    train(manifest, tmp_path, amp=False)
    network = LighterUNet(**OPTIONS).eval()
    network.load_state_dict(weights(tmp_path))
    segmenter = LesionSegmenter.from_bundle(BUNDLE, weights=tmp_path / "model.pt", device="cpu", overrides=OVERRIDES)
    losses = []
    for entry in load_manifest(manifest).entries("validation"):
        pixels = torch.from_numpy(segmenter.steps.before(read_image(entry["image"]).pixels))
        with torch.no_grad():
            found = torch.sigmoid(network(pixels))[0, 0]
        label = torch.as_tensor(read_mask(entry["label"]).astype(np.float32))[None, None]
        small = torch.nn.functional.interpolate(label, (32, 32), mode="bilinear", align_corners=False)[0, 0] >= 0.5
        losses.append(1 - 2 * (found * small).sum() / (found.sum() + small.sum()))
    expected = min(float(row["val_loss"]) for row in log(tmp_path))
    assert float(sum(losses) / len(losses)) == pytest.approx(expected, abs=2e-4)


@pytest.mark.slow
def test_learning_rate_halves_after_each_epoch_whose_validation_loss_does_not_fall(manifest, tmp_path):
    # A rate of zero would leave the batch statistics alone to move the loss; with patience 0 each rise must halve.
    train(manifest, tmp_path, max_epochs=6, learning_rate=0.2, **{"lr_scheduler#patience": 0})
    best, rate, halved = float("inf"), 0.2, 0
    for row in log(tmp_path):
        loss = float(row["val_loss"])
        if loss >= best:
            rate, halved = rate / 2, halved + 1
        best = min(best, loss)
        assert float(row["learning_rate"]) == pytest.approx(rate, rel=1e-2)
    assert halved > 0


@pytest.mark.slow
def test_validation_of_every_other_epoch(manifest, tmp_path):
    train(manifest, tmp_path, max_epochs=3, val_interval=2, tensorboard=True)
    assert [row["val_loss"] != "" for row in log(tmp_path)] == [False, True, False]
    assert torch.load(tmp_path / "last.ckpt", weights_only=True)["best"] == pytest.approx(
        float(log(tmp_path)[1]["val_loss"]), abs=1e-6
    )
    assert (tmp_path / "model.pt").is_file()


@pytest.mark.slow
def test_early_stop_follows_the_validation_loss(manifest, tmp_path):
    train(manifest, tmp_path, max_epochs=30, min_epochs=0, learning_rate=0.0, patience=2, seed=3)
    losses = [float(row["val_loss"]) for row in log(tmp_path)]
    assert len(losses) < 30
    assert min(losses) == min(losses[:-2])


@pytest.mark.slow
def test_resumed_training_ends_as_an_unbroken_one(manifest, trained, tmp_path):
    train(manifest, tmp_path, max_epochs=2)
    train(manifest, tmp_path, max_epochs=4, resume=True)
    for name in ("model.pt", "last.ckpt"):
        whole, resumed = weights(trained, name), weights(tmp_path, name)
        assert all(torch.equal(value, resumed[key]) for key, value in whole.items()), name
    timings = ("seconds", "images_per_second")
    rows = [
        [{k: v for k, v in row.items() if k not in timings} for row in log(folder)] for folder in (trained, tmp_path)
    ]
    assert rows[0] == rows[1]
    states = [torch.load(folder / "last.ckpt", weights_only=True) for folder in (trained, tmp_path)]
    for key in ("lr_scheduler", "early_stop", "epoch", "iteration", "best"):
        assert states[0][key] == states[1][key], key


@pytest.mark.slow
def test_a_killed_training_resumes_to_the_same_network(manifest, tmp_path):
    train(manifest, tmp_path / "whole", max_epochs=10, amp=False)  # what is measured at the start may differ
    folder = tmp_path / "killed"
    options = {"manifest": manifest, "ckpt_dir": folder, "output_dir": folder / "logs", "max_epochs": 10}
    options |= {
        "batch_size": 4,
        "tensorboard": "False",
        "learning_rate": 0.003,
        "resume": "True",
        "progress": "False",
        "amp": "False",
    }
    options |= {**OVERRIDES, "spatial_size": "[32,32]"}
    command = [sys.executable, "-m", "monai.bundle", "run", "training", "--config_file", str(TRAIN)]
    command += [str(part) for name, value in options.items() for part in (f"--{name}", value)]
    killed = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    for _ in range(3000):
        time.sleep(0.1)
        if killed.poll() is not None or ((folder / "metrics.csv").exists() and len(log(folder)) >= 3):
            break
    killed.kill()
    killed.wait()
    assert 3 <= len(log(folder)) < 10, "killed too early or too late to show anything"
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, timeout=300)
    whole, resumed = weights(tmp_path / "whole", "last.ckpt"), weights(folder, "last.ckpt")
    assert all(torch.equal(value, resumed[key]) for key, value in whole.items())
    assert [row["val_loss"] for row in log(folder)] == [row["val_loss"] for row in log(tmp_path / "whole")]


@pytest.mark.slow
def test_flags_of_the_command_line_are_text(manifest, trained, tmp_path):
    train(manifest, tmp_path, max_epochs=1, resume="false", amp="false", progress="false")
    train(manifest, tmp_path, max_epochs=1, resume="false", amp="false")
    assert [row["epoch"] for row in log(tmp_path)] == ["1"]
    with pytest.raises(InputError, match="--resume: must be true or false, got 'ture'"):
        train(manifest, tmp_path, resume="ture")


@pytest.mark.slow
def test_the_cards_command_trains_on_simulated_cases_where_no_data_are_named(tmp_path):
    command = ["-m", "monai.bundle", "run", "training", "--config_file", str(TRAIN), "--max_epochs", "1"]
    command += ["--network_def#group_size", "1", "--spatial_size", "[32,32]", "--ckpt_dir", str(tmp_path / "models")]
    command += ["--output_dir", str(tmp_path / "logs"), "--num_workers", "1"]
    environment = {**os.environ, "MONAI_LESION_CACHE": str(tmp_path / "cache")}
    done = subprocess.run([sys.executable, *command], env=environment, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr[-2000:]
    assert (tmp_path / "models" / "model.pt").is_file()
    assert len(list((tmp_path / "cache").glob("phantoms-*/phantoms.json"))) == 1
    assert "training: 100%" in done.stderr


@pytest.mark.slow
def test_tensorboard_gets_losses_and_metrics(manifest, tmp_path):
    accumulators = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    train(manifest, tmp_path, max_epochs=1, tensorboard=True)
    tags = set()
    for file in (tmp_path / "logs").glob("events*"):
        events = accumulators.EventAccumulator(str(file))
        events.Reload()
        tags |= set(events.Tags()["scalars"])
    assert {"train_loss", "val_loss", "val_mean_dice"} <= tags


@pytest.mark.slow
def test_a_training_can_start_from_weights(manifest, trained, tmp_path):
    start, still = trained / "model.pt", {"learning_rate": 0.0, "weight_decay": 0.0, "max_epochs": 1}
    train(manifest, tmp_path, pretrained=str(start), **still)
    whole, resumed = weights(trained), weights(tmp_path)
    learned = [name for name in whole if "running" not in name and "num_batches" not in name]
    assert all(torch.equal(whole[name], resumed[name]) for name in learned)
    with pytest.raises(InputError, match="must hold weights of LighterUNet"):
        train(manifest, tmp_path, pretrained=str(start), **still, **{"network_def#group_size": 2})


@pytest.mark.slow
def test_merged_sets_train_the_same_network(manifest, tmp_path):
    options = {"network_def#group_size": 128, "network_def#width": 0.5, "network_def#dropout": 0.0, "amp": False}
    for merge in ("true", "false"):
        train(manifest, tmp_path / merge, max_epochs=1, merge_sets=merge, **options)
    merged, plain = weights(tmp_path / "true"), weights(tmp_path / "false")
    assert merged.keys() == plain.keys()
    start, end = (float(log(tmp_path / folder)[0]["train_loss"]) for folder in ("true", "false"))
    assert start == pytest.approx(end, abs=1e-3)


@pytest.mark.slow
def test_columns_that_only_some_images_have_do_not_stop_a_training(manifest, tmp_path):
    content = json.loads(Path(manifest).read_text(encoding="utf-8"))
    content["training"][0]["scanner"] = "A"
    content["validation"][-1]["scanner"] = "B"
    file = tmp_path / "uneven.json"
    file.write_text(json.dumps(content), encoding="utf-8")
    train(file, tmp_path / "models", max_epochs=1, dataset_dir=str(Path(manifest).parent))
    assert (tmp_path / "models" / "model.pt").is_file()


@pytest.mark.slow
def test_another_seed_trains_another_network(manifest, trained, tmp_path):
    train(manifest, tmp_path, max_epochs=1, seed=1)
    assert not torch.equal(weights(tmp_path)["head.weight"], weights(trained)["head.weight"])


@pytest.fixture(scope="module")
def evaluated(manifest, trained, tmp_path_factory):
    folder = tmp_path_factory.mktemp("evaluated")
    options = {"manifest": str(manifest), "ckpt_dir": str(trained), "output_dir": str(folder), "overlays": [0, 100]}
    run([TRAIN, EVALUATE], "train", **options, by="centre")
    return folder


@pytest.fixture(scope="module")
def segmenter(trained):
    return LesionSegmenter.from_bundle(BUNDLE, weights=trained / "model.pt", device="cpu", overrides=OVERRIDES)


@pytest.mark.slow
def test_evaluation_scores_the_librarys_masks_at_the_original_size(manifest, evaluated, segmenter):
    with (evaluated / "per_image.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    entries = load_manifest(manifest, splits=["test"]).entries("test")
    assert len(rows) == len(entries) == 2
    for row, entry in zip(rows, entries, strict=True):
        mask, label = segmenter(entry["image"]).mask > 0, read_mask(entry["label"])
        np.testing.assert_array_equal(read_mask(evaluated / row["mask"]), mask)
        assert mask.shape == read_image(entry["image"]).pixels.shape[:2]
        assert float(row["dice"]) == pytest.approx(score_image(mask, label)["dice"])
    summary = json.loads((evaluated / "summary.json").read_text())
    assert summary["n"] == 2
    assert set(summary["by"]) == {"centre"}


@pytest.mark.slow
def test_evaluation_leaves_the_weights_alone(manifest, trained, tmp_path):
    before = (trained / "model.pt").read_bytes()
    run(
        [TRAIN, EVALUATE],
        "train",
        manifest=str(manifest),
        ckpt_dir=str(trained),
        output_dir=str(tmp_path),
        overlays=[],
        order="threshold_first",
    )
    assert (trained / "model.pt").read_bytes() == before
    assert json.loads((tmp_path / "summary.json").read_text())["order"] == "threshold_first"


@pytest.mark.slow
@pytest.mark.parametrize("form", ["png", "dicom"])
def test_inference_writes_the_librarys_masks(manifest, trained, segmenter, tmp_path, form):
    listed = manifest if form == "png" else manifest.with_name("phantoms_dicom.json")
    options = {"manifest": str(listed), "ckpt_dir": str(trained), "output_dir": str(tmp_path)}
    run([INFERENCE], "inference", **options)
    entries = load_manifest(listed, splits=["test"]).entries("test")
    assert len(list(tmp_path.iterdir())) == len(entries)
    for entry in entries:
        written = read_mask(tmp_path / f"{Path(entry['image']).stem}.png")
        np.testing.assert_array_equal(written, segmenter(entry["image"]).mask > 0)


@pytest.mark.slow
def test_inference_takes_a_folder_finishes_the_good_images_and_lists_the_bad(manifest, trained, tmp_path):
    folder = tmp_path / "images"
    folder.mkdir()
    image = load_manifest(manifest, splits=["test"]).entries("test")[0]["image"]
    shutil.copy(image, folder / "good.png")
    (folder / "bad.png").write_bytes(Path(image).read_bytes()[:200])
    options = {"images": str(folder), "ckpt_dir": str(trained), "output_dir": str(tmp_path / "out")}
    with pytest.raises(InputError, match=r"(?s)1 of 2 could not be segmented.*bad\.png"):
        run([INFERENCE], "inference", **options, output_format="nifti")
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["good.nii.gz"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("configs", "kind"), [([TRAIN], "train"), ([TRAIN, EVALUATE], "train"), ([INFERENCE], "inference")], ids=str
)
def test_workflow_has_every_property_that_monai_asks_for(manifest, trained, tmp_path, configs, kind):
    options = {"manifest": str(manifest), "ckpt_dir": str(trained), "output_dir": str(tmp_path)}
    if kind == "train":
        options["tensorboard"] = False
    names = [str(config) for config in configs]
    workflow = ConfigWorkflow(names, workflow_type=kind, logging_file=False, **{**TINY, **options})
    workflow.initialize()
    assert not workflow.check_properties()


def test_a_manifest_with_a_missing_file_stops_before_training(manifest, tmp_path):
    content = json.loads(manifest.read_text())
    content["training"][0]["image"] = "images/gone.png"
    bad = manifest.with_name("bad.json")
    bad.write_text(json.dumps(content))
    with pytest.raises(ManifestError, match=r"(?s)each file must be present.*gone\.png"):
        train(bad, tmp_path / "models")
    assert not (tmp_path / "models").exists()


@pytest.mark.slow
def test_weights_of_another_variant_are_refused(manifest, trained, tmp_path):
    options = {"manifest": str(manifest), "ckpt_dir": str(trained), "output_dir": str(tmp_path)}
    with pytest.raises(CheckpointError, match=r"got weights of LighterUNet\(width=0.125, group_size=1\)"):
        run([TRAIN, EVALUATE], "train", **{**options, "network_def#group_size": 2})


@pytest.mark.slow
@pytest.mark.parametrize(("configs", "kind"), [([TRAIN, EVALUATE], "train"), ([INFERENCE], "inference")], ids=str)
@pytest.mark.parametrize(
    ("value", "message"),
    [
        (float("nan"), r"model\.pt: must hold finite numbers, got NaN or infinity in \d+ of \d+ tensors"),
        (1e30, r"network LighterUNet\(width=0\.125, group_size=1\): must compute finite numbers, got NaN or infinity"),
    ],
    ids=["weights", "outputs"],
)
def test_a_broken_network_is_refused_by_name_and_gives_no_masks(
    manifest, trained, tmp_path, configs, kind, value, message
):
    content = torch.load(trained / "model.pt", weights_only=True)
    for tensor in content["model"].values():
        if tensor.is_floating_point():
            tensor.fill_(value)
    torch.save(content, tmp_path / "model.pt")
    options = {"manifest": str(manifest), "ckpt_dir": str(tmp_path), "output_dir": str(tmp_path / "out")}
    with pytest.raises(CheckpointError, match=message):
        run(configs, kind, **options)
    assert [file for file in tmp_path.rglob("*") if file.is_file()] == [tmp_path / "model.pt"]


@pytest.fixture
def nothing_named(monkeypatch):
    """No network and no input size on the command line."""
    for name in OVERRIDES:
        monkeypatch.delitem(TINY, name)


DOORS = [
    pytest.param([TRAIN, EVALUATE], "train", {"overlays": []}, id="evaluation"),
    pytest.param([INFERENCE], "inference", {}, id="inference"),
]


@pytest.mark.slow
@pytest.mark.usefixtures("nothing_named")
@pytest.mark.parametrize(("configs", "kind", "options"), DOORS)
def test_network_and_input_size_are_those_of_the_training(
    manifest, trained, segmenter, tmp_path, configs, kind, options
):
    paths = {"manifest": str(manifest), "ckpt_dir": str(trained), "output_dir": str(tmp_path)}
    run(configs, kind, **paths, **options)
    for entry in load_manifest(manifest, splits=["test"]).entries("test"):
        folder = tmp_path / "masks" if kind == "train" else tmp_path
        written = read_mask(folder / f"{Path(entry['image']).stem}.png")
        np.testing.assert_array_equal(written, segmenter(entry["image"]).mask > 0)


@pytest.mark.slow
@pytest.mark.usefixtures("nothing_named")
@pytest.mark.parametrize(("configs", "kind", "options"), DOORS)
@pytest.mark.parametrize(
    ("named", "reason"),
    [
        pytest.param(
            {"spatial_size": [64, 64]},
            r"trained on pictures of 32 x 32 pixels, got spatial_size 64 x 64\. Leave spatial_size out",
            id="size",
        ),
        pytest.param(
            {"network_def#group_size": 2},
            r"weights of LighterUNet\(.*group_size=2\), got weights of LighterUNet\(.*group_size=1\)",
            id="network",
        ),
    ],
)
def test_what_contradicts_the_training_is_refused(manifest, trained, tmp_path, configs, kind, options, named, reason):
    paths = {"manifest": str(manifest), "ckpt_dir": str(trained), "output_dir": str(tmp_path)}
    with pytest.raises(CheckpointError, match=reason):
        run(configs, kind, **paths, **options, **named)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("named", "reason"),
    [
        ({"spatial_size": [64, 64]}, "pictures of 32 x 32 pixels, here 64 x 64: another --spatial_size"),
        (
            {"network_def#group_size": 2},
            r"group_size=1\), here LighterUNet\(width=0.125, group_size=2\): another --network_def",
        ),
    ],
    ids=["size", "network"],
)
def test_a_training_does_not_go_on_with_another_recipe(manifest, trained, tmp_path, named, reason):
    shutil.copy(trained / "last.ckpt", tmp_path)
    with pytest.raises(CheckpointError, match=reason):
        train(manifest, tmp_path, max_epochs=5, resume=True, **named)


@pytest.mark.slow
def test_files_of_earlier_versions_resume_and_open(manifest, trained, tmp_path):
    for name in ("model.pt", "last.ckpt"):
        content = torch.load(trained / name, weights_only=True)
        assert content.pop("network_def")["group_size"] == 1
        assert content.pop("input_size") == [32, 32]
        torch.save(content, tmp_path / name)
    paths = {"manifest": str(manifest), "ckpt_dir": str(tmp_path)}
    run([TRAIN, EVALUATE], "train", **paths, output_dir=str(tmp_path / "out"), overlays=[])
    assert (
        json.loads((tmp_path / "out" / "summary.json").read_text())["network"]
        == "LighterUNet(width=0.125, group_size=1)"
    )
    train(manifest, tmp_path, max_epochs=5, resume=True)
    assert torch.load(tmp_path / "last.ckpt", weights_only=True)["input_size"] == [32, 32]


@pytest.mark.slow
def test_the_folder_of_a_training_segments_as_it_is_evaluated(trained, manifest, segmenter):
    found = LesionSegmenter.from_bundle(trained)
    assert found.folder.path == trained
    assert found.algorithm.weights == segmenter.algorithm.weights
    assert found.steps.input_size == (32, 32)
    entry = load_manifest(manifest, splits=["test"]).entries("test")[0]
    np.testing.assert_array_equal(found(entry["image"]).mask, segmenter(entry["image"]).mask)


@pytest.mark.slow
def test_the_loaders_of_monai_read_what_a_training_leaves(trained):
    network, other = LighterUNet(**OPTIONS), LighterUNet(**OPTIONS)
    load = CheckpointLoader(str(trained / "model.pt"), {"model": network}, map_location="cpu")
    load(Engine(lambda engine, batch: None))
    other.load_state_dict(weights(trained))
    assert torch.equal(network.head.weight, other.head.weight)


@pytest.mark.slow
def test_an_unknown_network_argument_is_the_reason_given(manifest, tmp_path):
    with pytest.raises(InputError, match=r"#group_sise: must be a key .*Did you mean .*#group_size"):
        train(manifest, tmp_path / "models", **{"network_def#group_sise": 2})


def second_hospital(folder):
    """A manifest of pictures with two lesions in two files and of pictures without a lesion and mask file."""
    from PIL import Image

    from monai_lesion.datasets.manifests import write_manifest

    generator = np.random.default_rng(0)
    lists = {}
    for split in ("training", "validation", "test"):
        entries = []
        for view in ("two", "none"):
            name = f"{split}_{view}"
            folder.mkdir(exist_ok=True)
            Image.fromarray(generator.integers(0, 255, (40, 48, 3), np.uint8)).save(folder / f"{name}.png")
            entry = {"case_id": split, "view": view, "image": f"{name}.png"}
            if view == "two":
                for number, left in enumerate((4, 30)):
                    mask = np.zeros((40, 48), np.uint8)
                    mask[10:20, left : left + 10] = 255
                    Image.fromarray(mask).save(folder / f"{name}_{number}.png")
                entry["label"] = [f"{name}_0.png", f"{name}_1.png"]
            entries.append(entry if view == "two" else {**entry, "empty": True})
        lists[split] = entries
    return write_manifest({"name": "second", "labels": {"1": "lesion"}, **lists}, folder / "manifest.json")


@pytest.mark.slow
def test_several_manifests_are_trained_on_together_and_reported_for_each(manifest, trained, tmp_path):
    manifests = [str(manifest), str(second_hospital(tmp_path / "second"))]
    folders = [str(Path(file).parent) for file in manifests]
    run([TRAIN], "train", manifest=manifests, dataset_dir=folders, ckpt_dir=str(tmp_path / "m"), max_epochs=1,
        tensorboard=False, output_dir=str(tmp_path / "logs"))  # fmt: skip
    assert len(log(tmp_path / "m")) == 1
    options = {"manifest": manifests, "dataset_dir": folders, "output_dir": str(tmp_path / "out")}
    run([TRAIN, EVALUATE], "train", **options, ckpt_dir=str(trained), by="dataset", overlays=[0, 50, 100])
    summary = json.loads((tmp_path / "out" / "summary.json").read_text())
    assert summary["manifest"] == "phantoms + second"
    assert {name: group["n"] for name, group in summary["by"]["dataset"].items()} == {"phantoms": 2, "second": 2}
    second = summary["by"]["dataset"]["second"]
    assert (second["lesions"], second["dice"]["n"], second["without_lesion"]["n"]) == (2, 1, 1)
    with (tmp_path / "out" / "per_image.csv").open(newline="") as file:
        rows = {row["view"]: row for row in csv.DictReader(file) if row["dataset"] == "second"}
    assert [Path(name).name for name in json.loads(rows["two"]["label"])] == ["test_two_0.png", "test_two_1.png"]
    assert (rows["two"]["case_id"], rows["none"]["label"], rows["none"]["lesions"]) == ("second/test", "", "0")
