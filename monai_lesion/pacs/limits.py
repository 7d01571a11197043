"""How much a peer may ask of this process, over DICOMweb and DIMSE, with the defaults."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

from monai_lesion.errors import InputError

KIB, MIB, GIB = 1 << 10, 1 << 20, 1 << 30


@dataclass(frozen=True)
class Limits:
    """Bounds that hold before memory is taken or a peer is waited for.

    Attributes:
        object_bytes: largest object that is fetched or received.
        answer_bytes: largest list or other answer of a DICOMweb archive.
        listed_objects: most objects of a study that are listed.
        slowest: bytes a second below which a DICOMweb answer is given up.
        request_bytes: longest association request, by its header, before it is read.
        pdu_bytes: longest PDU of an association, by its header, before it is read.
        held_bytes: most that all unfinished objects together hold in memory.
        greeting: seconds from a connection to its whole association request, and from there to room for it.
        pdu: seconds from the first byte of a PDU to its last, and to take an answer.
        settle: seconds without a new image until the images of an open association are segmented.
        silence: seconds without a PDU until an association is aborted.
        visitors: connections without an association, all together; the oldest makes room for the next.
        visitors_per_peer: the same from one address.
        associations: associations at once; where there are more, the one that brought nothing for longest makes room.
        associations_per_peer: the same from one address and AE title.
        stalled: seconds without a whole message until an association may have to make room.

    Example:
        >>> Limits(silence=30).silence
        30
    """

    object_bytes: int = GIB
    answer_bytes: int = 64 * MIB
    listed_objects: int = 100_000
    slowest: int = 10_000
    request_bytes: int = 256 * KIB
    pdu_bytes: int = MIB
    held_bytes: int = 2 * GIB
    greeting: float = 10.0
    pdu: float = 20.0
    settle: float = 5.0
    silence: float = 60.0
    visitors: int = 64
    visitors_per_peer: int = 32
    associations: int = 32
    associations_per_peer: int = 16
    stalled: float = 5.0

    def __post_init__(self) -> None:
        for each in fields(self):
            value = getattr(self, each.name)
            if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 < value < float("inf"):
                raise InputError(f"limit {each.name}", "must be a number above 0", got=value)

    def changed(self, texts: Sequence[str]) -> Limits:
        """Change limits by texts ``name=number``.

        Raises:
            InputError: for another form, an unknown name or a number that is not above 0.

        Example:
            >>> Limits().changed(["silence=30", "associations=4"]).associations
            4
        """
        known: dict[str, type[int] | type[float]] = {
            each.name: float if isinstance(each.default, float) else int for each in fields(self)
        }
        changes: dict[str, Any] = {}
        for text in texts:
            name, _, number = text.partition("=")
            if name not in known:
                raise InputError("--limit", f"must be NAME=NUMBER with a name of {', '.join(known)}", got=repr(text))
            try:
                changes[name] = known[name](number)
            except ValueError as error:
                kind = "a whole number" if known[name] is int else "a number"
                raise InputError(f"--limit {name}", f"must be {kind}", got=repr(number)) from error
        return replace(self, **changes)
