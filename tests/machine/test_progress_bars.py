"""A progress bar counts what passes, and writes to standard error alone."""

from __future__ import annotations

import io
import logging
import sys

from monai_lesion.machine.progress_bars import bar


def test_everything_passes_and_the_end_is_told_on_standard_error(capsys):
    assert list(bar(range(3), title="reading", unit="file")) == [0, 1, 2]
    output, errors = capsys.readouterr()
    assert output == ""
    assert "reading: 100%" in errors
    assert "3/3" in errors
    assert "file" in errors


def test_a_bar_moved_by_hand_goes_on_where_it_was(capsys):
    with bar(title="training", total=5, initial=2) as moved:
        moved.update()
        assert (moved.n, moved.total) == (3, 5)
    assert "3/5" in capsys.readouterr().err


def test_a_bar_that_is_not_shown_writes_nothing(capsys):
    assert list(bar(range(3), title="reading", shown=False)) == [0, 1, 2]
    assert list(bar(range(3), title="checking", delay=60)) == [0, 1, 2]
    assert capsys.readouterr() == ("", "")


def test_what_is_not_a_terminal_gets_lines_that_the_log_can_stand_between(capsys):
    for _ in bar(range(2), title="reading"):
        print("a line of the log", file=sys.stderr)
    lines = capsys.readouterr().err.splitlines()
    assert [line.split(":")[0] for line in lines] == ["reading", "a line of the log", "a line of the log", "reading"]
    assert "2/2" in lines[-1]


def test_on_a_terminal_a_line_of_the_log_stands_above_the_bar(monkeypatch):
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    logger = logging.getLogger()
    handler = logging.StreamHandler(terminal)
    logger.addHandler(handler)
    try:
        with bar(title="training", total=5) as moved:
            logger.warning("a line of the log")
            moved.update(5)
    finally:
        logger.removeHandler(handler)
    above, below = terminal.getvalue().strip().split("\n")
    assert above.split("\r")[-1] == "a line of the log"
    assert "5/5" in below
