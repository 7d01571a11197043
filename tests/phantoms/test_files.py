"""Files of simulated cases: the same for the same seed, and nothing left half done."""

from __future__ import annotations

import functools
import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from monai_lesion.datasets.manifests import load_manifest
from monai_lesion.datasets.splits import DEALT
from monai_lesion.errors import InputError
from monai_lesion.phantoms import files as phantoms
from monai_lesion.phantoms.cases import GENERATOR, simulate_case
from monai_lesion.phantoms.files import default_phantoms, write_phantoms

SEED = 7
ALL_FORMATS = ("png", "dicom")


@pytest.fixture(scope="module", autouse=True)
def simulated_once():
    """A case is the same each time (test_cases.py); here it is what is written of it that matters."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(phantoms, "simulate_case", functools.cache(simulate_case))
        yield


@pytest.fixture(scope="module")
def cases():
    """The same that are written."""
    return [phantoms.simulate_case(SEED, case) for case in range(5)]


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """Five cases, written by this process."""
    folder = tmp_path_factory.mktemp("phantoms") / "set"
    write_phantoms(folder, cases=5, seed=SEED, formats=ALL_FORMATS, workers=0, progress=False)
    return folder


def digests(folder):
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.rglob("*")
        if path.is_file()
    }


@pytest.mark.slow
def test_files_do_not_depend_on_the_number_of_workers(written, tmp_path):
    for workers in (1, 2):
        folder = tmp_path / str(workers)
        write_phantoms(folder, cases=5, seed=SEED, formats=ALL_FORMATS, workers=workers, progress=False)
        assert digests(folder) == digests(written)


@pytest.mark.slow
def test_a_case_does_not_depend_on_how_many_are_made(written, tmp_path):
    write_phantoms(tmp_path / "few", cases=3, seed=SEED, formats=ALL_FORMATS, workers=0, progress=False)
    few, many = digests(tmp_path / "few"), digests(written)
    shared = {name for name in few if "/" in name}
    assert len(shared) == 3 * 2 * 3  # two views, each PNG, DICOM and mask
    assert {name: few[name] for name in shared} == {name: many[name] for name in shared}


def test_pictures_differ_between_cases_seeds_and_views(cases):
    pictures = {
        view.pixels[:380].tobytes() for case in (*cases, phantoms.simulate_case(SEED + 1, 0)) for view in case.views
    }
    assert len(pictures) == 12


def test_files_hold_what_the_simulation_gave(written, cases):
    for view in cases[1].views:
        name = f"0002_{view.view}.png"
        np.testing.assert_array_equal(np.asarray(Image.open(written / "images" / name)), view.pixels)
        np.testing.assert_array_equal(np.asarray(Image.open(written / "masks" / name)), view.mask * np.uint8(255))


@pytest.mark.parametrize(("name", "suffix"), [("phantoms.json", ".png"), ("phantoms_dicom.json", ".dcm")])
def test_manifest_passes_every_check(written, cases, name, suffix):
    manifest = load_manifest(written / name, splits=DEALT)
    assert [len(manifest.entries(split)) for split in DEALT] == [6, 2, 2]
    per_split = [{entry["case_id"] for entry in manifest.entries(split)} for split in DEALT]
    assert set().union(*per_split) == {f"000{number}" for number in range(1, 6)}
    for split in DEALT:
        for entry in manifest.entries(split):
            assert entry["image"].endswith(suffix)
            view = {v.view: v for v in cases[int(entry["case_id"]) - 1].views}[entry["view"]]
            assert tuple(entry["spacing"]) == view.spacing
            assert entry["calipers"] == view.calipers
            assert entry["long_axis_mm"] == pytest.approx(view.long_axis_mm, abs=1e-3)


@pytest.mark.slow
def test_three_cases_give_each_split_one(tmp_path):
    manifest = load_manifest(write_phantoms(tmp_path / "x", cases=3, workers=0, progress=False), splits=DEALT)
    assert [len(manifest.entries(split)) for split in DEALT] == [2, 2, 2]


def test_only_dicom_leaves_no_png_images(tmp_path):
    manifest = write_phantoms(tmp_path / "x", cases=3, formats="dicom", workers=0, progress=False)
    assert manifest.name == "phantoms_dicom.json"
    assert {path.suffix for path in (tmp_path / "x" / "images").iterdir()} == {".dcm"}
    assert not (tmp_path / "x" / "phantoms.json").exists()


# What bad input gets


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"cases": 2}, "cases: must be at least 3.*got 2"),
        ({"cases": 10000}, "cases: must be at most 9999.*got 10000"),
        ({"seed": -1}, "seed: must not be negative, got -1"),
        ({"formats": ("png", "tiff")}, "formats: must be one or more of png, dicom, got tiff"),
        ({"formats": "jpeg"}, "formats: must be one or more of png, dicom, got jpeg"),
        ({"formats": ()}, "formats: must be one or more of png, dicom, got none"),
    ],
    ids=["few", "many", "seed", "format", "format-alone", "no-format"],
)
def test_rejects_arguments_before_writing(tmp_path, options, message):
    with pytest.raises(InputError, match=message):
        write_phantoms(tmp_path / "x", **{"cases": 3, **options})
    assert list(tmp_path.iterdir()) == []


def test_rejects_a_folder_in_use_and_leaves_it_alone(tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(InputError, match=r"must be new or empty.*Choose another output"):
        write_phantoms(tmp_path, cases=3)
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


def test_rejects_a_file_as_folder(tmp_path):
    (tmp_path / "x").write_text("mine")
    with pytest.raises(InputError, match="must be a folder, got a file"):
        write_phantoms(tmp_path / "x", cases=3)


def test_takes_an_empty_folder(tmp_path):
    (tmp_path / "x").mkdir()
    assert write_phantoms(tmp_path / "x", cases=3, workers=0, progress=False).is_file()


_write_case = phantoms._write_case


def fail_at_the_second_case(folder, seed, kinds, case):
    if case == 1:
        raise OSError("No space left on device")
    return _write_case(folder, seed, kinds, case)


@pytest.mark.parametrize("workers", [0, pytest.param(2, marks=pytest.mark.slow)])
def test_interrupted_writing_leaves_nothing(tmp_path, monkeypatch, workers):
    monkeypatch.setattr(phantoms, "_write_case", fail_at_the_second_case)
    with pytest.raises(OSError, match="No space left"):
        write_phantoms(tmp_path / "x", cases=4, workers=workers, progress=False)
    assert list(tmp_path.iterdir()) == []


# The default cases


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("MONAI_LESION_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(phantoms, "DEFAULT_CASES", 3)
    return tmp_path / "cache"


def test_default_cases_are_made_once_in_the_cache_with_progress(cache, monkeypatch, capsys):
    manifest = default_phantoms()
    assert manifest == cache / f"phantoms-v{GENERATOR}-3-0" / "phantoms.json"
    assert "simulating" in capsys.readouterr().err
    monkeypatch.setattr(phantoms, "write_phantoms", None)  # a second making would fail
    assert default_phantoms() == manifest


def test_default_cases_lie_in_the_home_folder_without_the_variable(tmp_path, monkeypatch):
    monkeypatch.delenv("MONAI_LESION_CACHE", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    monkeypatch.setattr(phantoms, "write_phantoms", lambda folder, **_: folder)
    assert default_phantoms().is_relative_to(tmp_path / ".cache" / "monai_lesion")


@pytest.mark.slow
def test_a_faster_process_wins_without_an_error(cache, monkeypatch):
    compose = phantoms._manifest

    def rival_finishes_first(*arguments):
        monkeypatch.setattr(phantoms, "_manifest", compose)
        write_phantoms(cache / f"phantoms-v{GENERATOR}-3-0", cases=3, progress=False, workers=0)
        return compose(*arguments)

    monkeypatch.setattr(phantoms, "_manifest", rival_finishes_first)
    manifest = default_phantoms()
    assert len(json.loads(manifest.read_text())["training"]) == 2
    assert [path.name for path in cache.iterdir()] == [manifest.parent.name]  # no partial folder stays


@pytest.mark.slow
def test_two_processes_make_them_at_once(tmp_path):
    program = "import monai_lesion.phantoms.files as p; p.DEFAULT_CASES = 3; print(p.default_phantoms())"
    environment = {**os.environ, "MONAI_LESION_CACHE": str(tmp_path)}
    both = [
        subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True, env=environment)
        for _ in range(2)
    ]
    answers = {process.communicate(timeout=120)[0] for process in both}
    assert [process.returncode for process in both] == [0, 0]
    assert len(answers) == 1
    load_manifest(Path(answers.pop().strip()), splits=DEALT)
    assert len(list(tmp_path.iterdir())) == 1


def test_a_cache_that_cannot_be_written_is_named_with_the_way_out(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("MONAI_LESION_CACHE", str(tmp_path / "file" / "cache"))
    with pytest.raises(InputError, match=r"file/cache: .*Set the environment variable MONAI_LESION_CACHE"):
        default_phantoms()


def test_a_read_only_home_is_named_with_the_way_out(tmp_path, monkeypatch):
    def refuse(*_arguments, **_options):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setenv("MONAI_LESION_CACHE", str(tmp_path))
    monkeypatch.setattr(phantoms.tempfile, "mkdtemp", refuse)  # file modes do not bind root, who runs containers
    with pytest.raises(InputError, match=r"Permission denied.*MONAI_LESION_CACHE"):
        default_phantoms()
