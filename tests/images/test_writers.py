"""Masks written and read back by us, Pillow, nibabel and ITK."""

from __future__ import annotations

from pathlib import Path

import nibabel
import numpy as np
import pytest
from PIL import Image

from monai_lesion.errors import InputError
from monai_lesion.images.readers import read_image, read_mask
from monai_lesion.images.writers import write_mask
from tests.images import COLUMNS, ROWS, colours, lesion, write_dicom


@pytest.mark.parametrize("format", ["png", "nifti"])
@pytest.mark.parametrize("dtype", [bool, np.uint8, np.float32])
def test_mask_comes_back_as_it_was(format: str, dtype: type, tmp_path: Path) -> None:
    file = write_mask(lesion().astype(dtype), tmp_path / "new" / "a.b", format=format)
    assert file.name == {"png": "a.b.png", "nifti": "a.b.nii.gz"}[format]
    np.testing.assert_array_equal(read_mask(file), lesion())
    assert [path.name for path in file.parent.iterdir()] == [file.name]


def test_png_shows_the_lesion_white(tmp_path: Path) -> None:
    picture = Image.open(write_mask(lesion(), tmp_path / "a", format="png"))
    assert picture.mode == "L"
    np.testing.assert_array_equal(np.asarray(picture), lesion() * 255)


@pytest.mark.slow
def test_nifti_lies_where_itk_sees_the_picture(tmp_path: Path) -> None:
    import itk

    Image.fromarray(colours()).save(tmp_path / "picture.png")
    affine = read_image(tmp_path / "picture.png").affine
    mask = itk.imread(str(write_mask(lesion(), tmp_path / "a", format="nifti", affine=affine)))
    picture = itk.imread(str(tmp_path / "picture.png"))
    np.testing.assert_array_equal(itk.array_from_image(mask) > 0, lesion())
    for index in ((0, 0), (7, 3), (COLUMNS - 1, ROWS - 1)):
        ours, theirs = (list(each.TransformIndexToPhysicalPoint(index)) for each in (mask, picture))
        assert ours[:2] == pytest.approx(theirs)


def test_nifti_carries_the_spacing_of_the_dicom(tmp_path: Path) -> None:
    image = read_image(write_dicom(tmp_path / "a.dcm", colours().tobytes(), "RGB", PixelSpacing=[0.3, 0.2]))
    file = nibabel.load(write_mask(lesion(), tmp_path / "a", format="nifti", affine=image.affine))
    assert file.header.get_zooms() == pytest.approx((0.2, 0.3))  # (x, y)
    assert file.header.get_xyzt_units()[0] == "mm"
    assert file.get_data_dtype() == np.uint8
    assert sorted(np.unique(np.asarray(file.dataobj))) == [0, 1]


def test_mask_of_a_nifti_has_its_geometry(tmp_path: Path) -> None:
    affine = np.array([[0, -0.3, 0, 5], [-0.2, 0, 0, 6], [0, 0, 1, 7], [0, 0, 0, 1.0]])
    source = nibabel.Nifti1Image(np.ascontiguousarray(colours().swapaxes(0, 1))[:, :, None, None], affine)
    nibabel.save(source, tmp_path / "source.nii.gz")
    image = read_image(tmp_path / "source.nii.gz")
    written = nibabel.load(write_mask(lesion(), tmp_path / "a", format="nifti", affine=image.affine))
    np.testing.assert_allclose(written.affine, affine, atol=1e-6)


@pytest.mark.parametrize(
    ("mask", "format", "rule"),
    [
        (np.zeros((4, 5)), "jpeg", "format: must be one of png, nifti, got jpeg"),
        (np.zeros((1, 4, 5)), "png", r"mask: must be \(H, W\), got \(1, 4, 5\)"),
    ],
    ids=["format", "shape"],
)
def test_wrong_arguments_are_refused(mask: np.ndarray, format: str, rule: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=rule):
        write_mask(mask, tmp_path / "a", format=format)


@pytest.mark.parametrize("format", ["png", "nifti"])
def test_failure_leaves_the_old_file_and_nothing_else(
    format: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = write_mask(lesion(), tmp_path / "a", format=format)
    before = file.read_bytes()

    def full(*_: object) -> None:
        raise OSError("no space left on device")

    monkeypatch.setattr("monai_lesion.files.os.replace", full)
    with pytest.raises(OSError, match="no space"):
        write_mask(~lesion(), tmp_path / "a", format=format)
    assert file.read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == [file.name]
