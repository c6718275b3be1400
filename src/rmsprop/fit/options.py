"""The options of a fit, checked."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from rmsprop.data.source import MISSING_CHOICES
from rmsprop.dialects import dialect as find_dialect
from rmsprop.errors import UsageError
from rmsprop.expression.model import LOSSES
from rmsprop.fit import article
from rmsprop.fit.scaling import SCALES
from rmsprop.fit.train import SCHEDULES, Settings

RECIPES = ("article",)

# Epochs over all rows: enough for every case tried, fewer where rows are many, as each costs more.
_EPOCHS, _LEAST_EPOCHS, _ROW_EPOCHS = 2_000, 300, 400_000_000
# Mini-batch runs are measured in steps.
_BATCH_STEPS, _LEAST_BATCH_EPOCHS = 20_000, 10
# In coordinates where 1 matters: restarts correct a step that is too long, the other schedules cannot.
_RESTART_LR, _SCHEDULE_LR = 0.3, 0.03


@dataclass(frozen=True)
class Options:
    """What the user asked for; None where the default is to be worked out."""

    start: Mapping[str, float] = field(default_factory=dict)
    lr: float | None = None
    decay: float | None = None
    eps: float | None = None
    momentum: float | None = None
    dialect: str = "article"
    epochs: int | None = None
    batch_size: int | None = None
    loss: str = "mse"
    delta: float | None = None
    schedule: str | None = None
    scale: str | None = None
    sigma: str | None = None
    seed: int = 0
    polish: bool = True
    recipe: str | None = None
    missing: str = "drop"
    memory: int | None = None

    def check(self) -> None:
        """Refuse values that are not allowed.

        Raises:
            UsageError: names the option, the value and what is allowed.
        """
        _choice("loss", self.loss, LOSSES)
        _choice("missing", self.missing, MISSING_CHOICES)
        for name, value, choices in (
            ("schedule", self.schedule, SCHEDULES),
            ("scale", self.scale, SCALES),
            ("recipe", self.recipe, RECIPES),
        ):
            if value is not None:
                _choice(name, value, choices)
        _positive("lr", self.lr)
        _positive("delta", self.delta)
        _whole("epochs", self.epochs, 1)
        _whole("batch_size", self.batch_size, 1)
        _whole("memory", self.memory, 1)
        _whole("seed", self.seed, 0)
        for name, number in self.start.items():
            if isinstance(number, bool) or not isinstance(number, int | float) or not math.isfinite(number):
                raise UsageError(f"start of {name} must be a finite number, got {number!r}")
        if self.batch_size is not None and self.schedule == "restarts":
            raise UsageError("schedule restarts needs all rows in every step; use another schedule, or no batch_size")
        if self.recipe is not None:
            self._check_recipe()
        try:
            find_dialect(self.dialect, **self.axes())
        except (TypeError, ValueError) as error:
            raise UsageError(str(error)) from None

    def _check_recipe(self) -> None:
        given = [
            name
            for name in ("lr", "decay", "eps", "momentum", "epochs", "batch_size", "schedule", "scale")
            if getattr(self, name) is not None
        ]
        given += [name for name, plain in (("dialect", "article"), ("loss", "mse")) if getattr(self, name) != plain]
        if given:
            raise UsageError(f"recipe {self.recipe} sets {', '.join(given)} itself; leave {'them' if len(given) > 1 else 'it'} out")

    def axes(self) -> dict[str, Any]:
        """Return the axes of the rule that are not the dialect's own."""
        if self.recipe:
            return {"decay": article.DECAY, "eps": article.EPS}
        given = {"decay": self.decay, "eps": self.eps, "momentum": self.momentum}
        return {name: value for name, value in given.items() if value is not None}

    def settings(self, n: int, streamed: bool) -> Settings:
        """Return how RMSprop is to run on n rows."""
        if self.recipe:
            return Settings(article.EPOCHS, article.LR, "article", self.axes(), "constant", "none")
        batched = streamed or (self.batch_size is not None and self.batch_size < n)
        schedule = self.schedule or ("cosine" if batched else "restarts")
        lr = self.lr or (_RESTART_LR if schedule == "restarts" else _SCHEDULE_LR)
        epochs = self.epochs
        if epochs is None and batched:
            steps = max(1, n // (self.batch_size or n))
            epochs = min(_EPOCHS, max(_LEAST_BATCH_EPOCHS, _BATCH_STEPS // steps))
        elif epochs is None:
            epochs = min(_EPOCHS, max(_LEAST_EPOCHS, _ROW_EPOCHS // max(n, 1)))
        return Settings(epochs, lr, self.dialect, self.axes(), schedule, self.scale or "curvature")


def _choice(name: str, value: object, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise UsageError(f"{name} must be one of {', '.join(choices)}, got {value!r}")


def _positive(name: str, value: float | None) -> None:
    if value is not None and not (isinstance(value, int | float) and math.isfinite(value) and value > 0):
        raise UsageError(f"{name} must be a number above 0, got {value!r}")


def _whole(name: str, value: int | None, least: int) -> None:
    if value is not None and (isinstance(value, bool) or not isinstance(value, int) or value < least):
        raise UsageError(f"{name} must be a whole number of at least {least}, got {value!r}")
