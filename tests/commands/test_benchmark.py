"""What `monai-lesion benchmark` refuses."""

from __future__ import annotations

import pytest
from typer.testing import CliRunner

from monai_lesion.commands.app import app
from monai_lesion.errors import InputError


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--networks", "V-net"], "--networks: must be one of U-net, Light U-net.*got V-net"),
        (["--runtimes", "tensorrt"], "--runtimes: must be one of torch-fp32.*got tensorrt"),
        (["--runtimes", "onnx-fp32-avx2"], "older_processor.py limits a whole benchmark to AVX2"),
        (["--runtimes", ","], "--runtimes: must name at least one"),
        (["--widths", "0.3"], "width: must be a multiple of 1/16"),
        (["--widths", "x"], "--widths: must be numbers"),
        (["--networks", "FCN-8s", "--widths", "0.5"], "--widths: must be 1 for FCN-8s"),
        (["--networks", "@128", "--widths", "0.1875"], "leave none of --networks"),
        (["--weights", "model.pt"], "--weights: must be NAME=FILE"),
        (
            ["--networks", "@8", "--weights", "@1=model.pt"],
            "must name networks that are measured, got Lighter U-net @1",
        ),
        (["--networks", "@8", "--weights", "@8=absent.pt"], "absent.pt: the weights must exist"),
    ],
)
def test_rejects(arguments, message) -> None:
    with pytest.raises(InputError, match=message):
        CliRunner().invoke(app, ["benchmark", *arguments], catch_exceptions=False)
