"""Pixel spacing from hand-written headers; PS3.3 C.8.5.5."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pydicom
import pytest
from pydicom import Dataset

from monai_lesion.images.calibration import spacing_of
from tests.images import colours, write_dicom
from tests.shared_data import ABSENT, US_DICOM


def region(**values: Any) -> Dataset:
    """A 2-D tissue region over 100 x 200 pixels, 0.02 cm from row to row and 0.01 cm from column to column."""
    item = Dataset()
    standard = {
        "RegionSpatialFormat": 1,
        "RegionDataType": 1,
        "RegionLocationMinX0": 0,
        "RegionLocationMinY0": 0,
        "RegionLocationMaxX1": 199,
        "RegionLocationMaxY1": 99,
        "PhysicalUnitsXDirection": 3,
        "PhysicalUnitsYDirection": 3,
        "PhysicalDeltaX": 0.01,
        "PhysicalDeltaY": 0.02,
    }
    for name, value in {**standard, **values}.items():
        setattr(item, name, value)
    return item


def header(*regions: Dataset, **values: Any) -> Dataset:
    dataset = Dataset()
    dataset.Rows, dataset.Columns = 100, 200
    if regions:
        dataset.SequenceOfUltrasoundRegions = list(regions)
    for name, value in values.items():
        setattr(dataset, name, value)
    return dataset


KNOWN = {
    "one region": header(region()),
    "two that agree": header(region(RegionLocationMaxX1=90), region(RegionLocationMinX0=100)),
    "negative step": header(region(PhysicalDeltaY=-0.02)),
    "box to the very edge": header(region(RegionLocationMaxX1=200, RegionLocationMaxY1=100)),
    "a trace beside it": header(region(), region(RegionSpatialFormat=3, PhysicalUnitsXDirection=4)),
    "colour flow over it": header(region(), region(RegionDataType=2, PhysicalDeltaX=0.5)),
    "Pixel Spacing agrees": header(region(), PixelSpacing=[0.2001, 0.1]),
    "Pixel Spacing alone": header(PixelSpacing=[0.2, 0.1]),
    "Pixel Spacing beside a trace": header(region(RegionSpatialFormat=3), PixelSpacing=[0.2, 0.1]),
}


@pytest.mark.parametrize("kind", KNOWN)
def test_spacing_in_millimetres_is_rows_then_columns(kind: str) -> None:
    assert spacing_of(KNOWN[kind]) == pytest.approx((0.2, 0.1), rel=1e-3)


ABSENT_SPACING = {
    "nothing": header(),
    "no region": header(SequenceOfUltrasoundRegions=[]),
    "only a trace": header(region(RegionSpatialFormat=3)),
    "only colour flow": header(region(RegionDataType=2)),
    "empty Pixel Spacing": header(PixelSpacing=None),
    "Pixel Spacing of 0": header(PixelSpacing=[0, 0]),
    "Pixel Spacing that vanishes": header(PixelSpacing=[1e-200, 1e-200]),
    "one number": header(PixelSpacing=0.1),
}


@pytest.mark.parametrize("kind", ABSENT_SPACING)
def test_absent_spacing_is_none_not_one_millimetre(kind: str) -> None:
    assert spacing_of(ABSENT_SPACING[kind]) is None


REFUSED = {
    "wider than the image": (header(region(RegionLocationMaxX1=201)), "reaches outside the image"),
    "higher than the image": (header(region(RegionLocationMaxY1=101)), "reaches outside the image"),
    "seconds": (header(region(PhysicalUnitsXDirection=4)), "not in centimetres"),
    "no unit": (header(region(PhysicalUnitsYDirection=0)), "not in centimetres"),
    "empty step": (header(region(PhysicalDeltaX=None)), "region has no valid pixel size"),
    "step of 0": (header(region(PhysicalDeltaX=0.0)), "region has no valid pixel size"),
    "endless step": (header(region(PhysicalDeltaY=float("inf"))), "region has no valid pixel size"),
    "step that vanishes": (header(region(PhysicalDeltaX=1e-300)), "region has no valid pixel size"),
    "half a metre": (header(region(PhysicalDeltaX=50.0, PhysicalDeltaY=50.0)), "region has no valid pixel size"),
    "one region without scale": (header(region(), region(PhysicalUnitsXDirection=0)), "not in centimetres"),
    "two scales": (header(region(), region(PhysicalDeltaX=0.011)), "differ in scale"),
    "Pixel Spacing": (header(region(), PixelSpacing=[0.1, 0.1]), "Pixel Spacing contradicts"),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_contradictory_spacing_is_refused_with_its_reason(kind: str, caplog: pytest.LogCaptureFixture) -> None:
    dataset, reason = REFUSED[kind]
    with caplog.at_level(logging.WARNING):
        assert spacing_of(dataset) is None
    assert "calibration refused" in caplog.text
    assert reason in caplog.text


def test_the_log_names_the_file(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    wide = region(RegionLocationMaxX1=500)
    file = write_dicom(tmp_path / "a.dcm", colours().tobytes(), "RGB", SequenceOfUltrasoundRegions=[wide])
    with caplog.at_level(logging.WARNING):
        spacing_of(pydicom.dcmread(file))
    assert f"{file}: calibration refused" in caplog.text


@pytest.mark.skipif(not US_DICOM.is_dir(), reason=ABSENT)
def test_real_header_gives_the_known_spacing() -> None:
    dataset = pydicom.dcmread(US_DICOM / "deid_GREYSCALE_IMAGE.dcm", stop_before_pixels=True)
    item = dataset.SequenceOfUltrasoundRegions[0]
    assert spacing_of(dataset) == pytest.approx((item.PhysicalDeltaY * 10, item.PhysicalDeltaX * 10))
    assert spacing_of(dataset) == pytest.approx((0.0649, 0.0649), abs=5e-4)  # of ../shared/data/README.md
