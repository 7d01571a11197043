"""How much disk a fresh install takes, and which packages take it.

    python benchmarks/install_size.py [--largest 8]

Three new environments below a temporary folder: ``pip install .`` after the pinned torch, as README.md says; the same
without compiled copies of every Python file (Python makes those of what it runs); and what an exported folder needs,
the packages of its ``requirements.txt`` with ONNX Runtime. Needs pip's package index and a few minutes. Sizes are those
that ``du -sm`` shows for the whole environment, pip included.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PINNED = ["--constraint", str(ROOT / "constraints.txt")]
ENVIRONMENTS = {
    "pip install .": ([*PINNED, "torch"], [*PINNED, str(ROOT)]),
    "pip install --no-compile .": (["--no-compile", *PINNED, "torch"], ["--no-compile", *PINNED, str(ROOT)]),
    "an exported folder": (["onnxruntime", "numpy", "pillow"],),
}
WANTED = {"pip install .": 1900, "pip install --no-compile .": 1900, "an exported folder": 350}
# Blocks as du counts them, shared out to the packages whose lists name the files.
SHARES = """
import json
from importlib.metadata import distributions
def blocks(file):
    try:
        return file.locate().stat().st_blocks * 512
    except OSError:
        return 0
print(json.dumps({d.metadata["Name"]: sum(map(blocks, d.files or [])) / 2**20 for d in distributions()}))
"""


def measure(name: str, installs: tuple[list[str], ...], largest: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        python = str(Path(folder) / "bin" / "python")
        subprocess.run([sys.executable, "-m", "venv", folder], check=True)
        for packages in installs:
            subprocess.run([python, "-m", "pip", "install", "--quiet", *packages], check=True)
        size = int(subprocess.run(["du", "-sm", folder], check=True, capture_output=True, text=True).stdout.split()[0])
        shown = subprocess.run([python, "-c", SHARES], cwd=folder, check=True, capture_output=True, text=True)
    shares: dict[str, float] = json.loads(shown.stdout)
    top = sorted(shares.items(), key=lambda item: -item[1])[:largest]
    print(f"{name}: {size} MB (wanted: at most {WANTED[name]})")
    print("    " + ", ".join(f"{package} {share:.0f}" for package, share in top))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--largest", type=int, default=8, help="packages named, the largest first")
    options = parser.parse_args()
    for name, installs in ENVIRONMENTS.items():
        measure(name, installs, options.largest)


if __name__ == "__main__":
    main()
