"""Secondary capture: the picture untouched outside the drawing, the drawing in place, any viewer's format."""

from __future__ import annotations

import copy
from dataclasses import replace

import numpy as np
import pydicom
import pytest

from monai_lesion.dicom import Algorithm, secondary_capture, write
from monai_lesion.dicom.captures import AXIS, _lines
from monai_lesion.errors import InputError
from monai_lesion.images.overlays import PREDICTION
from monai_lesion.measures.intervals import Interval
from monai_lesion.measures.sizes import Quantity, measure
from tests.dicom import (
    CINE,
    PICTURE,
    RETIRED,
    SECONDARY_CAPTURE,
    SHAPE,
    SPACING,
    UNKNOWN,
    WEIGHTS,
    ellipse_mask,
    make_source,
    needs_dciodvfy,
    verdict,
)

pytest.importorskip("highdicom", reason="the writers need highdicom")

ALGORITHM = Algorithm("net", "0.1.0", WEIGHTS)
SOURCES = {
    "current": ({}, None),
    "retired": ({"SOPClassUID": RETIRED}, None),
    "secondary-capture": ({"SOPClassUID": SECONDARY_CAPTURE}, None),
    "frame-of-a-cine": ({"SOPClassUID": CINE, "NumberOfFrames": 2}, 1),
}


def test_picture_stands_upper_left_with_the_drawing_on_it(tmp_path):
    mask, measured = ellipse_mask(), measure(ellipse_mask(), SPACING)
    sc = secondary_capture(make_source(tmp_path), PICTURE, mask, ALGORITHM, measurements=measured)
    pixels = pydicom.dcmread(write(sc, tmp_path / "sc.dcm")).pixel_array
    drawn = pixels[: SHAPE[0], : SHAPE[1]]
    changed = (drawn != PICTURE).any(axis=2)
    assert set(map(tuple, drawn[changed].tolist())) == {PREDICTION, AXIS}
    green = np.argwhere((drawn == PREDICTION).all(axis=2))
    outline = np.hypot(*((green - (20, 33)) / (11, 19)).T)
    assert np.abs(outline - 1).max() < 0.25  # on the ellipse's edge, within the line's width
    assert green.min(axis=0) == pytest.approx([9, 14], abs=1.5)
    assert green.max(axis=0) == pytest.approx([31, 52], abs=1.5)
    assert not changed[:7].any()
    assert (pixels[SHAPE[0] :] > 128).any()  # the text


def test_text_holds_sizes_their_units_the_maker_and_the_notice():
    measured = measure(ellipse_mask(), SPACING)
    calibrated = _lines(ellipse_mask(), ALGORITHM, measured)
    assert calibrated == [
        f"Long axis {measured.long_axis.value:.1f} mm   Short axis {measured.short_axis.value:.1f} mm",
        f"Area {ellipse_mask().sum() * 0.2 * 0.1:.1f} mm2",
        "net, monai_lesion 0.1.0 (weights 9f86d081884c)",
        "Research use only; not a medical device",
    ]
    bare = _lines(ellipse_mask(), ALGORITHM, measure(ellipse_mask()))
    assert bare[0].startswith("Long axis 37.")
    assert "px" in bare[0]
    assert "px2" in bare[1]
    assert bare[2] == "In pixels: the image does not state its scale"
    assert _lines(np.zeros(SHAPE, np.uint8), ALGORITHM, None)[0] == "No lesion found"
    assert "".join(calibrated + bare).isascii()  # Pillow's own font draws a box for the rest


def test_text_holds_decision_trust_and_intervals_in_the_same_words():
    interval = Interval(Quantity(40.0, "mm2"), Quantity(90.5, "mm2"), 0.9)
    measured = measure(ellipse_mask(), SPACING)
    lines = _lines(ellipse_mask(), ALGORITHM, measured, "Doubtful, trust 0.42", {"area": interval})
    assert lines[0] == "Doubtful, trust 0.42"
    assert f"Area {measured.area} (40.0-90.5 mm²)".replace("²", "2") in lines
    assert "In brackets: 90% intervals" in lines
    assert "".join(lines).isascii()


@needs_dciodvfy
@pytest.mark.parametrize(("changes", "frame"), SOURCES.values(), ids=SOURCES)
@pytest.mark.parametrize("spacing", [SPACING, None], ids=["mm", "pixels"])
def test_dciodvfy_finds_no_fault(tmp_path, changes, frame, spacing):
    file = make_source(tmp_path, **changes)
    measured = measure(ellipse_mask(), spacing)
    sc = secondary_capture(file, PICTURE, ellipse_mask(), ALGORITHM, frame=frame, measurements=measured)
    assert verdict(write(sc, tmp_path / "sc.dcm")) == ("SCImage", set())


@needs_dciodvfy
def test_an_earlier_capture_is_named_as_replaced(tmp_path):
    file, newer = make_source(tmp_path), replace(ALGORITHM, weights="0" * 16)
    earlier = secondary_capture(file, PICTURE, ellipse_mask(), ALGORITHM)
    made = secondary_capture(file, PICTURE, ellipse_mask(), newer, replaces=[earlier])
    (item,) = made.ReferencedImageSequence
    assert item.ReferencedSOPInstanceUID == earlier.SOPInstanceUID != made.SOPInstanceUID
    assert item.PurposeOfReferenceCodeSequence[0].CodeMeaning == "Picture that this one replaces"
    kind, faults = verdict(write(made, tmp_path / "sc.dcm"))
    assert kind == "SCImage"
    assert {each.split(" for value")[0] for each in faults} <= {UNKNOWN}


def test_keeps_the_scale_so_that_a_viewer_can_measure(tmp_path):
    file = make_source(tmp_path)
    measured = measure(ellipse_mask(), SPACING)
    assert secondary_capture(file, PICTURE, ellipse_mask(), ALGORITHM, measurements=measured).PixelSpacing == [0.2, 0.1]
    options = {"measurements": measured, "one_scale": False}
    assert "PixelSpacing" not in secondary_capture(file, PICTURE, ellipse_mask(), ALGORITHM, **options)
    measured = measure(ellipse_mask())
    assert "PixelSpacing" not in secondary_capture(file, PICTURE, ellipse_mask(), ALGORITHM, measurements=measured)


def test_carries_lossy_compression_and_side_of_the_source(tmp_path):
    lossy = {"LossyImageCompression": "01", "LossyImageCompressionRatio": 12, "ImageLaterality": "L"}
    sc = secondary_capture(make_source(tmp_path, **lossy), PICTURE, ellipse_mask(), ALGORITHM)
    assert (sc.LossyImageCompression, sc.LossyImageCompressionRatio, sc.ImageLaterality) == ("01", 12, "L")


def test_is_no_ultrasound_that_a_search_would_find_again(tmp_path):
    sc = secondary_capture(make_source(tmp_path), PICTURE[..., 0], ellipse_mask(), ALGORITHM)
    assert sc.Modality != "US"
    assert sc.ImageType == ["DERIVED", "SECONDARY"]


def test_refuses_a_picture_of_another_size(tmp_path):
    with pytest.raises(InputError, match=r"picture: must be 8-bit.*\(45, 61\) of .*source.dcm, got uint8 \(61, 45\)"):
        secondary_capture(make_source(tmp_path), PICTURE[..., 0].T, ellipse_mask(), ALGORITHM)


M_MODE = {"RegionSpatialFormat": 2, "PhysicalUnitsXDirection": 4}
OTHERS = {
    "an M-mode": (M_MODE, None),
    "a spectrum": ({"RegionSpatialFormat": 3, "RegionDataType": 3, "PhysicalUnitsYDirection": 7}, None),
    "colours of another scale": ({"RegionDataType": 2, "PhysicalDeltaX": 0.05}, None),
    "colours of the same scale": ({"RegionDataType": 2}, [0.2, 0.1]),
    "a colour bar": ({"RegionSpatialFormat": 5, "RegionDataType": 14, "PhysicalDeltaX": 1.0}, [0.2, 0.1]),
}


@pytest.mark.parametrize("kind", OTHERS)
def test_pixel_spacing_is_told_only_of_a_picture_of_one_scale(tmp_path, kind):
    changes, expected = OTHERS[kind]
    source = pydicom.dcmread(make_source(tmp_path))
    other = copy.deepcopy(source.SequenceOfUltrasoundRegions[0])
    for keyword, value in changes.items():
        setattr(other, keyword, value)
    source.SequenceOfUltrasoundRegions.append(other)
    measured = measure(ellipse_mask(), SPACING)
    sc = secondary_capture(source, PICTURE, ellipse_mask(), ALGORITHM, measurements=measured)
    assert sc.get("PixelSpacing") == expected


def test_band_says_why_sizes_are_in_pixels_and_every_remark():
    lines = _lines(ellipse_mask(), ALGORITHM, measure(ellipse_mask()), no_scale="a reason", remarks=["a remark"])
    assert lines[2:4] == ["In pixels: a reason", "a remark"]
