"""What was found in a picture, and its files."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from monai_lesion._version import NOTICE, __version__
from monai_lesion.datasets.image_lists import output_names
from monai_lesion.errors import InputError
from monai_lesion.files import replacing
from monai_lesion.images.calibration import Calibration
from monai_lesion.images.dicom_images import is_dicom
from monai_lesion.images.overlays import draw_overlay
from monai_lesion.images.reading import UltrasoundImage
from monai_lesion.images.regions import Region
from monai_lesion.images.writers import ENDINGS, write_mask
from monai_lesion.measures.sizes import Measurements, measure

if TYPE_CHECKING:
    from pydicom import Dataset

    from monai_lesion.dicom import Algorithm

DICOM_ENDINGS = {"dicom-seg": ".seg.dcm", "dicom-sr": ".sr.dcm", "sc": ".sc.dcm"}
RESULT_ENDINGS = {**ENDINGS, "json": ".json", "overlay": "_overlay.png", **DICOM_ENDINGS}
FORMATS = tuple(RESULT_ENDINGS)


@dataclass(frozen=True)
class Segmentation:
    """What was found in one picture; all arrays are upright and have its size.

    Attributes:
        image: the picture.
        mask: ``(H, W)`` uint8, 1 in the lesion.
        probability: ``(H, W)`` float32 in 0-1.
        algorithm: what found it, for DICOM objects.
        region: the part of the picture that the network was shown; None for all of it.
        scores: float32 ``(1, S)`` of a network that scores its own mask; None of any other.
    """

    image: UltrasoundImage
    mask: NDArray[np.uint8]
    probability: NDArray[np.float32]
    algorithm: Algorithm | None = None
    region: Region | None = None
    scores: NDArray[np.float32] | None = None

    @cached_property
    def calibration(self) -> Calibration:
        """Whether sizes are in millimetres, and why: of several ultrasound regions, the one that holds the lesion."""
        known = self.image.calibration
        if known.spacing is None and self.image.spacing is not None:  # a picture made by hand
            known = Calibration(self.image.spacing, "mm as given")
        return known.of(self.mask) if self.mask.any() else known

    @property
    def spacing(self) -> tuple[float, float] | None:
        """Row and column step in millimetres; None when the file does not know them at the lesion."""
        return self.calibration.spacing

    @property
    def affine(self) -> NDArray[np.float64]:
        """The 4 x 4 RAS affine of (x, y, z): the file's own, else in the unit of the measurements."""
        return replace(self.image, spacing=self.spacing).affine

    @cached_property
    def measurements(self) -> Measurements | None:
        """Axes, area and more, each with its unit: millimetres where the spacing is known; None without a lesion."""
        return measure(self.mask, self.spacing, top=self._top()) if self.mask.any() else None

    def _top(self) -> int:
        """Where depth begins: the first row of the ultrasound region around the lesion, below any banner."""
        regions = self.calibration.regions
        believed = all(region.inside for region in regions)
        around = [region for region in regions if believed and region.holds(self.mask)]
        return min(around, key=lambda region: region.shape[0] * region.shape[1]).top if around else 0

    def save(
        self,
        output_dir: str | Path,
        formats: Sequence[str] = ("png",),
        *,
        name: str | None = None,
        seg_type: str = "binary",
    ) -> list[Path]:
        """Write the result; nothing at all where one of the DICOM objects cannot be made.

        Args:
            output_dir: folder, made when absent.
            formats: ``"png"`` (mask, 0 and 255), ``"nifti"`` (mask with the picture's geometry), ``"json"`` (what was
                found, with measurements), ``"overlay"`` (the picture with the contour, PNG), and of a DICOM source
                ``"dicom-seg"``, ``"dicom-sr"`` (none where nothing was found; it refers to the SEG when both are asked
                for) and ``"sc"`` (a picture for any viewer).
            name: name of the files, without ending; None takes the picture's.
            seg_type: type of the SEG: ``"binary"``, or ``"labelmap"``, which fewer viewers know.

        Returns:
            The files written.

        Raises:
            InputError: for an unknown format or type of SEG, or a DICOM format of another source.
        """
        for kind in formats:
            if kind not in FORMATS:
                raise InputError("formats", f"must be one of {', '.join(FORMATS)}", got=kind)
        stem = Path(output_dir) / (name or output_names([Path(self.image.path or "image")])[0])
        objects = self._objects([kind for kind in DICOM_ENDINGS if kind in formats], seg_type)
        return [file for kind in formats for file in self._write(kind, stem, objects.get(kind))]

    def _write(self, kind: str, stem: Path, content: Dataset | None) -> list[Path]:
        """The file written, or none."""
        if kind in ENDINGS:
            return [write_mask(self.mask, stem, format=kind, affine=self.affine)]
        if kind in DICOM_ENDINGS:
            from monai_lesion.dicom import write

            return [] if content is None else [write(content, Path(f"{stem}{DICOM_ENDINGS[kind]}"))]
        file = Path(f"{stem}{RESULT_ENDINGS[kind]}")
        with replacing(file) as partial:
            if kind == "json":
                partial.write_text(json.dumps(self.to_dict(), indent=2) + "\n", encoding="utf-8")
            else:
                from PIL import Image

                Image.fromarray(draw_overlay(self.image.pixels, pred=self.mask)).save(partial)
        return [file]

    def _objects(self, kinds: Sequence[str], seg_type: str) -> dict[str, Dataset | None]:
        """The DICOM objects, the SEG first, for the report refers to it; None for a report of nothing."""
        if not kinds:
            return {}
        from monai_lesion import dicom
        from monai_lesion.dicom.sources import header_of, open_source

        path, header, algorithm, found = self.image.path, self.image.header, self.algorithm, self.measurements
        if header is None and path and is_dicom(path):  # a picture made by hand
            header = header_of(path)
        if algorithm is None or header is None:
            fix = f"Ask for {', '.join(kind for kind in FORMATS if kind not in DICOM_ENDINGS)}"
            raise InputError(
                path or "source", f"{kinds[0]} needs a DICOM file as source", got="another source", fix=fix
            )
        source = open_source(header, self.image.frame, name=path)
        objects: dict[str, Dataset | None] = {}
        for kind in kinds:
            if kind == "dicom-seg":
                objects[kind] = dicom.segmentation(source, self.mask, algorithm, kind=seg_type)
            elif kind == "sc":
                objects[kind] = dicom.secondary_capture(
                    source,
                    self.image.pixels,
                    self.mask,
                    algorithm,
                    measurements=found,
                    one_scale=self.image.spacing is not None,
                )
            elif found is not None:
                seg = objects.get("dicom-seg")
                objects[kind] = dicom.measurement_report(source, found, algorithm, segmentation=seg)
        return objects

    def to_dict(self) -> dict[str, Any]:
        """What was found, as the JSON file holds it."""
        found, by = self.measurements, self.algorithm
        known = {} if by is None else by.settings
        return {
            "image": Path(self.image.path).name if self.image.path else None,
            "frame": self.image.frame,
            "rows": self.mask.shape[0],
            "columns": self.mask.shape[1],
            "region": None if self.region is None else self.region.to_dict(),
            "spacing_mm": self.spacing,
            "calibration": self.calibration.source,
            "found": found is not None,
            "mean_probability": None if found is None else round(float(self.probability[self.mask > 0].mean()), 4),
            "measurements": None if found is None else found.to_dict(),
            "decision": None,  # for these the model must be calibrated
            "trust": None,
            "intervals": None,
            "network": None if by is None else by.name,
            "weights_id": None if by is None else by.weights,
            "runtime": known.get("runtime"),
            "input_size": json.loads(known["input_size"]) if "input_size" in known else None,
            "software": f"monai_lesion {__version__}",
            "notice": NOTICE,
        }
