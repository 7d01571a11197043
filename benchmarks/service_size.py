"""How much disk the service takes, by the steps of deploy/Containerfile in an empty environment, and whether it runs.

    python benchmarks/service_size.py

Makes an environment below a temporary folder, installs the lock (deploy/requirements.txt) and this project without its
dependencies, says what ``du -sm`` shows, and runs ``serve --check`` there with the package's networks. Needs pip's
package index. The image adds the slim Python image, which is not counted.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from tests.service import SMALLEST  # noqa: E402

MOST = 700  # MB
CONFIGURATION = f'{SMALLEST}[models.clinic]\nfolder = "clinic"\n'


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        environment, python = folder / "environment", folder / "environment" / "bin" / "python"
        subprocess.run([sys.executable, "-m", "venv", environment], check=True)
        install = [python, "-m", "pip", "install", "--quiet", "--no-cache-dir", "--no-compile", "--no-deps"]
        subprocess.run([*install, "-r", ROOT / "deploy" / "requirements.txt"], check=True)
        subprocess.run([*install, ROOT], check=True)
        subprocess.run([python, "-m", "pip", "uninstall", "--yes", "--quiet", "pip"], check=True)
        size = int(subprocess.run(["du", "-sm", environment], check=True, capture_output=True).stdout.split()[0])
        (folder / "service.toml").write_text(CONFIGURATION)
        line = [environment / "bin" / "monai-lesion", "serve", "--config", folder / "service.toml", "--check"]
        said = subprocess.run(line, cwd=folder, capture_output=True, text=True, env={"PYTHONDONTWRITEBYTECODE": "1"})
    wrong = [each for each in said.stdout.splitlines() if each.startswith("wrong")]
    print(f"{size} MB (at most {MOST}); {len(said.stdout.splitlines())} parts tried, wrong: {wrong}")
    # The archive of the configuration does not exist; everything else has to be well.
    sys.exit(size > MOST or len(wrong) != 1 or "destinations.archive" not in wrong[0])


if __name__ == "__main__":
    main()
