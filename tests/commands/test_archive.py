"""`archive SOURCE` is `archive run SOURCE`; what the command says at its end."""

from __future__ import annotations

import pytest
from typer.testing import CliRunner

from monai_lesion.archive import runs
from monai_lesion.archive.runs import Outcome
from monai_lesion.commands.app import app
from monai_lesion.errors import InputError


@pytest.fixture
def asked(monkeypatch):
    """What the library was asked for; it answers with two errors where a source is called bad."""
    found = []

    def run_archive(choices, output, network, **options):
        found.append((choices, str(output), network, options))
        return Outcome(5, 2 if "bad" in choices.sources else 0, {"": 3}, 5, 1.0)

    monkeypatch.setattr(runs, "run_archive", run_archive)
    return found


@pytest.mark.parametrize("words", [["archive"], ["archive", "run"]])
def test_the_first_word_may_be_a_source(asked, words):
    result = CliRunner().invoke(app, [*words, "scans", "more", "--output", "out", "--stride", "3", "--workers", "0"])
    assert result.exit_code == 0, result.output
    ((choices, output, network, options),) = asked
    assert (choices.sources, choices.stride, output) == (("scans", "more"), 3, "out")
    assert (network.model, network.runtime, options["workers"]) == ("pocket", None, 0)
    assert "5 rows, 0 of them errors: 3 not judged; 5 now, 5.0 a second" in result.output


def test_options_may_stand_before_the_source(asked):
    assert CliRunner().invoke(app, ["archive", "--output", "out", "scans"]).exit_code == 0
    assert asked[0][0].sources == ("scans",)


def test_bad_files_are_counted_and_the_exit_status_says_so(asked):
    result = CliRunner().invoke(app, ["archive", "bad", "--output", "out"])
    assert isinstance(result.exception, InputError)
    assert "2 of 5 rows are errors" in str(result.exception)
    assert "table in out/rows" in result.output


def test_help_is_that_of_the_group(asked):
    assert "Commands:" in CliRunner().invoke(app, ["archive", "--help"]).output
    assert asked == []


def test_rows_are_named_and_formats_known():
    result = CliRunner().invoke(app, ["archive", "to-dicom", "results", "--output", "out"])
    assert "--where: or --row must select rows, got neither" in str(result.exception)
    result = CliRunner().invoke(app, ["archive", "to-dicom", "r", "--output", "out", "--row", "1", "--formats", "png"])
    assert "--formats: must be one or more of dicom-seg, dicom-sr, sc, got png" in str(result.exception)


@pytest.mark.parametrize("words", [["show", "--row", "1"], ["report"], ["to-dicom", "--row", "1", "--output", "o"]])
def test_a_folder_without_results_is_told(tmp_path, words):
    pytest.importorskip("pyarrow", reason="pyarrow is in the extra archive")
    result = CliRunner().invoke(app, ["archive", words[0], str(tmp_path), *words[1:]])
    assert "must hold results of an archive, got none" in str(result.exception)
