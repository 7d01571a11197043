"""The page for Prometheus, read as Prometheus reads it."""

from __future__ import annotations

import pytest

pytest.importorskip("prometheus_client", reason="the service needs prometheus-client")
from prometheus_client.parser import text_string_to_metric_families

from monai_lesion.service.metrics import Metrics, begun
from monai_lesion.service.registers import STORED, Record
from monai_lesion.service.stores import Store


class Clock:
    now = 1_000_000_000.0

    def __call__(self):
        return self.now


def values(metrics, name):
    found = {}
    for family in text_string_to_metric_families(metrics.page().decode()):
        for sample in family.samples:
            if sample.name == name:
                found[tuple(sample.labels[label] for label in sorted(sample.labels, reverse=True))] = sample.value
    return found


def test_length_and_age_of_the_queue_are_those_on_the_disk(tmp_path):
    clock = Clock()
    store = Store(tmp_path / "queue", clock=clock)
    try:
        metrics = Metrics(store)
        store.box("archive")
        assert values(metrics, "monai_lesion_queue")[("archive", "waiting")] == 0
        job = store.open("SCANNER")
        store.receive(job, "1.2", b"x")
        clock.now = begun(job)
        for uid in ("1.1", "1.2"):
            store.register.add(Record(uid, "archive", "sc", "1.2.3", "study", "series"))
        store.register.set("1.2", "archive", STORED)
        clock.now += 60
        length, age = values(metrics, "monai_lesion_queue"), values(metrics, "monai_lesion_queue_age_seconds")
        assert (length["", "image"], length["archive", "waiting"], length["archive", "stored"]) == (1, 1, 1)
        assert age["", "image"] == pytest.approx(60, abs=1)
        assert age["archive", "stored"] == pytest.approx(60, abs=1)
        assert values(metrics, "monai_lesion_disk_free_bytes")[()] > 0
    finally:
        store.release()


def test_counts_and_seconds(tmp_path):
    store = Store(tmp_path / "queue")
    try:
        metrics = Metrics(store)
        metrics.received.labels("SCANNER").inc()
        metrics.decisions.labels("breast", "doubtful").inc(2)
        metrics.seconds.labels("send").observe(0.2)
        assert values(metrics, "monai_lesion_received_total") == {("SCANNER",): 1}
        assert values(metrics, "monai_lesion_decisions_total") == {("breast", "doubtful"): 2}
        assert values(metrics, "monai_lesion_step_seconds_count")[("send",)] == 1
        assert values(metrics, "monai_lesion_step_seconds_count")[("commit",)] == 0
    finally:
        store.release()


def test_a_job_without_a_moment_has_no_age():
    assert begun("by hand") == 0.0
