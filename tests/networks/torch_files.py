"""Writers of the files of ``torch.save`` that the current PyTorch no longer writes, and of hostile ones."""

import io
import pickle
import struct
import tarfile
import zipfile

import torch


class _TarPickler(pickle.Pickler):
    """Pickles a module as PyTorch 0.1 did: tensors by number, parameters by a call of their class."""

    def __init__(self, stream):
        super().__init__(stream, protocol=2)
        self.tensors = []
        self.classes = set()

    def persistent_id(self, value):
        if isinstance(value, torch.Tensor) and not isinstance(value, torch.nn.Parameter):
            self.tensors.append(value)
            return str(len(self.tensors) - 1)
        if isinstance(value, type) and issubclass(value, torch.nn.Module) and value not in self.classes:
            self.classes.add(value)
            return (value, None, None)
        return None

    def reducer_override(self, value):
        if isinstance(value, torch.nn.Parameter):
            return torch.nn.Parameter, (value.data,)
        return NotImplemented


def save_tar(module, path):
    """Save as PyTorch 0.1 did, in the tar format that torch.load still reads."""
    main = io.BytesIO()
    pickler = _TarPickler(main)
    pickler.dump(module)
    storages, tensors = io.BytesIO(), io.BytesIO()
    pickle.dump(len(pickler.tensors), storages, protocol=2)
    pickle.dump(len(pickler.tensors), tensors, protocol=2)
    for number, tensor in enumerate(pickler.tensors):
        storage_number = number + len(pickler.tensors)
        kind = {torch.float32: torch.FloatStorage, torch.int64: torch.LongStorage}[tensor.dtype]
        pickle.dump((storage_number, "cpu", kind), storages, protocol=2)
        storages.write(struct.pack("<q", tensor.numel()) + tensor.contiguous().numpy().tobytes())
        pickle.dump((number, storage_number, torch.Tensor), tensors, protocol=2)
        axes = tensor.dim()
        tensors.write(struct.pack(f"<ii{axes}q{axes}qq", axes, 0, *tensor.shape, *tensor.contiguous().stride(), 0))
    pickle.dump([], storages, protocol=2)
    with tarfile.open(path, "w:", format=tarfile.PAX_FORMAT) as archive:
        for name, stream in (("storages", storages), ("tensors", tensors), ("pickle", main)):
            member = tarfile.TarInfo(name)
            member.size = len(stream.getvalue())
            archive.addfile(member, io.BytesIO(stream.getvalue()))


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
