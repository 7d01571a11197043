"""The package's own bundle: found in a checkout and in an installation, copied to edit, never written by a run."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from monai_lesion.errors import InputError
from monai_lesion.models import bundles
from monai_lesion.models.bundles import bundle_files, bundle_folder, init_bundle, run_root

ROOT = Path(__file__).parents[2]


BUNDLE = ROOT / "bundles" / "lighter_unet"


def config(folder: Path, name: str) -> dict:
    return json.loads((folder / "configs" / name).read_text(encoding="utf-8"))


@pytest.fixture
def trained(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A package as it is installed, whose bundle somebody trained in all the same."""
    place = tmp_path / "site" / "monai_lesion" / "bundles" / "lighter_unet"
    for name in (*bundle_files(BUNDLE), "models/model.pt", "eval/summary.json", "configs/.train.json.swp"):
        (place / name).parent.mkdir(parents=True, exist_ok=True)
        (place / name).write_bytes((BUNDLE / name).read_bytes() if (BUNDLE / name).is_file() else b"x")
    monkeypatch.setattr(bundles, "_PACKAGE", tmp_path / "site" / "monai_lesion")
    return place


def test_it_is_found_in_the_checkout_from_any_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert bundle_folder() == BUNDLE.resolve()


def test_it_is_found_in_the_installation_first(trained: Path) -> None:
    other = trained.parents[2] / "bundles" / "lighter_unet"  # whatever lies beside the package in site-packages
    other.mkdir(parents=True)
    assert bundle_folder() == trained


def test_a_run_in_the_projects_folder_stays_in_its_bundle(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    assert run_root() == "bundles/lighter_unet"


def test_a_run_elsewhere_goes_to_runs_and_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.chdir(tmp_path)
    with caplog.at_level("INFO"):
        assert run_root() == "runs"
    assert "bundle_root is runs" in caplog.text


@pytest.mark.parametrize("name", ["train.json", "inference.json"])
def test_the_configs_take_their_root_from_the_working_folder(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from monai.bundle import ConfigParser

    monkeypatch.chdir(tmp_path)
    parser = ConfigParser(config(BUNDLE, name))
    assert parser.get_parsed_content("ckpt_dir") == "runs/models"
    assert parser.get_parsed_content("output_dir") == "runs/eval"


def test_a_copy_has_the_bundles_files_and_differs_in_its_root_alone(trained: Path, tmp_path: Path) -> None:
    copy = init_bundle(tmp_path / "mine")
    found = sorted(file.relative_to(copy).as_posix() for file in copy.rglob("*") if file.is_file())
    assert found == bundle_files(BUNDLE)
    for name in found:
        own, theirs = (copy / name).read_text(encoding="utf-8"), (BUNDLE / name).read_text(encoding="utf-8")
        if name in ("configs/train.json", "configs/inference.json"):
            changed = [line for line in own.splitlines() if line not in theirs.splitlines()]
            assert changed == [f'    "bundle_root": {json.dumps(copy.as_posix())},']
            assert json.loads(own) == {**json.loads(theirs), "bundle_root": copy.as_posix()}
        else:
            assert own == theirs, name


def test_a_copys_runs_stay_inside_it_from_any_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from monai.bundle import ConfigParser

    monkeypatch.chdir(tmp_path)
    copy = init_bundle("mine")
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert ConfigParser(config(copy, "train.json")).get_parsed_content("ckpt_dir") == f"{tmp_path}/mine/models"


def test_a_copy_of_a_copied_config_can_be_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = init_bundle(tmp_path / "first")
    monkeypatch.setattr(bundles, "bundle_folder", lambda: first)
    assert config(init_bundle(tmp_path / "second"), "train.json")["bundle_root"] == (tmp_path / "second").as_posix()


def test_a_copy_goes_into_no_folder_that_holds_something(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").write_text("x")
    with pytest.raises(InputError, match="mine: must be a new or empty folder, got a folder with files in it"):
        init_bundle(tmp_path / "mine")
    assert [file.name for file in (tmp_path / "mine").iterdir()] == ["notes.txt"]


def test_a_package_without_its_bundle_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bundles, "_PACKAGE", tmp_path / "monai_lesion")
    with pytest.raises(
        InputError, match=r"must be the bundle of the package, got no bundle\. Install monai-lesion again"
    ):
        init_bundle(tmp_path / "mine")
    assert not (tmp_path / "mine").exists()


@pytest.mark.parametrize("place", ["docs/secret.md", "configs/more", "LICENSE", "new.txt"])
def test_a_link_is_refused_by_name(place: str, tmp_path: Path) -> None:
    copy = init_bundle(tmp_path / "bundle")
    (copy / place).unlink(missing_ok=True)
    (copy / place).symlink_to(tmp_path if "more" in place else tmp_path / "secret")
    (tmp_path / "secret").write_text("secret")
    with pytest.raises(InputError, match=rf"{place}: must be a file or folder of the bundle, got a link"):
        bundle_files(copy)


def test_links_that_are_not_copied_may_stay(tmp_path: Path) -> None:
    copy = init_bundle(tmp_path / "bundle")
    for name in ("models", "eval", ".git"):  # on a larger disk, say
        (copy / name).symlink_to(tmp_path)
    assert bundle_files(copy) == bundle_files(BUNDLE)
