"""Tensors as arrays and the other way round, with nothing lost on the way."""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from rmsprop.checkpoint.canonical import Array, Group, Parameter
from rmsprop.checkpoint.errors import ConversionError
from rmsprop.checkpoint.kinds import Kind
from rmsprop.checkpoint.moving import carried
from rmsprop.kernels.precision import REAL
from rmsprop.rule import Rule

_WIDER = {torch.float16: torch.float32, torch.bfloat16: torch.float32}
_WHOLE = (torch.float32, torch.float64, torch.complex64, torch.complex128)
_GATHER = (
    "gather it: torch.distributed.checkpoint.state_dict.get_optimizer_state_dict(model, optimizer, "
    "options=StateDictOptions(full_state_dict=True, cpu_offload=True))"
)


class Memory:
    """What the tensors of one state have in memory, each number of it once.

    A small file may name one tensor many times, or spread one number over a large one; as arrays they would be many times as large.
    """

    def __init__(self) -> None:
        """Begin with nothing."""
        self.left: dict[int, int] = {}

    def claim(self, tensor: Tensor, what: str) -> None:
        """Note a tensor, or refuse one whose memory another one has."""
        storage = tensor.untyped_storage()
        left = self.left.get(storage.data_ptr(), storage.nbytes()) - tensor.numel() * tensor.element_size()
        if left < 0:
            raise ConversionError(f"{what} has fewer numbers in memory than its shape {tuple(tensor.shape)} has, or shares them")
        self.left[storage.data_ptr()] = left


def plain(value: Any, what: str) -> Tensor:
    """Return a tensor that holds its own numbers, detached, or refuse it.

    Raises:
        ConversionError: it is no tensor, or a shard, sparse, quantized, without memory, or of a class that may mean anything.
    """
    if not isinstance(value, Tensor):
        raise ConversionError(f"{what} must be a tensor, got a {type(value).__name__}")
    if hasattr(value, "placements") or hasattr(value, "local_shards"):
        raise ConversionError(f"{what} is a {type(value).__name__}, of which this process has a shard; {_GATHER}")
    tensor = Tensor.detach(value)
    if type(tensor) is not Tensor:
        raise ConversionError(f"{what} is a {type(value).__name__}, which may mean anything; make a plain tensor of it")
    for kind, there in (("meta", tensor.is_meta), ("quantized", tensor.is_quantized), ("sparse", tensor.layout != torch.strided)):
        if there:
            raise ConversionError(f"{what} is a {kind} tensor, which has no number for each element; make a dense one of it")
    return tensor


def number(value: Any, what: str) -> float:
    """Return a number, which may be a tensor of one element or a number of NumPy's, or refuse it."""
    if isinstance(value, Tensor):
        tensor = plain(value, what)
        if tensor.numel() != 1 or tensor.is_complex():
            raise ConversionError(f"{what} must have one element, got a tensor of shape {tuple(tensor.shape)}")
        value = tensor.item()
    elif isinstance(value, np.number | np.ndarray) and value.size == 1:
        value = value.item()
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ConversionError(f"{what} must be a number, got a {type(value).__name__}")
    return value


def array_of(value: Any, what: str, memory: Memory) -> Array:
    """Return a copy of a tensor as an array, 16-bit numbers widened, or refuse it.

    Args:
        value: a tensor, on any device.
        what: what messages call it.
        memory: of the whole state.
    """
    tensor = plain(value, what)
    memory.claim(tensor, what)
    tensor = tensor.to(_WIDER.get(tensor.dtype, tensor.dtype)).cpu().resolve_conj().resolve_neg()
    if tensor.dtype not in _WHOLE:
        raise ConversionError(f"{what} must be floating-point or complex numbers of 16 bits or more, got {tensor.dtype}")
    return np.array(tensor.numpy())


def count_of(value: Any, what: str) -> int:
    """Return a number of steps, or refuse it."""
    count = number(value, what)
    if not (math.isfinite(count) and 0 <= count < 2**63 and count == int(count)):
        raise ConversionError(f"{what} must be a whole number of at least 0, got {count!r}")
    return int(count)


def means(name: str, step: int, held: Mapping[str, Array], rule: Rule) -> dict[str, Array]:
    """Return what a rule keeps of one parameter, from a state_dict of ours, which may hold v twice.

    A centered parameter has square_avg beside the variance, for PyTorch's own optimizer. Should that have gone on with it, the
    variance is of old; it counts where the two still agree.

    Args:
        name: of the parameter.
        step: its count of steps.
        held: its arrays.
        rule: its rule.
    """
    slot = rule.slots[0].name
    if not rule.centered or "grad_avg" not in held or not {"square_avg", "variance"} & held.keys():
        return dict(held)

    def of(form: Any, source: str) -> Array:
        """Return v in one form from that in the other."""
        here = rule.replace(centered_form="difference" if source == "square_avg" else "variance", momentum=0.0, nesterov=False)
        one = Parameter(name, step, {source: held[source], "grad_avg": held["grad_avg"]})
        return next(iter(carried(Group(here, None, (one,)), here.replace(centered_form=form)).parameters[0].slots.values()))

    if slot == "square_avg":
        return {slot: of("difference", "variance"), **held} if "variance" in held else dict(held)
    if "square_avg" not in held:
        return dict(held)
    newer = of("variance", "square_avg")
    if "variance" in held:
        written, kept = of("difference", "variance"), held["variance"]
        for part in ("real", "imag") if np.iscomplexobj(newer) else ("real",):
            agree = getattr(written, part) == getattr(held["square_avg"], part)
            getattr(newer, part)[...] = np.where(agree, getattr(kept, part), getattr(newer, part))
    return {**held, slot: newer}


def entry_of(p: Parameter, rule: Rule, kind: Kind, *, steps: bool) -> dict[str, Any]:
    """Return what an optimizer keeps of one parameter, in tensors of its own.

    Args:
        p: the parameter's state.
        rule: its rule.
        kind: whose entry.
        steps: whether the count of steps is a tensor.
    """
    if not p.slots:
        return {}
    # PyTorch counts in float32, as far as that goes.
    exact = torch.float32 if p.step <= 2**24 else torch.float64
    entry: dict[str, Any] = {"step": torch.tensor(float(p.step), dtype=exact) if steps else p.step}
    slots = dict(p.slots)
    if kind.name == "rmsprop.torch" and "variance" in slots:
        with_square = carried(Group(rule, 1.0, (p,)), rule.replace(centered_form="difference")).parameters[0]
        slots["square_avg"] = with_square.slots["square_avg"]
    names = {"square_avg": "state1"} if kind.name == "bitsandbytes" else {}
    return entry | {names.get(slot, slot): tensor_of(array) for slot, array in slots.items()}


def tensor_of(array: Array) -> Tensor:
    """Return a copy of an array as a tensor, in its order in memory."""
    return torch.from_numpy(np.array(array, array.dtype.newbyteorder("=")))


def fitted(tensor: Tensor, p: Tensor, slot: str, rule: Rule, kind: Kind, what: str) -> Tensor:
    """Return a state tensor in the dtype that an optimizer keeps beside a parameter, or refuse what would be rounded.

    Args:
        tensor: the state.
        p: the parameter.
        slot: which of its tensors.
        rule: its rule.
        kind: whose state.
        what: what messages call it.
    """
    dtype = p.dtype
    if kind.name == "rmsprop.torch":
        dtype = _WIDER.get(dtype, dtype)
        if p.is_complex() and rule.complex_form == "modulus" and slot in ("square_avg", "variance"):
            dtype = getattr(torch, REAL[str(dtype).removeprefix("torch.")])
    elif kind.name == "bitsandbytes":
        dtype = torch.float32
    if p.is_complex() and rule.complex_form == "modulus" and slot in ("square_avg", "variance") and dtype.is_complex:
        raise ConversionError(f"{what} is one mean for both parts of complex numbers, and {kind.optimizer} keeps one for each part")
    if tensor.is_complex() != dtype.is_complex:
        raise ConversionError(f"{what} is {tensor.dtype} and its parameter {p.dtype}; it belongs to another parameter")
    cast = tensor.to(dtype)
    if not ((cast.to(tensor.dtype) == tensor) | tensor.isnan()).all():
        keeps = f"{kind.optimizer} keeps it in {dtype} beside a parameter of {p.dtype}"
        remedy = "; 'rmsprop.torch' keeps float32" if p.dtype in _WIDER else "; make the parameter as wide as the state"
        raise ConversionError(
            f"{what} is {tensor.dtype} and would be rounded: {keeps}{remedy if kind.name != 'bitsandbytes' else ''}"
        )
    return cast
