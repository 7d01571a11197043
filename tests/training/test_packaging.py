"""The released bundle: what is in it, that its bytes repeat, and that a stranger's machine runs it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from typer.testing import CliRunner

from monai_lesion import LesionSegmenter, __version__
from monai_lesion.commands import app as cli
from monai_lesion.errors import CheckpointError, InputError
from monai_lesion.images.readers import read_mask
from monai_lesion.networks import LighterUNet
from monai_lesion.pipeline.steps import Steps
from monai_lesion.training.packaging import package_bundle

ROOT = Path(__file__).parents[2]
BUNDLE = ROOT / "bundles" / "lighter_unet"
PICTURE = np.zeros((40, 50, 3), np.uint8)
PICTURE[10:30, 8:25] = 255


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    """The bundle as it lies in a project at work, with a small network: what it must not carry lies around."""
    folder = tmp_path_factory.mktemp("project") / "lighter_unet"
    for name in ("LICENSE", "configs", "docs", "overlays"):
        copy = shutil.copytree if (BUNDLE / name).is_dir() else shutil.copy
        (folder / name).parent.mkdir(exist_ok=True)
        copy(BUNDLE / name, folder / name)
    config = json.loads((folder / "configs" / "inference.json").read_text())
    config["network_def"]["group_size"] = 1
    config["spatial_size"] = [32, 32]
    (folder / "configs" / "inference.json").write_text(json.dumps(config))
    litter = ["eval/mask.png", "eval/events.out.tfevents.1.vm", "models/last.ckpt", "models/metrics.csv", ".DS_Store"]
    litter += ["configs/train.json~", "configs/.train.json.swp", "configs/#train.json#", "configs/__pycache__/a.pyc"]
    litter += ["configs/.ipynb_checkpoints/train.json", "docs/.hidden.md", "train.log", "large_files.yml", "Untitled"]
    for name in litter:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("{}")
    torch.manual_seed(3)
    network = LighterUNet(group_size=1)
    probability = LesionSegmenter(network, Steps((32, 32)), device="cpu")(PICTURE).probability
    values = np.sort(probability, axis=None)[200:-200]
    between = float(values[np.diff(values).argmax() :][:2].mean())
    with torch.no_grad():  # a threshold within the picture, far from every pixel, so that its mask says something
        network.head.bias -= np.log(between / (1 - between))
    content = {"model": network.state_dict(), "paths of a training": ["/home/jane/patients"]}
    torch.save(content, folder / "models" / "model.pt")
    return folder


@pytest.fixture(scope="module")
def package(bundle, tmp_path_factory):
    return package_bundle(bundle, tmp_path_factory.mktemp("release") / "any_name.zip")


@pytest.fixture
def unzipped(package, tmp_path):
    with zipfile.ZipFile(package) as archive:
        archive.extractall(tmp_path)
    return tmp_path / "lighter_unet"


def test_the_package_is_the_folder_with_weights_and_nothing_else(package):
    with zipfile.ZipFile(package) as archive:
        names = archive.namelist()
    parts = [file for name in ("configs", "docs", "overlays") for file in (BUNDLE / name).iterdir()]
    expected = [f"lighter_unet/{file.relative_to(BUNDLE).as_posix()}" for file in (BUNDLE / "LICENSE", *parts)]
    assert names == sorted([*expected, "lighter_unet/models/model.pt"])


def test_the_packaged_files_are_the_bundles(bundle, unzipped):
    for name in ("LICENSE", "configs/train.json", "configs/inference.json", "docs/README.md"):
        assert (unzipped / name).read_bytes() == (bundle / name).read_bytes()


def test_the_packaged_weights_are_those_of_the_checkpoint_and_nothing_else_of_it(bundle, unzipped):
    state = torch.load(unzipped / "models" / "model.pt", weights_only=True)
    source = torch.load(bundle / "models" / "model.pt", weights_only=True)["model"]
    assert list(state) == list(source)
    assert all(torch.equal(state[name], tensor) for name, tensor in source.items())


def test_the_same_input_gives_the_same_bytes(bundle, package, tmp_path):
    for file in bundle.rglob("*.json"):
        os.utime(file, (1e9, 1e9))
        file.chmod(0o600)
    again = package_bundle(bundle, tmp_path / "another_name.zip", weights=bundle / "models" / "model.pt")
    assert again.read_bytes() == package.read_bytes()


@pytest.mark.slow
def test_weights_from_elsewhere_are_packaged_as_the_bundles(bundle, tmp_path):
    torch.manual_seed(1)
    torch.save({"model": LighterUNet(group_size=1).state_dict()}, tmp_path / "best.pt")
    written = package_bundle(bundle, tmp_path / "a.zip", weights=tmp_path / "best.pt")
    with zipfile.ZipFile(written) as archive, archive.open("lighter_unet/models/model.pt") as file:
        state = torch.load(file, weights_only=True)
    torch.manual_seed(1)
    assert torch.equal(state["head.weight"], LighterUNet(group_size=1).state_dict()["head.weight"])


@pytest.mark.slow
def test_the_segmenter_takes_the_unzipped_folder_from_any_working_directory(bundle, unzipped, tmp_path, monkeypatch):
    expected = LesionSegmenter.from_bundle(bundle, device="cpu")(PICTURE)
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    for folder in (unzipped, Path("../lighter_unet")):
        found = LesionSegmenter.from_bundle(folder, device="cpu")(PICTURE)
        np.testing.assert_array_equal(found.probability, expected.probability)


@pytest.mark.slow
def test_the_command_tells_what_it_wrote(bundle, package, tmp_path):
    output = tmp_path / "new" / "x.zip"
    done = CliRunner().invoke(cli.app, ["bundle", "package", "--output", str(output), "--bundle", str(bundle)])
    assert done.exit_code == 0, done.exception
    assert done.output.strip() == str(output)
    assert output.read_bytes() == package.read_bytes()


def broken(bundle, folder, kind):
    """A copy of the bundle with one fault, and the options of its packaging."""
    copy, options = folder / "lighter_unet", {}
    shutil.copytree(bundle, copy)
    if kind == "no weights":
        (copy / "models" / "model.pt").unlink()
    elif kind == "another variant":
        torch.save({"model": LighterUNet(group_size=2).state_dict()}, copy / "models" / "model.pt")
    elif kind == "a tensor too many":
        state = LighterUNet(group_size=1).state_dict()
        torch.save({"model": {**state, "extra.weight": torch.zeros(1)}}, copy / "models" / "model.pt")
    elif kind == "no licence":
        (copy / "LICENSE").unlink()
    elif kind == "no bundle":
        shutil.rmtree(copy / "configs")
    elif kind == "no json":
        (copy / "configs" / "train.json").write_text("{,}")
    elif kind == "no object":
        (copy / "configs" / "metadata.json").write_text("[]")
    elif kind == "no changelog":
        content = json.loads((copy / "configs" / "metadata.json").read_text())
        (copy / "configs" / "metadata.json").write_text(json.dumps(content | {"version": "9.9.9"}))
    elif kind == "a folder":
        (folder / "x.zip").mkdir()
    elif kind == "no zip":
        options["output"] = folder / "x.tar"
    elif kind == "weights that are not there":
        options["weights"] = folder / "gone.pt"
    return {"bundle": copy, "output": folder / "x.zip", **options}


FAULTS = {
    "no weights": (CheckpointError, r"models/model\.pt: the weights must exist, got no file"),
    "another variant": (CheckpointError, r"weights of LighterUNet\(group_size=1\), got weights of .*group_size=2"),
    "a tensor too many": (CheckpointError, r"1 tensors differ, first extra\.weight"),
    "no licence": (InputError, "must be a bundle with LICENSE, got no such file"),
    "no bundle": (InputError, r"must be a bundle with configs/metadata\.json, got no such file"),
    "no json": (InputError, r"configs/train\.json: must be JSON, got .*line 1"),
    "no object": (InputError, r"configs/metadata\.json: must be a JSON object, got list"),
    "no changelog": (InputError, r"the changelog must mention the version, got version 9\.9\.9"),
    "a folder": (InputError, r"x\.zip: must be a file to write, got a folder"),
    "no zip": (InputError, r"x\.tar: must end in \.zip, got \.tar"),
    "weights that are not there": (CheckpointError, r"gone\.pt: the weights must exist"),
}


@pytest.mark.parametrize("kind", FAULTS)
def test_what_cannot_be_released_is_refused_and_nothing_is_written(bundle, tmp_path, kind):
    options = broken(bundle, tmp_path, kind)
    before = sorted(tmp_path.iterdir())
    error, message = FAULTS[kind]
    with pytest.raises(error, match=message):
        package_bundle(**options)
    assert sorted(tmp_path.iterdir()) == before


@pytest.mark.slow
def test_wheel_and_package_segment_on_their_own_from_any_working_directory(bundle, unzipped, tmp_path):
    source, target, elsewhere = (tmp_path / name for name in ("source", "installed", "elsewhere"))
    for folder in (source, elsewhere):
        folder.mkdir()
    for name in ("pyproject.toml", "setup.py", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    for name in ("monai_lesion", "bundles"):
        shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__", "eval"))
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--no-cache-dir"]
    offline = {**os.environ, "PIP_NO_INDEX": "1"}
    wheel = ["wheel", "--quiet", "--no-deps", "--no-build-isolation", "--wheel-dir", str(tmp_path), str(source)]
    subprocess.run([*pip, *wheel], check=True, env=offline, timeout=300)
    built = tmp_path / f"monai_lesion-{__version__}-py3-none-any.whl"
    install = ["install", "--quiet", "--no-deps", "--target", str(target), str(built)]
    subprocess.run([*pip, *install], check=True, env=offline, timeout=300)

    Image.fromarray(PICTURE).save(elsewhere / "front.png")
    # The one installed must be the one that runs, not the project's own by which the tests import.
    environment = {**os.environ, "PYTHONPATH": str(target), "CUDA_VISIBLE_DEVICES": ""}
    where = [sys.executable, "-c", "import monai_lesion; print(monai_lesion.__file__)"]
    found = subprocess.run(where, cwd=elsewhere, env=environment, check=True, capture_output=True, text=True)
    assert Path(found.stdout.strip()).is_relative_to(target)
    command = ["-m", "monai.bundle", "run", "--config_file", str(unzipped / "configs" / "inference.json")]
    command += ["--bundle_root", str(unzipped), "--images", "front.png", "--output_dir", "out"]
    done = subprocess.run(
        [sys.executable, *command], cwd=elsewhere, env=environment, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr[-2000:]
    expected = LesionSegmenter.from_bundle(bundle, device="cpu")(PICTURE).mask > 0
    assert 0 < expected.sum() < expected.size, "the mask says nothing"
    np.testing.assert_array_equal(read_mask(elsewhere / "out" / "front.png"), expected)
