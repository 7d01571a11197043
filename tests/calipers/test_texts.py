"""Lines of text are found as boxes, and markers are none."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont

from monai_lesion.calipers import draw_calipers
from monai_lesion.calipers.anomalies import anomaly_map
from monai_lesion.calipers.texts import find_texts
from tests.calipers.pictures import ENDS, speckle


def found_in(picture):
    return find_texts(picture, anomaly_map(picture))


@pytest.mark.parametrize("place", [(4, 6), (60, 90)], ids=str)
def test_a_written_line_is_found_where_it_stands(place):
    picture = Image.fromarray(speckle())
    font, text = ImageFont.load_default(), "D1 12.3 mm"
    ImageDraw.Draw(picture).text(place[::-1], text, fill=240, font=font)
    left, top, right, bottom = font.getbbox(text)
    ((*box,),) = found_in(np.asarray(picture))
    expected = (place[0] + top, place[1] + left, place[0] + bottom, place[1] + right)
    assert np.abs(np.subtract(box, expected)).max() <= 8


@pytest.mark.parametrize("picture", [speckle(), draw_calipers(speckle(), ENDS)], ids=["speckle", "calipers"])
def test_speckle_and_calipers_are_no_text(picture):
    assert found_in(picture) == ()
