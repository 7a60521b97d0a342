"""Check the archive and the pickle of a checkpoint before `torch.load` builds anything from them.

`torch.load(weights_only=True)` executes no foreign code, but a small file can make it allocate any
amount of memory. The checks here follow the pickle without building its objects, and bound the
size of what `torch.load` will build by the size of the file.
"""

import math
import os
import struct
import zipfile
from collections.abc import Callable
from typing import Any, NoReturn

import torch

MAX_EXPANSION = 16  # parts of the content, each use counted, per byte of the pickle
MAX_USES = 16  # bytes of all tensors, views of the same storage included, per byte of storage
STORAGES = {  # bytes per element by the name under which torch pickles a storage
    f"torch {name}Storage": dtype.itemsize
    for name, dtype in {
        "BFloat16": torch.bfloat16, "Bool": torch.bool, "Byte": torch.uint8, "Char": torch.int8,
        "ComplexDouble": torch.complex128, "ComplexFloat": torch.complex64, "Double": torch.double,
        "Float": torch.float, "Half": torch.half, "Int": torch.int, "Long": torch.long,
        "Short": torch.short,
    }.items()
}  # fmt: skip
DTYPES = {f"torch {name}" for name, value in vars(torch).items() if isinstance(value, torch.dtype)}


class RefusedPickleError(Exception):
    """The archive or the pickle contains what no checkpoint of this project contains."""


def _refuse(reason: str) -> NoReturn:
    raise RefusedPickleError(reason)


def check_archive(path: str | os.PathLike[str]) -> None:
    """Check the archive of a checkpoint: its checksums, its directory and its pickle.

    Raises:
        RefusedPickleError: If the file could make `torch.load` use more memory than its size
            justifies, or names anything else than tensors and plain values.
        Exception: Of many types, if the file is damaged.
    """
    with zipfile.ZipFile(path) as archive:
        members = archive.infolist()
        folder = members[0].filename.partition("/")[0]
        records = {each.filename.removeprefix(f"{folder}/"): each.file_size for each in members}
        if any(each.compress_type != zipfile.ZIP_STORED for each in members):
            _refuse("its content is compressed")
        total, available = sum(records.values()), sum(each.file_size for each in members)
        if total != available or archive.comment or total > archive.start_dir:
            _refuse("its directory does not match its content")
        if archive.testzip() is not None:
            _refuse("a checksum does not match")
        pickle = archive.read(f"{folder}/data.pkl")
    PickleCheck(pickle, records).run()


class _Part:
    """A value of the pickle that is no number, text or None.

    Attributes:
        kind: `dict`, `list`, `tuple`, `global`, `storage`, `tensor` or `value`.
        weight: Number of parts, each counted as often as it is reached.
        content: Items of a tuple, name of a global, elements of a storage.
        complete: Whether nothing can be added, as it was used in another value or a second time.
    """

    __slots__ = ("complete", "content", "kind", "weight")

    def __init__(self, kind: str, weight: int = 1, content: Any = None) -> None:
        self.kind, self.weight, self.content, self.complete = kind, weight, content, False


class PickleCheck:
    """Follow a pickle of protocol 2, as `torch.save` writes it, without building its objects.

    Only the instructions that plain values and tensors need are accepted. A container that is used
    cannot be changed anymore, so that no value contains itself and the weights of all values are
    known while they are read.

    Args:
        pickle: The content of `data.pkl`.
        records: Bytes of each record of the archive by name, such as `data/0`.
    """

    def __init__(self, pickle: bytes, records: dict[str, int]) -> None:
        self._pickle, self._records = pickle, records
        self._position = 0
        self._stack: list[Any] = []
        self._outer: list[list[Any]] = []  # stacks below the marks
        self._memo: dict[int, Any] = {}
        self._work = self._tensor_bytes = 0
        self._limit = MAX_EXPANSION * len(pickle)

    def run(self) -> None:
        """Check the pickle.

        Raises:
            RefusedPickleError: If it is refused.
            Exception: Of many types, if it is damaged.
        """
        pickle, instructions, stop = self._pickle, INSTRUCTIONS, STOP
        while (code := pickle[self._position]) != stop:
            self._position += 1
            instruction = instructions.get(code)
            if instruction is None:
                _refuse(f"its pickle has the instruction {chr(code)!r}")
            instruction(self)
        self._count(self._use(self._stack.pop()))
        if self._stack or self._outer:
            _refuse("its pickle has unused values")
        storage_bytes = sum(
            size for name, size in self._records.items() if name.startswith("data/")
        )
        if self._tensor_bytes > MAX_USES * storage_bytes:
            _refuse("its tensors are larger than its data")

    def _count(self, weight: int) -> None:
        """Add to the work that the pickle causes."""
        self._work += weight
        if self._work > self._limit:
            _refuse("its values repeat each other too often")

    @staticmethod
    def _use(value: Any) -> int:
        """Complete a value that is used; return its weight."""
        if type(value) is _Part:
            value.complete = True
            return value.weight
        return 1 + (len(value) >> 4) if type(value) is str else 1

    # Arguments of instructions.

    def _read(self, size: int) -> bytes:
        start = self._position
        self._position = end = start + size
        if end > len(self._pickle):
            _refuse("its pickle is incomplete")
        return self._pickle[start:end]

    def _line(self) -> str:
        end = self._pickle.index(b"\n", self._position)
        line = self._read(end - self._position).decode()
        self._position += 1
        return line

    def _items(self) -> list[Any]:
        """Return the values above the last mark, which is removed."""
        items, self._stack = self._stack, self._outer.pop()
        return items

    # Instructions.

    def _protocol(self) -> None:
        if self._read(1) != b"\2":
            _refuse("its pickle has another protocol")

    def _number(self, size: int, signed: bool) -> None:
        self._stack.append(int.from_bytes(self._read(size), "little", signed=signed))

    def _long(self) -> None:
        self._number(self._read(1)[0], signed=True)

    def _float(self) -> None:
        self._stack.append(struct.unpack(">d", self._read(8))[0])

    def _text(self) -> None:
        size = int.from_bytes(self._read(4), "little")
        self._stack.append(self._read(size).decode("utf-8", "surrogatepass"))

    def _mark(self) -> None:
        self._outer.append(self._stack)
        self._stack = []

    def _put(self, size: int) -> None:
        self._memo[int.from_bytes(self._read(size), "little")] = self._stack[-1]

    def _get(self, size: int) -> None:
        value = self._memo[int.from_bytes(self._read(size), "little")]
        self._use(value)
        self._stack.append(value)

    def _tuple(self, size: int | None = None) -> None:
        if size is None:
            items = self._items()
        else:
            items = self._stack[-size:]
            if len(items) < size:
                _refuse("its pickle is incomplete")
            del self._stack[-size:]
        self._stack.append(_Part("tuple", 1 + sum(map(self._use, items)), items))

    def _add(self, kind: str, items: list[Any]) -> None:
        """Add items to the list or dictionary on the stack."""
        target = self._stack[-1]
        if type(target) is not _Part or target.kind != kind or target.complete:
            _refuse(f"its pickle changes a value that is no new {kind}, or contains itself")
        target.weight += sum(map(self._use, items))

    def _append(self) -> None:
        item = self._stack.pop()
        self._add("list", [item])

    def _set_item(self) -> None:
        items = self._stack[-2:]
        del self._stack[-2:]
        self._add("dict", items)

    def _build(self) -> None:
        """Set the attributes of an `OrderedDict`, such as the `_metadata` of a state dict."""
        state = self._stack.pop()
        if _kind(state) != "dict":
            _refuse("its pickle sets the state of an object")
        self._add("dict", [state])

    def _global(self) -> None:
        name = f"{self._line()} {self._line()}"
        if name not in CALLABLES and name not in STORAGES and name not in DTYPES:
            _refuse(f"it names {name.replace(' ', '.')!r}, which is neither tensor nor plain value")
        self._stack.append(_Part("global", 1, name))

    def _persistent(self) -> None:
        """Check a storage: its record must hold exactly its elements."""
        match _content(self._stack.pop(), "tuple"):
            case ["storage", _Part(kind="global") as storage, str(key), str(), int(elements)]:
                size = STORAGES[storage.content]
                if self._records[f"data/{key}"] != size * elements:
                    _refuse("the size of a tensor's data is wrong")
                self._stack.append(_Part("storage", 1, (elements, size)))
            case _:
                _refuse("its pickle refers to something else than the data of a tensor")

    def _call(self) -> None:
        arguments, function = self._stack.pop(), self._stack.pop()
        self._count(self._use(arguments))
        name = _content(function, "global")
        self._stack.append(CALLABLES[name](self, _content(arguments, "tuple")))

    # What is called.

    def _ordered_dict(self, arguments: list[Any]) -> _Part:
        if arguments:
            _refuse("it has an unusual dictionary")
        return _Part("dict")

    def _tensor(self, arguments: list[Any]) -> _Part:
        storage, offset, size, stride, requires_grad, hooks = arguments
        elements, item_size = _content(storage, "storage")
        sizes, strides = _content(size, "tuple"), _content(stride, "tuple")
        if not all(type(n) is int and n >= 0 for n in (offset, *sizes, *strides)):
            _refuse("the shape of a tensor is invalid")
        count = math.prod(sizes)
        steps = zip(sizes, strides, strict=True)
        last = offset + sum((n - 1) * step for n, step in steps) if count else 0
        if count > elements or (count and last >= elements) or len(sizes) > 64:
            _refuse("a tensor is larger than its data")
        if type(requires_grad) is not bool or _kind(hooks) != "dict" or hooks.weight > 1:
            _refuse("a tensor has hooks")
        self._tensor_bytes += count * item_size
        return _Part("tensor")

    def _parameter(self, arguments: list[Any]) -> _Part:
        tensor, requires_grad, hooks = arguments
        if _kind(tensor) != "tensor" or type(requires_grad) is not bool:
            _refuse("a parameter is not a tensor")
        if _kind(hooks) != "dict" or hooks.weight > 1:
            _refuse("a tensor has hooks")
        return _Part("tensor")

    def _bytes(self, arguments: list[Any]) -> _Part:
        text, encoding = arguments
        if type(text) is not str or encoding != "latin1":
            _refuse("it has unusual bytes")
        return _Part("value", self._use(text))

    def _collection(self, arguments: list[Any]) -> _Part:
        (items,) = arguments
        if _kind(items) not in ("list", "tuple"):
            _refuse("it has an unusual collection")
        return _Part("value", items.weight)

    def _device(self, arguments: list[Any]) -> _Part:
        if not all(type(argument) in (str, int) for argument in arguments):
            _refuse("it has an unusual device")
        return _Part("value")


def _kind(value: Any) -> str | None:
    return value.kind if type(value) is _Part else None


def _content(value: Any, kind: str) -> Any:
    """Return the content of a value of a kind."""
    if _kind(value) != kind:
        _refuse(f"its pickle has something else in place of a {kind}")
    return value.content


CALLABLES: dict[str, Callable[[PickleCheck, list[Any]], _Part]] = {
    "collections OrderedDict": PickleCheck._ordered_dict,
    "torch._utils _rebuild_tensor_v2": PickleCheck._tensor,
    "torch._utils _rebuild_parameter": PickleCheck._parameter,
    "_codecs encode": PickleCheck._bytes,
    "__builtin__ set": PickleCheck._collection,
    "torch Size": PickleCheck._collection,
    "torch device": PickleCheck._device,
}
EMPTY_TUPLE = _Part("tuple", 1, [])
STOP = ord(".")
INSTRUCTIONS: dict[int, Callable[[PickleCheck], None]] = {
    0x80: PickleCheck._protocol,
    ord("X"): PickleCheck._text,
    ord("J"): lambda check: check._number(4, signed=True),
    ord("K"): lambda check: check._number(1, signed=False),
    ord("M"): lambda check: check._number(2, signed=False),
    0x8A: PickleCheck._long,
    ord("G"): PickleCheck._float,
    ord("N"): lambda check: check._stack.append(None),
    0x88: lambda check: check._stack.append(True),
    0x89: lambda check: check._stack.append(False),
    ord("("): PickleCheck._mark,
    ord(")"): lambda check: check._stack.append(EMPTY_TUPLE),
    0x85: lambda check: check._tuple(1),
    0x86: lambda check: check._tuple(2),
    0x87: lambda check: check._tuple(3),
    ord("t"): PickleCheck._tuple,
    ord("]"): lambda check: check._stack.append(_Part("list")),
    ord("a"): PickleCheck._append,
    ord("e"): lambda check: check._add("list", check._items()),
    ord("}"): lambda check: check._stack.append(_Part("dict")),
    ord("s"): PickleCheck._set_item,
    ord("u"): lambda check: check._add("dict", check._items()),
    ord("q"): lambda check: check._put(1),
    ord("r"): lambda check: check._put(4),
    ord("h"): lambda check: check._get(1),
    ord("j"): lambda check: check._get(4),
    ord("c"): PickleCheck._global,
    ord("Q"): PickleCheck._persistent,
    ord("R"): PickleCheck._call,
    ord("b"): PickleCheck._build,
}
