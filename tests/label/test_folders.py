"""The app folder: whole or not at all, its weights checked before anything is written."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from monai_lesion.errors import CheckpointError, InputError
from monai_lesion.label.folders import served_bundles, write_label_app
from monai_lesion.networks import LighterUNet
from tests.label.trained import BUNDLE, weights

SETTINGS = {"network_def#group_size": 1}


def test_folder_holds_the_bundle_its_weights_and_the_app(tmp_path: Path) -> None:
    app = write_label_app(tmp_path / "app", BUNDLE, weights=weights(tmp_path, group_size=1), overrides=SETTINGS)
    assert sorted(path.name for path in app.iterdir()) == ["README.md", "main.py", "model"]
    bundle = app / "model" / "lighter_unet"
    assert [path.name for path in (bundle / "models").iterdir()] == ["model.pt"]
    assert not (bundle / "eval").exists()
    assert (bundle / "configs" / "metadata.json").read_bytes() == (BUNDLE / "configs" / "metadata.json").read_bytes()
    for name in ("inference", "train"):
        config = json.loads((bundle / "configs" / f"{name}.json").read_text())
        assert config["network_def"]["group_size"] == 1
        original = json.loads((BUNDLE / "configs" / f"{name}.json").read_text())
        assert {**config, "network_def": original["network_def"]} == original
    assert list(served_bundles(app)) == ["lighter_unet"]
    assert not list(tmp_path.glob(".partial*"))


def test_plain_state_dict_is_stored_as_a_bundle_stores_it(tmp_path: Path) -> None:
    network = LighterUNet(group_size=1)
    torch.save(network.state_dict(), tmp_path / "plain.pt")
    app = write_label_app(tmp_path / "app", BUNDLE, weights=tmp_path / "plain.pt", overrides=SETTINGS)
    stored = torch.load(app / "model" / "lighter_unet" / "models" / "model.pt", weights_only=True)
    assert stored.keys() == {"model"}
    assert all(torch.equal(value, stored["model"][name]) for name, value in network.state_dict().items())


def test_weights_of_another_variant_are_refused_before_anything_is_written(tmp_path: Path) -> None:
    message = r"must hold weights of LighterUNet\(group_size=1\), got weights of LighterUNet\(group_size=8\)"
    file = weights(tmp_path / "w", group_size=8)
    with pytest.raises(CheckpointError, match=message):
        write_label_app(tmp_path / "app", BUNDLE, weights=file, overrides=SETTINGS)
    with pytest.raises(CheckpointError, match="the weights must exist"):
        write_label_app(tmp_path / "app", BUNDLE, weights=tmp_path / "none.pt")
    assert [path.name for path in tmp_path.iterdir()] == ["w"]


def test_nothing_is_left_when_writing_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    file = weights(tmp_path / "w", group_size=1)
    monkeypatch.setattr(torch, "save", full)
    with pytest.raises(OSError, match="No space"):
        write_label_app(tmp_path / "app", BUNDLE, weights=file, overrides=SETTINGS)
    assert [path.name for path in tmp_path.iterdir()] == ["w"]


def test_taken_folders_and_broken_bundles_are_refused(tmp_path: Path) -> None:
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "file").touch()
    with pytest.raises(InputError, match="must be a new or empty folder"):
        write_label_app(tmp_path / "taken", BUNDLE)
    with pytest.raises(InputError, match=r"must be a bundle with configs/inference.json"):
        write_label_app(tmp_path / "app", tmp_path)
    with pytest.raises(InputError, match=r"nonsense: must be a key of inference.json"):
        write_label_app(tmp_path / "app", BUNDLE, overrides={"nonsense": 1})


def test_folder_in_the_bundle_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="must lie outside the bundle"):
        write_label_app(BUNDLE / "app", BUNDLE, weights=weights(tmp_path, group_size=1), overrides=SETTINGS)
    assert not (BUNDLE / "app").exists()


def test_app_with_exchanged_weights_is_not_served(tmp_path: Path) -> None:
    app = write_label_app(tmp_path / "app", BUNDLE, weights=weights(tmp_path, group_size=1), overrides=SETTINGS)
    weights(tmp_path, group_size=8).replace(app / "model" / "lighter_unet" / "models" / "model.pt")
    with pytest.raises(CheckpointError, match=r"got weights of LighterUNet\(group_size=8\)"):
        served_bundles(app)
    with pytest.raises(InputError, match="must hold the bundle to serve, has lighter_unet, got other"):
        served_bundles(app, ["other"])


def test_app_with_weights_that_are_not_finite_is_not_served(tmp_path: Path) -> None:
    app = write_label_app(tmp_path / "app", BUNDLE, weights=weights(tmp_path, group_size=1), overrides=SETTINGS)
    file = app / "model" / "lighter_unet" / "models" / "model.pt"
    content = torch.load(file, weights_only=True)
    content["model"]["head.bias"].fill_(float("nan"))
    torch.save(content, file)
    with pytest.raises(CheckpointError, match=r"model\.pt: must hold finite numbers, got NaN or infinity in 1 of"):
        served_bundles(app)


def test_configs_that_describe_two_networks_are_not_served(tmp_path: Path) -> None:
    app = write_label_app(tmp_path / "app", BUNDLE, weights=weights(tmp_path, group_size=1), overrides=SETTINGS)
    file = app / "model" / "lighter_unet" / "configs" / "train.json"
    config = json.loads(file.read_text())
    config["network_def"]["group_size"] = 2
    file.write_text(json.dumps(config))
    with pytest.raises(InputError, match="must have the same network_def"):
        served_bundles(app)


def test_nothing_but_the_server_itself_needs_monai_label() -> None:
    code = "import sys, monai_lesion.label.folders, monai_lesion.label.labels, monai_lesion.commands.label; "
    code += "sys.exit('monailabel' in sys.modules or 'fastapi' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_a_loop_of_links_is_refused_at_once(tmp_path: Path) -> None:
    shutil.copytree(BUNDLE / "configs", tmp_path / "bundle" / "configs")
    (tmp_path / "bundle" / "again").symlink_to(tmp_path / "bundle")
    file = weights(tmp_path / "w", group_size=1)
    with pytest.raises(InputError, match="again: must be a file or folder of the bundle, got a link"):
        write_label_app(tmp_path / "app", tmp_path / "bundle", weights=file, overrides=SETTINGS)
    assert not (tmp_path / "app").exists()
