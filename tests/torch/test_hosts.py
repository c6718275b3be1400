"""What drives an optimizer in practice: GradScaler, hooks in backward, checkpoints, shards, shared memory, the compiler."""

import copy
import multiprocessing
import socket

import pytest
import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn import Parameter

import rmsprop
from rmsprop.torch import RMSprop
from tests.torch.harness import OPTIONS, Race, Regression, bits, feed, gradients, parameters, snapshot, twins

# Everything that a step may keep, and the dialects whose state does not start at 0.
STATEFUL = {
    **OPTIONS,
    "tf1": {"dialect": "tf1"},
    "tf1, everything": {"dialect": "tf1", "momentum": 0.9, "centered": True},
    "sb3, everything": {"dialect": "sb3", "momentum": 0.9, "centered": True, "weight_decay": 0.1},
    "bias correction": {"dialect": rmsprop.dialect("optax", bias_correction=True), "momentum": 0.9},
    "ema": {"ema_decay": 0.9},
    "ema, momentum, decoupled": {"ema_decay": 0.9, "momentum": 0.9, "weight_decay": 0.1, "decoupled_weight_decay": True},
}
# What torch.compile meets beyond torch's own options.
BEYOND = {
    "tf1": {"dialect": "tf1", "momentum": 0.9, "centered": True},
    "nesterov": {"momentum": 0.9, "nesterov": True},
    "decoupled": {"weight_decay": 0.1, "decoupled_weight_decay": True},
    "bias correction": {"dialect": rmsprop.dialect("optax", bias_correction=True)},
    "averaged": {"ema_decay": 0.5},
    "clipped": {"max_norm": 0.1, "eps": 0.1},
}
each_option = pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS.keys())
each_stateful = pytest.mark.parametrize("options", STATEFUL.values(), ids=STATEFUL.keys())


class TestGradScaler:
    @staticmethod
    def scaled(model, optimizer, scaler, steps, *, unscale=False, clip=None, spoil=()):
        for t in range(steps):
            optimizer.zero_grad()
            scaler.scale(model.loss()).backward()
            if t in spoil:
                model.weight.grad[0, 0] = spoil[t]
            if unscale:
                scaler.unscale_(optimizer)
            if clip is not None:
                nn.utils.clip_grad_norm_(model.params, clip)
            scaler.step(optimizer)
            scaler.update()

    @each_option
    @pytest.mark.parametrize("unscale", [False, True], ids=["step unscales", "unscaled before"])
    def test_scaled_training_is_the_unscaled_one(self, options, unscale):
        model, plain = Regression(), Regression()
        optimizer, other = RMSprop(model.params, **options), RMSprop(plain.params, **options)
        scaler = torch.amp.GradScaler("cpu", init_scale=2.0**10)
        self.scaled(model, optimizer, scaler, 8, unscale=unscale)
        plain.train(other, 8)
        assert snapshot(optimizer) == snapshot(other)  # powers of two round nothing
        assert scaler.get_scale() == 2.0**10
        assert all(state["step"] == 8 for state in optimizer.state.values())

    @pytest.mark.parametrize("policy", ["propagate", "raise", "skip"])
    @pytest.mark.parametrize("bad", [float("inf"), float("nan")])
    @pytest.mark.parametrize("unscale", [False, True], ids=["step unscales", "unscaled before"])
    def test_an_overflow_skips_the_step_and_halves_the_scale(self, policy, bad, unscale):
        model, plain = Regression(), Regression()
        optimizer = RMSprop(model.params, momentum=0.9, centered=True, on_nonfinite=policy)
        other = RMSprop(plain.params, momentum=0.9, centered=True)
        scaler = torch.amp.GradScaler("cpu", init_scale=1024.0)
        self.scaled(model, optimizer, scaler, 3)
        held = snapshot(optimizer)
        self.scaled(model, optimizer, scaler, 1, unscale=unscale, spoil={0: bad})
        assert snapshot(optimizer) == held
        assert scaler.get_scale() == 512.0
        self.scaled(model, optimizer, scaler, 3, unscale=unscale)
        plain.train(other, 6)
        assert snapshot(optimizer) == snapshot(other)

    def test_an_overflow_at_the_first_step_leaves_a_start_like_new(self):
        model, plain = Regression(), Regression()
        optimizer, other = (
            RMSprop(model.params, momentum=0.9, dialect="tf1", lr=0.1),
            RMSprop(plain.params, momentum=0.9, dialect="tf1", lr=0.1),
        )
        scaler = torch.amp.GradScaler("cpu", init_scale=1024.0)
        self.scaled(model, optimizer, scaler, 4, spoil={0: float("inf")})
        plain.train(other, 3)
        assert bits(model.params) == bits(plain.params)
        assert all(state["step"] == 3 for state in optimizer.state.values())

    @pytest.mark.parametrize("unscale", [False, True], ids=["step unscales", "unscaled before"])
    def test_the_norm_is_clipped_after_unscaling(self, unscale):
        model, plain = Regression(), Regression()
        optimizer, other = RMSprop(model.params, max_norm=0.5, eps=0.1), RMSprop(plain.params, eps=0.1)
        self.scaled(model, optimizer, torch.amp.GradScaler("cpu", init_scale=1024.0), 8, unscale=unscale)
        for _ in range(8):
            plain.closure(other)()
            assert nn.utils.clip_grad_norm_(plain.params, 0.5) > 0.5
            other.step()
        torch.testing.assert_close(bound(model), bound(plain))

    def test_clipping_by_the_user_between(self):
        model, plain = Regression(), Regression()
        optimizer, other = RMSprop(model.params), RMSprop(plain.params)
        self.scaled(model, optimizer, torch.amp.GradScaler("cpu", init_scale=1024.0), 4, unscale=True, clip=0.5)
        for _ in range(4):
            plain.closure(other)()
            nn.utils.clip_grad_norm_(plain.params, 0.5)
            other.step()
        assert bits(model.params) == bits(plain.params)

    def test_leaves_nothing_of_its_protocol_behind(self):
        model = Regression()
        optimizer = RMSprop(model.params)
        scaler = torch.amp.GradScaler("cpu", init_scale=1024.0)
        assert optimizer._step_supports_amp_scaling  # so that the scaler asks the device for nothing
        for spoil in ({}, {0: float("inf")}):
            self.scaled(model, optimizer, scaler, 1, spoil=spoil)
            assert not {"grad_scale", "found_inf"} & vars(optimizer).keys()
        assert not {"grad_scale", "found_inf"} & optimizer.state_dict().keys()
        plain = Regression()
        other = RMSprop(plain.params)
        plain.train(other, 3)
        model.train(optimizer, 2)  # without the scaler, gradients are taken as they are
        assert snapshot(optimizer) == snapshot(other)

    def test_a_disabled_scaler_is_none(self):
        model, plain = Regression(), Regression()
        optimizer, other = RMSprop(model.params), RMSprop(plain.params)
        self.scaled(model, optimizer, torch.amp.GradScaler("cpu", enabled=False), 3)
        plain.train(other, 3)
        assert snapshot(optimizer) == snapshot(other)

    def test_two_optimizers_share_one_scaler(self):
        one, two, plain = Regression(), Regression(), Regression()
        first, second, other = RMSprop(one.params), RMSprop(two.params), RMSprop(plain.params)
        scaler = torch.amp.GradScaler("cpu", init_scale=1024.0)
        for t in range(3):
            for model, optimizer in ((one, first), (two, second)):
                optimizer.zero_grad()
                scaler.scale(model.loss()).backward()
                if model is two and t == 1:
                    model.bias.grad[0] = float("inf")
                scaler.step(optimizer)
            scaler.update()
        plain.train(other, 2)
        assert bits(two.params) == bits(plain.params)  # skipped the second
        plain.train(other, 1)
        assert bits(one.params) == bits(plain.params)

    def test_gradients_below_the_range_of_float16_count(self):
        # Scaled they are representable, unscaled in float16 they would be 0; eps makes the step tell their size.
        scaler = torch.amp.GradScaler("cpu", init_scale=2.0**20)
        half, plain = Parameter(torch.zeros(4, dtype=torch.float16)), Parameter(torch.zeros(4))
        options = {"lr": 4.0, "eps": 1e-6, "momentum": 0.9}
        ours, other = RMSprop([half], **options), RMSprop([plain], **options)
        true = torch.tensor([1e-9, -2e-9, 5e-8, 1e-6])
        for _ in range(3):
            half.grad = (true * scaler.scale(torch.ones(()))).half()
            plain.grad = half.grad.float() / 2.0**20
            scaler.step(ours)
            scaler.update()
            other.step()
        torch.testing.assert_close(half.detach(), plain.detach().half())
        assert (half != 0).all()

    def test_of_half_precision_parameters_under_autocast(self):
        model = nn.Linear(4, 3)
        optimizer = RMSprop(model.parameters(), lr=1e-3)
        scaler = torch.amp.GradScaler("cpu")
        x, before = torch.ones(8, 4), None
        for _ in range(10):
            optimizer.zero_grad()
            with torch.autocast("cpu", dtype=torch.bfloat16):
                loss = model(x).square().mean()
            before = before or loss.item()
            scaler.scale(loss).backward()
            scaler.step(optimizer)
            scaler.update()
        assert loss.item() < before


def bound(model):
    return [p.detach() for p in model.params]


class TestMidRun:
    @each_option
    def test_a_group_added_later_is_a_second_optimizer(self, options):
        params = parameters([(4, 3), (5,)])
        alone = twins(params)
        together = RMSprop(params[:1], lr=0.1, **options)
        separate = [RMSprop(alone[:1], lr=0.1, **options), RMSprop(alone[1:], **{"lr": 0.1, **options, "momentum": 0.5})]
        for t, grads in enumerate(gradients(params, 6)):
            if t == 3:
                together.add_param_group({"params": params[1], "momentum": 0.5})
            for p, q, g in zip(params, alone, grads, strict=True):
                p.grad, q.grad = g.clone(), g.clone()
            together.step()
            separate[0].step()
            if t >= 3:
                separate[1].step()
        assert bits(params) == bits(alone)
        assert [together.state[p]["step"] for p in params] == [6, 3]

    @each_option
    def test_a_layer_frozen_and_thawed(self, options):
        model, reference = (nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2)) for _ in range(2))
        reference.load_state_dict(model.state_dict())
        race = Race(RMSprop(model.parameters(), **options), torch.optim.RMSprop(reference.parameters(), **options))
        grads = gradients(list(model.parameters()), 8)
        for t, each in enumerate(grads):
            frozen = t in (2, 3)
            for net in (model, reference):
                net[0].requires_grad_(not frozen)
            race.step([None if frozen and i < 2 else g for i, g in enumerate(each)])
        race.check("torch's inputs float32")

    @each_option
    def test_inside_the_backward_pass(self, options):
        torch.manual_seed(0)
        model = nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 1))
        plain = copy.deepcopy(model)
        x = torch.randn(16, 4)
        each = {p: RMSprop([p], **options) for p in model.parameters()}

        def hook(p):
            each[p].step()
            each[p].zero_grad()

        for p in model.parameters():
            p.register_post_accumulate_grad_hook(hook)
        other = RMSprop(plain.parameters(), **options)
        for _ in range(5):
            model(x).square().mean().backward()
            assert all(p.grad is None for p in model.parameters())
            other.zero_grad()
            plain(x).square().mean().backward()
            other.step()
        assert bits(model.parameters()) == bits(plain.parameters())

    def test_a_float_rate_may_become_a_tensor_and_back(self):
        params = parameters()
        copies = twins(params)
        ours, other = RMSprop(params), RMSprop(copies)
        for rate, grads in zip([0.5, 0.25, 0.125, 0.0], gradients(params, 4), strict=True):
            ours.param_groups[0]["lr"] = torch.tensor(rate) if rate != 0.25 else rate
            other.param_groups[0]["lr"] = rate
            feed(ours, params, grads)
            feed(other, copies, grads)
            assert snapshot(ours) == snapshot(other)

    @pytest.mark.parametrize("bad", [-0.1, float("nan"), float("inf")])
    def test_a_rate_set_wrong_is_refused_at_the_step(self, bad):
        p = Parameter(torch.ones(3))
        optimizer = RMSprop([p])
        optimizer.param_groups[0]["lr"] = bad
        p.grad = torch.ones(3)
        with pytest.raises(ValueError, match="learning rate"):
            optimizer.step()
        assert torch.equal(p, torch.ones(3))


class TestDistributedCheckpoint:
    """It takes a step with zero gradients and lr = 0 to make the state exist: nothing may come of it."""

    @each_stateful
    @pytest.mark.parametrize("tensor_lr", [False, True], ids=["float lr", "tensor lr"])
    @pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.complex64], ids=lambda d: str(d)[6:])
    def test_its_dummy_step_changes_nothing(self, options, tensor_lr, dtype):
        from torch.distributed.checkpoint.state_dict import _init_optim_state

        def rate():
            return torch.tensor(0.05) if tensor_lr else 0.05

        params = parameters([(3, 5), (7,), (0,)], dtype)
        copies = twins(params)
        ours, plain = RMSprop(params, **{"lr": rate(), **options}), RMSprop(copies, **{"lr": rate(), **options})
        before = bits(params)
        _init_optim_state(ours)
        assert bits(params) == before
        assert all(ours.state[p] for p in params)  # what the checkpoint wants
        assert float(ours.param_groups[0]["lr"]) == pytest.approx(0.05)
        for t, grads in enumerate(gradients(params, 3)):
            feed(ours, params, grads)
            feed(plain, copies, grads)
            assert bits(params) == bits(copies), f"step {t} differs"
            assert snapshot(ours) == snapshot(plain), f"state of step {t} differs"

    def test_a_schedule_that_starts_at_0_is_a_real_step(self):
        # lr = 0 with real gradients is how a warm-up begins: its statistics count.
        params = parameters()
        copies = twins(params)
        race = Race(RMSprop(params, lr=0.0), torch.optim.RMSprop(copies, lr=0.0))
        for rate, grads in zip([0.0, 0.01, 0.02], gradients(params, 3), strict=True):
            for optimizer in (race.ours, race.theirs):
                optimizer.param_groups[0]["lr"] = rate
            race.step(grads)
        race.check("torch's inputs float32")

    @each_stateful
    def test_saves_and_loads_by_names(self, options):
        from torch.distributed.checkpoint.state_dict import get_optimizer_state_dict, set_optimizer_state_dict

        torch.manual_seed(0)
        model = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2))
        optimizer = RMSprop(model.parameters(), **{"lr": 0.01, **options})
        params = list(model.parameters())
        grads = gradients(params, 6)
        for g in grads[:3]:
            feed(optimizer, params, g)
        optimizer.zero_grad()
        saved = copy.deepcopy(get_optimizer_state_dict(model, optimizer))
        assert {"0.weight", "0.bias", "2.weight", "2.bias"} == saved["state"].keys()
        resumed = copy.deepcopy(model)
        other = RMSprop(resumed.parameters(), **{"lr": 0.5, **options})
        set_optimizer_state_dict(resumed, other, saved)
        for g in grads[3:]:
            feed(optimizer, params, g)
            feed(other, list(resumed.parameters()), g)
        assert snapshot(optimizer) == snapshot(other)

    def test_of_a_fresh_optimizer_trains_on_as_if_not_asked(self):
        from torch.distributed.checkpoint.state_dict import get_optimizer_state_dict

        models = [nn.Linear(3, 2) for _ in range(2)]
        models[1].load_state_dict(models[0].state_dict())
        optimizers = [RMSprop(m.parameters(), dialect="tf1", lr=0.1, momentum=0.9, weight_decay=0.1) for m in models]
        get_optimizer_state_dict(models[0], optimizers[0])
        for grads in gradients(list(models[0].parameters()), 3):
            for model, optimizer in zip(models, optimizers, strict=True):
                feed(optimizer, list(model.parameters()), grads)
        assert bits(models[0].parameters()) == bits(models[1].parameters())


# Dynamo itself touches torch.jit, which warns of its end.
@pytest.mark.filterwarnings("ignore:`torch.jit.*` is deprecated:DeprecationWarning")
class TestCompile:
    """A training step that holds the optimizer, compiled; no backend may change what it does by more than rounding."""

    @staticmethod
    def run(backend, options, dtype=torch.float32, *, tensor_lr=True):
        torch.compiler.reset()
        params, reference = parameters([(4, 3), (5,)], dtype), parameters([(4, 3), (5,)], dtype)

        def rate():
            return torch.tensor(0.01) if tensor_lr else 0.01

        ours, plain = RMSprop(params, lr=rate(), **options), RMSprop(reference, lr=rate(), **options)
        step = torch.compile(ours.step, backend=backend)
        counts = [torch._dynamo.utils.counters["stats"]["unique_graphs"]]
        race = None if dtype == torch.bfloat16 else Race(ours, plain)
        for t, grads in enumerate(gradients(params, 5)):
            for optimizer in (ours, plain):
                if tensor_lr:
                    optimizer.param_groups[0]["lr"].fill_(0.01 / (t + 1))
            for p, q, g in zip(params, reference, grads, strict=True):
                # One gradient tensor for good, as compiled training loops have it.
                if p.grad is None:
                    p.grad = g.clone()
                else:
                    p.grad.copy_(g)
                q.grad = g.clone()
            step()
            plain.step()
            if race:
                race.measure()
            counts.append(torch._dynamo.utils.counters["stats"]["unique_graphs"])
        if race:
            race.check(f"torch's inputs {str(dtype.to_real())[6:]}")
        torch.testing.assert_close([p.detach() for p in params], [q.detach() for q in reference])
        # The first call makes the state, and the second finds it: from then on nothing is compiled anew, though lr moves.
        assert counts[0] < counts[1]
        assert counts[2] == counts[-1]
        assert all(state["step"] == 5 for state in ours.state.values())

    @each_option
    def test_eager(self, options):
        self.run("eager", options)

    @pytest.mark.parametrize("options", [OPTIONS["plain"], OPTIONS["everything"]], ids=["plain", "everything"])
    def test_aot_eager(self, options):
        self.run("aot_eager", options)

    @pytest.mark.parametrize("options", BEYOND.values(), ids=BEYOND.keys())
    def test_what_torch_does_not_have(self, options):
        self.run("eager", options)

    @pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16, torch.complex64], ids=lambda d: str(d)[6:])
    def test_dtypes(self, dtype):
        self.run("eager", OPTIONS["everything"], dtype)

    @staticmethod
    def agree(params, groups, **options):
        """Compile a step and compare it with one that is not."""
        torch.compiler.reset()
        copies = twins(params)
        ours, plain = RMSprop(groups(params), **options), RMSprop(groups(copies), **options)
        step = torch.compile(ours.step, backend="eager")
        for grads in gradients(params, 4):
            for p, q, g in zip(params, copies, grads, strict=True):
                p.grad, q.grad = g.clone(), g.clone()
            step()
            plain.step()
            torch.testing.assert_close([p.detach() for p in params], [q.detach() for q in copies])
        assert ours.skipped == plain.skipped

    def test_a_group_of_mixed_dtypes(self):
        params = [parameters([(4,)], kind)[0] for kind in (torch.float32, torch.complex64, torch.bfloat16, torch.float64)]
        self.agree(params, lambda of: [{"params": of}], momentum=0.5, centered=True)

    def test_groups_that_are_clipped_together(self):
        self.agree(
            parameters([(4,), (5,), (6,)]),
            lambda of: [{"params": of[:1]}, {"params": of[1:2], "lr": 0.1}, {"params": of[2:], "max_norm": 0.05}],
            max_norm=0.1,
            eps=0.1,
        )

    @pytest.mark.parametrize("options", [{"on_nonfinite": "skip"}, {"stochastic_rounding": True}], ids=repr)
    def test_what_interrupts_the_compiled_code(self, options):
        self.agree(parameters([(4,), (300,)], torch.bfloat16), lambda of: [{"params": of}], **options)

    def test_float_lr(self):
        self.run("eager", OPTIONS["momentum"], tensor_lr=False)

    @pytest.mark.slow
    @each_option
    def test_inductor(self, options):
        self.run("inductor", options)

    def test_a_whole_training_step(self):
        torch.compiler.reset()
        models = [Regression() for _ in range(2)]
        optimizers = [RMSprop(m.params, lr=torch.tensor(0.01), momentum=0.9) for m in models]

        def train(model, optimizer):
            optimizer.zero_grad()
            loss = model.loss()
            loss.backward()
            optimizer.step()
            return loss

        compiled = torch.compile(train, backend="aot_eager")
        losses = [[], []]
        for _ in range(5):
            losses[0].append(compiled(models[0], optimizers[0]).item())
            losses[1].append(train(models[1], optimizers[1]).item())
        torch.testing.assert_close(*losses)
        torch.testing.assert_close(bound(models[0]), bound(models[1]))
        assert losses[0][-1] < losses[0][0]


def start(worker, *arguments, processes):
    """Run worker(rank, *arguments) in processes of their own, made by a server that has imported torch but taken no step."""
    multiprocessing.set_forkserver_preload(["torch", "torch.distributed.fsdp", "torch.distributed.checkpoint.state_dict"])
    torch.multiprocessing.start_processes(worker, arguments, processes, start_method="forkserver")


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def join(rank, port):
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"tcp://127.0.0.1:{port}", rank=rank, world_size=2)


def network():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 1), nn.Tanh(), nn.Linear(1, 5))  # of Linear(3, 1), the second rank holds nothing


def full(tensor):
    return tensor.full_tensor() if hasattr(tensor, "full_tensor") else tensor


def shard_worker(rank, port):
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import fully_shard
    from torch.distributed.tensor import DTensor

    join(rank, port)
    mesh = init_device_mesh("cpu", (2,))
    cases = [
        {},
        {"centered": True, "momentum": 0.9, "weight_decay": 0.1},
        {"maximize": True},
        {"max_norm": 0.01, "eps": 0.1},  # with a tiny eps a step hardly depends on the gradient's scale
        {"on_nonfinite": "skip", "momentum": 0.9},
        {"dialect": "tf1", "momentum": 0.9, "eps": 0.1, "max_norm": 0.01, "on_nonfinite": "skip"},
        {"ema_decay": 0.5},
    ]
    for options in cases:
        options = {"lr": 0.01, **options}
        model, plain = network(), network()
        fully_shard(model, mesh=mesh)
        ours, other = RMSprop(model.parameters(), **options), RMSprop(plain.parameters(), **options)
        source = torch.Generator().manual_seed(1)
        assert any(p.to_local().numel() == 0 for p in model.parameters()) == (rank == 1)
        for t in range(6):
            x = torch.randn(4, 3, generator=source)
            for net, optimizer in ((model, ours), (plain, other)):
                optimizer.zero_grad()
                net(x).square().sum().backward()
            if options.get("on_nonfinite") == "skip" and t == 2:
                # Seen by one rank alone: both must skip.
                bad = list(model.parameters())[2].grad.to_local()
                if rank == 0:
                    bad[0] = torch.nan
                for p in plain.parameters():
                    p.grad.fill_(torch.nan)
            ours.step()
            other.step()
            for p, q in zip(model.parameters(), plain.parameters(), strict=True):
                torch.testing.assert_close(full(p), q, msg=lambda m: f"{options}, step {t}, rank {rank}: {m}")  # noqa: B023
        assert ours.skipped == other.skipped == (options.get("on_nonfinite") == "skip")
        for p, q in zip(model.parameters(), plain.parameters(), strict=True):
            assert ours.state[p].keys() == other.state[q].keys()
            for name, held in ours.state[p].items():
                assert isinstance(held, DTensor) or name == "step", name
                torch.testing.assert_close(full(held), other.state[q][name], msg=lambda m: f"{options}, {name}: {m}")  # noqa: B023
    check_warm_up(mesh)
    check_sharded_checkpoint(model, ours)
    check_zero(rank)
    dist.destroy_process_group()


def check_warm_up(mesh):
    """A first step with lr = 0 counts where any process has a gradient that is not 0, and is nothing where none has."""
    from torch.distributed.fsdp import fully_shard

    for size in (0.0, 1.0):
        model, plain = network(), network()
        fully_shard(model, mesh=mesh)
        options = {"momentum": 0.9, "dialect": "tf1", "max_norm": 1.0}
        ours, other = RMSprop(model.parameters(), lr=0.0, **options), RMSprop(plain.parameters(), lr=0.0, **options)
        for t in range(3):
            for net, optimizer in ((model, ours), (plain, other)):
                optimizer.zero_grad()
                loss = net(torch.ones(1, 3))[0, 0]  # the second process holds nothing of the first outputs' weights
                (loss * (size if t == 0 else 1.0)).backward()
                optimizer.param_groups[0]["lr"] = 0.0 if t == 0 else 0.1
                optimizer.step()
            for p, q in zip(model.parameters(), plain.parameters(), strict=True):
                torch.testing.assert_close(full(p), q)
                torch.testing.assert_close(full(ours.state[p]["square_avg"]), other.state[q]["square_avg"])
                assert ours.state[p]["step"] == other.state[q]["step"] == t + (size > 0)


def check_sharded_checkpoint(model, optimizer):
    """Save and load through the interface that names parameters, whole and sharded."""
    from torch.distributed.checkpoint.state_dict import StateDictOptions, get_optimizer_state_dict, set_optimizer_state_dict

    for whole in (False, True):
        settings = StateDictOptions(full_state_dict=whole)
        optimizer.zero_grad()
        saved = get_optimizer_state_dict(model, optimizer, options=settings)
        other = RMSprop(model.parameters(), lr=0.01, ema_decay=0.5)
        set_optimizer_state_dict(model, other, saved, options=settings)
        for p in model.parameters():
            for name, held in optimizer.state[p].items():
                torch.testing.assert_close(full(other.state[p][name]), full(held))


def check_zero(rank):
    """Each rank keeps the state of a part of the parameters; the result is the plain one."""
    from torch.distributed.optim import ZeroRedundancyOptimizer

    model, plain = network(), network()
    ours = ZeroRedundancyOptimizer(model.parameters(), RMSprop, lr=0.01, momentum=0.9)
    other = RMSprop(plain.parameters(), lr=0.01, momentum=0.9)
    for grads in gradients(list(plain.parameters()), 3):
        feed(ours, list(model.parameters()), grads)
        feed(other, list(plain.parameters()), grads)
    assert bits(model.parameters()) == bits(plain.parameters())
    ours.consolidate_state_dict(to=0)
    if rank == 0:
        assert len(ours.state_dict()["state"]) == 4


@pytest.mark.skipif(not dist.is_available() or not dist.is_gloo_available(), reason="this torch has no gloo to join processes with")
def test_two_processes_with_shards_agree_with_one():
    start(shard_worker, free_port(), processes=2)


def hogwild_worker(rank, model, optimizer, barrier, steps):
    torch.set_num_threads(1)
    torch.manual_seed(rank)
    barrier.wait(60)
    for _ in range(steps):
        optimizer.zero_grad()
        model(torch.randn(8, 4)).square().mean().backward()
        optimizer.step()


class TestShareMemory:
    @each_stateful
    def test_makes_all_state_and_moves_it(self, options):
        params = parameters()
        copies = twins(params)
        ours, plain = RMSprop(params, **{"lr": 0.01, **options}), RMSprop(copies, **{"lr": 0.01, **options})
        assert ours.share_memory() is ours
        assert all(s.is_shared() for p in params for s in ours.state[p].values())
        for grads in gradients(params, 3):
            feed(ours, params, grads)
            feed(plain, copies, grads)
        assert bits(params) == bits(copies)
        assert snapshot(ours) == snapshot(plain)
        assert all(s.is_shared() for p in params for s in ours.state[p].values())

    def test_in_mid_run_keeps_the_state(self):
        params = parameters()
        optimizer = RMSprop(params, momentum=0.9)
        feed(optimizer, params, gradients(params, 1)[0])
        held = snapshot(optimizer)
        optimizer.share_memory()
        assert snapshot(optimizer) == held

    def test_several_processes_step_one_model(self):
        processes, steps = 3, 40
        model = nn.Linear(4, 2)
        model.share_memory()
        optimizer = RMSprop(model.parameters(), lr=1e-3, centered=True, momentum=0.5).share_memory()
        before = snapshot(optimizer)
        x = torch.randn(100, 4)
        loss = model(x).square().mean().item()
        barrier = multiprocessing.get_context("forkserver").Barrier(processes)
        start(hogwild_worker, model, optimizer, barrier, steps, processes=processes)
        after = snapshot(optimizer)
        assert all(one != other for one, other in zip(before, after, strict=True))  # every parameter and statistic, seen here
        assert all(isinstance(s, Tensor) and s.isfinite().all() for state in optimizer.state.values() for s in state.values())
        for state in optimizer.state.values():
            # Steps that fall together may be counted once; more than one process's worth shows that the count is shared.
            assert steps < state["step"] <= processes * steps
        assert model(x).square().mean().item() < loss
