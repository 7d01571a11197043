"""Talk to a DICOMweb archive: retry temporary failures, and report the others clearly."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from http.client import responses
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

from monai_lesion.errors import InputError
from monai_lesion.pacs.credentials import Credentials

logger = logging.getLogger(__name__)
Answer = TypeVar("Answer")

LOOPBACK = ("localhost", "127.0.0.1", "::1")
FIX = 'Install it: pip install "monai-lesion[dicom]"'


class ArchiveError(InputError):
    """An archive that does not do what was asked."""


class ArchiveClosedError(ArchiveError):
    """An archive that refuses everything: it cannot be reached or does not accept the credentials."""


@dataclass(frozen=True)
class Instance:
    """An object in the archive, as the archive lists it."""

    uid: str
    series: str
    sop_class: str


class Archive:
    """A DICOMweb archive.

    Args:
        url: where its DICOMweb services start, such as ``http://localhost:8042/dicom-web``.
        credentials: how to log in; None sends nothing.
        retries: how often to repeat a request after an error of the server (5xx) or the connection.
        wait: seconds before the first repeat; each later wait is twice as long.
        timeout: seconds to wait for an answer.

    Raises:
        InputError: when the URL has another form or contains a password, or dicomweb-client is missing.
    """

    def __init__(
        self,
        url: str,
        credentials: Credentials | None = None,
        *,
        retries: int = 4,
        wait: float = 1.0,
        timeout: float = 120.0,
    ) -> None:
        credentials = credentials or Credentials()
        self.url, self._retries, self._wait = _checked(url), retries, wait
        parts = urlsplit(self.url)
        if credentials.secret and parts.scheme == "http" and parts.hostname not in LOOPBACK:
            logger.warning("%s: the secret and the images travel unencrypted; use https", self.url)
        try:
            from dicomweb_client.api import DICOMwebClient
        except ImportError as error:
            raise InputError("DICOMweb", "needs dicomweb-client", got=f"no {error.name}", fix=FIX) from error
        self._client: Any = DICOMwebClient(
            self.url, session=credentials.session(), timeout=timeout, permissive_uid=True
        )
        self._client.set_http_retry_params(retry=False)  # it sends an empty body the second time, and knows no resets

    def instances(self, study: str, **search_filters: str) -> list[Instance]:
        """List what a study holds, by one query (in pages).

        Raises:
            ArchiveError: when the query fails.
        """
        found = self._ask(
            lambda: self._client.search_for_instances(study, search_filters=search_filters or None, get_remaining=True),
            f"study {study}",
        )
        return [
            Instance(_value(item, "00080018"), _value(item, "0020000E"), _value(item, "00080016")) for item in found
        ]

    def series(self, study: str) -> list[dict[str, str]]:
        """Find ``uid``, ``modality`` and ``manufacturer`` of each series of a study; empty if they are not given."""
        found = self._ask(
            lambda: self._client.search_for_series(study, fields=["Manufacturer"], get_remaining=True),
            f"study {study}",
        )
        tags = {"uid": "0020000E", "modality": "00080060", "manufacturer": "00080070"}
        return [{name: _value(item, tag) for name, tag in tags.items()} for item in found]

    def fetch(self, study: str, instance: Instance, file: Path) -> None:
        """Write one object to a file, in the transfer syntax that the archive keeps it in.

        Raises:
            ArchiveError: when the archive does not send it.
        """
        import pydicom

        with pydicom.config.disable_value_validation():  # its warnings quote values, and end in logs
            dataset = self._ask(
                lambda: self._client.retrieve_instance(
                    study, instance.series, instance.uid, media_types=(("application/dicom", "*"),)
                ),
                f"instance {instance.uid}",
            )
            dataset.save_as(file)

    def store(self, study: str, files: Iterable[Path]) -> None:
        """Store objects in one request.

        Raises:
            ArchiveError: when some were not stored; it names those that were and those that were not.
        """
        import pydicom

        objects = [pydicom.dcmread(file) for file in files]
        names = {str(each.SOPInstanceUID): f"{each.Modality} {each.SOPInstanceUID}" for each in objects}
        try:
            answer = self._ask(lambda: self._client.store_instances(objects, study), f"study {study}")
        except ArchiveError as error:
            raise type(error)(self._account(study, names, str(error))) from error
        if answer.get("FailedSOPSequence"):
            codes = sorted({f"{int(item.get('FailureReason') or 0):#06x}" for item in answer.FailedSOPSequence})
            raise ArchiveError(self._account(study, names, f"the archive refused it ({', '.join(codes)})"))

    def _account(self, study: str, names: dict[str, str], why: str) -> str:
        """Say which objects were stored and which not, by asking the archive."""
        try:
            kept = {found.uid for uid in names for found in self.instances(study, SOPInstanceUID=uid)}
        except ArchiveError:
            return f"not known to be stored: {', '.join(names.values())}; {why}"
        inside = [name for uid, name in names.items() if uid in kept]
        outside = [name for uid, name in names.items() if uid not in kept]
        return f"stored: {', '.join(inside) or 'none'}; not stored: {', '.join(outside) or 'none'}; {why}"

    def _ask(self, request: Callable[[], Answer], what: str) -> Answer:
        import requests

        for attempt in range(self._retries + 1):
            try:
                return request()
            except requests.RequestException as error:
                final = self._explained(error, what)
                if attempt == self._retries or not _passing(error):
                    raise final from error
                pause = self._wait * 2**attempt
                logger.warning("%s; trying again in %g s (%d of %d)", final, pause, attempt + 1, self._retries)
                time.sleep(pause)
            except (AttributeError, KeyError, TypeError, ValueError) as error:
                raise self._no_dicomweb() from error
        raise ArchiveError(self.url, "must be asked at least once", got=f"{self._retries} retries")

    def _no_dicomweb(self) -> ArchiveError:
        fix = "Check that the URL is that of the DICOMweb services"
        return ArchiveError(self.url, "must answer as DICOMweb", got="something else", fix=fix)

    def _explained(self, error: Exception, what: str) -> ArchiveError:
        import requests

        if isinstance(error, requests.HTTPError) and error.response is not None:
            code = error.response.status_code
            got = f"{code} {responses.get(code, '')}".strip()
            if code in (401, 407):
                fix = "Set MONAI_LESION_PACS_USER and _PASSWORD, or _TOKEN, or name a file with --credentials"
                return ArchiveClosedError(self.url, "must accept the credentials", got=got, fix=fix)
            if code == 403:
                fix = "Ask its administrator for the right to read and store"
                return ArchiveClosedError(self.url, "must allow it", got=got, fix=fix)
            if code == 404:
                return ArchiveError(self.url, f"must have {what}", got=got, fix="Check the URL and the identifiers")
            return ArchiveError(self.url, f"must answer for {what}", got=got)
        if isinstance(error, requests.exceptions.SSLError):
            fix = "Name the authority's certificate with --ca-file, or the client's with --client-cert"
            return ArchiveClosedError(self.url, "must agree on a TLS connection", got=_reason(error), fix=fix)
        if isinstance(error, (requests.ConnectionError, requests.Timeout)):
            fix = "Check host, port and that the archive runs"
            return ArchiveClosedError(self.url, "must be reachable", got=_reason(error), fix=fix)
        if isinstance(error, requests.exceptions.InvalidJSONError):
            return self._no_dicomweb()
        return ArchiveError(self.url, f"must answer for {what}", got=type(error).__name__)


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

    if isinstance(error, requests.HTTPError) and error.response is not None:
        return error.response.status_code >= 500 or error.response.status_code in (408, 429)
    if isinstance(error, requests.exceptions.SSLError):
        return False
    broken = (requests.ConnectionError, requests.Timeout, requests.exceptions.ChunkedEncodingError)
    return isinstance(error, broken)


def _reason(error: Exception) -> str:
    """The innermost cause: "Connection refused" out of three wrappers."""
    cause: Any = error
    for _ in range(5):
        inner = getattr(cause, "reason", None) or next((arg for arg in cause.args if isinstance(arg, Exception)), None)
        if not isinstance(inner, Exception):
            break
        cause = inner
    text = getattr(cause, "strerror", None) or str(cause).rsplit(": ", 1)[-1]
    return str(text).split("] ")[-1] or type(error).__name__


def _value(item: dict[str, Any], tag: str) -> str:
    values = item.get(tag, {}).get("Value") or [""]
    return str(values[0])
