"""The page's definitions against Python's, on the same arrays."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pydicom
import pytest
from PIL import Image
from scipy.ndimage import gaussian_filter

from monai_lesion.images.calibration import spacing_of
from monai_lesion.images.pictures import read_picture
from monai_lesion.images.regions import Region, outside_of
from monai_lesion.measures.judgements import agreement_of, bounds_of, describe_picture, judge, signals_of
from monai_lesion.measures.sizes import measure, measure_case
from monai_lesion.phantoms.dicom import write_dicom
from monai_lesion.pipeline.operations import after, before, clean, resize
from tests.images import write_png

pytestmark = pytest.mark.slow  # builds with Node.js

RNG = np.random.default_rng(20261129)


def blobs(rows: int, columns: int, smooth: float, level: float = 0.0) -> np.ndarray:
    field = gaussian_filter(RNG.standard_normal((rows, columns)), smooth)
    return field > level * field.std()


def as_mask(mask: np.ndarray) -> dict[str, Any]:
    return {"rows": mask.shape[0], "columns": mask.shape[1], "pixels": mask.astype(int).ravel().tolist()}


def as_picture(image: np.ndarray) -> dict[str, Any]:
    rgba = np.dstack([image, np.full(image.shape[:2], 255, np.uint8)])
    return {"rows": image.shape[0], "columns": image.shape[1], "rgba": rgba.ravel().tolist()}


def test_resizing_is_the_same_to_the_bit(core: Any) -> None:
    shapes = [
        ((37, 51), (64, 48)),
        ((64, 48), (37, 51)),
        ((128, 128), (130, 97)),
        ((1, 5), (4, 9)),
        ((50, 50), (50, 50)),
    ]
    sources = [RNG.random(shape, np.float32) for shape, _ in shapes]
    jobs = [
        ["resize", source.ravel().tolist(), *source.shape, *target]
        for source, (_, target) in zip(sources, shapes, strict=True)
    ]
    for source, (_, target), got in zip(sources, shapes, core(jobs), strict=True):
        np.testing.assert_array_equal(np.float32(got).reshape(target), resize(source[None], *target)[0])


def test_what_goes_into_the_network_is_the_same_to_the_bit(core: Any) -> None:
    image = RNG.integers(0, 256, (71, 93, 3), np.uint8)
    for got, size, order in zip(
        core([["before", as_picture(image), [64, 80], "rgb"], ["before", as_picture(image), [128, 96], "bgr"]]),
        [(64, 80), (128, 96)],
        [slice(None), slice(None, None, -1)],
        strict=True,
    ):
        expected = before(image, size)[0, order]
        np.testing.assert_array_equal(np.float32(got).reshape(3, *size), expected)


def test_cleaning_is_the_same(core: Any) -> None:
    masks = [blobs(60, 70, smooth) for smooth in (0.5, 1, 2, 4)] + [np.zeros((9, 7), bool), np.ones((5, 6), bool)]
    jobs = [["clean", as_mask(mask), keep] for mask in masks for keep in ("largest", "all")]
    expected = [clean(mask, keep) for mask in masks for keep in ("largest", "all")]
    for got, wanted in zip(core(jobs), expected, strict=True):
        np.testing.assert_array_equal(np.reshape(got["pixels"], wanted.shape), wanted)


@pytest.mark.parametrize("order", ["resize_first", "threshold_first"])
def test_what_comes_out_of_the_network_is_the_same(order: str, core: Any) -> None:
    logits = [6 * gaussian_filter(RNG.standard_normal((64, 80)), 5).astype(np.float32) / 0.05 for _ in range(4)]
    how = {"threshold": 0.4, "keep": "largest", "order": order}
    jobs = [["after", logit.ravel().tolist(), [64, 80], 97, 121, how] for logit in logits]
    # JSON makes plain lists of arrays; the page's own are typed, which map() keeps in single precision.
    for logit, got in zip(logits, core(jobs), strict=True):
        mask, probability = after(logit[None, None], (97, 121), threshold=0.4, order=order)
        np.testing.assert_allclose(np.reshape(got["probability"], (97, 121)), probability, atol=3e-7)
        differing = np.reshape(got["mask"]["pixels"], mask.shape) != mask
        assert not (differing & (np.abs(probability - 0.4) > 1e-6)).any()


@pytest.mark.parametrize("spacing", [None, (0.07, 0.07), (0.1, 0.23)])
def test_sizes_are_the_same(spacing: tuple[float, float] | None, core: Any) -> None:
    masks = [blobs(50, 64, smooth, level) for smooth, level in ((2, 0.5), (4, 0), (6, 1), (0.7, 1))]
    line, dot = np.zeros((20, 20), bool), np.zeros((20, 20), bool)
    line[7, 3:15], dot[0, 19] = True, True
    masks += [line, dot]
    got = core([["measure", as_mask(mask), spacing, 0] for mask in masks])
    for mask, found in zip(masks, got, strict=True):
        wanted = measure(mask, spacing)
        for name in ("long_axis", "short_axis", "width", "height", "area", "perimeter", "equivalent_diameter", "depth"):
            quantity = getattr(wanted, name)
            assert found[name]["value"] == pytest.approx(quantity.value, rel=1e-9), name
            assert found[name]["unit"] == quantity.unit
        assert found["centroid"] == pytest.approx(wanted.centroid)
        np.testing.assert_allclose(found["long_axis_ends"], wanted.long_axis_ends, atol=1e-9)
        assert (found["components"], found["at_border"]) == (wanted.components, wanted.at_border)
        assert {tuple(point) for point in found["contour"]} == {tuple(point) for point in wanted.contour}


def test_an_empty_mask_has_no_sizes(core: Any) -> None:
    assert core([["measure", as_mask(np.zeros((4, 4), bool)), None, 0]]) == [None]


def test_the_volume_of_two_views_is_the_same(core: Any) -> None:
    rows, columns = np.mgrid[-40:40, -40:40]
    masks = [np.hypot(rows / 30, columns / 20) < 1, np.hypot(rows / 25, columns / 33) < 1]
    front, side = core([["measure", as_mask(mask), (0.1, 0.2), 0] for mask in masks])
    found, bare = core([["measureCase", front, side], ["measureCase", front, {**side, "spacing": None}]])
    wanted = measure_case({"front": (masks[0], (0.1, 0.2)), "side": (masks[1], (0.1, 0.2))})
    assert wanted.volume is not None
    assert found["volume"]["value"] == pytest.approx(wanted.volume.value)
    assert bare["volume"] is None


def test_names_in_a_table_are_no_formulas(core: Any) -> None:
    result = {
        "name": '=HYPERLINK("x")',
        "frame": None,
        "rows": 4,
        "columns": 4,
        "region": None,
        "calibration": {"spacing": None, "source": "none: x"},
        "outside": "",
        "meanProbability": None,
        "measurements": None,
        "verdict": None,
        "model": {"name": "pocket", "weights_id": "00", "input_size": [16, 16], "software": "monai_lesion"},
        "edited": False,
    }
    header, line, _ = core([["toCsv", [result]]])[0].split("\r\n")
    assert line.startswith('"\'=HYPERLINK(""x"")"')
    assert header.startswith("image,frame,found,decision")


def test_pictures_are_described_alike(core: Any) -> None:
    pictures = [RNG.integers(0, 256, (71, 93, 3), np.uint8), RNG.integers(0, 9, (64, 64, 3), np.uint8) * 9]
    pictures.append(np.zeros((30, 200, 3), np.uint8))
    found = core([["describePicture", as_picture(image)] for image in pictures])
    for image, got in zip(pictures, found, strict=True):
        np.testing.assert_allclose(got, describe_picture(image), rtol=1e-9, atol=1e-12)


def test_decisions_trust_and_intervals_are_the_same(core: Any) -> None:
    calibration = {
        "signal": "scores",
        "presence": {"threshold": 0.4},
        "trust": {"quality": [0.1, 0.5, 0.9], "dice": [0.2, 0.7, 0.95], "least": 0.6},
        "familiarity": {
            "mean": [0.0, 1.0, 2.0],
            "scale": [1.0, 0.5, 2.0],
            "whitening": [[1.0, 0.3, 0.0], [0.0, 1.0, -0.2]],
            "limit": 9.0,
        },
        "intervals": {
            "level": 0.9,
            "groups": {"": {"long_axis": [-0.3, 0.2], "area": [-0.5, 0.6]}, "Logiq": {"long_axis": [-0.1, 0.1]}},
        },
    }
    rows = [(np.float32(RNG.normal(0, 2, (1, 2))), RNG.normal(1, 2, 3)) for _ in range(40)]
    signals = core([["signalsOf", scores[0].tolist(), features.tolist()] for scores, features in rows])
    for (scores, features), got in zip(rows, signals, strict=True):
        wanted = signals_of(scores, features)
        assert (got["presence"], got["quality"]) == pytest.approx((wanted.presence, wanted.quality))
    decisions = set()
    for (scores, features), got in zip(
        rows, core([["judge", calibration, each, True, "LOGIQ"] for each in signals]), strict=True
    ):
        wanted = judge(calibration, signals_of(scores, features), found=True)
        assert (got["decision"], got["unfamiliar"], got["group"]) == (wanted.decision, wanted.unfamiliar, "Logiq")
        assert got["trust"] == (wanted.trust if wanted.trust is None else pytest.approx(wanted.trust))
        decisions.add(got["decision"])
    assert decisions == {"lesion", "doubtful", "nothing found"}
    mask = blobs(40, 40, 4)
    (found,) = core([["measure", as_mask(mask), None, 0]])
    verdict = {"decision": "lesion", "trust": 0.8, "unfamiliar": False, "quality": 0.7, "group": "Logiq"}
    (intervals,) = core([["intervalsOf", calibration, verdict, found]])
    assert intervals.keys() == {"long_axis", "area"}
    for name in intervals:
        low, high = bounds_of(calibration, name, 0.7, "Logiq") or (0, 0)
        size = getattr(measure(mask), name)
        assert (intervals[name]["low"], intervals[name]["high"]) == pytest.approx((low * size.value, high * size.value))


def test_views_agree_alike(core: Any) -> None:
    masks = [blobs(30, 30, 3) for _ in range(3)]
    assert core([["agreementOf", [as_mask(mask) for mask in masks]]]) == pytest.approx([agreement_of(masks)])


def deep_files(folder: Path) -> list[Path]:
    """PNG of 16 bits, and TIFF, whose numbers use more or fewer of their bits."""
    files = []
    for highest in (200, 1000, 4000, 16000, 65535):
        grey = RNG.integers(0, highest, (13, 17), np.uint16, endpoint=True)
        for kind, channels in ((0, 1), (2, 3), (4, 2), (6, 4)):
            if kind == 4 and highest < 2**14:
                continue  # the library refuses these
            pixels = RNG.integers(0, highest, (13, 17, channels), np.uint16, endpoint=True)
            pixels[0, 0, 0] = highest
            rows = [row.astype(">u2").tobytes() for row in pixels]
            files.append(write_png(folder / f"{kind}-{highest}.png", 16, kind, rows, (13, 17)))
        files.append(folder / f"{highest}.tif")
        Image.fromarray(grey).save(files[-1])
    real = RNG.random((13, 17), np.float32)
    colours = RNG.integers(0, 256, (13, 17, 3), np.uint8)
    for name, picture, options in [
        ("unit", Image.fromarray(real), {}),
        ("bytes", Image.fromarray(real * np.float32(255)), {}),
        ("stretched", Image.fromarray(real * np.float32(3000) - np.float32(20)), {}),
        ("grey", Image.fromarray(colours[..., 0]), {"compression": "tiff_lzw"}),
        ("colours", Image.fromarray(colours), {"compression": "tiff_adobe_deflate"}),
        ("opacity", Image.fromarray(np.dstack([colours, colours[..., 0]])), {}),
        ("palette", Image.fromarray(colours).quantize(64), {}),
        ("white", Image.fromarray(colours[..., 0]), {"tiffinfo": {262: 0}}),
        ("pages", Image.fromarray(colours), {"save_all": True, "append_images": [Image.fromarray(255 - colours)]}),
    ]:
        files.append(folder / f"{name}.tif")
        picture.save(files[-1], **options)
    return files


def test_deep_png_and_tiff_become_the_librarys_bytes(core: Any, tmp_path: Path) -> None:
    files = deep_files(tmp_path)
    for file, got in zip(files, core([["decoded", list(file.read_bytes())] for file in files]), strict=True):
        wanted = read_picture(file)
        assert (got.get("rows"), got.get("columns")) == wanted.shape[:2], (file.name, got.get("error"))
        pixels = np.reshape(got["rgba"], (*wanted.shape[:2], 4))
        np.testing.assert_array_equal(pixels[..., :3], wanted, err_msg=file.name)


def test_what_the_page_does_not_read_is_refused_by_one_word(core: Any, tmp_path: Path) -> None:
    colours = Image.fromarray(RNG.integers(0, 256, (32, 32, 3), np.uint8))
    colours.save(tmp_path / "jpeg.tif", compression="jpeg")
    colours.save(tmp_path / "packed.tif", compression="packbits")
    colours.convert("CMYK").save(tmp_path / "cmyk.tif")
    colours.convert("1").save(tmp_path / "bits.tif")
    whole = write_png(tmp_path / "whole.png", 16, 0, [bytes(64)] * 32, (32, 32)).read_bytes()
    contents = {
        "needsServer": [(tmp_path / f"{name}.tif").read_bytes() for name in ("jpeg", "packed", "cmyk", "bits")],
        "damaged": [whole[:60], whole[:45] + b"????" + whole[49:], b"II*\0" + bytes(8)],
        "unknownFormat": [b"NRRD0004\n", b"\x1f\x8b" + bytes(400), bytes(344) + b"n+1\0", b"", b"GIF89a"],
    }
    for key, files in contents.items():
        assert core([["decoded", list(content)] for content in files]) == [{"error": key}] * len(files)


STEPS = (0.1, 1e-5, 9e-6, 100.0, 101.0, 0.0, -0.2, 1e-9)  # millimetres; of a region one may be negative
SCALES = {"regions": (0.1, 1e-5, 100.0, -0.2), "header": (0.1, 1e-5, 100.0)}


def test_steps_that_no_body_has_are_no_scale_as_in_the_library(core: Any, tmp_path: Path) -> None:
    view = SimpleNamespace(
        view="front", pixels=RNG.integers(0, 256, (20, 30, 3), np.uint8), calipers=(), spacing=(1, 1)
    )
    write_dicom(tmp_path / "view.dcm", SimpleNamespace(case_id="0000", centre="A"), view, seed=0)
    dataset, files, wanted = pydicom.dcmread(tmp_path / "view.dcm"), [], []
    for where in SCALES:
        for step in STEPS:
            if where == "regions":
                dataset.PixelSpacing = None
                item = dataset.SequenceOfUltrasoundRegions[0]
                item.PhysicalDeltaX, item.PhysicalDeltaY = 0.01, step / 10
            else:
                dataset.SequenceOfUltrasoundRegions, dataset.PixelSpacing = [], [step, 0.1]
            buffer = BytesIO()
            dataset.save_as(buffer)
            files.append(list(buffer.getvalue()))
            wanted.append(spacing_of(dataset))
            assert (wanted[-1] is not None) == (step in SCALES[where])
    got = core([["spacingOf", file] for file in files])
    assert [found and tuple(found) for found in got] == wanted


def test_a_lesion_outside_the_tissue_is_remarked_alike(core: Any) -> None:
    mask = np.zeros((20, 20), bool)
    mask[5:9, 5:12] = True
    halves = [Region(0, 0, 20, 10), Region(0, 10, 20, 20)]
    cases = [[], halves, halves[:1], [Region(10, 10, 20, 20)], [Region(0, 0, 30, 30, inside=False)]]
    jobs = [["outsideOf", as_mask(mask), [vars(region) for region in regions]] for regions in cases]
    wanted = [outside_of(mask, regions) for regions in cases]
    assert core(jobs) == wanted
    assert len(set(wanted)) == 3
