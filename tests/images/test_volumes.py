"""NIfTI, NRRD and MHA, against nibabel and ITK."""

from __future__ import annotations

from pathlib import Path

import nibabel
import numpy as np
import pytest

from monai_lesion.errors import ImageError
from monai_lesion.images.readers import image_size, read_image, read_mask
from tests.images import COLUMNS, ROWS, colours, greys, lesion
from tests.images.files import SIZE, grey_rgb, nifti, vector_niftis


@pytest.mark.parametrize("kind", vector_niftis())
def test_vector_nifti_becomes_upright_rgb(kind: str, tmp_path: Path) -> None:
    affine = np.array([[0, -0.3, 0, 5], [-0.2, 0, 0, 6], [0, 0, 1, 7], [0, 0, 0, 1.0]])
    file = nifti(tmp_path / "a.nii.gz", vector_niftis()[kind], affine)
    image = read_image(file)
    np.testing.assert_array_equal(image.pixels, colours())
    assert image.spacing == pytest.approx((0.3, 0.2))
    np.testing.assert_allclose(image.affine, affine, atol=1e-6)
    assert image_size(file) == SIZE


def test_nifti_of_exactly_one_millimetre_has_no_spacing(tmp_path: Path) -> None:
    file = nifti(tmp_path / "a.nii.gz", greys().T, np.diag([-1.0, -1, 1, 1]))
    assert read_image(file).spacing is None


@pytest.mark.parametrize("suffix", [".nrrd", ".mha", ".mhd", ".nii.gz"])
@pytest.mark.parametrize("colour", [False, True], ids=["grey", "RGB"])
def test_itk_files_become_upright_rgb(suffix: str, colour: bool, tmp_path: Path) -> None:
    import itk

    expected = colours() if colour else grey_rgb(greys())
    picture = itk.image_from_array(colours() if colour else greys(), is_vector=colour)
    picture.SetSpacing([0.2, 0.3])
    picture.SetOrigin([4.0, 5.0])
    file = tmp_path / f"a{suffix}"
    itk.imwrite(picture, str(file))
    image = read_image(file)
    np.testing.assert_array_equal(image.pixels, expected)
    assert image.spacing == pytest.approx((0.3, 0.2))
    np.testing.assert_allclose(
        image.affine, [[-0.2, 0, 0, -4], [0, -0.3, 0, -5], [0, 0, 1, 0], [0, 0, 0, 1]], atol=1e-6
    )
    assert image_size(file) == SIZE


def test_size_of_a_volume_is_read_from_its_header_alone(tmp_path: Path) -> None:
    plain = nifti(tmp_path / "a.nii", greys().T)
    plain.write_bytes(plain.read_bytes()[:360])  # the header is 352 bytes
    assert image_size(plain) == SIZE
    with pytest.raises(ImageError, match=r"a\.nii: must be a readable NIfTI"):
        read_image(plain)


@pytest.mark.parametrize("shape", [(COLUMNS, ROWS), (COLUMNS, ROWS, 1), (COLUMNS, ROWS, 1, 1)], ids=str)
@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.float32])
def test_nifti_mask_is_read_by_its_indices(shape: tuple[int, ...], dtype: type, tmp_path: Path) -> None:
    file = nifti(tmp_path / "a.nii.gz", lesion().T.astype(dtype).reshape(shape))
    np.testing.assert_array_equal(read_mask(file), lesion())


@pytest.mark.parametrize("suffix", [".nrrd", ".mha", ".mhd"])
@pytest.mark.parametrize("solid", [False, True], ids=["2-D", "one slice"])
def test_itk_mask_is_read(suffix: str, solid: bool, tmp_path: Path) -> None:
    import itk

    array = lesion().astype(np.uint8)
    file = tmp_path / f"a{suffix}"
    itk.imwrite(itk.image_from_array(array[None] if solid else array), str(file))
    np.testing.assert_array_equal(read_mask(file), lesion())
    assert image_size(file) == SIZE


@pytest.mark.parametrize("suffix", [".nii", ".nii.gz", ".nrrd", ".mha"])
def test_text_with_the_ending_of_a_volume_is_refused(suffix: str, tmp_path: Path) -> None:
    file = tmp_path / f"a{suffix}"
    file.write_text("no volume" * 50)
    for read in (read_image, read_mask, image_size):
        with pytest.raises(ImageError, match=rf"a{suffix}: must be a readable NIfTI, NRRD or MHA file, got \w"):
            read(file)


def test_nifti_with_values_that_are_not_finite_is_refused(tmp_path: Path) -> None:
    file = nifti(tmp_path / "a.nii", np.full((COLUMNS, ROWS), np.nan, np.float32))
    with pytest.raises(ImageError, match="must hold numbers for a picture, got values that are not finite"):
        read_image(file)


def test_what_nibabel_logs_of_a_header_is_kept_back(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    data = bytearray(nibabel.Nifti1Image(np.zeros((8, 8, 1), np.uint8), np.eye(4)).to_bytes())
    data[344:348] = b"Doe^"  # the magic string, which nibabel quotes
    (tmp_path / "a.nii").write_bytes(data)
    with caplog.at_level("DEBUG"):
        for read in (read_image, image_size, read_mask):
            with pytest.raises(ImageError):
                read(tmp_path / "a.nii")
    assert not [record for record in caplog.records if record.name.startswith("nibabel")]
