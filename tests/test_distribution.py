"""What is given away: the wheel and the source distribution hold what is named and nothing else, and the wheel works.

The demo of what is installed is in tests/commands/test_demo.py.
"""

from __future__ import annotations

import email
import json
import subprocess
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from monai_lesion import __version__
from monai_lesion.models.bundles import bundle_files
from tests.installations import ROOT, Shell

pytestmark = pytest.mark.slow

BUNDLE = ROOT / "bundles" / "lighter_unet"
SMALL = ["--spatial_size", "[32,32]", "--max_epochs", "1", "--progress", "false", "--device", "cpu"]


def sources() -> set[str]:
    """The package's files by their paths in the checkout."""
    files = (file for file in (ROOT / "monai_lesion").rglob("*") if file.is_file())
    return {file.relative_to(ROOT).as_posix() for file in files if "__pycache__" not in file.parts}


def bundled(prefix: str) -> set[str]:
    return {f"{prefix}bundles/lighter_unet/{name}" for name in bundle_files(BUNDLE)}


@pytest.fixture(scope="module")
def wheel(distributions: Path) -> zipfile.ZipFile:
    (file,) = distributions.glob("*.whl")
    assert file.name == f"monai_lesion-{__version__}-py3-none-any.whl"
    return zipfile.ZipFile(file)


def test_the_wheel_holds_the_package_and_the_bundle_and_nothing_else(wheel: zipfile.ZipFile) -> None:
    found = {name for name in wheel.namelist() if f"-{__version__}.dist-info/" not in name}
    assert found == sources() | bundled("monai_lesion/")


def test_the_source_distribution_holds_what_builds_the_wheel_and_nothing_else(distributions: Path) -> None:
    (file,) = distributions.glob("*.tar.gz")
    with tarfile.open(file) as archive:
        names = {member.name.split("/", 1)[1] for member in archive.getmembers() if member.isfile()}
    found = {name for name in names if ".egg-info/" not in name}
    beside = {"CHANGELOG.md", "CITATION.cff", "LICENSE", "MANIFEST.in", "PKG-INFO", "README.md", "constraints.txt"}
    assert found == sources() | bundled("") | beside | {"pyproject.toml", "setup.cfg", "setup.py"}


def test_the_wheel_says_its_licence(wheel: zipfile.ZipFile) -> None:
    told = email.message_from_bytes(wheel.read(f"monai_lesion-{__version__}.dist-info/METADATA"))
    assert (told["License-Expression"], told["License-File"]) == ("Apache-2.0", "LICENSE")
    licence = wheel.read(f"monai_lesion-{__version__}.dist-info/licenses/LICENSE")
    assert licence == (ROOT / "LICENSE").read_bytes()


@pytest.fixture(scope="module")
def bundle(shell: Shell) -> Path:
    """The installed bundle, as its command tells."""
    return Path(shell("monai_lesion", "bundle", "path"))


@pytest.fixture(scope="module")
def manifest(shell: Shell) -> Path:
    shell("monai_lesion", "phantoms", "--output", "cases", "--cases", 5, "--workers", 0)
    return shell.folder / "cases" / "phantoms.json"


@pytest.fixture(scope="module")
def trained(shell: Shell, bundle: Path, manifest: Path) -> tuple[Path, dict[str, bytes], dict[str, bytes]]:
    """The weights of a training with the installed bundle, and the installation before and after it."""
    before = installation(bundle)
    shell.bundle("training", [bundle / "configs" / "train.json"], "--manifest", manifest, *SMALL)
    return shell.folder / "runs" / "models" / "model.pt", before, installation(bundle)


def installation(bundle: Path) -> dict[str, bytes]:
    package = bundle.parents[1]
    files = (file for file in package.rglob("*") if file.is_file() and "__pycache__" not in file.parts)
    return {file.relative_to(package).as_posix(): file.read_bytes() for file in files}


def test_the_installed_package_and_bundle_are_those_that_run(shell: Shell, bundle: Path) -> None:
    packages = shell.python.parents[1]
    assert bundle.is_relative_to(packages)
    assert bundle_files(bundle) == bundle_files(BUNDLE)
    assert shell("monai_lesion", "--version") == f"monai-lesion {__version__}"
    where = [str(shell.python), "-c", "import monai_lesion; print(monai_lesion.__file__)"]
    found = subprocess.run(where, cwd=shell.folder, env=shell.environment, check=True, capture_output=True, text=True)
    assert Path(found.stdout.strip()).is_relative_to(packages)
    program = [str(shell.python.with_name("monai-lesion")), "--version"]
    assert subprocess.run(program, check=True, capture_output=True, text=True).stdout.split()[1] == __version__


def test_predict_and_label_app_have_the_network_that_comes_along(shell: Shell) -> None:
    shell("monai_lesion", "predict", "scan.png", "--output", "masks")
    assert np.asarray(Image.open(shell.folder / "masks" / "scan.png")).any()
    shell("monai_lesion", "label-app", "--output", "app")
    assert (shell.folder / "app" / "model" / "lighter_unet" / "models" / "model.pt").is_file()


def test_a_training_writes_to_runs_and_never_into_the_installation(
    trained: tuple[Path, dict[str, bytes], dict[str, bytes]],
) -> None:
    weights, before, after = trained
    assert weights.is_file()
    assert before == after


def test_evaluation_and_inference_find_what_the_training_wrote(
    shell: Shell, bundle: Path, manifest: Path, trained: tuple[Path, object, object]
) -> None:
    configs = bundle / "configs"
    shell.bundle("evaluating", [configs / "train.json", configs / "evaluate.json"], "--manifest", manifest, *SMALL)
    assert json.loads((shell.folder / "runs" / "eval" / "summary.json").read_text(encoding="utf-8"))["n"] == 2
    shell.bundle("inferring", [configs / "inference.json"], "--images", "scan.png", "--output_dir", "out", *SMALL[:2])
    assert (shell.folder / "out" / "scan.png").is_file()


def test_what_was_trained_can_be_packaged(shell: Shell, trained: tuple[Path, object, object]) -> None:
    copy = Path(shell("monai_lesion", "bundle", "init", "small"))
    for config in ("train.json", "inference.json"):  # the size that it was trained with, which a package must say
        file = copy / "configs" / config
        text = file.read_text(encoding="utf-8")
        file.write_text(text.replace('"spatial_size": [256, 256]', '"spatial_size": [32, 32]'), encoding="utf-8")
    shell("monai_lesion", "bundle", "package", "--bundle", copy, "--output", "x.zip", "--weights", trained[0])
    with zipfile.ZipFile(shell.folder / "x.zip") as archive:
        names = {*archive.namelist()}
    assert names == {f"small/{name}" for name in (*bundle_files(BUNDLE), "models/model.pt")}


def test_a_copy_to_edit_trains_inside_itself(shell: Shell, manifest: Path) -> None:
    copy = Path(shell("monai_lesion", "bundle", "init", "mine"))
    config = copy / "configs" / "train.json"
    config.write_text(config.read_text(encoding="utf-8").replace('"group_size": 128', '"group_size": 1'))
    before = sorted(shell.folder.glob("runs/**/*"))
    shell.bundle("training", [config], "--manifest", manifest, *SMALL)
    assert (copy / "models" / "model.pt").stat().st_size < 10e6, "the edited network is a quarter of the other"
    assert sorted(shell.folder.glob("runs/**/*")) == before


def test_a_study_runs_with_the_installed_bundle(shell: Shell, manifest: Path) -> None:
    overrides = {"spatial_size": [32, 32], "max_epochs": 1, "min_epochs": 0}
    study = {"name": "s", "seeds": [0], "weight_decays": [0], "overrides": overrides, "networks": ["Lighter U-net @1"]}
    (shell.folder / "study.json").write_text(json.dumps(study), encoding="utf-8")
    shell("monai_lesion", "study", "run", "study.json", "--output", "study", "--manifest", manifest)
    (record,) = (shell.folder / "study").rglob("run.json")
    content = json.loads(record.read_text(encoding="utf-8"))
    assert content["state"] == "finished"
    assert content["git_commit"] is None, "an installation is of no commit, whatever repository it lies in"
