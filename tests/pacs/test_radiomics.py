"""Image, mask and table, as ITK and, where it is installed, PyRadiomics read them."""

from __future__ import annotations

import csv
import os
import shutil
import subprocess
from dataclasses import replace

import nibabel
import numpy as np
import pytest

from monai_lesion.errors import InputError
from monai_lesion.images.calibration import Calibration
from monai_lesion.images.reading import UltrasoundImage
from monai_lesion.images.regions import Region
from monai_lesion.pacs.radiomics import export_radiomics
from monai_lesion.segmentation.results import Segmentation

PYRADIOMICS = os.environ.get("MONAI_LESION_PYRADIOMICS") or shutil.which("pyradiomics")
PARAMETERS = "featureClass: {shape2D: , firstorder: }\nsetting: {force2D: true}\n"


def result(lesion=True, spacing=(0.2, 0.1)):
    pixels = np.zeros((20, 30, 3), np.uint8)
    pixels[4:9, 10:25] = (200, 100, 50)
    mask = np.zeros((20, 30), np.uint8)
    mask[4:9, 10:25] = lesion
    return Segmentation(UltrasoundImage(pixels, spacing, ""), mask, mask.astype(np.float32))


@pytest.mark.slow
def test_simpleitk_style_reader_finds_grey_image_mask_and_millimetres(tmp_path):
    itk = pytest.importorskip("itk")
    image, mask, _ = export_radiomics(result(), tmp_path, name="1.2.3")
    picture, label = itk.imread(str(image)), itk.imread(str(mask))
    assert [round(float(step), 6) for step in picture.GetSpacing()][:2] == [0.1, 0.2]
    grey, marked = itk.array_from_image(picture), itk.array_from_image(label)
    assert grey.shape == marked.shape == (1, 20, 30)  # one slice, upright
    np.testing.assert_array_equal(marked[0], result().mask)
    assert set(grey[marked > 0]) == {round(0.299 * 200 + 0.587 * 100 + 0.114 * 50)}
    np.testing.assert_array_equal(nibabel.load(image).affine, nibabel.load(mask).affine)


def test_table_has_a_line_for_each_and_none_twice(tmp_path):
    for name in ("1.2.3", "1.2.4", "1.2.3"):
        *_, table = export_radiomics(result(), tmp_path, name=name)
    with table.open(newline="") as file:
        lines = list(csv.DictReader(file))
    assert [line["Image"] for line in lines] == ["1.2.3_image.nii.gz", "1.2.4_image.nii.gz"]
    assert all((table.parent / line[column]).is_file() for line in lines for column in ("Image", "Mask"))


def test_no_lesion_leaves_no_line(tmp_path):
    assert export_radiomics(result(lesion=False), tmp_path / "out", name="1.2.3") == []
    assert not (tmp_path / "out").exists()


def test_unknown_spacing_is_warned_of(tmp_path, caplog):
    export_radiomics(result(spacing=None), tmp_path, name="a")
    assert "sizes are in pixels" in caplog.text


@pytest.mark.parametrize("name", ["", "../a", ".a"])
def test_name_that_is_a_path_is_refused(tmp_path, name):
    with pytest.raises(InputError, match="name"):
        export_radiomics(result(), tmp_path, name=name)


def test_table_of_others_is_left_alone(tmp_path):
    (tmp_path / "radiomics.csv").write_text("ID,Image\n")
    with pytest.raises(InputError, match="must have the columns Image, Mask"):
        export_radiomics(result(), tmp_path, name="a")
    assert (tmp_path / "radiomics.csv").read_text() == "ID,Image\n"


@pytest.mark.slow
@pytest.mark.skipif(
    PYRADIOMICS is None, reason="pyradiomics is not installed (name the program with MONAI_LESION_PYRADIOMICS)"
)
def test_pyradiomics_finds_our_area_from_another_folder(tmp_path):
    *_, table = export_radiomics(result(), tmp_path / "out", name="1.2.3")
    (tmp_path / "features.yaml").write_text(PARAMETERS)
    features = tmp_path / "features.csv"
    command = [PYRADIOMICS, table, "-o", features, "-f", "csv", "--param", tmp_path / "features.yaml"]
    subprocess.run(list(map(str, command)), check=True, capture_output=True, cwd=tmp_path)
    with features.open(newline="") as file:
        (line,) = csv.DictReader(file)
    measured = result().measurements
    assert float(line["original_shape2D_PixelSurface"]) == pytest.approx(measured.area.value, rel=1e-6)
    assert float(line["original_shape2D_MaximumDiameter"]) == pytest.approx(measured.long_axis.value, abs=0.2)
    assert float(line["original_firstorder_Mean"]) == round(0.299 * 200 + 0.587 * 100 + 0.114 * 50)


def test_scale_is_that_of_the_region_around_the_lesion(tmp_path, caplog):
    regions = Region(0, 0, 20, 28, (0.2, 0.1)), Region(0, 28, 20, 30, (0.5, 0.5))
    known = replace(result(spacing=None).image, calibration=Calibration(None, "none", regions))
    image, mask, _ = export_radiomics(replace(result(), image=known), tmp_path, name="a")
    for file in (image, mask):
        assert [float(step) for step in nibabel.load(file).header.get_zooms()[:2]] == pytest.approx([0.1, 0.2])
    assert "in pixels" not in caplog.text
