"""The commands `dicomweb` and `listen`; what they need is imported when they run."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from monai_lesion.errors import InputError

if TYPE_CHECKING:
    from monai_lesion import LesionSegmenter

Bundle = Annotated[Path, typer.Option(help="Folder of the bundle.")]
Weights = Annotated[Path | None, typer.Option(help="Weights; models/model.pt of the bundle.")]
Published = Annotated[Path | None, typer.Option(help="Checkpoint that the paper's authors released.")]
Device = Annotated[str | None, typer.Option(help="cpu, cuda ...; CUDA where there is one.")]
Frame = Annotated[int | None, typer.Option(help="Frame of cines, from 0; every frame.")]
Radiomics = Annotated[Path | None, typer.Option(help="Folder for image, mask and table that PyRadiomics reads.")]


def register(app: typer.Typer) -> None:
    """Add the commands to an application."""
    app.command()(dicomweb)


def dicomweb(
    url: Annotated[str, typer.Argument(help="Of the DICOMweb services: https://archive.example/dicom-web")],
    study: Annotated[str, typer.Option(help="Study Instance UID.")],
    series: Annotated[str | None, typer.Option(help="Series Instance UID; every series.")] = None,
    credentials: Annotated[
        Path | None,
        typer.Option(help="JSON file with user and password, or token; else MONAI_LESION_PACS_USER, _PASSWORD, _TOKEN."),
    ] = None,
    ca_file: Annotated[Path | None, typer.Option(help="Certificates (PEM) to check the archive's with.")] = None,
    client_cert: Annotated[Path | None, typer.Option(help="Our certificate (PEM).")] = None,
    client_key: Annotated[Path | None, typer.Option(help="Its key (PEM), if in another file.")] = None,
    bundle: Bundle = Path("bundles/lighter_unet"),
    weights: Weights = None,
    published: Published = None,
    device: Device = None,
    frame: Frame = None,
    radiomics: Radiomics = None,
    retries: Annotated[int, typer.Option(min=0, max=10, help="Of a request, after errors that may pass.")] = 4,
) -> None:
    """Segment a study of an archive and store SEG, SR and SC beside it. A second run adds nothing."""
    from monai_lesion.pacs.archives import Archive
    from monai_lesion.pacs.credentials import find_credentials
    from monai_lesion.pacs.web import segment_study

    _quieten()
    files = {"ca_file": ca_file, "client_cert": client_cert, "client_key": client_key}
    archive = Archive(url, find_credentials(credentials, **files), retries=retries)
    segmenter = _segmenter(bundle, weights, published, device)
    outcome = segment_study(archive, study, series, segmenter=segmenter, frame=frame, radiomics=radiomics)
    typer.echo(str(outcome))
    if outcome.failures:
        listed = "\n  ".join(outcome.failures.values())
        raise InputError("study", f"{len(outcome.failures)} instances could not be finished:\n  {listed}")


def _segmenter(bundle: Path, weights: Path | None, published: Path | None, device: str | None) -> LesionSegmenter:
    from monai_lesion.inference import LesionSegmenter

    if published is not None:
        return LesionSegmenter.from_published(published, device=device)
    return LesionSegmenter.from_bundle(bundle, weights=weights, device=device)


def _quieten() -> None:
    """The libraries tell each request, and pydicom quotes values that it finds odd, names among them."""
    import warnings

    for name in ("dicomweb_client", "pynetdicom", "urllib3"):
        logging.getLogger(name).setLevel(logging.WARNING)
    logging.getLogger("pydicom").setLevel(logging.CRITICAL)
    warnings.filterwarnings("ignore", module="pydicom")
