"""Segment with an exported folder alone: neither PyTorch nor MONAI is imported for ONNX and OpenVINO.

::

    model.json, model -- ExportedSegmenter -- as LesionSegmenter
"""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from monai_lesion._version import __version__
from monai_lesion.dicom.identity import Algorithm
from monai_lesion.errors import InputError
from monai_lesion.models.folders import open_exported
from monai_lesion.pipeline.client import Model, ModelError, after, before, read_description
from monai_lesion.runtimes.interfaces import Runtime
from monai_lesion.segmentation.segmenters import Segmenter

if TYPE_CHECKING:
    from monai_lesion.images.reading import UltrasoundImage


class ExportedSegmenter(Segmenter):
    """Segment lesions with the model of a folder that ``monai-lesion export`` wrote.

    Masks are those of ``LesionSegmenter.from_bundle(..., runtime=folder)``, probabilities within 1e-6: here numpy
    resizes, there PyTorch.

    Args:
        folder: with or without ``--end-to-end``.
        crop: as of :class:`~monai_lesion.LesionSegmenter`.
        precision: what the model must have; ``"bf16"`` runs an fp32 model of OpenVINO in bfloat16; None takes its own.
        device: ``"cpu"``, the only one, or None.

    Raises:
        InputError: when the folder is damaged, of another version or precision, its runtime is not installed, or for
            another device.
    """

    def __init__(
        self, folder: str | Path, *, crop: bool = False, precision: str | None = None, device: str | None = None
    ) -> None:
        if device not in (None, "cpu"):
            raise InputError("device", "of an exported model must be cpu", got=device)
        path = Path(folder)
        self.crop = crop
        self.runtime: Runtime | None = None
        try:
            self.description = read_description(path)
            if self.description["end_to_end"]:
                stored = self.description["precision"]
                if precision not in (None, stored):
                    raise InputError("precision", f"of {path} is {stored}", got=precision, fix="Export it again")
                self._model = Model(path)
            else:
                self.runtime = open_exported(path, precision=precision)
            self.settings = self._settings()
        except ModelError as error:
            raise InputError(str(error)) from error
        except KeyError as error:
            fix = "Export the network again"
            raise InputError(path / "model.json", "must describe the model", got=f"no {error}", fix=fix) from error

    def _settings(self) -> dict[str, str]:
        """As ``LesionSegmenter.from_bundle`` has them with this folder as runtime."""
        known = self.description
        return {
            "channel_order": str(known["channel_order"]),
            "spatial_size": str(known["spatial_size"]),
            "threshold": str(known["threshold"]),
            "order": "resize_first",
            "runtime": f"{known['format']} {known['precision']}" if self.runtime is None else self.runtime.label,
        }

    @cached_property
    def algorithm(self) -> Algorithm:
        """Network, version and the hash of the weights, as ``model.json`` has them."""
        network, weights, bundle = (self.description[key] for key in ("network", "weights_id", "bundle_version"))
        return Algorithm(network, __version__, weights, bundle_version=bundle, settings=self.settings)

    def find(self, image: UltrasoundImage) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
        """Mask and probability, upright and of the picture's size."""
        if self.runtime is None:
            return self._model(image.pixels)
        logits = self.runtime(before(image.pixels, self.description["spatial_size"]))
        return after(logits, image.pixels.shape[:2], self.description["threshold"])
