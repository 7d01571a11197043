"""What Prometheus reads: counts, seconds by step, and the length and age of the queue."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from typing import Any

from monai_lesion._version import __version__
from monai_lesion.errors import InputError
from monai_lesion.service.registers import KEPT
from monai_lesion.service.stores import Store

try:
    from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
    from prometheus_client.core import GaugeMetricFamily
except ImportError as absent:
    fix = 'pip install "monai-lesion[service]"'
    raise InputError("the service", "needs prometheus-client", got=f"no {absent.name}", fix=fix) from absent

BUCKETS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 3600.0, 86400.0)
STEPS = ("wait", "segment", "write", "send", "commit")


class Metrics:
    """The numbers of one service; none names a patient, a study or an image.

    Args:
        store: its queue.
    """

    def __init__(self, store: Store) -> None:
        self.registry = CollectorRegistry()

        def counter(name: str, text: str, *labels: str) -> Counter:
            return Counter(f"monai_lesion_{name}", text, labels, registry=self.registry)

        self.received = counter("received", "Images received, by sender", "sender")
        self.left_out = counter("left_out", "Images that are not segmented, by reason", "reason")
        self.segmented = counter("segmented", "Frames segmented, by model", "model")
        self.decisions = counter("decisions", "Frames by decision", "model", "decision")
        self.stored = counter("stored", "Results that an archive took", "destination")
        self.committed = counter("committed", "Results that an archive committed itself to keep", "destination")
        self.failed = counter("failed", "Images and results that were set aside, and reports that never came", "step")
        self.reloads = counter("reloads", "Configurations read anew, by outcome", "outcome")
        self.seconds = Histogram(
            "monai_lesion_step_seconds", "Seconds by step", ["step"], buckets=BUCKETS, registry=self.registry
        )
        for step in STEPS:
            self.seconds.labels(step)
        self.registry.register(_Queue(store))

    def page(self) -> bytes:
        """The numbers in Prometheus' text format."""
        return bytes(generate_latest(self.registry))


class _Queue:
    """What lies on the disk, counted when it is asked for."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def collect(self) -> Iterator[Any]:
        store = self._store
        now = store.clock()
        images = store.waiting_images()
        length = GaugeMetricFamily("monai_lesion_queue", "What waits, by destination and state", labels=["to", "state"])
        age = GaugeMetricFamily(
            "monai_lesion_queue_age_seconds", "Age of the oldest that waits", labels=["to", "state"]
        )
        length.add_metric(["", "image"], len(images))
        age.add_metric(["", "image"], max((now - begun(image.parent.name) for image in images), default=0.0))
        counts = store.register.counts()
        for name in {*store.boxes, *(destination for destination, _ in counts)}:
            states = {state: found for (destination, state), found in counts.items() if destination == name}
            for state in ("waiting", "trying", "stored", KEPT):
                number, first = states.get(state, (0, now))
                length.add_metric([name, state], number)
                age.add_metric([name, state], now - first)
        yield length
        yield age
        free = GaugeMetricFamily("monai_lesion_disk_free_bytes", "Room on the queue's disk")
        free.add_metric([], shutil.disk_usage(store.folder).free)
        yield free
        build = GaugeMetricFamily("monai_lesion_build", "Version of the package", labels=["version"])
        build.add_metric([__version__], 1)
        yield build


def begun(job: str) -> float:
    """The moment in the name of a job."""
    moment = job.split("-")[0]
    return int(moment) / 1e9 if moment.isdigit() else 0.0
