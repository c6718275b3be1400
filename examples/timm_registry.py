"""timm finds our RMSprop by name: a tiny EfficientNet, without weights, learns scikit-learn's digits as timm trains it.

    pip install "rmsprop[torch]" timm scikit-learn
    python examples/timm_registry.py

The dialect "timm" is timm's own RMSpropTF.
"""

import argparse
from typing import Any

import timm
import torch
from sklearn.datasets import load_digits
from timm.optim import OptimInfo, create_optimizer_v2
from timm.optim._optim_factory import default_registry
from torch import nn

from rmsprop.torch import RMSprop

# timm's names have no underscore: what stands before one is a wrapper, as in lookahead_adam.
OURS = OptimInfo("rmspropfast", RMSprop, "RMSpropTF in one pass", has_momentum=True, defaults={"dialect": "timm", "alpha": 0.9})
default_registry.register(OURS)


def train(steps: int, name: str = "rmspropfast", **options: Any) -> tuple[nn.Module, list[float]]:
    """Return the network that an optimizer of timm's registry trained, and the loss of each step."""
    torch.manual_seed(0)
    pixels, labels = load_digits(return_X_y=True)
    images, digits = torch.tensor(pixels / 8 - 1).float().reshape(-1, 1, 8, 8), torch.tensor(labels)
    model = timm.create_model("test_efficientnet", pretrained=False, in_chans=1, num_classes=10)
    optimizer = create_optimizer_v2(model, name, lr=1e-3, weight_decay=1e-5, **options)
    losses = []
    for _ in range(steps):
        batch = torch.randint(len(images), (32,))
        loss = nn.functional.cross_entropy(model(nn.functional.interpolate(images[batch], size=32)), digits[batch])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return model, losses


def main(arguments: list[str] | None = None) -> list[float]:
    """Train, print the losses and return them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=60)
    _, losses = train(parser.parse_args(arguments).steps)
    for step in range(0, len(losses), 10):
        print(f"steps {step:3} on  loss {sum(losses[step : step + 10]) / len(losses[step : step + 10]):.3f}")
    return losses


if __name__ == "__main__":
    main()
