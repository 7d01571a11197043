"""Simulated views, and pictures with calipers in files."""

from __future__ import annotations

import pytest

from monai_lesion.phantoms.cases import simulate_case
from tests.calipers.pictures import write_pictures


@pytest.fixture(scope="module")
def views():
    return [view for case in range(2) for view in simulate_case(31, case).views]


@pytest.fixture
def entries(tmp_path):
    return write_pictures(tmp_path)
