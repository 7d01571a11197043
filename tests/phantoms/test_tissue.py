"""What tissue and lesions do to the beam."""

from __future__ import annotations

import numpy as np
import pytest

from monai_lesion.phantoms.cases import _envelope
from monai_lesion.phantoms.scanners import SCANNERS
from monai_lesion.phantoms.tissue import FieldOfView


@pytest.mark.parametrize("loss", [-0.3, 0.3], ids=["enhances", "shadows"])
def test_a_loss_of_the_beam_costs_its_decibels_for_each_millimetre(loss):
    scanner = SCANNERS["A"]
    field = FieldOfView.draw(np.random.default_rng(0), (380, 646), 0.07, scanner)
    even = np.zeros(field.size, np.float32)
    costly = even.copy()
    costly[field.top :] = loss
    levels = [_envelope(np.random.default_rng(1), field, scanner, even, losses) for losses in (even, costly)]
    change = (levels[1] - levels[0])[field.top :].mean(axis=1)
    depths = np.arange(1, len(change) + 1) * field.spacing
    np.testing.assert_allclose(change, np.clip(-loss * depths, -24, 9), atol=0.2)
