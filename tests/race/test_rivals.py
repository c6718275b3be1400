"""The rivals against torch.optim, and RMSprop against the optimizer itself."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import rmsprop
from rmsprop.errors import UsageError
from rmsprop.race.rivals import Momentum, RMSprop, rival, rival_names
from tests.cases import RULES, ulps
from tests.tolerances import TOLERANCES

STEPS = 60
# What torch calls each rival, its settings there, and what its state is called.
TORCH = {
    "sgd": (torch.optim.SGD, {}, {}),
    "momentum": (torch.optim.SGD, {"momentum": 0.9}, {"b": "momentum_buffer"}),
    "nesterov": (torch.optim.SGD, {"momentum": 0.9, "nesterov": True}, {"b": "momentum_buffer"}),
    "adagrad": (torch.optim.Adagrad, {}, {"s": "sum"}),
    "adadelta": (torch.optim.Adadelta, {}, {"v": "square_avg", "d": "acc_delta"}),
    "adam": (torch.optim.Adam, {}, {"m": "exp_avg", "v": "exp_avg_sq"}),
    "rmsprop": (torch.optim.RMSprop, {}, {"v": "square_avg"}),
}


def gradients(shape):
    """Gradients over many orders of magnitude, with zeros among them."""
    rng = np.random.default_rng(4)
    g = rng.standard_normal((STEPS, *shape)) * 10.0 ** rng.integers(-4, 4, (STEPS, *shape))
    return np.where(rng.random(g.shape) < 0.1, 0.0, g)


@pytest.mark.parametrize("name", rival_names())
def test_equals_torch(name):
    kind, settings, slots = TORCH[name]
    ours = rival(name, "pytorch")
    p = np.random.default_rng(5).standard_normal(50)
    theirs = torch.nn.Parameter(torch.tensor(p))
    optimizer = kind([theirs], lr=ours.lr, foreach=False, **settings)
    state = ours.init(p)
    allowed = TOLERANCES[f"race, {name}"]
    largest = np.abs(p)
    peaks = {slot: np.abs(array) for slot, array in state.items()}
    for t, g in enumerate(gradients(p.shape), 1):
        before = p.copy()
        p, state = ours.step(p, g, state, ours.lr, t)
        theirs.grad = torch.tensor(g)
        optimizer.step()
        largest = np.maximum(largest, np.abs(p))
        assert ulps(p, theirs.detach().numpy(), largest) <= allowed.parameter
        for slot, called in slots.items():
            wanted = optimizer.state[theirs][called].numpy()
            peaks[slot] = np.maximum(peaks[slot], np.abs(wanted)) if slot in "mb" else np.abs(wanted)
            assert ulps(state[slot], wanted, peaks[slot]) <= allowed.state
        assert (before != p).any()


@pytest.mark.parametrize("case", RULES)
def test_rmsprop_has_the_bits_of_the_optimizer(case):
    rule = RULES[case]
    ours, p = RMSprop(rule=rule), np.random.default_rng(6).standard_normal(7)
    theirs = p.copy()
    optimizer = rmsprop.RMSprop(theirs, lr=0.01, dialect=rule)
    state = ours.init(p)
    for t, g in enumerate(gradients(p.shape), 1):
        p, state = ours.step(p, g, state, 0.01, t)
        optimizer.step(g)
        np.testing.assert_array_equal(p, theirs)
    names = {slot.argument: slot.name for slot in rule.slots}
    assert set(state) == set(names)
    for argument, array in state.items():
        np.testing.assert_array_equal(array, optimizer.state[names[argument]])


@pytest.mark.parametrize("name", [*rival_names(), "everything"])
def test_many_runs_at_once_are_the_runs_one_by_one(name):
    ours = RMSprop(rule=RULES["everything"]) if name == "everything" else rival(name)
    rates = np.array([1e-3, 1e-1, 2.0])
    start = np.random.default_rng(7).standard_normal((3, 4, 2))
    noise = gradients((3, 4, 2))
    p, state = start, ours.init(start)
    for t, g in enumerate(noise, 1):
        p, state = ours.step(p, g, state, rates[:, None, None], t)
    for k, lr in enumerate(rates):
        for run in range(4):
            q, own = start[k, run], ours.init(start[k, run])
            for t, g in enumerate(noise, 1):
                q, own = ours.step(q, g[k, run], own, lr, t)
            np.testing.assert_array_equal(p[k, run], q)


@pytest.mark.parametrize("name", rival_names())
def test_what_is_given_stays_as_it_was(name):
    ours = rival(name)
    p, g = np.array([1.0, -2.0]), np.array([0.5, 3.0])
    state = ours.init(p)
    kept = {slot: array.copy() for slot, array in state.items()}
    moved, _ = ours.step(p, g, state, 0.1, 1)
    assert (p.tolist(), g.tolist()) == ([1.0, -2.0], [0.5, 3.0])
    for slot, array in kept.items():
        np.testing.assert_array_equal(state[slot], array)
    assert (moved != p).all()


@given(st.floats(1e-3, 1e3), st.floats(-1e3, 1e3))
def test_first_step_of_rmsprop_has_one_length(scale, g):
    """lr / √(1-β), whatever the gradient."""
    if abs(g * scale) < 1e-3:
        return
    ours = rival("rmsprop")
    p = np.zeros(1)
    moved, _ = ours.step(p, np.array([g * scale]), ours.init(p), 0.01, 1)
    assert abs(moved[0]) == pytest.approx(0.01 / np.sqrt(1 - 0.9), rel=1e-4)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: rival("adm"), "one of rmsprop, sgd, momentum.*did you mean adam"),
        (lambda: rival("rmsprop", "kerras"), "keras"),
        (lambda: rival("adam", momentum=1.0), r"momentum must be in \[0, 1\), got 1.0"),
        (lambda: rival("adam", beta=1.0), "beta"),
        (lambda: rival("adagrad", eps=0.0), "eps must be greater than 0"),
        (lambda: rival("rmsprop", decay=2.0), r"decay must be in \[0, 1\), got 2.0"),
        (lambda: rival("rmsprop", dekay=0.5), "unknown axis 'dekay'"),
    ],
)
def test_refusal_says_what_is_allowed(call, message):
    with pytest.raises(UsageError, match=message):
        call()


def test_a_value_that_does_not_fit_is_refused_where_it_is_made():
    with pytest.raises(ValueError, match="momentum must be in"):
        Momentum(momentum=-0.1)
