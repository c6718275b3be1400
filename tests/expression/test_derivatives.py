"""The tape against SymPy: values, Jacobian, and the gradient as their sum; any blocks, any threads."""

import mpmath
import numpy as np
import pytest
import sympy
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from rmsprop.expression import evaluate
from rmsprop.expression.evaluate import Evaluator
from rmsprop.expression.language import FUNCTIONS, Binary, Call, Name, Negative, Number, parse
from rmsprop.expression.model import Model
from rmsprop.kernels import threads as kernels
from tests.expression.symbolic import to_sympy, value
from tests.expression.test_language import text_of
from tests.tolerances import RELATIVE

TOLERANCE = RELATIVE["fit, derivative"].share
POINT = {"x": 0.7, "a": 0.6, "b": 1.3}


def check(tree, point):
    """Compare value and derivatives at a point, where every part of the formula is of moderate size."""
    model = Model(f"y = {text_of(tree)}", ["x", "y"], start=["a", "b"])
    symbolic = to_sympy(tree)
    theta = np.array([point[name] for name in model.parameters])
    evaluator = Evaluator(model, {"x": np.full(3, point["x"]), "y": np.zeros(3)})
    derivatives = [value(sympy.diff(symbolic, sympy.Symbol(name, real=True)), point) for name in model.parameters]
    wanted = np.array([value(symbolic, point), *derivatives])
    if not (np.isfinite(wanted).all() and np.abs(wanted.imag).max() == 0 and np.abs(wanted).max() < 1e6):
        return False
    got = np.array([evaluator.predictions(theta)[0], *evaluator.jacobian(theta)[0]])
    np.testing.assert_allclose(got, wanted.real, rtol=TOLERANCE, atol=TOLERANCE)
    loss, gradient = evaluator.loss_and_gradient(theta)
    np.testing.assert_allclose(loss, wanted.real[0] ** 2, rtol=TOLERANCE, atol=TOLERANCE)
    np.testing.assert_allclose(gradient, wanted.real[0] * wanted.real[1:], rtol=TOLERANCE, atol=TOLERANCE * (1 + abs(wanted[0])))
    return True


@pytest.mark.parametrize("function", [f for f in FUNCTIONS if f not in ("ln", "acosh")])
def test_function(function):
    assert check(Binary("*", Name("b"), Call(function, Binary("*", Name("a"), Name("x")))), POINT)


def test_acosh():
    assert check(Binary("*", Name("b"), Call("acosh", Binary("+", Name("a"), Name("x")))), POINT)


@pytest.mark.parametrize("exponent", [-17.0, -3.0, -2.0, -1.0, -0.5, 0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 5.0, 7.0, 16.0, 17.0])
def test_power_with_a_number(exponent):
    assert check(Binary("*", Name("b"), Binary("**", Binary("+", Name("a"), Name("x")), Number(exponent))), POINT)


@pytest.mark.parametrize(
    "text",
    [
        "a**b + x",
        "x**b*a",
        "b**x*a",
        "(a*x)**(b*x)",
        "a/(b + x) - x/a",
        "a*exp(-((x - b)/a)**2)",
        "a*b*a*b*x",
        "sin(2*pi*x/b)*a + cos(2*pi*x/b)",
        "a + b",
        "exp(a)*exp(b) + x*exp(a)",
        "a*(b*(a*(b + x) + x) + x)",
    ],
)
def test_formula(text):
    if text == "a + b":
        text = "a + b + 0*x"
    assert check(_with_pi(parse(text)), POINT)


def _with_pi(tree):
    match tree:
        case Name("pi"):
            return Number(float(np.pi))
        case Negative(argument):
            return Negative(_with_pi(argument))
        case Call(function, argument):
            return Call(function, _with_pi(argument))
        case Binary(operator, left, right):
            return Binary(operator, _with_pi(left), _with_pi(right))
    return tree


LEAVES = st.sampled_from([Name("x"), Name("a"), Name("b"), Number(0.5), Number(2.0), Number(3.0)])
SMALL_TREES = st.recursive(
    LEAVES,
    lambda inner: (
        st.builds(Binary, st.sampled_from(["+", "-", "*", "/", "**"]), inner, inner)
        | st.builds(Call, st.sampled_from(["exp", "log", "sqrt", "sin", "cos", "atan", "tanh", "abs", "log1p", "expm1"]), inner)
        | st.builds(Negative, inner)
    ),
    max_leaves=6,
)


@settings(max_examples=60)
@given(SMALL_TREES, st.floats(0.4, 2.0), st.floats(0.4, 2.0), st.floats(0.4, 2.0))
def test_any_formula(tree, x, a, b):
    tree = Binary("+", tree, Binary("*", Name("a"), Binary("*", Name("b"), Name("x"))))
    point = {"x": x, "a": a, "b": b}
    assume(_moderate(tree, point))
    assume(check(tree, point))


def _moderate(tree, point):
    """Whether every part of a formula is real and of a size that keeps rounding errors small."""
    try:
        parts = [value(to_sympy(part), point) for part in _parts(tree)]
    except (TypeError, ZeroDivisionError, OverflowError, ValueError, mpmath.libmp.NoConvergence):
        return False
    return all(np.isfinite(part) and abs(part.imag) < 1e-30 and 1e-3 < abs(part) < 1e3 for part in parts)


def _parts(tree):
    yield tree
    match tree:
        case Negative(argument) | Call(_, argument):
            yield from _parts(argument)
        case Binary(_, left, right):
            yield from _parts(left)
            yield from _parts(right)


def test_power_at_base_zero_has_no_slope_by_the_exponent():
    model = Model("y = a*x**b", ["x", "y"])
    jacobian = Evaluator(model, {"x": np.array([0.0, 1.0]), "y": np.zeros(2)}).jacobian(np.array([2.0, 0.5]))
    np.testing.assert_array_equal(jacobian, [[0, 0], [1, 0]])


MODEL = "y = a*exp(-b*x)*sqrt(x) + c*x**2 + log(2 + b**2)"


@pytest.fixture(scope="module")
def large():
    rng = np.random.default_rng(3)
    n = 3 * evaluate.BLOCK + 17
    return {"x": rng.uniform(0.1, 3, n), "y": rng.standard_normal(n), "s": rng.uniform(0.5, 2, n)}


@pytest.mark.parametrize("loss", ["mse", "mae", "huber"])
@pytest.mark.parametrize("sigma", [None, "s"])
def test_same_bits_for_every_number_of_threads(large, loss, sigma, monkeypatch):
    theta = np.array([1.0, 0.5, -0.3])
    wanted = None
    for threads in (1, 2, 3, 7):
        monkeypatch.setattr(kernels, "_threads", threads)
        got = Evaluator(Model(MODEL, large, loss=loss, sigma=sigma), large, parallel=True).loss_and_gradient(theta)
        wanted = wanted or got
        assert got[0] == wanted[0]
        np.testing.assert_array_equal(got[1], wanted[1])


def test_rows_may_change_their_number(large):
    model, theta = Model(MODEL, large), np.array([1.0, 0.5, -0.3])
    evaluator = Evaluator(model, large, store=False)
    for n in (len(large["x"]), 100, evaluate.BLOCK + 1, evaluate.BLOCK, 1):
        rows = {name: column[:n] for name, column in large.items()}
        evaluator.rebind(rows)
        loss, gradient = evaluator.loss_and_gradient(theta)
        fresh = Evaluator(model, rows).loss_and_gradient(theta)
        assert loss == fresh[0]
        np.testing.assert_array_equal(gradient, fresh[1])


@pytest.mark.parametrize("store", [True, False])
@pytest.mark.parametrize("sigma", [None, "s"])
def test_blocks_add_up_to_plain_sums(large, store, sigma):
    model = Model(MODEL, large, sigma=sigma)
    theta = np.array([1.0, 0.5, -0.3])
    evaluator = Evaluator(model, large, store=store)
    r, j = evaluator.residuals(theta), evaluator.jacobian(theta)
    loss, gradient = evaluator.loss_and_gradient(theta)
    share = RELATIVE["fit, blocks"].share
    np.testing.assert_allclose(loss, np.mean(r**2), rtol=share)
    np.testing.assert_allclose(gradient, j.T @ r / len(r), rtol=share, atol=share)
    x, (a, b, c) = large["x"], theta
    plain = a * np.exp(-b * x) * np.sqrt(x) + c * x**2 + np.log(2 + b**2) - large["y"]
    np.testing.assert_allclose(r * (1 if sigma is None else large["s"]), plain, rtol=share, atol=share)


def test_epoch_holds_no_array_of_the_data_s_length(large, monkeypatch):
    evaluator = Evaluator(Model("y = a*x**2 + b*x + c", large), large)
    evaluator.loss_and_gradient(np.ones(3))
    made = []
    real = np.empty
    monkeypatch.setattr(np, "empty", lambda shape, *rest, **options: made.append(shape) or real(shape, *rest, **options))
    evaluator.loss_and_gradient(np.ones(3))
    assert made == []


@pytest.mark.parametrize("loss", ["mae", "huber"])
def test_gradient_of_robust_losses(loss):
    rng = np.random.default_rng(0)
    data = {"x": rng.uniform(0, 1, 40), "y": rng.standard_normal(40)}
    evaluator = Evaluator(Model("y = a*x + b", data, loss=loss), data)
    evaluator.delta = 0.8
    theta, h = np.array([0.3, -0.2]), 1e-6
    gradient = evaluator.loss_and_gradient(theta)[1]
    for k in range(2):
        step = h * np.eye(2)[k]
        slope = (evaluator.loss(theta + step) - evaluator.loss(theta - step)) / (2 * h)
        assert gradient[k] == pytest.approx(slope, abs=1e-8)


@pytest.mark.parametrize(
    "text",
    [
        "(" * 40 + "x" + ")**15" * 40 + "*a + b",
        "(" * 40 + "a" + ")**15" * 40 + "*x + b",
        "*".join(f"p{k}" for k in range(95)) + "*x",
        "exp(" * 55 + "-x*a" + ")" * 55,
        "-(" * 50 + "a*x" + ")" * 50,
    ],
)
def test_formulas_at_the_limits_are_compiled_at_once(text, large):
    """Shared parts are one node, so that the work grows with the formula and not with what it would spell out."""
    model = Model(f"y = {text}", large)
    evaluator = Evaluator(model, large)
    evaluator.loss_and_gradient(np.ones(len(model.parameters)))
    assert len(model.builder.nodes) < 3_000
