"""A run as Python code that needs NumPy and this package alone, and ends with the same parameters to the last bit."""

from __future__ import annotations

import json
from typing import Any

import numpy as np

from rmsprop.dialects import dialect
from rmsprop.lab.setup import Data, Formula, Named, Run, Setup, hyper_names
from rmsprop.optimizer import RMSprop as Optimizer
from rmsprop.race.problem import Problem
from rmsprop.race.rivals import RMSprop, rival
from rmsprop.rule import Rule

_WORDS = {
    "en": {
        "title": "A run of the lab of rmsprop: {what}, {steps} steps.",
        "noise": "the gradient's noise, in sizes of the gradient at the start",
        "end": "the parameters at the end",
    },
    "zh": {
        "title": "rmsprop 实验室的一次运行：{what}，{steps} 步。",
        "noise": "梯度噪声，以起点处的梯度大小为单位",
        "end": "最后的参数",
    },
}


def code(setup: Setup, k: int, problem: Problem, lang: str = "en") -> str:
    """Return a run of a setup as a program that prints the parameters at its end.

    Args:
        setup: the experiment.
        k: which of its runs.
        problem: its landscape, with its start.
        lang: of the comments, "en" or "zh".

    Example:
        >>> from rmsprop.race import landscape
        >>> print(code(Setup(steps=10), 0, landscape("ravine")).splitlines()[-1])
        print(*theta.tolist())  # the parameters at the end
    """
    words = _WORDS[lang]
    run = setup.runs[k]
    imports, made = _landscape(setup, problem)
    imports.append("from rmsprop.schedules import schedule")
    body = [
        made,
        f"theta = np.array({list(problem.start)!r})",
        f"lr = schedule({_literal(setup.schedule)}, {run.lr!r}, total={setup.steps})",
    ]
    optimizer, step = _optimizer(run, imports)
    noise = setup.noise
    if noise.kind != "none":
        imports += ["from rmsprop.race import Noise", "from rmsprop.race.noise import Draws"]
        body += [
            f"noise = Noise({_literal(noise.kind)}, {noise.strength!r})  # {words['noise']}",
            f"draws = Draws([{setup.seed}], 0)",
            "size = float(np.sqrt(np.mean(np.square(problem(theta)[1]))))",
        ]
    body += [
        optimizer,
        "",
        'with np.errstate(all="ignore"):',
        f"    for t in range(1, {setup.steps + 1}):",
        "        loss, gradient = problem(theta)",
    ]
    if noise.kind != "none":
        body += ["        normal, uniform = draws.step()", "        gradient = noise(gradient, size, normal[0], uniform[0])"]
    body += [f"        {step}", "", f"print(*theta.tolist())  # {words['end']}"]
    title = words["title"].format(what=run.optimizer, steps=f"{setup.steps:,}")
    return "\n".join([f'"""{title}"""', "", *_sorted(imports), "", *body]) + "\n"


def _landscape(setup: Setup, problem: Problem) -> tuple[list[str], str]:
    """Return what makes the landscape, and what that must import."""
    match setup.land:
        case Named(name):
            return ["from rmsprop.race import landscape"], f"problem = landscape({_literal(name)})"
        case Formula(text):
            return ["from rmsprop.race import of_formula"], f"problem = of_formula({_literal(text)})"
        case Data(csv, model):
            lines = [f"    {_literal(line)}" for line in csv.splitlines(keepends=True)]
            pair = f"[{', '.join(map(_literal, problem.names))}]"
            made = f'problem = of_data(Pasted(data.encode(), "the data"), {_literal(model)}, {pair})'
            parts = ["data = (", *lines, ")", made]
            return ["from rmsprop.data.csvfile import Pasted", "from rmsprop.race import of_data"], "\n".join(parts)


def _optimizer(run: Run, imports: list[str]) -> tuple[str, str]:
    """Return what makes the optimizer, and what takes a step with it."""
    one = run.rival
    if isinstance(one, RMSprop):
        named = ", ".join(f"{axis}={_literal(value)}" for axis, value in _changed(one.rule).items())
        arguments = f"{_literal(one.rule.name)}{', ' if named else ''}{named}"
        if _taken(one.rule, run.lr):
            imports.append("from rmsprop import RMSprop")
            return f'optimizer = RMSprop(theta, lr, {arguments}, on_nonfinite="propagate")', "optimizer.step(gradient)"
        made = f'optimizer = rival("rmsprop", {arguments})'
    else:
        plain: Any = rival(run.optimizer)
        changed = {name: getattr(one, name) for name in hyper_names(run.optimizer) if getattr(one, name) != getattr(plain, name)}
        named = ", ".join([_literal(run.optimizer), *(f"{name}={_literal(value)}" for name, value in changed.items())])
        made = f"optimizer = rival({named})"
    imports.append("from rmsprop.race import rival")
    return f"{made}\nstate = optimizer.init(theta)", "theta, state = optimizer.step(theta, gradient, state, lr(t - 1), t)"


def _changed(rule: Rule) -> dict[str, Any]:
    """Return the axes that make a dialect this rule; some dialects move one axis with another."""
    plain = dialect(rule.name)
    changed = {axis: getattr(rule, axis) for axis in hyper_names("rmsprop") if getattr(rule, axis) != getattr(plain, axis)}
    made = dialect(rule.name, **changed)
    return changed | {axis: getattr(rule, axis) for axis in hyper_names("rmsprop") if getattr(rule, axis) != getattr(made, axis)}


def _taken(rule: Rule, lr: float) -> bool:
    """Return whether the optimizer takes these numbers: it refuses those that could overflow, which the lab shows."""
    try:
        Optimizer(np.zeros(2), lr, rule)
    except ValueError:
        return False
    return True


def _literal(value: Any) -> str:
    """Return a value as Python reads it; text as JSON writes it, which Python reads alike."""
    return json.dumps(value, ensure_ascii=False) if isinstance(value, str) else repr(value)


def _sorted(imports: list[str]) -> list[str]:
    """Return imports as they are usually ordered: NumPy, then this package's, the names of one module on one line."""
    modules: dict[str, list[str]] = {}
    for line in imports:
        module, _, name = line.removeprefix("from ").partition(" import ")
        modules.setdefault(module, []).append(name)
    ours = [f"from {module} import {', '.join(sorted(set(names)))}" for module, names in sorted(modules.items())]
    return ["import numpy as np", "", *ours]
