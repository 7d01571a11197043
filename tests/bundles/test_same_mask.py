"""One mask for one image and one set of weights, whichever door it comes out of (MONAI Label's: tests/label)."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from ignite.engine import Events
from monai.bundle import ConfigWorkflow
from PIL import Image

from monai_lesion import LesionSegmenter
from monai_lesion.datasets.manifests import load_manifest, write_manifest
from monai_lesion.images.readers import read_mask
from monai_lesion.networks import LighterUNet
from monai_lesion.networks.checkpoints import load_weights

BUNDLE = Path(__file__).parents[2] / "bundles" / "lighter_unet"
TRAIN, EVALUATE, INFERENCE = (BUNDLE / "configs" / f"{name}.json" for name in ("train", "evaluate", "inference"))
SIZE = (48, 64)
TINY = {"network_def#group_size": 1, "spatial_size": list(SIZE)}


def picture(rng, rows, columns):
    """Speckle with a dark ellipse off the middle, so that no turn or flip goes unseen."""
    y, x = np.mgrid[:rows, :columns]
    inside = ((y / rows - 0.35) / 0.2) ** 2 + ((x / columns - 0.6) / 0.25) ** 2 < 1
    return (rng.random((rows, columns, 3)) * np.where(inside, 60, 200)[..., None]).astype(np.uint8), inside


@pytest.fixture(
    scope="module",
    params=[pytest.param(SIZE, id="network's own size"), pytest.param((75, 110), id="another size")],
)
def data(request, tmp_path_factory):
    """Two images to validate, both of one size, and one to train on."""
    folder, rng = tmp_path_factory.mktemp("data"), np.random.default_rng(5)
    entries = []
    for number in range(3):
        pixels, inside = picture(rng, *request.param)
        Image.fromarray(pixels).save(folder / f"{number}.png")
        Image.fromarray(inside.astype(np.uint8) * 255).save(folder / f"{number}_mask.png")
        entries.append(
            {"case_id": str(number), "view": "front", "image": f"{number}.png", "label": f"{number}_mask.png"}
        )
    content = {"name": "ellipses", "labels": {}, "training": entries[:1], "validation": entries[1:]}
    return write_manifest(content, folder / "manifest.json"), request.param


@pytest.fixture(scope="module")
def models(data, tmp_path_factory):
    """Random weights whose mask covers a third of the pictures."""
    folder = tmp_path_factory.mktemp("models")
    torch.manual_seed(1)
    network = LighterUNet(group_size=1).eval()
    image = load_manifest(data[0]).entries("validation")[0]["image"]
    pixels = torch.as_tensor(np.array(Image.open(image).resize(SIZE[::-1]))).permute(2, 0, 1)[None] / 255
    with torch.no_grad():
        network.head.bias -= network(pixels).quantile(0.67)
    torch.save({"model": network.state_dict()}, folder / "model.pt")
    return folder


def workflow(configs, kind, data, models, output, **options):
    paths = {"manifest": str(data[0]), "ckpt_dir": str(models), "output_dir": str(output), "device": "cpu"}
    names = [str(config) for config in configs]
    options = {**TINY, **paths, "progress": False, **options}
    made = ConfigWorkflow(names, workflow_type=kind, logging_file=False, **options)
    made.initialize()
    return made


def validated(data, models, output):
    """What the validation of a training makes of the weights, before any step."""
    made = workflow([TRAIN], "train", data, models, output, tensorboard=False, amp=False)
    load_weights(made.parser.get_parsed_content("network"), models / "model.pt")
    masks = {}

    def keep(engine):
        for item in engine.state.output:
            masks[Path(item["image"].meta["filename_or_obj"]).stem] = item["mask"][0].numpy() > 0

    made.evaluator.add_event_handler(Events.ITERATION_COMPLETED, keep)
    made.evaluator.run()
    return masks


@pytest.mark.slow
def test_validation_evaluation_inference_and_library_give_the_same_mask(data, models, tmp_path):
    segmenter = LesionSegmenter.from_bundle(BUNDLE, weights=models / "model.pt", device="cpu", overrides=TINY)
    entries = load_manifest(data[0]).entries("validation")
    expected = {Path(entry["image"]).stem: segmenter(entry["image"]).mask > 0 for entry in entries}
    assert all(0.05 < mask.mean() < 0.95 and not np.array_equal(mask, mask[::-1]) for mask in expected.values())

    options = {"split": "validation", "overlays": []}
    workflow([TRAIN, EVALUATE], "train", data, models, tmp_path / "evaluated", tensorboard=False, **options).run()
    with (tmp_path / "evaluated" / "per_image.csv").open(newline="") as file:
        evaluated = {
            Path(row["image"]).stem: read_mask(tmp_path / "evaluated" / row["mask"]) for row in csv.DictReader(file)
        }
    workflow([INFERENCE], "inference", data, models, tmp_path / "inferred", split="validation").run()
    found = {
        "evaluate": evaluated,
        "inference": {name: read_mask(tmp_path / "inferred" / f"{name}.png") for name in expected},
    }
    if data[1] == SIZE:  # a validation has its masks at the network's size
        found["validation"] = validated(data, models, tmp_path / "validated")
    for door, masks in found.items():
        assert masks.keys() == expected.keys(), door
        for name, mask in masks.items():
            np.testing.assert_array_equal(mask, expected[name], err_msg=door)


def test_configs_agree_on_the_network_and_are_short(tmp_path):
    limits = {"train": 140, "inference": 120, "evaluate": 20, "multi_gpu_train": 15}
    for name, limit in limits.items():
        lines = (BUNDLE / "configs" / f"{name}.json").read_text().splitlines()
        assert len(lines) < limit, name
        assert all(line.count("_target_") <= 2 for line in lines), name
    first, second = (json.loads(config.read_text())["network_def"] for config in (TRAIN, INFERENCE))
    assert first == second
