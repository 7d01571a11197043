"""Send what lies in a destination's box, and forget it when the destination's rule allows."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from monai_lesion.errors import InputError
from monai_lesion.pacs.archives import Archive, ArchiveClosedError, ArchiveError, why_silent
from monai_lesion.pacs.dimse import echo, send_results
from monai_lesion.service.commitments import NotOfferedError, UnansweredError, read_report, request_commitment
from monai_lesion.service.configurations import DAY, CommitmentPart, DimsePart, StowPart
from monai_lesion.service.logs import TRACE
from monai_lesion.service.registers import KEPT, STORED
from monai_lesion.service.stores import Box

logger = logging.getLogger(__name__)

TOGETHER = 500  # results of one request for commitment
REFUSED_FOR_NOW = range(0xA700, 0xA800)


class Sender:
    """What both kinds of destination share: the box and the clock.

    Args:
        part: the destination.
        box: the results.
        title: our AE title.
        clock: seconds since 1970.
        commits: whether results are kept until the archive is known to keep them.
    """

    def __init__(self, part: Any, box: Box, title: str, clock: Callable[[], float], *, commits: bool) -> None:
        self.part, self.box, self.title, self._clock, self.commits = part, box, title, clock, commits
        self.go_on: Callable[[], None] = lambda: None
        self.woken: Callable[[], bool] = lambda: False

    def work(self) -> int:
        """Send what waits; return how much is left to do.

        Raises:
            StoppedError: when it was stopped in between.
        """
        raise NotImplementedError

    def ask(self) -> str:
        """Ask whether the destination answers; empty when it does, otherwise why not."""
        raise NotImplementedError

    def reported(self, information: Any) -> bool:
        """Take an archive's report; return whether it is about something of ours."""
        return False


class DimseSender(Sender):
    """Send by C-STORE, and keep each result until the archive commits itself to it, where that is the rule.

    Args:
        part: the destination.
        box: its results.
        title: our AE title.
        clock: seconds since 1970.
    """

    def __init__(self, part: DimsePart, box: Box, title: str, clock: Callable[[], float]) -> None:
        super().__init__(part, box, title, clock, commits=part.commitment.rule != "none")

    @property
    def rule(self) -> CommitmentPart:
        """The rule about commitment."""
        found: CommitmentPart = self.part.commitment
        return found

    def work(self) -> int:
        """Send what waits, ask for commitment, and look after reports that do not come."""
        left = send_results(self.box, self.title, self.part.peer, go_on=self.go_on)
        TRACE.set("")  # what follows is about many
        if self.box.commits:
            self._settle()
            left += len(self.box.register.in_state(self.box.name, STORED))
        return left

    def ask(self) -> str:
        """Send a C-ECHO."""
        try:
            echo(self.title, self.part.peer)
        except InputError as error:
            return str(error)
        return ""

    def asked(self, information: Any) -> bool:
        """Whether a report answers one of this destination's requests."""
        transaction = str(information.get("TransactionUID") or "")
        return self.box.register.asked(transaction) == self.box.name

    def reported(self, information: Any) -> bool:
        """Take a report that came on one of our associations or on one that the archive opened."""
        register, name = self.box.register, self.box.name
        try:
            report = read_report(information)
        except (ValueError, AttributeError, TypeError) as error:
            logger.warning("%s: sent a report that cannot be understood (%s)", name, type(error).__name__)
            return False
        if register.asked(report.transaction) != name:
            logger.warning("%s: reports about a transaction that is not ours", name, extra={"destination": name})
            return False
        for uid in report.committed:
            self.box.committed(uid)
        for uid, reason in report.failed.items():
            state = self.box.refused(uid)
            if state:
                text = "%s: the archive does not keep it (%#06x); it is %s"
                facts = {"event": "not committed", "destination": name, "uid": uid}
                logger.error(text, uid, reason, "sent anew" if state == "waiting" else "set aside", extra=facts)
        return True

    def _settle(self) -> None:
        now, name, rule = self._clock(), self.box.name, self.rule
        stored = self.box.register.in_state(name, STORED)
        due = [row for row in stored if not row["asked"] or now - row["asked_at"] >= rule.again]
        over = [row for row in due if row["asked"] >= rule.requests]
        for row in over:
            self.box.keep(row["uid"])
        if over:
            text = "%s: no report came for %d results after %d requests; they are kept for %g days"
            facts = {"event": "no report", "destination": name}
            logger.error(text, name, len(over), rule.requests, rule.keep_days, extra=facts)
        for row in self.box.register.in_state(name, KEPT):
            if now - row["changed"] >= rule.keep_days * DAY:
                self.box.drop(row["uid"])
                text = "%s: no report came for it in %g days; it is forgotten"
                facts = {"event": "dropped", "destination": name, "uid": row["uid"], "trace": row["trace"]}
                logger.error(text, row["uid"], rule.keep_days, extra=facts)
        wanted = [row for row in due if row["asked"] < rule.requests]
        while wanted:
            self.go_on()
            self._request({row["uid"]: row["sop_class"] for row in wanted[:TOGETHER]})
            wanted = wanted[TOGETHER:]

    def _request(self, results: dict[str, str]) -> None:
        from pydicom.uid import generate_uid

        register, name, transaction = self.box.register, self.box.name, str(generate_uid())
        register.ask(transaction, name, results)

        def enough() -> bool:
            return self.woken() or all(register.state(uid, name) != STORED for uid in results)

        facts = {"event": "commitment asked", "destination": name}
        try:
            request_commitment(
                self.title,
                self.part.peer,
                transaction,
                results,
                reported=self.reported,
                wait=self.rule.wait,
                enough=enough,
            )
        except NotOfferedError:
            if self.rule.rule == "required":
                logger.warning(
                    "%s: does not know storage commitment, which is required; results wait", name, extra=facts
                )
                return
            logger.info("%s: does not know storage commitment; what it stored is forgotten", name, extra=facts)
            for uid in results:
                self.box.committed(uid)
        except UnansweredError as error:
            logger.warning("%s: could not be asked for commitment (%s); it is asked again", name, error, extra=facts)
        else:
            logger.info("%s: asked to commit itself to %d results", name, len(results), extra=facts)


class StowSender(Sender):
    """Send by STOW-RS, and keep each result until the archive lists it, where that is the rule.

    Args:
        part: the destination.
        box: its results.
        title: our AE title.
        clock: seconds since 1970.
        archive: the client.
    """

    def __init__(self, part: StowPart, box: Box, title: str, clock: Callable[[], float], archive: Archive) -> None:
        super().__init__(part, box, title, clock, commits=part.commitment == "listed")
        self._archive = archive

    def work(self) -> int:
        """Send what waits, then ask for what was stored."""
        try:
            for result in sorted(self.box.results(), key=self.box.tried):
                self.go_on()
                self._send(result)
            for row in self.box.register.in_state(self.box.name, STORED):
                self.go_on()
                self._look_up(row)
        except ArchiveClosedError as error:
            logger.warning("%s: %s; %d results wait", self.box.name, error, len(self.box.results()))
        return len(self.box.results()) + len(self.box.register.in_state(self.box.name, STORED))

    def ask(self) -> str:
        """Search for one study."""
        return why_silent(self._archive)

    def _send(self, result: Path) -> None:
        row = self.box.register.get(result.stem, self.box.name)
        if row is None:
            return
        facts = {"event": "sent", "destination": self.box.name, "uid": row["uid"], "trace": row["trace"]}
        if self.box.attempt(result) and self._lists(row):
            self.box.confirm(result)
            return
        try:
            self._archive.store(row["study"], [result])
        except ArchiveClosedError:
            raise
        except ArchiveError as error:
            refused = {int(code, 16) for code in _codes(str(error))}
            if refused and not refused & set(REFUSED_FOR_NOW):
                self.box.give_up(result)
                logger.error("%s; it is in %s", error, self.box.failed, extra={**facts, "event": "failed"})
            else:
                logger.warning("%s; it waits", error, extra={**facts, "event": "refused"})
        else:
            self.box.confirm(result)

    def _look_up(self, row: dict[str, Any]) -> None:
        """Forget what the archive lists; send what it does not list a while later anew."""
        if self._lists(row):
            self.box.committed(row["uid"])
        elif self._clock() - row["changed"] > 10 * self.part.pause:
            state = self.box.refused(row["uid"])
            facts = {"event": "not listed", "destination": self.box.name, "uid": row["uid"], "trace": row["trace"]}
            text = "%s: the archive said that it stored it and does not list it; it is %s"
            logger.error(text, row["uid"], "sent anew" if state == "waiting" else "set aside", extra=facts)

    def _lists(self, row: dict[str, Any]) -> bool:
        try:
            found = self._archive.instances(row["study"], SOPInstanceUID=row["uid"])
        except ArchiveClosedError:
            raise
        except ArchiveError:
            return False
        return any(each.uid == row["uid"] for each in found)


def _codes(text: str) -> list[str]:
    """The statuses in :class:`Archive`'s account of what was refused.

    Example:
        >>> _codes("not stored: SR 1.2; the archive refused it (0xa700, 0xc000)")
        ['0xa700', '0xc000']
    """
    found = re.search(r"refused it \((0x[0-9a-f]+(?:, 0x[0-9a-f]+)*)\)", text)
    return found[1].split(", ") if found else []
