"""The pages on measuring DICOM files say what the code does: snippets run, tables and figures are those of the code."""

from __future__ import annotations

import importlib.util
import json
import re
import sys
from functools import lru_cache
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch
from PIL import Image
from pydicom import Dataset

from monai_lesion.images import dicom_files
from monai_lesion.images.calibration import Calibration, calibration_of
from monai_lesion.phantoms.cases import SimulatedCase, simulate_case
from monai_lesion.phantoms.dicom import write_dicom
from tests.shared_data import ABSENT, BUSBRA

ROOT = Path(__file__).parents[1]
HOW_TO = ROOT / "docs" / "how-to"
MEASURE = (HOW_TO / "measure-dicom.md").read_text(encoding="utf-8")
OBJECTS = (HOW_TO / "dicom-objects.md").read_text(encoding="utf-8")
EXPLANATION = (ROOT / "docs" / "explanation" / "measurements.md").read_text(encoding="utf-8")
BENCHMARKS = (ROOT / "docs" / "benchmarks.md").read_text(encoding="utf-8")


class Disc(torch.nn.Module):
    """Finds a disc in the middle of any picture."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        rows, columns = x.shape[-2:]
        down, right = torch.meshgrid(torch.linspace(-1, 1, rows), torch.linspace(-1, 1, columns), indexing="ij")
        return (0.1 - down**2 - right**2).expand(len(x), 1, rows, columns)


def script(name: str) -> ModuleType:
    """A script of docs/figures as a module."""
    spec = importlib.util.spec_from_file_location(name, ROOT / "docs" / "figures" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # where its dataclasses look for their types
    spec.loader.exec_module(module)
    return module


@lru_cache
def simulated() -> SimulatedCase:
    """The case of the page."""
    return simulate_case(7, 0)


@pytest.fixture
def scan(tmp_path, monkeypatch):
    """A folder with the files that the page names, as the working directory."""
    pydicom = pytest.importorskip("pydicom", minversion="3.0")
    pytest.importorskip("highdicom")
    case = simulated()
    for folder in ("scan/images", "pictures/images"):
        (tmp_path / folder).mkdir(parents=True)
    for view in case.views:
        write_dicom(tmp_path / "scan" / "images" / f"0001_{view.view}.dcm", case, view, seed=7)
    Image.fromarray(case.views[0].pixels).save(tmp_path / "pictures" / "images" / "0001_front.png")
    (tmp_path / "cine.dcm").write_bytes(Path(pydicom.examples.get_path("ybr_color")).read_bytes())
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.slow
def test_the_snippets_of_the_page_run_and_say_what_it_says(scan, monkeypatch, capsys):
    from monai_lesion import LesionSegmenter

    monkeypatch.setattr(LesionSegmenter, "from_bundle", lambda *_, **__: LesionSegmenter(Disc(), device="cpu"))
    names: dict[str, object] = {}
    snippets = re.findall(r"^```python\n(.*?)^```", MEASURE, re.M | re.S)
    assert len(snippets) == 2
    for snippet in snippets:
        exec(compile(snippet, "measure-dicom.md", "exec"), names)
    said = capsys.readouterr().out
    assert "mm - mm as given" in said
    assert "mm from ultrasound region (0.11, 0.11)" in said
    assert "px none: an ultrasound region reaches outside the image" in said
    assert said.splitlines()[-1].endswith(" ml")
    made = {path.name for path in (scan / "results").iterdir()}
    named = set(re.findall(r"`(0001_front\S+)`", MEASURE)) - {"0001_front_overlay.png"}  # which the snippet leaves out
    assert named <= made


def test_the_json_of_the_page_has_the_keys_of_a_result(scan):
    from monai_lesion import LesionSegmenter

    shown = json.loads(re.search(r"^```json\n(\{\n.*?)^```", MEASURE, re.M | re.S)[1])  # type: ignore[index]
    made = LesionSegmenter(Disc(), device="cpu")("scan/images/0001_front.dcm").to_dict()
    assert shown.keys() <= made.keys()
    assert shown["measurements"].keys() <= made["measurements"].keys()
    assert shown["measurements"]["long_axis"].keys() == made["measurements"]["long_axis"].keys()
    assert shown["notice"] == made["notice"]
    assert shown["spacing_mm"] == list(made["spacing_mm"])


def header(*regions: tuple[int, int, int, int], units: int = 3, deltas: tuple[float, ...] = (), **values) -> Dataset:
    """A header of 40 rows and 80 columns with regions (top, left, bottom, right), 0.01 cm a pixel unless told."""
    dataset = Dataset()
    dataset.Rows, dataset.Columns = 40, 80
    dataset.SequenceOfUltrasoundRegions = []
    for number, (top, left, bottom, right) in enumerate(regions):
        item = Dataset()
        item.RegionSpatialFormat, item.RegionDataType = 1, 1
        item.RegionLocationMinY0, item.RegionLocationMinX0 = top, left
        item.RegionLocationMaxY1, item.RegionLocationMaxX1 = bottom, right
        item.PhysicalUnitsXDirection = item.PhysicalUnitsYDirection = units
        item.PhysicalDeltaX = item.PhysicalDeltaY = deltas[number] if deltas else 0.01
        dataset.SequenceOfUltrasoundRegions.append(item)
    for keyword, value in values.items():
        setattr(dataset, keyword, value)
    return dataset


def across(columns: slice = slice(30, 50)) -> np.ndarray:
    """A lesion in the middle of 40 rows and 80 columns."""
    mask = np.zeros((40, 80), np.uint8)
    mask[15:25, columns] = 1
    return mask


HALVES = ((0, 0, 39, 39), (0, 40, 39, 79))
SITUATIONS = {
    "region": (header((0, 0, 39, 79)), "mm from ultrasound region"),
    "spacing": (header(PixelSpacing=[0.1, 0.1]), "mm from Pixel Spacing"),
    "nothing": (header(), "none: the file does not know its scale"),
    "across": (header(*HALVES), "none: the lesion does not lie in one ultrasound region"),
    "outside": (header((0, 0, 39, 99)), "none: an ultrasound region reaches outside the image"),
    "seconds": (header((0, 0, 39, 79), units=4), "none: an ultrasound region is not in centimetres"),
    "no step": (header((0, 0, 39, 79), deltas=(0.0,)), "none: an ultrasound region has no valid pixel size"),
    "overlap": (
        header((0, 0, 39, 79), (5, 5, 35, 75), deltas=(0.01, 0.02)),
        "none: the ultrasound regions differ in scale",
    ),
    "contradiction": (
        header((0, 0, 39, 79), PixelSpacing=[0.2, 0.2]),
        "none: Pixel Spacing contradicts the ultrasound regions",
    ),
}


@pytest.mark.parametrize(("dataset", "source"), SITUATIONS.values(), ids=SITUATIONS)
def test_the_page_lists_why_there_are_millimetres_or_not(dataset, source):
    assert calibration_of(dataset).of(across()).source == source
    assert f"| `{source}` |" in MEASURE


def test_the_page_lists_every_reason_that_the_code_can_give():
    code = (ROOT / "monai_lesion" / "images" / "calibration.py").read_text(encoding="utf-8")
    reasons = set(re.findall(r'(?:return|why =|_none\()\s*"([a-zA-Z][^"]+)"', code))
    reasons |= {Calibration().source.removeprefix("none: ")}
    listed = set(re.findall(r"^\| `none: ([^`]+)` \|", MEASURE, re.M))
    assert listed == reasons


def test_the_table_lists_exactly_the_classes_colours_and_transfer_syntaxes_that_are_read():
    from monai_lesion.pacs.dimse import IMAGE_SYNTAXES

    section = OBJECTS.split("\n**Read**\n")[1].split("\n**Written**")[0]
    classes, syntaxes = section.split("\n| transfer syntax |")
    assert set(re.findall(r"`(1\.2\.840\.\S+?)`", classes)) == set(dicom_files.SOP_CLASSES)
    colours = next(line for line in classes.splitlines() if line.startswith("| colours |"))
    assert set(re.findall(r"`([^`]+)`", colours)) == {*dicom_files.GREY, *dicom_files.COLOUR, "PALETTE COLOR"}
    rows = re.findall(r"^\| .+ \| `(1\.2\.840\.\S+)` \| .+ \| (yes|no) \| (yes|no) \|$", syntaxes, re.M)
    read = (*dicom_files.NATIVE, dicom_files.RLE, *dicom_files.JPEG, *dicom_files.JPEG_LS, *dicom_files.JPEG_2000)
    assert {uid for uid, files, _ in rows if files == "yes"} == set(read)
    assert {uid for uid, _, listener in rows if listener == "yes"} == set(IMAGE_SYNTAXES)


def test_the_table_lists_the_classes_templates_and_codes_that_are_written(scan):
    from pydicom import dcmread
    from pydicom.sr._cid_dict import cid_concepts

    from monai_lesion import LesionSegmenter

    section = OBJECTS.split("\n**Written**")[1].split("\n**Exchanged**")[0]
    result = LesionSegmenter(Disc(), device="cpu")("scan/images/0001_front.dcm")
    binary = [dcmread(file) for file in result.save("out", ["dicom-seg", "dicom-sr", "sc"])]
    labelmap = [dcmread(file) for file in result.save("map", ["dicom-seg"], seg_type="labelmap")]
    objects = [*binary, *labelmap]
    assert set(re.findall(r"`(1\.2\.840\.\S+?)`", section)) == {each.SOPClassUID for each in objects}
    assert {each.file_meta.TransferSyntaxUID.name for each in objects} == {"Explicit VR Little Endian"}
    templates = {str(item.TemplateIdentifier) for item in _templates(binary[1])}
    assert templates == {"1500", "1501", "1410"}
    assert all(re.search(rf"\bTID {number}\b", section) for number in templates)
    for cid, keyword in ((7150, "MorphologicallyAbnormalStructure"), (7159, "Lesion"), (7470, "LongAxis")):
        assert keyword in cid_concepts[cid]["SCT"]
        assert f"CID {cid}" in section
    assert "Area" in cid_concepts[7471]["SCT"]
    assert "ArtificialIntelligence" in cid_concepts[7162]["DCM"]


def _templates(item: Dataset) -> list[Dataset]:
    found = list(item.get("ContentTemplateSequence", ()))
    return found + [each for child in item.get("ContentSequence", ()) for each in _templates(child)]


def test_the_benchmarks_have_the_scales_that_the_caliper_marks_give():
    calipers = script("busbra_calipers")
    distances = calipers.read()
    for setting, name in (("fine", "finer"), ("coarse", "coarser")):
        group = [each for each in distances if each.setting == setting]
        steps, rest = calipers.fit(group)
        down, across_ = 1 / steps
        images = len({each.image for each in group})
        row = (
            f"| GE Logiq 5, {name} depth setting | {images}, {len(group)} | {across_:.2f} | {down:.2f} "
            f"| {np.sqrt(np.mean(rest**2)):.2f} mm"
        )
        assert row in BENCHMARKS
        assert f"at most {np.abs(rest).max():.2f} mm" in BENCHMARKS


@pytest.mark.skipif(not BUSBRA.is_dir(), reason=ABSENT)
def test_the_caliper_table_is_of_pictures_outside_the_test_split_and_lies_within_them():
    import csv

    with (BUSBRA / "5-fold-cv.csv").open(encoding="utf-8") as lines:
        folds = {row["ID"]: row["kFold"] for row in csv.DictReader(lines)}
    with (BUSBRA / "bus_data.csv").open(encoding="utf-8") as lines:
        sizes = {row["ID"]: (int(row["Width"]), int(row["Height"])) for row in csv.DictReader(lines)}
    with (ROOT / "docs" / "figures" / "busbra_calipers.csv").open(encoding="utf-8") as lines:
        rows = list(csv.DictReader(lines))
    assert {folds[row["image"]] for row in rows} == {"1", "2", "3"}
    for row in rows:
        width, height = sizes[row["image"]]
        assert all(0 <= float(row[f"column_{end}"]) < width for end in (1, 2))
        assert all(0 <= float(row[f"row_{end}"]) < height for end in (1, 2))


@pytest.mark.parametrize(
    "document", [MEASURE, OBJECTS, EXPLANATION, BENCHMARKS], ids=["measure", "objects", "explanation", "benchmarks"]
)
def test_figures_name_scripts_that_exist(document):
    for path in re.findall(r"python (docs/figures/\w+\.py)", document):
        assert (ROOT / path).is_file()
    if "](../images/" in document:
        assert "python docs/figures/" in document
