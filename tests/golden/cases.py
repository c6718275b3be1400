"""What every golden trace starts from: gradients, learning rates, the matrix of cases, and the file format.

A generator (`make_*.py`) imports this module beside it, steps a live package through the cases and calls `save`. It needs NumPy and
that package only, never rmsprop: a trace holds what the upstream did, whatever this project thinks of it.

A file holds
    upstream, made_by, versions: which package, which script, which versions;
    defaults: the upstream's own default arguments by the names of rmsprop.Rule's axes, lr among them (null: required);
    slots: the upstream's name of each state array, by ours: v (mean of g²), m (mean of g), b (momentum buffer);
    sign: -1 for a buffer that the upstream keeps with the opposite sign;
    problems: p0 and the gradients, under the name that the cases use;
    cases: id, dialect, axes (what the upstream was told beyond its defaults), dtype, problem, lr of each step, p and slots after
        each step.
Numbers are the shortest decimals that give the same float of the case's dtype; complex arrays are stored as re, im, re, im, ...
"""

import itertools
import json
import math
import random
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

HERE = Path(__file__).parent
CONSTANT = (0.01,) * 6
CHANGING = (0.02, 0.01, 0.05, 0.001, 0.03, 0.03)
SLOTS = ("v", "m", "b")


@dataclass(frozen=True)
class Case:
    """One run of an upstream: which rule, on which gradients."""

    id: str
    dialect: str
    axes: dict[str, Any]
    dtype: str = "float32"
    problem: str = "mixed"
    lr: tuple[float, ...] = CONSTANT
    told: dict[str, Any] = field(default_factory=dict)  # arguments of the upstream that no axis of Rule expresses

    @property
    def real_dtype(self) -> str:
        """The dtype of one stored number."""
        return {"complex64": "float32", "complex128": "float64"}.get(self.dtype, self.dtype)


def matrix(
    dialect: str,
    *,
    decays: Iterable[dict[str, Any]] = ({},),
    dtypes: Iterable[str] = ("float32", "float64"),
    momentum: Iterable[float] = (0.0, 0.9),
    centered: Iterable[bool] = (False, True),
) -> list[Case]:
    """Return momentum × centered × weight decay × schedule in the first dtype, and a few of them in the others."""
    dtypes, decays, out = tuple(dtypes), tuple(decays), []
    for dtype, mu, center, decay, lr in itertools.product(dtypes, momentum, centered, decays, (CONSTANT, CHANGING)):
        if dtype != dtypes[0] and ((lr is CHANGING) != bool(mu) or (decay and not (mu and center))):
            continue
        axes: dict[str, Any] = {**({"momentum": mu} if mu else {}), **({"centered": True} if center else {}), **decay}
        out.append(case(dialect, axes, dtype=dtype, lr=lr))
    return out


def case(dialect: str, axes: dict[str, Any], **fields: Any) -> Case:
    """Return a case named after what sets it apart."""
    made = Case("", dialect, axes, **fields)
    words = [made.dtype, *(f"{key}={value}" for key, value in {**axes, **made.told}.items())]
    words += [made.problem] * (made.problem != "mixed") + ["lr changes"] * (len(set(made.lr)) > 1)
    return Case(" ".join([dialect, *words]), dialect, axes, **fields)


def problems() -> dict[str, tuple[list[float], list[list[float]]]]:
    """Return p0 and the gradients, as decimals, of each problem; the same on every machine.

    The columns of "mixed": random; sign-flipping; exactly opposite; constant; tiny; huge but legal, so that g² fits float32; zeros
    with two pulses; eleven orders of magnitude. "moderate" has no tiny, huge and zero ones. "constant" repeats a gradient, where
    v - m² cancels more with every step.
    """
    draw = random.Random(20120229).random  # random() keeps its stream from version to version

    def about(scale: float) -> float:
        return float(f"{scale * (0.5 + draw()):.6g}")

    def sign() -> float:
        return 1.0 if draw() < 0.5 else -1.0

    pulses = (0.0, 0.0, 0.3, 0.0, -0.25, 0.0)
    widths = (1e-6, 1e3, -1e-3, -1e5, 1e-2, 10.0)
    mixed = [
        [
            float(f"{4 * draw() - 2:.6g}"),
            (-1.0) ** t * about(1.0),
            (-1.0) ** t * 0.25,
            0.7,
            sign() * about(10.0 ** -(8 + t)),
            sign() * about(10.0 ** (13 + t)),
            pulses[t],
            about(widths[t]) if widths[t] > 0 else -about(-widths[t]),
        ]
        for t in range(6)
    ]
    moderate = [[row[0], row[1], row[2], row[3], *(sign() * about(0.5) for _ in range(4))] for row in mixed]
    return {
        "mixed": ([1.5, -0.75, 0.3, 2.0, 0.001, -40.0, 0.0, 1e-06], mixed),
        "moderate": ([1.5, -0.75, 0.3, 2.0, 0.001, -40.0, 0.0, 1e-06], moderate),
        "constant": ([1.0, 0.0], [[0.7, -300.0]] * 40),
    }


def arrays(made: Case) -> tuple[np.ndarray, list[np.ndarray]]:
    """Return p0 and the gradients of a case in its dtype; complex ones take two columns for each element."""
    p0, grads = problems()[made.problem]
    table = np.array([p0, *grads], made.real_dtype).view(made.dtype)
    return table[0].copy(), [row.copy() for row in table[1:]]


def through(kind: str, values: Any) -> Any:
    """Return numbers as an upstream sees them that first stores its hyper-parameters in another dtype."""
    if isinstance(values, dict):
        return {key: through(kind, value) if isinstance(value, float) else value for key, value in values.items()}
    if isinstance(values, tuple):
        return tuple(through(kind, value) for value in values)
    return float(np.dtype(kind).type(values))


Run = Callable[[Case, np.ndarray, list[np.ndarray]], Iterable[dict[str, np.ndarray]]]


def save(
    name: str,
    made: list[Case],
    run: Run,
    *,
    upstream: str,
    packages: Iterable[str],
    defaults: dict[str, Any],
    slots: dict[str, str],
    sign: int = 1,
    note: str = "",
) -> None:
    """Step every case through `run` and write `name`.json.

    Args:
        run: yields, after each step, the arrays p and, where they exist, v, m and b.
    """
    if len({one.id for one in made}) != len(made):
        raise ValueError("two cases share an id")
    rows = []
    for one in made:
        p0, grads = arrays(one)
        steps = list(run(one, p0.copy(), [g.copy() for g in grads]))
        trace = {slot: [numbers(step[slot], one) for step in steps] for slot in ("p", *SLOTS) if slot in steps[0]}
        rows.append(
            {"id": one.id, "dialect": one.dialect, "axes": one.axes, "dtype": one.dtype, "problem": one.problem}
            | ({"told": one.told} if one.told else {})
            | {"lr": one.lr if len(set(one.lr)) > 1 else one.lr[:1]}
            | trace
        )
    used = {one.problem for one in made}
    header = {
        "upstream": upstream,
        "made_by": Path(sys.argv[0]).name,
        "versions": {"python": ".".join(map(str, sys.version_info[:2]))} | {package: version(package) for package in packages},
        "note": note,
        "defaults": defaults,
        "slots": slots,
        "sign": sign,
        "problems": {key: {"p0": p0, "grads": grads} for key, (p0, grads) in problems().items() if key in used},
    }
    lines = [f" {json.dumps(key)}: {json.dumps(value)}" for key, value in header.items()]
    body = ",\n".join("  " + json.dumps(row, separators=(",", ":")) for row in rows)
    text = "{\n" + ",\n".join(lines) + ',\n "cases": [\n' + body + "\n ]\n}\n"
    (HERE / f"{name}.json").write_text(text, encoding="utf-8")
    versions = ", ".join(f"{package} {number}" for package, number in header["versions"].items())
    print(f"{name}.json: {len(rows)} cases, {len(text) / 1000:.0f} kB; {versions}")  # noqa: T201 - a script says what it wrote


def numbers(array: Any, made: Case) -> list[float]:
    """Return an array as exact decimals, or refuse one that is not finite or not of the case's precision."""
    array = np.ascontiguousarray(array)
    real = np.dtype(made.real_dtype)
    if array.dtype not in (real, np.dtype(made.dtype)):
        raise TypeError(f"{made.id}: the upstream returned {array.dtype}, not {made.dtype}")
    flat = array.reshape(-1).view(real)
    out = [float(repr(float(value))) if real == np.float64 else float(str(value)) for value in flat]
    if not all(map(math.isfinite, out)) or (np.array(out, real) != flat).any():
        raise ValueError(f"{made.id}: {out} is not finite or not exact")
    return out
