"""`rmsprop inspect` and `rmsprop convert`."""

from __future__ import annotations

import json as _json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import typer

from rmsprop.checkpoint import State, convert
from rmsprop.checkpoint.api import inspect
from rmsprop.checkpoint.canonical import UNORDERED
from rmsprop.checkpoint.describe import describe
from rmsprop.checkpoint.kinds import kind_of
from rmsprop.checkpoint.names import parse
from rmsprop.cli.text import columns, shown
from rmsprop.rule import Rule


def run_inspect(file: str, said: dict[str, Any], *, json: bool) -> None:
    """Print what a checkpoint holds.

    Args:
        file: path as given.
        said: keywords of `rmsprop.checkpoint.load`.
        json: print one JSON object instead of text.
    """
    state, unsaid = inspect(file, **said)
    told = {"file": file, **describe(state), "unknown": unsaid}
    typer.echo(_json.dumps(told, indent=1) if json else _text(told, state))


def run_convert(
    source: str, target: str, to: str, table: Sequence[str], like: Path | None, said: dict[str, Any], *, quiet: bool
) -> None:
    """Convert, and say what was written.

    Args:
        source: path as given.
        target: path as given.
        to: kind as given.
        table: entries of the map as given.
        like: path as given.
        said: keywords of `rmsprop.checkpoint.load`.
        quiet: say nothing.
    """
    state = convert(source, target, to, rename=[parse(entry) for entry in table], like=like, **said)
    if not quiet:
        typer.echo(f"wrote {target}: state of {kind_of(to).optimizer}, from {state.origin}")
        for group in state.groups:
            typer.echo(f"  {rule_line(group.rule, group.lr)}")
            typer.echo(f"  {_counted(group.parameters)}")


def rule_line(rule: Rule, lr: float | None, unknown: Sequence[str] = ()) -> str:
    """Return a rule on one line: its name, the numbers that always count, and what differs from plain RMSprop.

    >>> rule_line(Rule(name="mine", decay=0.99, momentum=0.5, lr_in_momentum=False), 0.01)
    'mine: lr 0.01, decay 0.99, eps 1e-08 outside, momentum 0.5 (of g/denominator)'
    """
    words = [
        f"lr {'unknown' if lr is None else shown(lr)}",
        f"decay {shown(rule.decay)}",
        f"eps {shown(rule.eps)} {rule.eps_place}",
    ]
    if rule.centered:
        words.append("centered")
    if rule.momentum:
        buffer = "lr·g/denominator" if rule.lr_in_momentum else "g/denominator"
        momentum = "unknown" if "momentum" in unknown else shown(rule.momentum)
        words.append(f"{'nesterov ' if rule.nesterov else ''}momentum {momentum} (of {buffer})")
    if rule.weight_decay:
        words.append(f"weight decay {shown(rule.weight_decay)} {rule.weight_decay_form}")
    words += [f"v from {shown(rule.square_init)}"] * bool(rule.square_init) + ["bias correction"] * rule.bias_correction
    words += ["maximize"] * rule.maximize
    return f"{rule.name}: {', '.join(words)}"


def _text(told: dict[str, Any], state: State) -> str:
    """Return the description for people."""
    lines = [f"{told['file']}: state of {state.origin}" + (f", {state.skipped} steps skipped" if state.skipped else "")]
    for said, group in zip(told["groups"], state.groups, strict=True):
        lines += ["", rule_line(group.rule, group.lr, told["unknown"]), _counted(group.parameters, told["unknown"])]
        lines += [f"{name}: {value}" for name, value in group.options.items() if name != UNORDERED]
        lines += ["the order of the parameters is not kept"] * bool(group.options.get(UNORDERED))
        rows = [("parameter", "shape", "step", "slot", "dtype", "min", "mean", "max", "zeros")]
        for p in said["parameters"]:
            shape = "?" if p["shape"] is None else "×".join(map(str, p["shape"])) or "()"
            step = "?" if "step" in told["unknown"] else str(p["step"])
            first = (p["name"], shape, step)
            for slot, one in p["slots"].items():
                numbers = tuple("-" if one[key] is None else f"{one[key]:.4g}" for key in ("min", "mean", "max"))
                bad = f", {one['not_finite']} not finite" if one["not_finite"] else ""
                rows.append((*first, slot, one["dtype"], *numbers, f"{100 * one['zeros']:.3g} %{bad}"))
                first = ("", "", "")
            if not p["slots"]:
                rows.append((*first, "-", "", "", "", "", ""))
        lines += ["", *columns(rows)]
    missing = [name for name in told["unknown"] if name != "rule"]
    if missing:
        options = _listed([f"--{name}" if name in ("lr", "step") else f"--set {name}=..." for name in missing])
        lines += ["", f"The file does not hold {_listed(missing)}: say {options} to convert it."]
    if "rule" in told["unknown"]:
        lines += [
            *([] if missing else [""]),
            "What the file does not hold of the rule is shown as in the dialect: say --dialect and --set where the run differed.",
        ]
    return "\n".join(lines)


def _listed(words: Sequence[str]) -> str:
    """Return words as a sentence has them.

    >>> _listed(["lr", "step", "momentum"])
    'lr, step and momentum'
    """
    return " and ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)


def _counted(parameters: Sequence[Any], unknown: Sequence[str] = ()) -> str:
    """Return how many parameters and numbers there are, and after how many steps."""
    numbers = sum(next(iter(p.slots.values())).size for p in parameters if p.slots)
    return f"{len(parameters)} parameter{'s' * (len(parameters) != 1)}, {numbers:,} numbers, {_after(parameters, unknown)}"


def _after(parameters: Sequence[Any], unknown: Sequence[str]) -> str:
    """Return after how many steps a state was taken."""
    steps = sorted({p.step for p in parameters})
    if "step" in unknown:
        return "step unknown"
    if not steps:
        return "no step"
    return f"step {steps[0]:,}" if len(steps) == 1 else f"steps {steps[0]:,} to {steps[-1]:,}"
