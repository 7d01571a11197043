from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import typer
from typer.testing import CliRunner

from monai_lesion.commands.app import app


def paths(command: Any, words: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    yield words
    for name, child in getattr(command, "commands", {}).items():
        yield from paths(child, (*words, name))


def test_every_help_fits_eighty_columns_and_shows_no_types_and_no_markdown():
    for words in paths(typer.main.get_command(app)):
        text = CliRunner().invoke(app, [*words, "--help"]).output
        assert max(map(len, text.splitlines())) <= 80, words
        assert not re.search(r"<(path|int|str|float|bool|list)|`|\*\*|default: no-", text), words


def test_commands_stand_by_what_they_are_for():
    text = CliRunner().invoke(app, ["--help"]).output
    train = text.split("\nTrain:\n")[1].split("\n\n")[0]
    assert re.findall(r"^  (\S+)", train, re.M)[:3] == ["train", "evaluate", "crossval"]


def test_options_of_a_network_stand_together():
    text = CliRunner().invoke(app, ["predict", "--help"]).output
    network = text.split("\nNetwork:\n")[1].split("\n\n")[0]
    assert re.findall(r"^  (--\S+)", network, re.M) == ["--bundle", "--weights", "--set", "--published"]
