"""What the tests of the service share: configurations, archives that commit themselves, and running services."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

SMALLEST = """
[listener]
title = "LESION"
port = 11112
[[peers]]
title = "SCANNER"
[queue]
folder = "queue"
[models.breast]
folder = "pocket"
[[routes]]
model = "breast"
[[routes.to]]
destination = "archive"
[destinations.archive]
kind = "dimse"
title = "ARCHIVE"
host = "127.0.0.1"
port = 9
"""


def configuration_text(
    port: int,
    archive: int,
    *,
    peers: Sequence[str] = ("SCANNER",),
    title: str = "ARCHIVE",
    model: str = "pocket",
    pause: float = 0.05,
    more: str = "",
    rule: str = "none",
    **commitment: float,
) -> str:
    """The text of a configuration of one route from some peers to one archive, also for the benchmarks."""
    settings = "".join(f", {name} = {value}" for name, value in commitment.items())
    changes = {
        "port = 11112": f'port = {port}\nhost = "127.0.0.1"',
        '[[peers]]\ntitle = "SCANNER"\n': "".join(f'[[peers]]\ntitle = "{peer}"\n' for peer in peers),
        'folder = "queue"': 'folder = "queue"\nleast_free_mb = 0',
        'folder = "pocket"': f'folder = "{model}"',
        'title = "ARCHIVE"': f'title = "{title}"',
        "port = 9\n": f"port = {archive}\n",
    }
    text = SMALLEST
    for old, new in changes.items():
        text = text.replace(old, new)
    return f'{text}pause = {pause}\ncommitment = {{ rule = "{rule}"{settings} }}\n{more}\n'


def configured(folder: Path, port: int, archive: int, **options: Any) -> Any:
    """A configuration read from a file, see :func:`configuration_text`."""
    from monai_lesion.service.configurations import read_configuration

    folder.mkdir(parents=True, exist_ok=True)
    (folder / "service.toml").write_text(configuration_text(port, archive, **options))
    return read_configuration(folder / "service.toml")


@contextmanager
def serving(configuration: Any, model: Any = None, **options: Any) -> Iterator[Any]:
    """A service in this process; without a model, everything bright is a lesion."""
    from monai_lesion.service.services import Service
    from tests.pacs import bright_segmenter

    segmenter = model or bright_segmenter()
    options.setdefault("open_all", lambda found, _: dict.fromkeys(found.models, segmenter))
    service = Service(configuration, **options)
    try:
        yield service
    finally:
        service.stop(30)


def until(condition: Any, seconds: float = 120) -> bool:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if condition():
            return True
        time.sleep(0.02)
    return bool(condition())


def idle(service: Any) -> bool:
    """Whether nothing waits anywhere."""
    images = list(service.store.folder.glob("incoming/*/*")) + list(service.store.folder.glob("waiting/*/*"))
    return not images and not any(
        state in ("waiting", "trying", "stored") for _, state in service.store.register.counts()
    )


class CommittingArchive:
    """An archive that notes what it is sent and asked, and reports as it is told to.

    Args:
        reports: "own" on an association that it opens, "same" on the one it was asked on, "never", or "unknown": it
            does not know storage commitment.
        status: of C-STORE.
        keeps: whether a result is committed, by SOP Instance UID.
        back: port that it reports to.
    """

    def __init__(self, *, reports: str = "own", status: int = 0, keeps: Any = None, back: int = 0) -> None:
        self.stored: list[str] = []
        self.asked: list[str] = []
        self.answers: list[int] = []
        self.reports, self.status, self.back = reports, status, back
        self.keeps = keeps or (lambda uid: True)
        self.datasets: dict[str, Any] = {}

    def store(self, event: Any) -> int:
        uid = str(event.request.AffectedSOPInstanceUID)
        if self.status == 0:
            self.stored.append(uid)
            self.datasets[uid] = event.dataset
        return self.status

    def find(self, event: Any) -> Iterator[Any]:
        if str(event.identifier.SOPInstanceUID) in self.stored:
            yield 0xFF00, event.identifier
        yield 0x0000, None

    def act(self, event: Any) -> tuple[int, None]:
        question = event.action_information
        self.asked.append(str(question.TransactionUID))
        if self.reports == "own":
            threading.Thread(target=self.report, args=(question,)).start()
        elif self.reports == "same":
            threading.Thread(target=self._on, args=(event.assoc, question)).start()
        return 0x0000, None

    def report(self, question: Any, *, title: str = "ARCHIVE") -> None:
        """Open an association and report, as SCP of storage commitment."""
        from pynetdicom import AE, build_role
        from pynetdicom.sop_class import StorageCommitmentPushModel

        entity = AE(title)
        entity.add_requested_context(StorageCommitmentPushModel)
        roles = [build_role(StorageCommitmentPushModel, scp_role=True)]
        association = entity.associate("127.0.0.1", self.back, ae_title="LESION", ext_neg=roles)
        if association.is_established:
            self._send(association, question)
            association.release()
        else:
            self.answers.append(-1)

    def _on(self, association: Any, question: Any) -> None:
        time.sleep(0.05)  # after the answer to N-ACTION
        self._send(association, question)

    def _send(self, association: Any, question: Any) -> None:
        from pydicom import Dataset
        from pynetdicom.sop_class import StorageCommitmentPushModel

        report = Dataset()
        report.TransactionUID = question.TransactionUID
        wanted = list(question.ReferencedSOPSequence)
        kept = [each for each in wanted if self.keeps(str(each.ReferencedSOPInstanceUID))]
        lost = [each for each in wanted if each not in kept]
        if kept:
            report.ReferencedSOPSequence = kept
        for each in lost:
            each.FailureReason = 0x0112
        if lost:
            report.FailedSOPSequence = lost
        kind = 2 if lost else 1
        status, _ = association.send_n_event_report(report, kind, StorageCommitmentPushModel, "1.2.840.10008.1.20.1.1")
        self.answers.append(int(status.get("Status", -2)))

    @contextmanager
    def running(self, port: int = 0) -> Iterator[int]:
        from pynetdicom import AE, evt
        from pynetdicom.sop_class import (
            ComprehensiveSRStorage,
            SecondaryCaptureImageStorage,
            SegmentationStorage,
            StorageCommitmentPushModel,
            StudyRootQueryRetrieveInformationModelFind,
            Verification,
        )

        entity = AE("ARCHIVE")
        kinds = [SecondaryCaptureImageStorage, SegmentationStorage, ComprehensiveSRStorage, Verification]
        for kind in (*kinds, StudyRootQueryRetrieveInformationModelFind):
            entity.add_supported_context(kind)
        if self.reports != "unknown":
            entity.add_supported_context(StorageCommitmentPushModel)
        handlers = [(evt.EVT_C_STORE, self.store), (evt.EVT_C_FIND, self.find), (evt.EVT_N_ACTION, self.act)]
        server = entity.start_server(("127.0.0.1", port), block=False, evt_handlers=handlers)
        try:
            yield server.server_address[1]
        finally:
            server.shutdown()
