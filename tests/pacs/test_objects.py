"""From an image to its objects: a header that lies about its frames is a failure, never a silent nothing."""

from __future__ import annotations

import pydicom
import pytest

from monai_lesion.dicom.sources import header_of
from monai_lesion.errors import InputError
from monai_lesion.images.reading import ImageFile
from monai_lesion.pacs.objects import make_objects, why_not
from monai_lesion.segmentation.trust import Trust
from tests.calibrations import calibration_of
from tests.dicom import CINE
from tests.openings import openings
from tests.pacs import NAME, bright_segmenter, planted


@pytest.mark.parametrize("count", [-3, 1000])
@pytest.mark.parametrize("frame", [None, 1])
def test_impossible_number_of_frames_is_refused(tmp_path, count, frame):
    file = planted(tmp_path, SOPClassUID=CINE, NumberOfFrames=2)
    dataset = pydicom.dcmread(file)
    dataset.NumberOfFrames = count
    dataset.save_as(file)
    with pytest.raises(InputError, match="NumberOfFrames must"):
        list(make_objects(bright_segmenter(), file, tmp_path / "out", frame=frame))


@pytest.mark.parametrize("frames", [1, 3])
def test_an_image_is_opened_once_from_its_header_to_its_objects(tmp_path, frames):
    changes = {"SOPClassUID": CINE, "NumberOfFrames": frames} if frames > 1 else {}
    file, segmenter = planted(tmp_path, **changes), bright_segmenter()
    with openings(file) as found, ImageFile(file) as source:
        assert why_not(header_of(source)) is None
        assert [len(files) for files in make_objects(segmenter, source, tmp_path / "out")] == [3] * frames
        assert found.count == 1


def test_the_log_says_the_decision_of_each_image_and_no_name(tmp_path, caplog):
    caplog.set_level("INFO", "monai_lesion")
    segmenter = bright_segmenter()
    segmenter.trust = Trust(calibration_of(segmenter.algorithm.weights, signal="views", familiarity=None))
    file = planted(tmp_path, SOPClassUID=CINE, NumberOfFrames=2)
    list(make_objects(segmenter, file, tmp_path / "out"))
    lines = [record.getMessage() for record in caplog.records if record.name == "monai_lesion.pacs.objects"]
    uid = pydicom.dcmread(file).SOPInstanceUID
    assert lines == [f"instance {uid}, frame {number}: Lesion, trust 1.00" for number in (0, 1)]
    assert NAME not in caplog.text
