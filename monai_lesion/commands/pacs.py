"""The commands `dicomweb` and `listen`; heavy imports wait until they run."""

from __future__ import annotations

import logging
import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from monai_lesion.commands.options import (
    NetworkOptions,
    SegGeometry,
    SegKind,
    SegPlace,
    SegType,
    open_segmenter,
    shared,
)
from monai_lesion.errors import InputError

if TYPE_CHECKING:
    import threading
    from concurrent.futures import Future

logger = logging.getLogger(__name__)

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
    seg_geometry: SegPlace = SegGeometry.NONE,
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

    known = find_credentials(credentials, ca_file=ca_file, client_cert=client_cert, client_key=client_key)
    archive = Archive(url, known, retries=retries)
    segmenter = open_segmenter(network)
    outcome = segment_study(
        archive,
        study,
        series,
        segmenter=segmenter,
        frame=frame,
        radiomics=radiomics,
        seg_type=seg_type.value,
        seg_geometry=seg_geometry.value,
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
    seg_geometry: SegPlace = SegGeometry.NONE,
    radiomics: Radiomics = None,
    limits: Annotated[
        list[str] | None,
        typer.Option(
            "--limit", help="Change a limit on peers: silence=120. May be repeated.", show_default="see the docs"
        ),
    ] = None,
    log_level: Annotated[str, typer.Option(help="Least level to log: debug, info, warning or error.")] = "info",
    log_file: Annotated[Path | None, typer.Option(help="File to log to as well, rotated at 10 MB.")] = None,
) -> None:
    """Receive images over DICOM (C-STORE), segment them, send the results on.

    Images are segmented when the sender closes the connection or pauses. Sends a Segmentation, a Structured Report and
    a Secondary Capture for each. Stop it with Ctrl-C.
    """
    import signal
    import threading
    from concurrent.futures import Future

    from monai_lesion.pacs.dimse import parse_peer
    from monai_lesion.pacs.limits import Limits
    from monai_lesion.pacs.listeners import Listener
    from monai_lesion.pacs.logs import start_logging

    start_logging(log_level, log_file)
    receiver, bounds = parse_peer(to), Limits().changed(limits or ())
    stopped = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stopped.set())
    opening: Future[Any] = Future()
    listener = Listener(
        queue,
        opening,
        title=aet,
        peers=peers,
        to=receiver,
        port=port,
        host=host,
        frame=frame,
        radiomics=radiomics,
        seg_type=seg_type.value,
        seg_geometry=seg_geometry.value,
        limits=bounds,
    )
    opener = threading.Thread(target=_open, args=(network, opening, stopped), name="opener", daemon=True)
    opener.start()
    stopped.wait()
    ended = listener.stop()
    opener.join(0 if opening.done() else 1)
    if opening.done() and (error := opening.exception()) is not None:
        raise error
    logger.info("stopped; images still in the queue are segmented at the next start")
    if not ended:
        logger.debug("work in hand is left for the next start")
    logging.shutdown()
    os._exit(0)  # the queue bears an end at any moment; Python itself takes seconds to end on a busy machine


def _open(network: NetworkOptions, opening: Future[Any], stopped: threading.Event) -> None:
    """Open the segmenter beside the listener, which ends when that fails."""
    try:
        opening.set_result(open_segmenter(network))
    except BaseException as error:
        opening.set_exception(error)
        stopped.set()
