"""The plain training loop."""

import subprocess
import sys

import pytest
import torch

from rmsprop.torch import RMSprop
from tests.examples.conftest import EXAMPLES

pytest.importorskip("sklearn", reason="scikit-learn is not installed")


@pytest.fixture
def digits(load):
    return load("digits")


def test_learns_the_digits(digits, capsys):
    accuracy = digits.main(["--epochs", "10"])
    printed = capsys.readouterr().out
    assert accuracy > 0.93
    assert printed.count("epoch") == 10
    assert f"{accuracy:.1%}" in printed


@pytest.mark.parametrize("dialect", ["tf1", "keras", "timm", "optax"])
def test_learns_in_other_dialects(digits, dialect):
    losses, accuracy = digits.train(epochs=4, dialect=dialect, lr=0.01)
    assert losses == sorted(losses, reverse=True)
    assert losses[-1] < losses[0] / 2
    assert accuracy > 0.8


@pytest.mark.parametrize("options", [{}, {"momentum": 0.9, "centered": True, "weight_decay": 1e-3}], ids=["plain", "everything"])
def test_goes_the_way_of_pytorchs_own(digits, options):
    losses, accuracy = digits.train(RMSprop, epochs=3, lr=1e-3, **options)
    expected, other = digits.train(torch.optim.RMSprop, epochs=3, lr=1e-3, **options)
    assert losses == pytest.approx(expected, rel=1e-4)  # 129 steps let rounding grow
    assert accuracy == pytest.approx(other, abs=0.005)


def test_runs_from_the_command_line():
    ran = subprocess.run(
        [sys.executable, EXAMPLES / "digits.py", "--dialect", "tf1", "--epochs", "1"], capture_output=True, text=True, check=False
    )
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.splitlines()[-1].endswith("in dialect tf1")


def test_a_wrong_dialect_is_answered_with_the_names(digits, capsys):
    with pytest.raises(SystemExit):
        digits.main(["--dialect", "tensorflow1"])
    assert "bitsandbytes" in capsys.readouterr().err
