"""A pickle names and calls nothing, whatever its instructions."""

from __future__ import annotations

import copyreg
import os
import pickle

import pytest

from monai_lesion.errors import CheckpointError
from monai_lesion.networks.inert_archives import read_archive
from monai_lesion.networks.inert_pickles import MAX_INSTRUCTIONS
from tests.networks.torch_files import write_zip


@pytest.mark.parametrize(
    ("code", "message"),
    [
        pytest.param(b"cposix\nsystem\n(S'id'\ntR.", "posix.system", id="protocol 0"),
        pytest.param(b"(S'id'\niposix\nsystem\n.", "INST posix system", id="INST"),
        pytest.param(b"(cposix\nsystem\nS'id'\no.", "posix.system", id="OBJ"),
        pytest.param(b"(cevil\nrun\nS'id'\no.", "instruction OBJ", id="OBJ of an unknown class"),
        pytest.param(b"\x80\x04\x8c\x05posix\x8c\x06system\x93\x8c\x02id\x85R.", "posix.system", id="STACK_GLOBAL"),
        pytest.param(b"\x80\x02cevil\nrun\nX\x02\x00\x00\x00id\x85R.", "evil.run", id="unknown function"),
        pytest.param(b"\x80\x02cevil\nRun\n)\x81}b.", "evil.Run", id="unknown object"),
        pytest.param(b"\x80\x02cevil\nRun\n)}\x92.", "NEWOBJ_EX", id="NEWOBJ_EX"),
        pytest.param(b"\x80\x02cevil\nLighter_UNet\n0N.", "POP", id="a name thrown away"),
        pytest.param(b"\x80\x02}cevil\nLighter_UNet\nNs.", "keys must be", id="a name as key"),
        pytest.param(b"\x80\x02ctorch._utils\n_rebuild_tensor_v2\n}b.", "only an object has attributes", id="BUILD"),
        pytest.param(b"\x80\x02c__builtin__\neval\n.", "builtins.eval", id="Python 2 builtin"),
        pytest.param(b"\x80\x02ccopy_reg\n_reconstructor\n.", "copyreg._reconstructor", id="Python 2 copyreg"),
        pytest.param(b"\x80\x02cnt\nsystem\n.", "nt.system", id="another platform's"),
        pytest.param(b"\x80\x02X\x01\x00\x00\x00xR.", "damaged", id="call of a text"),
        pytest.param(b"\x80\x02Q.", "damaged", id="empty stack"),
        pytest.param(b"\x80\x02j\xff\xff\xff\x7f.", "damaged", id="absent memo"),
        pytest.param(b"\x80\x02", "damaged", id="no end"),
        pytest.param(b"", "damaged", id="nothing"),
        pytest.param(b"\x80\x02]" + b"]a" * MAX_INSTRUCTIONS + b".", "instructions", id="too long"),
        pytest.param(b"\x80\x02}" + b"N" + b"\x85" * 100_000 + b"Ns.", "keys must be", id="deep key"),
    ],
)
def test_refuses_every_way_to_name_or_call(tmp_path, code, message):
    write_zip(tmp_path / "f.pth", code)
    with pytest.raises(CheckpointError, match=message):
        read_archive(tmp_path / "f.pth")


def test_refuses_extension_codes_that_another_library_registered(tmp_path):
    copyreg.add_extension("posix", "system", 77)
    try:
        write_zip(tmp_path / "f.pth", pickle.dumps(os.system, protocol=2))
        with pytest.raises(CheckpointError, match="EXT1 77"):
            read_archive(tmp_path / "f.pth")
    finally:
        copyreg.remove_extension("posix", "system", 77)


def test_a_huge_memo_number_takes_no_memory(tmp_path):
    write_zip(tmp_path / "f.pth", b"\x80\x02Nr\xff\xff\xff\xff.")
    assert read_archive(tmp_path / "f.pth")[0] is None
