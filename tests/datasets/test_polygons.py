"""Outlines to masks, against areas known in closed form and run lengths that pycocotools 2.0.11 wrote."""

from __future__ import annotations

import json
from base64 import b64encode
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from monai_lesion.datasets.polygons import CocoFile, labelme_mask, polygon_mask
from monai_lesion.errors import InputError
from tests.images import COLUMNS, ROWS, lesion

SIZE = (ROWS, COLUMNS)
L = [[5, 3], [8, 3], [8, 10], [21, 10], [21, 12], [5, 12]]  # the outline of lesion()


def test_a_pixel_is_inside_when_its_centre_is() -> None:
    np.testing.assert_array_equal(polygon_mask(L, SIZE), lesion())
    np.testing.assert_array_equal(polygon_mask(L[::-1], SIZE), lesion())
    triangle = polygon_mask([[0, 0], [100, 0], [0, 100]], (100, 100))
    assert triangle.sum() == pytest.approx(100 * 100 / 2, abs=51)  # half a pixel along the long side


def labelme(file: Path, *shapes: dict[str, Any], **more: Any) -> Path:
    content = {"version": "5.5.0", "shapes": list(shapes), "imagePath": "a.png", "imageHeight": ROWS, **more}
    file.write_text(json.dumps({"imageWidth": COLUMNS, **content}))
    return file


def encoded(mask: np.ndarray) -> str:
    stream = BytesIO()
    Image.fromarray(mask).save(stream, "PNG")
    return b64encode(stream.getvalue()).decode()


SHAPES = {
    "polygon": ({"shape_type": "polygon", "points": L}, lesion()),
    "rectangle": (
        {"shape_type": "rectangle", "points": [[9, 8], [4, 2]]},
        np.pad(np.ones((6, 5), bool), ((2, 12), (4, 21))),
    ),
    "mask": ({"shape_type": "mask", "points": [[5, 3], [20, 11]], "mask": encoded(lesion()[3:12, 5:21])}, lesion()),
}


@pytest.mark.parametrize("kind", SHAPES)
def test_shapes_of_labelme_are_drawn(kind: str, tmp_path: Path) -> None:
    shape, wanted = SHAPES[kind]
    np.testing.assert_array_equal(labelme_mask(labelme(tmp_path / "a.json", {"label": "x", **shape}), SIZE), wanted)


def test_circle_of_labelme_has_its_area(tmp_path: Path) -> None:
    circle = {"label": "x", "shape_type": "circle", "points": [[50, 60], [50, 30]]}
    file = labelme(tmp_path / "a.json", circle, imageHeight=120, imageWidth=100)
    assert labelme_mask(file, (120, 100)).sum() == pytest.approx(np.pi * 30**2, rel=0.01)


def test_shapes_are_joined_and_chosen_by_their_label(tmp_path: Path) -> None:
    one, other = (
        {"label": name, "shape_type": "rectangle", "points": points}
        for name, points in (("lesion", [[1, 1], [3, 3]]), ("shadow", [[6, 6], [9, 9]]))
    )
    file = labelme(tmp_path / "a.json", one, other)
    assert labelme_mask(file, SIZE).sum() == 4 + 9
    assert labelme_mask(file, SIZE, ["lesion"]).sum() == 4
    assert not labelme_mask(labelme(tmp_path / "b.json"), SIZE).any()


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ({"shape_type": "line", "points": [[0, 0], [1, 1]]}, r"shapes\[0\]: each shape must be .*, got line: encloses"),
        ({"shape_type": "polygon", "points": [[0, 0], [1, 1]]}, "got polygon: at least three points"),
        ({"shape_type": "polygon"}, "got polygon: 'points'"),
    ],
)
def test_what_encloses_nothing_is_refused(shape: dict[str, Any], message: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=message):
        labelme_mask(labelme(tmp_path / "a.json", {"label": "x", **shape}), SIZE)


def test_outlines_of_another_size_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="must be of its picture's 20 x 30, got 20 x 31"):
        labelme_mask(labelme(tmp_path / "a.json", imageWidth=31), SIZE)
    (tmp_path / "b.json").write_text('{"version": 1}')
    with pytest.raises(InputError, match="must be a file of LabelMe, got the keys version"):
        labelme_mask(tmp_path / "b.json", SIZE)


def coco(file: Path, *segmentations: Any, **image: Any) -> CocoFile:
    images = [{"id": 7, "file_name": "a.png", "height": ROWS, "width": COLUMNS, **image}]
    annotations = [
        {"id": number, "image_id": 7, "category_id": number % 2, "segmentation": each}
        for number, each in enumerate(segmentations)
    ]
    categories = [{"id": 0, "name": "lesion"}, {"id": 1, "name": "shadow"}]
    file.write_text(json.dumps({"images": images, "annotations": annotations, "categories": categories}))
    return CocoFile(file)


PLAIN = [103, 9, 11, 9, 11, 9, *[18, 2] * 13, 188]
PYCOCOTOOLS = "W39;0007I000000000000000000000000Z5"


@pytest.mark.parametrize(
    "segmentation",
    [
        [[value for point in L for value in point]],
        {"size": [ROWS, COLUMNS], "counts": PLAIN},
        {"size": [ROWS, COLUMNS], "counts": PYCOCOTOOLS},
    ],
    ids=["polygon", "run lengths", "pycocotools"],
)
def test_segmentations_of_coco_are_drawn(segmentation: Any, tmp_path: Path) -> None:
    np.testing.assert_array_equal(coco(tmp_path / "c.json", segmentation).mask("a.png", SIZE), lesion())


def test_long_runs_of_pycocotools_are_read(tmp_path: Path) -> None:
    wanted = np.zeros((300, 400), bool)
    wanted[50:250, 100:300] = True
    wanted[60:70, 110:120] = False
    text = "R[m0X6T3" + "0" * 18 + "RJVMZ5" + "j2fJVMZ5" * 9 + "j2d" + "0" * 359 + "nWm0"
    file = coco(tmp_path / "c.json", {"size": [300, 400], "counts": text}, height=300, width=400)
    np.testing.assert_array_equal(file.mask("a.png", (300, 400)), wanted)


def test_annotations_are_joined_and_chosen_by_category(tmp_path: Path) -> None:
    squares = [[[x, x, x + 2, x, x + 2, x + 2, x, x + 2]] for x in (1, 6)]
    assert coco(tmp_path / "c.json", *squares).mask("a.png", SIZE).sum() == 8
    assert CocoFile(tmp_path / "c.json", ["shadow"]).mask("a.png", SIZE)[6:8, 6:8].all()
    with pytest.raises(InputError, match=r"must have the category cyst, got lesion, shadow"):
        CocoFile(tmp_path / "c.json", ["cyst"])


@pytest.mark.parametrize(
    ("segmentation", "message"),
    [
        ([], "annotation 0 of a.png: each annotation must have a segmentation.*an empty list"),
        ([[1, 1, 2, 2]], "at least three points"),
        ({"size": [ROWS, COLUMNS], "counts": [3, 4]}, "run lengths that do not fill the picture"),
        ({"size": [9, 9], "counts": [81]}, r"run lengths of \[9, 9\]"),
    ],
)
def test_a_wrong_segmentation_is_refused(segmentation: Any, message: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=message):
        coco(tmp_path / "c.json", segmentation).mask("a.png", SIZE)
