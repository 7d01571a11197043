"""Inference, training and batch inference of one bundle, as MONAI Label's bundle tasks do them, but strict."""

from __future__ import annotations

import copy
import logging
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from fastapi import HTTPException
from monailabel.interfaces.datastore import Datastore
from monailabel.interfaces.tasks.batch_infer import BatchInferTask
from monailabel.tasks.infer.bundle import BundleInferTask
from monailabel.tasks.train.bundle import BundleTrainTask
from numpy.typing import NDArray

from monai_lesion.errors import ImageError, InputError
from monai_lesion.images.reading import ImageFile
from monai_lesion.images.volumes import is_volume
from monai_lesion.label.labels import check_label
from monai_lesion.label.server.answers import refusals
from monai_lesion.label.server.trusts import ServedTrust
from monai_lesion.label.uncertainty import dropout_maps
from monai_lesion.networks.checkpoints import load_weights
from monai_lesion.segmentation.results import Segmentation
from monai_lesion.training.inferers import LogitsInferer
from monai_lesion.training.scores import SCORES

logger = logging.getLogger(__name__)

PICTURES = (".png", ".bmp", ".tif", ".tiff")
LOSSY = (".jpg", ".jpeg")


class LesionInfer(BundleInferTask):  # type: ignore[misc]
    """Segment with the bundle's ``model.pt`` and nothing else.

    MONAI Label offers every ``.pt`` of the folder and takes the one with the shortest name first, whatever is in it.
    """

    def __init__(self, path: str, conf: Mapping[str, str], **options: Any) -> None:
        super().__init__(path, conf, load_strict=True, **options)
        self._config["model_filename"] = ["model.pt"]
        self.trust = ServedTrust(Path(path) / "models" / "model.pt", self.network)

    def __call__(self, request: dict[str, Any], callbacks: Any = None) -> Any:
        """Segment an image; explain a bad one in words."""
        with refusals():
            return super().__call__({**request, "image": _one_file(request.get("image"))}, callbacks)

    def inferer(self, data: Any = None) -> Any:
        """The bundle's inferer; the scores of a network that has some are kept in ``data``."""
        infer = super().inferer(data)
        if data is None or not isinstance(infer, LogitsInferer):
            return infer
        return partial(infer, others=data.setdefault(SCORES, []))

    def writer(self, data: dict[str, Any], extension: str | None = None, dtype: str | None = None) -> Any:
        """Write the mask without loss: PNG for a picture, NIfTI for a volume, unless asked for another.

        The mask is empty where the decision is that nothing is found, as everywhere.
        """
        source = Path(str(data.get("image_path") or ""))
        wanted = extension or data.get("result_extension") or (".nii.gz" if is_volume(source) else ".png")
        if wanted.lower() in LOSSY:
            fix = "Leave result_extension away, or ask for .png"
            raise InputError("result_extension", "must be a format without loss", got=wanted, fix=fix)
        mask = data[self.output_label_key]
        facts = found_in(source, np.asarray(mask), self.trust, data.get(SCORES, ()))
        if not facts["found"]:
            mask[...] = 0
        if wanted.lower() in PICTURES and mask.ndim == 3:
            data[self.output_label_key] = mask[..., 0]
        answer, params = super().writer(data, wanted, dtype or data.get("result_dtype") or "uint8")
        return answer, {**params, **facts}

    def dropout_maps(self, image: str, *, passes: int, device: str) -> torch.Tensor:
        """Probability maps ``(passes, H, W)`` of one image under dropout."""
        data: Any = {"image": _one_file(image), "device": device, "logging": "error"}
        data = self.run_pre_transforms(data, self.pre_transforms(data))
        picture = data[self.input_key].as_tensor()[None].to(device)
        return dropout_maps(self._get_network(device, data), picture, passes=passes, infer=self.inferer(data))

    def _get_network(self, device: str, data: Any) -> Any:
        try:
            return super()._get_network(device, None)
        except Exception:
            load_weights(copy.deepcopy(self.network), self.get_path(validate=False))  # says what is wrong with them
            raise


class LesionTrain(BundleTrainTask):  # type: ignore[misc]
    """Train the bundle's ``model.pt`` on the labels of the server; a label that cannot be learnt from is left out."""

    def __init__(self, path: str, conf: Mapping[str, str]) -> None:
        super().__init__(path, conf, load_strict=True)

    def config(self) -> dict[str, Any]:
        """The options that clients show."""
        return {**super().config(), "model_filename": ["model.pt"]}

    def __call__(self, request: dict[str, Any], datastore: Datastore) -> Any:
        """Train."""
        return super().__call__({**request, "model_filename": "model.pt"}, datastore)

    def _load_checkpoint(self, model_pytorch: str, pretrained: bool, train_handlers: list[Any]) -> None:
        if pretrained:  # else there is nothing to load, which MONAI Label 0.8.5 looks for all the same
            super()._load_checkpoint(model_pytorch, pretrained, train_handlers)

    def _fetch_datalist(self, request: dict[str, Any], datastore: Datastore) -> list[dict[str, str]]:
        kept = []
        for entry in super()._fetch_datalist(request, datastore):
            try:
                check_label(entry["image"], entry["label"])
                kept.append(entry)
            except InputError as error:
                logger.warning("Left out of the training: %s", error)
        if not kept:
            raise InputError("training", "needs at least one label", got="none", fix="Save a label first")
        return kept

    def _partition_datalist(self, datalist: list[Any], request: dict[str, Any], shuffle: bool = False) -> Any:
        training, validation = super()._partition_datalist(datalist, request, shuffle)
        if validation == []:
            logger.warning("No label is left for validation: the network that fits the training labels best is kept")
            validation = training
        return training, validation


class LesionBatchInfer(BatchInferTask):  # type: ignore[misc]
    """Segment all images; a bad one does not stop the rest."""

    def __call__(self, request: dict[str, Any], datastore: Datastore, infer: Callable[..., Any]) -> Any:
        """Segment."""

        def one(request: dict[str, Any], datastore: Datastore) -> Any:
            try:
                return infer(request, datastore)
            except HTTPException as error:
                logger.warning("Left out of the batch: %s", error.detail)
                return {}

        return super().__call__(request, datastore, one)


def found_in(
    source: Path, mask: NDArray[Any], trust: ServedTrust | None = None, scores: Sequence[torch.Tensor] = ()
) -> dict[str, Any]:
    """What a viewer may show beside a mask: whether a lesion was found, its sizes with their unit, and the decision.

    Args:
        source: the image, whose calibration gives millimetres.
        mask: as MONAI Label has it, ``(W, H)`` or ``(W, H, 1)``.
        trust: what judges the mask.
        scores: what the network gave beside its logits; empty for a network that gives nothing.
    """
    with ImageFile(source) as file:
        image = file.read(first=True)
    upright = np.ascontiguousarray((mask[..., 0] if mask.ndim == 3 else mask).T > 0).astype(np.uint8)
    verdict = trust.verdict(image, upright, scores[0].cpu().numpy()) if trust is not None and scores else None
    if verdict is not None and verdict.decision == "nothing found":
        upright = np.zeros_like(upright)
    facts = Segmentation(image, upright, upright.astype(np.float32), verdict=verdict).to_dict()
    told = {key: facts[key] for key in ("found", "measurements", "decision", "trust", "intervals")}
    return {key: value for key, value in told.items() if value is not None}


def _one_file(image: Any) -> Any:
    """The one file of a folder, as DICOMweb gives a series when it is not converted."""
    if not isinstance(image, str) or not Path(image).is_dir():
        return image
    files = sorted(str(file) for file in Path(image).iterdir())
    if len(files) != 1:
        raise ImageError(image, "must be a series of one image", got=f"{len(files)}", fix="Serve a folder of files")
    return files[0]
