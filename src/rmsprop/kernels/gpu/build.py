"""Kernels for a rule, types and switches: the device code with its constants, and what Triton is told about its arguments."""

import ast
from functools import cache
from typing import Any, NamedTuple

import numpy as np

from rmsprop.kernels.gpu import elements, launch, primitives
from rmsprop.kernels.gpu import prepare as preparing
from rmsprop.kernels.gpu import reduce as reducing
from rmsprop.kernels.gpu import sweep as sweeping
from rmsprop.kernels.gpu.launch import Kernel
from rmsprop.kernels.gpu.spelling import spelled
from rmsprop.kernels.precision import REAL, biases, floor
from rmsprop.kernels.rounding import noise, scatter, seeded
from rmsprop.rule import Rule, Scalars, average, bind, modulus_square, rebound, square, update

# Elements of a program, and the threads that share them: 8 each, two accesses of 16 bytes on their way for every float32 array.
# With 16, a centered rule with momentum takes 254 registers a thread, which leaves a multiprocessor to one program at a time.
TILE, WARPS = 2048, 8
WIDTH = 128  # tensors of a program that prepares a step

_SCALARS = (*Scalars._fields, "gain", "keep", "rest")


class Variant(NamedTuple):
    """What a sweep is compiled for."""

    rule: Rule  # only the branches that it takes count
    stored: str  # dtype name of parameters and gradients in memory
    computed: str  # dtype name of the arithmetic and of the state
    scaled: bool = False  # gradients are multiplied by a scalar first
    averaged: bool = False  # a moving average of the parameters is kept
    stochastic: bool = False  # 16-bit parameters are rounded up or down by chance
    on_device: bool = False  # scalars and counts are read on the device, where `prepare` left them
    approximate: bool = False  # the hardware's approximate division and root, and fused multiply-adds


def sweep_for(variant: Variant) -> Kernel:
    """Return the kernel that updates all tensors of a batch."""
    return _sweep_for(variant._replace(rule=variant.rule.branches), TILE, launch.interpreted())


@cache
def _sweep_for(variant: Variant, tile: int, interpreted: bool) -> Kernel:
    _, tl = launch.modules()
    rule, real = variant.rule, REAL.get(variant.computed, variant.computed)
    joint = variant.computed in REAL
    names: dict[str, Any] = {"tl": tl, "TILE": tl.constexpr(tile), "REAL": tl.constexpr(_type(real))}
    names |= {name: tl.constexpr(getattr(sweeping, name)) for name in _LAYOUT}
    names |= {"CENTERED": tl.constexpr(rule.centered), "MOMENTUM": tl.constexpr(rule.momentum > 0)}
    names |= {name.upper(): tl.constexpr(getattr(variant, name)) for name in ("scaled", "averaged", "stochastic", "on_device")}
    names["LEAST"] = tl.constexpr(floor(real))

    for stream in "pgvmbe":
        stored = REAL.get(variant.stored, variant.stored) if stream in "pg" else real
        own = {**names, **_moving(stored, real, tile)}
        if stream == "p":
            names["held"] = _jit(sweeping.memory, own)
        for name in ("load", "store"):
            if joint and stream == "v":
                half = {**names, **_moving(stored, real, tile // 2)}
                own[f"{name}_half"] = _jit(getattr(elements, name), half, "half")
                names[f"{name}_v"] = _jit(getattr(elements, f"{name}_joint"), own)
            else:
                names[f"{name}_{stream}"] = _jit(getattr(elements, name), own, stream)
    exact = real == "float32" and not variant.approximate
    called = {
        "sqrt": _jit(primitives.sqrt if exact else primitives.wide_sqrt, names),
        "divide": _jit(primitives.divide if exact else primitives.wide_divide, names),
        "flush": _jit(primitives.flush, names),
        "square": _jit(square, names),
    }
    if joint:
        parts = {"real": _jit(primitives.real, names), "imag": _jit(primitives.imag, names)}
        modulus = _jit(spelled(modulus_square, {"real": "real", "imag": "imag"}), parts)
        called["square"] = _jit(primitives.joint_square, {**names, "modulus_square": modulus})
    divided = spelled(update, {ast.Div: "divide"})
    names["update"] = bind(rule, **called, function=divided, compile=_compile, wrap=tl.constexpr, tl=tl)
    names["blend"] = _jit(average, names)
    if variant.stochastic:
        names |= {"seeded": _jit(seeded, names), "noise": _jit(noise, names), "scatter": _scatter(names, variant.stored)}
    names["tile"] = _jit(sweeping.advance, names)
    pointer = f"*{_SHORT[real]}"
    signature = {"table": "*i64", "gradients": "*i64", "tiles": "*i32", "numbers": pointer, "counts": "*fp32"}
    signature |= {"tensors": "i64", "count": "i64"} | dict.fromkeys(_SCALARS, _SHORT[real])
    return Kernel(_jit(sweeping.sweep, names), signature, WARPS, fused=variant.approximate)


def _moving(stored: str, real: str, tile: int) -> dict[str, Any]:
    """Return what `elements` needs for tiles of numbers of one type in memory and another in the arithmetic."""
    _, tl = launch.modules()
    if stored == "bfloat16":
        convert = {"widen": elements.widened_bfloat16, "narrow": elements.nearest_bfloat16}
    else:
        convert = {"widen": elements.converted, "narrow": elements.stored}
    names = {"COMPUTED": tl.constexpr(_type(real)), "STORED": tl.constexpr(_type(stored))}
    memory = tl.uint16 if stored == "bfloat16" else _type(stored)  # as the bits that it is
    found = {"TILE": tl.constexpr(tile), "POINTER": tl.constexpr(tl.pointer_type(memory))}
    found["aligned"] = _jit(elements.aligned, found, stored)
    return found | {name: _jit(function, names, stored) for name, function in convert.items()}


def _scatter(names: dict[str, Any], stored: str) -> Any:
    """Return `scatter` for a 16-bit type."""
    _, tl = launch.modules()
    own = {name: _jit(getattr(primitives, name), names) for name in ("bits", "number", "wide", "where", "floor")}
    own |= {"abs": _jit(primitives.absolute, names), "FLOAT16": tl.constexpr(stored == "float16")}
    return _jit(scatter, own)


class Told(NamedTuple):
    """What a step's scalars are made of on the device."""

    computed: str  # dtype name of the arithmetic
    lr: str | None = None  # dtype name of the learning rate there; None where the host knows it
    gain: str | None = None  # of the gradients' factor
    skippable: bool = False  # the device decides whether to skip the step


def prepare_for(rule: Rule, told: Told) -> Kernel:
    """Return the kernel that makes a step's scalars where only the device knows them."""
    at_0, at_1 = rule.scalars(0.0, 1), rule.scalars(1.0, 1)
    by_lr = tuple(getattr(at_0, name) != getattr(at_1, name) for name in ("inner", "outer", "weight_decay"))
    return _prepare_for(by_lr, rule.bias_correction, told, launch.interpreted())


@cache
def _prepare_for(by_lr: tuple[bool, ...], bias_correction: bool, told: Told, interpreted: bool) -> Kernel:
    _, tl = launch.modules()
    real = REAL.get(told.computed, told.computed)
    names: dict[str, Any] = {"tl": tl, "WIDTH": tl.constexpr(WIDTH), "REAL": tl.constexpr(_type(real))}
    names |= {name: tl.constexpr(getattr(sweeping, name)) for name in _LAYOUT}
    switches = {"BIAS_CORRECTION": bias_correction, "SKIPPABLE": told.skippable}
    switches |= {"LR_ON_DEVICE": told.lr is not None, "GAIN_ON_DEVICE": told.gain is not None}
    switches |= {f"{name}_BY_LR": on for name, on in zip(("INNER", "OUTER", "DECAY"), by_lr, strict=True)}
    names |= {name: tl.constexpr(on) for name, on in switches.items()}
    power = _jit(preparing.integer_power, names)
    names["where"] = _jit(primitives.where, names)
    names["biases"] = _jit(spelled(biases, {ast.Pow: "power"}), {**names, "power": power})
    signature = {"table": "*i64", "numbers": f"*{_SHORT[real]}", "counts": "*fp32"}
    signature |= {"lr": f"*{_SHORT[told.lr or 'float64']}", "scale": f"*{_SHORT[told.gain or 'float64']}", "skip": "*i8"}
    signature |= {"tensors": "i64"} | dict.fromkeys(("inner", "outer", "weight_decay", "decay", "gain"), "fp64")
    return Kernel(_jit(preparing.prepare, names), signature, warps=4)


def reduce_for(stored: str, *, squares: bool) -> Kernel:
    """Return the kernel that takes the sum of squares of each tile, or its largest magnitude.

    Args:
        stored: dtype name of the real numbers in memory.
        squares: which of the two.
    """
    return _reduce_for(stored, squares, TILE, launch.interpreted())


@cache
def _reduce_for(stored: str, squares: bool, tile: int, interpreted: bool) -> Kernel:
    _, tl = launch.modules()
    real = stored if stored == "float64" else "float32"
    names: dict[str, Any] = {"tl": tl, "TILE": tl.constexpr(tile), "SIZE": tl.constexpr(sweeping.SIZE)}
    names["load"] = _jit(elements.load, {**names, **_moving(stored, real, tile)})
    names["combine"] = _jit(reducing.add if squares else reducing.greater, names)
    names["part"] = _jit(reducing.sum_of_squares if squares else reducing.largest, names)
    signature = {"table": "*i64", "arrays": "*i64", "tiles": "*i32", "results": "*fp64", "tensors": "i64"}
    return Kernel(_jit(reducing.reduce, names), signature, WARPS)


def tile_map(sizes: Any) -> Any:
    """Return the tiles of some tensors as `sweep` reads them: (tiles, 2) int32, the tensor of each and its number within it.

    Args:
        sizes: numbers in each tensor.

    Example:
        >>> tile_map([3000, 0, 1]).tolist()
        [[0, 0], [0, 1], [2, 0]]
    """
    counts = -(np.asarray(sizes, np.int64) // -TILE)
    tiles = np.empty((int(counts.sum()), 2), np.int32)
    tiles[:, 0] = np.repeat(np.arange(len(counts), dtype=np.int32), counts)
    starts = np.cumsum(counts) - counts
    tiles[:, 1] = np.arange(len(tiles)) - np.repeat(starts, counts)
    return tiles


_LAYOUT = ("SIZE", "PLACE", "INNER", "OUTER", "DECAY", "GAIN", "SKIPPED", "COMMON")
_SHORT = {"float32": "fp32", "float64": "fp64"}


def _jit(function: Any, names: dict[str, Any], label: str = "") -> Any:
    """Return a copy of a function that looks its globals up in `names`, for Triton to compile.

    Triton tells the functions of a kernel apart by their names and the types of their arguments: those that differ in their globals
    only need a label.
    """
    copy = rebound(function, names)
    if label:
        copy.__qualname__ = f"{function.__qualname__}_{label}"
    return _compile(copy)


def _compile(copy: Any) -> Any:
    """Hand a function to Triton."""
    triton, tl = launch.modules()
    copy.__globals__.update(tl=tl, Any=tl.constexpr(None))  # annotations are looked up, and ignored
    return triton.jit(copy)


def _type(name: str) -> Any:
    """Return Triton's type of a dtype by its name."""
    return getattr(launch.modules()[1], name)
