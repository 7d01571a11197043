"""The command `serve`; heavy imports wait until it runs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from monai_lesion.errors import InputError


def register(app: typer.Typer) -> None:
    """Add the command to an application."""
    app.command()(serve)


def serve(
    config: Annotated[Path | None, typer.Option(help="The configuration, one TOML file.", show_default="none")] = None,
    check: Annotated[
        bool, typer.Option("--check", help="Say what is wrong with the file and whether peers answer; start nothing.")
    ] = False,
    example: Annotated[bool, typer.Option("--example", help="Print a configuration to start from.")] = False,
    migrate: Annotated[
        Path | None,
        typer.Option(help="Bring the queue of listen in this folder over to the service's, then end."),
    ] = None,
    destination: Annotated[
        str | None,
        typer.Option(help="With --migrate: where listen sent to, as the configuration names it."),
    ] = None,
) -> None:
    """Run beside an archive for years: receive, segment, send, answer monitoring.

    One file configures it; SIGHUP reads it anew, SIGTERM ends it and keeps its queue.
    """
    from monai_lesion.service.configurations import EXAMPLE, read_configuration

    if example:
        typer.echo(EXAMPLE.read_text(encoding="utf-8"), nl=False)
        return
    if config is None:
        raise InputError("--config", "must be given", fix="Print an example with: monai-lesion serve --example")
    configuration = read_configuration(config)
    if check:
        from monai_lesion.service.checks import check as checked

        faults = 0
        for finding in checked(configuration):
            typer.echo(str(finding))
            faults += bool(finding.fault)
        if faults:
            raise InputError(config, f"{faults} of its parts cannot be used")
        return
    if migrate is not None:
        from monai_lesion.service.migrations import migrate as brought_over

        typer.echo(f"{configuration.queue.folder}: {brought_over(migrate, configuration, destination)}")
        return
    if destination is not None:
        raise InputError("--destination", "must come with --migrate", got="alone")
    run(config)


def run(config: Path) -> None:
    """Run until SIGTERM or Ctrl-C; SIGHUP reads the configuration anew."""
    import logging
    import os
    import queue
    import signal

    from monai_lesion.service.configurations import read_configuration
    from monai_lesion.service.logs import start_json_logging
    from monai_lesion.service.services import Service

    logger = logging.getLogger(__name__)
    configuration = read_configuration(config)
    start_json_logging(configuration.log.level, configuration.log.file)
    signals: queue.SimpleQueue[str] = queue.SimpleQueue()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: signals.put("stop"))
    if hasattr(signal, "SIGHUP"):
        signal.signal(signal.SIGHUP, lambda *_: signals.put("reload"))
    service = Service(configuration, failed=lambda: signals.put("stop"))
    while signals.get() == "reload":
        try:
            service.reload(read_configuration(config))
        except InputError as error:
            service.metrics.reloads.labels("refused").inc()
            logger.error("the configuration stays as it was: %s", error, extra={"event": "reload"})
        else:
            service.metrics.reloads.labels("taken").inc()
            logger.info("the configuration was read anew", extra={"event": "reload"})
    ended = service.stop()
    if service.opening.done() and (fault := service.opening.exception()) is not None:
        raise fault
    logger.info("stopped; what is in the queue goes on at the next start", extra={"event": "stopped"})
    if not ended or not service.opening.done():  # work that takes its time; the queue bears an end at any moment
        logging.shutdown()
        os._exit(0)
