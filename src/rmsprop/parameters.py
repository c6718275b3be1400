"""What a user hands to an optimizer: one array, a list or a dict, checked before anything is touched."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rmsprop.layout import span

Array = NDArray[Any]
Arrays = Array | Sequence[Array] | Mapping[Any, Array]

# In what each parameter dtype is computed; state is kept in the same precision.
COMPUTED = {
    "float16": "float32",
    "float32": "float32",
    "float64": "float64",
    "complex64": "complex64",
    "complex128": "complex128",
}


class Parameters:
    """The arrays to be updated, each with its name: its key in a dict, its index in a list, 0 for a single array.

    Args:
        params: one array, a list or tuple, or a dict of arrays of COMPUTED's dtypes.

    Raises:
        TypeError: something is not such an array.
        ValueError: an array is read-only, or two overlap, or one overlaps itself.
    """

    def __init__(self, params: Arrays) -> None:
        """Check the arrays and keep references to them."""
        self.single = isinstance(params, np.ndarray)
        self.keyed = isinstance(params, Mapping)
        named = dict(_named(params, "params"))
        for name, array in named.items():
            _check(name, array)
        self.names = tuple(named)
        # A subclass may mean something else by its operators, as np.matrix does by *.
        self.arrays = tuple(a if type(a) is np.ndarray else a.view(np.ndarray) for a in named.values())
        refuse_overlaps(self.names, self.arrays)

    def structured(self, values: Sequence[Any]) -> Any:
        """Return one value for each array in the structure that the user gave."""
        if self.single:
            return values[0]
        return dict(zip(self.names, values, strict=True)) if self.keyed else list(values)

    def ordered(self, grads: Any) -> Sequence[Any]:
        """Return the gradients in the order of the arrays.

        Args:
            grads: in the structure of the parameters; None stands for a parameter that is left alone.

        Raises:
            TypeError: the structure is another.
            ValueError: a gradient is missing, or one too many.
        """
        if self.single:
            if isinstance(grads, list | tuple | Mapping):
                raise TypeError(f"grads must be one array, as params is, got {_kind(grads)}")
            return (grads,)
        if self.keyed:
            if not isinstance(grads, Mapping):
                raise TypeError(f"grads must be a dict with the keys of params, got {_kind(grads)}")
            if grads.keys() != set(self.names):
                missing = [name for name in self.names if name not in grads]
                raise ValueError(
                    f"grads lacks {missing[0]!r}; pass None for a parameter that has no gradient"
                    if missing
                    else f"grads has {next(key for key in grads if key not in self.names)!r}, which params lacks"
                )
            return [grads[name] for name in self.names]
        if not isinstance(grads, list | tuple):
            raise TypeError(f"grads must be a list of {len(self.names)} arrays, as params is, got {_kind(grads)}")
        if len(grads) != len(self.names):
            raise ValueError(f"grads must have {len(self.names)} arrays, as params has, got {len(grads)}")
        return grads

    def fitting(self, index: int, g: Any) -> Array:
        """Return a gradient as an array that fits the parameter of that index.

        Raises:
            TypeError: it is not an array, or of a dtype that cannot become the parameter's.
            ValueError: its shape differs.
        """
        return _fitting(self.names[index], self.arrays[index], g)


def _named(params: Any, what: str) -> Iterator[tuple[Any, Any]]:
    """Yield the name and the value of each entry."""
    if isinstance(params, Mapping):
        return iter(params.items())
    if isinstance(params, list | tuple):
        return iter(enumerate(params))
    if isinstance(params, np.ndarray):
        return iter([(0, params)])
    raise TypeError(f"{what} must be a NumPy array, or a list or dict of them, got {_kind(params)}; they are updated in place")


def _check(name: Any, array: Any) -> None:
    """Refuse what cannot be updated in place."""
    if not isinstance(array, np.ndarray) or isinstance(array, np.ma.MaskedArray):
        raise TypeError(f"parameter {name!r} must be a NumPy array, updated in place, got {_kind(array)}")
    if array.dtype.name not in COMPUTED:
        raise TypeError(f"parameter {name!r} must be one of {', '.join(COMPUTED)}, got {array.dtype}; convert it with .astype")
    if not array.flags.writeable:
        raise ValueError(f"parameter {name!r} is read-only and would be updated in place; pass a copy of it")


def _fitting(name: Any, p: Array, g: Any) -> Array:
    """Return a gradient as an array that fits its parameter, or refuse it."""
    if isinstance(g, np.ma.MaskedArray):
        raise TypeError(f"the gradient of {name!r} is a masked array; fill it first, or pass None to leave the parameter alone")
    try:
        array = np.asarray(g)
    except (TypeError, ValueError) as error:
        raise TypeError(f"the gradient of {name!r} must be an array of shape {p.shape}, got {_kind(g)}") from error
    if not np.can_cast(array.dtype, p.dtype, "same_kind") or array.dtype.kind == "b":
        raise TypeError(f"the gradient of {name!r} must be convertible to {p.dtype}, got {array.dtype}")
    if array.shape != p.shape:
        raise ValueError(f"the gradient of {name!r} must have shape {p.shape}, got {array.shape}")
    return array


def refuse_overlaps(names: Sequence[Any], arrays: Sequence[Array]) -> None:
    """Refuse arrays that share memory: an element that is there twice would be updated twice."""
    for name, array in zip(names, arrays, strict=True):
        if _overlaps_itself(array):
            raise ValueError(
                f"parameter {name!r} may hold some elements more than once (strides {array.strides}); pass a copy of it"
            )
    spans = sorted((*span(array), i) for i, array in enumerate(arrays) if array.size)
    reach: list[tuple[int, int]] = []  # end and index of the earlier arrays that reach furthest
    for low, high, i in spans:
        reach = [(end, j) for end, j in reach if end > low]
        for _, j in reach:
            if _share(arrays[i], arrays[j]):
                raise ValueError(
                    f"parameters {names[min(i, j)]!r} and {names[max(i, j)]!r} share memory and would be updated twice; "
                    "pass the memory once, or copies"
                )
        reach.append((high, i))


def _share(one: Array, other: Array) -> bool:
    """Return whether two arrays have an element in common; where that is too hard to say, they count as sharing."""
    try:
        return np.shares_memory(one, other, max_work=100_000)  # type: ignore[arg-type]  # typed as -1 or 0, documented as any number
    except np.exceptions.TooHardError:
        return True


def _overlaps_itself(array: Array) -> bool:
    """Return whether two indices lead to the same memory."""
    if array.size < 2 or array.flags.contiguous:
        return False
    reach = array.itemsize
    for stride, size in sorted((abs(stride), size) for stride, size in zip(array.strides, array.shape, strict=True) if size > 1):
        if stride < reach:
            break
        reach += stride * (size - 1)
    else:
        return False  # each stride clears what the smaller ones span
    if array.size > 1_000_000:
        return True  # strides that interleave, on an array too large to look at each element
    starts = sum(np.ix_(*(stride * np.arange(size) for stride, size in zip(array.strides, array.shape, strict=True))))
    return bool((np.diff(np.sort(np.ravel(starts))) < array.itemsize).any())


def _kind(value: Any) -> str:
    """Return what a value is, for a message."""
    return "None" if value is None else f"a {type(value).__name__}"
