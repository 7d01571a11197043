"""What ``serve --check`` looks at: folders, ports, models, and whether the peers answer."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from monai_lesion.errors import InputError
from monai_lesion.pacs.archives import Archive
from monai_lesion.pacs.credentials import find_credentials
from monai_lesion.pacs.dimse import Peer, echo
from monai_lesion.page.doors import bound_socket
from monai_lesion.service.configurations import Configuration, DimsePart, WebPart
from monai_lesion.service.models import check_rules, open_model

OWN_TITLE = "MONAI_LESION"  # of a service that listens to nobody


@dataclass(frozen=True)
class Finding:
    """What one check found; ``fault`` is empty when all is well."""

    key: str
    text: str
    fault: str = ""

    def __str__(self) -> str:
        return f"{'wrong' if self.fault else 'ok':5}  {self.key}: {self.fault or self.text}"


def archive_of(part: WebPart, *, retries: int = 0) -> Archive:
    """A client of a DICOMweb archive.

    Raises:
        InputError: when its credentials cannot be read.
    """
    known = find_credentials(
        part.credentials, ca_file=part.ca_file, client_cert=part.client_cert, client_key=part.client_key
    )
    return Archive(part.url, known, retries=retries, timeout=30)


def title_of(configuration: Configuration) -> str:
    """The AE title that the service calls itself."""
    return OWN_TITLE if configuration.listener is None else configuration.listener.title


def check(configuration: Configuration) -> Iterator[Finding]:
    """Try everything that the configuration names, one after another; a fault does not stop the next."""
    running = False
    try:
        text = writable(configuration.queue.folder)
        yield Finding("queue.folder", text)
    except InputError as error:
        running = "another" in str(error)
        if running:
            yield Finding("queue.folder", f"{configuration.queue.folder} is in use by a running service")
        else:
            yield Finding("queue.folder", "", str(error))
    yield from _ports(configuration, running)
    for name, file in (("log.file", configuration.log.file), ("audit.file", configuration.audit.file)):
        if file is not None:
            yield _tried(name, partial(writable, file.parent, lock=False))
    if configuration.http is not None and configuration.http.token_file is not None:
        yield _tried("http.token_file", partial(_token, configuration.http.token_file))
    yield from _models(configuration)
    yield from _peers(configuration)


def _ports(configuration: Configuration, running: bool) -> Iterator[Finding]:
    parts = {"listener.port": configuration.listener, "http.port": configuration.http}
    for name, part in parts.items():
        if part is not None:
            where = f"{part.host or 'all addresses'}, port {part.port}"
            if running:
                yield Finding(name, f"{where}: not tried, because the service runs")
            else:
                yield _tried(name, partial(free, part.host, part.port))


def _models(configuration: Configuration) -> Iterator[Finding]:
    models = {}
    for name, part in configuration.models.items():
        try:
            models[name] = open_model(part)
            yield Finding(f"models.{name}", str(models[name]))
        except InputError as error:
            yield Finding(f"models.{name}", "", str(error))
    try:
        check_rules(configuration, models)
    except InputError as error:
        yield Finding("routes", "", str(error))


def _peers(configuration: Configuration) -> Iterator[Finding]:
    title = title_of(configuration)
    for number, peer in enumerate(configuration.peers):
        if peer.host is not None and peer.port is not None:
            yield _tried(f"peers[{number}]", partial(_echoed, title, Peer(peer.title, peer.host, peer.port)))
    for name, destination in configuration.destinations.items():
        if isinstance(destination, DimsePart):
            yield _tried(f"destinations.{name}", partial(_echoed, title, destination.peer))
        else:
            yield _tried(f"destinations.{name}", partial(_asked, destination))
    for name, poller in configuration.pollers.items():
        yield _tried(f"pollers.{name}", partial(_asked, poller))


def _tried(name: str, attempt: Callable[[], str]) -> Finding:
    try:
        return Finding(name, attempt())
    except InputError as error:
        return Finding(name, "", str(error))


def _echoed(title: str, peer: Peer) -> str:
    echo(title, peer)
    return f"{peer} answers a C-ECHO of {title}"


def _asked(part: WebPart) -> str:
    archive_of(part).studies(most=1)
    return f"{part.url} answers a search (QIDO-RS)"


def _token(file: Path) -> str:
    from monai_lesion.service.endpoints import read_token

    read_token(file)
    return f"{file} holds a token"


def writable(folder: Path, *, lock: bool = True) -> str:
    """Write into a folder, or into the one in which it is to be made; nothing stays behind.

    Raises:
        InputError: when that fails, or with ``lock`` when a service uses it.
    """
    place = next(place for place in (folder, *folder.absolute().parents) if place.exists())
    try:
        with tempfile.NamedTemporaryFile(prefix=".check-", dir=place) as probe:
            probe.write(b"x")
            probe.flush()
            os.fsync(probe.fileno())
    except OSError as error:
        raise InputError(folder, "must be a folder that can be written", got=error.strerror) from error
    if lock and (folder / ".lock").exists():  # made by whoever runs the service, whose own it must be
        from monai_lesion.pacs.queues import locked

        locked(folder).release()
    return f"{folder} can be {'written' if place == folder else 'made'}"


def free(host: str, port: int) -> str:
    """Bind a port for a moment.

    Raises:
        InputError: when it cannot be had.
    """
    bound_socket(host, port, where="port", fix="Choose another, or end what listens there").close()
    return f"{host or 'all addresses'}, port {port}, is free"
