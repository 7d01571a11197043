"""Decision, trust and intervals beside a mask of the server, while the served weights are the calibrated ones."""

from __future__ import annotations

import logging
from copy import deepcopy
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from monai_lesion.errors import InputError
from monai_lesion.files import read_object
from monai_lesion.images.reading import UltrasoundImage
from monai_lesion.label.folders import CALIBRATION
from monai_lesion.models.calibrations import check_calibration
from monai_lesion.networks.checkpoints import load_weights
from monai_lesion.networks.identity import weights_id
from monai_lesion.segmentation.segmenters import scanner_of
from monai_lesion.segmentation.trust import Trust, Verdict

logger = logging.getLogger(__name__)


class ServedTrust:
    """The calibration of an app, as long as its weights are the ones that it was made for.

    A training on the server replaces the weights. From then on there are no verdicts, which the log says once.

    Args:
        weights: the served ``model.pt``; the calibration lies beside it, if there is one.
        network: of the class that the weights belong to.

    Raises:
        InputError: when the calibration is damaged.
    """

    def __init__(self, weights: Path, network: torch.nn.Module) -> None:
        self._weights, self._network = weights, network
        self._seen = 0.0
        self._trust: Trust | None = None

    def verdict(self, image: UltrasoundImage, mask: NDArray[np.uint8], scores: NDArray[np.float32]) -> Verdict | None:
        """Judge a mask; None where there is no calibration for these weights.

        Args:
            image: the picture.
            mask: ``(H, W)``, upright.
            scores: the network's, ``(1, S)``.
        """
        trust = self._current()
        if trust is None:
            return None
        signals = trust.signals(mask, scores, image.pixels, lambda pixels: mask)
        return trust.verdict(signals, found=bool(mask.any()), scanner=scanner_of(image))

    def _current(self) -> Trust | None:
        file = self._weights.with_name(CALIBRATION)
        if not file.is_file():
            return None
        changed = self._weights.stat().st_mtime
        if changed != self._seen:
            network = load_weights(deepcopy(self._network), self._weights)
            self._trust, self._seen = _trust_of(file, weights_id(network.state_dict())), changed
        return self._trust


def _trust_of(file: Path, weights: str) -> Trust | None:
    calibration = read_object(file)
    if calibration.get("weights_id") != weights:
        logger.warning("%s belongs to other weights than these (%s): no decision and no trust", file, weights[:12])
        return None
    check_calibration(calibration, weights, file)
    if calibration["signal"] != "scores":
        rule = "must be one by the network's scores, which cost no further run"
        raise InputError(
            file, rule, got=calibration["signal"], fix="Calibrate with --signal scores, or remove the file"
        )
    return Trust(calibration)
