"""CI fails where the programs of the integration tests cannot be had, in place of skipping what needs them."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[1] / ".ci" / "run"
PROGRAMS = ("dciodvfy", "dsrdump", "Orthanc", "openssl", "chromium")

pytestmark = pytest.mark.skipif(shutil.which("bash") is None, reason="CI's script is for bash")


def stub(folder: Path, name: str, body: str) -> None:
    (folder / name).write_text(f"#!{shutil.which('bash')}\n{body}\n")
    (folder / name).chmod(0o755)


def run(folder: Path, apt: str, *, ci: bool) -> tuple[int, str, list[str]]:
    """Exit status, output and make's targets where apt-get does as told and nothing else is on the path."""
    (folder / "bin").mkdir()
    (folder / "bin" / "dirname").symlink_to(shutil.which("dirname"))
    stub(folder / "bin", "apt-get", f"[ $1 = update ] && exit 0\n{apt}")
    stub(folder / "bin", "make", f"echo $@ >> {folder}/made")
    environment = {key: value for key, value in os.environ.items() if key != "CI"} | ({"CI": "true"} if ci else {})
    environment |= {"PATH": str(folder / "bin"), "PYTHON": sys.executable}
    done = subprocess.run([shutil.which("bash"), SCRIPT], env=environment, capture_output=True, text=True, timeout=60)
    made = (folder / "made").read_text().splitlines() if (folder / "made").exists() else []
    return done.returncode, done.stdout + done.stderr, made


def bring(folder: Path, names: tuple[str, ...]) -> str:
    bash = shutil.which("bash")
    return "\n".join(f"printf '#!{bash}\\n' > {folder}/bin/{name}; /bin/chmod +x {folder}/bin/{name}" for name in names)


def test_ci_fails_before_any_test_where_apt_fails(tmp_path: Path) -> None:
    status, said, made = run(tmp_path, "echo E: no network; exit 100", ci=True)
    assert (status, made) == (1, [])
    assert "did not bring dciodvfy dsrdump Orthanc openssl" in said
    assert "E: no network" in said


def test_ci_fails_where_apt_succeeds_without_one_of_them(tmp_path: Path) -> None:
    status, said, made = run(tmp_path, bring(tmp_path, PROGRAMS[1:]), ci=True)
    assert (status, made) == (1, [])
    assert "did not bring dciodvfy\n" in said


def test_ci_goes_on_with_what_apt_brings(tmp_path: Path) -> None:
    status, said, made = run(tmp_path, bring(tmp_path, PROGRAMS), ci=True)
    assert status == 0, said
    assert made[0].startswith("test")
    assert "skip" not in "".join(line for line in said.splitlines() if "oldest" not in line)


def test_elsewhere_it_goes_on_and_says_what_skips(tmp_path: Path) -> None:
    status, said, made = run(tmp_path, "exit 100", ci=False)
    assert status == 0, said
    assert "their tests will skip" in said
    assert made[0].startswith("test")
