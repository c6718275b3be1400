"""Steps of the fused pass as a training loop takes them: rates, scales, gradients that come, go and move, states, layouts."""

import copy
import warnings

import pytest

torch = pytest.importorskip("torch", reason="PyTorch is not installed")

from rmsprop.kernels.gpu import build, launch  # noqa: E402
from rmsprop.torch import RMSprop, launched  # noqa: E402
from tests.gpu.conftest import interpreter  # noqa: E402
from tests.gpu.harness import Twins, compiled_pass, moved, on_device, same  # noqa: E402
from tests.tolerances import RELATIVE, TOLERANCES  # noqa: E402
from tests.torch.harness import OPTIONS, Race, gradients, parameters  # noqa: E402

SMALL = [(3, 5), (0,), (), (7,)]
SPECIAL = [0.0, -0.0, 1e-45, -1e-40, 1.2e-38, 1e-20, 3e38, float("inf"), -float("inf"), float("nan"), 1.0, -2.5]


def kernels():
    """Return how many kernels were made so far."""
    return sum(made.cache_info().currsize for made in (build._sweep_for, build._prepare_for, build._reduce_for))


class TestLearningRates:
    def test_another_number_or_value_compiles_nothing(self, device):
        twins = Twins(device, SMALL, momentum=0.9)
        grads = gradients(twins.host, 6)
        rates = [0.01, 0.02, 0.03, *(on_device(rate, device) for rate in (0.01, 0.02, 0.03))]
        made = []
        for rate, each in zip(rates, grads, strict=True):
            twins.ours.param_groups[0]["lr"] = rate
            twins.theirs.param_groups[0]["lr"] = rate if isinstance(rate, float) else rate.item()
            twins.step(each)
            for q, p in zip(twins.far, twins.host, strict=True):
                assert same(q, p)
            made.append(kernels())
        assert made[0] == made[1] == made[2]
        assert made[3] == made[4] == made[5]

    @pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
    @pytest.mark.parametrize("kind", [torch.float32, torch.float64, torch.bfloat16])
    def test_a_tensor_of_any_dtype_will_do(self, device, dtype, kind):
        twins = Twins(device, [(7,)], dtype)
        rate = on_device(0.0123, device, kind)
        twins.ours.param_groups[0]["lr"], twins.theirs.param_groups[0]["lr"] = rate, rate.item()
        for each in gradients(twins.host, 2):
            twins.step(each)
            assert same(twins.far[0], twins.host[0])


class TestGradients:
    def test_they_come_go_and_move(self, device):
        twins = Twins(device, SMALL, momentum=0.9, centered=True)
        for t, each in enumerate(gradients(twins.host, 8)):
            twins.step([None if (t >> k) & 1 else g for k, g in enumerate(each)])
            twins.check()

    def test_zero_grad_frees_them_and_nobody_reads_what_was_freed(self, device):
        twins = Twins(device, [(50,)] * 4)
        for each in gradients(twins.host, 4):
            twins.step(each)
            twins.check()
            for p in twins.far:
                p.grad.fill_(float("nan"))
            twins.ours.zero_grad(set_to_none=True)
            twins.ours.step()  # without gradients nothing happens
            twins.check()

    def test_special_numbers(self, device):
        params = [torch.nn.Parameter(torch.tensor(SPECIAL[k:] + SPECIAL[:k])) for k in range(4)]
        twins = Twins(device, params, momentum=0.9, weight_decay=0.1)
        for k in range(3):
            twins.step([torch.tensor(SPECIAL[k:] + SPECIAL[:k]) for _ in params])
            twins.check()

    @pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
    def test_special_numbers_in_16_bits(self, device, dtype):
        twins = Twins(device, [torch.nn.Parameter(torch.tensor(SPECIAL[::-1]).to(dtype))])
        for k in range(2):
            twins.step([torch.tensor(SPECIAL[k:] + SPECIAL[:k]).to(dtype)])
            twins.check()

    @pytest.mark.parametrize("layout", ["transposed", "gaps", "expanded", "negated"])
    def test_in_any_layout(self, device, layout):
        twins = Twins(device, [(4, 6)])
        for each in gradients(twins.host, 2):
            g = each[0].to(device)
            if layout == "transposed":
                g = g.t().contiguous().t()
            elif layout == "gaps":
                wide = torch.zeros(4, 12, device=device)
                wide[:, ::2] = g
                g = wide[:, ::2]
            elif layout == "expanded":
                g = g[:1].expand(4, 6)
            else:
                g = torch.conj(torch.complex(torch.zeros_like(g), -g)).imag
                assert g.is_neg()
            twins.far[0].grad, twins.host[0].grad = g, g.cpu().resolve_neg().contiguous().clone()
            twins.ours.step()
            with compiled_pass():
                twins.theirs.step()
            twins.check()

    def test_parameters_in_any_layout(self, device):
        (base,) = parameters([(6, 8)])
        views = [base.detach().t(), base.detach()[:, ::2], base.detach()[1:, 1:]]
        params = [torch.nn.Parameter(torch.empty_strided(v.shape, v.stride()).copy_(v)) for v in views]
        Twins(device, params, momentum=0.9, ema_decay=0.5).run(2)


class TestPolicies:
    @pytest.mark.parametrize("bad", [float("nan"), float("inf"), 2e19])
    def test_raise_names_the_place_and_changes_nothing(self, device, bad):
        twins = Twins(device, SMALL, on_nonfinite="raise")
        first, second = gradients(twins.host, 2)
        twins.step(first)
        second[3][2] = bad
        for q, g in zip(twins.far, second, strict=True):
            q.grad = moved(g, device)
        with pytest.raises(FloatingPointError, match=r"group0\.param3.* at \(2,\)"):
            twins.ours.step()
        twins.check()

    def test_skip_counts_and_goes_on(self, device):
        twins = Twins(device, SMALL, on_nonfinite="skip", momentum=0.9)
        for t, each in enumerate(gradients(twins.host, 4)):
            if t == 1:
                each[0][1, 1] = float("inf")
            twins.step(each)
            twins.check()
        assert twins.ours.skipped == twins.theirs.skipped == 1

    @pytest.mark.parametrize("max_norm", [0.1, 1e9])
    def test_clipping_is_that_of_the_compiled_pass(self, device, max_norm):
        twins = Twins(device, SMALL, max_norm=max_norm)
        for each in gradients(twins.host, 3):
            twins.step(each)
        for q, p in zip(twins.far, twins.host, strict=True):
            torch.testing.assert_close(q.detach().cpu(), p.detach(), rtol=RELATIVE["torch, clipped"].share, atol=0)

    @pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
    def test_stochastic_rounding_has_the_bits_of_the_compiled_pass(self, device, dtype):
        Twins(device, [(100,), (7,)], dtype, lr=1e-4, stochastic_rounding=True).run(3)

    @pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.complex64])
    def test_the_average_is_that_of_the_compiled_pass(self, device, dtype):
        twins = Twins(device, SMALL, dtype, ema_decay=0.9).run(3)
        with twins.ours.averaged():
            assert same(twins.far[0], twins.ours.state[twins.far[0]]["ema"].to(dtype))


class TestScaler:
    @pytest.mark.parametrize("unscale", [False, True], ids=["step unscales", "unscaled before"])
    def test_it_unscales_and_skips_without_being_asked(self, device, unscale):
        twins = Twins(device, SMALL, momentum=0.9)
        scaler = torch.amp.GradScaler(device.type, init_scale=1024.0, growth_interval=1000)
        grads = gradients(twins.host, 4)
        for t, each in enumerate(grads):
            for q, g in zip(twins.far, each, strict=True):
                q.grad = scaler.scale(moved(g, device))
            if t == 2:
                twins.far[0].grad[0, 0] = float("inf")
            if unscale:
                scaler.unscale_(twins.ours)
            scaler.step(twins.ours)
            scaler.update()
            if t != 2:
                for p, g in zip(twins.host, each, strict=True):
                    p.grad = g
                with compiled_pass():
                    twins.theirs.step()
            for q, p in zip(twins.far, twins.host, strict=True):
                assert same(q, p)
        assert scaler.get_scale() == 512.0


class TestStates:
    @pytest.mark.parametrize("name", OPTIONS)
    def test_it_goes_the_way_of_torch(self, monkeypatch, name):
        # Distances in ulp are taken on the CPU; the bits on a GPU are those of the compiled pass, which is held to the same.
        interpreter(monkeypatch)
        ours = [torch.nn.Parameter(p.detach().clone()) for p in parameters(SMALL)]
        theirs = [torch.nn.Parameter(p.detach().clone()) for p in ours]
        race = Race(
            RMSprop(ours, lr=0.01, fused=True, **OPTIONS[name]),
            torch.optim.RMSprop(theirs, lr=0.01, foreach=False, **OPTIONS[name]),
        )
        for each in gradients(ours, 4):
            race.step(each)
        allowed = TOLERANCES["torch's inputs float32"]
        assert race.state <= allowed.state
        assert race.parameter <= allowed.parameter

    @pytest.mark.parametrize("options", [{}, {"momentum": 0.9, "centered": True}], ids=["plain", "everything"])
    def test_to_torch_and_back(self, device, options):
        twins = Twins(device, SMALL, **options).run(2)
        theirs = torch.optim.RMSprop([torch.nn.Parameter(q.detach().clone()) for q in twins.far], **options)
        theirs.load_state_dict(twins.ours.state_dict())
        for each in gradients(twins.host, 1):
            for q, g in zip(theirs.param_groups[0]["params"], each, strict=True):
                q.grad = moved(g, device)
            theirs.step()
        again = RMSprop([torch.nn.Parameter(q.detach().clone()) for q in theirs.param_groups[0]["params"]], fused=True)
        again.load_state_dict(theirs.state_dict())
        host = RMSprop([torch.nn.Parameter(moved(q, torch.device("cpu"))) for q in theirs.param_groups[0]["params"]])
        host.load_state_dict(theirs.state_dict())
        for each in gradients(twins.host, 2, seed=5):
            for one in (again, host):
                for q, g in zip(one.param_groups[0]["params"], each, strict=True):
                    q.grad = moved(g, q.device)
            again.step()
            with compiled_pass():
                host.step()
        for q, p in zip(again.param_groups[0]["params"], host.param_groups[0]["params"], strict=True):
            assert same(q, p)
            assert again.state[q]["step"] == 5

    def test_a_copy_goes_on_apart(self, device):
        twins = Twins(device, SMALL, momentum=0.9).run(2)
        far, ours = copy.deepcopy((twins.far, twins.ours))
        held = [q.detach().clone() for q in far]
        twins.run(2, seed=3)
        assert all(map(same, far, held))
        for q, g in zip(far, gradients(twins.host, 1, seed=3)[0], strict=True):
            q.grad = moved(g, device)
        ours.step()
        assert not same(far[0], held[0])

    def test_state_that_was_replaced_is_followed(self, device):
        twins = Twins(device, SMALL, momentum=0.9).run(1)
        for q, p in zip(twins.far, twins.host, strict=True):
            for name in ("square_avg", "momentum_buffer"):
                twins.ours.state[q][name] = twins.ours.state[q][name].clone()
            q.data = q.data.clone()
            assert same(q, p)
        twins.run(2, seed=2)


class TestGroups:
    def test_dtypes_and_groups_side_by_side(self, device):
        kinds = [torch.float32, torch.bfloat16, torch.float64, torch.complex64, torch.float16]
        host = [parameters([(5,)], kind, seed=k)[0] for k, kind in enumerate(kinds)]
        twins = Twins(device, host)
        for one, params in ((twins.ours, twins.far), (twins.theirs, twins.host)):
            extra = torch.nn.Parameter(torch.ones(3, device=params[0].device))
            one.add_param_group({"params": [extra], "lr": 0.1, "momentum": 0.5, "dialect": "tf1"})
            params.append(extra)
        twins.run(2)


class TestWithoutTriton:
    def test_one_warning_names_the_remedy_and_the_step_is_that_of_tensors(self, device, monkeypatch):
        monkeypatch.setattr(launch, "unavailable", lambda: "Triton is not installed; pip install triton")
        monkeypatch.setattr(launched, "_warned", set())
        params = [torch.nn.Parameter(p.detach().to(device)) for p in parameters(SMALL)]
        optimizer = RMSprop(params, lr=0.01)
        for p in params:
            p.grad = torch.ones_like(p)
        with pytest.warns(RuntimeWarning, match="pip install triton") as seen:
            optimizer.step()
        assert len(seen) == 1
        before = params[0].detach().clone()
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            optimizer.step()
        assert (params[0] < before).all()

    def test_who_insists_is_told(self, device, monkeypatch):
        monkeypatch.setattr(launch, "unavailable", lambda: "Triton is not installed; pip install triton")
        p = torch.nn.Parameter(torch.zeros(3, device=device))
        p.grad = torch.ones_like(p)
        with pytest.raises(ValueError, match="pip install triton"):
            RMSprop([p], fused=True).step()
