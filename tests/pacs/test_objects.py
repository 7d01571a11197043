"""From an image to its objects: a header that lies about its frames is a failure, never a silent nothing."""

from __future__ import annotations

import pydicom
import pytest

from monai_lesion.errors import InputError
from monai_lesion.pacs.objects import make_objects
from tests.dicom import CINE
from tests.pacs import bright_segmenter, planted


@pytest.mark.parametrize("count", [-3, 0, 1000])
@pytest.mark.parametrize("frame", [None, 1])
def test_impossible_number_of_frames_is_refused(tmp_path, count, frame):
    file = planted(tmp_path, SOPClassUID=CINE, NumberOfFrames=2)
    dataset = pydicom.dcmread(file)
    dataset.NumberOfFrames = count
    dataset.save_as(file)
    header = pydicom.dcmread(file, stop_before_pixels=True)
    with pytest.raises(InputError, match="NumberOfFrames must"):
        list(make_objects(bright_segmenter(), file, header, tmp_path / "out", frame=frame))
