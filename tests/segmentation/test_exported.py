from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pytest
import torch
from PIL import Image
from typer.testing import CliRunner

from monai_lesion import LesionSegmenter
from monai_lesion.commands.app import app
from monai_lesion.errors import InputError
from monai_lesion.models.presets import load_preset
from monai_lesion.networks import LighterUNet
from monai_lesion.phantoms.cases import simulate_case
from monai_lesion.phantoms.dicom import write_dicom
from monai_lesion.segmentation.exported import ExportedSegmenter
from monai_lesion.segmentation.exports import export_model
from monai_lesion.segmentation.kept_models import bundle_facts
from monai_lesion.segmentation.parity import simulated
from tests.runtimes.conftest import make_segmenter, segmenting

pytest.importorskip("onnx", reason="ONNX Runtime and OpenVINO are in the extra cpu")
pytest.importorskip("onnxruntime", reason="ONNX Runtime and OpenVINO are in the extra cpu")
pytest.importorskip("openvino", reason="ONNX Runtime and OpenVINO are in the extra cpu")

HEAVY = "print([name for name in ('torch', 'monai', 'skimage', 'pandas') if name in sys.modules])"


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("MONAI_LESION_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "runtimes"


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    return segmenting(LighterUNet(group_size=8, width=0.125).eval())


@pytest.fixture(scope="module")
def folders(network, tmp_path_factory):
    root = tmp_path_factory.mktemp("exported")
    options = {"pictures": simulated(1)}
    for format in ("onnx", "openvino"):
        for whole in (False, True):
            export_model(make_segmenter(network), root / f"{format}{whole}", format=format, end_to_end=whole, **options)
    return root


@pytest.fixture(scope="module")
def view():
    return simulate_case(0, 0).views[0]


@pytest.mark.parametrize("whole", [False, True], ids=["network alone", "end to end"])
@pytest.mark.parametrize("format", ["onnx", "openvino"])
def test_an_exported_folder_alone_segments_as_the_library(network, folders, view, format, whole):
    expected, found = (
        each(view.pixels) for each in (make_segmenter(network), ExportedSegmenter(folders / f"{format}{whole}"))
    )
    np.testing.assert_array_equal(found.mask, expected.mask)
    np.testing.assert_allclose(found.probability, expected.probability, rtol=0, atol=1e-4)
    assert (found.algorithm.name, found.algorithm.weights) == (expected.algorithm.name, expected.algorithm.weights)
    assert found.algorithm.settings["runtime"] == f"{format} fp32"


def run(*arguments):
    code = (
        f"import sys; sys.argv = {['monai-lesion', *map(str, arguments)]!r}\n"
        "from monai_lesion.commands.app import main\n"
        f"try:\n    main()\nexcept SystemExit as end:\n    assert not end.code\n{HEAVY}"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("format", ["onnx", "openvino"])
def test_predict_with_a_folder_imports_neither_pytorch_nor_monai(folders, view, network, tmp_path, format):
    write_dicom(tmp_path / "a.dcm", simulate_case(0, 0), view, seed=0)
    Image.fromarray(view.pixels).save(tmp_path / "b.png")
    files = [tmp_path / "a.dcm", tmp_path / "b.png"]
    shown = run("predict", *files, "-o", tmp_path / "out", "--runtime", folders / f"{format}False")
    assert shown.splitlines()[-1] == "[]"
    assert "images a second" in shown
    expected = make_segmenter(network)(view.pixels).mask * 255
    for name in ("a.png", "b.png"):
        np.testing.assert_array_equal(np.asarray(Image.open(tmp_path / "out" / name)), expected)


def test_a_converted_preset_is_kept_and_opened_without_pytorch(cache, view, tmp_path):
    Image.fromarray(view.pixels).save(tmp_path / "b.png")
    arguments = ["predict", str(tmp_path / "b.png"), "--bundle", "pocket", "--runtime", "onnx"]
    done = CliRunner().invoke(app, [*arguments, "-o", str(tmp_path / "first")], catch_exceptions=False)
    assert done.exit_code == 0
    assert len(list(cache.glob("*/model.json"))) == 1
    assert run(*arguments, "-o", tmp_path / "second").splitlines()[-1] == "[]"
    first, second = (np.asarray(Image.open(tmp_path / name / "b.png")) for name in ("first", "second"))
    np.testing.assert_array_equal(first, second)
    ordinary = LesionSegmenter.from_preset("pocket", device="cpu", runtime="onnx")(view.pixels).mask
    np.testing.assert_array_equal(second, ordinary * 255)
    next(cache.glob("*/model.onnx")).write_bytes(b"damaged")
    done = CliRunner().invoke(app, [*arguments, "-o", str(tmp_path / "third")], catch_exceptions=False)
    np.testing.assert_array_equal(np.asarray(Image.open(tmp_path / "third" / "b.png")), first)


@pytest.fixture
def bundle(tmp_path):
    content = {
        "network_def": {"_target_": "monai_lesion.networks.LighterUNet", "group_size": 8},
        "spatial_size": [32, 32],
    }
    content |= {
        "preprocessing": {"_target_": "monai_lesion.pipeline.transforms.preprocessing", "spatial_size": "@spatial_size"}
    }
    (tmp_path / "bundle" / "configs").mkdir(parents=True)
    (tmp_path / "bundle" / "configs" / "inference.json").write_text(json.dumps(content))
    (tmp_path / "model.pt").write_bytes(b"weights")
    return tmp_path / "bundle"


def test_the_key_changes_with_everything_that_decides_the_model(bundle, tmp_path, monkeypatch):
    weights = tmp_path / "model.pt"
    known = bundle_facts(bundle, weights, {}, "onnx")
    assert known == bundle_facts(bundle, weights, None, "onnx")
    assert known != bundle_facts(bundle, weights, {}, "openvino")
    assert known != bundle_facts(bundle, weights, {"threshold": 0.4}, "onnx")
    monkeypatch.setattr("monai_lesion.segmentation.kept_models._sources", lambda: "other code")
    assert known != bundle_facts(bundle, weights, {}, "onnx")
    monkeypatch.undo()
    weights.write_bytes(b"trained on")
    assert known != bundle_facts(bundle, weights, {}, "onnx")
    weights.write_bytes(b"weights")
    config = bundle / "configs" / "inference.json"
    config.write_text(config.read_text() + " ")
    assert known != bundle_facts(bundle, weights, {}, "onnx")


@pytest.mark.parametrize(
    "overrides",
    [
        {"threshold": "$float(open('t').read())"},
        {"network_def": "%other.json#network_def"},
        {"network_def#_target_": "mine.Network"},
        {"network_def": {"_target_": "mine.Network"}},
        {"spatial_size": "@elsewhere"},
        {"device": "cuda"},
    ],
    ids=str,
)
def test_nothing_is_kept_of_what_the_files_do_not_decide(bundle, tmp_path, overrides):
    assert bundle_facts(bundle, tmp_path / "model.pt", overrides, "onnx") is None


def test_the_shipped_bundle_can_be_kept(tmp_path):
    overrides = load_preset("pocket").overrides
    (tmp_path / "model.pt").write_bytes(b"weights")
    from pathlib import Path

    folder = Path(__file__).resolve().parents[2] / "bundles" / "lighter_unet"
    assert bundle_facts(folder, tmp_path / "model.pt", overrides, "onnx") is not None
    assert bundle_facts(folder, tmp_path / "gone.pt", overrides, "onnx") is None


def test_rejects_a_damaged_folder_another_version_device_or_precision(folders, tmp_path):
    import shutil

    copy = shutil.copytree(folders / "onnxFalse", tmp_path / "copy")
    with pytest.raises(InputError, match="device: of an exported model must be cpu, got cuda"):
        ExportedSegmenter(copy, device="cuda")
    with pytest.raises(InputError, match=r"precision: of .* is fp32, got int8"):
        ExportedSegmenter(copy, precision="int8")
    content = json.loads((copy / "model.json").read_text())
    (copy / "model.json").write_text(json.dumps({**content, "schema": 99}))
    with pytest.raises(InputError, match=r"must have schema 2, got 99. Export the network again"):
        ExportedSegmenter(copy)
    del content["threshold"]
    (copy / "model.json").write_text(json.dumps(content))
    with pytest.raises(InputError, match=r"model.json: must describe the model, got no 'threshold'"):
        ExportedSegmenter(copy)
    (copy / "model.onnx").write_bytes(b"another")
    with pytest.raises(InputError, match=r"model.onnx: must be the file that was exported"):
        ExportedSegmenter(copy)


def test_rejects_arrays_that_are_no_8_bit_picture(folders):
    segmenter = ExportedSegmenter(folders / "onnxFalse")
    for array in (np.zeros((8, 8), np.float32), np.zeros((8, 8, 4), np.uint8), np.zeros((0, 8), np.uint8)):
        with pytest.raises(InputError, match=r"source: an array must be unsigned 8-bit \(H, W\) or \(H, W, 3\), got"):
            segmenter(array)


def test_a_folder_that_is_called_like_a_runtime_does_not_stand_in_for_it(tmp_path, monkeypatch):
    import monai_lesion.commands.options as module

    (tmp_path / "onnx").mkdir()
    (tmp_path / "onnx" / "model.json").write_text("{}")
    monkeypatch.chdir(tmp_path)
    opened = []
    monkeypatch.setattr(module, "open_network", lambda *_, **options: opened.append(options))
    module.open_segmenter(None, runtime="onnx", device="cuda")  # on which nothing is kept
    assert [each["runtime"] for each in opened] == ["onnx"]
    with pytest.raises(InputError, match="must be the description that monai-lesion export wrote"):
        module.open_segmenter(None, runtime="./onnx")
