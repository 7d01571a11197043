"""DICOM objects are written whole or not at all."""

from __future__ import annotations

import pydicom
import pytest

from monai_lesion.dicom.files import require_highdicom, write
from monai_lesion.errors import InputError
from tests.dicom import make_source


def test_full_disk_leaves_nothing_half_written_and_names_the_file(tmp_path):
    resource = pytest.importorskip("resource", reason="only POSIX can limit the size of files")
    dataset = pydicom.dcmread(make_source(tmp_path))
    assert write(dataset, tmp_path / "new" / "out.dcm").is_file()
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2000, limits[1]))
    try:
        with pytest.raises(OSError, match="File too large") as caught:
            write(dataset, tmp_path / "new" / "second.dcm")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert caught.value.filename == str(tmp_path / "new" / "second.dcm")
    assert "Traceback" not in str(caught.value)  # which pydicom puts into the text
    assert [file.name for file in (tmp_path / "new").iterdir()] == ["out.dcm"]


def test_missing_extra_is_named(monkeypatch):
    pytest.importorskip("highdicom", reason="the writers need highdicom")
    require_highdicom()
    monkeypatch.setattr(pydicom, "__version__", "2.4.4")
    with pytest.raises(InputError, match=r"needs highdicom and pydicom 3, got pydicom 2.4.4.*monai-lesion\[dicom\]"):
        require_highdicom()
    monkeypatch.setitem(__import__("sys").modules, "highdicom", None)
    with pytest.raises(InputError, match=r"needs highdicom and pydicom 3, got no highdicom"):
        require_highdicom()
