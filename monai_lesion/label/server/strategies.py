"""Which image an annotator is given next."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from typing import Any

from monailabel.interfaces.datastore import Datastore
from monailabel.interfaces.tasks.strategy import Strategy

from monai_lesion.label.uncertainty import DOUBT, doubt

DAY = 24 * 60 * 60  # seconds, in which an image that was given out is not given out again


class DoubtfulFirst(Strategy):  # type: ignore[misc]
    """The image whose mask is least to be believed: by its trust where results carry one, else by uncertainty.

    MONAI Label's own strategy takes scores alone, and an image without a score for one that the network is sure of.
    """

    def __init__(self) -> None:
        super().__init__("The image whose mask is least to be believed")

    def __call__(self, request: Mapping[str, Any], datastore: Datastore) -> dict[str, Any] | None:
        """Choose among the images without a label; None when all have one."""
        images = datastore.get_unlabeled_images(request.get("label_tag"), request.get("labels"))
        if not images:
            return None
        known = {image: datastore.get_image_info(image) for image in sorted(images)}
        now = time.time()

        def order(image: str) -> tuple[bool, tuple[int, float]]:
            given = known[image].get("strategy", {}).get(request.get("strategy"), {}).get("ts", -math.inf)
            return now - given < DAY, doubt(known[image])

        first = min(known, key=order)
        return {"id": first, **{key: known[first][key] for key in DOUBT if key in known[first]}}
