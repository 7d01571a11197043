"""Files of a result: all of what was asked for or nothing, and geometry that says what the measurements say."""

from __future__ import annotations

import nibabel
import numpy as np
import pytest

from monai_lesion.errors import InputError
from monai_lesion.images.calibration import Calibration
from monai_lesion.images.reading import UltrasoundImage
from monai_lesion.images.regions import Region
from monai_lesion.segmentation.results import Segmentation

FINE, COARSE = Region(0, 0, 20, 15, (0.2, 0.1)), Region(0, 15, 20, 30, (0.5, 0.4))


def result(calibration, columns, *, spacing=None, path="", geometry=None):
    """A lesion in some of the columns of a picture."""
    mask = np.zeros((20, 30), np.uint8)
    mask[4:9, columns] = 1
    pixels = np.zeros((20, 30, 3), np.uint8)
    image = UltrasoundImage(pixels, spacing, path, geometry=geometry, calibration=calibration)
    return Segmentation(image, mask, mask.astype(np.float32))


def steps(found, folder):
    """Row and column step of the NIfTI mask."""
    (file,) = found.save(folder, ["nifti"], name="a")
    column, row = nibabel.load(file).header.get_zooms()[:2]
    return float(row), float(column)


@pytest.mark.parametrize(("columns", "step"), [(slice(2, 12), (0.2, 0.1)), (slice(18, 28), (0.5, 0.4))])
def test_nifti_has_the_scale_of_the_region_that_holds_the_lesion(tmp_path, columns, step):
    found = result(Calibration(None, "none", (FINE, COARSE)), columns)
    assert found.spacing == step
    assert steps(found, tmp_path) == pytest.approx(step)


def test_nifti_of_a_lesion_across_the_regions_is_in_pixels_like_its_sizes(tmp_path):
    same = Region(0, 15, 20, 30, FINE.spacing)
    found = result(Calibration(FINE.spacing, "mm", (FINE, same)), slice(10, 20), spacing=FINE.spacing)
    assert found.measurements.area.unit == "px2"
    assert steps(found, tmp_path) == (1, 1)


def test_nifti_of_a_picture_with_a_geometry_keeps_it(tmp_path):
    geometry = np.diag([3.0, 2.0, 1.0, 1.0])
    assert steps(result(Calibration((2.0, 3.0), "mm"), slice(2, 5), geometry=geometry), tmp_path) == (2, 3)


@pytest.mark.parametrize("kind", ["dicom-seg", "dicom-sr", "sc"])
def test_nothing_is_written_when_one_format_cannot_be_made(tmp_path, kind):
    (tmp_path / "a.png").write_bytes(b"\x89PNG" + bytes(200))
    found = result(Calibration(), slice(2, 5), path=str(tmp_path / "a.png"))
    with pytest.raises(InputError, match=f"a.png: {kind} needs a DICOM file as source"):
        found.save(tmp_path / "out", ["png", "json", kind])
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("regions", "depth"),
    [
        ((Region(3, 0, 20, 30, (0.2, 0.1)),), (1 * 0.2, "mm")),
        ((Region(3, 0, 20, 30),), (1, "px")),
        ((Region(0, 0, 20, 30, (0.2, 0.1)), Region(3, 0, 20, 30, (0.2, 0.1))), (1 * 0.2, "mm")),
        ((Region(3, 5, 20, 30, (0.2, 0.1)),), (4, "px")),  # the lesion crosses its border
        ((Region(3, 0, 20, 30, (0.2, 0.1)), Region(0, 0, 20, 30, (0.2, 0.1), inside=False)), (4, "px")),
        ((), (4, "px")),
    ],
    ids=["below a banner", "no scale", "the smaller of two", "across its border", "not believed", "no region"],
)
def test_depth_begins_where_the_region_around_the_lesion_does(regions, depth):
    found = result(Calibration(None, "none", regions), slice(2, 12)).measurements.depth
    assert (found.value, found.unit) == (pytest.approx(depth[0]), depth[1])
