"""A calibration as `model.json` carries it."""

from __future__ import annotations

from typing import Any

import numpy as np

from monai_lesion.measures.judgements import FEATURES, describe_picture

BLACK = describe_picture(np.zeros((32, 40, 3), np.uint8))
GROUP = {"cases": 60, "long_axis": [-1.0, 1.0], "short_axis": [-1.0, 2.0], "area": [-2.0, 2.0], "volume": [-3.0, 3.0]}


def calibration_of(weights_id: str, **changes: Any) -> dict[str, Any]:
    """Nothing below presence 0.2, doubtful below trust 0.7, familiar near a black picture; changed as wanted."""
    return {
        "weights_id": weights_id,
        "signal": "scores",
        "data": {"manifest": "clinic", "split": "calibration", "cases": 60, "pictures": 90, "without_lesion": 5},
        "presence": {"threshold": 0.2, "lost": 0.03},
        "trust": {"quality": [0.0, 0.5, 1.0], "dice": [0.0, 0.8, 1.0], "least": 0.7},
        "familiarity": {
            "mean": BLACK.tolist(),
            "scale": [1.0] * FEATURES,
            "whitening": np.eye(FEATURES).tolist(),
            "limit": 4.0,
            "flagged": 0.05,
        },
        "intervals": {"level": 0.9, "by": "device", "groups": {"": GROUP, "Scanner A": {**GROUP, "area": [-0.5, 0.5]}}},
        **changes,
    }
