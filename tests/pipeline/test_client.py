from __future__ import annotations

import hashlib
import json
import subprocess
import sys

import numpy as np
import pytest
import scipy.ndimage
import torch
from monai.transforms import Compose, FillHolesd, KeepLargestConnectedComponentd
from PIL import Image

from monai_lesion.images.readers import read_image
from monai_lesion.pipeline import client

SIZES = [((50, 81), (32, 48)), ((32, 48), (50, 81)), ((17, 23), (17, 23)), ((20, 300), (256, 256))]


@pytest.mark.parametrize(("size", "target"), SIZES, ids=str)
def test_resize_is_that_of_pytorch(size, target):
    image = np.random.default_rng(0).random((3, *size), dtype=np.float32)
    expected = torch.nn.functional.interpolate(torch.from_numpy(image)[None], target, mode="bilinear")[0].numpy()
    resized = client.resize(image, *target)
    assert resized.dtype == np.float32
    np.testing.assert_allclose(resized, expected, rtol=0, atol=5e-7)


def monai_clean(mask):
    steps = Compose([KeepLargestConnectedComponentd("m", applied_labels=[1]), FillHolesd("m", applied_labels=[1])])
    turned = torch.from_numpy(np.ascontiguousarray(mask.T).astype(np.float32))[None]  # as the library's masks lie
    return np.asarray(steps({"m": turned})["m"][0].numpy().T)


@pytest.mark.parametrize("density", [0.2, 0.41, 0.6, 0.9])
def test_largest_component_and_holes_are_those_of_monai(density):
    draw = np.random.default_rng(7)
    for _ in range(6):
        mask = draw.random(draw.integers(1, 40, 2)) < density
        np.testing.assert_array_equal(client.clean(mask), monai_clean(mask))


def test_a_component_that_winds_up_and_down_is_one():
    mask = np.zeros((41, 60), bool)
    mask[:, ::4] = True  # columns, joined at the bottom and at the top by turns
    mask[-1, :57] = mask[0, :57] = True
    mask[-1, 2::8] = mask[0, 6::8] = False
    labels, count = scipy.ndimage.label(mask, np.ones((3, 3)))
    assert count == 1
    lines, starts, _, roots = client._components(mask)
    assert set(roots) == {0}
    mask[20, 28] = False  # cut in two
    labels, _ = scipy.ndimage.label(mask, np.ones((3, 3)))
    lines, starts, _, roots = client._components(mask)
    assert len(set(roots)) == 2
    assert len(set(zip(roots, labels[lines, starts], strict=True))) == 2


@pytest.mark.parametrize("value", [False, True])
def test_masks_of_one_value_stay(value):
    mask = np.full((5, 7), value)
    np.testing.assert_array_equal(client.clean(mask), mask)


def test_a_corner_connects_and_a_diagonal_gap_opens_a_hole():
    mask = np.zeros((7, 9), bool)
    mask[1:6, 1:6] = True
    mask[2:5, 2:5] = False
    ring = client.clean(mask)
    assert ring[1:6, 1:6].all()
    mask[1, 1] = False  # now the hole touches the outside by a corner only
    assert client.clean(mask)[3, 3] == 0
    mask[6, 6] = mask[0, 8] = True
    assert client.clean(mask)[6, 6] == 1
    assert client.clean(mask)[0, 8] == 0


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
    content = b"a model"
    (tmp_path / "model.onnx").write_bytes(content)
    description = {"schema": client.SCHEMA, "file_sha256": {"model.onnx": hashlib.sha256(content).hexdigest()}}
    (tmp_path / "model.json").write_text(json.dumps(description))
    return tmp_path


def test_an_unchanged_folder_is_taken(folder):
    assert client.read_description(folder)["schema"] == 2


def test_rejects_a_damaged_model_another_version_and_no_folder(folder, tmp_path):
    (folder / "model.onnx").write_bytes(b"another")
    with pytest.raises(client.ModelError, match=r"model.onnx: must be the file that was exported"):
        client.read_description(folder)
    (folder / "model.json").write_text('{"schema": 1, "files": {}}')
    with pytest.raises(client.ModelError, match=r"must have schema 2, got 1. Export the network again"):
        client.read_description(folder)
    for broken in ("[]", "{", "{}"):
        (folder / "model.json").write_text(broken)
        with pytest.raises(client.ModelError, match=r"model.json: must be the description that monai-lesion export"):
            client.read_description(folder)
    with pytest.raises(client.ModelError, match=r"model.json: must be the description"):
        client.read_description(tmp_path / "gone")


def test_the_client_imports_neither_this_package_nor_a_framework(folder):
    code = (
        f"import runpy, sys; runpy.run_path({client.__file__!r}); "
        "print([name for name in ('monai_lesion', 'monai', 'torch', 'scipy', 'skimage') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=folder)
    assert done.stdout.strip() == "[]"
