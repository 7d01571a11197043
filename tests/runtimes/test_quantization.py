"""Calibration needs enough pictures."""

from __future__ import annotations

import pytest

from monai_lesion.errors import InputError
from monai_lesion.runtimes.quantization import MINIMUM, calibration_images
from tests.runtimes.noise import noise_manifest
from tests.small_networks import SIZE


@pytest.mark.parametrize(("counts", "short"), [((15, 16), "training"), ((16, 15), "validation")])
def test_too_few_calibration_pictures_are_refused(counts, short, tmp_path):
    manifest = noise_manifest(tmp_path, **dict(zip(("training", "validation"), counts, strict=True)))
    with pytest.raises(InputError, match=rf"must list at least {MINIMUM} images in its {short} split.*got 15"):
        calibration_images(manifest, spatial_size=SIZE)
