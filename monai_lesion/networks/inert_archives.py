"""Read the two file formats of ``torch.save`` without running anything in the file."""

from __future__ import annotations

import io
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

import torch

from monai_lesion.errors import CheckpointError
from monai_lesion.networks.inert_pickles import DTYPES, Global, Storage, StoredTensor, read_pickle

MAX_BYTES = 512 * 2**20  # U-net with its Adam state takes 207 MB
_MAGIC = 0x1950A86A20F9469CFC6C  # opens the format of PyTorch 0.2 to 1.5
_DAMAGE = (
    ArithmeticError,
    EOFError,
    LookupError,
    MemoryError,
    NotImplementedError,
    RuntimeError,
    TypeError,
    ValueError,
    struct.error,
    zipfile.BadZipFile,
)
Tensors = Callable[[StoredTensor], torch.Tensor]


def read_archive(path: str | Path) -> tuple[Any, Tensors]:
    """Read a file of ``torch.save``: zip (PyTorch 1.6 and later) or magic number (0.2 to 1.5).

    Args:
        path: the file.

    Returns:
        What was saved, as :func:`~monai_lesion.networks.inert_pickles.read_pickle` describes it, and a function
        that reads its stored tensors.

    Raises:
        CheckpointError: when the file is missing, damaged, too large, or names what no saved network needs.
    """
    file = Path(path)
    if not file.is_file():
        raise CheckpointError(file, "the checkpoint must exist", got="no file")
    if file.stat().st_size > MAX_BYTES:
        rule = f"must be at most {MAX_BYTES // 2**20} MiB, several times the largest network"
        raise CheckpointError(file, rule, got=f"{file.stat().st_size // 2**20} MiB")
    data = file.read_bytes()
    stream = io.BytesIO(data)
    try:
        if data.startswith(b"PK\x03\x04"):
            root, storages = _read_zip(stream, file)
        else:
            root, storages = _read_magic(stream, file)
    except CheckpointError:
        raise
    except _DAMAGE as error:
        reason = (str(error) or type(error).__name__).splitlines()[0]
        rule = "must be a whole file written by torch.save"
        raise CheckpointError(file, rule, got=f"a damaged or other file ({reason})") from error

    def tensor(stored: StoredTensor) -> torch.Tensor:
        return _tensor(stored, storages, file)

    return root, tensor


def _tensor(stored: StoredTensor, storages: dict[str, bytearray], file: Path) -> torch.Tensor:
    _, dtype, numel, start, _ = stored.storage
    data = storages.get(stored.storage.key, bytearray())
    if len(data) != numel * dtype.itemsize:
        rule = f"storage {stored.storage.key} must have the {numel * dtype.itemsize} bytes that it declares"
        raise CheckpointError(file, rule, got=f"{len(data)} bytes")
    flat = torch.frombuffer(data, dtype=dtype)
    return flat.as_strided(stored.size, stored.stride, start + stored.offset).clone(
        memory_format=torch.contiguous_format
    )


def _storage(kind: Any, key: Any, numel: Any, view: Any = None) -> Storage:
    """Find the storage that a persistent id names; ``view`` is ``(key, start, length)`` of a part of it."""
    if not (isinstance(kind, Global) and kind.is_storage and isinstance(key, (str, int))):
        raise ValueError("a storage needs a type and a key")
    start, length = (0, numel) if view is None else view[1:]
    if not (all(isinstance(n, int) for n in (numel, start, length)) and 0 <= start <= start + length <= numel):
        raise ValueError("a storage's part must lie within it")
    return Storage(str(key), DTYPES[kind.name], numel, start, length)


def _read_zip(stream: BinaryIO, file: Path) -> tuple[Any, dict[str, bytearray]]:
    with zipfile.ZipFile(stream) as archive:
        entries = {entry.filename: entry for entry in archive.infolist()}
        # torch.save never compresses; so no entry is larger than the file, nor all of them together.
        if any(entry.compress_type != zipfile.ZIP_STORED for entry in entries.values()):
            raise CheckpointError(file, "the entries of the zip must not be compressed")
        if sum(entry.file_size for entry in archive.infolist()) > file.stat().st_size:
            raise CheckpointError(file, "the entries of the zip must not be larger than the file")
        pickles = [name for name in entries if name.split("/")[1:] == ["data.pkl"]]
        if len(pickles) != 1:
            raise CheckpointError(file, "a zip of torch.save holds one data.pkl", got=f"{len(pickles)} of them")
        folder = pickles[0].split("/")[0]
        if f"{folder}/byteorder" in entries and archive.read(f"{folder}/byteorder") != b"little":
            raise CheckpointError(file, "must be little-endian")

        def resolve(reference: Any) -> Any:
            _, kind, key, _, numel = reference
            return _storage(kind, key, numel)

        root = read_pickle(io.BytesIO(archive.read(pickles[0])), file=file, resolve=resolve)
        prefix = f"{folder}/data/"
        names = [name for name in entries if name.startswith(prefix)]
        return root, {name[len(prefix) :]: bytearray(archive.read(name)) for name in names}


def _read_magic(stream: BinaryIO, file: Path) -> tuple[Any, dict[str, bytearray]]:
    if read_pickle(stream, file=file) != _MAGIC or read_pickle(stream, file=file) != 1001:
        raise ValueError("torch.save's magic number is missing")
    read_pickle(stream, file=file)  # the machine that wrote it
    widths: dict[str, int] = {}

    def resolve(reference: Any) -> Any:
        if reference[0] == "module":
            return reference[1]  # a class; its source code follows in the file
        _, kind, key, _, numel, view = reference
        storage = _storage(kind, key, numel, view)
        widths[storage.key] = storage.dtype.itemsize
        return storage

    root = read_pickle(stream, file=file, resolve=resolve)
    keys = read_pickle(stream, file=file)
    return root, {str(key): _read_numbers(stream, widths[str(key)]) for key in keys}


def _read_numbers(stream: BinaryIO, width: int) -> bytearray:
    (numel,) = struct.unpack("<q", stream.read(8))
    data = stream.read(numel * width) if numel >= 0 else b""
    if len(data) != numel * width:
        raise EOFError(f"{numel} numbers of {width} bytes were announced, {len(data)} bytes are there")
    return bytearray(data)
