"""What is drawn stands out of the speckle."""

from __future__ import annotations

import numpy as np

from monai_lesion.calipers.anomalies import anomaly_map
from tests.calipers.pictures import speckle


def test_an_anomaly_is_a_drawn_pixel_whatever_the_brightness_of_the_tissue():
    picture = speckle().astype(float)
    picture[50:55, 60] += 60
    anomalies = anomaly_map(picture)
    assert np.unravel_index(anomalies.argmax(), anomalies.shape)[0] in range(49, 56)
    assert anomalies.max() > 2.5
    assert abs(np.median(anomalies) - 1) < 0.01
