"""Pictures and masks in files, against hand-written PNGs, nibabel, ITK and Pillow."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from monai.transforms import Compose, EnsureChannelFirstd, LoadImaged

from monai_lesion.errors import ImageError
from monai_lesion.images.readers import MaskReader, UltrasoundReader, read_image
from monai_lesion.pipeline.transforms import Uprightd
from tests.images import COLUMNS, ROWS, colours, write_dicom, write_png
from tests.images.files import SIZE, bad_masks, nifti, rows_of, vector_niftis


@pytest.mark.parametrize("kind", ["png", "dicom", "(W, H, 1, 1, 3)", "(W, H, 1, 3)"])
def test_load_image_gives_monai_the_same_pixels_as_the_library(kind: str, tmp_path: Path) -> None:
    if kind == "png":
        file = write_png(tmp_path / "a.png", 8, 2, rows_of(colours()), SIZE)
    elif kind == "dicom":
        file = write_dicom(tmp_path / "a.dcm", colours().tobytes(), "RGB", PixelSpacing=[0.3, 0.2])
    else:
        file = nifti(tmp_path / "a.nii.gz", vector_niftis()[kind])
    loaded = LoadImaged("image", reader=UltrasoundReader)({"image": file})["image"]
    assert loaded.shape == (COLUMNS, ROWS, 3)
    assert list(loaded.meta["spatial_shape"]) == [COLUMNS, ROWS] + [1] * kind.startswith("(")
    assert loaded.meta["original_channel_dim"] == -1
    steps = Compose([EnsureChannelFirstd("image"), Uprightd("image")])
    upright = steps({"image": loaded})["image"]
    np.testing.assert_array_equal(upright.numpy().transpose(1, 2, 0), colours())
    step = 1.0 if kind == "png" else 0.2, 1.0 if kind == "png" else 0.3
    np.testing.assert_allclose(loaded.affine, np.diag([-step[0], -step[1], 1, 1]), atol=1e-6)
    # The affine of the upright array takes (row, column) to the same place.
    np.testing.assert_allclose(upright.affine @ np.array([3.0, 5, 0, 1]), loaded.affine @ np.array([5.0, 3, 0, 1]))
    np.testing.assert_array_equal(steps.inverse({"image": upright})["image"].numpy(), loaded.numpy().transpose(2, 0, 1))


@pytest.mark.slow
def test_affine_of_a_picture_is_that_of_itk(tmp_path: Path) -> None:
    import itk

    file = write_png(tmp_path / "a.png", 8, 2, rows_of(colours()), SIZE)
    picture = itk.imread(str(file))
    to_ras = np.diag([-1.0, -1.0])
    affine = read_image(file).affine
    np.testing.assert_allclose(affine[:2, :2], to_ras @ itk.array_from_matrix(picture.GetDirection()))
    np.testing.assert_allclose(affine[:2, 3], list(picture.GetOrigin()))
    np.testing.assert_array_equal(itk.array_from_image(picture), read_image(file).pixels)


def test_load_image_does_not_fall_back_to_monais_readers(tmp_path: Path) -> None:
    file = bad_masks(tmp_path, "colours")  # MONAI's PILReader would take it
    with pytest.raises(ImageError, match="a mask must be grey"):
        LoadImaged("label", reader=MaskReader)({"label": file})
    damaged = tmp_path / "a.png"
    damaged.write_bytes(file.read_bytes()[:-30])
    with pytest.raises(ImageError, match=r"truncated|broken"):
        LoadImaged("image", reader=UltrasoundReader)({"image": damaged})


def test_reader_refuses_several_files_for_one_picture(tmp_path: Path) -> None:
    file = write_png(tmp_path / "a.png", 8, 2, rows_of(colours()), SIZE)
    with pytest.raises(ImageError, match="must be one file, got 2"):
        LoadImaged("image", reader=UltrasoundReader)({"image": [file, file]})
