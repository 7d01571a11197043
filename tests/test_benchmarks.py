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


@pytest.mark.slow
def test_the_fakes_of_the_attacks_are_as_their_caller_takes_them(tmp_path, monkeypatch):
    """A stale fake makes every try look as if it was not survived."""
    pytest.importorskip("highdicom", reason="the writers need highdicom")
    monkeypatch.syspath_prepend(str(SCRIPTS))
    import attack_peers

    rows = attack_peers.web_rows(3, attack_peers.planted(tmp_path))
    for _ in range(4):
        name, tries, survived = next(rows)
        assert survived == tries, name
