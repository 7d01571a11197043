"""The commands `bundle path` and `bundle init`."""

from __future__ import annotations

from pathlib import Path

from typer.testing import CliRunner

from monai_lesion.commands.app import app
from monai_lesion.models.bundles import bundle_folder


def test_the_commands_print_where_it_is_and_where_the_copy_is(tmp_path: Path) -> None:
    printed = CliRunner().invoke(app, ["bundle", "path"]).output
    assert Path(printed.strip()) == bundle_folder()
    printed = CliRunner().invoke(app, ["bundle", "init", str(tmp_path / "mine")]).output
    assert Path(printed.strip()) == tmp_path / "mine"
    assert (tmp_path / "mine" / "configs" / "train.json").is_file()
