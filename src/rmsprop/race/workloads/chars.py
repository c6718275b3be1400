"""A recurrent network that learns to write this project's own guides, letter by letter."""

from __future__ import annotations

import math
from functools import cache
from importlib.resources import files

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from rmsprop.race.workloads.task import Make, Supervised, Training, Workload

_BATCH, _LENGTH, _HIDDEN = 16, 32, 48
# Of ten lines, one is held back.
_HELD = 10


@cache
def _text() -> tuple[Tensor, Tensor, int]:
    """Return a text to learn from and one that is held back, as places in their alphabet, and how many letters that has.

    The text is that of the package's guides, without code and tables, in small letters.
    """
    text = files("rmsprop.race.workloads").joinpath("prose.txt").read_text(encoding="ascii").lower()
    alphabet = sorted(set(text))
    lines = text.splitlines(keepends=True)
    known = "".join(line for k, line in enumerate(lines) if k % _HELD)
    known_places, unseen = (torch.tensor([alphabet.index(letter) for letter in some]) for some in (known, "".join(lines[::_HELD])))
    return known_places, unseen, len(alphabet)


class Writer(nn.Module):
    """Elman's network: h ← tanh(W·x + U·h + b), and a linear layer from h to the next letter.

    Args:
        letters: of the alphabet.

    Source: Elman (1990), "Finding structure in time", https://doi.org/10.1207/s15516709cog1402_1.
    """

    def __init__(self, letters: int) -> None:
        super().__init__()
        self.embed = nn.Embedding(letters, _HIDDEN)
        self.recur = nn.RNN(_HIDDEN, _HIDDEN, batch_first=True)
        self.read = nn.Linear(_HIDDEN, letters)

    def forward(self, text: Tensor) -> Tensor:
        """Return (rows, length, letters) scores of the letter after each of (rows, length) letters."""
        found: Tensor = self.read(self.recur(self.embed(text))[0])
        return found


def begin(seed: int, make: Make) -> Training:
    """Return a fresh network."""
    known, unseen, letters = _text()
    model = Writer(letters)

    def loss(rows: Tensor) -> Tensor:
        return cross_entropy(model(rows[:, :-1]).flatten(0, 1), rows[:, 1:].flatten())

    def batch_loss() -> Tensor:
        starts = torch.randint(len(known) - _LENGTH, (_BATCH, 1))
        return loss(known[starts + torch.arange(_LENGTH + 1)])

    def pieces(some: Tensor) -> Tensor:
        return some[: len(some) // (_LENGTH + 1) * (_LENGTH + 1)].reshape(-1, _LENGTH + 1)

    def measured() -> tuple[float, float]:
        return float(loss(pieces(known[: len(unseen)]))), float(loss(pieces(unseen))) / math.log(2)

    return Supervised(model, make, batch_loss, measured)


WORKLOAD = Workload(
    name="chars",
    title="a recurrent network (tanh, 48 units) on the letters of this project's guides, through 32 of them at a time, no clipping",
    story="A language model, small: which letter comes next? Gradients go back through 32 steps, where they may vanish or explode.",
    metric="bits per letter",
    higher=False,
    begin=begin,
    steps=200,
    ends=(-3.0, 0.5),
    budget=6,
    target=2.1,
)
