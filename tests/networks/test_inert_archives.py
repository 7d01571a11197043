"""Hostile, damaged and exaggerating files end in a CheckpointError, and nothing of them runs."""

from __future__ import annotations

import functools
import os
import random
import struct
import subprocess
import zipfile

import pytest
import torch
from torch import nn

from monai_lesion.errors import CheckpointError
from monai_lesion.networks import inert_archives
from monai_lesion.networks.inert_archives import read_archive
from monai_lesion.networks.inert_pickles import Record, StoredTensor
from monai_lesion.networks.published import load_published
from tests.networks.torch_files import save_legacy, tensor_pickle, write_zip

FORMATS = {"zip": torch.save, "legacy": save_legacy}


class Call:
    """Pickles as a call of anything."""

    def __init__(self, function, *arguments, state=None):
        self.reduced = (function, arguments) if state is None else (function, arguments, state)

    def __reduce__(self):
        return self.reduced


class Holder:
    """An object that is no module; unpickling it would call ``__setstate__``."""

    def __init__(self, note="x"):
        self.note = note

    def __setstate__(self, state):
        raise RuntimeError("this ran")


class Attention(nn.Module):
    """A module of somebody else's that computes by itself."""

    def forward(self, x):
        return x * 2


def small_network():
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU())


@pytest.mark.parametrize("how", FORMATS)
def test_describes_what_was_saved(tmp_path, how):
    network = small_network()
    FORMATS[how](network, tmp_path / "f.pth")
    root, tensor = read_archive(tmp_path / "f.pth")
    assert isinstance(root, Record)
    assert str(root.kind) == "torch.nn.modules.container.Sequential"
    conv = root.state["_modules"]["0"]
    assert conv.state["kernel_size"] == (3, 3)
    stored = conv.state["_parameters"]["weight"]
    assert isinstance(stored, StoredTensor)
    torch.testing.assert_close(tensor(stored), network[0].weight.detach(), atol=0, rtol=0)


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_reads_every_binary_pickle_protocol(tmp_path, protocol):
    state = {"w": torch.arange(6.0).view(2, 3)[:, 1:], "nested": [(), (1, 2.5, None, True, -(2**70))], "s": "é"}
    torch.save(state, tmp_path / "f.pth", pickle_protocol=protocol)
    root, tensor = read_archive(tmp_path / "f.pth")
    assert tensor(root["w"]).tolist() == [[1, 2], [4, 5]]
    assert root["nested"] == state["nested"]
    assert root["s"] == "é"


def test_reads_views_of_one_storage_in_the_legacy_format(tmp_path):
    flat = torch.arange(10.0)
    save_legacy({"a": flat[2:5], "b": flat.view(5, 2)[1:, 1]}, tmp_path / "f.pth")
    root, tensor = read_archive(tmp_path / "f.pth")
    assert tensor(root["a"]).tolist() == [2, 3, 4]
    assert tensor(root["b"]).tolist() == [3, 5, 7, 9]


HOSTILE = {
    "os.system": lambda command: (Call(os.system, command), f"{os.system.__module__}.system"),
    "subprocess": lambda command: (Call(subprocess.Popen, [command]), "subprocess.Popen"),
    "eval": lambda command: (Call(eval, f"__import__('os').system({command!r})"), "builtins.eval"),
    "exec": lambda command: (Call(exec, f"import os; os.system({command!r})"), "builtins.exec"),
    "getattr": lambda command: (Call(getattr, "", "join"), "builtins.getattr"),
    "partial": lambda command: (functools.partial(os.system, command), "functools.partial"),
    "torch.load": lambda command: (Call(torch.load, "/etc/passwd"), "torch.serialization.load"),
    "torch.hub": lambda command: (Call(torch.hub.load, "a/b", "c"), "torch.hub.load"),
    "import": lambda command: (Call(__import__, "antigravity"), "builtins.__import__"),
    "layer called": lambda command: (Call(nn.Conv2d, 3, 3, 1), "torch.nn.modules.conv.Conv2d"),
    "state for a function": lambda command: (Call(torch._utils._rebuild_parameter, 1, state={"a": 1}), "f.pth: must"),
    "own class called": lambda command: (Call(Holder, "x"), "test_inert_archives.Holder"),
    "own function": lambda command: (small_network, "test_inert_archives.small_network"),
    "own object": lambda command: (Holder(), "test_inert_archives.Holder"),
    "own activation": lambda command: (Attention(), "test_inert_archives.Attention"),
}


PLACES = ["alone", "in a network", "beside weights", "as a child"]


@pytest.mark.parametrize(
    ("kind", "how", "place"),
    [(kind, "zip", "in a network") for kind in HOSTILE]
    + [("os.system", how, place) for how in FORMATS for place in PLACES]
    + [("own object", how, "beside weights") for how in FORMATS],
)
def test_refuses_hostile_content_by_name_and_runs_nothing(tmp_path, kind, how, place):
    sentinel = tmp_path / "ran"
    hostile, name = HOSTILE[kind](f"touch {sentinel}")
    network = small_network()
    if place == "in a network":
        network[1].note = hostile
    elif place == "as a child":
        network._modules["3"] = hostile
    elif place == "beside weights":
        network = {"state_dict": network.state_dict(), "x": hostile}
    FORMATS[how](hostile if place == "alone" else network, tmp_path / "f.pth")
    with pytest.raises(CheckpointError, match=name) as caught:
        load_published(tmp_path / "f.pth")
    assert "f.pth" in str(caught.value)
    assert not sentinel.exists()


def test_the_hostile_file_would_have_run(tmp_path):
    torch.save(Call(os.system, f"touch {tmp_path / 'ran'}"), tmp_path / "f.pth")
    torch.load(tmp_path / "f.pth", weights_only=False)
    assert (tmp_path / "ran").exists()


def read_tensor(path):
    root, tensor = read_archive(path)
    return tensor(root["w"])


FOUR = struct.pack("<4f", 1, 2, 3, 4)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        pytest.param({"numel": 5, "size": (4,), "stride": (1,)}, "20 bytes that it declares", id="declares more"),
        pytest.param({"numel": 2**62, "size": (4,), "stride": (1,)}, "got 16 bytes", id="declares far more"),
        pytest.param({"numel": 3, "size": (3,), "stride": (1,)}, "got 16 bytes", id="declares less"),
        pytest.param({"numel": 4, "size": (5,), "stride": (1,)}, "damaged", id="beyond the end"),
        pytest.param({"numel": 4, "size": (4,), "stride": (1,), "offset": 1}, "damaged", id="offset beyond the end"),
        pytest.param({"numel": 4, "size": (2, 2), "stride": (3, 1)}, "damaged", id="stride beyond the end"),
        pytest.param({"numel": 4, "size": (10**12,), "stride": (0,)}, "damaged", id="repeated numbers"),
        pytest.param({"numel": 4, "size": (3, 3), "stride": (0, 0)}, "damaged", id="repeated twice"),
        pytest.param({"numel": 4, "size": (4,), "stride": (-1,), "offset": 3}, "damaged", id="negative stride"),
        pytest.param({"numel": 4, "size": (4,), "stride": (1,), "offset": -1}, "damaged", id="negative offset"),
        pytest.param({"numel": 4, "size": (1,), "stride": (2**100,)}, "damaged", id="absurd stride"),
        pytest.param({"numel": 4, "size": (4,), "stride": ()}, "damaged", id="no stride"),
        pytest.param({"numel": 4, "size": (0,), "stride": (1,)}, "damaged", id="empty tensor"),
        pytest.param({"numel": -4, "size": (1,), "stride": (1,)}, "damaged", id="negative storage"),
        pytest.param(
            {"numel": 4, "size": (4,), "stride": (1,), "kind": b"ctorch\nTensor\n"}, "damaged", id="no storage"
        ),
    ],
)
def test_refuses_tensors_that_do_not_lie_in_the_file(tmp_path, fields, message):
    write_zip(tmp_path / "f.pth", tensor_pickle(**fields), {"0": FOUR})
    with pytest.raises(CheckpointError, match=message):
        read_tensor(tmp_path / "f.pth")


def test_the_tensor_pickle_of_these_tests_is_sound(tmp_path):
    write_zip(tmp_path / "f.pth", tensor_pickle(numel=4, size=(2, 2), stride=(1, 2)), {"0": FOUR})
    assert read_tensor(tmp_path / "f.pth").tolist() == [[1, 3], [2, 4]]


def test_names_a_storage_that_is_absent(tmp_path):
    write_zip(tmp_path / "f.pth", tensor_pickle(numel=4, size=(4,), stride=(1,)))
    with pytest.raises(CheckpointError, match="storage 0 must have the 16 bytes"):
        read_tensor(tmp_path / "f.pth")


def test_refuses_compressed_entries(tmp_path):
    write_zip(tmp_path / "f.pth", tensor_pickle(numel=4, size=(4,), stride=(1,)), compression=zipfile.ZIP_DEFLATED)
    with pytest.raises(CheckpointError, match="must not be compressed"):
        read_archive(tmp_path / "f.pth")


def test_refuses_big_endian_files(tmp_path):
    write_zip(tmp_path / "f.pth", b"N.", byteorder="big")
    with pytest.raises(CheckpointError, match="little-endian"):
        read_archive(tmp_path / "f.pth")


def test_refuses_a_zip_that_is_no_checkpoint(tmp_path):
    with zipfile.ZipFile(tmp_path / "f.pth", "w") as archive:
        archive.writestr("word/document.xml", "x")
    with pytest.raises(CheckpointError, match=r"one data\.pkl"):
        read_archive(tmp_path / "f.pth")


def test_refuses_torchscript(tmp_path):
    torch.jit.script(small_network()).save(str(tmp_path / "f.pt"))
    with pytest.raises(CheckpointError, match=r"f\.pt"):
        read_archive(tmp_path / "f.pt")


def test_refuses_files_far_larger_than_any_network(tmp_path, monkeypatch):
    torch.save(small_network(), tmp_path / "f.pth")
    monkeypatch.setattr(inert_archives, "MAX_BYTES", 1000)
    with pytest.raises(CheckpointError, match="must be at most"):
        read_archive(tmp_path / "f.pth")


def test_modules_that_contain_each_other_end(tmp_path):
    network = nn.Sequential(nn.Sequential(nn.ReLU()))
    network[0]._modules["0"] = network
    torch.save(network, tmp_path / "f.pth")
    with pytest.raises(CheckpointError, match="module of its own"):
        load_published(tmp_path / "f.pth")


@pytest.mark.parametrize("how", FORMATS)
def test_truncated_files_are_refused(tmp_path, how):
    FORMATS[how](small_network(), tmp_path / "f.pth")
    whole = (tmp_path / "f.pth").read_bytes()
    for cut in [*range(0, len(whole), max(1, len(whole) // 60)), len(whole) - 1]:
        (tmp_path / "cut.pth").write_bytes(whole[:cut])
        with pytest.raises(CheckpointError, match=r"cut\.pth"):
            load_published(tmp_path / "cut.pth")


@pytest.mark.parametrize("how", FORMATS)
def test_damaged_bytes_never_raise_anything_else(tmp_path, how):
    FORMATS[how](small_network(), tmp_path / "f.pth")
    whole = (tmp_path / "f.pth").read_bytes()
    chance = random.Random(0)
    for _ in range(300):
        damaged = bytearray(whole)
        for _ in range(chance.choice([1, 2, 8])):
            damaged[chance.randrange(len(damaged))] = chance.randrange(256)
        (tmp_path / "bad.pth").write_bytes(damaged)
        with pytest.raises(CheckpointError, match=r"bad\.pth"):  # sound or not, it is no U-net
            load_published(tmp_path / "bad.pth")


def test_random_bytes_are_refused(tmp_path):
    chance = random.Random(0)
    for start in (b"", b"PK\x03\x04", b"\x80\x02", b"\0" * 257 + b"ustar"):
        (tmp_path / "f.pth").write_bytes(start + chance.randbytes(3000))
        with pytest.raises(CheckpointError, match="damaged"):
            load_published(tmp_path / "f.pth")
