"""The plot of trust holds every calibrated network, and is left out without one."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from monai_lesion.report.studies import StudyRecords, TrialRecord
from monai_lesion.report.trust_plots import draw_trust, trust_of

pytest.importorskip("matplotlib", reason="Matplotlib is in the extra study")


def study(*, calibrated):
    draw = np.random.default_rng(0)
    rows = []
    for number, quality in enumerate(draw.random(40)):
        trust = "" if number < 3 else f"{quality:.3f}"
        columns = {"trust": trust, "quality": f"{quality:.3f}"} if calibrated else {}
        rows.append({"image": f"{number}.png", "dice": float(quality), "lesions": 0 if number > 35 else 1, **columns})
    trial = TrialRecord(Path("a"), {"entry": "net", "seed": 0}, (), rows)
    return StudyRecords("s", "S", "", ["net"], [trial])


def test_only_pictures_with_a_lesion_and_a_trust_count():
    trusted = study(calibrated=True)
    assert len(trust_of(trusted, "quality")["net"][0]) == 36
    assert len(trust_of(trusted, "trust")["net"][0]) == 33  # three were taken back


def test_the_plot_says_error_and_area(tmp_path):
    ((caption, path),) = draw_trust(study(calibrated=True), tmp_path)
    assert path == tmp_path / "s_trust.svg"
    assert "reliability" in caption
    assert path.read_text().startswith("<?xml")


def test_without_a_calibration_there_is_no_plot(tmp_path):
    assert draw_trust(study(calibrated=False), tmp_path) == []
    assert not list(tmp_path.iterdir())
