"""With what budget results were made."""

from types import SimpleNamespace

from monai_lesion.report.budgets import _seeds


def test_seeds_are_told_of_those_that_differ():
    counts = {"U-net": [1, 2, 3], "FCN-8s": [1], "FCN-16s": [1]}
    assert _seeds(SimpleNamespace(compared=lambda: counts)) == "Seeds: 3 of U-net, 1 of each other"
