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


class Clipped(torch.optim.RMSprop):
    """PyTorch's own, with the gradients clipped before each step."""

    def step(self, closure=None):
        torch.nn.utils.clip_grad_norm_([p for group in self.param_groups for p in group["params"]], 0.01)
        return super().step(closure)


def test_clips_all_groups_together(trainer):
    # With a large eps a step depends on the gradient's size.
    ours = trainer.train(5, lr=0.1, eps=0.1, weight_decay=0.01, max_norm=0.01)
    theirs = trainer.train(5, Clipped, lr=0.1, eps=0.1, weight_decay=0.01)
    unclipped = trainer.train(5, lr=0.1, eps=0.1, weight_decay=0.01)
    assert len(ours.optimizer.param_groups) == 2  # those that decay, and those that do not
    assert apart(ours.model, theirs.model) < CLOSE < apart(ours.model, unclipped.model)
