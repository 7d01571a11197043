"""Which runtimes and precisions are meant."""

from __future__ import annotations

from monai_lesion.benchmark.settings import find_settings


def test_a_runtime_alone_means_all_its_precisions() -> None:
    assert [each.name for each in find_settings(["openvino"])] == ["openvino-fp32", "openvino-bf16", "openvino-int8"]
