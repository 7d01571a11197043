"""Segment what waits in the service's queue, each image by its route, and put the results into the boxes."""

from __future__ import annotations

import json
import logging
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

from monai_lesion.dicom.identity import SERIES_OFFSETS, Algorithm, series_of
from monai_lesion.dicom.sources import header_of, open_source, value_of
from monai_lesion.errors import InputError
from monai_lesion.images.dicom_headers import instance_named
from monai_lesion.images.reading import ImageFile
from monai_lesion.pacs.objects import failure, frames_of, why_not
from monai_lesion.pacs.queues import sender_of, trace_of
from monai_lesion.pacs.workers import ImageWork, StoppedError
from monai_lesion.service.configurations import Configuration, RoutePart
from monai_lesion.service.logs import TRACE
from monai_lesion.service.metrics import Metrics, begun
from monai_lesion.service.registers import Record
from monai_lesion.service.routes import formats_of, route_of
from monai_lesion.service.stores import Store, record_of

if TYPE_CHECKING:
    from pydicom import Dataset

logger = logging.getLogger(__name__)

SR_CLASS = "1.2.840.10008.5.1.4.1.1.88.33"  # Comprehensive SR


@dataclass(frozen=True)
class Site:
    """What a configuration means for images: a reload changes it between two of them.

    Attributes:
        configuration: the file.
        models: segmenters by their name in it.
    """

    configuration: Configuration
    models: dict[str, Any] = field(default_factory=dict)


def engine_of(algorithm: Algorithm, calibration: Any = None) -> str:
    """What made a result, shortened: results of another engine are never taken for its own.

    Args:
        algorithm: network, weights, version and settings, the shown region among them.
        calibration: what its decisions come from.
    """
    return sha256(json.dumps([algorithm.key, calibration], sort_keys=True, default=str).encode()).hexdigest()[:16]


class RoutedSegmenting(ImageWork):
    """Segment every image that waits by its route.

    ::

        image -- route -- model -- each frame -- formats by the rules -- boxes
                   |         |
               left out   not evaluable: a report (SR) to each box, the image set aside

    Args:
        store: the queue.
        site: what images mean, once the models are open.
        current: gives the site that counts now.
        metrics: the numbers.
        offered: called with the destinations that have something to send.
    """

    def __init__(
        self,
        store: Store,
        site: Future[Any],
        current: Callable[[], Site],
        metrics: Metrics,
        offered: Callable[[Iterable[str]], None],
    ) -> None:
        super().__init__(store, site)
        self._store, self._current, self._metrics, self._offered = store, current, metrics, offered

    def _one(self, image: Path) -> None:
        trace = trace_of(image)
        token = TRACE.set(trace)
        try:
            self._routed(image, trace)
        finally:
            TRACE.reset(token)

    def _routed(self, image: Path, trace: str) -> None:
        site, sender = self._current(), sender_of(image.parent.name)
        with ImageFile(image) as source:
            header = header_of(source)
            reason = why_not(header)
            route = None if reason else route_of(site.configuration.routes, sender, header)
            uid = str(value_of(header, "SOPInstanceUID") or "")
            if route is None:
                reason = reason or "no route fits"
                self._metrics.left_out.labels(reason).inc()
                logger.info("%s: left out", reason, extra={"event": "left out", "sender": sender, "uid": uid})
                self._store.finish(image)
                return
            self._metrics.seconds.labels("wait").observe(max(0.0, self._store.clock() - begun(image.parent.name)))
            obstacles = self._frames(site, route, source, header, trace)
        if obstacles:
            self._give_up(image, "; ".join(obstacles))
        else:
            self._store.finish(image)

    def _give_up(self, image: Path, reason: str) -> None:
        self._metrics.failed.labels("segment").inc()
        super()._give_up(image, reason)

    def _frames(self, site: Site, route: RoutePart, source: ImageFile, header: Dataset, trace: str) -> list[str]:
        """Offer the results of each frame; return why some could not be evaluated."""
        segmenter, uid = site.models[route.model], str(header.SOPInstanceUID)
        obstacles: list[str] = []
        with tempfile.TemporaryDirectory(prefix=".partial-", dir=self._store.folder) as name:
            folder = Path(name)
            try:
                frames = frames_of(source, route.frame)
            except OSError:
                raise
            except Exception as error:  # not even its frames can be counted
                obstacles.append(failure(error, Path(source.path), instance_named(uid)))
                self._not_evaluable(route, segmenter, header, None, trace, obstacles[-1], folder)
                return obstacles
            for number in frames:
                try:
                    with self._timed("segment"):
                        result = segmenter(source, frame=number)
                except (StoppedError, OSError):
                    raise
                except Exception as error:
                    obstacles.append(failure(error, Path(source.path), instance_named(uid)))
                    self._not_evaluable(route, segmenter, header, number, trace, obstacles[-1], folder)
                else:
                    self._deliver(route, segmenter, result, header, number, trace, folder)
                self.go_on()
        return obstacles

    def _deliver(
        self,
        route: RoutePart,
        segmenter: Any,
        result: Any,
        header: Dataset,
        number: int | None,
        trace: str,
        folder: Path,
    ) -> None:
        """Write what each destination is to have of a result, once for all that have the same, and offer it."""
        decision, trust = getattr(result, "decision", None), getattr(result, "trust", None)
        found = bool(getattr(result, "found", True))
        said = decision or ("lesion" if found else "nothing found")
        self._metrics.segmented.labels(route.model).inc()
        self._metrics.decisions.labels(route.model, said).inc()
        facts = {"event": "segmented", "model": route.model, "decision": said, "uid": str(header.SOPInstanceUID)}
        facts |= {} if trust is None else {"trust": round(trust, 3)}
        facts |= {} if number is None else {"frame": number}
        logger.info("%s: segmented", instance_named(header.SOPInstanceUID), extra=facts)
        engine = engine_of(result.algorithm, _calibration(segmenter))
        wanted: dict[tuple[str, ...], list[str]] = {}
        for delivery in route.to:
            kinds = formats_of(delivery, decision=decision, trust=trust, found=found)
            wanted.setdefault(kinds, []).append(delivery.destination)
        replaced = self._replaced(header, number, engine, result.algorithm)
        for kinds, destinations in wanted.items():
            place = folder / "-".join((*kinds, str(number)))
            place.mkdir()
            options: dict[str, Any] = {"seg_type": route.seg_type, "seg_geometry": route.seg_geometry}
            if replaced:
                options["replaces"] = _references(header, replaced)
            with self._timed("write"):
                files = result.save(place, kinds, name="result", **options)
            self._offer(files, destinations, header, number, engine, trace, " ".join(replaced))

    def _not_evaluable(
        self,
        route: RoutePart,
        segmenter: Any,
        header: Dataset,
        number: int | None,
        trace: str,
        obstacle: str,
        folder: Path,
    ) -> None:
        """Tell every destination of the route, by a report, that the image could not be evaluated and why."""
        from monai_lesion.dicom import measurement_report, write

        facts = {"event": "not evaluable", "model": route.model, "uid": str(header.SOPInstanceUID)}
        self._metrics.decisions.labels(route.model, "not evaluable").inc()
        logger.warning("%s: not evaluable", instance_named(header.SOPInstanceUID), extra=facts)
        engine = engine_of(segmenter.algorithm, _calibration(segmenter))
        replaced = self._replaced(header, number, engine, segmenter.algorithm)
        try:
            report = measurement_report(
                open_source(header, number),
                None,
                segmenter.algorithm,
                frame=number,
                obstacle=obstacle.encode("ascii", "backslashreplace").decode()[:1000],
                replaces=[each for each in _references(header, replaced) if each.SOPClassUID == SR_CLASS],
            )
        except (InputError, AttributeError, KeyError, TypeError, ValueError) as error:  # no header to make one of
            text = "%s: no report could be made of it (%s)"
            logger.error(text, instance_named(header.SOPInstanceUID), type(error).__name__, extra=facts)
            return
        file = write(report, folder / f"not-evaluable-{number}.dcm")
        names = [delivery.destination for delivery in route.to]
        self._offer([file], names, header, number, engine, trace, " ".join(replaced))

    def _replaced(self, header: Dataset, number: int | None, engine: str, algorithm: Algorithm) -> list[str]:
        """What new results replace, as ``uid:series:class``; the same every time that they are made."""
        frame, uid = _frame(number), str(header.SOPInstanceUID)
        series = [str(series_of(header, algorithm, kind)) for kind in SERIES_OFFSETS]
        return self._store.register.replaced(uid, frame, engine, series)

    def _offer(
        self,
        files: list[Path],
        destinations: list[str],
        header: Dataset,
        number: int | None,
        engine: str,
        trace: str,
        replaced: str,
    ) -> None:
        patient = ""
        if self._current().configuration.audit.patient_ids:
            patient = str(value_of(header, "PatientID") or "")
        known = {
            "source": str(header.SOPInstanceUID),
            "frame": _frame(number),
            "engine": engine,
            "trace": trace,
            "replaces": replaced,
            "patient": patient,
        }
        for file in files:
            record = record_of(file, "", **known)
            for place, destination in enumerate(destinations):
                # A link each but the last: a file is on the disk once, however many wait for it.
                own = file if place == len(destinations) - 1 else _linked(file, file.with_name(f"{place}-{file.name}"))
                self._enter(destination, replace(record, destination=destination), own)
        self._offered(destinations)

    def _enter(self, destination: str, record: Record, file: Path) -> None:
        if not self._store.boxes[destination].enter(record, file):
            facts = {"event": "sent before", "destination": destination, "uid": record.uid}
            logger.info("%s: was sent before", record.uid, extra=facts)

    @contextmanager
    def _timed(self, step: str) -> Iterator[None]:
        start = time.perf_counter()
        yield
        self._metrics.seconds.labels(step).observe(time.perf_counter() - start)


def _frame(number: int | None) -> int:
    return -1 if number is None else number


def _calibration(segmenter: Any) -> Any:
    trust = getattr(segmenter, "trust", None)
    return None if trust is None else [trust.calibration, trust.group]


def _references(header: Dataset, replaced: Iterable[str]) -> list[Dataset]:
    """What new results name of earlier ones; an earlier version noted reports alone, without their class."""
    from pydicom import Dataset

    found = []
    for each in replaced:
        uid, series, kind = f"{each}:{SR_CLASS}".split(":")[:3]
        reference = Dataset()
        reference.SOPClassUID, reference.SOPInstanceUID = kind, uid
        reference.StudyInstanceUID, reference.SeriesInstanceUID = header.StudyInstanceUID, series
        found.append(reference)
    return found


def _linked(file: Path, other: Path) -> Path:
    import os
    import shutil

    try:
        os.link(file, other)
    except OSError:  # a file system without links
        shutil.copyfile(file, other)
    return other
