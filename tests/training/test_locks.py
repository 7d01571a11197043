from __future__ import annotations

import multiprocessing
import time

import pytest

from monai_lesion.errors import InputError
from monai_lesion.training.locks import NAME, claim, release


def hold(folder, claimed):
    claim(folder, wait=0)
    claimed.set()
    time.sleep(600)


@pytest.fixture
def other(tmp_path):
    forking = multiprocessing.get_context("fork")  # a new interpreter would import PyTorch first
    claimed = forking.Event()
    process = forking.Process(target=hold, args=(tmp_path, claimed))
    process.start()
    assert claimed.wait(60)
    yield process
    process.kill()
    process.join()


def test_a_second_process_is_refused_until_the_first_is_dead(other, tmp_path):
    with pytest.raises(InputError, match="must have one training at a time, got a training that runs"):
        claim(tmp_path, wait=0)
    other.kill()
    other.join()
    claim(tmp_path)
    release(tmp_path)
    assert not (tmp_path / NAME).exists()


def test_the_same_process_may_train_again(tmp_path):
    claim(tmp_path / "new")
    claim(tmp_path / "new", wait=0)  # after an error, in a notebook
    release(tmp_path / "new")
    release(tmp_path / "new")
    claim(tmp_path / "new", wait=0)
    release(tmp_path / "new")


def test_a_disk_without_locks_is_told_and_used(tmp_path, monkeypatch, caplog):
    monkeypatch.setattr("filelock.FileLock.acquire", lambda *_, **__: (_ for _ in ()).throw(OSError(95, "no locks")))
    claim(tmp_path)
    assert "cannot be locked" in caplog.text
