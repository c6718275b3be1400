"""Landscapes: gradients against high precision, minima that are minima, formulas and data that a user brings."""

import mpmath
import numpy as np
import pytest

from rmsprop.data.source import open_source
from rmsprop.errors import UsageError
from rmsprop.expression.model import Model
from rmsprop.race.landscapes import landscape, landscape_names
from rmsprop.race.surface import ROWS, compiled, of_formula, of_model
from tests.expression.test_language import ATTACKS
from tests.tolerances import RELATIVE

SHARE = RELATIVE["race, gradient"].share
# Each formula once more, written for numbers of any precision.
EXACT = {
    "quadratic": lambda x, y: (x * x + y * y) / 2,
    "ill-conditioned": lambda x, y: x * x / 2 + 50 * y * y,
    "rotated": lambda x, y: (_turned(x, y)[0] ** 2 + 100 * _turned(x, y)[1] ** 2) / 2,
    "rosenbrock": lambda x, y: (x - 1) ** 2 + 100 * (x * x - y) ** 2,
    "beale": lambda x, y: sum((a - x * (1 - y**k)) ** 2 for k, a in ((1, mpmath.mpf("1.5")), (2, mpmath.mpf("2.25")), (3, 2.625))),
    "himmelblau": lambda x, y: (x * x + y - 11) ** 2 + (x + y * y - 7) ** 2,
    "rastrigin": lambda x, y: sum(10 + z * z - 10 * mpmath.cos(2 * mpmath.pi * z) for z in (x, y)),
    "saddle": lambda x, y: x * x - y * y + y**4 / 2,
    "monkey-saddle": lambda x, y: mpmath.re((x + 1j * y) ** 3) + 0.75 * abs(x + 1j * y) ** 4,
    "ravine": lambda x, y: x * x / 2 + 50 * (y - mpmath.sin(x)) ** 2,
    "plateau": lambda x, y: 1 - mpmath.exp(-(x * x + y * y) / 2),
    "cliff": lambda x, y: (x + 1) ** 2 / 10 + y * y / 2 + 10 / (1 + mpmath.exp(-20 * (x - 1))),
    "abs": lambda x, y: abs(x + y / 3) + abs(2 * y - 2 * x / 3),
}


def _turned(x, y):
    c, s = mpmath.cos(mpmath.pi / 6), mpmath.sin(mpmath.pi / 6)
    return c * x + s * y, c * y - s * x


def points(problem, count=12):
    left, right, bottom, top = problem.window
    return np.random.default_rng(8).uniform((left, bottom), (right, top), (count, 2))


def test_every_formula_is_judged():
    assert set(EXACT) | {"logistic", "network"} == set(landscape_names())


@pytest.mark.parametrize("name", EXACT)
def test_loss_and_gradient_equal_those_of_high_precision(name):
    problem, exact = landscape(name), EXACT[name]
    for point in (*points(problem), problem.start):
        loss, gradient = problem(np.array(point))
        with mpmath.workdps(40):
            x, y = map(mpmath.mpf, map(float, point))
            wanted = exact(x, y)
            slopes = [mpmath.diff(exact, (x, y), order) for order in ((1, 0), (0, 1))]
        size = max(1.0, abs(float(wanted)), *(abs(float(slope)) for slope in slopes))
        np.testing.assert_allclose(loss, float(wanted), rtol=SHARE, atol=SHARE * size)
        np.testing.assert_allclose(gradient, [float(slope) for slope in slopes], rtol=SHARE, atol=SHARE * size)


@pytest.mark.parametrize("name", ["logistic", "network"])
def test_losses_on_data_equal_those_of_the_library(name):
    datasets = pytest.importorskip("sklearn.datasets", reason="scikit-learn is not installed")
    iris = datasets.load_iris()
    x, width = (iris.data[:, k] for k in (2, 3))
    x, width = (x - x.mean()) / x.std(), (width - width.mean()) / width.std()
    virginica = iris.target == 2
    problem = landscape(name)

    def exact(a, b):
        if name == "network":
            terms = [(b * mpmath.tanh(a * u) - z) ** 2 for u, z in zip(x, width, strict=True)]
        else:
            terms = [mpmath.log(1 + mpmath.exp(a * u + b)) - (a * u + b if t else 0) for u, t in zip(x, virginica, strict=True)]
        return mpmath.fsum(terms) / len(x)

    for point in points(problem, 3):
        loss, gradient = problem(point)
        with mpmath.workdps(40):
            a, b = map(mpmath.mpf, map(float, point))
            slopes = [float(mpmath.diff(exact, (a, b), order)) for order in ((1, 0), (0, 1))]
            np.testing.assert_allclose(loss, float(exact(a, b)), rtol=SHARE)
        np.testing.assert_allclose(gradient, slopes, rtol=SHARE, atol=SHARE)


@pytest.mark.parametrize("name", ["logistic", "network"])
def test_losses_on_data_stay_finite_far_away(name):
    loss, gradient = landscape(name)(np.array([[1e8, -1e8], [-1e100, 1e100]]))
    assert np.isfinite(loss).all()
    assert np.isfinite(gradient).all()


@pytest.mark.parametrize("name", landscape_names())
def test_minima_are_minima(name):
    problem = landscape(name)
    assert problem.minima
    ring = np.stack([np.cos(np.linspace(0, 6, 40)), np.sin(np.linspace(0, 6, 40))], axis=-1)
    for place in np.array(problem.minima):
        loss, gradient = problem(place)
        assert loss == pytest.approx(problem.lowest, abs=1e-12)
        np.testing.assert_allclose(gradient, 0, atol=1e-12)
        for radius in (1e-3, 1e-2):
            assert (problem.loss(place + radius * ring) > loss).all()
    grid = points(problem, 20_000)
    assert (problem.loss(grid) > problem.lowest).all()


@pytest.mark.parametrize("name", landscape_names())
def test_start_is_in_sight_and_the_target_below_it(name):
    problem = landscape(name)
    left, right, bottom, top = problem.window
    assert left < problem.start[0] < right
    assert bottom < problem.start[1] < top
    assert problem.lowest < problem.target < problem.loss(np.array(problem.start))
    assert problem.starting() == problem
    for x, y in problem.minima:
        assert left < x < right
        assert bottom < y < top


@pytest.mark.parametrize("name", landscape_names())
def test_many_points_at_once_are_the_points_one_by_one(name):
    problem = landscape(name)
    many = points(problem, 6).reshape(3, 2, 2)
    losses, gradients = problem(many)
    assert (losses.shape, gradients.shape) == ((3, 2), (3, 2, 2))
    for place in np.ndindex(3, 2):
        loss, gradient = problem(many[place])
        np.testing.assert_allclose(losses[place], loss, rtol=SHARE, atol=SHARE)
        np.testing.assert_allclose(gradients[place], gradient, rtol=SHARE, atol=SHARE)


def test_formula_of_any_two_names():
    problem = of_formula("2*(beta - 1)**2 + cosh(alpha + 0.5)")
    assert problem.names == ("alpha", "beta")
    assert problem.lowest == pytest.approx(1, abs=1e-9)
    assert problem.minima[0] == pytest.approx((-0.5, 1), abs=1e-6)


def test_formula_whose_lowest_loss_is_out_of_sight_widens_the_window():
    problem = of_formula("(x - 40)**2 + (y + 25)**2")
    assert problem.minima[0] == pytest.approx((40, -25), abs=1e-4)
    left, right, bottom, top = problem.window
    assert left < -2 < 40 < right
    assert bottom < -25 < 2 < top


def test_formula_without_a_lowest_loss_has_that_of_the_window():
    problem = of_formula("x**3 + y")
    assert np.isfinite(problem.lowest)
    assert problem.target > problem.lowest


def test_formula_that_is_not_finite_everywhere_begins_where_it_is():
    problem = of_formula("x*log(x) + (y - 1)**2")
    assert problem.start[0] > 0
    assert problem.minima[0] == pytest.approx((np.exp(-1), 1), abs=1e-5)


def test_formula_begins_where_it_is_told_and_its_target_counts_from_there():
    problem = of_formula("x**4 + y**4", (10.0, 1.0))
    assert problem.start == (10.0, 1.0)
    assert problem.target == pytest.approx(10.001, rel=1e-6)
    with pytest.raises(UsageError, match=r"has no slope at \(0.0, 0.0\)"):
        of_formula("x**4 + y**4", (0.0, 0.0))


@pytest.mark.parametrize("text", ATTACKS, ids=lambda text: repr(text[:20]))
def test_attack_is_refused(text):
    with pytest.raises(UsageError) as refusal:
        of_formula(text)
    assert 10 < len(str(refusal.value)) < 400


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("x**2", "two names.*has x; add 0.y"),
        ("2 + 2", "has none"),
        ("x*y*z", "has x, y, z"),
        ("9**9**9 + x*y", "comes to"),
        ("x + 0*y*0 - x", "not finite or has no slope at any"),
        ("log(-x**2 - y**2)", "not finite or has no slope at any"),
        ("x^2 + y^2", r"write 'x\*\*2 \+ y\*\*2'"),
    ],
)
def test_formula_that_is_no_landscape_is_refused_with_the_remedy(text, message):
    with pytest.raises(UsageError, match=message):
        of_formula(text)


def test_gradient_of_a_name_that_folds_away_is_zero():
    _, function = compiled("x**2 + y**0")
    assert function(np.array([[3.0, 1.0], [1.0, 2.0]]))[1].tolist() == [[6.0, 0.0], [2.0, 0.0]]


@pytest.fixture
def line():
    x = np.linspace(-1, 2, 50)
    return {"x": x, "y": 3 * x**2 - x + 0.5 + 0.1 * np.cos(30 * x)}


MODEL = "y = a*x**2 + b*x + c"


def test_surface_of_a_model_is_the_mean_square(line):
    problem = of_model(Model(MODEL, line), line, ("c", "a"), {"a": 3.0, "b": -1.0, "c": 0.5})
    for c, a in points(problem, 5):
        residual = a * line["x"] ** 2 - line["x"] + c - line["y"]
        loss, gradient = problem(np.array([c, a]))
        np.testing.assert_allclose(loss, np.mean(residual**2), rtol=SHARE)
        np.testing.assert_allclose(gradient, [np.mean(2 * residual), np.mean(2 * residual * line["x"] ** 2)], rtol=1e-9)
    assert problem.names == ("c", "a")
    assert "b = -1" in problem.story
    best = np.linalg.lstsq(np.stack([np.ones(50), line["x"] ** 2], axis=1), line["y"] + line["x"], rcond=None)[0]
    np.testing.assert_allclose(problem.minima[0], best, atol=1e-6)


def test_surface_of_many_rows_is_that_of_a_sample(line):
    rows = {name: np.tile(column, 100) for name, column in line.items()}
    problem = of_model(Model(MODEL, rows), rows, ("a", "b"), {"a": 3.0, "b": -1.0, "c": 0.5})
    step = -(-len(rows["x"]) // ROWS)
    x, y = rows["x"][::step], rows["y"][::step]
    assert problem.loss(np.array([1.0, 2.0])) == pytest.approx(np.mean((x**2 + 2 * x + 0.5 - y) ** 2), rel=1e-12)


def test_surface_of_a_file(tmp_path):
    (tmp_path / "data.csv").write_text("x;y\n0;1\n1;0,5\n2;0,25\n3;0,125\n")
    source = open_source(tmp_path / "data.csv")
    model = Model("y = a*exp(-b*x)", source.names)
    problem = of_model(model, source.read(model.used_columns, "drop").columns, ("a", "b"), {"a": 1.0, "b": 0.7})
    assert problem.minima[0] == pytest.approx((1, np.log(2)), abs=1e-6)


def test_surface_over_names_that_are_no_parameters_is_refused(line):
    model, values = Model(MODEL, line), {"a": 3.0, "b": -1.0, "c": 0.5}
    with pytest.raises(UsageError, match="over must name two of the parameters a, b, c, got 'x'"):
        of_model(model, line, ("a", "x"), values)
    with pytest.raises(UsageError, match="got 'a' twice"):
        of_model(model, line, ("a", "a"), values)


def test_another_start_is_checked():
    problem = landscape("rosenbrock")
    moved = problem.starting((5.0, 5.0))
    assert moved.start == (5.0, 5.0)
    assert moved.target == problem.target
    assert moved.window[1] > 5
    with pytest.raises(UsageError, match="is at the target"):
        problem.starting((1.0001, 1.0))
    with pytest.raises(UsageError, match="gradient is 0"):
        landscape("rastrigin").starting((0.0, 0.0), target=-1.0)
    with pytest.raises(UsageError, match="the loss is inf"):
        problem.starting((1e200, 0.0))
    with pytest.raises(UsageError, match="target must be a finite loss, got nan"):
        problem.starting(target=float("nan"))


def test_unknown_landscape_is_answered_with_the_nearest():
    with pytest.raises(UsageError, match=r"landscape must be one of quadratic.*did you mean rosenbrock\?"):
        landscape("rosenbrok")
