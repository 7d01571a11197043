"""The scripts in `benchmarks/` that limit and measure the machine."""

import subprocess
import sys
from pathlib import Path

import pytest

SCRIPTS = Path(__file__).parents[1] / "benchmarks"


@pytest.mark.slow
def test_a_limited_process_has_no_avx512():
    """PyTorch itself says which instructions it uses."""
    ask = [sys.executable, "-c", "import torch; print(torch.backends.cpu.get_cpu_capability())"]
    limited = [sys.executable, str(SCRIPTS / "older_processor.py"), *ask]
    free, told = (
        subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip() for command in (ask, limited)
    )
    assert told == ("AVX2" if free == "AVX512" else free)
