"""Find lines of burned-in text: wide patches that do not look like speckle and change from dark to bright often."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from monai_lesion.calipers.anomalies import Floats

UNUSUAL = 2.4  # of the median anomaly, smoothed over a letter
STEP = 24  # grey levels from one pixel of a row to the next: the side of a stroke
STEPS = 0.15  # least share of such steps around a pixel of a line of text
HEIGHTS = 6, 64  # of one or a few lines, in pixels
WIDEST, ASPECT = 20, 2.2  # least width in pixels, and in heights
CHANGES = 0.1  # least number of changes between dark and bright per pixel of a row


def find_texts(grey: NDArray[np.uint8], anomalies: Floats) -> tuple[tuple[int, int, int, int], ...]:
    """Boxes of lines of text: top, left, bottom and right, the last two not included.

    Args:
        grey: the picture.
        anomalies: result of :func:`~monai_lesion.calipers.anomalies.anomaly_map`.

    Shape:
        - grey, anomalies: ``(H, W)``
    """
    from scipy.ndimage import find_objects, label, uniform_filter

    steps = np.zeros(grey.shape, np.float32)
    steps[:, 1:] = np.abs(np.diff(grey.astype(np.int16), axis=1)) >= STEP
    unusual = (uniform_filter(anomalies, (5, 11)) > UNUSUAL) & (uniform_filter(steps, (7, 15)) > STEPS)
    boxes = []
    for rows, columns in find_objects(label(unusual)[0]):
        # The smoothing widens a region: the letters are where single pixels are unusual.
        strokes = anomalies[rows, columns] > UNUSUAL
        lines, letters = (np.flatnonzero(strokes.any(axis=axis)) for axis in (1, 0))
        if not len(lines):
            continue
        top, bottom = rows.start + int(lines[0]), rows.start + int(lines[-1]) + 1
        left, right = columns.start + int(letters[0]), columns.start + int(letters[-1]) + 1
        height, width = bottom - top, right - left
        if not HEIGHTS[0] <= height <= HEIGHTS[1] or width < max(WIDEST, ASPECT * height):
            continue
        part = grey[top:bottom, left:right].astype(np.int16)
        bright = part > (np.percentile(part, 20) + part.max()) / 2
        changes = np.count_nonzero(bright[:, 1:] != bright[:, :-1], axis=1)
        if np.sort(changes)[-3:].mean() >= CHANGES * width:
            boxes.append((top, left, bottom, right))
    return tuple(boxes)
