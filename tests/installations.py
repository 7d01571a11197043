"""What is built of this project, and an environment that has it installed; both without the network."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

ROOT = Path(__file__).parents[1]
PARTS = ("pyproject.toml", "setup.py", "MANIFEST.in", "README.md", "CHANGELOG.md", "CITATION.cff", "LICENSE")
DECOYS = (  # what lies in a working folder and must not travel
    "bundles/lighter_unet/models/model.pt",
    "bundles/lighter_unet/eval/summary.json",
    "bundles/lighter_unet/configs/.train.json.swp",
    "results/a/run.json",
    "runs/models/model.pt",
    "tests/test_a.py",
)
# The packages that a build isolates itself from are absent: setup.py may need none of them.
BUILD = """
import sys
sys.modules.update(dict.fromkeys(("numpy", "torch", "monai", "typer")))
from setuptools import build_meta
target = sys.argv[1]
build_meta.build_sdist(target)
build_meta.build_wheel(target)
"""


def build(folder: Path) -> Path:
    """Build the wheel and the source distribution from a copy of the project; give the folder that has them."""
    source, target = folder / "source", folder / "dist"
    target.mkdir()
    skip = shutil.ignore_patterns("__pycache__")
    shutil.copytree(ROOT / "monai_lesion", source / "monai_lesion", ignore=skip)
    bundle = "bundles/lighter_unet"
    shutil.copytree(ROOT / bundle, source / bundle, ignore=shutil.ignore_patterns("models", "eval"))
    for name in (*PARTS, "constraints.txt"):
        shutil.copy(ROOT / name, source)
    for name in DECOYS:
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        (source / name).write_text("{}")
    subprocess.run([sys.executable, "-c", BUILD, str(target)], cwd=source, check=True, capture_output=True, timeout=300)
    return target


def install(wheel: Path, folder: Path) -> Path:
    """Make an environment with the wheel, whose other packages are this environment's; give its Python."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True, timeout=300)
    python = folder / "bin" / "python"
    where = [str(python), "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"]
    packages = Path(subprocess.run(where, check=True, capture_output=True, text=True).stdout.strip())
    # A path in a .pth is searched last, and its own .pth files, such as an editable install's, are not read.
    (packages / "reused.pth").write_text("\n".join({sysconfig.get_path("purelib"), sysconfig.get_path("platlib")}))
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--python", str(python)]
    call = [*pip, "install", "--quiet", "--no-deps", "--no-index", str(wheel)]
    subprocess.run(call, check=True, capture_output=True, timeout=300)
    return python


class Shell:
    """Runs what is installed, in a folder with a picture and nothing of the project."""

    def __init__(self, python: Path, folder: Path) -> None:
        self.python, self.folder = python, folder
        kept = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
        own = {"MONAI_LESION_CACHE": str(folder / "cache"), "CUDA_VISIBLE_DEVICES": "", "PYTHONWARNINGS": "ignore"}
        self.environment = {**kept, **own}

    def __call__(self, *words: object) -> str:
        """The output of a module's command; a failure shows what it said."""
        call = [str(self.python), "-m", *map(str, words)]
        done = subprocess.run(call, cwd=self.folder, env=self.environment, capture_output=True, text=True, timeout=600)
        assert done.returncode == 0, f"{' '.join(call)}\n{done.stdout[-2000:]}\n{done.stderr[-3000:]}"
        return done.stdout.strip()

    def bundle(self, run_id: str, configs: list[Path], *options: object) -> None:
        """Run a bundle as the card says."""
        names = str([str(config) for config in configs])
        self("monai.bundle", "run", run_id, "--config_file", names, *options)
