"""Pictures of the same cases, and of the worst."""

import pytest

from monai_lesion.report.galleries import mean_dice, same_cases, worst_images
from monai_lesion.report.studies import load_studies


def test_the_page_shows_the_same_cases_across_networks_and_the_worst_images(output, page):
    text = page.read_text(encoding="utf-8")
    (study,) = load_studies([output])
    rows = same_cases(study)
    assert all(len(row) == 3 for row in rows)
    worst = worst_images(study, "U-net")
    assert len(worst) == 12  # of twenty, for there are no more
    assert "case 05 side: mean Dice 0.000, missed by 4 of 4 trainings" in worst[0].caption
    scores = mean_dice(study.compared())
    assert [float(p.caption.split("mean Dice ")[1][:5]) for p in worst] == pytest.approx(sorted(scores), abs=1e-3)
    assert text.count("data:image/jpeg") == sum(map(len, rows)) + len(worst)
