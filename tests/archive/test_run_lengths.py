from __future__ import annotations

import numpy as np
import pytest

from monai_lesion.archive.run_lengths import decode, encode
from monai_lesion.errors import InputError


def masks():
    draw = np.random.default_rng(0)
    yield np.zeros((3, 5), np.uint8)
    yield np.ones((4, 2), np.uint8)
    yield np.zeros((1, 1), np.uint8)
    disc = np.hypot(*np.mgrid[-200:232, -300:346]) < 90
    yield disc
    for _ in range(60):
        yield draw.random(draw.integers(1, 40, 2)) < draw.random()


def test_the_text_is_that_of_cocos_own_code_and_reads_back():
    coco = pytest.importorskip("pycocotools.mask", reason="pycocotools is in the group dev")
    for mask in masks():
        expected = coco.encode(np.asfortranarray(mask.astype(np.uint8)))
        assert encode(mask) == expected["counts"].decode()
        assert (coco.decode({"size": list(mask.shape), "counts": encode(mask)}) == mask).all()


def test_a_mask_comes_back_as_it_was():
    for mask in masks():
        assert (decode(encode(mask), mask.shape) == mask).all()


@pytest.mark.parametrize("counts", ["22", "222", "", "2", "o"])
def test_runs_that_do_not_fill_the_picture_are_refused(counts):
    with pytest.raises(InputError, match="must fill 3 x 3 pixels"):
        decode(counts, (3, 3))
