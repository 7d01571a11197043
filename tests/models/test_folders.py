from __future__ import annotations

import json
import shutil
import subprocess
import sys

import numpy as np
import pytest
import torch
from PIL import Image

from monai_lesion import LesionSegmenter
from monai_lesion.errors import InputError
from monai_lesion.models.folders import read_model
from monai_lesion.models.writers import write_model_folder
from monai_lesion.phantoms.cases import simulate_case
from monai_lesion.phantoms.dicom import write_dicom
from monai_lesion.pipeline.steps import Steps
from tests.small_networks import SIZE, make_segmenter, small_network

pytest.importorskip("openvino", reason="OpenVINO is in the extra cpu")


HEAVY = "print([name for name in ('torch', 'monai', 'skimage', 'scipy', 'pandas') if name in sys.modules])"


@pytest.mark.parametrize(("format", "whole"), [
    pytest.param("onnx", False, marks=pytest.mark.slow),
    ("onnx", True),
    pytest.param("openvino", False, marks=pytest.mark.slow),
    pytest.param("openvino", True, marks=pytest.mark.slow),
])  # fmt: skip
def test_a_folder_alone_segments_as_pytorch(network, folders, view, format, whole):
    segmenters = make_segmenter(network), LesionSegmenter.from_model(folders / f"{format}{whole}")
    expected, found = (segmenter(view.pixels) for segmenter in segmenters)
    np.testing.assert_array_equal(found.mask, expected.mask)
    np.testing.assert_allclose(found.probability, expected.probability, rtol=0, atol=1e-4)
    assert (found.algorithm.name, found.algorithm.weights) == (expected.algorithm.name, expected.algorithm.weights)
    assert found.to_dict()["runtime"] == f"{format} fp32"
    assert found.to_dict()["input_size"] == list(SIZE)


def run(folder, calls):
    """Each call of the program in one process: what each prints, what all log, and what was imported."""
    (folder / "calls.json").write_text(json.dumps(calls))
    code = (
        "import contextlib, json, sys\nfrom monai_lesion.commands.app import main\n"
        "for name, arguments in json.load(open('calls.json')).items():\n"
        "    sys.argv = ['monai-lesion', *arguments]\n"
        "    with open(f'{name}.txt', 'w') as said, contextlib.redirect_stdout(said):\n"
        "        try:\n            main()\n        except SystemExit as end:\n            assert not end.code, name\n"
        f"{HEAVY}"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=folder)
    assert done.returncode == 0, done.stderr
    return [(folder / f"{name}.txt").read_text() for name in calls], done.stderr, done.stdout.splitlines()[-1]


@pytest.mark.slow
def test_predict_imports_neither_pytorch_nor_monai(folders, trained, view, network, tmp_path):
    write_dicom(tmp_path / "a.dcm", simulate_case(0, 0), view, seed=0)
    Image.fromarray(view.pixels).save(tmp_path / "b.png")
    options = {
        "runtime": ["--runtime", str(folders / "onnxFalse")],
        "end to end": ["--bundle", str(folders / "onnxTrue")],
        "openvino": ["--bundle", str(folders / "openvinoFalse")],
        "trained": ["--bundle", f"{trained}"],
        "trained in openvino": ["--bundle", f"{trained}", "--runtime", "openvino"],
        "preset": [],
    }
    # One file a call: a table of several has sizes in it, which take scikit-image.
    calls = {
        f"{name}, {file}": ["predict", str(tmp_path / file), "-o", str(tmp_path / name), *more]
        for name, more in options.items()
        for file in ("a.dcm", "b.png")
    }
    printed, logged, imported = run(tmp_path, calls)
    assert imported == "[]"
    assert all("images per second" in text for text in printed)
    segmenters = [make_segmenter(network)] * 10 + [LesionSegmenter.from_preset()] * 2
    said = [line for line in logged.splitlines() if "network: " in line]
    assert len(said) == len(calls)
    masks = {segmenter: segmenter(view.pixels).mask * 255 for segmenter in segmenters}
    for call, segmenter, line in zip(calls, segmenters, said, strict=True):
        name, file = call.split(", ")
        assert segmenter.algorithm.weights[:12] in line, name
        found = np.asarray(Image.open(tmp_path / name / file.replace(".dcm", ".png")))
        np.testing.assert_array_equal(found, masks[segmenter], err_msg=name)


@pytest.mark.parametrize("runtime", ["torch", *[pytest.param(n, marks=pytest.mark.slow) for n in ("onnx", "openvino")]])
def test_a_trained_folder_runs_in_every_runtime_and_goes_on_in_pytorch(trained, network, view, runtime):
    segmenter = LesionSegmenter.from_model(trained, runtime=runtime)
    np.testing.assert_array_equal(segmenter(view.pixels).mask, make_segmenter(network)(view.pixels).mask)
    assert segmenter.settings["runtime"] == f"{runtime} fp32"
    assert segmenter.settings["model"] == "trained"
    for name, tensor in network.state_dict().items():
        torch.testing.assert_close(segmenter.network.state_dict()[name], tensor, rtol=0, atol=0)


@pytest.mark.slow
def test_weights_that_changed_since_are_not_taken_for_the_models(trained, network):
    assert read_model(trained).is_current
    torch.save({"model": small_network(1).state_dict()}, trained / "model.pt")
    model = read_model(trained)
    assert not model.is_current
    with pytest.raises(InputError, match=r"model.pt: must be the file that was written with model.json"):
        model.network()
    write_model_folder(network, trained, steps=Steps(SIZE))
    assert read_model(trained).is_current
    (trained / "model.pt").unlink()
    assert LesionSegmenter.from_model(trained).algorithm.weights == make_segmenter(network).algorithm.weights
    with pytest.raises(InputError, match=r"model.pt: must be the file"):
        read_model(trained).network()


def test_a_model_alone_has_no_network_for_pytorch(folders):
    with pytest.raises(InputError, match=r"must hold model.pt and a network_def for PyTorch, got a model alone"):
        LesionSegmenter.from_model(folders / "onnxFalse", runtime="torch")


@pytest.mark.parametrize("runtime", [None, *[pytest.param(name, marks=pytest.mark.slow) for name in ("torch", "onnx")]])
def test_a_network_that_computes_no_numbers_is_refused_by_name(runtime, view, tmp_path):
    broken = small_network()
    broken.head.weight.data[0, 0] = float("nan")
    segmenter = make_segmenter(broken, runtime=runtime)
    rule = r"network LighterUNet\(width=0.125, group_size=8\), weights \w{12}.*: must compute finite numbers, got NaN"
    with pytest.raises(InputError, match=rule):
        segmenter(view.pixels)
    description = write_model_folder(broken, tmp_path / "whole", steps=Steps(SIZE), end_to_end=True)
    with pytest.raises(InputError, match=f"weights {description.weights_id[:12]}.*must compute finite numbers"):
        LesionSegmenter.from_model(tmp_path / "whole")(view.pixels)


def test_rejects_a_damaged_folder_another_version_device_or_precision(folders, tmp_path):
    copy = shutil.copytree(folders / "onnxFalse", tmp_path / "copy")
    with pytest.raises(InputError, match="runtime: onnx runs on a CPU, got device cuda"):
        LesionSegmenter.from_model(copy, device="cuda", runtime="onnx")
    with pytest.raises(InputError, match=r"precision: of .*copy is fp32, got int8. Export the network with --int8"):
        LesionSegmenter.from_model(copy, precision="int8")
    with pytest.raises(InputError, match="precision: of ONNX Runtime must be fp32 or int8, got bf16"):
        LesionSegmenter.from_model(copy, precision="bf16")
    with pytest.raises(InputError, match=r"runtime: must be auto, torch.* or the folder of a model, got tensorrt"):
        LesionSegmenter.from_model(copy, runtime="tensorrt")
    (copy / "model.onnx").write_bytes(b"another")
    with pytest.raises(InputError, match=r"model.onnx: must be the file that was written with model.json"):
        LesionSegmenter.from_model(copy)
    with pytest.raises(InputError, match=r"must be a model folder with model.json, got no such folder"):
        LesionSegmenter.from_model(tmp_path / "gone")


def test_rejects_arrays_that_are_no_8_bit_picture(folders):
    segmenter = LesionSegmenter.from_model(folders / "onnxFalse")
    for array in (np.zeros((8, 8), np.float32), np.zeros((8, 8, 4), np.uint8), np.zeros((0, 8), np.uint8)):
        with pytest.raises(InputError, match=r"source: an array must be unsigned 8-bit \(H, W\) or \(H, W, 3\), got"):
            segmenter(array)


def test_a_folder_of_an_earlier_export_still_opens(folders, view, tmp_path):
    copy = shutil.copytree(folders / "onnxFalse", tmp_path / "copy")
    known = json.loads((copy / "model.json").read_text())
    same = ("software", "notice", "licence", "network", "bundle_version", "format", "opset", "precision", "end_to_end")
    same += ("inputs", "outputs", "threshold", "channel_order", "made_with", "files")
    old = {"weights_sha256": "0f" * 32, "spatial_size": known["input_size"], "model": "model.onnx"}
    (copy / "model.json").write_text(json.dumps({"schema": 1, **{name: known[name] for name in same}, **old}))
    found, expected = (LesionSegmenter.from_model(each)(view.pixels) for each in (copy, folders / "onnxFalse"))
    np.testing.assert_array_equal(found.mask, expected.mask)
    assert found.to_dict()["weights_id"] == "0f" * 32


@pytest.mark.parametrize(
    "data",
    [b"", b"[]", b"{", b'{"schema": NaN}', b'{"schema": Infinity}', b"[" * 200_000, '{"a": 1}'.encode("utf-16")],
    ids=["empty", "list", "cut", "NaN", "Infinity", "deep", "UTF-16"],
)
def test_a_file_that_is_no_json_object_is_one_clear_error(trained, data):
    (trained / "model.json").write_bytes(data)
    with pytest.raises(InputError, match="must be the description that monai_lesion writes into a model folder, got"):
        read_model(trained)


@pytest.mark.parametrize(
    "format", ["onnx", *[pytest.param(n, marks=pytest.mark.slow) for n in ("openvino", "torchscript")]]
)
def test_a_full_disk_is_told_with_the_name_of_the_model(format, network, tmp_path, monkeypatch):
    """By a disk of 300 kB where one may be mounted, which only root may."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=300k", "tmpfs", disk], capture_output=True)
    if mounted.returncode:
        pytest.skip("a small disk cannot be mounted here")
    try:
        with pytest.raises(OSError, match="No space left on device") as caught:
            write_model_folder(network, disk / "model", steps=Steps(SIZE), format=format)
        assert str(caught.value.filename).startswith(str(disk / "model" / "model."))
        assert list((disk / "model").iterdir()) == []
    finally:
        subprocess.run(["umount", disk], check=True)
