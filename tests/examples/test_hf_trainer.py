"""Hugging Face's Trainer."""

import pytest
import torch

from tests.examples.conftest import CLOSE, apart

# The warnings are those of other packages.
pytestmark = [pytest.mark.hosts, pytest.mark.filterwarnings("default")]


@pytest.fixture
def trainer(torchvision, load, monkeypatch):
    for package in ("transformers", "accelerate"):
        pytest.importorskip(package, reason=f"{package} is not installed; `make test-hosts` installs it")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    return load("hf_trainer")


def losses(trained):
    return [entry["loss"] for entry in trained.state.log_history if "loss" in entry]


def test_learns_to_count(trainer, capsys):
    loss = trainer.main([])
    assert loss < 1.4  # it starts at log 32 = 3.5; the first two words of a sequence cannot be known
    assert "0 2 4 6 goes on with 8 10 12 14 16 18 20 22" in capsys.readouterr().out


def test_goes_the_way_of_pytorchs_own(trainer):
    ours = trainer.train(20, lr=1e-3)
    theirs = trainer.train(20, torch.optim.RMSprop, lr=1e-3)
    assert type(getattr(ours.optimizer, "optimizer", ours.optimizer)) is trainer.RMSprop
    assert losses(ours) == pytest.approx(losses(theirs), rel=1e-4)
    assert apart(ours.model, theirs.model) < CLOSE


def test_clips_as_the_trainer_would(trainer):
    ours = trainer.train(5, lr=1e-3, max_norm=0.01, eps=0.1)
    theirs = trainer.train(5, lr=1e-3, eps=0.1)
    assert not torch.allclose(ours.model.transformer.wte.weight, theirs.model.transformer.wte.weight)
