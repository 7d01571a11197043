"""The service's queue on disk: one inbox, a box of results for each destination, and the register of both."""

from __future__ import annotations

import json
import logging
import os
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from monai_lesion.errors import InputError
from monai_lesion.files import read_object, replacing
from monai_lesion.pacs.queues import Inbox, Outbox, flush, locked
from monai_lesion.service.logs import TRACE
from monai_lesion.service.registers import DONE, DROPPED, FAILED, KEPT, SENT, STORED, TRYING, WAITING, Record, Register

logger = logging.getLogger(__name__)

LAYOUT, LAYOUT_FILE = 1, "queue.json"
MIGRATE = "Bring it over with: monai-lesion serve --config service.toml --migrate FOLDER"
RETURNS = 3  # times that a result is sent anew because the archive did not keep it


class Box(Outbox):
    """Results that wait for one destination.

    ::

        outgoing/UID.dcm -- sent -- stored/UID.dcm -- committed -- gone
              |                          |
              +-- failed/                +-- kept/ -- gone, and said

    The register says what became of each; a file lies where its state says. What a kill left in between is set right at
    the start.

    Args:
        folder: its folder.
        name: the destination.
        register: of the queue.
        commits: whether a result is kept until the archive commits itself to it.
    """

    def __init__(self, folder: Path, name: str, register: Register, *, commits: bool = False) -> None:
        super().__init__(folder)
        self.name, self.register, self.commits = name, register, commits
        self.happened: Callable[[str, Box, dict[str, Any], float | None], None] = lambda *_: None
        self._begun = 0.0
        self.stored, self.kept = folder / "stored", folder / "kept"
        for each in (self.stored, self.kept):
            each.mkdir(exist_ok=True, mode=0o700)
        self._set_right()

    def _set_right(self) -> None:
        for result in self.results():
            state = self.register.state(result.stem, self.name)
            if state in (STORED, KEPT):
                os.replace(result, (self.stored if state == STORED else self.kept) / result.name)
            elif state in SENT:
                result.unlink()
            elif state in ("", FAILED):  # moved here by hand, or the register was lost
                self.register.add(record_of(result, self.name))
        for folder in (self.stored, self.kept):
            for result in sorted(folder.glob("*.dcm")):
                state = self.register.state(result.stem, self.name)
                if state in (DONE, DROPPED):
                    result.unlink()
                elif state == WAITING:
                    os.replace(result, self.outgoing / result.name)
                elif state == "":
                    self.register.add(record_of(result, self.name))
                    self.register.set(result.stem, self.name, STORED)
                    os.replace(result, self.stored / result.name)
                elif state == TRYING:  # it was sent, and the process was killed before it could note that
                    self.register.set(result.stem, self.name, STORED)

    def known(self, uid: str) -> bool:
        """Whether a result was sent."""
        return self.register.state(uid, self.name) in SENT

    def enter(self, record: Record, file: Path) -> bool:
        """Queue a result for sending, unless it was already sent; return whether it was queued."""
        if self.register.add(replace(record, destination=self.name)) in SENT:
            file.unlink()
            return False
        return self.offer(record.uid, file)

    def tried(self, result: Path) -> bool:
        """Whether there was an attempt to send a result."""
        return self.register.state(result.stem, self.name) == TRYING

    def attempt(self, result: Path) -> bool:
        """Record an attempt; return whether the result may be in the archive: tried before, or perhaps forgotten."""
        tried = self.tried(result)
        self._begun = time.perf_counter()
        TRACE.set((self.register.get(result.stem, self.name) or {}).get("trace", ""))
        self.register.set(result.stem, self.name, TRYING)
        return tried or self.register.pruned

    def confirm(self, result: Path) -> None:
        """Mark a result as received; it is kept until the archive commits itself, where that is the rule."""
        if self.commits:
            os.replace(result, self.stored / result.name)
            flush(self.stored)
            self.register.set(result.stem, self.name, STORED)
        else:
            self.register.set(result.stem, self.name, DONE)
            result.unlink()
        self._tell("sent", result.stem, time.perf_counter() - self._begun)

    def _tell(self, event: str, uid: str, seconds: float | None = None) -> None:
        row = self.register.get(uid, self.name)
        if row is not None:
            self.happened(event, self, row, seconds)

    def give_up(self, file: Path) -> None:
        """Set a result aside for a person to look at."""
        super().give_up(file)
        self.register.set(file.stem, self.name, FAILED)
        self._tell("failed", file.stem)

    def committed(self, uid: str) -> bool:
        """Forget a result that the archive keeps; return whether it was waited for."""
        row = self.register.get(uid, self.name)
        if row is None or row["state"] not in (STORED, KEPT):
            return False
        self.register.set(uid, self.name, DONE)
        for folder in (self.stored, self.kept):
            (folder / f"{uid}.dcm").unlink(missing_ok=True)
        asked = row["asked_at"] or row["changed"]
        self._tell("committed", uid, max(0.0, self.register.now() - asked))
        return True

    def refused(self, uid: str) -> str:
        """Send a result anew that the archive does not keep, three times at most; return its new state."""
        if self.register.state(uid, self.name) not in (STORED, KEPT):
            return ""
        count = self.register.give_back(uid, self.name)
        for folder in (self.stored, self.kept):
            file = folder / f"{uid}.dcm"
            if file.exists():
                os.replace(file, self.outgoing / file.name)
        if count <= RETURNS:
            return WAITING
        self.give_up(self.outgoing / f"{uid}.dcm")
        return FAILED

    def keep(self, uid: str) -> None:
        """Keep a result apart that no report came for."""
        file = self.stored / f"{uid}.dcm"
        if file.exists():
            os.replace(file, self.kept / file.name)
        self.register.set(uid, self.name, KEPT)
        self._tell("kept", uid)

    def drop(self, uid: str) -> None:
        """Forget a result that was kept long enough."""
        self.register.set(uid, self.name, DROPPED)
        (self.kept / f"{uid}.dcm").unlink(missing_ok=True)
        self._tell("dropped", uid)

    def failed_results(self) -> int:
        """How many results were set aside."""
        return sum(1 for _ in self.failed.glob("*.dcm"))


class Store(Inbox):
    """The whole queue.

    ::

        incoming/ waiting/ failed/        images
        to/DESTINATION/                   results, a Box each
        register.sqlite  queue.json       what is remembered, and the layout

    Args:
        folder: its folder; made when absent.
        least_free: bytes of the disk that images leave free.
        clock: seconds since 1970.
        older: whether a queue of ``listen`` is being brought over in its own folder.

    Raises:
        InputError: when another process uses it, it is of another layout, or its register is damaged.
    """

    def __init__(
        self, folder: str | Path, *, least_free: int = 0, clock: Callable[[], float] = time.time, older: bool = False
    ) -> None:
        place = Path(folder)
        self._lock = locked(place)
        self.clock = clock
        self.received: Callable[[Path, str], None] = lambda image, uid: None
        try:
            if not older:
                check_layout(place)
            lost = (place / LAYOUT_FILE).exists() and not (place / "register.sqlite").exists()
            self.register = Register(place / "register.sqlite", clock)
            if lost:
                self.register.note("pruned", "yes")
            super().__init__(place, least_free)
            if not older:
                self.settle_layout()
        except BaseException:
            self._lock.release()
            raise
        self.boxes: dict[str, Box] = {}

    def settle_layout(self) -> None:
        """Say that the folder is a queue of this layout."""
        if not (self.folder / LAYOUT_FILE).exists():
            with replacing(self.folder / LAYOUT_FILE) as partial:
                partial.write_text(json.dumps({"layout": LAYOUT}) + "\n", encoding="utf-8")

    def box(self, name: str) -> Box:
        """The box of a destination."""
        if name not in self.boxes:
            self.boxes[name] = Box(self.folder / "to" / name, name, self.register)
        return self.boxes[name]

    def abandoned(self, names: Iterable[str]) -> Iterator[str]:
        """Destinations of an earlier configuration that results still wait for."""
        for folder in sorted((self.folder / "to").glob("*")):
            if folder.name not in set(names) and any(folder.glob("outgoing/*.dcm")):
                yield folder.name

    def receive(self, job: str, uid: str, content: bytes) -> Path:
        """Store an image, and say so to whoever counts."""
        image = super().receive(job, uid, content)
        self.received(image, uid)
        return image

    def waiting_images(self) -> list[Path]:
        """Images that are on the disk and not segmented, earliest first."""
        return [*sorted(self.waiting.glob("*/*.dcm")), *sorted(self.incoming.glob("*/*.dcm"))]

    def release(self) -> None:
        """Let another process use the folder."""
        self.register.close()
        self._lock.release()


def check_layout(folder: Path) -> None:
    """Refuse a folder that an older or newer version, or another command, laid out.

    Raises:
        InputError: says how to bring it over.
    """
    file = folder / LAYOUT_FILE
    if file.exists():
        layout = read_object(file, "must say the layout of the queue").get("layout")
        if layout != LAYOUT:
            fix = "Run the version that made it" if isinstance(layout, int) and layout > LAYOUT else MIGRATE
            raise InputError(folder, f"must be a queue of layout {LAYOUT}", got=layout, fix=fix)
    elif (folder / "outgoing").is_dir():
        raise InputError(folder, "must be a queue of the service", got="one of `monai-lesion listen`", fix=MIGRATE)


def record_of(file: Path, destination: str, **known: Any) -> Record:
    """What the file of a result says of itself."""
    import pydicom

    from monai_lesion.images.silence import quiet

    with quiet():
        header = pydicom.dcmread(file, stop_before_pixels=True)
    modality = str(header.get("Modality", ""))
    kind = {"SEG": "dicom-seg", "SR": "dicom-sr"}.get(modality, "sc")
    uids = (str(header.SOPClassUID), str(header.StudyInstanceUID), str(header.SeriesInstanceUID))
    return Record(str(header.SOPInstanceUID), destination, kind, *uids, **known)
