"""A process that is asked: it fails, dies, prints and is ended without harm to anyone else."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from monai_lesion.benchmark.workers import Worker
from monai_lesion.errors import InputError

pytestmark = pytest.mark.slow  # each starts a process


class UnreadableError(Exception):
    """An error that no other process can read back, for its argument is missing then."""

    def __init__(self, one, other):
        super().__init__(f"{one}\nof {other}")


def fail(kind):
    raise kind("broken\nin two lines") if kind is not UnreadableError else UnreadableError("no luck", "all")


def die():
    os.kill(os.getpid(), signal.SIGKILL)


def shout():
    os.write(1, b"not for the table")
    os.write(2, b"nor for the screen")


def say_hello(file):
    Path(file).write_text(str(os.getpid()))
    time.sleep(600)


@pytest.fixture
def worker():
    with Worker("the row") as made:
        yield made


def test_one_process_does_what_it_is_asked_and_another_has_its_own(worker):
    first = worker.ask(os.getpid)
    assert first == worker.ask(os.getpid) == worker.process.pid != os.getpid()
    with Worker("another") as other:
        assert other.ask(os.getpid) not in (first, os.getpid())


@pytest.mark.parametrize(
    ("kind", "message"),
    [(ValueError, "the row: broken$"), (InputError, "the row: broken\nin two"), (UnreadableError, "the row: no luck$")],
)
def test_an_error_of_any_kind_is_the_rows_and_the_process_goes_on(worker, kind, message):
    number = worker.ask(os.getpid)
    with pytest.raises(InputError, match=message):
        worker.ask(fail, kind)
    assert worker.ask(os.getpid) == number


def test_a_process_that_dies_is_told_by_its_signal_and_another_takes_its_place(worker, monkeypatch):
    number = worker.ask(os.getpid)
    fetch = os.waitpid

    def fetch_slowly(*arguments):
        """The pool's thread comes first, and knows the exit code only later; whoever comes second finds no process."""
        first = threading.current_thread() is not threading.main_thread()
        time.sleep(0 if first else 0.2)
        fetched = fetch(*arguments)
        time.sleep(0.5 if first else 0)
        return fetched

    monkeypatch.setattr(os, "waitpid", fetch_slowly)
    with pytest.raises(InputError, match=r"the row: must run to its end, got signal SIGKILL.*memory"):
        worker.ask(die)
    assert worker.ask(os.getpid) != number


def test_what_libraries_print_is_not_seen(worker, capfd):
    worker.ask(shout)
    assert capfd.readouterr() == ("", "")


def test_a_process_whose_parent_was_killed_ends_by_itself(tmp_path):
    program = "from monai_lesion.benchmark.workers import Worker; from tests.benchmark.test_workers import say_hello\n"
    program += f"if __name__ == '__main__': Worker('row').ask(say_hello, {str(tmp_path / 'pid')!r})\n"
    (tmp_path / "program.py").write_text(program)
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    parent = subprocess.Popen([sys.executable, str(tmp_path / "program.py")], env=environment)
    until = time.monotonic() + 60
    while not ((tmp_path / "pid").is_file() and (tmp_path / "pid").read_text()) and time.monotonic() < until:
        time.sleep(0.05)
    child = int((tmp_path / "pid").read_text())
    parent.kill()
    parent.wait()
    while alive(child) and time.monotonic() < until:
        time.sleep(0.05)
    assert not alive(child)


def alive(number):
    try:
        os.kill(number, 0)
    except ProcessLookupError:
        return False
    state = Path(f"/proc/{number}/stat")
    return not state.is_file() or state.read_text().rpartition(")")[2].split()[0] != "Z"  # nobody may fetch an orphan
