"""What there is to choose from: landscapes, optimizers with their hyper-parameters and ranges, dialects, schedules, noise."""

from __future__ import annotations

import math
from typing import Any

from rmsprop.dialects import dialect, dialect_names
from rmsprop.lab.presets import presets
from rmsprop.lab.setup import LIMITS, Setup, hyper_names
from rmsprop.lab.sliders import slider
from rmsprop.race.landscapes import landscape, landscape_names
from rmsprop.race.noise import noise_kinds, strength_of
from rmsprop.race.rivals import RMSprop, rival, rival_names
from rmsprop.rule import choices_of, range_of
from rmsprop.schedules import schedule_names


def catalog(lang: str = "en") -> dict[str, Any]:
    """Return the choices, as JSON's types.

    Args:
        lang: of the titles and sentences of the presets, "en" or "zh".

    Example:
        >>> [one["name"] for one in catalog()["optimizers"][0]["fields"]][:4]
        ['lr', 'decay', 'eps', 'eps_place']
    """
    known = [landscape(name) for name in landscape_names()]
    return {
        "landscapes": [{"name": one.name, "title": one.title, "story": one.story} for one in known],
        "optimizers": [{"name": name, "fields": _fields(name)} for name in rival_names()],
        "dialects": [_dialect(name) for name in dialect_names()],
        "schedules": list(schedule_names()),
        "noises": [{"kind": kind, **strength_of(kind)._asdict()} for kind in noise_kinds()],
        "limits": {name: list(ends) for name, ends in LIMITS.items()},
        "default": Setup().to_json(),
        "presets": presets(lang),
    }


def _fields(name: str) -> list[dict[str, Any]]:
    known = rival(name)
    holder: Any = known.rule if isinstance(known, RMSprop) else known
    lr = {
        "name": "lr",
        "kind": "number",
        "low": 0.0,
        "high": None,
        "default": known.lr,
        "choices": None,
        "slider": slider("lr")._asdict(),
    }
    return [lr, *(_field(axis, getattr(holder, axis)) for axis in hyper_names(name))]


def _field(axis: str, default: Any) -> dict[str, Any]:
    told: dict[str, Any] = {"name": axis, "low": None, "high": None, "default": default, "choices": None}
    if isinstance(default, bool):
        return told | {"kind": "switch"}
    if isinstance(default, float):
        low, high = range_of(axis)
        ends = {"low": low, "high": high if math.isfinite(high) else None}
        return told | ends | {"kind": "number", "slider": slider(axis)._asdict()}
    return told | {"kind": "choice", "choices": list(choices_of(axis))}


def _dialect(name: str) -> dict[str, Any]:
    rule = dialect(name)
    return {"name": name, "source": rule.source, "axes": {"lr": rule.lr, **{a: getattr(rule, a) for a in hyper_names("rmsprop")}}}
