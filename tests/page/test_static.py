"""What travels in the wheel is what ``web/`` builds."""

from __future__ import annotations

import gzip
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import monai_lesion.page

STATIC = Path(monai_lesion.page.__file__).parent / "static"


def content(folder: Path) -> dict[str, bytes]:
    """Every file; compressed ones unpacked, for another zlib packs otherwise."""
    files = {str(file.relative_to(folder)): file.read_bytes() for file in folder.rglob("*") if file.is_file()}
    return {name: gzip.decompress(data) if name.endswith(".gz") else data for name, data in files.items()}


@pytest.mark.slow
def test_the_build_is_not_stale(packages: Path, tmp_path: Path) -> None:
    npx = shutil.which("npx") or "npx"
    subprocess.run([npx, "tsc"], cwd=packages, check=True, capture_output=True)
    built = tmp_path / "static"
    subprocess.run([npx, "vite", "build", "--outDir", str(built)], cwd=packages, check=True, capture_output=True)
    examples = [sys.executable, str(packages / "examples.py"), str(built / "examples")]
    subprocess.run(examples, check=True, capture_output=True, env={**os.environ, "OMP_NUM_THREADS": "1"})
    wanted, found = content(built), content(STATIC)
    assert found.keys() == wanted.keys(), "run make page"
    assert [name for name in wanted if wanted[name] != found[name]] == [], "run make page"


def test_it_is_small_enough_for_the_wheel() -> None:
    assert sum(file.stat().st_size for file in STATIC.rglob("*") if file.is_file()) < 25 * 2**20
