"""Read what a PyTorch pickle describes, without running any of it.

Python's unpickler calls whatever a file names. This interpreter calls and imports nothing: names stay text, objects
become :class:`Record`, tensors become :class:`StoredTensor`, and it refuses names and instructions that no saved
network needs.

A subclass of ``pickle.Unpickler`` whose ``find_class`` gives stand-ins would be shorter, but cannot keep the bounds. It
takes memory by the highest number in the memo: nine bytes take 4 GiB. And it hashes whatever stands as a key: a tuple
nested 199,000 deep, within the bound on instructions, ends Python 3.10 to 3.13 by SIGSEGV. A scan beforehand would have
to follow the stack to see either, which is what the interpreter does.
"""

from __future__ import annotations

import pickletools
import sys
from _compat_pickle import IMPORT_MAPPING, NAME_MAPPING
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import torch

from monai_lesion.errors import CheckpointError

MAX_INSTRUCTIONS = 200_000  # a saved U-net takes about 6,000

DTYPES = {
    "FloatStorage": torch.float32,
    "DoubleStorage": torch.float64,
    "HalfStorage": torch.float16,
    "BFloat16Storage": torch.bfloat16,
    "LongStorage": torch.int64,
    "IntStorage": torch.int32,
    "ShortStorage": torch.int16,
    "CharStorage": torch.int8,
    "ByteStorage": torch.uint8,
    "BoolStorage": torch.bool,
}
LAYERS = {
    "torch.nn.modules.activation": {"ReLU", "Sigmoid"},
    "torch.nn.modules.batchnorm": {"BatchNorm2d"},
    "torch.nn.modules.container": {"ModuleList", "Sequential"},
    "torch.nn.modules.conv": {"Conv2d"},
    "torch.nn.modules.dropout": {"Dropout"},
    "torch.nn.modules.pooling": {"MaxPool2d"},
    "torch.nn.modules.upsampling": {"Upsample", "UpsamplingBilinear2d"},
    "torch.nn.parallel.data_parallel": {"DataParallel"},
}
TENSORS = {"torch._utils._rebuild_tensor", "torch._utils._rebuild_tensor_v2"}
PARAMETERS = {
    "torch._utils._rebuild_parameter",
    "torch._utils._rebuild_parameter_with_state",
    "torch.nn.parameter.Parameter",
}
MAPPINGS = {"collections.OrderedDict"}
TENSOR_TYPES = {"torch.Tensor"} | {
    f"{module}.{name.replace('Storage', 'Tensor')}" for module in ("torch", "torch.cuda") for name in DTYPES
}
VALUES = {  # kept as records of no consequence
    "builtins.set",
    "torch.Size",
    "torch.device",
    "torch.nn.backends.thnn._get_thnn_function_backend",  # in every module that PyTorch 1.2 or older saved
}


class Global(NamedTuple):
    """A name in the file, which is never looked up."""

    module: str
    name: str

    def __str__(self) -> str:
        return f"{self.module}.{self.name}"

    @property
    def is_layer(self) -> bool:
        """Whether it is a torch layer that the published networks contain."""
        return self.name in LAYERS.get(self.module, ())

    @property
    def is_storage(self) -> bool:
        """Whether it is a typed storage."""
        return self.module in ("torch", "torch.cuda") and self.name in DTYPES

    @property
    def is_known(self) -> bool:
        """Whether a saved network needs it."""
        known = TENSORS | TENSOR_TYPES | PARAMETERS | MAPPINGS | VALUES
        return self.is_layer or self.is_storage or str(self) in known


@dataclass(eq=False, slots=True)
class Record:
    """An object of the file: the name of its class and its attributes."""

    kind: Global
    state: dict[Any, Any] = field(default_factory=dict)

    @property
    def is_container(self) -> bool:
        """Whether it is a module of modules: children, and neither parameters nor buffers of its own."""
        own = [self.state.get(name) for name in ("_parameters", "_buffers", "_modules")]
        return all(isinstance(part, dict) for part in own) and not own[0] and not own[1] and bool(own[2])


class Storage(NamedTuple):
    """Numbers in the file: ``length`` of them from ``start`` on, in the storage ``key`` of ``numel`` numbers."""

    key: str
    dtype: torch.dtype
    numel: int
    start: int
    length: int


class StoredTensor(NamedTuple):
    """Where a tensor lies in the file."""

    storage: Storage
    offset: int
    size: tuple[int, ...]
    stride: tuple[int, ...]


Resolve = Callable[[Any], Any]


def read_pickle(stream: BinaryIO, *, file: Path, resolve: Resolve | None = None) -> Any:
    """Interpret one pickle and leave the stream at its end.

    Args:
        stream: the bytes.
        file: what errors name.
        resolve: turns a persistent id, PyTorch's reference to a storage, into the value to use for it.

    Returns:
        Plain values, dictionaries and lists, with :class:`Record` and :class:`StoredTensor` in them.

    Raises:
        CheckpointError: for a name or an instruction that no saved network needs.
        ValueError, IndexError, KeyError, TypeError: for a damaged pickle.
    """
    return _Interpreter(file, resolve).run(stream)


class _Interpreter:
    """The pickle machine that Python's ``pickletools`` documents, without calls and imports."""

    def __init__(self, file: Path, resolve: Resolve | None) -> None:
        self.file = file
        self.resolve = resolve
        self.stack: list[Any] = []
        self.marks: list[int] = []
        self.memo: dict[int, Any] = {}
        self.foreign: set[Global] = set()  # classes of the authors' own, to be judged by their instances
        self.records: list[Record] = []

    def run(self, stream: BinaryIO) -> Any:
        for count, (opcode, argument, _) in enumerate(pickletools.genops(stream)):
            if count > MAX_INSTRUCTIONS:
                raise CheckpointError(self.file, f"must hold at most {MAX_INSTRUCTIONS} pickle instructions")
            self.step(opcode.name, argument)
        self.check_foreign()
        return self.stack.pop()

    def refuse(self, what: object) -> CheckpointError:
        rule = "may name only what a saved U-net, Light or Lighter U-net needs"
        return CheckpointError(self.file, rule, got=what, fix="Nothing in it was run. Do not open it any other way")

    def step(self, opcode: str, argument: Any) -> None:
        push = self.stack.append
        match opcode:
            case "PROTO" | "FRAME" | "STOP":
                pass
            case "NONE" | "NEWTRUE" | "NEWFALSE":
                push({"NONE": None, "NEWTRUE": True, "NEWFALSE": False}[opcode])
            case "INT" | "BININT" | "BININT1" | "BININT2" | "LONG" | "LONG1" | "LONG4" | "FLOAT" | "BINFLOAT":
                push(argument)
            case "STRING" | "BINSTRING" | "SHORT_BINSTRING" | "UNICODE" | "BINUNICODE" | "SHORT_BINUNICODE":
                push(argument)
            case "EMPTY_LIST" | "EMPTY_SET":
                push([])
            case "EMPTY_DICT":
                push({})
            case "EMPTY_TUPLE":
                push(())
            case "TUPLE1" | "TUPLE2" | "TUPLE3":
                items = self.stack[-int(opcode[-1]) :]
                del self.stack[-int(opcode[-1]) :]
                push(tuple(items))
            case "MARK":
                self.marks.append(len(self.stack))
            case "TUPLE" | "LIST":
                items = self.pop_mark()
                push(tuple(items) if opcode == "TUPLE" else items)
            case "DICT":
                items = self.pop_mark()
                push({})
                self.set_items(items)
            case "APPEND" | "APPENDS" | "ADDITEMS":
                items = [self.stack.pop()] if opcode == "APPEND" else self.pop_mark()
                self.top(list).extend(items)
            case "SETITEM" | "SETITEMS":
                self.set_items([self.stack.pop(-2), self.stack.pop()] if opcode == "SETITEM" else self.pop_mark())
            case "PUT" | "BINPUT" | "LONG_BINPUT":
                self.memo[argument] = self.stack[-1]
            case "MEMOIZE":
                self.memo[len(self.memo)] = self.stack[-1]
            case "GET" | "BINGET" | "LONG_BINGET":
                push(self.memo[argument])
            case "GLOBAL":
                push(self.name(*argument.split(" ", 1)))
            case "STACK_GLOBAL":
                name, module = self.stack.pop(), self.stack.pop()
                push(self.name(module, name))
            case "REDUCE" | "NEWOBJ":
                arguments, kind = self.stack.pop(), self.stack.pop()
                push(self.make(kind, arguments, new=opcode == "NEWOBJ"))
            case "BUILD":
                state = self.stack.pop()
                self.build(self.stack[-1], state)
            case "BINPERSID" if self.resolve is not None:
                push(self.resolve(self.stack.pop()))
            case "PERSID" if self.resolve is not None:
                push(self.resolve(argument))
            case _:
                raise self.refuse(f"the pickle instruction {opcode} {argument or ''}".rstrip())

    def pop_mark(self) -> list[Any]:
        start = self.marks.pop()
        items = self.stack[start:]
        del self.stack[start:]
        return items

    def top(self, kind: type) -> Any:
        if not isinstance(self.stack[-1], kind):
            raise TypeError(f"a {kind.__name__} was expected")
        return self.stack[-1]

    def set_items(self, items: list[Any]) -> None:
        keys = items[::2]
        if not all(isinstance(key, (str, int)) for key in keys):  # hashing deep tuples would overflow the C stack
            raise TypeError("keys must be text or whole numbers")
        self.top(dict).update(zip(keys, items[1::2], strict=True))

    def name(self, module: Any, name: Any) -> Global:
        if not (isinstance(module, str) and isinstance(name, str)):
            raise TypeError("a name must be text")
        # Pickles of protocol 2, PyTorch's default, hold Python 2's names: __builtin__, commands ...
        module, name = NAME_MAPPING.get((module, name), (IMPORT_MAPPING.get(module, module), name))
        found = Global(module, name)
        if not found.is_known:
            package = module.partition(".")[0]
            if package == "torch" or package in sys.stdlib_module_names:
                raise self.refuse(found)
            self.foreign.add(found)
        return found

    def make(self, kind: Any, arguments: Any, *, new: bool) -> Any:
        """The instance that calling ``kind`` would give, for the few kinds that mean something here."""
        if not isinstance(kind, Global) or not isinstance(arguments, tuple):
            raise TypeError("only a named class can be made")
        if str(kind) in TENSORS:
            return stored_tensor(*arguments[:4])
        if str(kind) in PARAMETERS:
            return arguments[0]
        if str(kind) in MAPPINGS:
            return {str(key): value for key, value in arguments[0]} if arguments else {}
        is_object = kind.is_layer or kind in self.foreign
        if kind.is_storage or str(kind) in TENSOR_TYPES or (is_object and (not new or arguments)):
            raise self.refuse(kind)
        record = Record(kind)
        self.records.append(record)
        return record

    def build(self, target: Any, state: Any) -> None:
        """Give attributes to a record; those of dictionaries and tensors mean nothing here."""
        if isinstance(target, Record) and isinstance(state, dict):
            target.state = state
        elif not isinstance(target, (Record, StoredTensor, dict)):
            raise TypeError("only an object has attributes")

    def check_foreign(self) -> None:
        """The authors' own classes only hold layers; a foreign name in any other part is refused."""
        made = {record.kind for record in self.records}
        for record in self.records:
            if record.kind in self.foreign and not record.is_container:
                raise self.refuse(record.kind)
        for kind in self.foreign - made:
            raise self.refuse(kind)


def stored_tensor(storage: Any, offset: Any, size: Any, stride: Any) -> StoredTensor:
    """A tensor within the bounds of its storage and not larger than it, or a ValueError."""
    if not (isinstance(storage, Storage) and isinstance(size, tuple) and isinstance(stride, tuple)):
        raise TypeError("a tensor needs a storage, a size and strides")
    if not all(isinstance(n, int) and 0 <= n <= storage.length for n in (offset, *size, *stride)):
        raise ValueError("a tensor's size, strides and offset must be whole numbers within its storage")
    last, numel = offset, 1
    for n, step in zip(size, stride, strict=True):
        last += (n - 1) * step
        numel *= n
    if numel == 0 or last >= storage.length or numel > storage.length:
        raise ValueError(f"a tensor of size {size} does not lie in a storage of {storage.length} numbers")
    return StoredTensor(storage, offset, size, stride)
