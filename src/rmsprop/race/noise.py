"""Noise on gradients, as values; and where its random numbers come from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from rmsprop.errors import UsageError
from rmsprop.expression.hints import near

Array = NDArray[np.float64]


class Strength(NamedTuple):
    """How strong a kind of noise is."""

    default: float
    most: float
    meaning: str


_KINDS = {
    "none": Strength(0.0, 0.0, "nothing"),
    "gaussian": Strength(0.1, 1e6, "standard deviation, in sizes of the gradient at the start"),
    "multiplicative": Strength(0.5, 1e6, "standard deviation of a factor around 1"),
    "mask": Strength(0.5, 0.99, "share of the gradient's parts that become 0"),
    "outliers": Strength(0.02, 0.99, "share of the parts that get noise ten times the gradient at the start"),
}
# Of an outlier, in sizes of the gradient at the start.
_OUTLIER = 10.0
# Steps whose random numbers are drawn at once; the numbers of a run depend on it.
_CHUNK = 256


@dataclass(frozen=True, slots=True)
class Noise:
    """What is done to gradients before an optimizer sees them.

    gaussian: g + s·size·z;  multiplicative: g·(1 + s·z);  mask: g·[u ≥ s];  outliers: g + 10·size·z·[u < s],
    z normal, u uniform in [0, 1), size the root mean square of the gradient at the start

    Args:
        kind: one of `noise_kinds()`.
        strength: s, ≥ 0; below 1 for mask and outliers.

    Raises:
        UsageError: the kind is unknown, or the strength out of range.

    Example:
        >>> noise = Noise("mask", 0.5)
        >>> noise(np.array([3.0, 4.0]), 1.0, np.zeros(2), np.array([0.2, 0.7])).tolist()
        [0.0, 4.0]

    Source: the kinds are those of Schaul, Antonoglou and Silver (2013), "Unit tests for stochastic optimization",
    https://arxiv.org/abs/1312.6055.
    """

    kind: str = "none"
    strength: float = 0.0

    def __post_init__(self) -> None:
        """Refuse what is no noise."""
        if self.kind not in _KINDS:
            raise UsageError(f"noise must be one of {', '.join(_KINDS)}, got {self.kind!r}{near(self.kind, _KINDS)}")
        _, most, meaning = _KINDS[self.kind]
        if not 0 <= self.strength <= most:
            raise UsageError(f"{self.kind} noise must be in [0, {most:g}], got {self.strength!r}; it is the {meaning}")

    def __call__(self, g: Array, size: float, normal: Array, uniform: Array) -> Array:
        """Return the gradients with noise.

        Args:
            g: (..., seeds, 2) gradients.
            size: root mean square of the gradient at the start.
            normal: (seeds, 2) normal numbers.
            uniform: (seeds, 2) numbers in [0, 1).
        """
        match self.kind:
            case "gaussian":
                return g + self.strength * size * normal
            case "multiplicative":
                return g * (1 + self.strength * normal)
            case "mask":
                return np.where(uniform < self.strength, 0.0, g)
            case "outliers":
                return g + np.where(uniform < self.strength, _OUTLIER * size * normal, 0.0)
        return g

    def __str__(self) -> str:
        """Return it as `parse_noise` reads it."""
        return self.kind if self.kind == "none" else f"{self.kind}={self.strength:g}"


def noise_kinds() -> tuple[str, ...]:
    """Return the kinds of noise.

    Example:
        >>> noise_kinds()
        ('none', 'gaussian', 'multiplicative', 'mask', 'outliers')
    """
    return tuple(_KINDS)


def strength_of(kind: str) -> Strength:
    """Return how strong a kind of noise is by default and at most, and what that means.

    Example:
        >>> strength_of("mask").most
        0.99
    """
    return _KINDS[kind]


def parse_noise(text: str) -> Noise:
    """Return noise from text: a kind, or a kind and its strength.

    Raises:
        UsageError: it is neither.

    Example:
        >>> parse_noise("gaussian"), parse_noise("mask=0.9")
        (Noise(kind='gaussian', strength=0.1), Noise(kind='mask', strength=0.9))
    """
    kind, equals, number = (part.strip() for part in text.partition("="))
    if not equals:
        return Noise(kind, _KINDS[kind].default if kind in _KINDS else 0.0)
    try:
        return Noise(kind, float(number))
    except ValueError as error:
        if isinstance(error, UsageError):
            raise
        raise UsageError(f"noise must be such as gaussian=0.1, got {text[:60]!r}") from None


class Draws:
    """The random numbers of some runs: those of a seed are the same whatever other seeds there are.

    Args:
        seeds: one for each run, ≥ 0.
        stream: tells apart the draws of one seed.
    """

    def __init__(self, seeds: Sequence[int], stream: int) -> None:
        self._generators = [np.random.default_rng([seed, stream]) for seed in seeds]
        #: (seeds, 2) normal numbers, for the starts.
        self.starts = np.array([generator.standard_normal(2) for generator in self._generators])
        self._left = 0
        self._normal = self._uniform = np.empty((0, len(seeds), 2))

    def step(self) -> tuple[Array, Array]:
        """Return the (seeds, 2) normal and uniform numbers of the next step."""
        if not self._left:
            self._normal = np.stack([generator.standard_normal((_CHUNK, 2)) for generator in self._generators], axis=1)
            self._uniform = np.stack([generator.random((_CHUNK, 2)) for generator in self._generators], axis=1)
            self._left = _CHUNK
        place = _CHUNK - self._left
        self._left -= 1
        return self._normal[place], self._uniform[place]
