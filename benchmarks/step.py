"""Time one optimizer step on a CPU against plain NumPy and against the ruler, after proving that the results are right.

    python benchmarks/step.py [--threads N] [--seconds S] [--quick]

The ruler is a pass over as many bytes, with the same threads and in the same run, that does next to nothing to each element: no
update can be faster. For one tensor it is taken twice, as the package's own sweep with an addition in the rule's place and as a
plain loop that Numba compiles, and the faster counts. The plain rival is the rule in NumPy as one writes it: whole arrays, one
operation after the other.
"""

import argparse
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

import rmsprop
from rmsprop.kernels.columns import GRAIN, Numbers
from rmsprop.kernels.cpu import SCALARS, sweep_with
from rmsprop.kernels.threads import share
from rmsprop.rule import bind
from ruler import add, loop
from timing import interleaved, machine

ROOT = Path(__file__).resolve().parent.parent
EVERYTHING = {"centered": True, "momentum": 0.9, "weight_decay": 0.01}
LR = 1e-3

Case = tuple[str, list[int], str, dict[str, Any]]
LARGE: list[Case] = [
    ("one tensor of 50 M float32", [50_000_000], "float32", {}),
    ("the same, momentum", [50_000_000], "float32", {"momentum": 0.9}),
    ("the same, centered + momentum + decay", [50_000_000], "float32", EVERYTHING),
    ("one tensor of 25 M float64", [25_000_000], "float64", {}),
    ("one tensor of 50 M float16", [50_000_000], "float16", {}),
    ("156 tensors, 24 M float32 in all", [24_000_000 // 156] * 156, "float32", {}),
]
SMALL: list[Case] = [
    ("one tensor of 1 M float32", [1_000_000], "float32", {}),
    ("2,000 tensors of 1,000 float32", [1_000] * 2_000, "float32", {}),
    ("500 tensors of 100 float32", [100] * 500, "float32", {}),
    ("one tensor of 1,000 float32", [1_000], "float32", {}),
    ("one tensor of 3 float64", [3], "float64", {}),
]


def main() -> None:
    """Gate, time, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=rmsprop.get_num_threads())
    parser.add_argument("--seconds", type=float, default=4.0, help="for each case")
    parser.add_argument("--quick", action="store_true", help="skip the contract and the large cases")
    options = parser.parse_args()
    rmsprop.set_num_threads(options.threads)
    print(f"{machine()}; {options.threads} threads")
    if not options.quick:
        gate()
    print(f"\n{'case':38} {'MB':>6} {'ms':>9} {'GB/s':>6} {'of the ruler':>12} {'× NumPy':>8} {'checked: of ruler':>18}")
    for case in SMALL if options.quick else LARGE + SMALL:
        large(*case, options.seconds)
    print(
        "\n'checked' is on_nonfinite='raise', the default, which reads the gradient once more; the other columns are 'propagate'."
    )
    subnormal(options.seconds)


def gate() -> None:
    """Run the contract, and stop if it fails: a fast wrong answer is no answer."""
    tests = [str(ROOT / "tests/kernels/test_contract.py"), "-k", "float32 or float64 or float16"]
    done = subprocess.run([sys.executable, "-m", "pytest", "-q", "-x", *tests], cwd=ROOT, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"the contract fails, so nothing is timed:\n{done.stdout[-2000:]}")
    print(f"contract: {done.stdout.strip().splitlines()[-1]}")


def large(title: str, sizes: list[int], kind: str, axes: dict[str, Any], seconds: float) -> None:
    """Time one case and print its line."""
    params, grads = model(sizes, kind)
    bare = rmsprop.RMSprop(params, LR, on_nonfinite="propagate", **axes)
    numpy_params, numpy_step = plain(params, grads, bare)
    bare.step(grads)
    numpy_step()
    for one, other in zip(params, numpy_params, strict=True):
        if one.tobytes() != other.tobytes():
            sys.exit(f"{title}: the step and plain NumPy differ, so nothing is timed")
    checked = rmsprop.RMSprop([p.copy() for p in params], LR, **axes)
    rivals: dict[str, Callable[[], object]] = {
        "ours": lambda: bare.step(grads),
        "checked": lambda: checked.step(grads),
        "numpy": numpy_step,
    }
    if sum(sizes) > 256:
        rivals |= {f"ruler {i}": pass_ for i, pass_ in enumerate(rulers(bare, grads))}
    times = interleaved(rivals, seconds)
    ruler = min((t for name, t in times.items() if name.startswith("ruler")), default=float("nan"))
    state = [array for held in bare.state.values() for array in held]
    moved = sum(g.nbytes for g in grads) + 2 * sum(a.nbytes for a in [*params, *state])
    print(
        f"{title:38} {moved / 1e6:6.0f} {times['ours'] * 1e3:9.3f} {moved / times['ours'] / 1e9:6.1f} "
        f"{ruler / times['ours']:12.2f} {times['numpy'] / times['ours']:8.1f} {ruler / times['checked']:18.2f}",
        flush=True,
    )


def model(sizes: list[int], kind: str) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Return parameters and gradients of the given sizes."""
    block = np.random.default_rng(0).standard_normal(min(max(sizes), 2**20)).astype(kind)
    return [np.resize(block, n) for n in sizes], [np.resize(block[::-1], n) for n in sizes]


def plain(
    params: list[np.ndarray], grads: list[np.ndarray], optimizer: rmsprop.RMSprop
) -> tuple[list[np.ndarray], Callable[[], None]]:
    """Return copies of the parameters and a function that steps them with the rule on whole NumPy arrays."""
    rule, params = optimizer.rule, [p.copy() for p in params]
    update = bind(rule, sqrt=np.sqrt)
    held = {slot.argument: [a.copy() for a in optimizer.state[slot.name]] for slot in rule.slots}
    real = held["v"][0].dtype
    scalars = list(np.array(rule.scalars(LR, 1), real))

    def step() -> None:
        for k, (p, g) in enumerate(zip(params, grads, strict=True)):
            v, m, b = (held[name][k] if name in held else None for name in "vmb")
            new_p, *state = update(p.astype(real, copy=False), g.astype(real, copy=False), v, m, b, *scalars)
            p[...] = new_p
            for name, new in zip("vmb", state, strict=True):
                if name in held:
                    held[name][k][...] = new

    return params, step


def rulers(optimizer: rmsprop.RMSprop, grads: list[np.ndarray]) -> list[Callable[[], None]]:
    """Return passes over as many bytes as a step moves, with trivial arithmetic, over arrays of their own."""
    params = [np.zeros_like(g) for g in grads]
    twin = rmsprop.RMSprop(params, LR, optimizer.rule)
    (group,) = twin._groups
    route = group.route(grads, twin._parameters, twin._memory)
    kernel = sweep_with(add, twin.rule, group.stored, group.computed)
    scalars = Numbers(np.zeros(SCALARS, group.real))
    addresses = np.array(route.addresses, np.int64)

    def sweep() -> None:
        group.columns.sweep(kernel, addresses, scalars)

    sweep.keeps = twin  # type: ignore[attr-defined]  # whose addresses the kernel is given
    found: list[Callable[[], None]] = [sweep]
    if len(grads) == 1 and len(twin.state) == 1 and params[0].dtype != np.float16:
        (p,), (g,), (v,) = params, grads, twin.state["square_avg"]
        found.append(lambda: share(lambda first, last: loop(p, g, v, first, last), p.size, GRAIN))
    return found


def subnormal(seconds: float) -> None:
    """Time steps on zero gradients whose state dies away, against steps on ordinary state."""
    n = 2_000_000
    zero = np.zeros(n, np.float32)
    optimizers = {
        name: rmsprop.RMSprop(np.ones(n, np.float32), LR, on_nonfinite="propagate") for name in ("normal", "dying", "dead")
    }
    saved = {name: optimizer.state_dict() for name, optimizer in optimizers.items()}
    for name, value in {"normal": 1.0, "dying": 1e-38, "dead": 1e-45}.items():
        saved[name]["state"]["square_avg"][0][:] = value * 2.36  # 2.35e-38 is where state becomes 0

    def step(name: str) -> None:
        optimizers[name].load_state_dict(saved[name])
        start = time.perf_counter()
        optimizers[name].step(zero)
        spans[name].append(time.perf_counter() - start)

    spans: dict[str, list[float]] = {name: [] for name in optimizers}
    interleaved({name: lambda name=name: step(name) for name in optimizers}, seconds)
    dying, dead = (statistics.median(spans[name]) / statistics.median(spans["normal"]) for name in ("dying", "dead"))
    print(f"a step in which the state falls below the smallest normal number: {dying:.2f} × one on ordinary state")
    print(f"a step on state that has fallen there: {dead:.2f} × one on ordinary state")


if __name__ == "__main__":
    main()
