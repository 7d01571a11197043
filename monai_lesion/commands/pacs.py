"""The commands `dicomweb` and `listen`; heavy imports wait until they run."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Annotated

import typer

from monai_lesion.commands.options import NetworkOptions, SegKind, SegType, open_segmenter, shared
from monai_lesion.errors import InputError

Frame = Annotated[
    int | None, typer.Option(help="Frame of a cine to segment, counted from 0.", show_default="all frames")
]
Radiomics = Annotated[Path | None, typer.Option(help="Folder to write images, masks and a table for PyRadiomics to.")]


def register(app: typer.Typer) -> None:
    """Add the commands to an application."""
    app.command()(shared(dicomweb))
    app.command()(shared(listen))


def dicomweb(
    *,
    url: Annotated[str, typer.Argument(help="Address of the DICOMweb service: https://archive.example/dicom-web")],
    study: Annotated[str, typer.Option(help="Study Instance UID of the study to segment.")],
    series: Annotated[
        str | None, typer.Option(help="Series Instance UID, to segment one series only.", show_default="all series")
    ] = None,
    credentials: Annotated[
        Path | None,
        typer.Option(
            help="JSON file with user and password, or with a token. Without it, the variables "
            "MONAI_LESION_PACS_USER, _PASSWORD and _TOKEN are read."
        ),
    ] = None,
    ca_file: Annotated[
        Path | None, typer.Option(help="Certificates (PEM) that the archive's is checked against.")
    ] = None,
    client_cert: Annotated[Path | None, typer.Option(help="Your client certificate (PEM).")] = None,
    client_key: Annotated[
        Path | None, typer.Option(help="Key of the client certificate, if it is in another file.")
    ] = None,
    network: NetworkOptions,
    frame: Frame = None,
    seg_type: SegKind = SegType.BINARY,
    radiomics: Radiomics = None,
    retries: Annotated[
        int, typer.Option(min=0, max=10, help="How often to repeat a request after a temporary error.")
    ] = 4,
) -> None:
    """Segment a study in a DICOMweb archive and store the results there.

    Stores a Segmentation, a Structured Report and a Secondary Capture in the study. Running the command again adds
    nothing.
    """
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
        raise InputError("study", f"{len(outcome.failures)} instances failed:\n  {listed}")


def listen(
    *,
    aet: Annotated[str, typer.Option(help="AE title to answer to.")],
    port: Annotated[int, typer.Option(min=1, max=65535, help="Port to listen on.")],
    to: Annotated[str, typer.Option(help="Where to send the results: AET@HOST:PORT.")],
    peers: Annotated[list[str], typer.Option("--from", help="AE title that may send images. May be repeated.")],
    host: Annotated[str, typer.Option(help="Address to listen on.", show_default="all addresses")] = "",
    queue: Annotated[
        Path, typer.Option(help="Folder that keeps images until their results are sent, also over a restart.")
    ] = Path("pacs-queue"),
    network: NetworkOptions,
    frame: Frame = None,
    seg_type: SegKind = SegType.BINARY,
    radiomics: Radiomics = None,
) -> None:
    """Receive images over DICOM (C-STORE), segment them, send the results on.

    Images are segmented when the sender closes the connection. Sends a Segmentation, a Structured Report and a
    Secondary Capture for each. Stop it with Ctrl-C.
    """
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
        typer.echo(f"{aet} is listening on {host or 'all addresses'}, port {port}; results go to {receiver}", err=True)
        stopped.wait()
    typer.echo("stopped; images still in the queue are segmented at the next start", err=True)


def _quieten() -> None:
    """Silence libraries that log every request, and pydicom, which quotes odd values: patient names among them."""
    import warnings

    for name in ("dicomweb_client", "pynetdicom", "urllib3"):
        logging.getLogger(name).setLevel(logging.WARNING)
    logging.getLogger("pydicom").setLevel(logging.CRITICAL)
    warnings.filterwarnings("ignore", module="pydicom")
