"""Time a training step of `rmsprop.optax.rmsprop` against `optax.rmsprop`, after proving that both do the same.

    python benchmarks/optax_step.py [--seconds S] [--quick]

A step is `update` and `optax.apply_updates` in one jitted function whose parameters and state are donated, as in a training loop.
"bytes" is what XLA's own analysis says that the compiled step reads and writes for each parameter. A transformation returns updates
and XLA gives each of its fusions one result, so that new state and new parameters are made by two passes: 28 bytes for plain
RMSprop in float32, where a single pass moves 20. "one pass" is that limit as it can be reached: a step of `rmsprop.RMSprop` on
NumPy arrays of the same sizes, in the same run and with as many threads as there are cores.
"""

import argparse
import os
import sys
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

import rmsprop
import rmsprop.optax
from timing import interleaved, machine

LR = 1e-3
# Six gated steps differ by the order of operations, in ulp of the parameter or of the way that they go. tests/tolerances.py has 8
# for tens of elements; the worst of tens of millions is further out.
ULPS, WAY = 32, np.float32(10 * LR)
EVERYTHING = {"centered": True, "momentum": 0.9, "nesterov": True}

Case = tuple[str, list[int], str, dict[str, Any]]
LARGE: list[Case] = [
    ("one array of 50 M float32", [50_000_000], "float32", {}),
    ("156 arrays, 24 M float32 in all", [24_000_000 // 156] * 156, "float32", {}),
    ("the same, momentum", [24_000_000 // 156] * 156, "float32", {"momentum": 0.9}),
    ("the same, centered + nesterov", [24_000_000 // 156] * 156, "float32", EVERYTHING),
    ("the same, bfloat16", [24_000_000 // 156] * 156, "bfloat16", {}),
]
SMALL: list[Case] = [
    ("500 arrays of 1,000 float32", [1_000] * 500, "float32", {}),
    ("one array of 1,000 float32", [1_000], "float32", {}),
]


def main() -> None:
    """Gate, time, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=6.0, help="for each case")
    parser.add_argument("--quick", action="store_true", help="skip the large cases")
    options = parser.parse_args()
    jax.config.update("jax_platforms", "cpu")
    rmsprop.set_num_threads(os.cpu_count() or 1)
    print(f"{machine()}, JAX {jax.__version__}, optax {optax.__version__}; load before this run {os.getloadavg()[0]:.1f}")
    print(f"\n{'case':34} {'bytes':>6} {'optax':>6} {'ms':>8} {'optax':>8} {'× optax':>8} {'one pass':>9}")
    for case in SMALL if options.quick else LARGE + SMALL:
        print(line(*case, options.seconds), flush=True)


class Rival:
    """A compiled step with the parameters and the state that it moves."""

    def __init__(self, optimizer: Any, params: list[Any], grads: list[Any]) -> None:
        def step(params: Any, state: Any, grads: Any) -> Any:
            updates, state = optimizer.update(grads, state, params)
            return optax.apply_updates(params, updates), state

        self.params = [jnp.copy(p) for p in params]
        self.state = optimizer.init(self.params)
        self.grads = [jnp.copy(g) for g in grads]  # of its own: the rival before it leaves nothing of them in the cache
        self.compiled = jax.jit(step, donate_argnums=(0, 1)).lower(self.params, self.state, self.grads).compile()

    def __call__(self) -> None:
        """Take a step and wait for it."""
        self.params, self.state = jax.block_until_ready(self.compiled(self.params, self.state, self.grads))

    def moved(self) -> float:
        """Return the bytes that the compiled step reads and writes, for each parameter."""
        return float(self.compiled.cost_analysis()["bytes accessed"]) / sum(p.size for p in self.params)


def line(title: str, sizes: list[int], kind: str, axes: dict[str, Any], seconds: float) -> str:
    """Gate and time one case, and return its line of the table."""
    block = np.random.default_rng(0).standard_normal(max(sizes)).astype(np.float32)
    params = [jnp.asarray(block[:n], kind) for n in sizes]
    grads = [jnp.asarray(block[::-1][:n], kind) for n in sizes]
    # Where arrays happen to lie is worth a tenth: each is there twice, the first and the last in turn, and its faster copy counts.
    kinds = {"ours": rmsprop.optax.rmsprop(LR, **axes), "theirs": optax.rmsprop(LR, **axes)}
    rivals = {
        (name, copy): Rival(kinds[name], params, grads) for copy, names in ((1, kinds), (2, reversed(kinds))) for name in names
    }
    ours, theirs = rivals["ours", 1], rivals["theirs", 1]
    if kind == "float32":
        gate(title, ours, theirs)
    spans = interleaved({f"{name} {copy}": rival for (name, copy), rival in rivals.items()}, seconds)
    times = {name: min(spans[f"{name} {copy}"] for copy in (1, 2)) for name in kinds}
    single = ""
    if kind == "float32":  # by itself, as its threads would still be falling asleep when the next rival starts
        arrays, gradients = [np.array(p) for p in params], [np.asarray(g) for g in grads]
        numpy = rmsprop.RMSprop(arrays, LR, "optax", on_nonfinite="propagate", **axes)
        single = f"{interleaved({'': lambda: numpy.step(gradients)}, seconds / 3)[''] * 1e3:.3f}"
    return (
        f"{title:34} {ours.moved():6.1f} {theirs.moved():6.1f} {times['ours'] * 1e3:8.3f} {times['theirs'] * 1e3:8.3f} "
        f"{times['theirs'] / times['ours']:8.2f} {single:>9}"
    )


def gate(title: str, ours: Rival, theirs: Rival) -> None:
    """Stop unless six steps lead both to the same parameters: a fast wrong answer is no answer."""
    for _ in range(6):
        ours()
        theirs()
    for one, other in zip(ours.params, theirs.params, strict=True):
        a, b = np.asarray(one), np.asarray(other)
        far = np.max(np.abs(a - b) / np.spacing(np.maximum(np.abs(b), WAY)), initial=0)
        if not far <= ULPS:
            sys.exit(f"{title}: ours and optax differ by {far} ulp, so nothing is timed")


if __name__ == "__main__":
    main()
