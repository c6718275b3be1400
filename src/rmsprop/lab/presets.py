"""Experiments worth seeing, good and bad: each a setup, with a title and a sentence among the lessons' texts."""

from __future__ import annotations

from functools import cache
from typing import Any

from rmsprop.lab.learn import written
from rmsprop.lab.setup import Setup

# Every fifth row of examples/quadratic.csv.
_PARABOLA = """\
x,y
-3,13.88
-2.697,9.968
-2.394,8.352
-2.091,6.638
-1.788,3.753
-1.485,3.228
-1.182,3.325
-0.8788,2.986
-0.5758,2.411
-0.2727,3.112
0.0303,3.645
0.3333,5.436
0.6364,6.383
0.9394,8.382
1.242,11.18
1.545,13.07
1.848,15.8
2.152,20.66
2.455,23.21
2.758,27.83
"""
# Energy that a carbon filament lamp radiates, by its temperature in 1000 K.
# Source: https://www.itl.nist.gov/div898/strd/nls/data/daniel_wood.shtml, Daniel and Wood (1980), "Fitting Equations to Data".
_LAMP = """\
x,y
1.309,2.138
1.471,3.421
1.49,3.597
1.565,4.34
1.611,4.882
1.68,5.66
"""
# Volume of a gas adsorbed, by its pressure.
# Source: https://www.itl.nist.gov/div898/strd/nls/data/misra1a.shtml, Misra (1978), a study of monomolecular adsorption.
_ADSORPTION = """\
x,y
77.6,10.07
114.9,14.73
141.1,17.94
190.8,23.93
239.9,29.61
289.0,35.18
332.8,40.02
378.4,44.82
434.8,50.76
477.3,55.05
536.8,61.01
593.1,66.4
689.1,75.47
760.0,81.78
"""


def _named(name: str) -> dict[str, Any]:
    return {"kind": "named", "name": name}


def _formula(text: str) -> dict[str, Any]:
    return {"kind": "formula", "text": text}


def _data(csv: str, model: str, *over: str) -> dict[str, Any]:
    return {"kind": "data", "csv": csv, "model": model, "over": list(over)}


def _run(lr: float, optimizer: str = "rmsprop", **hyper: Any) -> dict[str, Any]:
    return {"optimizer": optimizer, "lr": lr, **hyper}


def _setup(land: dict[str, Any], steps: int, *runs: dict[str, Any], **rest: Any) -> dict[str, Any]:
    return {"land": land, "steps": steps, "runs": list(runs), **rest}


# By group and name, in the order in which a learner may take them.
_PRESETS: dict[str, dict[str, dict[str, Any]]] = {
    "wins": {
        "ravine": _setup(_named("ravine"), 600, _run(0.03), _run(0.01, "sgd")),
        "ill-conditioned": _setup(_named("ill-conditioned"), 400, _run(0.02), _run(0.01, "sgd")),
        "plateau": _setup(_named("plateau"), 500, _run(0.03), _run(0.5, "sgd")),
        "saddle": _setup(_named("saddle"), 400, _run(0.01), _run(0.01, "sgd"), _run(0.01, "adagrad")),
        "outliers": _setup(
            _named("network"), 1000,
            _run(0.01), _run(0.5, "adagrad"), _run(0.03, "adam"), _run(0.01, "momentum"), noise="outliers=0.02",
        ),
        "momentum": _setup(_named("ravine"), 600, _run(0.005), _run(0.005, momentum=0.9), _run(0.005, momentum=0.9, nesterov=True)),
    },
    "loses": {
        "rotated": _setup(_named("rotated"), 400, _run(0.02), _run(0.01, "sgd")),
        "sparse": _setup(_named("quadratic"), 1000, _run(0.03), _run(0.3), _run(1.0, "adagrad"), noise="mask=0.9"),
        "trapped": _setup(_named("rastrigin"), 400, _run(0.03), _run(0.01, "sgd"), _run(0.01, "momentum"), _run(0.1, "adam")),
        "four-minima": _setup(_named("himmelblau"), 400, _run(0.03), _run(0.01, "sgd"), _run(0.01, "momentum")),
        "units": _setup(_data(_ADSORPTION, "y = a*(1 - exp(-b*x))", "a", "b"), 500, _run(0.03), _run(1e-5), start=[200.0, 0.001]),
    },
    "memory": {
        "adagrad-stalls": _setup(_named("cliff"), 600, _run(0.03), _run(0.1, "adagrad"), _run(0.5, "adagrad")),
        "decay": _setup(_named("ravine"), 600, _run(0.02, decay=0), _run(0.02, decay=0.9), _run(0.02, decay=0.99)),
        "first-step": _setup(
            _named("quadratic"), 5,
            _run(0.02), _run(0.02, decay=0.99), _run(0.02, decay=0.999), _run(0.02, decay=0.999, bias_correction=True),
        ),
        "centered": _setup(_named("quadratic"), 300, _run(0.03), _run(0.03, centered=True)),
    },
    "rate": {
        "divergence": _setup(_named("ill-conditioned"), 200, _run(0.0198, "sgd"), _run(0.02, "sgd"), _run(0.0202, "sgd")),
        "lr-too-large": _setup(_named("ravine"), 600, _run(0.02), _run(0.1), _run(0.5)),
        "limit-cycle": _setup(_named("quadratic"), 500, _run(0.3), _run(0.1), _run(0.03)),
        "settles": _setup(_named("ravine"), 600, _run(0.03), schedule="cosine"),
    },
    "small-print": {
        "eps-matters": _setup(_named("plateau"), 500, _run(0.02, eps=1e-8), _run(0.02, eps=0.01), _run(0.02, eps=0.1)),
        "eps-place": _setup(_named("quadratic"), 400, _run(0.1, eps=0.01), _run(0.1, eps=0.01, eps_place="inside")),
        "tf-pytorch": _setup(
            _named("plateau"), 600,
            _run(0.01, dialect="pytorch", decay=0.9, eps=1e-8), _run(0.01, dialect="tf1", eps=1e-8),
            _run(0.01, dialect="tf1", eps=1e-8, square_init=0),
        ),
        "weight-decay": _setup(
            _formula("(x - 2)**2/2 + 10*(y - 1)**2"), 600,
            _run(0.02), _run(0.02, weight_decay=0.1), _run(0.02, weight_decay=0.1, weight_decay_form="decoupled_lr"),
        ),
        "tiny-loss": _setup(
            _formula("1e-6*((x - 1)**2 + 10*(y + 1)**2)"), 400, _run(0.03), _run(0.03, eps=1e-4), _run(0.05, "sgd"),
        ),
    },
    "data": {
        "logistic": _setup(_named("logistic"), 600, _run(0.1), _run(1.0, "sgd"), _run(5.0, "sgd")),
        "parabola": _setup(_data(_PARABOLA, "y = a*x**2 + b*x + c", "a", "c"), 500, _run(0.03), _run(0.1, "adagrad")),
        "power-law": _setup(_data(_LAMP, "y = a*x**b", "a", "b"), 800, _run(0.01), _run(0.01, "sgd"), start=[2.0, 2.0]),
    },
}  # fmt: skip


@cache
def setups() -> dict[str, Setup]:
    """Return the setups of all presets, by id.

    Example:
        >>> setups()["settles"].schedule
        'cosine'
    """
    return {name: Setup.from_json(told) for group in _PRESETS.values() for name, told in group.items()}


def presets(lang: str) -> list[dict[str, Any]]:
    """Return the presets for a page: id, group (its title), title, sentence and setup.

    Args:
        lang: one of `rmsprop.lab.learn.LANGUAGES`.

    Raises:
        UsageError: there are no texts in it.

    Example:
        >>> presets("en")[0]["title"]
        'A winding ravine'
    """
    texts = written(lang)
    return [
        {"id": name, "group": texts["groups"][group], **texts["presets"][name], "setup": setups()[name].to_json()}
        for group, names in _PRESETS.items()
        for name in names
    ]
