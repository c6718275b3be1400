"""What a pickle that `torch.save` wrote would make, found out from its opcodes without making anything.

`torch.load(weights_only=True)` runs no code that a file brings along, but it takes whatever memory the file asks for: a storage of
any size, a tensor that is larger than its storage, the same list over and over. Here every opcode is followed with stand-ins, and
what torch.save does not write is refused. What is left takes no more memory than a multiple of what the file holds.
"""

import io
import pickletools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

from rmsprop.checkpoint.errors import FileError

# The longest pickle that is followed, in bytes. An entry of one parameter takes some 500.
LONGEST = 1 << 26

# Bytes of one element.
_STORAGES = {
    "torch.DoubleStorage": 8,
    "torch.FloatStorage": 4,
    "torch.HalfStorage": 2,
    "torch.BFloat16Storage": 2,
    "torch.LongStorage": 8,
    "torch.IntStorage": 4,
    "torch.ShortStorage": 2,
    "torch.CharStorage": 1,
    "torch.ByteStorage": 1,
    "torch.BoolStorage": 1,
    "torch.ComplexFloatStorage": 8,
    "torch.ComplexDoubleStorage": 16,
    "torch.storage.UntypedStorage": 1,
}
_DTYPES = {
    **dict.fromkeys(("torch.float64", "torch.int64", "torch.uint64", "torch.complex64"), 8),
    **dict.fromkeys(("torch.float32", "torch.int32", "torch.uint32", "torch.complex32"), 4),
    **dict.fromkeys(("torch.float16", "torch.bfloat16", "torch.int16", "torch.uint16"), 2),
    **dict.fromkeys(("torch.int8", "torch.uint8", "torch.bool"), 1),
    **dict.fromkeys(("torch.float8_e4m3fn", "torch.float8_e5m2", "torch.float8_e4m3fnuz", "torch.float8_e5m2fnuz"), 1),
    "torch.complex128": 16,
}
_V3 = "torch._utils._rebuild_tensor_v3"
_TENSORS = ("torch._utils._rebuild_tensor", "torch._utils._rebuild_tensor_v2", _V3)
_PARAMETER = "torch._utils._rebuild_parameter"
# What makes a container or a small value of arguments that are there already.
_OTHERS = {
    "collections.OrderedDict": "ordered",
    "collections.Counter": "dict",
    "builtins.complex": "other",
    "torch.Size": "other",
    "torch.device": "other",
    "torch.serialization._get_layout": "other",
    "_codecs.encode": "other",
}
_KNOWN = {*_STORAGES, *_DTYPES, *_TENSORS, _PARAMETER, *_OTHERS}
_CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False}
_NUMBERS = ("BININT", "BININT1", "BININT2", "LONG1", "BINFLOAT", "BINUNICODE")
_EMPTY = {"EMPTY_DICT": "dict", "EMPTY_LIST": "list"}
# Hashes of integers beyond this are made to collide easily.
_PLAIN_KEY = 1 << 60

ALONE = "save the optimizer's state by itself: torch.save(optimizer.state_dict(), path)"


@dataclass(frozen=True, slots=True)
class _Name:
    """A class, a function or a dtype."""

    path: str


@dataclass(frozen=True, slots=True)
class _Tuple:
    """A tuple, and how many values are in it, however deep."""

    items: tuple[Any, ...]
    weight: int


@dataclass(slots=True)
class _Made:
    """Any other object, and how many values are in it."""

    kind: str
    weight: int = 1
    newest: Any = None  # key of a dict


class Storage(NamedTuple):
    """The memory of tensors, as a pickle declares it."""

    dtype: str
    elements: int

    @property
    def itemsize(self) -> int:
        """Bytes of one element."""
        return _STORAGES[self.dtype]

    @property
    def nbytes(self) -> int:
        """Bytes of all elements."""
        return self.elements * self.itemsize


def follow(stream: io.BytesIO, held: Callable[[str], int]) -> dict[str, Storage]:
    """Return the storages that one pickle declares, by key, or refuse it; the stream then stands behind it.

    Args:
        stream: stands where the pickle begins.
        held: the number of bytes that the file has for a key.

    Raises:
        FileError: it is malformed, makes more than a file holds, or has what no state of an optimizer needs.
    """
    machine = _Machine(held)
    try:
        for code, argument, place in pickletools.genops(stream):
            machine.take(code.name, argument, place or 0)
    except (ValueError, IndexError, KeyError, AttributeError, TypeError, OverflowError) as error:
        if isinstance(error, FileError):
            raise
        raise FileError(f"its pickle is malformed or cut short ({error})") from None
    return machine.storages


class _Machine:
    """What a pickle has made so far; the steps are those of PyTorch's own `_weights_only_unpickler`."""

    def __init__(self, held: Callable[[str], int]) -> None:
        """Begin with nothing."""
        self.held = held
        self.storages: dict[str, Storage] = {}
        self.stack: list[Any] = []
        self.below: list[list[Any]] = []
        self.memo: dict[int, Any] = {}
        self.copied = 0  # values that were hashed or put in another container; each was paid for with a byte, but for repeats

    def take(self, code: str, argument: Any, place: int) -> None:
        """Take one step."""
        stack = self.stack
        if code in _NUMBERS:
            stack.append(argument)
        elif code in _CONSTANTS:
            stack.append(_CONSTANTS[code])
        elif code in _EMPTY:
            stack.append(_Made(_EMPTY[code]))
        elif code in ("BINPUT", "LONG_BINPUT"):
            self.memo[argument] = stack[-1]
        elif code in ("BINGET", "LONG_BINGET"):
            stack.append(self.memo[argument])
        elif code == "MARK":
            self.below.append(stack)
            self.stack = []
        elif code == "EMPTY_TUPLE":
            stack.append(_Tuple((), 1))
        elif code == "TUPLE":
            items = self._marked()
            self.stack.append(_tuple(items))
        elif code in ("TUPLE1", "TUPLE2", "TUPLE3"):
            count = int(code[-1])
            stack[-count:] = [_tuple([stack[k] for k in range(-count, 0)])]
        elif code in ("APPEND", "APPENDS"):
            items = self._marked() if code == "APPENDS" else [stack.pop()]
            self._top("list").weight += sum(map(_weight, items))
        elif code in ("SETITEM", "SETITEMS"):
            items = self._marked() if code == "SETITEMS" else [stack.pop(-2), stack.pop()]
            for key in items[::2]:
                self._hashed(key, place)
            top = self._top("dict", "ordered")
            top.weight += len(items)
            top.newest = items[-2] if items else top.newest
        elif code == "GLOBAL":
            stack.append(_named(argument))
        elif code == "REDUCE":
            arguments = stack.pop()
            stack[-1] = self._called(stack[-1].path, arguments.items, place)
        elif code == "BUILD":
            attributes = stack.pop()
            # A model's state_dict has this one; others could take the place of a dict's own methods.
            if (attributes.weight, attributes.newest) != (3, "_metadata"):
                raise FileError(f"it sets attributes of an object; {ALONE}")
            self._top("ordered")
        elif code == "BINPERSID":
            stack.append(self._storage(stack.pop().items))
        elif code == "STOP":
            stack.pop()
        elif code != "PROTO" or argument != 2:
            raise FileError(f"its pickle has {code} {argument if code == 'PROTO' else ''}, which torch.save does not write")

    def _marked(self) -> list[Any]:
        """Return what was put on the stack since the last mark."""
        items, self.stack = self.stack, self.below.pop()
        return items

    def _top(self, *kinds: str) -> _Made:
        """Return the object on top of the stack, which must be of some kind."""
        top = self.stack[-1]
        if not isinstance(top, _Made) or top.kind not in kinds:
            raise ValueError(f"no {' or '.join(kinds)} to put something into")
        return top

    def _copied(self, weight: int, place: int) -> None:
        """Refuse repeats: values that take much more time than they take bytes."""
        self.copied += weight
        if self.copied > 64 * (place + 1024):
            raise FileError("its pickle repeats itself without end")

    def _hashed(self, key: Any, place: int) -> None:
        """Refuse a key that takes long to find."""
        if isinstance(key, _Tuple) and not any(isinstance(item, _Tuple) for item in key.items):
            self._copied(key.weight, place)
            for item in key.items:
                self._hashed(item, place)
        elif isinstance(key, int) and abs(key) > _PLAIN_KEY:
            raise FileError(f"it has the key {key}, which no state has")
        elif not isinstance(key, str | int | float | None):
            raise FileError(f"it has keys other than words and numbers; {ALONE}")

    def _called(self, path: str, arguments: tuple[Any, ...], place: int) -> _Made:
        """Return what a function makes, or refuse it."""
        if path in _TENSORS:
            _check_tensor(path, arguments)
            return _Made("tensor")
        if path == _PARAMETER and isinstance(arguments[0], _Made) and arguments[0].kind == "tensor":
            return _Made("tensor")
        if path not in _OTHERS:
            raise FileError(f"it calls {path}, which no state of an optimizer needs; {ALONE}")
        if path == "_codecs.encode" and arguments[1:] != ("latin1",):
            raise FileError(f"it calls {path} with {arguments[1:]!r}, as torch.save does not")
        weight = sum(map(_weight, arguments))
        self._copied(weight, place)
        return _Made(_OTHERS[path], weight)

    def _storage(self, declared: tuple[Any, ...]) -> Storage:
        """Return a storage, or refuse one that the file does not hold."""
        word, dtype, key, _, elements, *view = declared
        if (
            word != "storage"
            or not isinstance(key, str)
            or type(elements) is not int
            or elements < 0
            or any(v is not None for v in view)
        ):
            raise ValueError("a tensor's memory is declared as torch.save does not")
        storage = Storage(dtype.path, elements)
        if storage.nbytes > self.held(key):
            raise FileError(f"it declares {storage.nbytes} bytes for tensor memory {key!r} and holds {self.held(key)}")
        if self.storages.setdefault(key, storage) != storage:
            raise FileError(f"it declares tensor memory {key!r} twice, differently")
        return storage


def _weight(value: Any) -> int:
    """Return how many values are in a value, itself included."""
    return value.weight if isinstance(value, _Tuple | _Made) else 1


def _tuple(items: list[Any]) -> _Tuple:
    """Return a tuple."""
    return _Tuple(tuple(items), min(1 + sum(map(_weight, items)), 1 << 62))


def _named(argument: str) -> _Name:
    """Return a class, a function or a dtype by its name, or refuse it."""
    path = argument.replace(" ", ".", 1).replace("__builtin__.", "builtins.", 1)
    if path.startswith("torch.distributed."):
        raise FileError(
            f"it holds {path}: shards of a distributed run; save torch.distributed.checkpoint.state_dict."
            "get_optimizer_state_dict(model, optimizer, options=StateDictOptions(full_state_dict=True, cpu_offload=True))"
        )
    if path not in _KNOWN:
        raise FileError(f"it holds {path}, which is no number, tensor or container, and is not loaded; {ALONE}")
    return _Name(path)


def _check_tensor(path: str, arguments: tuple[Any, ...]) -> None:
    """Refuse a tensor that is larger than its storage, which PyTorch would enlarge."""
    storage, offset, size, stride, *rest = arguments
    if not isinstance(storage, Storage):
        raise ValueError("a tensor without memory")
    elements = storage.nbytes // _DTYPES[rest[2].path] if path == _V3 else storage.elements
    numbers = (offset, *size.items, *stride.items)
    if any(type(number) is not int or number < 0 for number in numbers) or len(size.items) != len(stride.items):
        raise ValueError("a tensor's size and strides are malformed")
    if all(size.items) and offset + sum((n - 1) * step for n, step in zip(size.items, stride.items, strict=True)) >= elements:
        raise FileError(
            f"it declares a tensor of size {size.items}, with strides {stride.items}, in a memory of {elements} elements"
        )
