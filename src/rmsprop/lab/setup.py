"""The whole state of an experiment as a frozen value: what the page sends, what a link holds, and what an export begins with."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, field, fields
from typing import Any

from rmsprop.dialects import dialect_names
from rmsprop.errors import UsageError
from rmsprop.expression.hints import listed, near
from rmsprop.expression.language import MAX_CHARACTERS
from rmsprop.race.landscapes import landscape_names
from rmsprop.race.noise import Noise, parse_noise
from rmsprop.race.rivals import Rival, RMSprop, rival, rival_names
from rmsprop.rule import AXES, learning_rate
from rmsprop.schedules import schedule_names

#: What is counted, and from where to where.
LIMITS = {"runs": (1, 8), "steps": (1, 5_000), "seed": (0, 2**32), "csv": (1, 1 << 20)}
VERSION = 1
# The lab goes downhill, in two real parameters.
_FIXED = {"maximize": False, "complex_form": "parts"}
#: Axes of RMSprop's rule that a run may set.
RMSPROP_AXES = tuple(axis for axis in AXES if axis not in _FIXED)


class SetupError(UsageError):
    """A setup that cannot be run.

    Args:
        message: what is wrong, and what to change.
        field: where, such as "runs[0].decay"; None for the whole.
    """

    def __init__(self, message: str, field: str | None = None) -> None:
        super().__init__(message)
        self.field = field


@dataclass(frozen=True, slots=True)
class Named:
    """A landscape of `rmsprop.race.landscape_names()`."""

    name: str = "ravine"


@dataclass(frozen=True, slots=True)
class Formula:
    """A landscape that is a formula of two names."""

    text: str


@dataclass(frozen=True, slots=True)
class Data:
    """The loss of a model on the rows of a CSV text, over two of its parameters."""

    csv: str
    model: str
    over: tuple[str, str] | None = None


Land = Named | Formula | Data


@dataclass(frozen=True, slots=True)
class Run:
    """An optimizer with its hyper-parameters, and its learning rate."""

    rival: Rival
    lr: float

    @property
    def optimizer(self) -> str:
        """Its name among `rmsprop.race.rival_names()`."""
        return "rmsprop" if isinstance(self.rival, RMSprop) else self.rival.name


_FIRST = Run(rival("rmsprop"), 0.01)


@dataclass(frozen=True, slots=True)
class Setup:
    """An experiment: a landscape, a start, some optimizers, and how long and in which noise they run.

    Args:
        land: the landscape.
        start: where the runs begin; None for the landscape's own start.
        runs: one to eight optimizers.
        steps: of each run, from 1 to 5,000.
        schedule: of all learning rates, a name of `rmsprop.schedules.schedule_names()`.
        noise: on the gradients; all runs meet the same.
        seed: of the noise, from 0 to 2³².

    Example:
        >>> setup = Setup.from_json({"runs": [{"optimizer": "rmsprop", "dialect": "tf1", "lr": 0.1}], "steps": 50})
        >>> setup.runs[0].rival.rule.square_init, setup.land
        (1.0, Named(name='ravine'))
        >>> Setup.from_json(setup.to_json()) == setup
        True
        >>> Setup.from_json({"steps": 10**9})
        Traceback (most recent call last):
        rmsprop.lab.setup.SetupError: steps must be a whole number from 1 to 5,000, got 1000000000
    """

    land: Land = Named()
    start: tuple[float, float] | None = None
    runs: tuple[Run, ...] = (_FIRST,)
    steps: int = 300
    schedule: str = "constant"
    noise: Noise = field(default_factory=Noise)
    seed: int = 0

    @classmethod
    def from_json(cls, told: Any) -> Setup:
        """Return the setup that an object of JSON's types describes; keys that are absent take their defaults.

        Args:
            told: as `to_json` returns it.

        Raises:
            SetupError: a key is unknown, or a value cannot be used; its field says which.
        """
        told = object_from(told, "", ("v", *(known.name for known in fields(cls))))
        if told.get("v", VERSION) != VERSION or isinstance(told.get("v"), bool):
            raise SetupError(f"v must be {VERSION}, got {_shown(told['v'])}; the link is from another version of the lab", "v")
        plain = cls()
        runs = told.get("runs")
        return cls(
            land=land_from(told["land"]) if "land" in told else plain.land,
            start=start_from(told.get("start")),
            runs=plain.runs if runs is None else tuple(_run(run, f"runs[{k}]") for k, run in enumerate(_list(runs, "runs"))),
            steps=_whole(told.get("steps", plain.steps), "steps"),
            schedule=_choice(told.get("schedule", plain.schedule), "schedule", schedule_names()),
            noise=_noise(told["noise"]) if "noise" in told else plain.noise,
            seed=_whole(told.get("seed", plain.seed), "seed"),
        )

    def to_json(self) -> dict[str, Any]:
        """Return it as an object of JSON's types, every key written out, from which `from_json` makes it again."""
        noise = self.noise
        return {
            "v": VERSION,
            "land": _land_to_json(self.land),
            "start": None if self.start is None else list(self.start),
            "runs": [_run_to_json(run) for run in self.runs],
            "steps": self.steps,
            "schedule": self.schedule,
            "noise": noise.kind if noise.kind == "none" else f"{noise.kind}={noise.strength!r}",
            "seed": self.seed,
        }


def hyper_names(optimizer: str) -> tuple[str, ...]:
    """Return what an optimizer's hyper-parameters are called, but for lr.

    Example:
        >>> hyper_names("adam")
        ('momentum', 'decay', 'eps')
    """
    if optimizer == "rmsprop":
        return RMSPROP_AXES
    known: Any = rival(optimizer)
    return tuple(field.name for field in fields(known) if isinstance(getattr(known, field.name), float) and field.name != "lr")


def land_from(told: Any) -> Land:
    """Return the landscape that an object of JSON's types describes.

    Raises:
        SetupError: it cannot be used.
    """
    kinds = {"named": ("name",), "formula": ("text",), "data": ("csv", "model", "over")}
    kind = _choice(object_from(told, "land", None).get("kind"), "land.kind", tuple(kinds))
    told = object_from(told, "land", ("kind", *kinds[kind]))
    if kind == "named":
        return Named(_choice(told.get("name"), "land.name", landscape_names()))
    if kind == "formula":
        return Formula(_text(told.get("text"), "land.text", "a formula of two names, such as (1-x)**2 + 100*(y-x**2)**2"))
    csv = _text(told.get("csv"), "land.csv", "the rows of a table, with a header", LIMITS["csv"][1])
    model = _text(told.get("model"), "land.model", "a model, such as y = a*x + b")
    over = told.get("over")
    if over is None:
        return Data(csv, model)
    names = [_text(name, f"land.over[{k}]", "a parameter's name") for k, name in enumerate(_list(over, "land.over"))]
    if len(names) != 2:
        raise SetupError(f"over must name two of the model's parameters, got {len(names)}", "land.over")
    return Data(csv, model, (names[0], names[1]))


def start_from(told: Any) -> tuple[float, float] | None:
    """Return a start from two numbers or null.

    Raises:
        SetupError: it is neither.
    """
    if told is None:
        return None
    point = numbers_from(told, "start", 2)
    return point[0], point[1]


def numbers_from(told: Any, field: str, count: int) -> list[float]:
    """Return so many finite numbers from a list.

    Raises:
        SetupError: it holds others, or more or fewer.
    """
    found = _list(told, field)
    if len(found) != count:
        raise SetupError(f"{field} must hold {count} numbers, got {len(found)}", field)
    return [_number(value, f"{field}[{k}]") for k, value in enumerate(found)]


def whole_from(told: Any, field: str, low: int, high: int) -> int:
    """Return a whole number in a range.

    Raises:
        SetupError: it is none, or out of range.
    """
    if isinstance(told, bool) or not isinstance(told, int) or not low <= told <= high:
        raise SetupError(f"{field} must be a whole number from {low:,} to {high:,}, got {_shown(told)}", field)
    return told


def _land_to_json(land: Land) -> dict[str, Any]:
    match land:
        case Named(name):
            return {"kind": "named", "name": name}
        case Formula(text):
            return {"kind": "formula", "text": text}
        case Data(csv, model, over):
            return {"kind": "data", "csv": csv, "model": model, "over": None if over is None else list(over)}


def _run(told: Any, at: str) -> Run:
    optimizer = _choice(object_from(told, at, None).get("optimizer"), f"{at}.optimizer", rival_names())
    names = hyper_names(optimizer)
    rmsprop = optimizer == "rmsprop"
    told = object_from(told, at, ("optimizer", *(["dialect"] if rmsprop else []), "lr", *names))
    plain = rival(optimizer)
    hyper: dict[str, Any] = {}
    for name in names:
        if name in told:
            value = told[name]
            hyper[name] = _number(value, f"{at}.{name}") if _is_number_of(plain, name) else value
    if rmsprop:
        hyper |= _FIXED
    dialect = _choice(told.get("dialect", "article"), f"{at}.dialect", dialect_names()) if rmsprop else "article"
    try:
        known = rival(optimizer, dialect, **hyper)
    except UsageError as error:
        # The rule's own messages begin with the axis that is wrong.
        name = str(error).split("=")[0].split(" ")[0]
        raise SetupError(str(error), f"{at}.{name}" if name in names else at) from None
    if "lr" not in told and known.lr is None:
        raise SetupError(f"dialect {dialect!r} has no default learning rate; give lr, such as 0.001", f"{at}.lr")
    lr = _number(told["lr"], f"{at}.lr") if "lr" in told else float(known.lr or 0)
    try:
        return Run(known, learning_rate(lr))
    except ValueError as error:
        raise SetupError(str(error), f"{at}.lr") from None


def _run_to_json(run: Run) -> dict[str, Any]:
    known = run.rival
    holder: Any = known.rule if isinstance(known, RMSprop) else known
    dialect = {"dialect": known.rule.name} if isinstance(known, RMSprop) else {}
    return {
        "optimizer": run.optimizer,
        **dialect,
        "lr": run.lr,
        **{name: getattr(holder, name) for name in hyper_names(run.optimizer)},
    }


def _is_number_of(plain: Rival, name: str) -> bool:
    return isinstance(getattr(plain.rule if isinstance(plain, RMSprop) else plain, name), float)


def _noise(told: Any) -> Noise:
    text = _text(told, "noise", "a kind of noise, such as gaussian=0.1", 60)
    try:
        return parse_noise(text)
    except UsageError as error:
        raise SetupError(str(error), "noise") from None


def object_from(told: Any, field: str, known: Iterable[str] | None) -> dict[str, Any]:
    """Return an object, all of whose keys are known where those are given.

    Raises:
        SetupError: it is no object, or a key is unknown; the message has the nearest one.
    """
    if not isinstance(told, dict):
        raise SetupError(f"{field or 'a setup'} must be an object, got {_shown(told)}", field or None)
    if known is not None:
        names = list(known)
        for key in told:
            if key not in names:
                at = f"{field}.{key[:40]}" if field else key[:40]
                raise SetupError(f"unknown key {_shown(key)}; {field or 'a setup'} has {listed(names)}{near(key[:40], names)}", at)
    return told


def _list(told: Any, field: str) -> list[Any]:
    if not isinstance(told, list):
        raise SetupError(f"{field} must be a list, got {_shown(told)}", field)
    low, high = LIMITS.get(field, (0, 100))
    if not low <= len(told) <= high:
        raise SetupError(f"{field} must hold from {low} to {high} entries, got {len(told):,}", field)
    return told


def _text(told: Any, field: str, what: str, most: int = MAX_CHARACTERS) -> str:
    if not isinstance(told, str) or not told.strip():
        raise SetupError(f"{field} must be {what}, got {_shown(told)}", field)
    if len(told) > most:
        raise SetupError(f"{field} has {len(told):,} characters; at most {most:,} are read", field)
    if any("\ud800" <= character <= "\udfff" for character in told):
        raise SetupError(f"{field} holds half a character; write it as UTF-8 text", field)
    return told


def _choice(told: Any, field: str, known: tuple[str, ...]) -> str:
    if not isinstance(told, str) or told not in known:
        hint = near(told[:40], known) if isinstance(told, str) else ""
        raise SetupError(f"{field} must be one of {', '.join(known)}, got {_shown(told)}{hint}", field)
    return told


def _whole(told: Any, field: str) -> int:
    return whole_from(told, field, *LIMITS[field])


def _number(told: Any, field: str) -> float:
    try:
        number = math.nan if isinstance(told, bool) or not isinstance(told, int | float) else float(told)
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        raise SetupError(f"{field} must be a finite number, got {_shown(told)}", field)
    return number


def _shown(value: Any) -> str:
    """Return a value as a message shows it, cut short."""
    if isinstance(value, dict | list):
        return "an object" if isinstance(value, dict) else "a list"
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) >= 10**30:
        return "a number of 30 digits or more"
    text = "null" if value is None else "true" if value is True else "false" if value is False else repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
