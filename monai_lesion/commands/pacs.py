"""The commands `dicomweb` and `listen`; what they need is imported when they run."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Annotated

import typer

from monai_lesion.commands.options import NetworkOptions, SegKind, SegType, open_segmenter, shared
from monai_lesion.errors import InputError

Frame = Annotated[int | None, typer.Option(help="Frame of cines, from 0; every frame.")]
Radiomics = Annotated[Path | None, typer.Option(help="Folder for image, mask and table that PyRadiomics reads.")]


def register(app: typer.Typer) -> None:
    """Add the commands to an application."""
    app.command()(shared(dicomweb))
    app.command()(shared(listen))


def dicomweb(
    *,
    url: Annotated[str, typer.Argument(help="Of the DICOMweb services: https://archive.example/dicom-web")],
    study: Annotated[str, typer.Option(help="Study Instance UID.")],
    series: Annotated[str | None, typer.Option(help="Series Instance UID; every series.")] = None,
    credentials: Annotated[
        Path | None,
        typer.Option(
            help="JSON file with user and password, or token; else MONAI_LESION_PACS_USER, _PASSWORD, _TOKEN."
        ),
    ] = None,
    ca_file: Annotated[Path | None, typer.Option(help="Certificates (PEM) to check the archive's with.")] = None,
    client_cert: Annotated[Path | None, typer.Option(help="Our certificate (PEM).")] = None,
    client_key: Annotated[Path | None, typer.Option(help="Its key (PEM), if in another file.")] = None,
    network: NetworkOptions,
    frame: Frame = None,
    seg_type: SegKind = SegType.BINARY,
    radiomics: Radiomics = None,
    retries: Annotated[int, typer.Option(min=0, max=10, help="Of a request, after errors that may pass.")] = 4,
) -> None:
    """Segment a study of an archive and store SEG, SR and SC beside it. A second run adds nothing."""
    from monai_lesion.pacs.archives import Archive
    from monai_lesion.pacs.credentials import find_credentials
    from monai_lesion.pacs.web import segment_study

    _quieten()
    known = find_credentials(credentials, ca_file=ca_file, client_cert=client_cert, client_key=client_key)
    archive = Archive(url, known, retries=retries)
    segmenter = open_segmenter(network)
    outcome = segment_study(
        archive, study, series, segmenter=segmenter, frame=frame, radiomics=radiomics, seg_type=seg_type.value
    )
    typer.echo(str(outcome))
    if outcome.failures:
        listed = "\n  ".join(outcome.failures.values())
        raise InputError("study", f"{len(outcome.failures)} instances could not be finished:\n  {listed}")


def listen(
    *,
    aet: Annotated[str, typer.Option(help="Our AE title.")],
    port: Annotated[int, typer.Option(min=1, max=65535, help="To listen on.")],
    to: Annotated[str, typer.Option(help="Who gets the results: AET@HOST:PORT.")],
    peers: Annotated[list[str], typer.Option("--from", help="AE title that may send; repeat it for more.")],
    host: Annotated[str, typer.Option(help="Address to listen on; all.")] = "",
    queue: Annotated[Path, typer.Option(help="Folder of the queue, which survives a restart.")] = Path("pacs-queue"),
    network: NetworkOptions,
    frame: Frame = None,
    seg_type: SegKind = SegType.BINARY,
    radiomics: Radiomics = None,
) -> None:
    """Receive images (C-STORE), segment them when the connection closes, send SEG, SR and SC on. Ctrl-C ends it."""
    import signal
    import threading

    from monai_lesion.pacs.dimse import parse_peer
    from monai_lesion.pacs.listeners import Listener

    _quieten()
    receiver = parse_peer(to)
    stopped = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stopped.set())
    segmenter = open_segmenter(network)
    with Listener(
        queue,
        segmenter,
        title=aet,
        peers=peers,
        to=receiver,
        port=port,
        host=host,
        frame=frame,
        radiomics=radiomics,
        seg_type=seg_type.value,
    ):
        typer.echo(f"{aet} listens on {host or 'all addresses'}, port {port}; results go to {receiver}", err=True)
        stopped.wait()
    typer.echo("stopped; what is in the queue waits for the next start", err=True)


def _quieten() -> None:
    """The libraries tell each request, and pydicom quotes values that it finds odd, names among them."""
    import warnings

    for name in ("dicomweb_client", "pynetdicom", "urllib3"):
        logging.getLogger(name).setLevel(logging.WARNING)
    logging.getLogger("pydicom").setLevel(logging.CRITICAL)
    warnings.filterwarnings("ignore", module="pydicom")
