"""Time a step of `rmsprop.keras.RMSprop` against `keras.optimizers.RMSprop` on each backend, after proving that both do the same.

    python benchmarks/keras_step.py [--seconds S] [--repeats N] [--quick] [--backend torch|jax|tensorflow]

A step is `optimizer.apply`: as it is on PyTorch, where Keras runs eagerly; on TensorFlow as `fit` compiles it, by XLA, in a graph
without XLA, and eagerly; on JAX as `fit` compiles it, `stateless_apply` under `jax.jit` with all buffers donated. Ratios above 1
are in favour of ours.

Each line is measured in processes of its own, several times over; it shows the median of the times and all of the ratios. In one
process the lines would depend on their order: what the C library has learnt from earlier allocations decides whether it maps the
temporary arrays of an eager step anew each time, which makes Keras's step on PyTorch two and a half times slower. Each process
therefore lets it learn that first, as any training does within a few steps. Arrays above 32 MB are mapped anew in any case.
"""

import argparse
import os
import statistics
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import numpy as np

from shapes import Shape, elements, gpt2, mlp, resnet50
from timing import interleaved, machine

LR = 1e-3
# Six gated steps differ by the order of operations, in ulp of the parameter or of the way that they go. tests/tolerances.py has 8
# for tens of elements; the worst of tens of millions is further out.
ULPS, WAY = 64, np.float32(10 * LR)
BACKENDS = ("torch", "jax", "tensorflow")
WAYS = {"torch": ("eager",), "jax": ("jit",), "tensorflow": ("XLA", "graph", "eager")}

Case = tuple[str, list[Shape], dict[str, Any]]
LARGE: list[Case] = [
    ("ResNet-50", resnet50(), {}),
    ("ResNet-50, momentum", resnet50(), {"momentum": 0.9}),
    ("ResNet-50, centered, decay", resnet50(), {"centered": True, "momentum": 0.9, "weight_decay": 0.01, "epsilon": 0.1}),
    ("one array of 50 M", [(50_000_000,)], {}),
    ("GPT-2's first two layers", gpt2(layers=2), {}),
]
SMALL: list[Case] = [
    ("500 arrays of 1,000", [(1_000,)] * 500, {}),
    ("a small network", mlp(4, 64, 64, 2), {}),
    ("a small network, momentum", mlp(4, 64, 64, 2), {"momentum": 0.9}),
]


def main() -> None:
    """Start a process for each measurement, or be one."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=4.0, help="for each measurement")
    parser.add_argument("--repeats", type=int, default=3, help="measurements for each line")
    parser.add_argument("--quick", action="store_true", help="skip the large cases")
    parser.add_argument("--backend", choices=BACKENDS, help="only this one")
    parser.add_argument("--one", nargs=2, metavar=("CASE", "WAY"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        os.environ["KERAS_BACKEND"] = options.backend
        case = next(case for case in LARGE + SMALL if case[0] == options.one[0])
        print(*measured(options.backend, options.one[1], *case, options.seconds))
        return
    print(f"{machine()}; load before this run {os.getloadavg()[0]:.1f}", flush=True)
    for backend in [options.backend] if options.backend else BACKENDS:
        print(f"\n{backend:28} {'elements':>12} {'':>6} {'ms':>9} {'keras':>9}  × keras", flush=True)
        for title, shapes, _ in SMALL if options.quick else LARGE + SMALL:
            for way in WAYS[backend]:
                found = [alone(backend, title, way, options.seconds) for _ in range(options.repeats)]
                ours, theirs = (statistics.median(times) * 1e3 for times in zip(*found, strict=True))
                ratios = " ".join(f"{other / one:.2f}" for one, other in sorted(found, key=lambda pair: pair[1] / pair[0]))
                print(f"{title:28} {elements(shapes):12,} {way:>6} {ours:9.3f} {theirs:9.3f}  {ratios}", flush=True)


def alone(backend: str, title: str, way: str, seconds: float) -> tuple[float, float]:
    """Return the seconds of a step of ours and of Keras's, measured in a process of its own."""
    command = [sys.executable, __file__, "--backend", backend, "--seconds", str(seconds), "--one", title, way]
    quiet = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "2"}
    told = subprocess.run(command, stdout=subprocess.PIPE, text=True, env=quiet, check=False)
    if told.returncode:
        sys.exit(f"{title} on {backend}, {way}: the measurement ended with {told.returncode}")
    ours, theirs = map(float, told.stdout.split())
    return ours, theirs


def measured(
    backend: str, way: str, title: str, shapes: list[Shape], options: dict[str, Any], seconds: float
) -> tuple[float, float]:
    """Gate and time one case, and return the seconds of a step of ours and of Keras's."""
    import keras

    import rmsprop.keras

    np.empty(31 << 20, np.uint8)  # freed at once: memory of up to this size is kept from now on
    block = np.random.default_rng(0).standard_normal(max(int(np.prod(shape)) for shape in shapes)).astype(np.float32)
    kinds = {"ours": rmsprop.keras.RMSprop, "theirs": keras.optimizers.RMSprop}
    # Where arrays happen to lie is worth a tenth: each is there twice, the first and the last in turn, and its faster copy counts.
    rivals = {
        (name, copy): Rival(kinds[name](LR, **options), way, shapes, block)
        for copy, names in ((1, kinds), (2, reversed(kinds)))
        for name in names
    }
    gate(f"{title} on {backend}, {way}", shapes, block, rivals["ours", 1], rivals["theirs", 1])
    spans = interleaved({f"{name} {copy}": rival.step for (name, copy), rival in rivals.items()}, seconds)
    ours, theirs = (min(spans[f"{name} {copy}"] for copy in (1, 2)) for name in kinds)
    return ours, theirs


class Rival:
    """An optimizer with the variables that it moves."""

    def __init__(self, optimizer: Any, way: str, shapes: list[Shape], block: Any) -> None:
        """Make the variables and their gradients, and what takes a step and waits for it."""
        import keras

        arrays = [block[: int(np.prod(shape))].reshape(shape) for shape in shapes]
        self.variables = [keras.Variable(array) for array in arrays]
        self.grads = [keras.ops.convert_to_tensor(block[::-1][: array.size].reshape(array.shape).copy()) for array in arrays]
        optimizer.build(self.variables)
        self.optimizer = optimizer
        self.step: Callable[[], object] = getattr(self, f"_{way.lower()}")()

    def _eager(self) -> Callable[[], object]:
        return lambda: self.optimizer.apply(self.grads)

    def _graph(self, *, jit: bool = False) -> Callable[[], object]:
        import tensorflow as tf

        return tf.function(lambda: self.optimizer.apply(self.grads), jit_compile=jit)  # type: ignore[no-any-return]

    def _xla(self) -> Callable[[], object]:
        return self._graph(jit=True)

    def _jit(self) -> Callable[[], object]:
        import jax

        step = jax.jit(self.optimizer.stateless_apply, donate_argnums=(0, 2))
        held = [v.value for v in self.optimizer.variables], [v.value for v in self.variables]

        def advance() -> None:
            nonlocal held
            moved, state = step(held[0], self.grads, held[1])
            held = jax.block_until_ready((state, moved))
            self.moved = held[1]

        return advance

    def arrays(self) -> list[Any]:
        """Return the variables."""
        import keras

        return [keras.ops.convert_to_numpy(v) for v in getattr(self, "moved", self.variables)]


def gate(title: str, shapes: list[Shape], block: Any, ours: Rival, theirs: Rival) -> None:
    """Stop unless six steps lead both to the same variables, away from where they were: a fast wrong answer is no answer."""
    for _ in range(6):
        ours.step()
        theirs.step()
    for shape, a, b in zip(shapes, ours.arrays(), theirs.arrays(), strict=True):
        far = np.max(np.abs(a - b) / np.spacing(np.maximum(np.abs(b), WAY)), initial=0)
        if not far <= ULPS:
            sys.exit(f"{title}: ours and Keras's differ by {far} ulp, so nothing is timed")
        if np.shares_memory(a, b) or np.median(np.abs(a - block[: a.size].reshape(shape))) < LR:
            sys.exit(f"{title}: the variables are the same or did not move, so that the comparison says nothing")


if __name__ == "__main__":
    main()
