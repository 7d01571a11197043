from __future__ import annotations

import json
import os
import subprocess
import sys
import time

import pytest

from monai_lesion import files
from monai_lesion.errors import InputError, ManifestError
from monai_lesion.files import JSON_DEPTH, parse_json, read_object, replacing, replacing_folder, sweep


@pytest.fixture(autouse=True)
def nothing_swept(monkeypatch):
    monkeypatch.setattr(files, "_swept", set())


@pytest.fixture
def dead():
    """The number of a process that has ended."""
    done = subprocess.Popen([sys.executable, "-c", ""])
    done.wait()
    return done.pid


@pytest.mark.parametrize(
    ("content", "got"),
    [
        ('{"a": 1}'.encode("utf-16"), "utf-8"),
        (b'{"a": Infinity}', "the number Infinity, which is not finite"),
        (b'{"a": NaN}', "the number nan|the number NaN"),
        (b'{"a": 1e999}', "the number 1e999, which is not finite"),
        (b'{"a": ' + b"9" * 5000 + b"}", "a number of 5000 digits"),
        (b"[" * 10_000 + b"]" * 10_000, "more than 64 objects or lists in one another"),
        (b'{"a":' * 70 + b"1" + b"}" * 70, "more than 64 objects or lists in one another"),
        (b"[1]", "list"),
        (b"null", "NoneType"),
        (b"", "Expecting value"),
        (b'{"a": 1', "delimiter"),
        (b"\x00" * 100, "Expecting value"),
    ],
    ids=["UTF-16", "Infinity", "NaN", "1e999", "digits", "depth", "objects", "list", "null", "empty", "cut", "zeros"],
)
def test_json_that_others_would_stumble_over_is_refused_by_name(content, got, tmp_path):
    file = tmp_path / "model.json"
    file.write_bytes(content)
    with pytest.raises(ManifestError, match=rf"model\.json: must be a JSON object, got .*({got})"):
        read_object(file, kind=ManifestError)


def test_json_as_anybody_writes_it_is_read(tmp_path):
    content = {"a": [1, -2.5, 1e300, 2**63, True, None, "ü"], "b": {}}
    for encoding in ("utf-8", "utf-8-sig"):  # as Windows writes it
        (tmp_path / "a.json").write_text(json.dumps(content), encoding=encoding)
        assert read_object(tmp_path / "a.json") == content
    deep = b"[" * JSON_DEPTH + b"1" + b"]" * JSON_DEPTH
    assert json.dumps(parse_json(deep)).encode() == deep


def test_a_pipe_is_not_waited_for_and_a_long_file_is_not_read(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(InputError, match="pipe: must be a JSON object, got a pipe, a socket or a device"):
        read_object(tmp_path / "pipe")
    (tmp_path / "long").write_text('{"a": "' + "x" * 100 + '"}')
    with pytest.raises(InputError, match="got more than 50 bytes"):
        read_object(tmp_path / "long", most=50)


def test_a_secret_is_not_repeated(tmp_path):
    (tmp_path / "a").write_text('{"token": "hidden')
    with pytest.raises(InputError, match="got something else") as caught:
        read_object(tmp_path / "a", got="something else")
    assert "hidden" not in repr(caught.value)
    assert caught.value.__cause__ is None


def test_what_a_killed_process_left_goes_with_the_next_write(dead, tmp_path):
    left = [f".partial-{dead}-{files._HOST}+last.ckpt", f".partial-{dead}-model.pt"]  # the second of an earlier version
    kept = [
        f".partial-{os.getppid()}-{files._HOST}+a.png",
        f".partial-{dead}-elsewhere+a.png",
        ".partial-x.dcm",
        "a.png",
    ]
    for name in (*left, *kept):
        (tmp_path / name).write_bytes(b"half")
    (tmp_path / f".partial-{dead}-folder").mkdir()
    (tmp_path / f".partial-{dead}-folder" / "a").write_bytes(b"half")
    with replacing(tmp_path / "new.txt") as partial:
        partial.write_text("whole")
    assert sorted(file.name for file in tmp_path.iterdir()) == sorted([*kept, "new.txt"])


def test_a_folder_is_swept_once_so_that_many_results_cost_nothing(dead, tmp_path):
    sweep(tmp_path)
    (tmp_path / f".partial-{dead}-a").write_bytes(b"half")
    start = time.perf_counter()
    for _ in range(1000):
        sweep(tmp_path)
    assert time.perf_counter() - start < 1
    assert list(tmp_path.iterdir())


def test_a_kill_within_a_save_leaves_what_the_next_run_removes(tmp_path):
    code = (
        "import os, signal, sys; from pathlib import Path; from monai_lesion.files import replacing, replacing_folder\n"
        "with replacing(Path(sys.argv[1], 'a.txt')) as a, replacing_folder(Path(sys.argv[1], 'b')) as b:\n"
        "    a.write_text('half'); (b / 'c').write_text('half'); os.kill(os.getpid(), signal.SIGKILL)"
    )
    done = subprocess.run([sys.executable, "-c", code, tmp_path])
    assert done.returncode == -9
    assert len(list(tmp_path.glob(".partial-*"))) == 2
    with replacing_folder(tmp_path / "b") as partial:
        (partial / "c").write_text("whole")
    assert [file.name for file in tmp_path.iterdir()] == ["b"]


def test_a_full_disk_is_told_with_the_name_of_the_file(tmp_path):
    with pytest.raises(OSError, match="No space left on device") as caught, replacing(tmp_path / "a.bin"):
        raise OSError(28, "No space left on device")
    assert caught.value.filename == str(tmp_path / "a.bin")
    assert not list(tmp_path.iterdir())
