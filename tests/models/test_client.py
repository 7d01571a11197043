from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from monai_lesion import LesionSegmenter
from monai_lesion.images.readers import read_image
from monai_lesion.models import client
from monai_lesion.models.presets import load_preset
from monai_lesion.models.writers import copy_client
from tests.calibrations import calibration_of


@pytest.mark.parametrize("mode", ["1", "L", "P", "LA", "RGBA", "CMYK"])
def test_pictures_are_read_as_the_library_reads_them(mode, tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (9, 13, 3), dtype=np.uint8)
    picture = Image.fromarray(pixels).convert(mode)
    if "A" in mode:
        picture.putalpha(120)
    file = tmp_path / ("a.tif" if mode == "CMYK" else "a.png")
    picture.save(file)
    np.testing.assert_array_equal(client.read_picture(file), read_image(file).pixels)


def test_exif_orientation_is_followed(tmp_path):
    picture, exif = Image.fromarray(np.arange(60, dtype=np.uint8).reshape(5, 12)), Image.Exif()
    exif[274] = 6
    picture.save(tmp_path / "a.png", exif=exif)
    assert client.read_picture(tmp_path / "a.png").shape == (12, 5, 3)
    np.testing.assert_array_equal(client.read_picture(tmp_path / "a.png"), read_image(tmp_path / "a.png").pixels)


def test_rejects_16_bit_and_broken_pictures(tmp_path):
    Image.fromarray(np.zeros((5, 5), np.uint16)).save(tmp_path / "a.png")
    with pytest.raises(client.ModelError, match=r"a.png: must have 8 bits a channel, got I;16"):
        client.read_picture(tmp_path / "a.png")
    (tmp_path / "b.png").write_bytes(b"\x89PNG")
    with pytest.raises(client.ModelError, match=r"b.png: must be a readable picture"):
        client.read_picture(tmp_path / "b.png")


@pytest.fixture
def folder(tmp_path):
    """A preset and its client, as an export lays them out."""
    for name in ("model.json", "model.onnx", "model.pt"):
        shutil.copy(load_preset("pocket").path / name, tmp_path / name)
    copy_client(tmp_path)
    return tmp_path


def test_an_unchanged_folder_is_taken(folder):
    assert client.read_description(folder)["schema"] == 2


def test_rejects_a_damaged_model_another_version_and_no_folder(folder, tmp_path):
    content = json.loads((folder / "model.json").read_text())
    (folder / "model.json").write_text(json.dumps({**content, "schema": 3}))
    with pytest.raises(client.ModelError, match=r"must have schema 2, got 3. Export the network again"):
        client.read_description(folder)
    changes = [{"threshold": "half"}, {"threshold": float("nan")}, {"threshold": 2}, {"input_size": [0, 4]}]
    changes += [{"format": "gguf"}, {"format": ["onnx"]}]
    broken = ["[]", "{", "{}", "[" * 100_000, *(json.dumps({**content, **change}) for change in changes)]
    for text in broken:
        (folder / "model.json").write_text(text)
        with pytest.raises(client.ModelError, match=r"model.json: must be the description that monai-lesion export"):
            client.read_description(folder)
    (folder / "model.json").write_text(json.dumps(content))
    (folder / "model.onnx").write_bytes(b"another")
    with pytest.raises(client.ModelError, match=r"model.onnx: must be the file that was exported"):
        client.read_description(folder)
    with pytest.raises(client.ModelError, match=r"model.json: must be the description"):
        client.read_description(tmp_path / "gone")


@pytest.mark.slow
def test_the_copied_client_is_this_packages_definition_without_the_package(folder, view):
    Image.fromarray(view.pixels).save(folder / "a.png")
    code = (
        "import runpy, sys; sys.modules['monai_lesion'] = None; "
        "sys.argv = ['client.py', 'a.png', 'mask.png', '--probability', 'p.npy']; "
        "sys.path.insert(0, '.'); runpy.run_path('client.py', run_name='__main__'); "
        "print([name for name in ('monai', 'torch', 'scipy', 'skimage') if name in sys.modules])"
    )
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    call = [sys.executable, "-c", code]
    done = subprocess.run(call, capture_output=True, text=True, cwd=folder, env=environment)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "[]"
    expected = LesionSegmenter.from_preset("pocket")(view.pixels)
    np.testing.assert_array_equal(np.asarray(Image.open(folder / "mask.png")) > 0, expected.mask > 0)
    np.testing.assert_array_equal(np.load(folder / "p.npy"), expected.probability)


def test_rejects_what_is_no_picture(folder):
    model = client.Model(folder)
    for image in (np.zeros((5, 5), np.uint8), np.zeros((5, 5, 3)), np.zeros((1, 5, 5, 3), np.uint8)):
        with pytest.raises(client.ModelError, match=r"image: must be unsigned 8-bit \(H, W, 3\), got"):
            model(image)


def test_a_network_that_computes_no_numbers_is_refused(folder):
    model = client.Model(folder)
    model.run = lambda image: [np.full((1, 1, 128, 128), np.nan, np.float32)]
    with pytest.raises(client.ModelError, match="the network must give numbers, got NaN or infinity"):
        model(np.zeros((20, 20, 3), np.uint8))


@pytest.mark.parametrize(("least", "presence"), [(0.0, None), (1.0, None), (0.0, {"threshold": 1.0, "lost": 0.03})])
def test_a_calibrated_folder_is_judged_as_the_library_judges_it(folder, view, least, presence):
    content = json.loads((folder / "model.json").read_text())
    calibration = calibration_of(content["weights_id"], signal="views", familiarity=None, presence=presence)
    calibration["trust"]["least"] = least
    (folder / "model.json").write_text(json.dumps({**content, "calibration": calibration}))
    expected = LesionSegmenter.from_model(folder)(view.pixels)
    mask, probability, judgement = client.Model(folder).judged(view.pixels)
    assert (judgement.decision, judgement.trust) == (expected.decision, expected.trust)
    assert mask.any() == (judgement.decision != "nothing found")
    np.testing.assert_array_equal(mask, expected.mask)
    np.testing.assert_array_equal(probability, expected.probability)


def test_rejects_a_calibration_that_was_tampered_with(folder):
    content = json.loads((folder / "model.json").read_text())
    calibration = calibration_of(content["weights_id"], presence={"threshold": 3, "lost": 0.03})
    (folder / "model.json").write_text(json.dumps({**content, "calibration": calibration}))
    with pytest.raises(client.ModelError, match=r"model.json: calibration: presence must be"):
        client.Model(folder)
    (folder / "model.json").write_text(json.dumps({**content, "calibration": calibration_of("b" * 64)}))
    with pytest.raises(client.ModelError, match="calibration must be of this network"):
        client.Model(folder)
