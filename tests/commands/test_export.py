"""The command `export`."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest
from typer.testing import CliRunner

from monai_lesion.commands import export
from monai_lesion.commands.app import app
from monai_lesion.models.presets import load_preset
from monai_lesion.segmentation import exports, parity
from monai_lesion.segmentation.lesion_segmenters import LesionSegmenter


def files_of(folder: Path) -> dict[str, bytes]:
    return {str(file.relative_to(folder)): file.read_bytes() for file in folder.rglob("*") if file.is_file()}


def export_page(output: Path, *more: str) -> str:
    done = CliRunner().invoke(app, ["export", "--format", "page", "--output", str(output), *more])
    assert done.exit_code == 0, done.output
    return done.output


def test_a_page_is_the_one_that_the_command_page_writes(tmp_path: Path) -> None:
    said = export_page(tmp_path / "one", "--bundle", "pocket")
    assert said == f"{tmp_path / 'one'}: the page, with pocket\n"
    CliRunner().invoke(app, ["page", "--bundle", "pocket", "--output", str(tmp_path / "other")])
    assert files_of(tmp_path / "one") == files_of(tmp_path / "other")


def test_a_page_takes_a_model_folder_as_it_is(tmp_path: Path) -> None:
    shutil.copytree(load_preset("pocket").path, tmp_path / "mine")
    export_page(tmp_path / "page", "--bundle", str(tmp_path / "mine"))
    shown = json.loads((tmp_path / "page" / "presets" / "pocket" / "model.json").read_text())
    assert shown["weights_id"] == load_preset("pocket").description.weights_id


@pytest.mark.parametrize(("more", "said"), [(["--end-to-end"], "is not for a page"), ([], "new or empty folder")])
def test_a_page_that_cannot_be_written_is_refused_before_the_work(more: list[str], said: str, tmp_path: Path) -> None:
    (tmp_path / "page").mkdir()
    if not more:
        (tmp_path / "page" / "notes.txt").write_text("mine")
    done = CliRunner().invoke(app, ["export", "--format", "page", "--output", str(tmp_path / "page"), *more])
    assert done.exit_code != 0
    assert said in f"{done.output} {done.exception}"


@pytest.mark.slow
def test_a_page_takes_weights_that_were_never_exported(tmp_path: Path) -> None:
    weights = load_preset("pocket").weights
    export_page(tmp_path / "page", "--weights", str(weights), "--cases", "1")
    (folder,) = (tmp_path / "page" / "presets").glob("*/")
    shown = json.loads((folder / "model.json").read_text())
    assert (folder.name, shown["weights_id"]) == ("lighter_unet", load_preset("pocket").description.weights_id)


@pytest.mark.parametrize(
    ("more", "dice"), [([], False), (["--manifest", "m.json"], True)], ids=["simulated", "manifest"]
)
def test_an_export_says_how_alike_the_masks_are_and_dice_only_of_pictures_that_were_given(
    more: list[str], dice: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = {"images": 6, "pictures": "some", "mean_dice_with_library": 0.9999, "min_dice_with_library": 0.999}
    found |= {"max_probability_difference": 2e-5, "mean_dice_exported": 0.3161, "mean_dice_library": 0.3162}
    monkeypatch.setattr(export, "open_segmenter", lambda *_, **__: object.__new__(LesionSegmenter))
    monkeypatch.setattr(exports, "export_model", lambda *_, **__: SimpleNamespace(**found))
    monkeypatch.setattr(parity, "of_manifest", lambda *_, **__: "pictures")
    done = CliRunner().invoke(app, ["export", "--format", "onnx", "--output", str(tmp_path / "out"), *more])
    assert done.exit_code == 0, (done.output, done.exception)
    assert "6 images (some), mean Dice against the library's masks\n0.9999, the worst 0.9990" in done.output
    assert ("mean Dice 0.3161, of the library 0.3162" in done.output) is dice
    assert ("0.3161" in done.output) is dice
