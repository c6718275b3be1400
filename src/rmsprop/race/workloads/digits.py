"""Scikit-learn's 1,797 handwritten digits, read by a small convolutional network."""

from __future__ import annotations

from functools import cache

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from rmsprop.errors import missing_extra
from rmsprop.race.workloads.task import Make, Supervised, Training, Workload, batches

_BATCH = 32
# Rows of the training set that the loss is measured on: enough to tell two runs apart, few enough to measure often.
_MEASURED = 500


@cache
def _data() -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return images and digits to learn from, and those that are held back."""
    try:
        from sklearn.datasets import load_digits
        from sklearn.model_selection import train_test_split
    except ImportError:
        raise missing_extra("scikit-learn", "'rmsprop[workloads]'") from None
    pixels, labels = load_digits(return_X_y=True)
    split = train_test_split(pixels.astype("float32") / 16, labels, test_size=0.25, random_state=0, stratify=labels)
    images, unseen, digits, answers = (torch.tensor(part) for part in split)
    return images.reshape(-1, 1, 8, 8), digits, unseen.reshape(-1, 1, 8, 8), answers


def network() -> nn.Module:
    """Return the network: two convolutions, from 8×8 over 4×4 to 2×2 places, and a linear layer."""
    return nn.Sequential(
        nn.Conv2d(1, 8, 3, stride=2, padding=1), nn.ReLU(),
        nn.Conv2d(8, 16, 3, stride=2, padding=1), nn.ReLU(),
        nn.Flatten(), nn.Linear(64, 10),
    )  # fmt: skip


def begin(seed: int, make: Make) -> Training:
    """Return a fresh network."""
    images, digits, unseen, answers = _data()
    model, rows = network(), batches(len(images), _BATCH)

    def batch_loss() -> Tensor:
        places = next(rows)
        return cross_entropy(model(images[places]), digits[places])

    def measured() -> tuple[float, float]:
        loss = cross_entropy(model(images[:_MEASURED]), digits[:_MEASURED])
        return float(loss), float((model(unseen).argmax(1) == answers).float().mean())

    return Supervised(model, make, batch_loss, measured)


WORKLOAD = Workload(
    name="digits",
    title="a convolutional network of 1,898 weights on scikit-learn's 1,797 handwritten digits, 32 at a time",
    story="Image recognition, small: which digit is it?",
    metric="accuracy",
    higher=True,
    begin=begin,
    steps=300,
    ends=(-3.5, 0.5),
    budget=9,
    target=0.1,
)
