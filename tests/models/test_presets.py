"""The networks that come with the package: exact sizes, the bundle's masks, and first use without any training."""

import functools
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from typer.testing import CliRunner

from monai_lesion import LesionSegmenter
from monai_lesion.commands.app import app
from monai_lesion.errors import InputError
from monai_lesion.measures.metrics import dice
from monai_lesion.models.presets import load_preset, preset_names
from monai_lesion.networks.checkpoints import read_state
from monai_lesion.networks.complexity import count_flops
from monai_lesion.networks.definitions import build_network
from monai_lesion.networks.recognition import describe, without_pretraining
from monai_lesion.phantoms.cases import simulate_case

ROOT = Path(__file__).parents[2]
BUNDLE = ROOT / "bundles" / "lighter_unet"
LIMITS = {"pocket": (1e9, 4 << 20), "clinic": (1.3e9, 8 << 20)}  # FLOPs of one image, bytes of the weights


PRESETS = [pytest.param(name, marks=[] if name == "pocket" else [pytest.mark.slow]) for name in preset_names()]


@functools.cache
def views(seed, cases):
    return [view for case in range(cases) for view in simulate_case(seed, case).views]


@pytest.fixture
def picture(view, tmp_path):
    file = tmp_path / "picture.png"
    Image.fromarray(view.pixels).save(file)
    return file


@pytest.fixture
def elsewhere(tmp_path, monkeypatch):
    """A folder with the bundle and without trained weights, as a fresh clone is."""
    folder = tmp_path / "clone"
    shutil.copytree(BUNDLE / "configs", folder / "bundles" / "lighter_unet" / "configs")
    monkeypatch.setattr("monai_lesion.commands.options.BUNDLE", folder / "bundles" / "lighter_unet")
    monkeypatch.chdir(folder)
    return folder


def tolerance(preset):
    """Of probabilities: in half precision weights are rounded after batch normalisation was folded into them."""
    return 3e-2 if preset.description.stored == "fp16" else 1e-4


def shapes(network):
    return {name: value.shape for name, value in network.state_dict().items()}


def overrides_of(preset):
    """The config values of the bundle by which a preset was trained."""
    return {
        "network_def": preset.description.network_def,
        "spatial_size": list(preset.description.steps.input_size),
    }


@pytest.mark.parametrize("name", PRESETS)
def test_it_is_as_small_as_it_says_and_its_weights_are_sound(name):
    preset, (flops, size) = load_preset(name), LIMITS[name]
    network = LesionSegmenter.from_preset(name, device="cpu").network
    assert preset.weights.stat().st_size <= size
    assert count_flops(network, (1, 3, *preset.description.steps.input_size)) <= flops
    state = read_state(preset.weights)
    floats = [value for value in state.values() if value.is_floating_point()]
    assert {value.dtype for value in floats} == {torch.float16}
    assert all(torch.isfinite(value).all() for value in floats)
    assert all((value >= 0).all() for key, value in state.items() if key.endswith("running_var"))


@pytest.mark.slow
@pytest.mark.parametrize("name", PRESETS)
def test_its_mask_is_the_bundles(name, picture):
    preset = load_preset(name)
    overrides = overrides_of(preset)
    bundle = LesionSegmenter.from_bundle(BUNDLE, weights=preset.weights, overrides=overrides)
    own = LesionSegmenter.from_preset(name)
    one, other = own(picture), bundle(picture)
    assert dice(one.mask, other.mask) >= 0.999
    np.testing.assert_allclose(one.probability, other.probability, rtol=0, atol=tolerance(preset))
    assert {**own.settings, "model": "", "calibration": ""} == {**bundle.settings, "model": "", "calibration": ""}
    assert own.algorithm.weights == bundle.algorithm.weights


@pytest.mark.parametrize("name", preset_names())
def test_the_overlay_trains_the_network_that_is_shipped(name):
    overlay = json.loads((BUNDLE / "overlays" / f"{name}.json").read_text(encoding="utf-8"))
    overrides = overrides_of(load_preset(name))
    wanted = build_network(overrides.pop("network_def"))
    network = build_network(without_pretraining(overlay["network_def"]))
    assert (describe(network.state_dict()), shapes(network)) == (describe(wanted.state_dict()), shapes(wanted))
    assert {key: overlay[key] for key in overrides} == overrides


@pytest.mark.parametrize("name", preset_names())
def test_its_card_says_what_a_user_must_know(name):
    card = load_preset(name).card.read_text(encoding="utf-8").lower()
    words = ("research use only", "bus-bra", "licence", "dice", "limits", "fold 4", f"overlays/{name}.json", "gflop")
    for word in words:
        assert word in card, word


@pytest.mark.slow
@pytest.mark.parametrize("name", PRESETS)
def test_it_finds_the_lesion_of_most_simulated_cases_it_never_saw(name):
    segmenter, scores = LesionSegmenter.from_preset(name, device="cpu"), []
    for view in views(0, cases=4):
        found = segmenter(view.pixels).mask > 0
        scores.append(2 * (found & (view.mask > 0)).sum() / (found.sum() + (view.mask > 0).sum()))
    assert np.median(scores) > 0.7


def test_predict_has_a_network_on_first_use_and_says_which(elsewhere, picture, caplog):
    with caplog.at_level("INFO"):
        result = CliRunner().invoke(app, ["predict", str(picture), "-o", "out"])
    assert result.exit_code == 0, result.output
    assert caplog.text.count("network: clinic, TrustHeads(") == 1
    mask = np.asarray(Image.open(elsewhere / "out" / "picture.png")) > 0
    assert np.array_equal(mask, LesionSegmenter.from_preset()(picture).mask > 0)


@pytest.mark.slow
def test_the_working_folder_decides_nothing(elsewhere, picture):
    models = elsewhere / "bundles" / "lighter_unet" / "models"
    models.mkdir()
    (models / "model.pt").write_bytes(b"")
    assert CliRunner().invoke(app, ["predict", str(picture), "-o", "out"]).exit_code == 0
    mask = np.asarray(Image.open("out/picture.png")) > 0
    assert np.array_equal(mask, LesionSegmenter.from_preset()(picture).mask > 0)
    result = CliRunner().invoke(app, ["predict", str(picture), "-o", "out", "--bundle", "bundles/lighter_unet"])
    assert isinstance(result.exception, InputError)
    assert "model.pt" in str(result.exception)


@pytest.mark.slow
@pytest.mark.parametrize("name", PRESETS)
def test_onnx_finds_pytorchs_masks(name):
    segmenters = [LesionSegmenter.from_preset(name, runtime=runtime) for runtime in ("onnx", "torch")]
    for view in views(1, cases=2):
        one, other = (segmenter(view.pixels) for segmenter in segmenters)
        assert (
            dice(one.mask, other.mask) >= 0.98
        )  # of simulated cases, where masks are unsure; half precision moves their edges
        np.testing.assert_allclose(one.probability, other.probability, rtol=0, atol=tolerance(load_preset(name)))


@pytest.mark.slow
def test_label_app_and_export_have_a_network_on_first_use(elsewhere):
    for command in (["label-app", "-o", "app"], ["export", "--format", "torchscript", "-o", "model", "--cases", "1"]):
        result = CliRunner().invoke(app, command)
        assert result.exit_code == 0, (result.output, result.exception)
    served = read_state("app/model/lighter_unet/models/model.pt")
    config = json.loads(Path("app/model/lighter_unet/configs/inference.json").read_text(encoding="utf-8"))
    assert served.keys() == read_state(load_preset().weights).keys()
    assert config["network_def"] == load_preset().description.network_def
    assert Path("model/model.pt").is_file()


@pytest.mark.parametrize("more", [["--weights", "other.pt"], ["--set", "threshold=0.4"]], ids=["weights", "setting"])
def test_a_preset_refuses_what_belongs_to_a_bundle(more, picture, tmp_path):
    call = ["predict", str(picture), "-o", str(tmp_path / "out"), "--bundle", "pocket", *more]
    error = CliRunner().invoke(app, call).exception
    assert isinstance(error, InputError)
    assert "own weights and settings" in str(error)


def test_an_unknown_preset_is_refused_with_the_known_ones():
    with pytest.raises(InputError, match="must be one of clinic, pocket, got pokcet"):
        LesionSegmenter.from_preset("pokcet")
    with pytest.raises(InputError, match=r'A network that comes with the package is .*from_preset\("pocket"\)'):
        LesionSegmenter.from_bundle("pocket")


def test_averaged_views_have_no_trust_and_the_reason_is_told(picture, tmp_path):
    segmenter = LesionSegmenter.from_preset("pocket", views=2)
    assert segmenter.trust is None
    assert segmenter.untrusted == "the model was calibrated on single views, and averages 2"
    result = segmenter(picture).to_dict()
    assert (result["model"], result["decision"], result["trust"]) == ("pocket", None, None)
    options = ["--output", str(tmp_path / "out"), "--bundle", "pocket", "--views", "2", "--accept", "lesion"]
    told = CliRunner().invoke(app, ["predict", str(picture), *options])
    rule = "needs the decisions of a calibrated network, got the model was calibrated on single views"
    assert rule in str(told.exception)
