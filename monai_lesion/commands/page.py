"""The command `page`; heavy imports wait until it runs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def register(app: typer.Typer) -> None:
    """Add the command to an application."""
    app.command()(page)


def page(
    bundle: Annotated[
        list[str] | None,
        typer.Option(
            help="Model folder or preset to offer; may be repeated, the first opens.", show_default="every preset"
        ),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="Write the page into this folder for another web server; start none."),
    ] = None,
    host: Annotated[str, typer.Option(help="Address to listen on; another than this computer's needs a token.")] = (
        "127.0.0.1"
    ),
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port; 0 takes a free one.")] = 0,
    open: Annotated[bool, typer.Option("--open", help="Open it in the browser.")] = False,
    megabytes: Annotated[float, typer.Option(min=1, help="Size that one request may have.")] = 64,
    seconds: Annotated[float, typer.Option(min=1, help="Time that one request may take.")] = 60,
) -> None:
    """Open the page on which a reader drops an image.

    The page works in the browser; the server adds DICOM results and rarer files.
    """
    from monai_lesion.models.folders import read_model
    from monai_lesion.models.presets import load_preset, preset_names
    from monai_lesion.page.files import write_page

    smallest_first = sorted(preset_names(), key=lambda name: load_preset(name).model.stat().st_size)
    names = bundle or smallest_first  # the first is loaded with the page
    models = [load_preset(name) if name in preset_names() else read_model(name) for name in names]
    if output is not None:
        typer.echo(f"{write_page(output, models)}: the page, with {', '.join(m.description.name for m in models)}")
        return
    from monai_lesion.page.servers import Limits, serve_page

    def started(address: str) -> None:
        typer.echo(f"{address}   (Ctrl-C ends it)")
        if open:
            import webbrowser

            webbrowser.open(address)

    serve_page(models, host=host, port=port, limits=Limits(megabytes, seconds), started=started)
