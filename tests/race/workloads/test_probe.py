"""What is measured of an optimizer's steps, against what is known of them."""

import numpy as np
import pytest
import torch

from rmsprop.race.rivals import rival
from rmsprop.race.workloads.optimizers import optimizer_for
from rmsprop.race.workloads.probe import Probe

G = torch.tensor([1e-3, 0.1, 1.0, 30.0])


def probed(name, lr=0.01, watch=True, rate=None):
    p = torch.nn.Parameter(torch.zeros(4, dtype=torch.float64))
    optimizer = optimizer_for(rival(name), [p], lr)
    probe = Probe(optimizer, rate or (lambda step: lr), watch)

    def step(g=G):
        p.grad = g.double()
        optimizer.step()

    return probe, step, p


def test_gradient_descent_steps_go_with_gradients():
    probe, step, _ = probed("sgd")
    for _ in range(5):
        step()
    seen = probe.read()
    assert seen.rate == pytest.approx(0.01, rel=1e-9)
    assert seen.slope == pytest.approx(1, rel=1e-9)
    assert seen.norm == seen.peak == pytest.approx(float(G.norm()), rel=1e-6)


def test_rmsprop_takes_steps_of_one_length_whatever_the_gradient():
    probe, step, _ = probed("rmsprop")
    for _ in range(300):
        step()
    probe.read()
    step()
    seen = probe.read()
    assert seen.slope == pytest.approx(0, abs=1e-4)
    assert seen.rate == pytest.approx(np.median(0.01 / G.numpy()), rel=1e-4)


def test_adagrad_s_rate_falls_with_the_root_of_the_steps():
    probe, step, _ = probed("adagrad")
    step()
    first = probe.read().rate
    for _ in range(98):
        step()
    probe.read()
    step()
    assert probe.read().rate == pytest.approx(first / 10, rel=1e-6)


def test_each_step_has_its_rate():
    probe, step, p = probed("sgd", rate=lambda done: 0.1 / (1 + done), watch=False)
    for _ in range(3):
        step(torch.ones(4))
    assert probe.count == 3
    np.testing.assert_allclose(p.detach(), -0.1 * (1 + 1 / 2 + 1 / 3), rtol=1e-12)


def test_only_what_moves_counts_and_the_peak_is_the_largest():
    probe, step, _ = probed("sgd")
    step(torch.tensor([0.0, 0.0, 3.0, 4.0]))
    step(torch.tensor([0.0, 0.0, 6.0, 8.0]))
    seen = probe.read()
    assert seen.rate == pytest.approx(0.01)
    assert (seen.norm, seen.peak) == (pytest.approx(7.5), pytest.approx(10))


def test_nothing_seen_is_nan():
    probe, step, _ = probed("sgd")
    assert np.isnan(probe.read()).all()
    step(torch.zeros(4))
    assert np.isnan(probe.read()).all()


def test_parameters_without_gradients_are_passed_over():
    p, q = torch.nn.Parameter(torch.ones(2)), torch.nn.Parameter(torch.ones(2))
    optimizer = torch.optim.SGD([p, q], lr=0.5)
    probe = Probe(optimizer, lambda step: 0.5, True)
    p.grad = torch.tensor([1.0, 2.0])
    optimizer.step()
    assert probe.read().rate == pytest.approx(0.5)
