"""Replays traces that live packages left behind (`golden/*.json`, format in `golden/cases.py`), without those packages.

The replay starts from fresh state and is never set back to the trace, so that drift shows. An error that was made once stays in p
and decays in m and b; the ulp is therefore that of the largest value so far, which decays at the array's own rate. v is a sum of
squares and loses nothing: its ulp is its own. Where ours keeps v - m² instead of v, the ulp is that of v, which is what the
upstream's own difference of the two is uncertain by.
"""

import functools
import importlib.util
import itertools
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest

import rmsprop
from tests.tolerances import TOLERANCES, Tolerance

GOLDEN = Path(__file__).parent / "golden"
FILES = {path.stem: path for path in sorted(GOLDEN.glob("*.json"))}


class Trace(NamedTuple):
    """One case of one file."""

    file: str
    case: dict[str, Any]
    document: dict[str, Any]

    @property
    def real(self) -> str:
        return {"complex64": "float32", "complex128": "float64"}.get(self.case["dtype"], self.case["dtype"])

    @property
    def tolerance(self) -> Tolerance:
        row = f"golden {self.file} {self.real}"
        return TOLERANCES.get(f"{row} {self.case['problem']}", TOLERANCES[row])


@functools.cache
def document(file: str) -> dict[str, Any]:
    return json.loads(FILES[file].read_text(encoding="utf-8"))


def meant(trace: Trace) -> rmsprop.Rule:
    return rmsprop.dialect(trace.case["dialect"], **trace.case["axes"])


TRACES = [Trace(file, case, document(file)) for file in FILES for case in document(file)["cases"]]
CENTERED = [trace for trace in TRACES if meant(trace).centered]


def name(trace: Trace) -> str:
    return f"{trace.file}: {trace.case['id']}"


def replay(trace: Trace, **axes: Any) -> tuple[float, float]:
    """Step RMSprop along a trace and return the largest errors of the state and of the parameter, in ulp."""
    case, dtype, real = trace.case, trace.case["dtype"], trace.real
    problem, lr = trace.document["problems"][case["problem"]], case["lr"]
    p = np.array(problem["p0"], real).view(dtype)
    optimizer = rmsprop.RMSprop(p, lr=lambda t: lr[t % len(lr)], dialect=case["dialect"], **{**case["axes"], **axes})
    rule = optimizer.rule
    sign = {"b": trace.document["sign"]}
    lasting = {"p": 1.0, "m": rule.decay, "b": rule.momentum}
    largest = {"p": np.abs(np.array(problem["p0"], real)), "m": 0.0, "b": 0.0}
    errors: dict[str, list[float]] = {"p": [], "v": [], "m": [], "b": []}
    for t, g in enumerate(problem["grads"]):
        optimizer.step(np.array(g, real).view(dtype))
        theirs = {slot: sign.get(slot, 1) * np.array(case[slot][t], real) for slot in "pvmb" if slot in case}
        ours = {"p": flat(p, real)}
        for slot in rule.slots:
            ours[slot.argument] = flat(optimizer.state[slot.name], real)
        if len(theirs["v"]) > len(ours["v"]):  # |g|² is real here, and complex without an imaginary part there
            theirs["v"] = theirs["v"][::2]
        for slot in ours.keys() - {"v"}:
            largest[slot] = np.maximum(np.abs(theirs[slot]), lasting[slot] * largest[slot])
            errors[slot].append(ulps(ours[slot], theirs[slot], largest[slot]))
        errors["v"].append(
            ulps(ours["v"], spread(rule, theirs, t) if rule.slots[0].name == "variance" else theirs["v"], theirs["v"])
        )
    return max(errors["v"] + errors["m"] + errors["b"]), max(errors["p"])


def spread(rule: rmsprop.Rule, theirs: dict[str, np.ndarray], t: int) -> np.ndarray:
    """Return our slot "variance" of an upstream's v and m, in float64: v - m², or v - m²/c where the means are corrected."""
    m = theirs["m"].astype(np.float64)
    power = m * m if len(m) == len(theirs["v"]) else m[::2] ** 2 + m[1::2] ** 2
    return theirs["v"] - power / rule.scalars(0.0, t + 1).correction


def flat(array: np.ndarray, real: str) -> np.ndarray:
    return array.copy().view(real)


def ulps(ours: np.ndarray, theirs: np.ndarray, size: np.ndarray) -> float:
    """Return the largest difference in ulp of size; NaN counts as infinitely far."""
    difference = np.abs(ours.astype(np.float64) - theirs.astype(np.float64))
    with np.errstate(over="ignore"):
        return float(np.nan_to_num(difference / np.spacing(size), nan=np.inf).max())


@pytest.mark.parametrize("trace", TRACES, ids=name)
def test_replay(trace: Trace) -> None:
    form = {"centered_form": "difference"} if meant(trace).centered else {}  # as every upstream subtracts
    state, parameter = replay(trace, **form)
    assert state <= trace.tolerance.state, trace.tolerance.reason
    assert parameter <= trace.tolerance.parameter, trace.tolerance.reason


@pytest.mark.parametrize("trace", CENTERED, ids=name)
def test_replay_with_the_variance_kept_itself(trace: Trace) -> None:
    state, parameter = replay(trace)
    assert state <= trace.tolerance.state, trace.tolerance.reason
    assert parameter <= trace.tolerance.parameter, trace.tolerance.reason


@pytest.mark.parametrize("file", FILES)
def test_dialect_has_the_defaults_of_its_upstream(file: str) -> None:
    theirs = document(file)["defaults"]
    for dialect in {case["dialect"] for case in document(file)["cases"]}:
        rule = rmsprop.dialect(dialect)
        assert {axis: getattr(rule, axis) for axis in theirs} == theirs


# What each axis becomes when it is set wrong; None where it does not matter to a rule.
WRONG: dict[str, Callable[[rmsprop.Rule], Any]] = {
    "eps_place": lambda rule: "outside" if rule.eps_place == "inside" else "inside",
    "eps": lambda rule: 1.01 * rule.eps,
    "decay": lambda rule: 0.9999 * rule.decay,
    "square_init": lambda rule: None if rule.bias_correction else 1 - rule.square_init,
    "centered": lambda rule: False if rule.centered else None,
    "momentum": lambda rule: 0.999 * rule.momentum or None,
    "nesterov": lambda rule: not rule.nesterov if rule.momentum else None,
    "lr_in_momentum": lambda rule: not rule.lr_in_momentum if rule.momentum else None,
    "bias_correction": lambda rule: False if rule.bias_correction else None,
    "weight_decay": lambda rule: 1.001 * rule.weight_decay or None,
    "weight_decay_form": lambda rule: (
        {"coupled": "decoupled_lr"}.get(rule.weight_decay_form, "coupled") if rule.weight_decay else None
    ),
    "maximize": lambda rule: not rule.maximize,
    "complex_form": lambda rule: "modulus" if rule.complex_form == "parts" else "parts",
}


def applies(axis: str, trace: Trace) -> bool:
    return (axis != "complex_form" or "complex" in trace.case["dtype"]) and WRONG[axis](meant(trace)) is not None


@pytest.mark.parametrize(
    ("file", "axis"), [(f, axis) for f in FILES for axis in WRONG if any(applies(axis, t) for t in TRACES if t.file == f)]
)
def test_a_wrong_axis_shows(file: str, axis: str) -> None:
    excess = 0.0
    for trace in TRACES:
        if trace.file == file and applies(axis, trace):
            state, parameter = replay(trace, **{axis: WRONG[axis](meant(trace))})
            excess = max(excess, state / max(trace.tolerance.state, 1), parameter / trace.tolerance.parameter)
    assert excess > 10


@pytest.mark.parametrize("file", FILES)
def test_traces_cover_momentum_centering_and_schedules(file: str) -> None:
    both = (False, True)
    neither = {"momentum": (False,), "centered": (False,)}  # what an upstream does not offer
    offered: dict[str, dict[str, tuple[bool, ...]]] = {
        "bitsandbytes": neither,
        "chainer": neither,
        "chainer-graves": {"momentum": (True,), "centered": (True,)},
        "jax-example": {"centered": (False,)},
        "mlx": neither,
    }
    choices = [offered.get(file, {}).get(axis, both) for axis in ("momentum", "centered")]
    rules = [(meant(trace), len(trace.case["lr"]) > 1) for trace in TRACES if trace.file == file]
    assert {(rule.momentum > 0, rule.centered, changes) for rule, changes in rules} == set(itertools.product(*choices, both))


@pytest.mark.parametrize("file", FILES)
def test_traces_start_from_the_shared_problems(file: str) -> None:
    spec = importlib.util.spec_from_file_location("golden_cases", GOLDEN / "cases.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    problems = module.problems()
    for key, stored in document(file)["problems"].items():
        assert (stored["p0"], stored["grads"]) == problems[key]
