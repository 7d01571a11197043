"""Writers of the files of ``torch.save`` that the current PyTorch no longer writes, and of hostile ones."""

import struct
import zipfile

import torch


def save_legacy(value, path):
    """Save in the format of PyTorch 0.2 to 1.5."""
    torch.save(value, path, _use_new_zipfile_serialization=False)


def write_zip(path, data_pkl, storages=None, *, compression=zipfile.ZIP_STORED, byteorder="little"):
    """Write a zip like torch.save's around any pickle."""
    with zipfile.ZipFile(path, "w", compression) as archive:
        archive.writestr("archive/data.pkl", data_pkl)
        archive.writestr("archive/byteorder", byteorder)
        for key, data in (storages or {}).items():
            archive.writestr(f"archive/data/{key}", data)


def tensor_pickle(*, numel, size, stride, offset=0, kind=b"ctorch\nFloatStorage\n"):
    """Pickle a state dict of one tensor named ``w``, whatever its numbers say."""

    def number(value):
        return b"\x8a" + bytes([16]) + value.to_bytes(16, "little", signed=True)

    def text(value):
        return b"X" + struct.pack("<I", len(value)) + value.encode()

    def numbers(values):
        return b"(" + b"".join(number(value) for value in values) + b"t"

    storage = b"(" + text("storage") + kind + text("0") + text("cpu") + number(numel) + b"tQ"
    rebuilt = b"ctorch._utils\n_rebuild_tensor_v2\n(" + storage + number(offset) + numbers(size) + numbers(stride)
    return b"\x80\x02}" + text("w") + rebuilt + b"\x89}tRs."
