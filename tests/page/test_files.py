"""The page as files for any web server."""

from __future__ import annotations

import gzip
import json
from dataclasses import replace
from pathlib import Path

import pytest

from monai_lesion.errors import InputError
from monai_lesion.models.presets import load_preset
from monai_lesion.page.files import page_files, write_page
from monai_lesion.page.headers import POLICIES

MEGABYTE = 2**20


def test_the_page_holds_the_model_and_lists_itself() -> None:
    pocket = load_preset("pocket")
    content = page_files([pocket])
    assert gzip.decompress(content["presets/pocket/model.onnx.gz"]) == pocket.model.read_bytes()
    assert json.loads(content["presets/pocket/model.json"])["weights_id"] == pocket.description.weights_id
    kept = json.loads(content["files.json"])["files"]
    assert {path if path != "./" else "index.html" for path in kept} == content.keys() - {"sw.js"}


def test_the_first_load_is_small() -> None:
    content = page_files([load_preset("pocket")])
    kept = [path.replace("./", "index.html") for path in json.loads(content["files.json"])["files"]]
    assert sum(len(content[path]) for path in kept) < 6 * MEGABYTE


def test_a_second_network_waits_until_it_is_chosen() -> None:
    pocket = load_preset("pocket")
    other = replace(pocket, description=replace(pocket.description, name="mine"))
    content = page_files([pocket, other])
    assert "presets/mine/model.onnx.gz" in content
    assert not any(path.startswith("presets/mine/") for path in json.loads(content["files.json"])["files"])
    assert json.loads(content["files.json"])["version"] != json.loads(page_files([pocket])["files.json"])["version"]


def test_it_is_written_with_the_headers_it_needs(tmp_path: Path) -> None:
    folder = write_page(tmp_path / "page", [load_preset("pocket")])
    assert (folder / "index.html").is_file()
    for text in ((folder / ".htaccess").read_text(), (folder / "headers.nginx.conf").read_text()):
        assert all(policy in text for policy in POLICIES.values())
    with pytest.raises(InputError, match="must be a new or empty folder, got files in it"):
        write_page(folder, [load_preset("pocket")])


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"format": "openvino"}, "runs ONNX models"),
        ({"end_to_end": True}, "runs ONNX"),
        ({"name": "a/b"}, "name must be"),
    ],
)
def test_models_that_no_browser_can_run_are_refused(change: dict[str, object], said: str) -> None:
    pocket = load_preset("pocket")
    with pytest.raises(InputError, match=said):
        page_files([replace(pocket, description=replace(pocket.description, **change))])  # type: ignore[arg-type]


def test_models_of_one_name_are_refused() -> None:
    with pytest.raises(InputError, match="must have different names, got pocket, pocket"):
        page_files([load_preset("pocket")] * 2)
