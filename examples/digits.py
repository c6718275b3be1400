"""A plain training loop: a small network learns scikit-learn's 1,797 handwritten digits, with RMSprop in any dialect.

    pip install "rmsprop[torch]" scikit-learn
    python examples/digits.py --dialect tf1

`rmsprop dialects` says which there are, and how they differ.
"""

import argparse
from collections.abc import Callable
from typing import Any

import torch
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from torch import nn

import rmsprop
from rmsprop.torch import RMSprop


def train(make: Callable[..., torch.optim.Optimizer] = RMSprop, epochs: int = 20, **options: Any) -> tuple[list[float], float]:
    """Return the mean loss of each epoch, and the share of the digits held back that the network then reads right."""
    torch.manual_seed(0)
    pixels, labels = load_digits(return_X_y=True)
    split = train_test_split(pixels.astype("float32") / 16, labels, test_size=0.25, random_state=0, stratify=labels)
    images, unseen, digits, answers = (torch.tensor(part) for part in split)

    model = nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 10))
    optimizer = make(model.parameters(), **options)
    losses = []
    for _ in range(epochs):
        total = 0.0
        for batch in torch.randperm(len(images)).split(32):
            optimizer.zero_grad()
            loss = nn.functional.cross_entropy(model(images[batch]), digits[batch])
            loss.backward()
            optimizer.step()
            total += loss.item() * len(batch)
        losses.append(total / len(images))
    return losses, (model(unseen).argmax(1) == answers).float().mean().item()


def main(arguments: list[str] | None = None) -> float:
    """Train, print the losses and return the accuracy."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dialect", default="pytorch", choices=rmsprop.dialect_names(), metavar="NAME")
    parser.add_argument("--lr", type=float, default=3e-3)
    parser.add_argument("--epochs", type=int, default=20)
    asked = parser.parse_args(arguments)
    losses, accuracy = train(epochs=asked.epochs, dialect=asked.dialect, lr=asked.lr)
    for epoch, loss in enumerate(losses, 1):
        print(f"epoch {epoch:2}  loss {loss:.4f}  {'#' * round(20 * loss)}")
    print(f"{accuracy:.1%} of the digits that it had not seen, in dialect {asked.dialect}")
    return accuracy


if __name__ == "__main__":
    main()
