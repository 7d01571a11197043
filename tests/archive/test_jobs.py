from __future__ import annotations

import json

import pytest

from monai_lesion.archive.jobs import Network, begin, describe, read_record
from monai_lesion.errors import InputError

MODEL = {"weights": "aa", "settings": {"threshold": "0.5"}}


def test_a_folder_remembers_what_it_is_of(tmp_path):
    assert read_record(tmp_path / "new") is None
    first = begin(tmp_path, Network("pocket"), MODEL, {"stride": 1})
    assert begin(tmp_path, Network("pocket"), MODEL, {"stride": 1}).run == first.run
    assert read_record(tmp_path).network == Network("pocket")


@pytest.mark.parametrize(
    ("model", "choices", "message"),
    [
        ({**MODEL, "weights": "bb"}, {"stride": 1}, "weights must be aa, as when the run began, got bb. Name another"),
        ({**MODEL, "settings": {"threshold": "0.4"}}, {"stride": 1}, "settings threshold must be 0.5"),
        (MODEL, {"stride": 2}, "stride must be 1, as when the run began, got 2"),
    ],
)
def test_another_network_or_choice_is_refused(tmp_path, model, choices, message):
    begin(tmp_path, Network("pocket"), MODEL, {"stride": 1})
    before = (tmp_path / "run.json").read_bytes()
    with pytest.raises(InputError, match=f"run.json: {message}"):
        begin(tmp_path, Network("pocket"), model, choices)
    assert (tmp_path / "run.json").read_bytes() == before


def test_a_folder_of_another_version_or_of_something_else_is_refused(tmp_path):
    begin(tmp_path / "old", Network("pocket"), MODEL, {})
    file = tmp_path / "old" / "run.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "schema": 0}))
    with pytest.raises(InputError, match="must be of results with schema 1, got 0"):
        read_record(tmp_path / "old")
    with pytest.raises(InputError, match=r"must be empty or hold run.json, got other files"):
        read_record(tmp_path)
    with pytest.raises(InputError, match="must be a folder, got a file"):
        read_record(file)
    file.write_text('{"schema": 1}')
    with pytest.raises(InputError, match="must say run, network, model and choices"):
        read_record(tmp_path / "old")


def test_a_network_opens_with_one_thread_and_is_described_whole(model):
    segmenter = Network(str(model)).open()
    assert segmenter.runtime.session.get_session_options().intra_op_num_threads == 1
    known = describe(segmenter)
    assert known["weights"] == segmenter.algorithm.weights
    assert known["calibration"]["signal"] == "views"
    assert known["settings"]["input_size"] == "[48, 80]"
    with pytest.raises(InputError, match="--runtime: must be onnx or openvino, got torch"):
        Network(str(model), runtime="torch").open()
    with pytest.raises(InputError, match=r"must be a model folder with model.json"):
        Network("nowhere").open()
