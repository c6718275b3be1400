"""A rival is the same optimizer on a workload as on a landscape."""

import numpy as np
import pytest
import torch

import rmsprop.torch
from rmsprop.race.rivals import rival, rival_names
from rmsprop.race.workloads.optimizers import optimizer_for
from tests.cases import ulps
from tests.tolerances import TOLERANCES

CHANGED = {
    "rmsprop": {"decay": 0.8, "momentum": 0.5},
    "momentum": {"momentum": 0.7},
    "nesterov": {"momentum": 0.7},
    "adagrad": {"eps": 1e-3},
    "adadelta": {"decay": 0.8, "eps": 1e-4},
    "adam": {"momentum": 0.7, "decay": 0.99, "eps": 1e-3},
}


@pytest.mark.parametrize("changed", [False, True], ids=["as it is", "changed"])
@pytest.mark.parametrize("name", rival_names())
def test_takes_the_steps_of_the_rival(name, changed):
    one = rival(name, **(CHANGED.get(name, {}) if changed else {}))
    rng = np.random.default_rng(3)
    p = rng.standard_normal(20)
    theirs = torch.nn.Parameter(torch.tensor(p))
    optimizer, state, largest = optimizer_for(one, [theirs], 0.01), one.init(p), np.abs(p)
    for t in range(1, 31):
        g = rng.standard_normal(20)
        p, state = one.step(p, g, state, 0.01, t)
        theirs.grad = torch.tensor(g)
        optimizer.step()
        largest = np.maximum(largest, np.abs(p))
    assert ulps(p, theirs.detach().numpy(), largest) <= TOLERANCES[f"race, {name}"].parameter


def test_rmsprop_is_ours_in_its_dialect_and_lets_a_run_fail_by_its_losses():
    p = torch.nn.Parameter(torch.ones(2))
    optimizer = optimizer_for(rival("rmsprop", "tf1"), [p], 0.1)
    assert type(optimizer) is rmsprop.torch.RMSprop
    assert optimizer.param_groups[0]["lr"] == 0.1
    p.grad = torch.tensor([1.0, float("nan")])
    optimizer.step()
    assert p[0].isfinite()
    assert p[1].isnan()


def test_what_torch_has_not_is_refused():
    with pytest.raises(TypeError, match="no optimizer of PyTorch"):
        optimizer_for(object(), [torch.nn.Parameter(torch.ones(1))], 0.1)
