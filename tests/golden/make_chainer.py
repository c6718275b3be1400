"""Make chainer.json and chainer-graves.json from chainer.optimizers.RMSprop and RMSpropGraves.

pip install "setuptools<60" wheel numpy==1.23.5     # the last release of Chainer predates NumPy 1.24
pip install --no-build-isolation chainer==7.8.1
python tests/golden/make_chainer.py
"""

import inspect
from collections.abc import Callable, Iterator
from typing import Any

import chainer
import numpy as np
from cases import CHANGING, CONSTANT, Case, Run, case, matrix, save

ARGUMENTS = {"decay": "alpha"}


def runner(make: Callable[..., Any], slots: dict[str, str]) -> Run:
    """Return a function that steps one of the two optimizers through a case."""

    def run(one: Case, p0: np.ndarray, grads: list[np.ndarray]) -> Iterator[dict[str, np.ndarray]]:
        told = {ARGUMENTS.get(key, key): value for key, value in one.axes.items()}
        if "eps_place" in told:
            told["eps_inside_sqrt"] = told.pop("eps_place") == "inside"
        late = told.pop("weight_decay", None)
        link = chainer.Link()
        with link.init_scope():
            link.p = chainer.Parameter(p0)
        optimizer = make(lr=one.lr[0], **told).setup(link)
        if late is not None:
            optimizer.add_hook(chainer.optimizer_hooks.WeightDecay(late))
        for t, g in enumerate(grads):
            optimizer.lr = one.lr[t % len(one.lr)]
            link.p.grad = g
            optimizer.update()
            state = link.p.update_rule.state
            yield {"p": link.p.array.copy()} | {ours: state[theirs].copy() for ours, theirs in slots.items()}

    return run


def defaults(make: Callable[..., Any], **names: str) -> dict[str, Any]:
    """Return the default arguments by our names."""
    found = inspect.signature(make).parameters
    return {ours: found[theirs].default for ours, theirs in names.items()}


plain, graves = chainer.optimizers.RMSprop, chainer.optimizers.RMSpropGraves
made = matrix("chainer", decays=({}, {"eps_place": "inside"}, {"weight_decay": 0.1}), momentum=(0.0,), centered=(False,))
made += [case("chainer", {"decay": 0.5, "eps": 0.03})]
save(
    "chainer",
    made,
    runner(plain, {"v": "ms"}),
    upstream="chainer.optimizers.RMSprop, WeightDecay",
    packages=("chainer", "numpy"),
    defaults=defaults(plain, lr="lr", decay="alpha", eps="eps")
    | {"eps_place": "inside" if inspect.signature(plain).parameters["eps_inside_sqrt"].default else "outside"},
    slots={"v": "ms"},
)
made = [case("graves", {}, dtype=dtype, lr=lr) for dtype in ("float32", "float64") for lr in (CONSTANT, CHANGING)]
made += [case("graves", {"decay": 0.5, "eps": 0.03, "momentum": 0.5}, lr=CHANGING)]
save(
    "chainer-graves",
    made,
    runner(graves, {"v": "n", "m": "g", "b": "delta"}),
    upstream="chainer.optimizers.RMSpropGraves",
    packages=("chainer", "numpy"),
    defaults=defaults(graves, lr="lr", decay="alpha", eps="eps", momentum="momentum"),
    slots={"v": "n", "m": "g", "b": "delta"},
    sign=-1,
    note="always centered, always with momentum; delta gathers -lr·u",
)
