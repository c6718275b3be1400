"""RMSprop over arrays: what it takes and refuses, what it does about bad gradients, how it goes on."""

import copy
import math
import pickle

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import rmsprop
from tests.cases import LRS, RULES, gradients, parameters

BIG = 1000  # elements enough for the compiled pass


def snapshot(arrays, optimizer):
    return [a.tobytes() for a in arrays], {k: copy.deepcopy(v) for k, v in optimizer.state_dict().items() if k != "skipped"}


def same(one, other):
    assert one[0] == other[0]
    assert pickle.dumps(one[1]) == pickle.dumps(other[1])


class TestStructure:
    def test_array_list_and_dict_agree(self):
        rng = np.random.default_rng(0)
        one, many = rng.standard_normal(BIG), rng.standard_normal((3, 4))
        g_one, g_many = rng.standard_normal(BIG), rng.standard_normal((3, 4))
        alone, listed, keyed = [one.copy()], [one.copy(), many.copy()], {"a": one.copy(), "b": many.copy()}
        optimizers = [rmsprop.RMSprop(alone[0]), rmsprop.RMSprop(listed), rmsprop.RMSprop(keyed)]
        for _ in range(3):
            for optimizer, grads in zip(optimizers, [g_one, (g_one, g_many), {"b": g_many, "a": g_one}], strict=True):
                optimizer.step(grads)
        assert alone[0].tobytes() == listed[0].tobytes() == keyed["a"].tobytes()
        assert listed[1].tobytes() == keyed["b"].tobytes()
        assert optimizers[0].state["square_avg"].shape == (BIG,)
        assert [a.shape for a in optimizers[1].state["square_avg"]] == [(BIG,), (3, 4)]
        assert set(optimizers[2].state["square_avg"]) == {"a", "b"}

    def test_mixed_dtypes_are_updated_as_if_alone(self):
        rng = np.random.default_rng(1)
        kinds = ["float16", "float32", "float64", "complex64", "complex128"]
        together = {k: parameters(rng, (300,), k) for k in kinds}
        alone = {k: a.copy() for k, a in together.items()}
        grads = {k: gradients(rng, (300,), k)[0] for k in kinds}
        rmsprop.RMSprop(together, centered=True).step(grads)
        for k in kinds:
            rmsprop.RMSprop(alone[k], centered=True).step(grads[k])
            assert together[k].tobytes() == alone[k].tobytes()

    def test_none_leaves_parameter_and_state_alone(self):
        params = [np.ones(BIG), np.ones(BIG), np.ones(2)]
        optimizer = rmsprop.RMSprop(params, momentum=0.9)
        optimizer.step([np.ones(BIG), None, None])
        assert (params[0] != 1).all()
        assert (params[1] == 1).all()
        assert (optimizer.state["square_avg"][1] == 0).all()
        optimizer.step([None, None, None])
        assert optimizer.steps == 2

    @pytest.mark.parametrize("kind", ["float16", "float32", "float64", "complex64", "complex128"])
    @pytest.mark.parametrize("shape", [(), (0,), (3, 0, 2)])
    def test_scalars_and_empty_arrays(self, kind, shape):
        p = np.ones(shape, kind)
        optimizer = rmsprop.RMSprop([p, np.ones(BIG, kind)])
        optimizer.step([np.ones(shape, kind), np.ones(BIG, kind)])
        assert p.shape == shape
        assert (p != 1).all()

    def test_nothing_to_update_is_fine(self):
        optimizer = rmsprop.RMSprop([])
        optimizer.step([])
        assert optimizer.steps == 1

    def test_gradients_of_other_dtypes_are_converted(self):
        p, q = np.ones(BIG, np.float32), np.ones(BIG, np.float32)
        rmsprop.RMSprop(p).step(np.full(BIG, 0.1))
        rmsprop.RMSprop(q).step(np.full(BIG, np.float32(0.1)))
        assert p.tobytes() == q.tobytes()
        half = np.ones(BIG, np.float16)
        rmsprop.RMSprop(half, lr=0.5).step(np.full(BIG, 1e-6, np.float32))  # would be subnormal in float16
        assert (half < 0).all()
        whole = np.ones(BIG)
        rmsprop.RMSprop(whole).step(np.ones(BIG, np.int64))
        assert (whole < 1).all()

    def test_gradient_that_lies_in_a_parameter_is_read_before_it_changes(self):
        rng = np.random.default_rng(2)
        base = rng.standard_normal(BIG + 8)
        wanted = base[8:].copy()
        rmsprop.RMSprop(wanted).step(base[:BIG].copy())
        rmsprop.RMSprop(base[8:]).step(base[:BIG])
        assert base[8:].tobytes() == wanted.tobytes()
        a, b = rng.standard_normal(BIG), rng.standard_normal(BIG)
        a_wanted, b_wanted = a.copy(), b.copy()
        rmsprop.RMSprop([a_wanted, b_wanted]).step([b.copy(), a.copy()])
        rmsprop.RMSprop([a, b]).step([b, a])
        assert (a.tobytes(), b.tobytes()) == (a_wanted.tobytes(), b_wanted.tobytes())

    @pytest.mark.parametrize(
        ("params", "error", "words"),
        [
            (3.0, TypeError, "params must be a NumPy array.*a float"),
            ([1.0], TypeError, "parameter 0 must be a NumPy array.*a float"),
            ({"w": np.arange(3)}, TypeError, r"parameter 'w' must be one of float16, .*got int64; convert it with .astype"),
            (np.ones(3, np.longdouble), TypeError, "must be one of float16"),
            (np.ma.ones(3), TypeError, "got a MaskedArray"),
            (np.broadcast_to(np.ones(1), 3), ValueError, "read-only"),
            (np.lib.stride_tricks.as_strided(np.ones(3), (2, 2), (8, 8)), ValueError, "more than once"),
        ],
    )
    def test_bad_parameters_are_refused(self, params, error, words):
        with pytest.raises(error, match=words):
            rmsprop.RMSprop(params)

    def test_shared_memory_is_refused(self):
        base = np.ones(10)
        with pytest.raises(ValueError, match="parameters 'a' and 'b' share memory"):
            rmsprop.RMSprop({"a": base[:6], "c": np.ones(3), "b": base[5:]})
        with pytest.raises(ValueError, match="parameters 0 and 1 share memory"):
            rmsprop.RMSprop([base, base])
        rmsprop.RMSprop([base[::2], base[1::2]])  # interleaved, and apart
        rmsprop.RMSprop(np.lib.stride_tricks.as_strided(np.ones(6), (2, 2), (16, 24)))  # interleaved with itself

    @pytest.mark.filterwarnings("ignore:the matrix subclass:PendingDeprecationWarning")
    def test_a_matrix_is_updated_element_by_element(self):
        p = np.matrix([[1.0, 2.0], [3.0, 4.0]])
        q = np.array(p)
        rmsprop.RMSprop(p, weight_decay=0.1).step(np.ones((2, 2)))
        rmsprop.RMSprop(q, weight_decay=0.1).step(np.ones((2, 2)))
        assert p.tolist() == q.tolist()

    @pytest.mark.parametrize(
        ("grads", "error", "words"),
        [
            (np.ones(3), TypeError, "grads must be a dict with the keys of params"),
            ({"a": np.ones(3)}, ValueError, "grads lacks 'b'; pass None"),
            ({"a": np.ones(3), "b": np.ones(2), "c": np.ones(1)}, ValueError, "grads has 'c', which params lacks"),
            ({"a": np.ones(4), "b": np.ones(2)}, ValueError, r"gradient of 'a' must have shape \(3,\), got \(4,\)"),
            ({"a": np.ones(3), "b": np.ones(2) * 1j}, TypeError, "gradient of 'b' must be convertible to float64, got complex128"),
            ({"a": np.ones(3), "b": ["x", "y"]}, TypeError, "gradient of 'b' must be convertible"),
            ({"a": np.ones(3), "b": np.ma.ones(2)}, TypeError, "masked array; fill it first"),
            ({"a": np.ones(3), "b": [[1], [1, 2]]}, TypeError, "gradient of 'b' must be an array"),
        ],
    )
    def test_bad_gradients_change_nothing(self, grads, error, words):
        params = {"a": np.ones(3), "b": np.ones(2)}
        optimizer = rmsprop.RMSprop(params)
        before = snapshot(params.values(), optimizer)
        with pytest.raises(error, match=words):
            optimizer.step(grads)
        same(before, snapshot(params.values(), optimizer))

    def test_structures_must_match(self):
        with pytest.raises(TypeError, match="must be one array"):
            rmsprop.RMSprop(np.ones(3)).step([np.ones(3)])
        with pytest.raises(TypeError, match="must be a list of 2 arrays"):
            rmsprop.RMSprop([np.ones(3), np.ones(2)]).step(np.ones(3))
        with pytest.raises(ValueError, match="must have 2 arrays, as params has, got 1"):
            rmsprop.RMSprop([np.ones(3), np.ones(2)]).step([np.ones(3)])


class TestHyperparameters:
    def test_lr_comes_from_the_dialect_or_must_be_given(self):
        assert rmsprop.RMSprop(np.ones(1), dialect="pytorch").lr == 0.01
        with pytest.raises(ValueError, match="'optax' has no default learning rate; pass lr"):
            rmsprop.RMSprop(np.ones(1), dialect="optax")

    def test_lr_may_be_a_callable_of_the_steps_taken(self):
        seen = []
        p = np.zeros(2)
        optimizer = rmsprop.RMSprop(p, lambda step: seen.append(step) or 0.1 / (1 + step))
        for _ in range(3):
            optimizer.step(np.ones(2))
        assert seen == [0, 1, 2]
        q = np.zeros(2)
        by_hand = rmsprop.RMSprop(q)
        for step in range(3):
            by_hand.lr = 0.1 / (1 + step)
            by_hand.step(np.ones(2))
        assert p.tobytes() == q.tobytes()

    @pytest.mark.parametrize("lr", [-1.0, math.inf, math.nan, "0.1", True])
    def test_bad_lr_is_refused_wherever_it_comes_from(self, lr):
        p = np.ones(2)
        with pytest.raises((ValueError, TypeError), match="lr must be"):
            rmsprop.RMSprop(p, lr)
        optimizer = rmsprop.RMSprop(p, lambda step: lr)
        with pytest.raises((ValueError, TypeError), match="lr must be"):
            optimizer.step(np.ones(2))
        optimizer = rmsprop.RMSprop(p)
        with pytest.raises((ValueError, TypeError), match="lr must be"):
            optimizer.lr = lr
        assert optimizer.lr == 0.01
        assert (p == 1).all()
        assert (optimizer.state["square_avg"] == 0).all()

    @pytest.mark.parametrize(
        ("kind", "axes", "words"),
        [
            ("float32", {"eps": 1e-50}, "eps=1e-50 rounds to 0 in float32"),
            ("float16", {"eps": 1e-50}, "eps=1e-50 rounds to 0 in float32"),
            ("complex64", {"eps": 1e-50}, "rounds to 0 in float32"),
            ("float32", {"decay": 1 - 1e-9}, "decay=0.999999999 rounds to 1 in float32"),
            ("float32", {"momentum": 1 - 1e-9}, "momentum=0.999999999 rounds to 1 in float32"),
            ("float32", {"eps": 1e-40, "lr": 1.0}, "lr=1.0 over eps=1e-40 overflows float32"),
            ("float32", {"eps": 10.0, "lr": 1e39}, r"lr=1e\+39 overflows float32, whose largest number is 3.4e\+38"),
            ("float32", {"weight_decay": 1e39}, r"weight_decay=1e\+39 overflows float32"),
            ("float32", {"square_init": 1e39}, r"square_init=1e\+39 overflows float32"),
        ],
    )
    def test_what_precision_would_lose_is_refused(self, kind, axes, words):
        with pytest.raises(ValueError, match=words):
            rmsprop.RMSprop(np.ones(3, kind), **axes)
        rmsprop.RMSprop(np.ones(3, "float64"), **axes)

    def test_float16_with_the_default_eps_takes_a_zero_gradient(self):
        p = np.ones(BIG, np.float16)
        rmsprop.RMSprop(p).step(np.zeros(BIG, np.float16))
        assert (p == 1).all()

    def test_unknown_options(self):
        with pytest.raises(TypeError, match="unknown axis 'alpha'"):
            rmsprop.RMSprop(np.ones(1), alpha=0.9)
        with pytest.raises(ValueError, match="on_nonfinite must be one of 'raise', 'skip', 'propagate', got 'ignore'"):
            rmsprop.RMSprop(np.ones(1), on_nonfinite="ignore")
        optimizer = rmsprop.RMSprop(np.ones(1))
        with pytest.raises(ValueError, match="on_nonfinite must be one of"):
            optimizer.on_nonfinite = "ignore"

    def test_repr_tells_what_matters(self):
        assert repr(rmsprop.RMSprop([np.ones(3), np.ones(2)])) == "RMSprop(2 arrays, 5 elements, dialect='article', lr=0.01)"


# The difference form may give NaN, as it does in upstreams.
PLAIN_FORMS = [name for name, rule in RULES.items() if not rule.centered or rule.centered_form == "variance"]
BAD = [math.nan, math.inf, -math.inf]


class TestNonfinite:
    @pytest.mark.parametrize("kind", ["float16", "float32", "float64", "complex64", "complex128"])
    @pytest.mark.parametrize("bad", BAD)
    @pytest.mark.parametrize("size", [5, BIG, 40_000])
    def test_raise_names_the_place_and_changes_nothing(self, kind, bad, size):
        params = {"a": np.ones(size, kind), "b": np.ones(7, np.float64)}
        optimizer = rmsprop.RMSprop(params, momentum=0.9, centered=True)
        optimizer.step({"a": np.ones(size, kind), "b": np.ones(7)})
        before = snapshot(params.values(), optimizer)
        grads = {"a": np.ones(size, kind), "b": np.ones(7)}
        grads["a"][size // 2] = bad
        with pytest.raises(FloatingPointError, match=rf"gradient of 'a' is .*at \({size // 2},\).*nothing was changed"):
            optimizer.step(grads)
        same(before, snapshot(params.values(), optimizer))

    @pytest.mark.parametrize("size", [5, BIG, 40_000])
    @pytest.mark.parametrize("bad", [complex(0, math.nan), complex(math.inf, 0), 1e19, 1e19j])
    def test_modulus_counts_both_parts(self, size, bad):
        p = np.ones(size, np.complex64)
        optimizer = rmsprop.RMSprop(p, 0.1, dialect="optax")
        g = np.ones(size, np.complex64)
        g[-1] = bad
        with pytest.raises(FloatingPointError, match=rf"at \({size - 1},\)"):
            optimizer.step(g)
        assert (p == 1).all()

    @pytest.mark.parametrize("size", [5, BIG])
    @pytest.mark.parametrize("layout", ["dense", "strided"])
    def test_skip_counts_and_changes_nothing(self, size, layout):
        p = np.ones(2 * size)[:: 1 if layout == "dense" else 2]
        optimizer = rmsprop.RMSprop(p, on_nonfinite="skip")
        optimizer.step(np.ones(p.shape))
        before = snapshot([p], optimizer)
        g = np.ones(p.shape)
        g[-1] = math.nan
        optimizer.step(g)
        optimizer.step(g)
        same(before, snapshot([p], optimizer))
        assert (optimizer.steps, optimizer.skipped) == (1, 2)

    def test_propagate_lets_it_through(self):
        p = np.ones(BIG)
        optimizer = rmsprop.RMSprop(p, on_nonfinite="propagate")
        g = np.ones(BIG)
        g[3] = math.nan
        optimizer.step(g)
        assert np.isnan(p).sum() == 1

    @pytest.mark.parametrize("size", [5, BIG])
    @pytest.mark.parametrize(("kind", "edge"), [("float32", 1.8446e19), ("float64", 1.3407e154)])
    def test_squares_that_overflow_are_refused(self, kind, edge, size):
        p = np.ones(size, kind)
        optimizer = rmsprop.RMSprop(p)
        optimizer.step(np.full(size, edge * 0.999, kind))
        assert np.isfinite(optimizer.state["square_avg"]).all()
        with pytest.raises(FloatingPointError, match=f"whose square overflows {kind}"):
            optimizer.step(np.full(size, edge * 1.001, kind))

    @pytest.mark.parametrize("size", [5, BIG])
    def test_what_is_squared_may_be_a_sum_of_sums(self, size):
        p = np.ones(size, np.complex64)
        optimizer = rmsprop.RMSprop(p, 0.1, "optax", centered=True, decay=0.1, on_nonfinite="skip")
        for sign in (-1, -1, -1, 1):
            optimizer.step(np.full(size, sign * 9.2e18 * (1 + 1j), np.complex64))
        assert np.isfinite(optimizer.state["variance"]).all()

    def test_empty_gradients_are_not_looked_at(self):
        """Their address may lead nowhere; here it leads to NaN."""
        params = [np.ones(500), np.ones(0), np.ones(500)]
        nowhere = np.full(4, math.nan)
        rmsprop.RMSprop(params).step([np.ones(500), nowhere[2:2], np.ones(500)])
        assert (params[2] < 1).all()

    @pytest.mark.parametrize("size", [5, BIG])
    def test_weight_decay_that_overflows_is_refused(self, size):
        p = np.full(size, 1e25, np.float32)
        optimizer = rmsprop.RMSprop(p, weight_decay=0.1)
        with pytest.raises(FloatingPointError, match=r"parameter 0 in its weight decay is 9\.99.*whose square overflows float32"):
            optimizer.step(np.ones(size, np.float32))

    @given(
        hnp.arrays(np.float32, st.sampled_from([3, BIG]), elements=st.floats(width=32)),
        st.sampled_from(sorted(PLAIN_FORMS)),
    )
    def test_whatever_is_accepted_leaves_finite_state(self, g, name):
        rule = RULES[name]
        p = np.ones(g.shape, np.float32)
        optimizer = rmsprop.RMSprop(p, 0.01, rule, on_nonfinite="skip")
        for _ in range(3):
            optimizer.step(g)
        assert np.isfinite(p).all()
        assert all(np.isfinite(array).all() for array in optimizer.state.values())
        assert optimizer.steps + optimizer.skipped == 3

    def test_centered_never_turns_nan_with_near_constant_gradients(self):
        """The upstream default: over half the coordinates turn NaN within 3,000 steps."""
        rng = np.random.default_rng(0)
        base = rng.standard_normal(BIG).astype(np.float32)
        p = np.zeros(BIG, np.float32)
        optimizer = rmsprop.RMSprop(p, dialect="pytorch", centered=True)
        for _ in range(3000):
            optimizer.step(base * (1 + np.float32(1e-7) * rng.standard_normal(BIG).astype(np.float32)))
        assert np.isfinite(p).all()
        assert (optimizer.state["variance"] >= 0).all()


class TestSubnormals:
    @pytest.mark.parametrize("size", [5, BIG])
    @pytest.mark.parametrize("kind", ["float32", "float64", "complex64"])
    def test_state_below_the_smallest_normal_number_becomes_zero(self, size, kind):
        p = np.ones(size, kind)
        optimizer = rmsprop.RMSprop(p, centered=True, momentum=0.5, decay=0.5)
        optimizer.step(np.full(size, 1e-3, kind))
        tiny = np.finfo(kind).tiny
        for _ in range(3000 if kind == "float64" else 400):
            optimizer.step(np.zeros(size, kind))
            for array in optimizer.state.values():
                magnitude = np.abs(array.view(array.real.dtype))
                assert not ((magnitude > 0) & (magnitude < tiny)).any()
        assert all((array == 0).all() for array in optimizer.state.values())

    def test_normal_state_is_kept(self):
        p = np.ones(BIG, np.float32)
        optimizer = rmsprop.RMSprop(p, decay=0.5, lr=0.0)
        optimizer.step(np.full(BIG, np.sqrt(np.finfo(np.float32).tiny) * 2.1, np.float32))
        assert (optimizer.state["square_avg"] > 0).all()

    @pytest.mark.parametrize("size", [5, BIG])
    def test_parts_are_flushed_one_by_one(self, size):
        p = np.ones(size, np.complex64)
        optimizer = rmsprop.RMSprop(p, 0.1, "optax", centered=True, momentum=0.5, decay=0.5)
        optimizer.step(np.full(size, 1 + 1j, np.complex64))
        for _ in range(135):
            optimizer.step(np.ones(size, np.complex64))
        assert (optimizer.state["grad_avg"].imag == 0).all()
        assert (optimizer.state["momentum_buffer"].imag == 0).all()

    @pytest.mark.parametrize("size", [5, BIG])
    def test_subnormal_state_that_is_loaded_becomes_zero(self, size):
        optimizer = rmsprop.RMSprop(np.ones(size, np.float32), momentum=0.9)
        saved = optimizer.state_dict()
        saved["state"]["square_avg"][0][:] = 1e-45
        saved["state"]["momentum_buffer"][0][:] = -1e-45
        optimizer.load_state_dict(saved)
        assert all((array == 0).all() for array in optimizer.state.values())


class TestEffectiveRate:
    @pytest.mark.parametrize("name", [name for name in PLAIN_FORMS if not RULES[name].bias_correction])
    def test_is_the_step_of_a_small_gradient(self, name):
        """Small enough to leave the means as they are, and with a decay that does too."""
        rng = np.random.default_rng(3)
        p = np.ones(4)
        optimizer = rmsprop.RMSprop(p, 0.02, RULES[name])
        for g in gradients(rng, (4,), "float64"):
            optimizer.step(g)
        rates = optimizer.effective_lr()
        optimizer.rule = optimizer.rule.replace(nesterov=False, momentum=0.0, weight_decay=0.0, decay=1 - 2**-40)
        p[:] = 0
        small = np.array([1e-12, -1e-12, 2e-12, 0.0])
        optimizer.step(small)
        np.testing.assert_allclose(np.abs(p), rates * np.abs(small), rtol=1e-6)

    def test_bias_correction_counts(self):
        optimizer = rmsprop.RMSprop(np.zeros(1), 0.1, bias_correction=True, eps=1e-30)
        optimizer.step(np.array([4.0]))
        assert optimizer.effective_lr()[0] == pytest.approx(0.1 / 4.0)

    def test_has_the_structure_of_the_parameters(self):
        optimizer = rmsprop.RMSprop({"w": np.ones((2, 3)), "z": np.ones(2, np.complex64)})
        optimizer.step({"w": np.ones((2, 3)), "z": np.full(2, 1 + 2j, np.complex64)})
        rates = optimizer.effective_lr()
        assert rates["w"].shape == (2, 3)
        assert rates["z"].real == pytest.approx(2 * rates["z"].imag)


class TestGoingOn:
    @pytest.mark.parametrize("kind", ["float16", "float32", "float64", "complex64"])
    @pytest.mark.parametrize("name", RULES)
    def test_resume_has_the_same_bits(self, name, kind):
        rng = np.random.default_rng(4)
        start, grads = parameters(rng, (300,), kind), gradients(rng, (300,), kind)
        straight = start.copy()
        optimizer = rmsprop.RMSprop(straight, LRS.__getitem__, RULES[name], on_nonfinite="propagate")
        for g in grads:
            optimizer.step(g)
        resumed = start.copy()
        first = rmsprop.RMSprop(resumed, LRS.__getitem__, RULES[name], on_nonfinite="propagate")
        for g in grads[:2]:
            first.step(g)
        saved = pickle.loads(pickle.dumps(first.state_dict()))
        second = rmsprop.RMSprop(resumed, LRS.__getitem__, RULES[name], on_nonfinite="propagate")
        second.load_state_dict(saved)
        for g in grads[2:]:
            second.step(g)
        assert straight.tobytes() == resumed.tobytes()
        assert second.steps == optimizer.steps

    def test_state_dict_is_a_copy_both_ways(self):
        p = np.ones(BIG)
        optimizer = rmsprop.RMSprop(p)
        optimizer.step(np.ones(BIG))
        saved = optimizer.state_dict()
        kept = saved["state"]["square_avg"][0].copy()
        optimizer.step(np.ones(BIG))
        assert (saved["state"]["square_avg"][0] == kept).all()
        optimizer.load_state_dict(saved)
        optimizer.step(np.ones(BIG))
        assert (saved["state"]["square_avg"][0] == kept).all()

    def test_state_of_no_steps_is_taken_as_it_is(self):
        """As where it comes from elsewhere."""
        optimizer = rmsprop.RMSprop(np.ones(3))
        saved = optimizer.state_dict()
        saved["state"]["square_avg"][0][:] = 4.0
        optimizer.load_state_dict(saved)
        assert (optimizer.state["square_avg"] == 4).all()
        assert (copy.deepcopy(optimizer).state["square_avg"] == 4).all()

    def test_lr_is_restored_unless_a_callable(self):
        saved = rmsprop.RMSprop(np.ones(2), lr=0.5).state_dict()
        other = rmsprop.RMSprop(np.ones(2), lr=0.1)
        other.load_state_dict(saved)
        assert other.lr == 0.5
        scheduled = rmsprop.RMSprop(np.ones(2), lr=lambda step: 0.1)
        scheduled.load_state_dict(saved)
        assert callable(scheduled.lr)

    @pytest.mark.parametrize(
        ("change", "words"),
        [
            (lambda d: [], "must be a dict"),
            (
                lambda d: {"state": {0: {"exp_avg": np.ones(3), "exp_avg_sq": np.ones(3)}}, "param_groups": []},
                "not a state of rmsprop",
            ),
            (lambda d: {**d, "version": 99}, "version must be 1, got 99"),
            (lambda d: {k: v for k, v in d.items() if k != "steps"}, "lacks 'steps'"),
            (lambda d: {**d, "steps": -1}, "'steps' must be an integer"),
            (lambda d: {**d, "steps": 2.5}, "'steps' must be an integer"),
            (lambda d: {**d, "lr": math.inf}, "lr must be in"),
            (lambda d: {**d, "rule": {**d["rule"], "decay": 2}}, "decay must be in"),
            (lambda d: {**d, "rule": {"alpha": 0.9}}, "'rule' must have 'name', 'decay', .* got 'alpha'"),
            (lambda d: {**d, "rule": []}, "'rule' must be a dict"),
            (lambda d: {**d, "state": {**d["state"], "square_avg": 3}}, "'square_avg' must be a dict of arrays"),
            (lambda d: {**d, "steps": 10**400}, "'steps' must be an integer"),
            (lambda d: {**d, "state": {}}, "the state must have 'square_avg', 'momentum_buffer', got nothing"),
            (lambda d: edit(d, "square_avg", "a", np.ones(4)), r"of shape \(3,\), got .* of shape \(4,\)"),
            (lambda d: edit(d, "square_avg", "a", np.ones(3, np.float32)), "must be float64 .*got float32"),
            (lambda d: edit(d, "square_avg", "a", [1, 2, 3]), "must be a NumPy array"),
            (lambda d: edit(d, "square_avg", "a", np.array([1, -1, 1.0])), "negative values"),
            (lambda d: edit(d, "momentum_buffer", "a", np.array([1, math.nan, 1.0])), "not finite"),
            (lambda d: edit(d, "momentum_buffer", "z", np.ones(3)), "must have 'a', got 'a', 'z'"),
        ],
    )
    def test_wrong_state_is_refused_with_nothing_changed(self, change, words):
        params = {"a": np.ones(3)}
        optimizer = rmsprop.RMSprop(params, momentum=0.9)
        optimizer.step({"a": np.ones(3)})
        before = snapshot(params.values(), optimizer)
        with pytest.raises((TypeError, ValueError), match=words):
            optimizer.load_state_dict(change(optimizer.state_dict()))
        same(before, snapshot(params.values(), optimizer))

    def test_momentum_and_centering_may_be_switched_on_in_mid_course(self):
        for size in (5, BIG):
            p = np.ones(size)
            optimizer = rmsprop.RMSprop(p)
            optimizer.step(np.ones(size))
            v = optimizer.state["square_avg"].copy()
            optimizer.rule = optimizer.rule.replace(momentum=0.9, centered=True)
            assert (optimizer.state["variance"] == v).all()
            assert (optimizer.state["momentum_buffer"] == 0).all()
            optimizer.step(np.ones(size))
            assert optimizer.steps == 2
            assert np.isfinite(p).all()

    def test_centering_off_and_forms_carry_the_mean_square(self):
        rng = np.random.default_rng(5)
        for kind, axes in [("float64", {}), ("complex128", {}), ("complex128", {"complex_form": "modulus"})]:
            p = parameters(rng, (50,), kind)
            plain, centered = p.copy(), p.copy()
            one = rmsprop.RMSprop(plain, **axes)
            other = rmsprop.RMSprop(centered, centered=True, **axes)
            for g in gradients(rng, (50,), kind):
                one.step(g)
                other.step(g)
            other.rule = other.rule.replace(centered_form="difference")
            np.testing.assert_allclose(other.state["square_avg"], one.state["square_avg"], rtol=1e-12)
            other.rule = other.rule.replace(centered_form="variance")
            other.rule = other.rule.replace(centered=False)
            np.testing.assert_allclose(other.state["square_avg"], one.state["square_avg"], rtol=1e-12)

    def test_changes_without_an_exact_meaning_are_refused(self):
        optimizer = rmsprop.RMSprop(np.ones(3, complex), momentum=0.9)
        optimizer.step(np.ones(3))
        rule = optimizer.rule
        with pytest.raises(ValueError, match="lr_in_momentum cannot change"):
            optimizer.rule = rule.replace(lr_in_momentum=False)
        for axes in ({}, {"momentum": 0.0}):
            with pytest.raises(ValueError, match="complex_form cannot change"):
                optimizer.rule = rule.replace(complex_form="modulus", **axes)
        with pytest.raises(TypeError, match="rule must be a Rule"):
            optimizer.rule = "pytorch"
        assert optimizer.rule == rule

    def test_rule_comes_with_the_state(self):
        p = np.ones(3)
        first = rmsprop.RMSprop(p, dialect="pytorch")
        first.step(np.ones(3))
        second = rmsprop.RMSprop(p, momentum=0.9)
        second.load_state_dict(first.state_dict())
        assert second.rule == first.rule
        assert second.rule.source == first.rule.source
        second.step(np.ones(3))
        second.rule = second.rule.replace(momentum=0.9)
        assert (second.state["momentum_buffer"] == 0).all()

    @pytest.mark.parametrize("size", [(3, 4), (30, 40)])
    def test_fortran_order_survives_save_and_load(self, size):
        rng = np.random.default_rng(6)
        start, grads = np.asfortranarray(rng.standard_normal(size)), [np.asfortranarray(rng.standard_normal(size)) for _ in LRS]
        straight, resumed = start.copy(order="F"), start.copy(order="F")
        one = rmsprop.RMSprop(straight, centered=True)
        for g in grads:
            one.step(g)
        first = rmsprop.RMSprop(resumed, centered=True)
        first.step(grads[0])
        second = rmsprop.RMSprop(resumed, centered=True)
        second.load_state_dict(first.state_dict())
        for g in grads[1:]:
            second.step(g)
        assert straight.tobytes() == resumed.tobytes()

    @pytest.mark.parametrize("size", [5, BIG])
    @pytest.mark.parametrize("how", [copy.deepcopy, lambda pair: pickle.loads(pickle.dumps(pair))])
    def test_a_copy_steps_on_its_own(self, size, how):
        rng = np.random.default_rng(7)
        p, g = rng.standard_normal(size), rng.standard_normal(size)
        optimizer = rmsprop.RMSprop(p, momentum=0.9)
        optimizer.step(g)
        q, twin = how((p, optimizer))
        before = p.tobytes()
        twin.step(g)
        assert p.tobytes() == before != q.tobytes()
        optimizer.step(g)
        assert p.tobytes() == q.tobytes()
        with pytest.raises(TypeError, match="shallow copy"):
            copy.copy(optimizer)

    def test_a_pickled_transpose_keeps_its_state_in_order(self):
        rng = np.random.default_rng(9)
        base, g = rng.standard_normal((60, 40)), rng.standard_normal((32, 60))
        p = base[:, :32].T
        optimizer = rmsprop.RMSprop(p, centered=True)
        optimizer.step(g)
        q, twin = pickle.loads(pickle.dumps((p, optimizer)))
        twin.step(g)
        optimizer.step(g)
        assert p.tolist() == q.tolist()

    @pytest.mark.parametrize("size", [5, BIG])
    def test_before_the_first_step_every_change_is_a_fresh_start(self, size):
        p = np.ones(size, complex)
        optimizer = rmsprop.RMSprop(p, 0.1, "tf1", momentum=0.5)
        for axes in ({"square_init": 0.5}, {"complex_form": "modulus"}, {"bias_correction": True, "square_init": 0.0}):
            optimizer.rule = optimizer.rule.replace(**axes)
            wanted = rmsprop.RMSprop(p, 0.1, optimizer.rule).state
            assert all((optimizer.state[slot] == wanted[slot]).all() for slot in wanted)
        optimizer.step(p)
        with pytest.raises(ValueError, match="square_init cannot change in mid-course"):
            optimizer.rule = optimizer.rule.replace(bias_correction=False, square_init=1.0)

    def test_a_rule_that_is_refused_changes_nothing(self):
        def lr(step):
            return 1e30

        p = np.ones(BIG, np.float32)
        optimizer = rmsprop.RMSprop(p, lr, dialect=rmsprop.Rule(eps=1.0))
        before = snapshot([p], optimizer)
        for change in ({"eps": 1e-50}, {"square_init": 1e39}, {"weight_decay": 1e39}):
            with pytest.raises(ValueError, match="float32"):
                optimizer.rule = optimizer.rule.replace(**change)
        same(before, snapshot([p], optimizer))

    def test_bias_correction_carries_the_variance_over(self):
        rng = np.random.default_rng(8)
        p = rng.standard_normal(6)
        q = p.copy()
        one = rmsprop.RMSprop(p, centered=True)
        other = rmsprop.RMSprop(q, centered=True, bias_correction=True)
        for _ in range(3):
            g = rng.standard_normal(6)
            one.step(g)
            other.step(g)
        one.rule = one.rule.replace(bias_correction=True)
        np.testing.assert_allclose(one.state["variance"], other.state["variance"], rtol=1e-12)
        late = rmsprop.RMSprop(p, dialect="tf1", lr=0.1)
        late.step(p)
        with pytest.raises(ValueError, match=r"bias_correction cannot start in a run whose v began at 1\.0"):
            late.rule = late.rule.replace(bias_correction=True, square_init=0.0)


def edit(saved, slot, name, array):
    return {**saved, "state": {**saved["state"], slot: {**saved["state"][slot], name: array}}}


@given(st.integers(0, 2**32 - 1), st.sampled_from(sorted(PLAIN_FORMS)), st.floats(1e-3, 1e3))
def test_scaling_the_loss_only_shifts_the_weight_of_eps(seed, name, factor):
    """RMSprop divides the gradient's size out: with eps scaled along, the trajectory stays."""
    rule = RULES[name]
    assume(not rule.weight_decay and not rule.square_init)
    rng = np.random.default_rng(seed)
    p = rng.standard_normal(6)
    q = p.copy()
    grads = [rng.standard_normal(6) for _ in range(4)]
    scaled = rule.replace(eps=rule.eps * (factor if rule.eps_place == "outside" else factor**2))
    one, other = rmsprop.RMSprop(p, 0.01, rule), rmsprop.RMSprop(q, 0.01, scaled)
    for g in grads:
        one.step(g)
        other.step(factor * g)
    np.testing.assert_allclose(p, q, rtol=1e-9, atol=1e-12)


@given(st.integers(0, 2**32 - 1), st.sampled_from(sorted(RULES)))
def test_maximize_is_minimizing_the_negative(seed, name):
    rule = RULES[name].replace(maximize=False, weight_decay=0.0)
    rng = np.random.default_rng(seed)
    p = rng.standard_normal(300)
    q = p.copy()
    one = rmsprop.RMSprop(p, 0.01, rule, on_nonfinite="propagate")
    other = rmsprop.RMSprop(q, 0.01, rule.replace(maximize=True), on_nonfinite="propagate")
    for _ in range(3):
        g = rng.standard_normal(300)
        one.step(g)
        other.step(-g)
    assert p.tobytes() == q.tobytes()
