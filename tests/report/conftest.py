"""A study that has run and the report on it, made once."""

import pytest

from monai_lesion.report.kept_records import keep_records
from monai_lesion.report.pages import write_report
from monai_lesion.report.studies import load_studies
from tests.report.records import change, make_study


@pytest.fixture(scope="session")
def output(tmp_path_factory):
    return make_study(tmp_path_factory.mktemp("made"))


@pytest.fixture(scope="session")
def page(output, tmp_path_factory):
    return write_report([output], tmp_path_factory.mktemp("report"), cpu_time=False)


@pytest.fixture
def no_plots(monkeypatch):
    """They take most of a report's time and stand in no table; test_plots.py has them."""
    monkeypatch.setattr("monai_lesion.report.pages.draw_plots", lambda *_: [])


@pytest.fixture
def kept(tmp_path):
    """Kept records of two studies of different resolution."""
    for name, size in (("small", [64, 64]), ("large", [256, 256])):
        output = make_study(tmp_path / name, name=name, title=f"The {name} one")
        change(output, "trials/*/*/run.json", spatial_size=size, threads=2)
        keep_records(load_studies([output]), tmp_path / "results")
    return tmp_path / "results"
