"""Cines: one frame in memory at a time, and a broken one does not spoil the others."""

from __future__ import annotations

import io
import subprocess
import sys
from pathlib import Path

import numpy as np
import pydicom
import pytest
from PIL import Image
from pydicom.encaps import encapsulate

from monai_lesion.errors import ImageError
from monai_lesion.images.reading import frame_count, read_image
from tests.images import colours, greys, write_dicom, write_png
from tests.images.dicom_pictures import JPEG_BASELINE, bundled, cine, compressed


def test_frames_are_counted_from_the_header(tmp_path: Path) -> None:
    assert frame_count(cine(tmp_path / "a", frames=5)) == 5
    assert frame_count(write_dicom(tmp_path / "b", colours().tobytes(), "RGB")) == 1
    assert frame_count(write_dicom(tmp_path / "c", colours().tobytes(), "RGB", NumberOfFrames=None)) == 1
    assert frame_count(write_png(tmp_path / "d.png", 8, 0, [bytes(row) for row in greys()], greys().shape)) == 1
    with pytest.raises(ImageError, match="gone: must be an existing file"):
        frame_count(tmp_path / "gone")


def test_frame_cut_off_is_named_and_those_before_it_are_read(tmp_path: Path) -> None:
    file = cine(tmp_path / "a.dcm")
    file.write_bytes(file.read_bytes()[:-100])
    np.testing.assert_array_equal(read_image(file, frame=1).pixels, np.roll(colours(), 3, axis=1))
    with pytest.raises(ImageError, match=r"a\.dcm: frame 2 must be a readable DICOM image, got 1700 bytes, less than"):
        read_image(file, frame=2)


@pytest.mark.parametrize("table", [True, False], ids=["offset table", "no table"])
@pytest.mark.parametrize("fragments", [1, 3])
def test_frame_of_a_compressed_cine_is_found(fragments: int, table: bool, tmp_path: Path) -> None:
    coded = compressed(4, format="JPEG", quality=95)
    data = encapsulate(coded, fragments_per_frame=fragments, has_bot=table)
    file = write_dicom(tmp_path / "a", data, "YBR_FULL_422", syntax=JPEG_BASELINE, NumberOfFrames=4)
    for frame in (0, 3):
        expected = np.asarray(Image.open(io.BytesIO(coded[frame])).convert("RGB")).astype(int)
        np.testing.assert_allclose(read_image(file, frame=frame).pixels, expected, atol=2)


def test_every_frame_of_pydicoms_cine_differs() -> None:
    file = bundled("examples_ybr_color.dcm")
    assert frame_count(file) == 30
    first, last = (read_image(file, frame=frame).pixels for frame in (0, 29))
    assert (first != last).any()


PEAK = """
import resource, sys
from monai_lesion.images.reading import frame_count, read_image
file = sys.argv[1]
read_image(file, frame=0)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
for frame in range(0, frame_count(file), 16):
    read_image(file, frame=frame)
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024)
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32" or pydicom.__version__.startswith("2"), reason="no count of memory")
def test_a_cine_of_100_megabytes_costs_the_memory_of_a_frame(tmp_path: Path) -> None:
    size = {"Rows": 480, "Columns": 640, "NumberOfFrames": 114}
    file = write_dicom(tmp_path / "a", b"\x07" * (480 * 640 * 3 * 114), "RGB", **size)
    assert file.stat().st_size > 100e6
    done = subprocess.run([sys.executable, "-c", PEAK, str(file)], capture_output=True, text=True, timeout=300)
    assert int(done.stdout) < 10, done.stderr  # megabytes; a frame has 0.9
