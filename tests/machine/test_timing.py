import pytest

from monai_lesion.machine import timing


class Clock:
    """A time that passes only while something works."""

    now = 0.0

    def perf_counter(self):
        return self.now


def test_the_first_turn_warms_up_and_the_median_of_the_others_counts(monkeypatch):
    clock, order = Clock(), []
    monkeypatch.setattr(timing, "time", clock)
    seconds = {"a": iter([90, 1, 5, 3]), "b": iter([0, 7, 7, 7])}

    def work(name):
        order.append(name)
        clock.now += next(seconds[name])

    medians = timing.median_milliseconds({name: lambda name=name: work(name) for name in seconds}, turns=3)
    assert medians == pytest.approx({"a": 3000, "b": 7000})
    assert "".join(order) == "ab" * 4
