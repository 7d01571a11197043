"""What networks cost, in a report."""

from __future__ import annotations

from monai_lesion.report.costs import network_costs
from monai_lesion.report.studies import load_studies
from monai_lesion.report.study_tables import results_table


def test_time_stands_behind_the_arithmetic_only_where_it_was_taken(output):
    (study,) = load_studies([output])
    costs = network_costs(study.compared())
    bare = results_table(study, costs)
    assert "CPU, ms" not in bare.columns
    assert "CPU:" not in bare.note
    timed = results_table(study, {name: cost._replace(milliseconds=12.4) for name, cost in costs.items()})
    assert timed.columns.index("CPU, ms") == 3
    assert [row[3] for row in timed.rows] == ["12"] * len(timed.rows)
    assert "CPU: one image in float32" in timed.note
