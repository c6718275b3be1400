"""The fused pass in a CUDA graph, and without waiting for the device."""

import pytest

torch = pytest.importorskip("torch", reason="PyTorch is not installed")

from tests.gpu.graphs import capturable, captured, warmed_up, without_waiting  # noqa: E402
from tests.gpu.harness import Twins, compiled_pass, moved, on_device, same  # noqa: E402
from tests.torch.harness import gradients  # noqa: E402

SHAPES = [(3, 5), (0,), (), (17,)]
EVERYTHING = {"centered": True, "momentum": 0.9, "weight_decay": 0.1, "alpha": 0.9, "eps": 1e-3}
OPTIONS = {
    "plain": {},
    "everything": {**EVERYTHING, "ema_decay": 0.9},
    "bias correction": {"dialect": "optax", "lr": 0.01, "eps": 1e-3},
    "skip": {"on_nonfinite": "skip"},
    "clipped": {"max_norm": 1e6},  # never reached: whose bits would be those of another order of sums
}
each_option = pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)


def fill(twins, grads):
    """Give both the same gradients, those on the device in the tensors that are there."""
    for p, q, g in zip(twins.host, twins.far, grads, strict=True):
        p.grad = g.clone()
        if q.grad is None:
            q.grad = moved(g, twins.device)
        else:
            q.grad.copy_(g)


def follow(twins):
    """Take the step of the CPU's twin."""
    with compiled_pass():
        twins.theirs.step()


@each_option
def test_a_replay_is_a_step(device, options):
    with capturable(device):
        twins = Twins(device, SHAPES, capturable=True, **options)
        grads = gradients(twins.host, 6)
        for each in grads[:2]:
            fill(twins, each)
            warmed_up(device, twins.ours.step, 1)
            follow(twins)
        fill(twins, grads[2])
        replay = captured(device, twins.ours.step)
        if device.type == "cpu":  # capturing has run it, which on a GPU it does not
            follow(twins)
        for each in grads[3:]:
            fill(twins, each)
            replay()
            follow(twins)
            compare(twins)


def compare(twins):
    """Compare bits; the counts of steps lie on the device here."""
    for q, p in zip(twins.far, twins.host, strict=True):
        assert same(q, p)
        for name, value in twins.theirs.state[p].items():
            assert same(twins.ours.state[q][name], value), name


@each_option
def test_a_replay_reads_the_gradients_it_was_captured_with(device, options):
    """Steps outside of the graph, on gradients elsewhere, change nothing of that."""
    with capturable(device):
        twins = Twins(device, SHAPES, capturable=True, **options)
        grads = gradients(twins.host, 5)
        fill(twins, grads[0])
        warmed_up(device, twins.ours.step, 1)
        follow(twins)
        fill(twins, grads[1])
        replay = captured(device, twins.ours.step)
        if device.type == "cpu":
            follow(twins)
        inside = [q.grad for q in twins.far]
        for p, q, g in zip(twins.host, twins.far, grads[2], strict=True):
            p.grad, q.grad = g.clone(), moved(g, device)
        outside = [q.grad for q in twins.far]
        twins.ours.step()
        follow(twins)
        compare(twins)
        for g in outside:
            g.fill_(float("nan"))  # as memory that others have by now
        for q, g in zip(twins.far, inside, strict=True):
            q.grad = g
        fill(twins, grads[3])
        replay()
        follow(twins)
        compare(twins)


def test_a_learning_rate_on_the_device_is_read_at_each_replay(device):
    with capturable(device):
        lr = on_device(0.01, device)
        twins = Twins(device, SHAPES, capturable=True, momentum=0.9)
        twins.ours.param_groups[0]["lr"] = lr
        grads = gradients(twins.host, 5)
        for t, each in enumerate(grads):
            rate = 0.01 / (t + 1)
            lr.detach().fill_(rate)
            twins.theirs.param_groups[0]["lr"] = lr.item()
            fill(twins, each)
            if t == 2:
                replay = captured(device, twins.ours.step)
                if device.type != "cpu":
                    replay()
            elif t > 2:
                replay()
            else:
                warmed_up(device, twins.ours.step, 1)
            follow(twins)
            compare(twins)


def test_a_replay_skips_what_is_not_finite(device):
    with capturable(device):
        twins = Twins(device, SHAPES, capturable=True, on_nonfinite="skip")
        grads = gradients(twins.host, 4)
        for each in grads[:2]:
            fill(twins, each)
            warmed_up(device, twins.ours.step, 1)
            follow(twins)
        replay = captured(device, twins.ours.step)
        if device.type == "cpu":
            follow(twins)
        held = [q.detach().clone() for q in twins.far]
        grads[2][0][0, 0] = float("inf")
        fill(twins, grads[2])
        replay()
        assert all(map(same, twins.far, held))
        fill(twins, grads[3])
        replay()
        follow(twins)
        compare(twins)


def test_a_capture_without_a_step_before_it_says_what_to_do(device):
    with capturable(device):
        twins = Twins(device, SHAPES, capturable=True)
        fill(twins, gradients(twins.host, 1)[0])
        twins.ours._planned()  # the state that is there is not enough
        with pytest.raises(RuntimeError, match="warm-up"):
            captured(device, twins.ours.step)


@each_option
@pytest.mark.parametrize("lr_there", [False, True], ids=["lr", "lr on the device"])
def test_a_step_waits_for_no_device(device, options, lr_there):
    twins = Twins(device, SHAPES, **options)
    if lr_there:
        twins.ours.param_groups[0]["lr"] = on_device(0.01, device)
    grads = gradients(twins.host, 4)
    for each in grads[:2]:
        fill(twins, each)
        twins.ours.step()
    fill(twins, grads[2])
    scale, found = torch.tensor(4.0, device=device), torch.tensor(0.0, device=device)
    elsewhere = [moved(g, device) for g in grads[3]]
    with without_waiting(device):
        twins.ours.step()
        for q, g in zip(twins.far, elsewhere, strict=True):
            q.grad = g  # gradients that moved
        twins.ours.step()
        twins.ours.grad_scale, twins.ours.found_inf = scale, found
        twins.ours.step()


def test_what_waits_is_found_out(device):
    x = torch.ones(1, device=device)
    with pytest.raises(RuntimeError), without_waiting(device):
        x.item()
