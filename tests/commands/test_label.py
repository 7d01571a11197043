"""The command `label-app`."""

from __future__ import annotations

import shlex
from pathlib import Path

from typer.testing import CliRunner

from monai_lesion.commands.app import app as program
from monai_lesion.label.folders import start_command
from tests.label.trained import BUNDLE, weights


def test_command_line_shows_a_command_that_a_shell_reads_back(tmp_path: Path) -> None:
    file = weights(tmp_path, group_size=1)
    call = ["label-app", "-o", str(tmp_path / "my app"), "--bundle", str(BUNDLE), "--weights", str(file)]
    result = CliRunner().invoke(program, [*call, "--set", "network_def#group_size=1", "--studies", "/data/my images"])
    assert result.exit_code == 0, result.output
    words = shlex.split(result.stdout.splitlines()[-1])
    assert words[:4] == ["python", "-m", "monailabel.main", "start_server"]
    assert words[words.index("--app") + 1] == str(tmp_path / "my app")
    assert words[words.index("--studies") + 1] == "/data/my images"
    assert words[words.index("--host") + 1] == "127.0.0.1"
    assert start_command(tmp_path / "my app") in (tmp_path / "my app" / "README.md").read_text()
