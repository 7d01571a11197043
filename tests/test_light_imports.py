"""What only segments starts without PyTorch and MONAI; `import monai_lesion` and the command line without numpy too."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1] / "monai_lesion"
HEAVY = ("torch", "monai", "ignite", "scipy", "skimage", "pandas", "ray", "onnx", "matplotlib")
COMMANDS = sorted(f"monai_lesion.commands.{file.stem}" for file in (ROOT / "commands").glob("[!_]*.py"))
IMAGES = sorted(f"monai_lesion.images.{file.stem}" for file in (ROOT / "images").glob("[!_]*.py"))
SEGMENTING = [
    "monai_lesion.pipeline.operations",
    "monai_lesion.pipeline.steps",
    "monai_lesion.runtimes.executions",
    "monai_lesion.runtimes.onnx_runtimes",
    "monai_lesion.runtimes.openvino_runtimes",
    "monai_lesion.models.client",
    "monai_lesion.models.descriptions",
    "monai_lesion.models.folders",
    "monai_lesion.models.presets",
    "monai_lesion.segmentation.batches",
    "monai_lesion.segmentation.lesion_segmenters",
    "monai_lesion.segmentation.results",
    "monai_lesion.segmentation.segmenters",
]


ARCHIVE = sorted(f"monai_lesion.archive.{file.stem}" for file in (ROOT / "archive").glob("[!_]*.py"))


def imported(code, heavy):
    call = [sys.executable, "-c", f"import sys\n{code}\nprint(sorted({set(heavy)!r} & set(sys.modules)))"]
    done = subprocess.run(call, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()[-1]


@pytest.mark.parametrize(
    ("modules", "heavy"),
    [
        (["monai_lesion", *COMMANDS], (*HEAVY, "numpy", "onnxruntime")),
        (SEGMENTING, HEAVY),
        ([name for name in IMAGES if name != "monai_lesion.images.readers"], HEAVY),
    ],
    ids=["commands", "segmenting", "images"],
)
def test_importing_brings_nothing_heavy(modules, heavy):
    assert imported("\n".join(f"import {module}" for module in modules), heavy) == "[]"


@pytest.mark.slow
def test_an_archive_is_segmented_without_pytorch(tmp_path):
    pytest.importorskip("pyarrow", reason="pyarrow is in the extra archive")
    code = "\n".join(f"import {module}" for module in ARCHIVE)
    code += f"""
import numpy
from pathlib import Path
from PIL import Image
from monai_lesion.archive.jobs import Network
from monai_lesion.archive.runs import Choices, run_archive
Image.fromarray(numpy.zeros((40, 50), numpy.uint8)).save({str(tmp_path / "1.png")!r})
run_archive(Choices(({str(tmp_path)!r},)), {str(tmp_path / "out")!r}, Network("pocket"), workers=0, progress=False)
"""
    assert imported(code, ("torch", "monai", "ignite", "matplotlib", "ray")) == "[]"


@pytest.mark.slow
@pytest.mark.parametrize("runtime", [None, "onnx", "openvino"])
def test_segmenting_with_a_model_folder_brings_nothing_heavy(runtime):
    if runtime == "openvino":
        pytest.importorskip("openvino", reason="OpenVINO is in the extra cpu")
    code = (
        "import numpy\nfrom monai_lesion import LesionSegmenter\n"
        f"LesionSegmenter.from_preset(runtime={runtime!r})(numpy.zeros((40, 50, 3), numpy.uint8)).to_dict()"
    )
    assert imported(code, ("torch", "monai", "ignite", "skimage", "pandas", "onnx")) == "[]"
