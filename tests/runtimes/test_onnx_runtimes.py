"""A file that ONNX Runtime cannot run."""

from __future__ import annotations

import pytest

from monai_lesion.errors import InputError


def test_a_file_that_is_no_model_is_refused(tmp_path):
    pytest.importorskip("onnxruntime")
    from monai_lesion.runtimes.onnx_runtimes import OnnxRuntime

    (tmp_path / "a.onnx").write_bytes(b"nothing")
    with pytest.raises(InputError, match=r"a.onnx: must be a model that ONNX Runtime can run, got"):
        OnnxRuntime(tmp_path / "a.onnx")


@pytest.mark.parametrize("place", ["/etc/hostname", "../numbers.bin", "numbers.bin"])
@pytest.mark.parametrize("padded", [False, True], ids=["plain", "padded"])
def test_a_model_whose_numbers_are_in_another_file_is_refused(tmp_path, place, padded):
    pytest.importorskip("onnxruntime")
    onnx = pytest.importorskip("onnx")
    from monai_lesion.runtimes.onnx_runtimes import OnnxRuntime

    helper, kind = onnx.helper, onnx.TensorProto.FLOAT
    ends = [helper.make_tensor_value_info(name, kind, [1, 3, 4, 4]) for name in "xy"]
    numbers = onnx.TensorProto(name="w", data_type=kind, dims=[1], data_location=onnx.TensorProto.EXTERNAL)
    numbers.external_data.add(key="location", value=place)
    graph = helper.make_graph([helper.make_node("Mul", ["x", "w"], ["y"])], "g", ends[:1], ends[1:], [numbers])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8).SerializeToString()
    if padded:  # the same length in one more byte, which makes the messages around it longer too
        entry = numbers.external_data[0].SerializeToString()
        longer = entry.replace(b"\x08location", b"\x88\x00location")
        assert longer != entry
        model = longer
    (tmp_path / "a.onnx").write_bytes(model)
    (tmp_path / "numbers.bin").write_bytes(bytes(4))
    with pytest.raises(InputError, match=r"a\.onnx: must be a model that ONNX Runtime can run, got it names another"):
        OnnxRuntime(tmp_path / "a.onnx")
