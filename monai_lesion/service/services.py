"""The service: listener, pollers, network, senders, health and audit around one queue."""

from __future__ import annotations

import logging
import shutil
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Future
from dataclasses import replace
from pathlib import Path
from typing import Any

from monai_lesion.errors import InputError
from monai_lesion.pacs.entrances import Entrance
from monai_lesion.pacs.logs import quieten
from monai_lesion.pacs.objects import FORMATS
from monai_lesion.pacs.queues import sender_of, trace_of
from monai_lesion.pacs.workers import Worker
from monai_lesion.service.audits import Audit
from monai_lesion.service.checks import archive_of, title_of
from monai_lesion.service.configurations import Configuration, DimsePart, Part, PollerPart
from monai_lesion.service.endpoints import OK, Endpoint, health_app, read_token
from monai_lesion.service.metrics import Metrics
from monai_lesion.service.models import open_models
from monai_lesion.service.pollers import Poller
from monai_lesion.service.segmenting import RoutedSegmenting, Site
from monai_lesion.service.senders import DimseSender, Sender, StowSender
from monai_lesion.service.stores import Box, Store

logger = logging.getLogger(__name__)

PAUSE = 5.0  # seconds before what failed is tried again, at first
GRACE = 6.0  # seconds that the work in hand has to end; the service is gone within ten
WATCH = 5.0  # seconds between two looks at what nobody wakes anybody for
ASK = 30.0  # seconds between two questions whether a destination answers
PRUNE = 3600.0
AUDIT_QUIET = 10.0  # seconds after which a study counts as finished
FIXED = ("listener.title", "listener.port", "listener.host", "listener.limits", "queue.folder", "queue.least_free_mb")
OPENED = ("http.host", "http.port", "http.token_file", "log.file")


class Service:
    """Everything that ``serve`` runs, in threads of one process.

    ::

        scanner -- listener --+                                  +-- a sender for each destination
        archive -- pollers ---+-- inbox -- segmenting -- boxes --+
                                                          |
                                             register, audit, metrics, health

    The port is open before anything slow is imported.

    Args:
        configuration: what to run.
        open_all: opens the models, with those that are open already.
        clock: seconds since 1970.
        failed: called when the models cannot be opened at the start.

    Raises:
        InputError: when a port or the queue's folder is in use, or a part of it is missing.
    """

    def __init__(
        self,
        configuration: Configuration,
        *,
        open_all: Callable[[Configuration, dict[Any, Any]], dict[str, Any]] = open_models,
        clock: Callable[[], float] = time.time,
        failed: Callable[[], None] = lambda: None,
    ) -> None:
        self.configuration, self._open_all, self._clock, self._failed = configuration, open_all, clock, failed
        self.title = title_of(configuration)
        self.store = Store(configuration.queue.folder, least_free=configuration.queue.least_free_mb << 20, clock=clock)
        self.metrics = Metrics(self.store)
        self.opening: Future[Any] = Future()
        self._site = Site(configuration)
        self._senders: dict[str, tuple[Sender, Worker]] = {}
        self._pollers: dict[str, tuple[Poller, Worker]] = {}
        self._answers: dict[str, str] = {}
        self._entrance: Entrance | None = None
        self._endpoint: Endpoint | None = None
        self._receiver: Any = None
        self._audit = Audit(configuration.audit, self.title)
        self._asked_at = self._pruned_at = -1e18
        self._reloading = threading.Lock()
        try:
            self._begin()
        except BaseException:
            self._let_go()
            raise

    def _begin(self) -> None:
        configuration = self.configuration
        if configuration.listener is not None:
            listener = configuration.listener
            self._entrance = Entrance(listener.host, listener.port, listener.bounds)
            where = f"{listener.host or 'all addresses'}, port {self._entrance.address[1]}"
            logger.info("%s is listening on %s", self.title, where, extra={"event": "listening"})
        self.store.received = self._received
        segmenting = RoutedSegmenting(self.store, self.opening, lambda: self._site, self.metrics, self._wake_senders)
        self._segmenter = Worker("segmenting", segmenting.all, PAUSE)
        segmenting.go_on = self._segmenter.go_on
        self._watcher = Worker("watching", self._watch, PAUSE, every=WATCH)
        self._opener = threading.Thread(target=self._open, name="monai-lesion-opener", daemon=True)
        quieten()
        # Before any thread that imports it too: two that import pydicom at once see each other's halves.
        from monai_lesion.pacs.receivers import Receiver

        self._set_up(configuration)
        if self._entrance is not None and configuration.listener is not None:
            self._receiver = Receiver(
                self.store,
                self._entrance,
                title=self.title,
                peers=[peer.title for peer in configuration.peers],
                limits=configuration.listener.bounds,
                passed_on=self._segmenter.wake,
                reporters=_reporters(configuration),
                reported=self._reported,
            )
        if configuration.http is not None:
            http = configuration.http
            token = None if http.token_file is None else read_token(http.token_file)
            from monai_lesion.page.doors import check_token

            check_token(token, http.host, where="http.host", name="http.token_file")
            app = health_app(live=self.live, ready=self.ready, metrics=self.metrics.page, token=token)
            self._endpoint = Endpoint(app, http.host, http.port)
            self._endpoint.start()
        self._audit.activity(started=True)
        for name in self.store.abandoned(configuration.destinations):
            text = "results still wait for %s, which the configuration does not name any more"
            logger.warning(text, name, extra={"event": "abandoned", "destination": name})
        self._opener.start()
        self._segmenter.start()
        self._watcher.start()

    # Reload

    def reload(self, configuration: Configuration) -> None:
        """Go on by another configuration, from the next image; what is open goes on as it was.

        Raises:
            InputError: when a model cannot be opened, or a folder of secrets read; the old configuration stays.
        """
        with self._reloading:
            if not self.opening.done() or self.opening.exception() is not None:
                raise InputError("reload", "must wait until the models are open")
            old = self._site
            known = {old.configuration.models[name]: model for name, model in old.models.items()}
            models = self._open_all(configuration, known)
            for name in (*FIXED, *OPENED):
                if _value(configuration, name) != _value(old.configuration, name):
                    logger.warning("%s changes at the next start only", name, extra={"event": "reload"})
            self._set_up(configuration)
            self.configuration, self._site = configuration, Site(configuration, models)
            self._audit = Audit(configuration.audit, self.title)
            if self._receiver is not None:
                self._receiver.let_in([peer.title for peer in configuration.peers], _reporters(configuration))
            logging.getLogger().setLevel(configuration.log.level.upper())
            self._segmenter.wake()

    def _set_up(self, configuration: Configuration) -> None:
        """Make senders and pollers of the configuration, leave those that stay the same, end the others."""
        senders = {name: self._sender(name, part) for name, part in configuration.destinations.items()}
        pollers = {name: self._poller(name, part) for name, part in configuration.pollers.items()}
        before = {id(worker): worker for _, worker in [*self._senders.values(), *self._pollers.values()]}
        after = {id(worker): worker for _, worker in [*senders.values(), *pollers.values()]}
        ended = [worker for key, worker in before.items() if key not in after]
        for worker in ended:
            worker.ask_to_stop()
        for worker in ended:  # two senders of one box would send the same
            while not worker.join(1.0):
                logger.info("waiting for a sender or poller to end its work")
        for sender, _ in senders.values():
            sender.box.commits, sender.box.happened = sender.commits, self._happened
        new = [worker for key, worker in after.items() if key not in before]
        self._senders, self._pollers = senders, pollers
        for worker in new:
            worker.start()

    def _sender(self, name: str, part: Any) -> tuple[Sender, Worker]:
        """The sender of a destination and its thread: those there are, unless its configuration changed."""
        if name in self._senders and self._senders[name][0].part == part:
            return self._senders[name]
        box = self.store.box(name)
        sender: Sender
        if isinstance(part, DimsePart):
            sender = DimseSender(part, box, self.title, self._clock)
        else:
            sender = StowSender(part, box, self.title, self._clock, archive_of(part))
        worker = Worker(f"sending to {name}", sender.work, part.pause, every=WATCH if sender.commits else None)
        sender.go_on, sender.woken = worker.go_on, lambda: worker.woken
        return sender, worker

    def _poller(self, name: str, part: PollerPart) -> tuple[Poller, Worker]:
        """The poller of an archive and its thread: those there are, unless its configuration changed."""
        if name in self._pollers and self._pollers[name][0].part == part:
            return self._pollers[name]
        poller = Poller(name, part, archive_of(part), self.store, lambda: self._segmenter.wake())
        worker = Worker(f"polling {name}", poller.work, PAUSE, every=part.every)
        poller.go_on = worker.go_on
        return poller, worker

    # What happens

    def _received(self, image: Path, uid: str) -> None:
        sender = sender_of(image.parent.name)
        self.metrics.received.labels(sender).inc()
        facts = {"event": "received", "sender": sender, "uid": uid, "trace": trace_of(image)}
        logger.info("instance %s: received", uid, extra=facts)

    def _happened(self, event: str, box: Box, row: Mapping[str, Any], seconds: float | None) -> None:
        """A result was sent, committed, set aside, kept or dropped."""
        name = box.name
        if event == "sent":
            self.metrics.stored.labels(name).inc()
        elif event == "committed":
            self.metrics.committed.labels(name).inc()
        elif event in ("failed", "kept", "dropped"):
            self.metrics.failed.labels({"failed": "send", "kept": "commit", "dropped": "dropped"}[event]).inc()
        if seconds is not None:
            self.metrics.seconds.labels("send" if event == "sent" else "commit").observe(seconds)
        facts = {"event": event, "destination": name, "uid": row["uid"], "trace": row["trace"]}
        logger.info("%s: %s", row["uid"], event, extra=facts)

    def _reported(self, title: str, information: Any) -> bool:
        """A report that came on an association that an archive opened."""
        found = False
        for sender, worker in list(self._senders.values()):
            if isinstance(sender, DimseSender) and sender.part.title == title and sender.asked(information):
                found = sender.reported(information)
                worker.wake()
        if not found:
            logger.warning("%s: reports about a transaction that is not ours", title, extra={"event": "strange report"})
        return found

    def _wake_senders(self, destinations: Iterable[str]) -> None:
        for name in destinations:
            if name in self._senders:
                self._senders[name][1].wake()

    def _open(self) -> None:
        """Open the models beside the listener; the service ends when that fails."""
        try:
            models = self._open_all(self.configuration, {})
            _warm(models, self.store.folder)
            self._site = Site(self.configuration, models)
            self.opening.set_result(models)
            logger.info("ready", extra={"event": "ready"})
        except BaseException as error:
            self.opening.set_exception(error)
            self._failed()

    def _watch(self) -> int:
        """Ask destinations whether they answer, write the audit trail, and let the register forget."""
        now = self._clock()
        if now - self._asked_at >= ASK:
            self._asked_at = now
            for name, (sender, _) in list(self._senders.items()):
                self._watcher.go_on()
                reason = sender.ask()
                if self._answers.get(name, "") != reason and reason:
                    logger.warning("%s", reason, extra={"event": "unreachable", "destination": name})
                self._answers[name] = reason
        self.write_audit(AUDIT_QUIET)
        if now - self._pruned_at >= PRUNE:
            self._pruned_at = now
            queue = self.configuration.queue
            if gone := self.store.register.prune(queue.sent_days, queue.sent_entries):
                logger.info("forgot %d results that were sent long ago", gone, extra={"event": "pruned"})
        return 0

    def write_audit(self, quiet: float = 0.0) -> None:
        """Say in the audit trail what became of each study of which nothing is open."""
        register = self.store.register
        for study, name in register.finished(quiet):
            part = self.configuration.destinations.get(name)
            address = "" if part is None else part.host if isinstance(part, DimsePart) else part.url
            if self._audit.wanted:
                rows = register.unaudited(study, name)
                if not self._audit.transferred(study, name, address or name, rows):
                    return
            register.audit(study, name)

    # Health

    def live(self) -> bool:
        """Whether every thread runs."""
        workers = [self._segmenter, self._watcher, *(each for _, each in self._senders.values())]
        workers += [each for _, each in self._pollers.values()]
        return all(worker.is_alive() for worker in workers)

    def ready(self) -> dict[str, str]:
        """What the service needs to work: the models, the queue, and each destination."""
        parts = {"models": OK if self.opening.done() and self.opening.exception() is None else "being opened"}
        if self.opening.done() and self.opening.exception() is not None:
            parts["models"] = "could not be opened"
        parts["queue"] = self._writable()
        for name in self._senders:
            answer = self._answers.get(name)
            parts[f"archive {name}"] = "not asked yet" if answer is None else answer or OK
        return parts

    def _writable(self) -> str:
        probe = self.store.folder / ".writable"
        try:
            probe.write_bytes(b"x")
            probe.unlink()
        except OSError as error:
            return f"cannot be written ({error.strerror})"
        least = self.configuration.queue.least_free_mb << 20
        return OK if shutil.disk_usage(self.store.folder).free > least else "the disk is full"

    # The end

    def stop(self, seconds: float = GRACE) -> bool:
        """Close connections, finish the picture in hand, and keep the queue.

        Returns:
            Whether all work ended in time. If not, it may be ended at any moment: each step on the disk is whole.
        """
        deadline = time.monotonic() + seconds
        workers = [self._segmenter, self._watcher, *(each for _, each in self._senders.values())]
        workers += [each for _, each in self._pollers.values()]
        for worker in workers:
            worker.ask_to_stop()
        if self._endpoint is not None:
            self._endpoint.stop(1.0)
        if self._entrance is not None:
            self._entrance.close()
        if self._receiver is not None:
            self._receiver.stop(seconds / 3)
        ended = [worker.join(deadline - time.monotonic()) for worker in workers]
        self._audit.activity(started=False)
        if all(ended):
            self.store.release()
        return all(ended)

    def _let_go(self) -> None:
        """End what a start that failed had begun."""
        for _, worker in [*self._senders.values(), *self._pollers.values()]:
            worker.ask_to_stop()
        if self._entrance is not None:
            self._entrance.close()
        if self._endpoint is not None and self._endpoint.is_alive():
            self._endpoint.stop()
        self.store.release()

    def __enter__(self) -> Service:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


def _reporters(configuration: Configuration) -> list[str]:
    """Titles of the archives that may report."""
    parts = [part for part in configuration.destinations.values() if isinstance(part, DimsePart)]
    return [part.title for part in parts if part.commitment.rule != "none"]


def _value(configuration: Configuration, name: str) -> Any:
    value: Any = configuration
    for step in name.split("."):
        value = getattr(value, step, None) if isinstance(value, Part) else None
    return value


def _warm(models: Mapping[str, Any], folder: Path) -> None:
    """Run a simulated picture through a model and all writers, so that the first real one does not wait for imports."""
    from monai_lesion.phantoms.cases import simulate_case
    from monai_lesion.phantoms.dicom import write_dicom

    case = simulate_case(0, 0)
    with tempfile.TemporaryDirectory(prefix=".partial-", dir=folder) as name:
        file = Path(name) / "warm.dcm"
        write_dicom(file, case, replace(case.views[0], calipers=False), seed=0)  # no text that it would warn of
        for model in models.values():
            try:
                model(file, frame=None).save(Path(name), FORMATS, name="warm", overwrite=True)
            except Exception as error:  # a model that fails here fails later, and says so there
                logger.debug("a simulated picture was not evaluable (%s)", type(error).__name__)
