"""Which module of Python's standard library does a docstring come from? Logistic regression on the words that are in it."""

from __future__ import annotations

import ast
import re
import sysconfig
from collections import Counter
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from rmsprop.errors import DataError
from rmsprop.race.workloads.task import Make, Supervised, Training, Workload, batches

_MODULES = (
    "asyncio", "email", "http", "importlib", "logging", "mailbox.py", "multiprocessing", "_pydecimal.py", "tarfile.py", "unittest",
    "urllib", "xml",
)  # fmt: skip
_BATCH = 16
_MEASURED = 500
# Docstrings shorter than this say too little, words of fewer documents cannot be learnt from.
_LETTERS, _DOCUMENTS = 30, 2


def _docstrings(place: Path) -> Iterator[str]:
    """Yield the docstrings of a module's files, read and never run, in an order that is the same everywhere."""
    for file in sorted(place.rglob("*.py")) if place.is_dir() else [place]:
        if {"test", "tests"} & set(file.relative_to(place.parent).parts):
            continue
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
                text = ast.get_docstring(node)
                if text and len(text) >= _LETTERS:
                    yield text


@cache
def _data() -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return the words and modules to learn from, and those that are held back: every fourth.

    Returns:
        (n, words) which words are in a docstring, each row of length 1; (n,) the place of its module; and both of those held back.
    """
    library = Path(sysconfig.get_path("stdlib"))
    found = {
        text: place for place, name in enumerate(_MODULES) if (library / name).exists() for text in _docstrings(library / name)
    }
    if len(found) < 500:
        raise DataError(f"{library} holds too few docstrings to learn from, {len(found)}; use a Python that comes with its library")
    bags = [set(re.findall(r"[a-z]{2,}", text.lower())) for text in found]
    uses = Counter(word for bag in bags for word in bag)
    places = {word: k for k, word in enumerate(sorted(word for word, count in uses.items() if count >= _DOCUMENTS))}
    rows = torch.zeros(len(bags), len(places))
    for row, bag in zip(rows, bags, strict=True):
        row[[places[word] for word in bag if word in places]] = 1
    rows /= rows.norm(dim=1, keepdim=True).clamp(min=1)
    modules = torch.tensor(list(found.values()))
    held = torch.arange(len(bags)) % 4 == 3
    return rows[~held], modules[~held], rows[held], modules[held]


def begin(seed: int, make: Make) -> Training:
    """Return a fresh model: one weight for each word and module."""
    bags, modules, unseen, answers = _data()
    model, rows = nn.Linear(bags.shape[1], len(_MODULES)), batches(len(bags), _BATCH)
    sample = torch.randperm(len(bags), generator=torch.Generator().manual_seed(0))[:_MEASURED]
    nn.init.zeros_(model.weight)
    nn.init.zeros_(model.bias)

    def batch_loss() -> Tensor:
        places = next(rows)
        return cross_entropy(model(bags[places]), modules[places])

    def measured() -> tuple[float, float]:
        loss = cross_entropy(model(bags[sample]), modules[sample])
        return float(loss), float((model(unseen).argmax(1) == answers).float().mean())

    return Supervised(model, make, batch_loss, measured)


WORKLOAD = Workload(
    name="words",
    title="logistic regression on the words of the docstrings in 12 modules of Python's standard library, 16 at a time",
    story="Sparse features: a docstring holds some twenty of 2,600 words. Which module is it from?",
    metric="accuracy",
    higher=True,
    begin=begin,
    steps=200,
    ends=(-2.0, 2.0),
    budget=6,
    target=0.5,
)
