"""What every race comes to, on a landscape or another workload: how each rival did, the best first."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from rmsprop.race.judge import score
from rmsprop.race.rivals import Rival
from rmsprop.race.search import Choice

if TYPE_CHECKING:
    from rmsprop.race.tournament import Settings

Array = NDArray[np.float64]


class Goal(Protocol):
    """What is raced on, as far as the results have to know.

    Attributes:
        name: what it is called.
        title: its formula, or what it is made of.
        story: what it shows, in a sentence.
        lowest: the lowest loss that is known.
        target: the loss that counts as arrived.
    """

    @property
    def name(self) -> str:
        """What it is called."""

    @property
    def title(self) -> str:
        """Its formula, or what it is made of."""

    @property
    def story(self) -> str:
        """What it shows, in a sentence."""

    @property
    def lowest(self) -> float:
        """The lowest loss that is known."""

    @property
    def target(self) -> float:
        """The loss that counts as arrived."""


@dataclass(frozen=True, kw_only=True)
class Standing(Choice):
    """How one rival did.

    Attributes:
        rival: who.
        steps: (seeds,) steps until the loss was at the target for good; inf where a run did not arrive.
        final: (seeds,) losses after the last step.
        diverged: (seeds,) whether a run did.
        losses: (moments, seeds) losses on the way.
    """

    rival: Rival
    steps: Array
    final: Array
    diverged: NDArray[np.bool_]
    losses: Array

    @property
    def arrived(self) -> int:
        """How many runs arrived."""
        return int(np.isfinite(self.steps).sum())


G = TypeVar("G", bound=Goal, covariant=True)
S = TypeVar("S", bound=Standing, covariant=True)
T = TypeVar("T", bound=Standing)


@dataclass(frozen=True)
class Contest(Generic[G, S]):
    """A race that was run.

    Attributes:
        problem: what was raced on.
        settings: how it went.
        entries: the rivals, the best first.
        times: (moments,) steps after which losses were taken down.
        taken: steps taken in all, those for choosing learning rates too.
        extended: how often the grid was made longer.
    """

    problem: G
    settings: Settings
    entries: tuple[S, ...]
    times: NDArray[np.int64]
    taken: int
    extended: int


def ranked(entries: Sequence[T]) -> tuple[T, ...]:
    """Return the rivals, the best first; of equals by name."""
    return tuple(sorted(entries, key=lambda entry: (score(entry.steps, entry.final, entry.diverged), entry.rival.name)))
