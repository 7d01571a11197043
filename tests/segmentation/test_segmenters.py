"""What all segmenters do with files, arrays, cines and regions, whatever the network."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from monai_lesion import LesionSegmenter
from monai_lesion.errors import ImageError, InputError
from monai_lesion.images.readers import read_image
from monai_lesion.phantoms.cases import simulate_case
from monai_lesion.phantoms.dicom import write_dicom
from monai_lesion.pipeline.steps import Steps
from monai_lesion.runtimes.executions import Execution
from tests.segmentation.pictures import STEPS, Brightness, red, red_dicom


def test_file_and_array_give_the_same(segmenter, tmp_path):
    picture, _ = red(50, 70)
    Image.fromarray(picture).save(tmp_path / "a.png")
    from_file, from_array = segmenter(tmp_path / "a.png"), segmenter(picture)
    np.testing.assert_array_equal(from_file.mask, from_array.mask)
    np.testing.assert_array_equal(from_file.probability, from_array.probability)


def test_several_are_segmented_one_by_one_as_they_are_asked_for(segmenter):
    drawn = []

    def pictures():
        for number in range(3):
            drawn.append(number)
            yield red()[0]

    results = segmenter(pictures())
    next(results)
    assert drawn == [0]


def test_grey_array_is_taken_as_grey(segmenter):
    assert not segmenter(np.full((30, 40), 20, np.uint8)).mask.any()
    assert segmenter(np.full((30, 40), 240, np.uint8)).mask.all()


@pytest.mark.parametrize(
    "array",
    [np.zeros((8, 8), np.float32), np.zeros((8, 8, 4), np.uint8), np.zeros((2, 8, 8, 3), np.uint8)],
    ids=["float", "four channels", "a batch"],
)
def test_rejects_arrays_that_are_no_8_bit_picture(segmenter, array):
    with pytest.raises(InputError, match=r"source: an array must be unsigned 8-bit \(H, W\) or \(H, W, 3\), got"):
        segmenter(array)


def test_dicom_gives_the_mask_of_its_png_and_measures_in_millimetres(segmenter, tmp_path):
    case = simulate_case(0, 0)
    view = case.views[0]
    write_dicom(tmp_path / "a.dcm", case, view, seed=0)
    from_dicom, from_png = segmenter(tmp_path / "a.dcm"), segmenter(view.pixels)
    np.testing.assert_array_equal(from_dicom.mask, from_png.mask)
    assert from_dicom.spacing == pytest.approx(view.spacing)
    assert from_dicom.measurements.long_axis.unit == "mm"
    assert from_png.measurements.long_axis.unit == "px"
    ratio = from_dicom.measurements.long_axis.value / from_png.measurements.long_axis.value
    assert ratio == pytest.approx(view.spacing[0], rel=1e-6)


def test_other_errors_of_a_network_are_not_taken_for_that(segmenter):
    def broken(images):
        raise RuntimeError("a shape does not fit")

    segmenter.runtime.run = broken
    with pytest.raises(RuntimeError, match="a shape does not fit"):
        segmenter(red()[0])


def test_a_missing_file_is_an_image_error(segmenter, tmp_path):
    with pytest.raises(ImageError, match=r"gone.png: must be an existing file"):
        segmenter(tmp_path / "gone.png")


def tissue(top, left, bottom, right, step=0.01):
    import pydicom

    item = pydicom.Dataset()
    item.RegionSpatialFormat = item.RegionDataType = 1
    item.RegionLocationMinX0, item.RegionLocationMinY0 = left, top
    item.RegionLocationMaxX1, item.RegionLocationMaxY1 = right - 1, bottom - 1
    item.PhysicalUnitsXDirection = item.PhysicalUnitsYDirection = 3
    item.PhysicalDeltaX = item.PhysicalDeltaY = step
    return item


def test_a_cine_gives_its_frames_one_by_one(segmenter, tmp_path, monkeypatch):
    import monai_lesion.segmentation.segmenters as module

    read = []
    monkeypatch.setattr(module, "read_image", lambda path, frame: read.append(frame) or read_image(path, frame=frame))
    file, mask = red_dicom(tmp_path / "a.dcm", frames=3), red()[1]
    results = segmenter(file)
    assert read == []
    for frame, result in enumerate(results):
        assert read == list(range(frame + 1))
        assert result.image.frame == frame
        np.testing.assert_array_equal(result.mask, np.roll(mask, 2 * frame, axis=0))
    assert read == [0, 1, 2]
    np.testing.assert_array_equal(segmenter(file, frame=2).mask, np.roll(mask, 4, axis=0))
    assert [result.image.frame for result in segmenter([red()[0], file])] == [None, 0, 1, 2]


def test_a_crop_shows_the_network_the_region_and_gives_the_whole_mask(tmp_path):
    seen = []

    class Watching(Brightness):
        def forward(self, x):
            seen.append(x[0, 0].numpy().copy())
            return super().forward(x)

    steps, options = Steps(input_size=(24, 40)), {"device": "cpu"}
    file = red_dicom(tmp_path / "a.dcm", SequenceOfUltrasoundRegions=[tissue(4, 8, 28, 48), tissue(30, 0, 48, 20)])
    picture, mask = red()
    result = LesionSegmenter(Watching(), steps, crop=True, **options)(file)
    np.testing.assert_allclose(seen[0], picture[4:28, 8:48, 0] / np.float32(255))
    expected = np.zeros_like(mask)
    expected[4:28, 8:48] = mask[4:28, 8:48]
    np.testing.assert_array_equal(result.mask, expected)
    np.testing.assert_array_equal(result.probability > 0.5, expected)
    assert result.probability[0, 0] == 0
    box = {"top": 4, "left": 8, "bottom": 28, "right": 48}
    assert result.to_dict()["region"] == box
    assert result.algorithm.settings["crop"] == "rows 4-28 columns 8-48"
    assert LesionSegmenter(Watching(), steps, **options)(file).region == result.region  # without being asked
    whole = LesionSegmenter(Brightness(), steps, crop=False, **options)(file)
    assert whole.region is None
    assert whole.to_dict()["region"] is None
    assert "crop" not in whole.algorithm.settings
    assert whole.remarks == ("The lesion lies partly outside the tissue regions of the header",)
    uncropped = LesionSegmenter(Brightness(), steps, crop=True, **options)(picture)
    np.testing.assert_array_equal(uncropped.mask, LesionSegmenter(Brightness(), steps, **options)(picture).mask)


def test_the_region_around_the_lesion_gives_the_millimetres_and_the_json_says_so(segmenter, tmp_path):
    several = [tissue(0, 0, 40, 62, step=0.02), tissue(0, 62, 40, 80, step=0.05)]
    result = segmenter(red_dicom(tmp_path / "a.dcm", SequenceOfUltrasoundRegions=several))
    assert result.spacing == pytest.approx((0.2, 0.2))
    assert result.measurements.area.value == pytest.approx(red()[1].sum() * 0.04)
    assert result.to_dict()["calibration"] == "mm from ultrasound region"
    uncropped = LesionSegmenter(Brightness(), segmenter.steps, device="cpu", crop=False)
    elsewhere = uncropped(red_dicom(tmp_path / "b.dcm", SequenceOfUltrasoundRegions=several[1:]))
    assert elsewhere.to_dict()["spacing_mm"] is None
    assert elsewhere.to_dict()["calibration"] == "none: the lesion does not lie in one ultrasound region"
    assert elsewhere.measurements.area.unit == "px2"


def test_an_execution_is_one_object_or_its_parts():
    one = LesionSegmenter(Brightness(), STEPS, execution=Execution(device="cpu", runtime="torch", crop=True))
    assert (one.crop, one.settings["runtime"]) == (True, "torch fp32")
    with pytest.raises(InputError, match="execution: must be one object or its fields, got both, with crop"):
        LesionSegmenter(Brightness(), execution=Execution(), crop=True)
    with pytest.raises(InputError, match="colour: must be one of device, runtime, precision, crop, views, calibration"):
        LesionSegmenter(Brightness(), colour="red")
    with pytest.raises(InputError, match="precision: must be one of fp32, bf16, int8, got fp64"):
        LesionSegmenter(Brightness(), precision="fp64")
    with pytest.raises(InputError, match="precision: needs a runtime, got bf16"):
        LesionSegmenter(Brightness(), precision="bf16")
