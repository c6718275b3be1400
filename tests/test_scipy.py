"""minimize, by itself and as a method of SciPy's."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import optimize

import rmsprop
import rmsprop.scipy
from rmsprop.schedules import schedule, schedule_names


def test_rosenbrock_with_momentum():
    result = rmsprop.minimize(optimize.rosen, [-1.2, 1.0], jac=optimize.rosen_der, momentum=0.9)
    assert result.success
    assert result.status == 0
    assert np.abs(result.jac).max() <= 1e-5
    np.testing.assert_allclose(result.x, 1, atol=1e-4)
    assert result.nit < result.njev <= 10_001


@given(st.lists(st.floats(-3, 3), min_size=1, max_size=4), st.floats(0.5, 20))
def test_separable_quadratics(center, steepness):
    c = np.array(center)
    result = rmsprop.minimize(lambda x: steepness * ((x - c) ** 2).sum(), np.zeros(len(c)), jac=lambda x: 2 * steepness * (x - c))
    np.testing.assert_allclose(result.x, c, atol=1e-5)


def test_gradient_may_come_with_the_function_or_from_differences():
    given_, both, none = (
        rmsprop.minimize(lambda x: ((x - 1) ** 2).sum(), [0.0, 3.0], jac=lambda x: 2 * (x - 1), maxiter=2000),
        rmsprop.minimize(lambda x: (((x - 1) ** 2).sum(), 2 * (x - 1)), [0.0, 3.0], jac=True, maxiter=2000),
        rmsprop.minimize(lambda x: ((x - 1) ** 2).sum(), [0.0, 3.0], maxiter=2000),
    )
    assert given_.x.tolist() == both.x.tolist()
    np.testing.assert_allclose(none.x, given_.x, atol=1e-5)
    assert both.nfev == both.njev
    assert none.nfev == pytest.approx(3 * none.njev, abs=2)


@pytest.mark.parametrize("bounds", [optimize.Bounds([-2, -np.inf], [0.5, 2]), [(-2, 0.5), (None, 2)]])
@pytest.mark.parametrize("jac", [optimize.rosen_der, None])
def test_bounds_hold_at_every_call(bounds, jac):
    def rosen(x):
        assert x[0] <= 0.5
        assert x[1] <= 2
        return optimize.rosen(x)

    result = rmsprop.minimize(rosen, [-1.2, 1.0], jac=jac, bounds=bounds, maxiter=3000, gtol=1e-3)
    np.testing.assert_allclose(result.x, [0.5, 0.25], atol=1e-2)


def test_scipy_takes_it_as_a_method():
    seen = []
    result = optimize.minimize(
        optimize.rosen,
        [-1.2, 1.0],
        method=rmsprop.scipy.rmsprop,
        jac=optimize.rosen_der,
        callback=seen.append,
        tol=1e-3,
        options={"momentum": 0.9, "no_such_option": 1},
    )
    assert isinstance(result, optimize.OptimizeResult)
    assert result.success
    assert len(seen) == result.nit
    assert {"x", "fun", "jac", "nit", "nfev", "njev", "status", "success", "message"} <= set(result)
    with pytest.warns(RuntimeWarning, match="cannot handle constraints"):
        optimize.minimize(lambda x: x @ x, [1.0], method=rmsprop.scipy.rmsprop, constraints={"type": "eq", "fun": lambda x: x})


def test_args_and_shapes():
    result = rmsprop.minimize(lambda x, a, b: ((x - a) ** 2).sum() + b, np.zeros((2, 2)), args=(np.eye(2), 5.0), maxiter=3000)
    np.testing.assert_allclose(result.x, np.eye(2), atol=1e-4)
    assert result.fun == pytest.approx(5)
    assert rmsprop.minimize(lambda x, a: (x - a) ** 2, 0.0, args=2, maxiter=3000).x == pytest.approx(2, abs=1e-3)
    assert rmsprop.minimize(lambda x: (x**2).sum(), [3], lr=0.1, maxiter=500).x.dtype == np.float64


@pytest.mark.parametrize("style", ["x", "intermediate_result", "StopIteration", "np.bool_"])
def test_callback_may_stop_the_run(style):
    def by_x(x):
        return x[0] < 0.5

    def by_result(intermediate_result):
        assert intermediate_result.jac[0] == 2 * intermediate_result.x[0]
        return bool(intermediate_result.fun < 0.25)

    def by_exception(x):
        if x[0] < 0.5:
            raise StopIteration

    callback = {"x": lambda x: bool(by_x(x)), "np.bool_": by_x, "intermediate_result": by_result, "StopIteration": by_exception}
    result = rmsprop.minimize(lambda x: x @ x, [1.0], jac=lambda x: 2 * x, callback=callback[style])
    assert result.status == 99
    assert not result.success
    assert 0.4 < result.x[0] < 0.5


@pytest.mark.parametrize(
    ("fun", "jac", "status"),
    [
        (lambda x: x @ x, lambda x: x * np.nan, 2),
        (lambda x: x @ x, lambda x: x * 1e200, 2),
        (lambda x: np.nan, lambda x: x * 0, 3),
    ],
)
def test_not_finite(fun, jac, status):
    result = rmsprop.minimize(fun, [1.0], jac=jac)
    assert (result.status, result.success) == (status, False)
    assert np.isfinite(result.x).all()


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"x0": [np.nan]}, ValueError, "x0 must be finite"),
        ({"x0": [1j]}, TypeError, "x0 must be real"),
        ({"maxiter": 0}, ValueError, "maxiter must be an integer of at least 1, got 0"),
        ({"maxiter": 2.5}, ValueError, "maxiter must be an integer"),
        ({"gtol": -1}, ValueError, "gtol must be at least 0"),
        ({"tol": np.nan}, ValueError, "tol must be at least 0"),
        ({"jac": "2-point"}, TypeError, "jac must be a function, True or None"),
        ({"jac": True}, TypeError, r"must return \(value, gradient\), got float64"),
        ({"jac": lambda x: np.ones(3)}, ValueError, r"gradient must have the shape \(1,\)"),
        ({"fun": lambda x: np.ones(2)}, ValueError, "must return one number"),
        ({"fun": lambda x: 1j}, TypeError, "must return a real number"),
        ({"bounds": [(1, 0)]}, ValueError, "a lower bound is above"),
        ({"bounds": [(0, 1), (0, 1)]}, ValueError, "one .* pair for each of 1 variables"),
        ({"bounds": [(0, 1, 2)]}, ValueError, "one .* pair for each of 1 variables"),
        ({"bounds": [(np.nan, 1)]}, ValueError, "a bound is nan"),
        ({"bounds": (0, 1)}, ValueError, "one .* pair for each"),
        ({"maximize": True}, ValueError, "minimize the negative of fun"),
        ({"schedule": "cosin"}, ValueError, "schedule must be one of 'constant', 'cosine'"),
        ({"alpha": 0.9}, TypeError, "unknown keyword 'alpha'; minimize takes jac, .*momentum"),
        ({"on_nonfinite": "skip"}, TypeError, "unknown keyword 'on_nonfinite'"),
        ({"dialect": "optax"}, ValueError, "no default learning rate"),
        ({"lr": -1}, ValueError, "lr must be in"),
    ],
)
def test_bad_input(options, error, words):
    arguments = {"fun": lambda x: x @ x, "x0": [1.0]} | options
    with pytest.raises(error, match=words):
        rmsprop.minimize(**arguments)


@pytest.mark.parametrize("name", schedule_names())
def test_schedules_start_at_lr_and_never_grow(name):
    rate = schedule(name, 0.5, 100)
    rates = [rate(step) for step in range(120)]
    assert rates[0] == 0.5
    assert all(a >= b > 0 for a, b in itertools.pairwise(rates))
    assert rates[99] == rates[119]


def test_bad_schedules():
    with pytest.raises(ValueError, match="schedule must be one of"):
        schedule("warmup", 0.1, 10)
    with pytest.raises(ValueError, match="at least 1 step, got 0"):
        schedule("cosine", 0.1, 0)
    with pytest.raises(ValueError, match="lr must be in"):
        schedule("cosine", -0.1, 10)
