from __future__ import annotations

import json
import logging
import subprocess
import sys
from itertools import product

import numpy as np
import pytest
from PIL import Image

from monai_lesion import LesionSegmenter
from monai_lesion.errors import InputError
from monai_lesion.images.readers import read_mask
from monai_lesion.models import client
from monai_lesion.pipeline.steps import Steps
from monai_lesion.runtimes import conversions
from monai_lesion.runtimes.quantization import CalibrationImages, calibration_images
from monai_lesion.segmentation import parity
from monai_lesion.segmentation.exports import export_model
from monai_lesion.segmentation.parity import Picture, Pictures, of_manifest
from tests.runtimes.noise import noise_manifest
from tests.small_networks import SIZE, make_segmenter

FORMATS = ("torchscript", "onnx", "openvino")


@pytest.fixture
def segmenter(network):
    return make_segmenter(network)


def picture(rows=60, columns=90):
    return np.random.default_rng(rows).integers(0, 256, (rows, columns, 3), dtype=np.uint8)


def some(*sizes):
    return Pictures("some", lambda: (Picture(picture(*size), np.zeros(size, bool)) for size in sizes))


def export(segmenter, folder, format="onnx", **options):
    for package in {"onnx": ("onnx", "onnxruntime"), "openvino": ("onnx", "openvino")}.get(format, ()):
        pytest.importorskip(package)
    return export_model(segmenter, folder, format=format, pictures=some((60, 90), (40, 50)), **options)


@pytest.mark.parametrize(("format", "end_to_end"), [
    ("onnx", True),
    pytest.param("onnx", False, marks=pytest.mark.slow),
    *[pytest.param(*kind, marks=pytest.mark.slow) for kind in product(("openvino", "torchscript"), (False, True))],
])  # fmt: skip
def test_the_client_finds_the_librarys_mask_for_any_size(segmenter, format, end_to_end, tmp_path):
    found = export(segmenter, tmp_path / "out", format, end_to_end=end_to_end)
    model = client.Model(tmp_path / "out")
    for size in ((61, 91), (32, 64), (200, 30)):
        expected, (mask, probability) = segmenter(picture(*size)), model(picture(*size))
        assert 0 < expected.mask.sum() < expected.mask.size
        np.testing.assert_array_equal(mask, expected.mask)
        np.testing.assert_allclose(probability, expected.probability, atol=1e-4)
    report = json.loads((tmp_path / "out" / "parity.json").read_text())
    assert report == found.to_dict("fp32")
    assert report["passed"]
    assert report["images"] == 2
    assert report["mean_dice_with_library"] == 1


@pytest.mark.slow
def test_the_model_file_tells_what_it_is(segmenter, tmp_path, caplog):
    onnx, openvino = pytest.importorskip("onnx"), pytest.importorskip("openvino")
    import torch

    caplog.set_level(logging.INFO)
    for format in FORMATS:
        export(segmenter, tmp_path / format, format, end_to_end=True, licence="CC0")
    assert "trust: " not in caplog.text  # which the comparison's own segmenter has none of, whatever the model's
    model = onnx.load(tmp_path / "onnx" / "model.onnx")
    told = {each.key: each.value for each in model.metadata_props}
    extra = dict.fromkeys(told, "")
    torch.jit.load(tmp_path / "torchscript" / "model.pt", _extra_files=extra)
    stored = openvino.Core().read_model(tmp_path / "openvino" / "model.xml")
    rt_info = {key: stored.get_rt_info(["monai_lesion", key]).value for key in told}
    for metadata in (told, rt_info, {key: value.decode() for key, value in extra.items()}):
        assert metadata["weights_id"] == segmenter.algorithm.weights
        assert metadata["licence"] == "CC0"
        assert metadata["notice"] == "Research use only; not a medical device"
        assert json.loads(metadata["inputs"])["image"]["shape"] == ["rows", "columns", 3]
    assert told["opset"] == str(conversions.OPSET) == str(model.opset_import[0].version)
    described = json.loads((tmp_path / "onnx" / "model.json").read_text())
    shapes = {
        value.name: [side.dim_param or side.dim_value for side in value.type.tensor_type.shape.dim]
        for value in (*model.graph.input, *model.graph.output)
    }
    tensors = {**described["inputs"], **described["outputs"]}
    assert shapes == {name: facts["shape"] for name, facts in tensors.items()}


@pytest.mark.slow
def test_the_program_writes_a_mask(segmenter, tmp_path):
    export(segmenter, tmp_path / "out", end_to_end=True)
    Image.fromarray(picture()).save(tmp_path / "a.png")
    call = [sys.executable, "out/client.py", "a.png", "mask.png", "--probability", "p.npy"]
    subprocess.run(call, check=True, cwd=tmp_path)
    expected = segmenter(picture())
    np.testing.assert_array_equal(read_mask(tmp_path / "mask.png"), expected.mask)
    np.testing.assert_allclose(np.load(tmp_path / "p.npy"), expected.probability, atol=1e-4)
    (tmp_path / "out" / "model.onnx").write_bytes(b"")
    done = subprocess.run(call, cwd=tmp_path, capture_output=True, text=True)
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert "model.onnx: must be the file that was exported" in done.stderr


@pytest.mark.slow
def test_a_model_outside_the_tolerance_is_not_written(segmenter, tmp_path, monkeypatch):
    monkeypatch.setattr(conversions, "reparameterize", lambda network: other(network))
    with pytest.raises(
        InputError, match=r"must segment as the library does \(some\), got its masks have a mean Dice of"
    ):
        export(segmenter, tmp_path / "out", "torchscript")
    assert list(tmp_path.iterdir()) == []


def other(network):
    from copy import deepcopy

    changed = deepcopy(network)
    changed.head.bias.data += 0.3
    return changed


def test_a_folder_in_use_an_unknown_format_and_int8_torchscript_are_refused(segmenter, tmp_path):
    (tmp_path / "a").write_text("")
    with pytest.raises(InputError, match=r"must be a new or empty folder, got a folder with files in it"):
        export_model(segmenter, tmp_path, format="torchscript")
    with pytest.raises(InputError, match=r"format: must be one of torchscript, onnx, openvino, got tflite"):
        export_model(segmenter, tmp_path / "b", format="tflite")
    images = CalibrationImages([], [], [])
    with pytest.raises(InputError, match=r"format: for int8 must be onnx or openvino, got torchscript"):
        export_model(segmenter, tmp_path / "b", format="torchscript", calibration=images)


@pytest.mark.slow
def test_another_order_is_exported_as_network_alone(network, tmp_path):
    segmenter = LesionSegmenter(network, Steps(SIZE, order="threshold_first"), device="cpu")
    with pytest.raises(InputError, match=r"order: end to end must be resize_first, got threshold_first"):
        export(segmenter, tmp_path / "whole", end_to_end=True)
    export(segmenter, tmp_path / "out")
    np.testing.assert_array_equal(client.Model(tmp_path / "out")(picture())[0], segmenter(picture()).mask)


@pytest.mark.slow
@pytest.mark.parametrize("format", FORMATS)
def test_an_exported_folder_is_a_runtime_of_its_weights(network, format, tmp_path):
    for order in ("rgb", "bgr"):
        plain = make_segmenter(network, channel_order=order)
        export(plain, tmp_path / order, format)
        np.testing.assert_array_equal(client.Model(tmp_path / order)(picture())[0], plain(picture()).mask)
        other = make_segmenter(network, channel_order=order, runtime=str(tmp_path / order))
        np.testing.assert_array_equal(other(picture()).mask, plain(picture()).mask)


@pytest.mark.slow
def test_a_folder_of_other_weights_precision_kind_or_damaged_is_no_runtime(segmenter, tmp_path):
    from monai_lesion.networks import LighterUNet

    export(segmenter, tmp_path / "out")
    with pytest.raises(InputError, match=r"out: must hold the weights of this network \(\w{12}\), got LighterUNet"):
        make_segmenter(LighterUNet(group_size=8, width=0.125), runtime=tmp_path / "out")
    with pytest.raises(InputError, match=r"precision: of .*out is fp32, got int8"):
        make_segmenter(segmenter.network, runtime=tmp_path / "out", precision="int8", calibration=None)
    (tmp_path / "out" / "model.onnx").write_bytes(b"")
    with pytest.raises(InputError, match=r"model.onnx: must be the file that was written with model.json"):
        make_segmenter(segmenter.network, runtime=tmp_path / "out")
    export(segmenter, tmp_path / "whole", "torchscript", end_to_end=True)
    with pytest.raises(InputError, match=r"must hold the network alone to be used as runtime.*without --end-to-end"):
        make_segmenter(segmenter.network, runtime=tmp_path / "whole")


@pytest.mark.slow
@pytest.mark.parametrize("format", ["onnx", "openvino"])
def test_an_int8_model_is_smaller_and_near(segmenter, format, tmp_path, monkeypatch):
    pytest.importorskip("nncf")
    monkeypatch.setattr(
        parity, "INT8_AGREEMENT", 0.7
    )  # a network of random weights is more delicate than a trained one
    manifest = noise_manifest(tmp_path, training=16, validation=16)
    images = calibration_images(manifest, spatial_size=SIZE)
    pictures = of_manifest(manifest, split="validation")
    folders = {}
    for name, calibration in (("fp32", None), ("int8", images)):
        folders[name] = tmp_path / name
        options = {"format": format, "end_to_end": True, "calibration": calibration, "pictures": pictures}
        export_model(segmenter, folders[name], dice_tolerance=0.1, **options)
    description = json.loads((folders["int8"] / "model.json").read_text())
    assert description["precision"] == "int8"
    weights = "model.onnx" if format == "onnx" else "model.bin"
    sizes = {name: (folder / weights).stat().st_size for name, folder in folders.items()}
    assert sizes["int8"] < 0.8 * sizes["fp32"]
    found, exact = (client.Model(folders[name])(picture())[1] for name in ("int8", "fp32"))
    assert 1e-4 < np.abs(found - exact).mean() < 0.2


@pytest.mark.slow
@pytest.mark.parametrize("format", ["onnx", "openvino"])
def test_the_folder_installs_into_an_empty_environment_and_finds_the_mask(segmenter, format, tmp_path):
    export(segmenter, tmp_path / "out", format, end_to_end=True)
    Image.fromarray(picture()).save(tmp_path / "a.png")
    subprocess.run([sys.executable, "-m", "venv", tmp_path / "env"], check=True)
    python = tmp_path / "env" / "bin" / "python"
    install = [python, "-m", "pip", "install", "-q", "-r", tmp_path / "out" / "requirements.txt"]
    done = subprocess.run(install, capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"no package index: {done.stderr.splitlines()[-1]}")
    size = sum(file.stat().st_size for file in (tmp_path / "env").rglob("*.*") if "/pip/" not in str(file)) / 1e6
    assert size < {"onnx": 250, "openvino": 350}[format]  # megabytes, as docs/how-to/deploy.md says
    code = "import importlib.util as u; print([n for n in ('torch', 'monai', 'scipy', 'skimage') if u.find_spec(n)])"
    assert subprocess.run([python, "-c", code], capture_output=True, text=True).stdout.strip() == "[]"
    subprocess.run([python, tmp_path / "out" / "client.py", "a.png", "mask.png"], check=True, cwd=tmp_path)
    np.testing.assert_array_equal(read_mask(tmp_path / "mask.png"), segmenter(picture()).mask)
