"""What is compiled for NVIDIA's GPUs, which need not be there: widths of accesses, rounding, registers."""

import re
import subprocess
from collections import Counter
from functools import cache
from typing import Any

import pytest

pytest.importorskip("torch", reason="PyTorch is not installed")
pytest.importorskip("triton", reason="Triton is not installed; it exists for Linux only")

from triton import knobs

from rmsprop.kernels import gpu
from rmsprop.kernels.gpu.build import TILE, WARPS
from rmsprop.rule import Rule
from tests.cases import RULES

BYTES = {"float16": 2, "bfloat16": 2, "float32": 4, "float64": 8, "complex64": 4, "complex128": 8}  # of a real number in memory
COMPUTED = {"float16": "float32", "bfloat16": "float32"}
WIDE = re.compile(r"\b(ld|st)\.global(?:\.\w+)*?\.(?:v4\.[bfu]32|v2\.[bfu]64)\b")
BRANCHES = {rule.branches: name for name, rule in reversed(RULES.items())}  # one rule for each set of branches
PLAIN, EVERYTHING = RULES["pytorch"], RULES["everything"]
STATEFUL = {"scaled": True, "averaged": True, "on_device": True}

# The types and switches that matter most; then every branch of the rule, and the others, which take minutes to compile.
FIRST = [
    (PLAIN, "float32", 80, {}),
    (PLAIN, "float32", 90, {}),
    (PLAIN, "bfloat16", 80, {}),
    (PLAIN, "bfloat16", 90, {}),
    (RULES["centered, momentum"], "float32", 90, {}),
    (RULES["modulus, everything"], "complex64", 90, {}),
    (EVERYTHING, "bfloat16", 90, {**STATEFUL, "stochastic": True}),
]
SEEN = {(rule.branches, stored, capability) for rule, stored, capability, switches in FIRST if not switches}
OTHERS = [
    (rule, stored, capability, {})
    for rule in BRANCHES
    for stored, capability in (("float32", 90), ("bfloat16", 80))
    if (rule, stored, capability) not in SEEN
]
OTHERS += [
    (rule, stored, capability, switches)
    for capability in (80, 90)
    for rule, stored, switches in [
        (PLAIN, "float16", {}),
        (PLAIN, "float64", {}),
        (PLAIN, "complex64", {}),
        (EVERYTHING, "float32", STATEFUL),
        (EVERYTHING, "float64", STATEFUL),
        (EVERYTHING, "float16", {**STATEFUL, "stochastic": True}),
        (RULES["modulus, everything"], "complex128", STATEFUL),
    ]
]


def named(rule: Rule, stored: str, capability: int, switches: dict[str, bool], **marks: Any) -> Any:
    """Return a kernel as a parameter of a test."""
    return pytest.param(
        rule, stored, capability, switches, id=", ".join([BRANCHES[rule.branches], stored, *switches, f"sm_{capability}"]), **marks
    )


KERNELS = [named(*each) for each in FIRST] + [named(*each, marks=pytest.mark.slow) for each in OTHERS]
each_kernel = pytest.mark.parametrize(("rule", "stored", "capability", "switches"), KERNELS)


def kernel(rule: Rule, stored: str, capability: int, switches: dict[str, bool]):
    """Compile a kernel as a launch would."""
    computed = COMPUTED.get(stored, stored)
    if computed.startswith("complex") and rule.complex_form == "parts":
        stored = computed = {"complex64": "float32", "complex128": "float64"}[computed]
    return _kernel(rule, stored, computed, capability, tuple(switches.items()))


@cache
def _kernel(rule, stored, computed, capability, switches):
    return gpu.compiled(rule, stored, computed, capability=capability, **dict(switches))


def wide(rule: Rule, stored: str, switches: dict[str, bool]) -> dict[str, float]:
    """Return how many loads and stores of 16 bytes one thread needs for its share of a tile in every array."""
    state = 4 if stored in COMPUTED else BYTES[stored]
    joint = stored.startswith("complex") and rule.complex_form == "modulus"
    v = state / 2 if joint else state
    rest = state * (rule.centered + (rule.momentum > 0) + switches.get("averaged", False))
    share = TILE / (32 * WARPS) / 16
    return {"ld": share * (2 * BYTES[stored] + v + rest), "st": share * (BYTES[stored] + v + rest)}


@each_kernel
def test_a_full_tile_is_moved_16_bytes_at_a_time(rule, stored, capability, switches):
    found = Counter(WIDE.findall(kernel(rule, stored, capability, switches).asm["ptx"]))
    assert found == wide(rule, stored, switches)


@each_kernel
def test_machine_code_has_those_accesses_and_no_local_memory(rule, stored, capability, switches, tmp_path):
    compiled = kernel(rule, stored, capability, switches)
    cubin = tmp_path / "kernel.cubin"
    cubin.write_bytes(compiled.asm["cubin"])
    code = tool(knobs.nvidia.nvdisasm.path, "--print-code", str(cubin))
    needed = wide(rule, stored, switches)
    assert len(re.findall(r"\bLDG\.E[.\w]*\.128\b", code)) == needed["ld"]
    assert len(re.findall(r"\bSTG\.E[.\w]*\.128\b", code)) == needed["st"]
    assert not re.findall(r"\b(?:LDL|STL)\b[^\n]*", code)  # local memory, where registers are spilled to
    used = tool(knobs.nvidia.cuobjdump.path, "--dump-resource-usage", str(cubin))
    assert re.search(r"\bSTACK:0\b.*\bLOCAL:0\b", used), used
    registers = int(re.search(r"\bREG:(\d+)", used)[1])
    # Of 65,536: two programs at least are on a multiprocessor at once, so that one loads while the other stores.
    if not switches and BYTES[stored] <= 4:
        assert registers * 32 * WARPS * 2 <= 65_536


def tool(path: str, *arguments: str) -> str:
    """Run one of the tools that come with Triton."""
    return subprocess.run([path, *arguments], capture_output=True, text=True, timeout=60, check=True).stdout


@each_kernel
def test_each_operation_is_rounded_by_itself_to_nearest(rule, stored, capability, switches):
    ptx = kernel(rule, stored, capability, switches).asm["ptx"]
    assert operations(ptx, r"(?:add|sub|mul|div|sqrt|rcp|rsqrt|fma|ex2|lg2)") <= {
        f"{what}.rn.{kind}" for what in ("add", "sub", "mul", "div", "sqrt") for kind in ("f32", "f64")
    }
    assert operations(ptx, "div") == {f"div.rn.{real(stored)}"}
    assert operations(ptx, "sqrt") == {f"sqrt.rn.{real(stored)}"}
    assert ".ftz" not in ptx  # numbers below the smallest normal one are numbers
    assert ".approx" not in ptx


def operations(ptx: str, what: str) -> set[str]:
    """Return the floating-point instructions of a kind."""
    return set(re.findall(rf"^\s*(?:@!?%p\d+\s+)?({what}(?:\.\w+)*\.f(?:16x2|16|32|64))\b", ptx, re.M))


def real(stored: str) -> str:
    """Return PTX's name of the arithmetic's type."""
    return "f64" if stored in ("float64", "complex128") else "f32"


@pytest.mark.parametrize("capability", [80, 90])
def test_approximate_forms_are_told_apart(capability):
    """What is asserted to be absent above is there when it is asked for."""
    ptx = kernel(PLAIN, "float32", capability, {"approximate": True}).asm["ptx"]
    assert {"fma.rn.f32", "div.full.f32"} <= operations(ptx, "(?:fma|div)")
    assert ".approx" in ptx
