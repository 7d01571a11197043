"""A file that OpenVINO cannot run."""

from __future__ import annotations

import pytest

from monai_lesion.errors import InputError


def test_a_file_that_is_no_openvino_model_is_refused(tmp_path):
    pytest.importorskip("openvino")
    from monai_lesion.runtimes.openvino_runtimes import OpenVinoRuntime

    (tmp_path / "a.xml").write_bytes(b"<nothing/>")
    with pytest.raises(InputError, match=r"a.xml: must be a model that OpenVINO can run, got"):
        OpenVinoRuntime(tmp_path / "a.xml")
