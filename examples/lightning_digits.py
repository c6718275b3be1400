"""Lightning trains a network on scikit-learn's digits: `configure_optimizers` returns our RMSprop and a schedule for it.

    pip install "rmsprop[torch]" lightning scikit-learn
    python examples/lightning_digits.py

Parameters with names have them in the report.
"""

import lightning
import torch
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from rmsprop.torch import RMSprop


class Digits(lightning.LightningModule):
    """A small network with its optimizer."""

    def __init__(self, optimizer: type[torch.optim.Optimizer], options: dict[str, float]) -> None:
        super().__init__()
        self.network = nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 10))
        self.optimizer, self.options = optimizer, options

    def training_step(self, batch: list[Tensor], _: int) -> Tensor:
        """Return the loss of a batch."""
        return nn.functional.cross_entropy(self.network(batch[0]), batch[1])

    def configure_optimizers(self) -> dict[str, object]:
        """Return the optimizer, and a schedule that Lightning steps after each epoch."""
        ours = self.optimizer(self.network.named_parameters(), **self.options)
        return {"optimizer": ours, "lr_scheduler": torch.optim.lr_scheduler.CosineAnnealingLR(ours, self.trainer.max_epochs)}


def train(epochs: int, optimizer: type[torch.optim.Optimizer] = RMSprop, **options: float) -> tuple[Digits, float]:
    """Return the trained module, and the share of the digits held back that it reads right."""
    torch.manual_seed(0)
    pixels, labels = load_digits(return_X_y=True)
    split = train_test_split(pixels.astype("float32") / 16, labels, random_state=0)
    images, unseen, digits, answers = map(torch.tensor, split)
    batches = DataLoader(TensorDataset(images, digits), batch_size=32, shuffle=True)
    module = Digits(optimizer, {"lr": 2e-3, "momentum": 0.9, **options})
    lightning.Trainer(max_epochs=epochs, accelerator="cpu", logger=False, enable_checkpointing=False).fit(module, batches)
    return module, (module.network(unseen).argmax(1) == answers).float().mean().item()


def main(epochs: int = 10) -> float:
    """Train, print what the report says of each layer and the accuracy, and return the accuracy."""
    module, accuracy = train(epochs)
    for name, layer in module.trainer.optimizers[0].report()["groups"][0]["layers"].items():
        print(f"{name:8}  {layer['dead']:.1%} of its entries never had a gradient")
    print(f"{accuracy:.1%} of the digits that it had not seen")
    return accuracy


if __name__ == "__main__":
    main()
