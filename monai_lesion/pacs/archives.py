"""Talk to a DICOMweb archive: retry temporary failures, and report the others clearly."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from http.client import responses
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import quote, urlsplit
from uuid import uuid4

from monai_lesion.errors import InputError, printable
from monai_lesion.images.dicom_headers import instance_named
from monai_lesion.pacs.answers import Answer, UnreadableError, Verdicts, listed, single_object, value, verdicts
from monai_lesion.pacs.credentials import Credentials
from monai_lesion.pacs.limits import Limits
from monai_lesion.pacs.logs import quieten

logger = logging.getLogger(__name__)
Found = TypeVar("Found")

LOOPBACK = ("localhost", "127.0.0.1", "::1")
FIX = 'Install it: pip install "monai-lesion[dicom]"'
THERE_ALREADY = 0x0111
PASSING = (408, 425, 429, 500, 502, 503, 504)
UNKNOWN = (400, 404, 405, 406, 501)  # of an archive that does not know a search or one of its parameters
JSON = "application/dicom+json, application/json"


class ArchiveError(InputError):
    """An archive that does not do what was asked; ``status`` is that of its answer, if there was one."""

    status: int | None = None


class ArchiveClosedError(ArchiveError):
    """An archive that refuses everything: it cannot be reached or does not accept the credentials."""


@dataclass(frozen=True)
class Instance:
    """An object in the archive, as the archive lists it."""

    uid: str
    series: str
    sop_class: str


@dataclass(frozen=True)
class _Request:
    """An HTTP request; ``what`` it asks for goes into messages."""

    method: str
    path: str
    what: str
    most: int
    accept: str = JSON
    parameters: Mapping[str, str] | None = None
    body: bytes | None = None
    body_type: str = ""
    answered: tuple[int, ...] = (200,)  # besides the other 2xx; what comes with them is read


class Archive:
    """A DICOMweb archive.

    It speaks HTTP itself and not through dicomweb-client, which takes an answer that it cannot read for success,
    encodes anew what it fetches, and asks an archive that ignores ``offset`` for ever.

    Args:
        url: where its DICOMweb services start, such as ``http://localhost:8042/dicom-web``.
        credentials: how to log in; None sends nothing.
        retries: how often to repeat a request after an error of the server (5xx) or the connection.
        wait: seconds before the first repeat; each later wait is twice as long.
        timeout: seconds to wait for an answer.
        limits: how much an answer may hold.

    Raises:
        InputError: when the URL has another form or contains a password, or requests is missing.
    """

    def __init__(
        self,
        url: str,
        credentials: Credentials | None = None,
        *,
        retries: int = 4,
        wait: float = 1.0,
        timeout: float = 120.0,
        limits: Limits | None = None,
    ) -> None:
        credentials = credentials or Credentials()
        self.url, self._retries, self._wait, self._timeout = _checked(url), max(0, retries), wait, timeout
        self._limits = limits or Limits()
        parts = urlsplit(self.url)
        if credentials.secret and parts.scheme == "http" and parts.hostname not in LOOPBACK:
            logger.warning("%s: the secret and the images travel unencrypted; use https", self.url)
        quieten()
        try:
            self._session = credentials.session()
        except ImportError as error:
            raise InputError("DICOMweb", "needs requests", got=f"no {error.name}", fix=FIX) from error

    def studies(self, *, most: int | None = None, **search_filters: str) -> list[str]:
        """Find the identifiers of the studies that fit, in pages; ``most`` asks for the first so many alone.

        Raises:
            ArchiveError: when the query fails.
        """
        if most is None:
            return list(self._search("studies", search_filters, "studies", "0020000D"))
        parameters = {**search_filters, "limit": str(most)}
        request = _Request("GET", "studies", "studies", self._limits.answer_bytes, parameters=parameters)
        return list(self._ask(request, lambda answer: _page(answer, "0020000D")))[:most]

    def instances(self, study: str, **search_filters: str) -> list[Instance]:
        """List what a study holds, in pages.

        Raises:
            ArchiveError: when the query fails.
        """
        found = self._search(f"studies/{quote(study, safe='')}/instances", search_filters, f"study {study}", "00080018")
        return [Instance(uid, value(item, "0020000E"), value(item, "00080016")) for uid, item in found.items()]

    def series(self, study: str) -> list[dict[str, str]]:
        """Find ``uid``, ``modality`` and ``manufacturer`` of each series of a study; empty if they are not given.

        Raises:
            ArchiveError: when the query fails; an archive that cannot search for series has none.
        """
        path, what = f"studies/{quote(study, safe='')}/series", f"study {study}"
        tags = {"uid": "0020000E", "modality": "00080060", "manufacturer": "00080070"}
        for parameters in ({"includefield": "00080070"}, {}):
            try:
                found = self._search(path, parameters, what, tags["uid"])
            except ArchiveError as error:
                if error.status not in UNKNOWN:
                    raise
                logger.info("%s; going on without", error)
            else:
                return [{name: value(item, tag) for name, tag in tags.items()} for item in found.values()]
        return []

    def fetch(self, study: str, instance: Instance, file: Path) -> None:
        """Write one object to a file, byte by byte as the archive keeps it.

        Raises:
            ArchiveError: when the archive does not send it.
        """
        uids = [quote(each, safe="") for each in (study, instance.series, instance.uid)]
        request = _Request(
            "GET",
            "studies/{}/series/{}/instances/{}".format(*uids),
            instance_named(instance.uid),
            self._limits.object_bytes,
            accept='multipart/related; type="application/dicom"; transfer-syntax=*',
        )
        file.write_bytes(self._ask(request, single_object))

    def store(self, study: str, files: Iterable[Path]) -> None:
        """Store objects in one request; those that the archive has already count as stored.

        Raises:
            ArchiveError: when some were not stored; it names those that were and those that were not.
        """
        import pydicom

        names, contents = {}, []
        for file in files:
            header = pydicom.dcmread(file, specific_tags=["SOPInstanceUID", "Modality"], stop_before_pixels=True)
            names[str(header.SOPInstanceUID)] = f"{header.Modality} {header.SOPInstanceUID}"
            contents.append(file.read_bytes())
        boundary = uuid4().hex
        request = _Request(
            "POST",
            f"studies/{quote(study, safe='')}",
            f"study {study}",
            self._limits.answer_bytes,
            body=_multipart(contents, boundary),
            body_type=f'multipart/related; type="application/dicom"; boundary={boundary}',
            answered=(200, 409),  # 409: it refused all, and says why
        )
        try:
            said, answer = self._ask(request, lambda answer: (verdicts(answer), str(answer)))
        except ArchiveError as error:
            raise type(error)(_account(names, self._kept(study, names), str(error))) from error
        self._check_stored(study, names, said, answer)

    def _check_stored(self, study: str, names: dict[str, str], said: Verdicts, answer: str) -> None:
        """Hold the archive to what it said of each object; where it said nothing, ask."""
        refused = {uid: why for uid, why in said.refused.items() if why != THERE_ALREADY and (uid in names or not uid)}
        if not refused and names.keys() <= said.stored | said.refused.keys():
            return
        kept = self._kept(study, names)
        if refused or kept != names.keys():
            codes = ", ".join(sorted({f"{why:#06x}" for why in refused.values()}))
            why = f"refused it ({codes})" if refused else f"did not say that it stored it ({answer})"
            raise ArchiveError(_account(names, kept, f"the archive {why}"))

    def _kept(self, study: str, names: Iterable[str]) -> set[str] | None:
        """Which objects the archive has, by asking it; None when it does not tell."""
        try:
            return {found.uid for uid in names for found in self.instances(study, SOPInstanceUID=uid)} & set(names)
        except ArchiveError:
            return None

    def _search(self, path: str, parameters: Mapping[str, str], what: str, tag: str) -> dict[str, dict[str, Any]]:
        """All items of a search by their identifier: page after page, until one brings nothing new."""
        found: dict[str, dict[str, Any]] = {}
        offset, moved = 0, False
        while True:
            paged = {**parameters, "offset": str(offset)} if offset else parameters
            request = _Request("GET", path, what, self._limits.answer_bytes, parameters=paged)
            try:
                page = self._ask(request, lambda answer: _page(answer, tag))
            except ArchiveError as error:
                if not offset or error.status not in UNKNOWN:
                    raise
                logger.warning("%s: gives no further pages of its list; taking the %d items of the first", what, offset)
                return found
            if page.keys() <= found.keys():
                if moved:
                    logger.warning("%s: its pages overlap, so some of its list may be missing; run it again", what)
                return found
            moved = moved or not page.keys().isdisjoint(found)
            found |= page
            offset += len(page)
            if len(found) > self._limits.listed_objects:
                rule = f"must list at most {self._limits.listed_objects} objects for {what}"
                raise ArchiveError(self.url, rule, got="more")

    def _ask(self, request: _Request, read: Callable[[Answer], Found]) -> Found:
        import requests

        attempt = 0
        while True:
            try:
                answer = self._exchange(request)
            except (requests.RequestException, _CutError, _TooLargeError) as error:
                final, passing = self._explained(error, request.what), _passing(error)
            else:
                if 200 <= answer.status < 300 or answer.status in request.answered:
                    try:
                        return read(answer)
                    except UnreadableError as error:
                        final, passing = self._no_dicomweb(answer, error), error.cut
                else:
                    final, passing = self._refused(answer.status, request.what), answer.status in PASSING
                final.status = answer.status
            if attempt == self._retries or not passing:
                raise final
            pause = self._wait * 2**attempt
            attempt += 1
            logger.warning("%s; trying again in %g s (%d of %d)", final, pause, attempt, self._retries)
            time.sleep(pause)

    def _exchange(self, request: _Request) -> Answer:
        """Send a request and read its answer, but not more than it may hold, and not slower than a peer may be."""
        import urllib3

        headers = {"Accept": request.accept, **({"Content-Type": request.body_type} if request.body_type else {})}
        with self._session.request(
            request.method,
            f"{self.url}/{request.path}",
            params=dict(request.parameters or {}),
            data=request.body,
            headers=headers,
            timeout=self._timeout,
            stream=True,
        ) as response:
            content, start = bytearray(), time.monotonic()
            try:
                # What has come, at once: reading piece by piece of a size would wait for a drip to fill it.
                while piece := response.raw.read1(1 << 16, decode_content=True):
                    content += piece
                    if len(content) > request.most:
                        raise _TooLargeError(f"more than {request.most} bytes")
                    if (seconds := time.monotonic() - start) > self._timeout + len(content) / self._limits.slowest:
                        raise _CutError(f"{len(content)} bytes in {seconds:.0f} s")
            except urllib3.exceptions.DecodeError as error:
                coding = response.headers.get("Content-Encoding", "")
                raise _CutError(f"{len(content)} bytes and then no {printable(coding)[:20]}") from error
            except (urllib3.exceptions.HTTPError, OSError) as error:
                raise _CutError(f"{len(content)} bytes of it") from error
            length = response.headers.get("Content-Length", "")
            if length.isdecimal() and "Content-Encoding" not in response.headers and len(content) < int(length):
                raise _CutError(f"{len(content)} of {length} bytes")
            return Answer(response.status_code, response.headers.get("Content-Type", ""), bytes(content))

    def _no_dicomweb(self, answer: Answer, why: UnreadableError) -> ArchiveError:
        fix = "Check that the URL is that of the DICOMweb services"
        return ArchiveError(self.url, "must answer as DICOMweb", got=f"{answer} ({why})", fix=fix)

    def _refused(self, status: int, what: str) -> ArchiveError:
        got = f"{status} {responses.get(status, '')}".strip()
        if status in (401, 407):
            fix = "Set MONAI_LESION_PACS_USER and _PASSWORD, or _TOKEN, or name a file with --credentials"
            return ArchiveClosedError(self.url, "must accept the credentials", got=got, fix=fix)
        if status == 403:
            fix = "Ask its administrator for the right to read and store"
            return ArchiveClosedError(self.url, "must allow it", got=got, fix=fix)
        if status == 404:
            return ArchiveError(self.url, f"must have {what}", got=got, fix="Check the URL and the identifiers")
        return ArchiveError(self.url, f"must answer for {what}", got=got)

    def _explained(self, error: Exception, what: str) -> ArchiveError:
        import requests

        if isinstance(error, _CutError):
            return ArchiveError(self.url, f"must send the whole answer for {what}", got=error)
        if isinstance(error, _TooLargeError):
            fix = "Raise the limit if the archive is to be trusted"
            return ArchiveError(self.url, f"must answer within bounds for {what}", got=error, fix=fix)
        if isinstance(error, requests.exceptions.SSLError):
            fix = "Name the authority's certificate with --ca-file, or the client's with --client-cert"
            return ArchiveClosedError(self.url, "must agree on a TLS connection", got=_reason(error), fix=fix)
        if isinstance(error, (requests.ConnectionError, requests.Timeout)):
            fix = "Check host, port and that the archive runs"
            return ArchiveClosedError(self.url, "must be reachable", got=_reason(error), fix=fix)
        return ArchiveError(self.url, f"must answer for {what}", got=type(error).__name__)


class _CutError(Exception):
    """An answer that broke off, or came too slowly."""


class _TooLargeError(Exception):
    """An answer with more than it may hold."""


def _account(names: dict[str, str], kept: set[str] | None, why: str) -> str:
    """Say which objects were stored and which not."""
    if kept is None:
        return f"not known to be stored: {', '.join(names.values())}; {why}"
    inside = [name for uid, name in names.items() if uid in kept]
    outside = [name for uid, name in names.items() if uid not in kept]
    return f"stored: {', '.join(inside) or 'none'}; not stored: {', '.join(outside) or 'none'}; {why}"


def _page(answer: Answer, tag: str) -> dict[str, dict[str, Any]]:
    """The items of a page by their identifier."""
    items = {value(item, tag): item for item in listed(answer)}
    if "" in items:
        raise UnreadableError("an item has no identifier")
    return items


def _multipart(contents: Iterable[bytes], boundary: str) -> bytes:
    """The body of a store request (PS3.18, 8.7.3.6): the objects as they lie on the disk."""
    head = f"--{boundary}\r\nContent-Type: application/dicom\r\n\r\n".encode()
    return b"".join([*(head + content + b"\r\n" for content in contents), f"--{boundary}--\r\n".encode()])


def _checked(url: str) -> str:
    parts = urlsplit(url)
    if parts.username is not None or parts.password is not None:
        fix = "Use the environment or a file; see --credentials"
        raise InputError("URL", "must not contain a user or a password, which others could see", fix=fix)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment:
        fix = "For example https://archive.example/dicom-web"
        raise InputError("URL", "must be http:// or https:// with a host and a path", got=url, fix=fix)
    return url.rstrip("/")


def _passing(error: Exception) -> bool:
    """Whether a repeated request may succeed."""
    import requests

    if isinstance(error, requests.exceptions.SSLError):
        return False
    return isinstance(error, (_CutError, requests.ConnectionError, requests.Timeout))


def _reason(error: Exception) -> str:
    """The innermost cause: "Connection refused" out of three wrappers."""
    cause: Any = error
    for _ in range(5):
        inner = getattr(cause, "reason", None) or next((arg for arg in cause.args if isinstance(arg, Exception)), None)
        if not isinstance(inner, Exception):
            break
        cause = inner
    text = getattr(cause, "strerror", None) or str(cause).rsplit(": ", 1)[-1]
    text = str(text).split("] ")[-1]
    return (text if "(" in text else text.rstrip(")")) or type(error).__name__


def why_silent(archive: Archive) -> str:
    """Search an archive for one study; empty when it answers, otherwise why not."""
    try:
        archive.studies(most=1)
    except InputError as error:
        return str(error)
    return ""
