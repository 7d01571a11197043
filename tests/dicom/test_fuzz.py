"""Headers damaged at random: results are written whole, or our own error names the file and nothing is left behind."""

from __future__ import annotations

import random

import numpy as np
import pytest

from monai_lesion.errors import InputError
from monai_lesion.segmentation.formats import FORMATS
from tests.dicom import make_source
from tests.images.test_dicom_fuzz import damage
from tests.pacs import bright_segmenter

pytest.importorskip("highdicom", reason="the writers need highdicom")
pytestmark = pytest.mark.slow

TURNS = 80


def test_damaged_header_gives_whole_results_or_our_own_error(tmp_path):
    source = make_source(tmp_path, SpecificCharacterSet="ISO_IR 100", PatientName="Müller^Jürgen")
    content, chance, segmenter = source.read_bytes(), random.Random(5), bright_segmenter()
    start = content.index(b"\xe0\x7f\x10\x00")
    file, written, messages = tmp_path / "damaged.dcm", 0, []
    for turn in range(TURNS):
        file.write_bytes(damage(content[:start], chance) + content[start:])
        out = tmp_path / "out" / str(turn)
        try:
            result = segmenter(file)
            paths = result.save(out, FORMATS)
        except InputError as error:
            messages.append(str(error))
            assert not [path for path in out.rglob("*") if ".partial" in path.name]
            continue
        written += 1
        assert result.mask.dtype == np.uint8
        assert sorted(out.iterdir()) == sorted(paths)
        assert len(paths) == len(FORMATS) - (not result.mask.any())
    assert [message for message in messages if str(file) not in message] == []
    assert min(written, len(messages)) > 5, (written, messages)
