"""Simulated cases as DICOM: valid for dciodvfy, the PNG's own pixels, calibrated, with stable identifiers."""

from __future__ import annotations

import shutil
import subprocess

import numpy as np
import pydicom
import pytest
from PIL import Image

from monai_lesion.images.calibration import spacing_of
from monai_lesion.images.readers import read_image
from monai_lesion.phantoms.cases import simulate_case
from monai_lesion.phantoms.dicom import write_dicom
from monai_lesion.phantoms.files import write_phantoms

NAMES = [f"{case:04d}_{view}" for case in (1, 2, 3) for view in ("front", "side")]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("dicom") / "set"
    write_phantoms(path, cases=3, seed=5, formats=("png", "dicom"), workers=0, progress=False)
    return path / "images"


@pytest.fixture(scope="module")
def views():
    simulated = [simulate_case(5, case) for case in range(3)]
    return {f"{case.case_id}_{view.view}": (case, view) for case in simulated for view in case.views}


@pytest.fixture(scope="module")
def datasets(folder):
    return {name: pydicom.dcmread(folder / f"{name}.dcm") for name in NAMES}


@pytest.mark.skipif(shutil.which("dciodvfy") is None, reason="dciodvfy is not installed (Debian: dicom3tools)")
@pytest.mark.parametrize("name", NAMES)
def test_dciodvfy_finds_no_fault(folder, name):
    check = subprocess.run(["dciodvfy", str(folder / f"{name}.dcm")], capture_output=True, text=True, check=False)
    report = check.stdout + check.stderr
    assert "USImage" in report  # recognised as an Ultrasound Image
    assert "Error" not in report
    assert "Warning" not in report
    assert check.returncode == 0


@pytest.mark.parametrize("name", NAMES)
def test_pixels_are_those_of_the_png(folder, datasets, name):
    png = np.asarray(Image.open(folder / f"{name}.png"))
    np.testing.assert_array_equal(datasets[name].pixel_array, png)
    np.testing.assert_array_equal(read_image(folder / f"{name}.dcm").pixels, png)


def test_region_gives_the_spacing_in_millimetres(datasets, views):
    for name, dataset in datasets.items():
        case, view = views[name]
        assert spacing_of(dataset) == pytest.approx(view.spacing)
        region = dataset.SequenceOfUltrasoundRegions[0]
        assert (region.PhysicalUnitsXDirection, region.PhysicalUnitsYDirection) == (3, 3)  # centimetres
        assert float(region.PhysicalDeltaY) * 10 * view.mask[:, round(view.centre[1])].sum() == pytest.approx(
            case.shape.radii(view.view, np.array([-np.pi / 2, np.pi / 2])).sum(), abs=2 * view.spacing[0]
        )


def test_both_views_are_instances_of_one_series(datasets):
    for case in ("0001", "0002", "0003"):
        front, side = datasets[f"{case}_front"], datasets[f"{case}_side"]
        for keyword in ("PatientID", "StudyInstanceUID", "SeriesInstanceUID", "StudyDate", "StudyID", "SeriesNumber"):
            assert front[keyword].value == side[keyword].value
        assert front.SOPInstanceUID != side.SOPInstanceUID
        assert (front.InstanceNumber, side.InstanceNumber) == (1, 2)
    for keyword in ("PatientID", "StudyInstanceUID", "SeriesInstanceUID"):
        assert len({dataset[keyword].value for dataset in datasets.values()}) == 3


def test_identifiers_follow_from_seed_case_and_view(datasets, views, tmp_path):
    def identifiers(seed, number, case):
        view = case.views[number]
        write_dicom(tmp_path / "x.dcm", case, view, seed=seed)
        dataset = pydicom.dcmread(tmp_path / "x.dcm", stop_before_pixels=True)
        return [dataset[key].value for key in ("SOPInstanceUID", "SeriesInstanceUID", "StudyInstanceUID")]

    case, other = views["0001_front"][0], views["0002_front"][0]
    again = [dataset.SOPInstanceUID for name, dataset in datasets.items() if name.startswith("0001")]
    assert [identifiers(5, number, case)[0] for number in (0, 1)] == again
    assert not set(identifiers(5, 0, case)) & set(identifiers(6, 0, case))
    assert not set(identifiers(5, 0, case)) & set(identifiers(5, 0, other))


def test_burned_in_annotation_says_whether_calipers_are_drawn(datasets, views):
    for name, dataset in datasets.items():
        view = views[name][1]
        assert dataset.BurnedInAnnotation == ("YES" if view.calipers else "NO")
        assert (dataset.pixel_array != dataset.pixel_array[..., :1]).any() == view.calipers
