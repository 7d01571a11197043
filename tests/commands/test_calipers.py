"""The command `study calipers` writes its tables."""

from __future__ import annotations

import json

from typer.testing import CliRunner

from monai_lesion.commands.app import app
from monai_lesion.errors import InputError
from tests.calipers.pictures import leaning, write_pictures


def test_the_command_writes_the_tables(tmp_path, monkeypatch):
    from types import SimpleNamespace

    entries = write_pictures(tmp_path)
    relative = [{**e, "image": e["image"].split("/")[-1], "label": e["label"].split("/")[-1]} for e in entries[:2]]
    manifest = tmp_path / "manifest.json"
    content = {"name": "few", "labels": {"1": "lesion"}, "training": [], "validation": [], "test": relative}
    manifest.write_text(json.dumps(content))
    segmenter = type("Fake", (), {"__call__": lambda self, picture: SimpleNamespace(mask=leaning(picture))})()
    settings = {"input_size": "[64, 64]", "runtime": "openvino bf16"}
    segmenter.algorithm = SimpleNamespace(name="box", weights="0" * 64, settings=settings)
    monkeypatch.setattr("monai_lesion.commands.calipers.open_segmenter", lambda *args, **kwargs: segmenter)
    arguments = ["study", "calipers", "--manifest", str(manifest), "--output", str(tmp_path / "out")]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 0, result.output
    assert "| original |" in result.output
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "calipers.csv",
        "calipers.json",
        "calipers.md",
    ]
    facts = json.loads((tmp_path / "out" / "calipers.json").read_text())
    assert (facts["network"], facts["input"], facts["runtime"]) == ("box", "[64, 64]", "openvino bf16")
    result = CliRunner().invoke(app, [*arguments, "--split", "fold9"])
    assert isinstance(result.exception, InputError)
    assert "--split: must be one of training, validation, test, calibration, got fold9" in str(result.exception)
