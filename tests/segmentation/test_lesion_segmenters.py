from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import nibabel
import numpy as np
import pytest
import torch
from PIL import Image

from monai_lesion import LesionSegmenter
from monai_lesion.errors import CheckpointError, ImageError, InputError
from monai_lesion.images.readers import read_image, read_mask
from monai_lesion.measures.metrics import dice
from monai_lesion.models.bundle_networks import read_bundle
from monai_lesion.models.writers import write_model_folder
from monai_lesion.networks.identity import weights_id
from monai_lesion.phantoms.cases import simulate_case
from monai_lesion.phantoms.dicom import write_dicom
from monai_lesion.pipeline.steps import Steps
from monai_lesion.runtimes.executions import Execution
from monai_lesion.runtimes.interfaces import Outputs
from monai_lesion.segmentation.batches import segment_files
from monai_lesion.segmentation.transform_segmenters import TransformSegmenter
from tests.images import write_dicom as write_pixels

STEPS = Steps(input_size=(48, 80))


class Brightness(torch.nn.Module):
    """A network that needs no training: a lesion is what is red."""

    def __init__(self, channel=0):
        super().__init__()
        self.channel = channel

    def forward(self, x):
        return (x[:, self.channel : self.channel + 1] - 0.5) * 20


def red(rows=48, columns=80):
    """A picture with a red mark that no flip or transposition leaves alike, and its mask."""
    picture = np.full((rows, columns, 3), 20, np.uint8)
    mask = np.zeros((rows, columns), bool)
    mask[6:20, 10:60] = True
    mask[20:30, 10:22] = True
    picture[mask, 0] = 240
    return picture, mask


@pytest.fixture
def segmenter():
    return LesionSegmenter(Brightness(), STEPS, device="cpu")


def test_mask_and_probability_are_upright_and_of_the_pictures_size(segmenter):
    picture, mask = red()
    result = segmenter(picture)
    np.testing.assert_array_equal(result.mask, mask)
    assert result.mask.dtype == np.uint8
    assert result.probability.dtype == np.float32
    np.testing.assert_array_equal(result.probability > 0.5, mask)


def test_another_size_than_the_networks_comes_back_as_it_was(segmenter):
    picture, mask = red(96, 160)
    picture[:], mask[:] = picture[::-1], mask[::-1]
    result = segmenter(picture)
    assert result.mask.shape == (96, 160)
    assert 2 * (result.mask * mask).sum() / (result.mask.sum() + mask.sum()) > 0.97


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


def test_bgr_networks_are_fed_blue_first():
    picture, mask = red()
    bgr = LesionSegmenter(Brightness(channel=2), replace(STEPS, channel_order="bgr"), device="cpu")
    np.testing.assert_array_equal(bgr(picture).mask, mask)
    rgb = LesionSegmenter(Brightness(channel=2), STEPS, device="cpu")
    assert not rgb(picture).mask.any()


def test_rejects_an_unknown_channel_order():
    with pytest.raises(InputError, match=r'channel_order.*"rgb" or "bgr", got grb'):
        LesionSegmenter(Brightness(), Steps(channel_order="grb"))


def test_threshold_first_still_gives_a_probability_of_the_pictures_size():
    result = LesionSegmenter(Brightness(), replace(STEPS, order="threshold_first"), device="cpu")(red(60, 100)[0])
    assert result.probability.shape == result.mask.shape == (60, 100)
    assert len(np.unique(result.probability)) > 2


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


def test_saved_files_hold_the_mask(segmenter, tmp_path):
    picture, mask = red()
    Image.fromarray(picture).save(tmp_path / "a.b.png")
    files = segmenter(tmp_path / "a.b.png").save(tmp_path / "out", ["png", "nifti", "json", "overlay"])
    assert [file.name for file in files] == ["a.b.png", "a.b.nii.gz", "a.b.json", "a.b_overlay.png"]
    np.testing.assert_array_equal(read_mask(files[0]), mask)
    np.testing.assert_array_equal(np.asarray(nibabel.load(files[1]).dataobj).T.squeeze(), mask)
    content = json.loads(files[2].read_text())
    assert (content["rows"], content["columns"], content["found"]) == (48, 80, True)
    assert content["measurements"]["area"] == {"value": float(mask.sum()), "unit": "px2"}
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == sorted(file.name for file in files)


def test_dicom_objects_of_a_dicom_source_hold_the_mask_and_the_weights(segmenter, tmp_path):
    hd = pytest.importorskip("highdicom", reason="the DICOM writers need highdicom")
    case = simulate_case(0, 0)
    write_dicom(tmp_path / "a.dcm", case, case.views[0], seed=0)
    result = segmenter(tmp_path / "a.dcm")
    files = result.save(tmp_path / "out", ["dicom-seg", "dicom-sr", "sc"])
    assert [file.name for file in files] == ["a.seg.dcm", "a.sr.dcm", "a.sc.dcm"]
    written = hd.seg.segread(files[0])
    np.testing.assert_array_equal(written.pixel_array > 0, result.mask > 0)
    description = str(written.SegmentSequence[0].SegmentAlgorithmName) + str(written)
    assert segmenter.algorithm.weights[:12] in description


def test_dicom_objects_of_a_png_are_refused(segmenter, tmp_path):
    Image.fromarray(red()[0]).save(tmp_path / "a.png")
    with pytest.raises(InputError, match=r"a.png: dicom-seg needs a DICOM file as source.*Ask for png"):
        segmenter(tmp_path / "a.png").save(tmp_path / "out", ["dicom-seg"])


def test_nothing_found_is_said_and_has_no_measurements(segmenter, tmp_path):
    result = segmenter(np.full((30, 40), 20, np.uint8))
    assert result.measurements is None
    (file,) = result.save(tmp_path, ["json"], name="none")
    assert json.loads(file.read_text())["found"] is False


def test_rejects_an_unknown_format_before_it_writes(segmenter, tmp_path):
    with pytest.raises(
        InputError, match="formats: must be one of png, nifti, json, overlay, dicom-seg, dicom-sr, sc, got dcm"
    ):
        segmenter(red()[0]).save(tmp_path / "out", ["png", "dcm"])
    assert not (tmp_path / "out").exists()


@pytest.fixture
def folder(tmp_path):
    images = tmp_path / "images"
    images.mkdir()
    for name in ("a", "b", "c"):
        Image.fromarray(red()[0]).save(images / f"{name}.png")
    (images / "b.png").write_bytes((images / "b.png").read_bytes()[:60])
    (images / "d.dcm").write_bytes(b"")
    return images


def test_a_batch_finishes_its_good_images_and_then_lists_the_bad(segmenter, folder, tmp_path):
    with pytest.raises(InputError, match=r"(?s)images: 2 of 4 could not be segmented:.*b\.png.*d\.dcm.*0 bytes"):
        segment_files(segmenter, folder, tmp_path / "out", progress=False)
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["a.png", "c.png"]


@pytest.mark.parametrize(
    "error", [MemoryError(), RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried")]
)
def test_a_picture_too_large_for_the_memory_does_not_stop_the_rest(segmenter, folder, tmp_path, error):
    (folder / "b.png").unlink()
    (folder / "d.dcm").unlink()
    asked = []

    def short_of_memory(images):
        asked.append(images)
        if len(asked) == 1:
            raise error
        return Outputs((images[:, :1] - 0.5) * 20)

    segmenter.runtime.run = short_of_memory
    message = r"(?s)1 of 2 could not.*a\.png: needs more memory than this machine has, got 48 x 80"
    with pytest.raises(InputError, match=message):
        segment_files(segmenter, folder, tmp_path / "out", progress=False)
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["c.png"]


def test_other_errors_of_a_network_are_not_taken_for_that(segmenter):
    def broken(images):
        raise RuntimeError("a shape does not fit")

    segmenter.runtime.run = broken
    with pytest.raises(RuntimeError, match="a shape does not fit"):
        segmenter(red()[0])


def test_a_batch_goes_on_where_it_stopped(segmenter, folder, tmp_path):
    (folder / "b.png").unlink()
    (folder / "d.dcm").unlink()
    assert segment_files(segmenter, folder, tmp_path / "out", progress=False) == 2
    (tmp_path / "out" / "c.png").unlink()
    assert segment_files(segmenter, folder, tmp_path / "out", skip_existing=True, progress=False) == 1


def test_a_missing_file_is_an_image_error(segmenter, tmp_path):
    with pytest.raises(ImageError, match=r"gone.png: must be an existing file"):
        segmenter(tmp_path / "gone.png")


def red_dicom(path, frames=1, **values):
    """Pictures with the red mark, which moves down by two rows a frame."""
    picture, _ = red()
    data = b"".join(np.roll(picture, 2 * frame, axis=0).tobytes() for frame in range(frames))
    several = {"NumberOfFrames": frames} if frames > 1 else {}
    return write_pixels(path, data, "RGB", Rows=48, Columns=80, **several, **values)


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


def test_a_batch_writes_each_frame_of_a_cine_but_the_broken(segmenter, tmp_path):
    (tmp_path / "in").mkdir()
    file = red_dicom(tmp_path / "in" / "a.dcm", frames=3)
    file.write_bytes(file.read_bytes()[:-100])
    Image.fromarray(red()[0]).save(tmp_path / "in" / "b.png")
    Image.fromarray(red()[0]).save(tmp_path / "in" / "c_f0000.png")
    red_dicom(tmp_path / "in" / "c.dcm", frames=2)
    with pytest.raises(InputError, match=r"(?s)images: 1 of 7 could not be segmented:.*a\.dcm: frame 2 must be"):
        segment_files(segmenter, tmp_path / "in", tmp_path / "out", progress=False)
    names = ["a_f0000.png", "a_f0001.png", "b.png", "c_cine_f0000.png", "c_cine_f0001.png", "c_f0000.png"]
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == names
    np.testing.assert_array_equal(read_mask(tmp_path / "out" / "a_f0001.png"), np.roll(red()[1], 2, axis=0))
    for frame in (0, 1):  # two frames of one cine never overwrite each other
        segment_files(segmenter, file, tmp_path / "one", frame=frame, progress=False)
    assert sorted(path.name for path in (tmp_path / "one").iterdir()) == ["a_f0000.png", "a_f0001.png"]


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
    whole = LesionSegmenter(Brightness(), steps, **options)(file)
    assert whole.region is None
    assert whole.to_dict()["region"] is None
    assert "crop" not in whole.algorithm.settings
    uncropped = LesionSegmenter(Brightness(), steps, crop=True, **options)(picture)
    np.testing.assert_array_equal(uncropped.mask, LesionSegmenter(Brightness(), steps, **options)(picture).mask)


def test_the_region_around_the_lesion_gives_the_millimetres_and_the_json_says_so(segmenter, tmp_path):
    several = [tissue(0, 0, 40, 62, step=0.02), tissue(0, 62, 40, 80, step=0.05)]
    result = segmenter(red_dicom(tmp_path / "a.dcm", SequenceOfUltrasoundRegions=several))
    assert result.spacing == pytest.approx((0.2, 0.2))
    assert result.measurements.area.value == pytest.approx(red()[1].sum() * 0.04)
    assert result.to_dict()["calibration"] == "mm from ultrasound region"
    elsewhere = segmenter(red_dicom(tmp_path / "b.dcm", SequenceOfUltrasoundRegions=several[1:]))
    assert elsewhere.to_dict()["spacing_mm"] is None
    assert elsewhere.to_dict()["calibration"] == "none: the lesion does not lie in one ultrasound region"
    assert elsewhere.measurements.area.unit == "px2"


BUNDLE = Path(__file__).parents[2] / "bundles" / "lighter_unet"


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    from monai_lesion.networks import LighterUNet

    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("weights") / "model.pt"
    torch.save({"model": LighterUNet(group_size=1).state_dict()}, path)
    return path


def test_bundle_gives_network_and_transforms(weights):
    overrides = {"network_def#group_size": 1, "spatial_size": [32, 32]}
    segmenter = LesionSegmenter.from_bundle(BUNDLE, weights=weights, overrides=overrides)
    assert segmenter(red()[0]).mask.shape == (48, 80)
    assert not segmenter.network.training
    assert segmenter.steps == Steps((32, 32))
    result = segmenter(red()[0]).to_dict()
    told = {"network": "LighterUNet(group_size=1)", "runtime": "onnx fp32", "input_size": [32, 32]}
    assert {name: result[name] for name in told} == told
    assert result["weights_id"] == segmenter.algorithm.weights
    assert [result[name] for name in ("decision", "trust", "intervals")] == [None] * 3


def test_a_bundle_without_a_model_folder_is_converted_and_says_so(weights, caplog):
    overrides = {"network_def#group_size": 1, "spatial_size": [32, 32], "threshold": 0.4}
    with caplog.at_level("INFO"):
        segmenter = LesionSegmenter.from_bundle(BUNDLE, weights=weights, overrides=overrides)
    assert caplog.text.count("for ONNX Runtime, in this run only") == 1
    assert segmenter.steps.threshold == 0.4
    plain = LesionSegmenter(segmenter.network, segmenter.steps, device="cpu")
    assert dice(segmenter(red()[0]).mask, plain(red()[0]).mask) >= 0.999


def test_a_trained_bundle_is_opened_without_being_converted(weights, tmp_path, caplog):
    overrides = {"network_def#group_size": 1, "spatial_size": [32, 32]}
    network = read_bundle(BUNDLE, weights=weights, overrides=overrides).network
    bundle = tmp_path / "bundle"
    shutil.copytree(BUNDLE / "configs", bundle / "configs")
    (bundle / "models").mkdir()
    shutil.copy(weights, bundle / "models" / "model.pt")
    write_model_folder(network, bundle / "models", steps=Steps((32, 32)))
    with caplog.at_level("INFO"):
        opened = LesionSegmenter.from_bundle(bundle)
    assert "converting" not in caplog.text
    assert opened.algorithm.weights == weights_id(network.state_dict())
    torch.save({"model": {name: value * 2 for name, value in network.state_dict().items()}}, weights)
    shutil.copy(weights, bundle / "models" / "model.pt")  # trained on, by something that writes no folder
    with pytest.raises(CheckpointError, match=r"weights of LighterUNet\(group_size=128\)"):
        LesionSegmenter.from_bundle(bundle)
    torch.save({"model": network.state_dict()}, weights)


@pytest.mark.parametrize(
    "overrides",
    [{"postprocessing#_target_": "monai.transforms.Compose"}, {"preprocessing#augment": True}],
    ids=["another class", "another option"],
)
def test_a_bundle_with_transforms_of_its_own_keeps_them(weights, overrides):
    found = read_bundle(BUNDLE, weights=weights, overrides={"network_def#group_size": 1})
    assert found.steps == Steps()
    config = {"_target_": "monai.transforms.Compose", "transforms": []}
    own = {"postprocessing": config} if "postprocessing#_target_" in overrides else overrides
    found = read_bundle(BUNDLE, weights=weights, overrides={"network_def#group_size": 1, **own})
    assert found.steps is None


def test_own_transforms_segment_through_monai(weights):
    own = {"network_def#group_size": 1, "spatial_size": [32, 32], "preprocessing#calipers": 0.0}
    segmenter = LesionSegmenter.from_bundle(BUNDLE, weights=weights, overrides=own, runtime="torch")
    assert isinstance(segmenter, TransformSegmenter)
    plain = LesionSegmenter.from_bundle(
        BUNDLE, weights=weights, overrides={"network_def#group_size": 1, "spatial_size": [32, 32]}, runtime="torch"
    )
    assert dice(segmenter(red()[0]).mask, plain(red()[0]).mask) >= 0.999
    assert segmenter(red()[0]).to_dict()["input_size"] == [32, 32]


def test_an_execution_is_one_object_or_its_parts():
    one = LesionSegmenter(Brightness(), STEPS, execution=Execution(device="cpu", runtime="torch", crop=True))
    assert (one.crop, one.settings["runtime"]) == (True, "torch fp32")
    with pytest.raises(InputError, match="execution: must be one object or its parts, got both, with crop"):
        LesionSegmenter(Brightness(), execution=Execution(), crop=True)
    with pytest.raises(InputError, match="colour: must be one of device, runtime, precision, crop, calibration"):
        LesionSegmenter(Brightness(), colour="red")
    with pytest.raises(InputError, match="precision: must be one of fp32, bf16, int8, got fp64"):
        LesionSegmenter(Brightness(), precision="fp64")
    with pytest.raises(InputError, match="precision: needs a runtime, got bf16"):
        LesionSegmenter(Brightness(), precision="bf16")


def test_weights_of_another_variant_are_refused_with_both_names(weights):
    with pytest.raises(
        CheckpointError, match=r"weights of LighterUNet\(group_size=128\), got weights of LighterUNet\(group_size=1\)"
    ):
        LesionSegmenter.from_bundle(BUNDLE, weights=weights, device="cpu")


def test_missing_weights_say_what_to_do(tmp_path):
    with pytest.raises(CheckpointError, match=r"model.pt: the weights must exist, got no file. Train first"):
        LesionSegmenter.from_bundle(BUNDLE, weights=tmp_path / "model.pt", device="cpu")


def test_an_unknown_network_argument_is_named(weights):
    with pytest.raises(InputError, match="group_sise"):
        LesionSegmenter.from_bundle(BUNDLE, weights=weights, overrides={"network_def#group_sise": 16})


def test_a_folder_that_is_no_bundle_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"must be a bundle with configs/inference.json, got no such file"):
        LesionSegmenter.from_bundle(tmp_path)


def test_results_replace_no_image_and_are_not_taken_for_images(segmenter, tmp_path):
    file = tmp_path / "a.png"
    Image.fromarray(red()[0]).save(file)
    before = file.read_bytes()
    with pytest.raises(InputError, match=r"(?s)1 of 1 could not.*a\.png: must not be an image of the batch.*--output"):
        segment_files(segmenter, tmp_path, tmp_path, progress=False)
    assert file.read_bytes() == before
    for _ in range(2):  # the second run finds the masks of the first
        assert segment_files(segmenter, tmp_path, tmp_path / "masks", progress=False) == 1
    assert [path.name for path in (tmp_path / "masks").rglob("*")] == ["a.png"]
