"""Our SEG in readers that are not ours: Cornerstone3D's, as in OHIF, and dcmqi, as in 3D Slicer."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from monai_lesion.dicom import Algorithm, segmentation, write
from tests.dicom import CINE, SHAPE, SPACING, WEIGHTS, ellipse_mask, make_source

pytest.importorskip("highdicom", reason="the writers need highdicom")
pytestmark = pytest.mark.slow

ALGORITHM = Algorithm("net", "0.1.0", WEIGHTS)
FOLDER = Path(__file__).with_name("viewers")
MINUTES = 8  # for an installation


def absent(why: str) -> None:
    """CI must have checked them; elsewhere the tests skip."""
    if os.environ.get("CI") == "true":
        pytest.fail(why)
    pytest.skip(why)


@pytest.fixture(scope="module")
def readers() -> Path:
    """Both readers, installed on first use into the cache; MONAI_LESION_VIEWERS names another place."""
    if named := os.environ.get("MONAI_LESION_VIEWERS"):
        return Path(named)
    if not (shutil.which("node") and shutil.which("npm")):
        absent("node and npm are not installed")
    text = "".join(file.read_text(encoding="utf-8") for file in sorted(FOLDER.iterdir()))
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "monai_lesion" / "viewers"
    folder = cache / hashlib.sha256(text.encode()).hexdigest()[:12]
    if not (folder / ".ready").exists():
        command = ["bash", str(FOLDER / "install.sh"), str(folder)]
        try:
            made = subprocess.run(
                command,
                capture_output=True,
                text=True,
                check=False,
                timeout=MINUTES * 60,
                env={**os.environ, "PYTHON": sys.executable},
            )
        except subprocess.TimeoutExpired:
            absent(f"the readers are not installed after {MINUTES} minutes")
        if made.returncode:
            absent(f"the readers cannot be installed: {(made.stderr.strip().splitlines() or [''])[-1]}")
    return folder


def cornerstone(readers: Path, source: Path, seg: Path) -> subprocess.CompletedProcess[str]:
    command = ["node", str(readers / "read_segmentation.mjs"), str(source), str(seg)]
    return subprocess.run(command, capture_output=True, text=True, check=False, cwd=readers)


def dcmqi(readers: Path, seg: Path, output: Path) -> subprocess.CompletedProcess[str]:
    output.mkdir()
    program = readers / "venv" / "bin" / "segimage2itkimage"
    command = [str(program), "--inputDICOM", str(seg), "--outputDirectory", str(output)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("geometry", ["none", "picture"])
@pytest.mark.parametrize("changes", [{}, {"SOPClassUID": CINE, "NumberOfFrames": 3}], ids=["picture", "cine"])
def test_cornerstone_shows_the_mask_to_the_pixel(readers, tmp_path, geometry, changes):
    source, frame = make_source(tmp_path, **changes), 1 if changes else None
    seg = segmentation(source, ellipse_mask(), ALGORITHM, frame=frame, geometry=geometry, spacing=SPACING)
    answer = cornerstone(readers, source, write(seg, tmp_path / "seg.dcm"))
    assert answer.returncode == 0, answer.stderr[-800:]
    found = json.loads(answer.stdout.strip().splitlines()[-1])
    masks = np.reshape(found["masks"], (-1, *SHAPE))
    np.testing.assert_array_equal(masks[frame or 0], ellipse_mask())
    assert masks.sum() == ellipse_mask().sum()  # of a cine, in its frame alone
    assert found["segments"] == ["Lesion"]


def test_dcmqi_needs_a_geometry_as_the_page_says(readers, tmp_path):
    source = make_source(tmp_path)
    plain = write(segmentation(source, ellipse_mask(), ALGORITHM), tmp_path / "plain.dcm")
    assert dcmqi(readers, plain, tmp_path / "a").returncode != 0
    options = {"geometry": "picture", "spacing": SPACING}
    placed = write(segmentation(source, ellipse_mask(), ALGORITHM, **options), tmp_path / "placed.dcm")
    answer = dcmqi(readers, placed, tmp_path / "b")
    assert answer.returncode == 0, answer.stdout + answer.stderr
    itk = pytest.importorskip("itk", reason="what reads NRRD")
    image = itk.imread(str(tmp_path / "b" / "1.nrrd"))
    np.testing.assert_array_equal(np.squeeze(itk.array_from_image(image)) > 0, ellipse_mask() > 0)
    np.testing.assert_allclose(list(image.GetSpacing())[:2], SPACING[::-1])
