"""An interval as text and as JSON."""

from __future__ import annotations

from monai_lesion.measures.intervals import Interval
from monai_lesion.measures.sizes import Quantity


def test_both_ends_have_the_unit():
    interval = Interval(Quantity(50.2, "mm2"), Quantity(80.0, "mm2"), 0.9)
    assert str(interval) == "50.2-80.0 mm²"
    assert interval.to_dict() == {"low": 50.2, "high": 80.0, "unit": "mm2", "level": 0.9}
