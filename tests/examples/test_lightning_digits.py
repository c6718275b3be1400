"""Lightning."""

import re

import pytest
import torch

from tests.examples.conftest import CLOSE, apart

pytest.importorskip("sklearn", reason="scikit-learn is not installed")

# The warnings are those of other packages.
pytestmark = [pytest.mark.hosts, pytest.mark.filterwarnings("default")]


@pytest.fixture
def digits(torchvision, load):
    pytest.importorskip("lightning", reason="Lightning is not installed; `make test-hosts` installs it")
    return load("lightning_digits")


def test_learns_the_digits(digits, capsys):
    accuracy = digits.main(epochs=5)
    printed = capsys.readouterr().out
    assert accuracy > 0.93
    assert float(re.search(r"0\.weight +([0-9.]+)%", printed)[1]) > 4.6  # three of the 64 pixels are always black
    assert "2.bias    0.0% of its entries" in printed
    assert f"{accuracy:.1%}" in printed


def test_the_schedule_moves_our_rate(digits):
    module, _ = digits.train(2, lr=0.004)
    (optimizer,) = module.trainer.optimizers
    assert type(getattr(optimizer, "optimizer", optimizer)) is digits.RMSprop
    assert optimizer.param_groups[0]["lr"] < 0.004 == optimizer.param_groups[0]["initial_lr"]


def test_goes_the_way_of_pytorchs_own(digits):
    ours, _ = digits.train(1)
    theirs, _ = digits.train(1, optimizer=torch.optim.RMSprop)
    assert apart(ours, theirs) < CLOSE
