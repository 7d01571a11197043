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
from monai_lesion.datasets.image_lists import frame_name, output_names
from monai_lesion.errors import InputError
from monai_lesion.files import replacing, true_place
from monai_lesion.images.calibration import Calibration
from monai_lesion.images.dicom_images import is_dicom
from monai_lesion.images.overlays import draw_overlay
from monai_lesion.images.reading import UltrasoundImage
from monai_lesion.images.regions import Region, outside_of
from monai_lesion.images.writers import ENDINGS, write_mask
from monai_lesion.measures.intervals import Interval
from monai_lesion.measures.outlines import offset_to_area
from monai_lesion.measures.sizes import QUANTITIES, Measurements, measure
from monai_lesion.segmentation.formats import DICOM_ENDINGS, FORMATS, RESULT_ENDINGS, check_folder, check_free
from monai_lesion.segmentation.trust import Verdict

if TYPE_CHECKING:
    from pydicom import Dataset

    from monai_lesion.dicom import Algorithm


def _inside(name: str) -> str:
    """The name of a result's files, which keeps them in their folder."""
    if Path(name).is_absolute() or ".." in Path(name).parts or not Path(name).parts:
        raise InputError("name", "must stay in the folder", got=name)
    if "\0" in name:
        raise InputError("name", "must be one that a file can have", got=repr(name))
    return name


@dataclass(frozen=True, eq=False, repr=False)
class Segmentation:
    """What was found in one picture; all arrays are upright and have its size.

    Attributes:
        image: the picture.
        mask: ``(H, W)`` uint8, 1 in the lesion.
        probability: ``(H, W)`` float32 in 0-1.
        algorithm: what found it, for DICOM objects.
        region: the part of the picture that the network was shown; None for all of it.
        scores: float32 ``(1, S)`` of a network that scores its own mask; None of any other.
        verdict: how far the mask is to be believed; None where the model carries no calibration.
        name: what its files are called; empty for the name of the picture's file.
    """

    image: UltrasoundImage
    mask: NDArray[np.uint8]
    probability: NDArray[np.float32]
    algorithm: Algorithm | None = None
    region: Region | None = None
    scores: NDArray[np.float32] | None = None
    verdict: Verdict | None = None
    name: str = ""

    @property
    def decision(self) -> str | None:
        """``"lesion"``, ``"doubtful"`` (a person must look) or ``"nothing found"``; None without a calibration."""
        return None if self.verdict is None else self.verdict.decision

    @property
    def trust(self) -> float | None:
        """The estimated Dice of the mask with its reference, 0 to 1; None without a calibration or a mask."""
        return None if self.verdict is None else self.verdict.trust

    @cached_property
    def intervals(self) -> dict[str, Interval] | None:
        """Where long axis, short axis and area lie, with the calibration's level; None where that is not known."""
        return None if self.verdict is None else self.verdict.intervals(self.measurements)

    def __repr__(self) -> str:
        rows, columns = self.mask.shape
        return f"<{self.title}, {rows} x {columns}: {self.summary}>"

    def _repr_html_(self) -> str:
        from monai_lesion.segmentation.displays import html_of

        sizes, facts = self.measurements, self.to_dict()
        lines = {name.replace("_", " "): getattr(sizes, name) for name in QUANTITIES} if sizes else {"lesion": "none"}
        said = {key: facts[key] for key in ("decision", "trust", "calibration", "network") if facts[key] is not None}
        return html_of(self.image.pixels, self.mask, self.title, {**lines, **said})

    def plot(self, axes: Any = None) -> Any:
        """Draw the picture with the lesion's outline, by Matplotlib.

        Args:
            axes: Matplotlib's axes to draw on; None makes some.

        Returns:
            The axes.

        Raises:
            InputError: without Matplotlib.
        """
        from monai_lesion.segmentation.displays import plot

        title = f"{self.title}\n{self.summary}"
        return plot(self.image.pixels, self.mask, title, self.measurements, axes=axes)

    @property
    def title(self) -> str:
        """The picture's file and frame, for tables and plots."""
        frame = "" if self.image.frame is None else f", frame {self.image.frame}"
        return f"{Path(self.image.path).name or self.name or 'picture'}{frame}"

    @property
    def file_name(self) -> str:
        """What its files are called, without ending; empty for a picture that comes from no file."""
        if self.name or not self.image.path:
            return self.name
        return frame_name(output_names([Path(self.image.path)])[0], self.image.frame)

    @property
    def summary(self) -> str:
        """What was found, in one line."""
        sizes = self.measurements
        said = "" if self.verdict is None else f"; {self.verdict.words()}"
        if not sizes:
            return f"no lesion{said}"
        return f"long axis {sizes.long_axis}, short axis {sizes.short_axis}, area {sizes.area}{said}"

    @property
    def found(self) -> bool:
        """Whether there is a lesion."""
        return bool(self.mask.any())

    @cached_property
    def calibration(self) -> Calibration:
        """Whether sizes are in millimetres, and why: of several ultrasound regions, the one that holds the lesion."""
        known = self.image.calibration
        if known.spacing is None and self.image.spacing is not None:  # a picture made by hand
            known = Calibration(self.image.spacing, "mm as given")
        return known.of(self.mask) if self.found else known

    @property
    def spacing(self) -> tuple[float, float] | None:
        """Row and column step in millimetres; None when the file does not know them at the lesion."""
        return self.calibration.spacing

    @property
    def affine(self) -> NDArray[np.float64]:
        """The 4 x 4 RAS affine of (x, y, z): the file's own, else in the unit of the measurements."""
        return replace(self.image, spacing=self.spacing).affine

    @cached_property
    def measurements(self) -> Measurements:
        """Axes, area and more, each with its unit: millimetres where the spacing is known; NaN without a lesion."""
        return measure(self.mask, self.spacing, top=self._top()) if self.found else Measurements.nothing(self.spacing)

    def _top(self) -> int:
        """Where depth begins: the first row of the ultrasound region around the lesion, below any banner."""
        regions = self.calibration.regions
        believed = all(region.inside for region in regions)
        around = [region for region in regions if believed and region.holds(self.mask)]
        return min(around, key=lambda region: region.shape[0] * region.shape[1]).top if around else 0

    @cached_property
    def remarks(self) -> tuple[str, ...]:
        """What whoever reads the result must know: that the lesion does not lie in the tissue of the header."""
        place = outside_of(self.mask, self.image.calibration.regions)
        return (f"The lesion lies {place}",) if place else ()

    def save(
        self,
        output_dir: str | Path,
        formats: str | Sequence[str] = ("png",),
        *,
        name: str | None = None,
        seg_type: str = "binary",
        seg_geometry: str = "none",
        overwrite: bool = False,
        replaces: Sequence[Dataset] = (),
    ) -> list[Path]:
        """Write the result; nothing at all where one of its files exists or a DICOM object cannot be made.

        Args:
            output_dir: folder, made when absent.
            formats: one or several, also as a text with commas: ``"png"`` (mask, 0 and 255), ``"nifti"`` (mask with the
                picture's geometry), ``"json"`` (what was found, with measurements), ``"overlay"`` (the picture with the
                contour, PNG), and of a DICOM source ``"dicom-seg"`` (none where the decision is "nothing found"),
                ``"dicom-sr"`` (it says so where nothing was found, and refers to the SEG when both are asked for) and
                ``"sc"`` (a picture for any viewer).
            name: name of the files in the folder, without ending; None takes the picture's, and of a frame
                ``NAME_f0000``. A picture that comes from no file needs one.
            seg_type: type of the SEG: ``"binary"``, or ``"labelmap"``, which fewer viewers know.
            seg_geometry: ``"picture"`` gives the SEG a geometry of the picture's own, for dcmqi and 3D Slicer.
            overwrite: replace earlier results. The picture itself is never replaced.
            replaces: earlier objects (SR, SEG, SC) of the picture, which the new ones name as replaced.

        Returns:
            The files written.

        Raises:
            InputError: for an unknown format, type or geometry of the SEG, a DICOM format of another source, a missing
                name or one outside the folder, a folder that is named like a file, or a file that exists.
        """
        formats = [each.strip() for each in formats.split(",")] if isinstance(formats, str) else formats
        for kind in formats:
            if kind not in FORMATS:
                raise InputError("formats", f"must be one of {', '.join(FORMATS)}", got=kind)
        if not (name or self.file_name):
            hint = 'For example save(folder, name="front")'
            raise InputError("name", "must be given for a picture that comes from no file", fix=hint)
        stem = Path(output_dir) / _inside(name or self.file_name)
        folder, wanted = Path(output_dir).parent, Path(output_dir).name.split(".")[0]
        check_folder(output_dir, f'For example save("{folder}", name="{wanted}")')
        pictures = {true_place(self.image.path)} if self.image.path else set()
        fix = "Give overwrite=True, another name= or another folder"
        check_free([Path(f"{stem}{RESULT_ENDINGS[kind]}") for kind in formats], pictures, overwrite=overwrite, fix=fix)
        kinds = [kind for kind in DICOM_ENDINGS if kind in formats]
        objects = self.dicom_objects(kinds, seg_type, seg_geometry, replaces)
        return [file for kind in formats for file in self._write(kind, stem, objects.get(kind))]

    def _write(self, kind: str, stem: Path, content: Dataset | None) -> list[Path]:
        """The file written, or none."""
        if kind in ENDINGS:
            said = "; ".join(self.remarks)
            return [write_mask(self.mask, stem, format=kind, affine=self.affine, description=said)]
        if kind in DICOM_ENDINGS:
            from monai_lesion.dicom import write

            file = Path(f"{stem}{DICOM_ENDINGS[kind]}")
            if content is None:
                file.unlink(missing_ok=True)  # what an earlier result measured is not there any more
            return [] if content is None else [write(content, file)]
        file = Path(f"{stem}{RESULT_ENDINGS[kind]}")
        with replacing(file) as partial:
            if kind == "json":
                partial.write_text(json.dumps(self.to_dict(), indent=2) + "\n", encoding="utf-8")
            else:
                from PIL import Image

                Image.fromarray(self.draw()).save(partial)
        return [file]

    def draw(self) -> NDArray[np.uint8]:
        """The picture with the contour, a badge with decision and trust, and the contours that the area's ends give."""
        said = "; ".join(self.remarks)
        verdict, area = self.verdict, (self.intervals or {}).get("area")
        if verdict is None:
            return draw_overlay(self.image.pixels, pred=self.mask, text=said)
        bounds = []
        if area is not None:
            shares = (each.value / self.measurements.area.value for each in (area.low, area.high))
            bounds = [offset_to_area(self.mask, share) for share in shares]
        badge = verdict.decision, verdict.words()
        return draw_overlay(self.image.pixels, pred=self.mask, bounds=bounds, badge=badge, text=said)

    def dicom_objects(
        self,
        kinds: Sequence[str],
        seg_type: str = "binary",
        seg_geometry: str = "none",
        replaces: Sequence[Dataset] = (),
    ) -> dict[str, Dataset | None]:
        """Make DICOM objects without writing them.

        Args:
            kinds: ``"dicom-seg"``, ``"dicom-sr"`` and ``"sc"``; a SEG before its report, which refers to it.
            seg_type: see :meth:`save`.
            seg_geometry: see :meth:`save`.
            replaces: see :meth:`save`.

        Returns:
            A data set by its kind; None for the SEG of nothing.

        Raises:
            InputError: when the picture comes from no DICOM file.
        """
        if not kinds:
            return {}
        from monai_lesion import dicom
        from monai_lesion.dicom.sources import header_of, open_source

        path, header, algorithm, found = self.image.path, self.image.header, self.algorithm, self.measurements or None
        if header is None and path and is_dicom(path):  # a picture made by hand
            header = header_of(path)
        if algorithm is None or header is None:
            fix = f"Ask for {', '.join(kind for kind in FORMATS if kind not in DICOM_ENDINGS)}"
            raise InputError(
                path or "source", f"{kinds[0]} needs a DICOM file as source", got="another source", fix=fix
            )
        source = open_source(header, self.image.frame, name=path)
        said: dict[str, Any] = {"remarks": self.remarks}
        if self.calibration.reason:
            said["no_scale"] = self.calibration.reason
        segmentations = [each for each in replaces if each.SOPClassUID in dicom.SEGMENTATIONS]
        captures = [each for each in replaces if each.SOPClassUID == dicom.SECONDARY_CAPTURE]
        reports = [each for each in replaces if each.SOPClassUID not in (*dicom.SEGMENTATIONS, dicom.SECONDARY_CAPTURE)]
        objects: dict[str, Dataset | None] = {}
        for kind in kinds:
            if kind == "dicom-seg" and self.decision == "nothing found":
                objects[kind] = None
            elif kind == "dicom-seg":
                objects[kind] = dicom.segmentation(
                    source,
                    self.mask,
                    algorithm,
                    kind=seg_type,
                    geometry=seg_geometry,
                    spacing=self.spacing,
                    remarks=self.remarks,
                    replaces=segmentations,
                )
            elif kind == "sc":
                objects[kind] = dicom.secondary_capture(
                    source,
                    self.image.pixels,
                    self.mask,
                    algorithm,
                    measurements=found,
                    one_scale=self.image.spacing is not None,
                    verdict="" if self.verdict is None else self.verdict.words(),
                    intervals=self.intervals,
                    replaces=captures,
                    **said,
                )
            else:
                objects[kind] = dicom.measurement_report(
                    source,
                    found,
                    algorithm,
                    segmentation=objects.get("dicom-seg"),
                    decision=self.decision,
                    trust=self.trust,
                    intervals=self.intervals,
                    replaces=reports,
                    **said,
                )
        return objects

    def to_dict(self) -> dict[str, Any]:
        """What was found, as the JSON file holds it."""
        found, by, intervals = self.measurements or None, self.algorithm, self.intervals
        known = {} if by is None else by.settings
        return {
            "image": Path(self.image.path).name if self.image.path else None,
            "frame": self.image.frame,
            "rows": self.mask.shape[0],
            "columns": self.mask.shape[1],
            "region": None if self.region is None else self.region.to_dict(),
            "spacing_mm": self.spacing,
            "calibration": self.calibration.source,
            "remarks": list(self.remarks),
            "found": found is not None,
            "mean_probability": None if found is None else round(float(self.probability[self.mask > 0].mean()), 4),
            "measurements": None if found is None else found.to_dict(),
            "decision": self.decision,
            "trust": None if self.trust is None else round(self.trust, 4),
            "intervals": intervals and {name: each.to_dict() for name, each in intervals.items()},
            "model": known.get("model"),
            "network": None if by is None else by.name,
            "weights_id": None if by is None else by.weights,
            "runtime": known.get("runtime"),
            "input_size": json.loads(known["input_size"]) if "input_size" in known else None,
            "views": int(known.get("views", 1)),
            "software": f"monai_lesion {__version__}",
            "notice": NOTICE,
        }
