from __future__ import annotations

import numpy as np
import pytest

from monai_lesion.archive.jobs import Network
from monai_lesion.archive.listings import Item
from monai_lesion.archive.rows import RowMaker, kind_of
from monai_lesion.archive.run_lengths import decode
from monai_lesion.dicom.identity import MANUFACTURER
from tests.segmentation.pictures import red, red_dicom


@pytest.fixture(scope="module")
def segmenter(model):
    return Network(str(model)).open()


def rows(segmenter, path, **options):
    frame = options.pop("frame", None)
    return list(RowMaker(segmenter, **options)(Item(str(path), frame=frame)))


def test_a_row_says_what_the_library_says(segmenter, pictures):
    (row,) = rows(segmenter, pictures / "0.png")
    result = segmenter(pictures / "0.png")
    _, mask = red()
    assert (decode(row["mask"]["counts"], row["mask"]["size"]) == result.mask).all()
    assert (result.mask == mask).mean() > 0.98
    assert (row["decision"], row["trust"]) == (result.decision, result.trust)
    assert row["long_axis_px"] == round(result.measurements.long_axis.value, 3)
    assert row["long_axis_px_low"] == round(result.intervals["long_axis"].low.value, 3)
    assert row["area_px2_high"] == round(result.intervals["area"].high.value, 3)
    assert (row["long_axis_mm"], row["interval_level"]) == (None, 0.9)
    assert (row["path"], row["frame"], row["frames"]) == (str(pictures / "0.png"), None, 1)
    assert row["weights_id"] == result.algorithm.weights
    assert row["milliseconds"] > 0
    assert row["error"] is None


def test_each_frame_has_a_row_or_every_so_many(segmenter, pictures):
    found = rows(segmenter, pictures / "6.dcm")
    assert [row["frame"] for row in found] == [0, 1, 2]
    assert {row["frames"] for row in found} == {3}
    tops = [np.nonzero(decode(row["mask"]["counts"], row["mask"]["size"]))[0].min() for row in found]
    assert np.diff(tops).tolist() == [2, 2]
    assert [row["frame"] for row in rows(segmenter, pictures / "6.dcm", stride=2)] == [0, 2]
    assert [row["frame"] for row in rows(segmenter, pictures / "6.dcm", frame=1)] == [1]
    assert (found[0]["scanner"], found[0]["study_uid"], found[0]["calibration"]) == (
        "Scanner A",
        "1.2.3",
        "mm from Pixel Spacing",
    )
    assert found[0]["long_axis_mm"] == pytest.approx(
        0.5 * segmenter(pictures / "0.png").measurements.long_axis.value, abs=1e-3
    )


def test_a_patient_is_named_only_on_request(segmenter, pictures):
    (row, *_), (named, *_) = (rows(segmenter, pictures / "6.dcm", identifiers=each) for each in (False, True))
    assert "PLANTED" not in str(row)
    assert "20260102" not in str(row)
    assert (named["patient_id"], named["study_date"]) == ("PLANTED-4711", "20260102")
    assert "Petra" not in str(named)


def test_a_bad_file_is_a_row(segmenter, pictures, tmp_path):
    (row,) = rows(segmenter, pictures / "5_bad.png")
    assert row["error"].startswith(f"{pictures / '5_bad.png'}: must be a readable picture")
    assert row["error_kind"] == "must be a readable picture or DICOM file"
    (absent,) = rows(segmenter, tmp_path / "none.png")
    assert absent["error_kind"] == "must be an existing file"
    (beyond,) = rows(segmenter, pictures / "6.dcm", frame=7)
    assert (beyond["frame"], beyond["frames"]) == (7, 3)
    assert "frame" in beyond["error_kind"]


def test_a_bad_frame_leaves_the_others(segmenter, pictures):
    whole = (pictures / "6.dcm").read_bytes()
    (pictures / "7.dcm").write_bytes(whole[:-3000])
    found = rows(segmenter, pictures / "7.dcm")
    assert [(row["frame"], row.get("error") is None) for row in found] == [(0, True), (1, True), (2, False)]


def test_an_earlier_result_is_no_picture(segmenter, tmp_path):
    red_dicom(tmp_path / "sc.dcm", Manufacturer=MANUFACTURER, Modality="OT")
    (row,) = rows(segmenter, tmp_path / "sc.dcm")
    assert row["error_kind"] == "must be an ultrasound picture"


def test_an_unexpected_error_is_a_row_that_quotes_nothing(segmenter, pictures):
    class Broken:
        def segment(self, _image):
            raise KeyError("Planted^Petra")

    (row,) = RowMaker(Broken())(Item(str(pictures / "0.png")))
    assert "KeyError in test_rows.py" in row["error"]
    assert "Petra" not in row["error"]


def test_names_that_are_no_text_are_escaped(segmenter, tmp_path):
    (row,) = rows(segmenter, f"{tmp_path}/\udcff.png")
    assert row["path"].endswith("\\udcff.png")
    row["error"].encode("utf-8")


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("a: frame must be 0 for a single picture, got 3", "frame must be 0 for a single picture"),
        ("a: b.png: must not be empty, got 0 bytes. Copy it", "must not be empty"),
        ("a whole message", "a whole message"),
    ],
)
def test_the_kind_of_an_error_is_its_rule(text, kind):
    assert kind_of(text) == kind
