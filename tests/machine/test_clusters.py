"""An address is asked before Ray, which tries for minutes, is given it."""

import sys
import time

import pytest

from monai_lesion.errors import InputError
from monai_lesion.machine.clusters import check_address, start_ray


@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("127.0.0.1:1", r"--address 127\.0\.0\.1:1: must answer, got .*refused"),
        ("ray://127.0.0.1:1", "must answer"),
        ("head", "must be host:port, ray://host:port or auto, got no port"),
        ("head:many", "must be host:port"),
    ],
)
def test_an_address_that_does_not_answer_is_told_at_once(address, message):
    start = time.monotonic()
    with pytest.raises(InputError, match=message):
        check_address(address)
    assert time.monotonic() - start < 6


def test_without_ray_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(InputError, match=r"--workers: needs Ray. pip install 'monai-lesion\[archive\]'"):
        start_ray("--workers", "archive", None, cpus=1)


def test_ray_is_not_asked_at_an_address_that_does_not_answer():
    pytest.importorskip("ray", reason="Ray is in the extras study and archive")
    start = time.monotonic()
    with pytest.raises(InputError, match=r"--address 127\.0\.0\.1:1: must answer"):
        start_ray("--workers", "archive", "127.0.0.1:1", cpus=1)
    assert time.monotonic() - start < 60
