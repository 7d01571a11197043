"""A bundle from elsewhere, of which nothing is run."""

from __future__ import annotations

import json
import logging
import shutil

import numpy as np
import pytest
import torch

from monai_lesion import LesionSegmenter
from monai_lesion.commands.options import TrainedOptions, open_segmenter
from monai_lesion.errors import CheckpointError, InputError
from monai_lesion.models.bundles import bundle_folder
from monai_lesion.models.inert_bundles import CLASSES, read_inert
from monai_lesion.models.writers import write_model_folder
from monai_lesion.networks import LighterUNet
from monai_lesion.networks.weight_files import Weights
from monai_lesion.pipeline.steps import Steps
from monai_lesion.segmentation.lesion_segmenters import Execution
from tests.small_networks import SIZE, small_network

DEFINITION = {"_target_": "monai_lesion.networks.LighterUNet", "group_size": 8, "width": 0.125}
PICTURE = np.random.default_rng(0).integers(0, 256, (50, 60, 3), dtype=np.uint8)


@pytest.fixture(scope="module")
def network():
    return small_network()


@pytest.fixture
def bundle(network, tmp_path):
    """A bundle whose config says all, and whose weights say nothing."""
    root = tmp_path / "bundle"
    shutil.copytree(bundle_folder() / "configs", root / "configs")
    (root / "models").mkdir()
    torch.save({"model": network.state_dict()}, root / "models" / "model.pt")
    change(root, network_def=DEFINITION, spatial_size=list(SIZE), threshold=0.4)
    return root


def change(root, **values):
    file = root / "configs" / "inference.json"
    content = json.loads(file.read_text())
    for key, value in values.items():
        place = content
        *parents, last = key.split("__")
        for name in parents:
            place = place[name]
        place[last] = value
    file.write_text(json.dumps(content))


def test_the_same_mask_as_with_code(bundle):
    with_code, without = (LesionSegmenter.from_bundle(bundle, code=code, runtime="torch") for code in (True, False))
    assert without.steps == with_code.steps == Steps(input_size=SIZE, threshold=0.4)
    assert without.network_def == DEFINITION
    np.testing.assert_array_equal(without(PICTURE).mask, with_code(PICTURE).mask)


def test_the_options_reach_the_segmenter(bundle):
    found = open_segmenter(TrainedOptions(bundle=bundle, code=False), runtime="torch")
    assert found.steps.threshold == 0.4
    with pytest.raises(InputError, match="--no-code: takes no --set, got threshold"):
        open_segmenter(TrainedOptions(bundle=bundle, code=False, settings=["threshold=0.3"]), runtime="torch")


MARK = "$__import__('pathlib').Path({!r}).touch()"


@pytest.mark.parametrize("key", ["imports", "initialize", "weights", "ckpt_dir", "bundle_root", "device"])
def test_expressions_beside_the_network_are_not_run(key, bundle, tmp_path):
    mark = MARK.format(str(tmp_path / "mark"))
    change(bundle, **{key: [mark] if key in ("imports", "initialize") else mark})
    LesionSegmenter.from_bundle(bundle, code=False, runtime="torch")
    assert not (tmp_path / "mark").exists()


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("network_def", "MARK", "network_def must be one of monai_lesion.networks.FCN.*, got none"),
        ("network_def", {"_target_": "os.system", "command": "x"}, r"must be one of .*, got os\.system"),
        ("network_def", {**DEFINITION, "_target_": "monai_lesion.networks.published.load_published"}, "must be one of"),
        ("network_def", {**DEFINITION, "_target_": "monai_lesion.networks.blocks.ConvSet"}, "must be one of"),
        ("network_def__group_size", "MARK", "must be a plain value"),
        ("network_def__group_size", "@spatial_size", "must be a plain value"),
        ("network_def", {**DEFINITION, "_mode_": "callable"}, "may have _target_ and the arguments"),
        (
            "network_def",
            {"_target_": "monai_lesion.networks.TrustHeads", "network": {"_target_": "os.system", "command": "x"}},
            r"must be one of .*, got os\.system",
        ),
        ("threshold", "MARK", "threshold: must be a number"),
        ("spatial_size", "MARK", "input_size: must be two whole numbers"),
        ("preprocessing", {"_target_": "Compose", "transforms": []}, "got other transforms, which are code"),
        ("postprocessing___target_", "os.system", "got other transforms, which are code"),
        ("preprocessing__more", "MARK", "must have known arguments, got more"),
    ],
)  # fmt: skip
def test_what_would_decide_a_mask_and_is_code_is_refused(key, value, message, bundle, tmp_path):
    change(bundle, **{key: MARK.format(str(tmp_path / "mark")) if value == "MARK" else value})
    with pytest.raises(InputError, match=message):
        LesionSegmenter.from_bundle(bundle, code=False)
    assert not (tmp_path / "mark").exists()


def test_with_code_an_expression_is_run(bundle, tmp_path):
    change(bundle, network_def__group_size=f"{MARK.format(str(tmp_path / 'mark'))} or 8")
    LesionSegmenter.from_bundle(bundle, runtime="torch")
    assert (tmp_path / "mark").exists()


def test_a_network_of_gigabytes_is_refused_before_it_is_built(bundle):
    change(bundle, network_def={**DEFINITION, "width": 16})
    with pytest.raises(CheckpointError, match="network_def must be that of the weights"):
        read_inert(bundle)


def test_a_training_that_was_killed_is_opened_too(network, tmp_path):
    torch.save(Weights(network.state_dict(), DEFINITION, SIZE).to_dict(), tmp_path / "model.pt")
    found = LesionSegmenter.from_bundle(tmp_path, code=False, runtime="torch")
    assert found.steps == Steps(input_size=SIZE)


@pytest.mark.slow
@pytest.mark.parametrize("whole", [False, True])
def test_torchscript_is_a_program(whole, network, tmp_path):
    write_model_folder(network, tmp_path, steps=Steps(SIZE), format="torchscript", end_to_end=whole)
    LesionSegmenter.from_model(tmp_path)
    for open_one in (LesionSegmenter.from_model, LesionSegmenter.from_bundle):
        with pytest.raises(InputError, match="must not be TorchScript, which is a program"):
            open_one(tmp_path, execution=Execution(code=False))


def test_a_model_folder_of_onnx_is_no_program(network, tmp_path):
    write_model_folder(network, tmp_path, steps=Steps(SIZE))
    assert LesionSegmenter.from_bundle(tmp_path, code=False)(PICTURE).mask.shape == (50, 60)


def test_the_list_of_classes_is_closed():
    assert f"monai_lesion.networks.{LighterUNet.__name__}" in CLASSES
    assert all(name.startswith("monai_lesion.networks.") and name.count(".") == 2 for name in CLASSES)


@pytest.mark.slow
def test_a_damaged_model_folder_is_healed_from_the_weights_beside_it(network, tmp_path, caplog):
    caplog.set_level(logging.WARNING, "monai_lesion")
    torch.save(Weights(network.state_dict(), DEFINITION, SIZE).to_dict(), tmp_path / "model.pt")
    write_model_folder(network, tmp_path, steps=Steps(SIZE), network_def=DEFINITION)
    expected = LesionSegmenter.from_bundle(tmp_path)(PICTURE).mask
    model = tmp_path / "model.onnx"
    model.write_bytes(model.read_bytes()[:-500])
    for files in ("0" * 64, "no hash", 5):
        content = json.loads((tmp_path / "model.json").read_text())
        content["files"]["model.onnx"] = files
        (tmp_path / "model.json").write_text(json.dumps(content))
        np.testing.assert_array_equal(LesionSegmenter.from_bundle(tmp_path)(PICTURE).mask, expected)
        assert "its weights" in caplog.text
        caplog.clear()
    (tmp_path / "model.pt").unlink()
    with pytest.raises(InputError, match="files must be the SHA-256"):
        LesionSegmenter.from_bundle(tmp_path)
