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
from monai_lesion.models.descriptions import ModelDescription, read_description
from monai_lesion.models.folders import read_model
from monai_lesion.models.presets import load_preset
from monai_lesion.models.writers import write_model_folder
from monai_lesion.networks.definitions import build_network
from monai_lesion.phantoms.cases import simulate_case
from monai_lesion.phantoms.dicom import write_dicom
from monai_lesion.pipeline.steps import Steps
from monai_lesion.segmentation.exports import export_model
from monai_lesion.segmentation.parity import simulated
from tests.small_networks import SIZE, make_segmenter, small_network

pytest.importorskip("openvino", reason="OpenVINO is in the extra cpu")

HEAVY = "print([name for name in ('torch', 'monai', 'skimage', 'scipy', 'pandas') if name in sys.modules])"
DEFINITION = {"_target_": "monai_lesion.networks.LighterUNet", "group_size": 8, "width": 0.125}


@pytest.fixture(scope="module")
def network():
    return small_network()


@pytest.fixture(scope="module")
def folders(network, tmp_path_factory):
    root = tmp_path_factory.mktemp("models")
    for format in ("onnx", "openvino"):
        for whole in (False, True):
            options = {"format": format, "end_to_end": whole, "pictures": simulated(1)}
            export_model(make_segmenter(network), root / f"{format}{whole}", **options)
    return root


@pytest.fixture(scope="module")
def view():
    return simulate_case(0, 0).views[0]


@pytest.fixture
def trained(network, tmp_path):
    """What a training leaves: weights, and the model folder around them."""
    torch.save({"model": network.state_dict()}, tmp_path / "model.pt")
    write_model_folder(network, tmp_path, steps=Steps(SIZE), network_def=DEFINITION, name="trained")
    return tmp_path


@pytest.mark.parametrize("whole", [False, True], ids=["network alone", "end to end"])
@pytest.mark.parametrize("format", ["onnx", "openvino"])
def test_a_folder_alone_segments_as_pytorch(network, folders, view, format, whole):
    segmenters = make_segmenter(network), LesionSegmenter.from_model(folders / f"{format}{whole}")
    expected, found = (segmenter(view.pixels) for segmenter in segmenters)
    np.testing.assert_array_equal(found.mask, expected.mask)
    np.testing.assert_allclose(found.probability, expected.probability, rtol=0, atol=1e-4)
    assert (found.algorithm.name, found.algorithm.weights) == (expected.algorithm.name, expected.algorithm.weights)
    assert found.to_dict()["runtime"] == f"{format} fp32"
    assert found.to_dict()["input_size"] == list(SIZE)


def run(*arguments):
    code = (
        f"import sys; sys.argv = {['monai-lesion', *map(str, arguments)]!r}\n"
        "from monai_lesion.commands.app import main\n"
        f"try:\n    main()\nexcept SystemExit as end:\n    assert not end.code\n{HEAVY}"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done


@pytest.mark.parametrize(
    "options",
    [
        ["--runtime", "{folders}/onnxFalse"],
        ["--bundle", "{folders}/onnxTrue"],
        ["--bundle", "{folders}/openvinoFalse"],
        ["--bundle", "{trained}"],
        ["--bundle", "{trained}", "--runtime", "openvino"],
        [],
    ],
    ids=["runtime", "end to end", "openvino", "trained", "trained in openvino", "preset"],
)
def test_predict_imports_neither_pytorch_nor_monai(folders, trained, view, network, tmp_path, options):
    write_dicom(tmp_path / "a.dcm", simulate_case(0, 0), view, seed=0)
    Image.fromarray(view.pixels).save(tmp_path / "b.png")
    files = [tmp_path / "a.dcm", tmp_path / "b.png"]
    options = [option.format(folders=folders, trained=trained) for option in options]
    done = run("predict", *files, "-o", tmp_path / "out", *options)
    assert done.stdout.splitlines()[-1] == "[]"
    assert "images per second" in done.stdout
    assert done.stderr.count("network: ") == 1
    segmenter = make_segmenter(network) if options else LesionSegmenter.from_preset()
    assert segmenter.algorithm.weights[:12] in done.stderr
    for name in ("a.png", "b.png"):
        found = np.asarray(Image.open(tmp_path / "out" / name))
        np.testing.assert_array_equal(found, segmenter(view.pixels).mask * 255)


@pytest.mark.parametrize("runtime", ["onnx", "openvino", "torch"])
def test_a_trained_folder_runs_in_every_runtime_and_goes_on_in_pytorch(trained, network, view, runtime):
    segmenter = LesionSegmenter.from_model(trained, runtime=runtime)
    np.testing.assert_array_equal(segmenter(view.pixels).mask, make_segmenter(network)(view.pixels).mask)
    assert segmenter.settings["runtime"] == f"{runtime} fp32"
    assert segmenter.settings["model"] == "trained"
    for name, tensor in network.state_dict().items():
        torch.testing.assert_close(segmenter.network.state_dict()[name], tensor, rtol=0, atol=0)


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


def test_a_write_that_fails_leaves_no_half_model(trained, network, monkeypatch):
    from monai_lesion.runtimes import conversions

    before = {file.name: file.read_bytes() for file in trained.iterdir()}
    monkeypatch.setattr(conversions, "write_onnx", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        write_model_folder(network, trained, steps=Steps(SIZE))
    assert {file.name: file.read_bytes() for file in trained.iterdir()} == before


def test_half_the_bytes_and_the_same_masks(network, tmp_path, view):
    for half in (False, True):
        write_model_folder(network, tmp_path / str(half), steps=Steps(SIZE), half=half)
    sizes = [(tmp_path / str(half) / "model.onnx").stat().st_size for half in (False, True)]
    assert sizes[1] < 0.7 * sizes[0]
    assert read_description(tmp_path / "True").stored == "fp16"
    exact, half = (LesionSegmenter.from_model(tmp_path / str(half))(view.pixels) for half in (False, True))
    assert 0 < np.abs(exact.probability - half.probability).max() < 0.01
    with pytest.raises(InputError, match="for weights in half precision must be onnx in fp32, got openvino fp32"):
        write_model_folder(network, tmp_path / "more", steps=Steps(SIZE), format="openvino", half=True)


class Scored(torch.nn.Module):
    """Logits, and two scores of the whole picture."""

    def __init__(self, network):
        super().__init__()
        self.network = network

    def forward(self, x):
        logits = self.network(x)
        mean = logits.mean(dim=(2, 3))
        return logits, torch.cat([mean, mean * 2], dim=1)


@pytest.mark.parametrize("whole", [False, True], ids=["network alone", "end to end"])
@pytest.mark.parametrize("format", ["onnx", "openvino", "torchscript"])
def test_scores_of_a_network_come_with_the_mask(network, tmp_path, view, format, whole):
    scored = Scored(network).eval()
    description = write_model_folder(scored, tmp_path / "m", steps=Steps(SIZE), format=format, end_to_end=whole)
    assert list(description.outputs) == [*(["mask", "probability"] if whole else ["logits"]), "scores"]
    expected = LesionSegmenter(scored, Steps(SIZE), device="cpu")(view.pixels)
    assert expected.scores.shape == (1, 2)
    found = LesionSegmenter.from_model(tmp_path / "m")(view.pixels)
    np.testing.assert_array_equal(found.mask, expected.mask)
    np.testing.assert_allclose(found.scores, expected.scores, rtol=1e-3, atol=1e-4)
    plain = LesionSegmenter(network, Steps(SIZE), device="cpu")(view.pixels)
    np.testing.assert_array_equal(plain.mask, expected.mask)
    assert plain.scores is None


@pytest.mark.parametrize("runtime", [None, "torch", "onnx"])
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


def wrong_values():
    hashes = {"model.onnx": "0" * 64}
    return {
        "threshold": [float("nan"), "0.5", 0, 1, -1, None, True],
        "input_size": [[0, 0], [128], "128", [128.0, 128.0], [1 << 20, 64]],
        "format": ["tflite", None, [], {}],
        "precision": ["bf16", 8],
        "stored": ["int8", "fp8"],
        "keep": ["none", 1],
        "order": ["any"],
        "channel_order": ["cmyk"],
        "end_to_end": ["yes", 1],
        "weights_id": ["abc", "Z" * 64, 5],
        "calibration": ["x", []],
        "network_def": ["monai_lesion.networks.UNet"],
        "name": ["", "a" * 65, "a\nb", "a\x1b[2J"],
        "inputs": [[], {"image": 3}],
        "made_with": [{"torch": 2}],
        "files": [{}, {"../model.onnx": "0" * 64}, {**hashes, "/etc/passwd": "0" * 64}, {"model.onnx": "short"}],
        "schema": [0, 3, "2", None],
    }


@pytest.mark.parametrize(("name", "value"), [(n, v) for n, values in wrong_values().items() for v in values], ids=repr)
def test_a_description_is_validated_whole(name, value):
    content = load_preset().description.to_dict()
    with pytest.raises(InputError, match=rf"model.json.*{'schema' if name == 'schema' else name}"):
        ModelDescription.of({**content, name: value})


@pytest.mark.parametrize("name", sorted(set(load_preset().description.to_dict()) - {"schema"}))
def test_a_description_tells_everything(name):
    content = load_preset().description.to_dict()
    assert ModelDescription.of(content) == load_preset().description
    del content[name]
    with pytest.raises(InputError, match=rf"model.json.*{name}"):
        ModelDescription.of(content)


@pytest.mark.parametrize(
    "data",
    [b"", b"[]", b"{", b'{"schema": NaN}', b'{"schema": Infinity}', b"[" * 200_000, '{"a": 1}'.encode("utf-16")],
    ids=["empty", "list", "cut", "NaN", "Infinity", "deep", "UTF-16"],
)
def test_a_file_that_is_no_json_object_is_one_clear_error(trained, data):
    (trained / "model.json").write_bytes(data)
    with pytest.raises(InputError, match="must be the description that monai_lesion writes into a model folder, got"):
        read_model(trained)


def test_a_network_whose_words_are_longer_than_dicoms_names_segments_and_says_so(tmp_path, view):
    definition = {"_target_": "monai_lesion.networks.EncoderUNet", "decoder_channels": [64, 48, 32, 16]}
    definition = {"_target_": "monai_lesion.networks.TrustHeads", "network": {**definition, "encoder_weights": None}}
    torch.manual_seed(0)
    write_model_folder(build_network(definition).eval(), tmp_path, steps=Steps(SIZE), network_def=definition, half=True)
    assert len(read_model(tmp_path).description.network) > 64
    result = LesionSegmenter.from_model(tmp_path)(view.pixels)
    assert len(result.algorithm.name) == 64
    assert result.algorithm.name.startswith("TrustHeads(network=EncoderUNet(")
    assert result.scores.shape == (1, 2)
