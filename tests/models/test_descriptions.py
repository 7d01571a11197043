"""``model.json`` is validated whole."""

from __future__ import annotations

import pytest

from monai_lesion.errors import InputError
from monai_lesion.models.descriptions import ModelDescription
from monai_lesion.models.presets import load_preset


def wrong_values():
    hashes = {"model.onnx": "0" * 64}
    return {
        "threshold": [float("nan"), "0.5", 0, 1, -1, None, True],
        "input_size": [[0, 0], [128], "128", [128.0, 128.0], [1 << 20, 64]],
        "format": ["tflite", None, [], {}],
        "precision": ["bf16", 8],
        "stored": ["int8", "fp8"],
        "keep": ["none", 1],
        "order": ["any"],
        "channel_order": ["cmyk"],
        "end_to_end": ["yes", 1],
        "weights_id": ["abc", "Z" * 64, 5],
        "calibration": ["x", []],
        "network_def": ["monai_lesion.networks.UNet"],
        "name": ["", "a" * 65, "a\nb", "a\x1b[2J"],
        "inputs": [[], {"image": 3}],
        "made_with": [{"torch": 2}],
        "files": [{}, {"../model.onnx": "0" * 64}, {**hashes, "/etc/passwd": "0" * 64}, {"model.onnx": "short"}],
        "schema": [0, 3, "2", None],
    }


@pytest.mark.parametrize(("name", "value"), [(n, v) for n, values in wrong_values().items() for v in values], ids=repr)
def test_a_description_is_validated_whole(name, value):
    content = load_preset().description.to_dict()
    with pytest.raises(InputError, match=rf"model.json.*{'schema' if name == 'schema' else name}"):
        ModelDescription.of({**content, name: value})


@pytest.mark.parametrize("name", sorted(set(load_preset().description.to_dict()) - {"schema"}))
def test_a_description_tells_everything(name):
    content = load_preset().description.to_dict()
    assert ModelDescription.of(content) == load_preset().description
    del content[name]
    with pytest.raises(InputError, match=rf"model.json.*{name}"):
        ModelDescription.of(content)
