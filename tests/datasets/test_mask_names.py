"""Which files are masks of which pictures, on names as people give them."""

from __future__ import annotations

import pytest

from monai_lesion.datasets.mask_names import masks_of


@pytest.mark.parametrize(
    ("paths", "masks"),
    [
        (["a.png", "a_mask.png"], {"a.png": ["a_mask.png"]}),
        (
            ["b (1).png", "b (1)_mask.png", "b (1)_mask_1.png", "b (1)_mask_10.png", "b (1)_mask_2.png"],
            {"b (1).png": [f"b (1)_mask{more}.png" for more in ("", "_1", "_2", "_10")]},
        ),
        (["images/1.jpg", "masks/1.png"], {"images/1.jpg": ["masks/1.png"]}),
        (["Images/bus_7-l.png", "Masks/mask_7-l.png"], {"Images/bus_7-l.png": ["Masks/mask_7-l.png"]}),
        (["imagesTr/x_0000.png", "labelsTr/x.png"], {"imagesTr/x_0000.png": ["labelsTr/x.png"]}),
        (["P1/front.dcm", "P1/front-seg.nii.gz"], {"P1/front.dcm": ["P1/front-seg.nii.gz"]}),
        (["P1/front.png", "P1/masks/front.png"], {"P1/front.png": ["P1/masks/front.png"]}),
        (["a.PNG", "A_Mask.png"], {"a.PNG": ["A_Mask.png"]}),
        (["1.png", "1_segmentation.png", "1_gt.png"], {"1.png": ["1_gt.png", "1_segmentation.png"]}),
        (["img7.png", "mask7.png"], {"img7.png": ["mask7.png"]}),
        (["7.png", "7Mask.png", "8.png", "8mask.png"], {"7.png": ["7Mask.png"], "8.png": ["8mask.png"]}),
        (["img/1.png", "lbl/1.png"], {"img/1.png": ["lbl/1.png"]}),
        (["train/image/1.png", "train/label/1.png", "test/image/1.png"], {"train/image/1.png": ["train/label/1.png"]}),
    ],
    ids=[
        "beside",
        "several",
        "folders",
        "BUS-BRA",
        "nnU-Net",
        "formats",
        "below",
        "case",
        "words",
        "glued",
        "ends",
        "lbl",
        "splits",
    ],
)
def test_masks_belong_to_the_picture_of_their_name(paths: list[str], masks: dict[str, list[str]]) -> None:
    assert masks_of(paths) == masks
    assert masks_of(reversed(paths)) == masks


@pytest.mark.parametrize(
    "paths",
    [
        ["masks/1.png", "masks/2.png"],
        ["mask.png", "1_mask.png"],
        ["damask.png", "da.png"],
        ["segment.png", "ment.png", "maskara.png", "ara.png"],
        ["unmasked.png", "un.png"],
        ["1_front.png", "1_front_2.png"],
        ["a/1.png", "b/1_mask.png"],
        ["bus_7.png", "scan_7.png", "mask_7.png"],
    ],
    ids=[
        "no picture",
        "alone",
        "within a word",
        "at its start",
        "longer word",
        "no word",
        "other folder",
        "of two pictures",
    ],
)
def test_a_file_without_a_picture_of_its_name_is_no_mask(paths: list[str]) -> None:
    assert masks_of(paths) == {}
