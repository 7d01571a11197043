"""The command `doctor`; heavy imports wait until it runs."""

from __future__ import annotations

import json
import logging
import time
from dataclasses import asdict
from typing import Annotated
from urllib.parse import urlsplit

import typer

from monai_lesion.errors import InputError
from monai_lesion.machine.checkups import Finding, look_at_installation
from monai_lesion.machine.loggers import no_less_than

MARKS = {True: "ok", False: "!!", None: "--"}


def register(app: typer.Typer) -> None:
    """Add the command to an application."""
    app.command()(doctor)


def doctor(
    archive: Annotated[
        str | None, typer.Option(help="DICOMweb archive to reach, such as http://pacs.example/dicom-web.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Check this installation and segment a picture.

    Shows versions, processor, precision and extras, and runs each runtime that is installed on a simulated picture.
    Exits with 1 when something that everybody needs is missing.
    """
    found = [*look_at_installation(), *_runtimes(), *([] if archive is None else [_reach(archive)])]
    if as_json:
        typer.echo(json.dumps([asdict(each) for each in found], indent=2))
    else:
        width = max(len(each.name) for each in found)
        for each in found:
            typer.echo(f"{MARKS[each.well]}  {each.name:<{width}}  {each.told}")
    if any(each.well is False for each in found):
        raise typer.Exit(1)


def _runtimes() -> list[Finding]:
    """Segment a simulated picture in each runtime; only ONNX Runtime must work."""
    from monai_lesion.machine.packages import is_installed
    from monai_lesion.phantoms.cases import simulate_case
    from monai_lesion.segmentation.lesion_segmenters import LesionSegmenter

    pixels = simulate_case(0, 0).views[0].pixels
    found = []
    for runtime, package in (("onnx", "onnxruntime"), ("openvino", "openvino"), ("torch", "torch")):
        if not is_installed(package):
            continue
        try:
            with no_less_than(logging.WARNING):  # the table says the rest
                segmenter = LesionSegmenter.from_preset(runtime=runtime)
            segmenter(pixels)
            start = time.perf_counter()
            mask = segmenter(pixels).mask
            told = f"a picture in {1000 * (time.perf_counter() - start):.0f} ms, mask of {int(mask.sum())} pixels"
            found.append(Finding(f"runtime {runtime}", told))
        except Exception as error:  # whatever a broken installation raises is what the user wants to see
            told = f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"
            found.append(Finding(f"runtime {runtime}", told, False if runtime == "onnx" else None))
    return found


def _reach(archive: str) -> Finding:
    """Open a connection to an archive, without asking it for anything."""
    import socket

    parts = urlsplit(archive)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise InputError("--archive", "must be an address such as http://pacs.example/dicom-web", got=archive)
    port = parts.port or (443 if parts.scheme == "https" else 80)
    try:
        with socket.create_connection((parts.hostname, port), timeout=10):
            return Finding("archive", f"{parts.hostname}, port {port}: answers")
    except OSError as error:
        return Finding("archive", f"{parts.hostname}, port {port}: {error.strerror or error}", False)
