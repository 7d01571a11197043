"""One request: bytes in, bytes out."""

from __future__ import annotations

import io
import json
from typing import Any

import numpy as np
import pytest
from PIL import Image

from monai_lesion import LesionSegmenter
from monai_lesion.errors import InputError
from monai_lesion.page.requests import answer
from monai_lesion.phantoms.cases import simulate_case


def png(array: np.ndarray) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(array).save(stream, "PNG")
    return stream.getvalue()


@pytest.fixture(scope="module")
def segmenters() -> dict[str, Any]:
    return {"pocket": LesionSegmenter.from_preset("pocket")}


@pytest.fixture(scope="module")
def picture() -> np.ndarray:
    return simulate_case(7, 3).views[0].pixels


def test_a_readers_mask_takes_the_place_of_the_networks(segmenters: dict[str, Any], picture: np.ndarray) -> None:
    drawn = np.zeros(picture.shape[:2], np.uint8)
    drawn[20:40, 30:80] = 255
    data, kind = answer(segmenters, file=png(picture), model="pocket", format="json", mask=png(drawn))
    sizes = json.loads(data)["measurements"]
    assert (kind, sizes["area"]["value"]) == ("application/json", 20 * 50)
    assert sizes["width"]["value"] == 50


def test_a_mask_of_another_size_is_refused(segmenters: dict[str, Any], picture: np.ndarray) -> None:
    rows, columns = picture.shape[:2]
    with pytest.raises(InputError, match=f"mask: must have the picture's {rows} x {columns} pixels, got 4 x 5"):
        answer(segmenters, file=png(picture), model="pocket", format="png", mask=png(np.zeros((4, 5), np.uint8)))


@pytest.mark.parametrize(
    ("model", "format", "said"),
    [
        ("a" * 99, "json", "model: must be one of pocket, got 'a{40}'$"),
        ("pocket", "exe", "format: must be one of json"),
    ],
)
def test_unknown_names_are_refused(
    model: str, format: str, said: str, segmenters: dict[str, Any], picture: np.ndarray
) -> None:
    with pytest.raises(InputError, match=said):
        answer(segmenters, file=png(picture), model=model, format=format)
