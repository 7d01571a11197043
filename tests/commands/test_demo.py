from __future__ import annotations

import json
from pathlib import Path

import pytest

from monai_lesion.commands.demo import run_demo
from monai_lesion.errors import InputError
from monai_lesion.images.reading import read_mask

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def demo(shell):
    """The folder, the account and the closing words of a small demo where the package is installed."""
    output = shell("monai_lesion", "demo", "--output", "demo", "--cases", 5, "--epochs", 20)
    said, _, closing = output.partition("\nDone in ")
    return shell.folder / "demo", said.strip(), closing


def test_demo_trains_evaluates_and_segments_both_forms_alike(demo):
    folder, said, _ = demo
    manifest = json.loads((folder / "data" / "phantoms.json").read_text())
    stems = {Path(entry["image"]).stem for entry in manifest["test"]}
    found = {file.stem for file in (folder / "pocket").glob("*.png")}
    assert found == stems | {f"{stem}_overlay" for stem in stems}
    assert "2 of 2 masks are identical from PNG and from DICOM" in said
    assert "Dice" in said.splitlines()[-2]
    assert (folder / "models" / "model.pt").is_file()
    assert json.loads((folder / "evaluation" / "summary.json").read_text())["n"] == 2
    for kind, suffix in (("png", "px"), ("dicom", "mm")):
        files = sorted((folder / kind).glob("*.json"))
        assert len(files) == 2
        for file in files:
            content = json.loads(file.read_text())
            assert read_mask(file.with_suffix(".png")).shape == (content["rows"], content["columns"])
            if content["found"]:
                assert content["measurements"]["long_axis"]["unit"] == suffix


def test_demo_says_where_things_are(demo):
    folder, _, closing = demo
    assert (folder / "evaluation" / "overlays" / "sheet.png").is_file()
    for name in (
        "overlays/sheet.png",
        "per_image.csv",
        "predict scan.png --bundle",
        "manifest create",
        "not a medical device",
    ):
        assert name in closing


def test_demo_refuses_a_folder_of_other_cases(demo):
    folder, _, _ = demo
    with pytest.raises(InputError, match=r"must hold 7 cases of seed 0.*Use another --output"):
        run_demo(folder, cases=7, epochs=1, say=lambda line: None)
