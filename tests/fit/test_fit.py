import json
import math
import struct

import numpy as np
import pytest

from rmsprop.expression.evaluate import Evaluator
from rmsprop.expression.model import Model
from rmsprop.fit import DataError, DivergedError, FitResult, UsageError, article, fit, solve, train
from rmsprop.fit.plot import draw
from tests.tolerances import RELATIVE

OPTIMUM = RELATIVE["fit, optimum"].share
LINE = {"x": np.arange(10.0), "y": 2 * np.arange(10.0) + 1 + 0.1 * np.cos(np.arange(10.0))}


@pytest.fixture(scope="module")
def decay():
    rng = np.random.default_rng(5)
    x = np.linspace(0, 5, 400)
    s = rng.uniform(0.01, 0.2, 400)
    return {"x": x, "s": s, "y": 3 * np.exp(-0.8 * x) + 0.5 + s * rng.standard_normal(400)}


DECAY = "y = a*exp(-b*x) + c"


def test_recipe_repeats_the_article_to_the_last_bit():
    result = fit(recipe="article")
    assert tuple(p.value for p in result.parameters.values()) == (2.07694441894195, 2.9802227580151204, 3.8147104791275557)
    assert (result.losses[1], result.losses[-1], result.epochs) == (87.33835656974905, 0.21397721767075764, 1000)
    assert not result.converged
    # The limit cycle: half a learning rate from the optimum in every parameter.
    polished = fit(article.data()[0], article.MODEL)
    for name, p in polished.parameters.items():
        assert abs(p.value - result.parameters[name].value) == pytest.approx(article.LR / 2, rel=1e-3)
    assert "lr/2" in str(result)


def test_recipe_on_own_data_and_its_limits():
    result = fit(LINE, "y = a*x + b", recipe="article")
    assert (result.epochs, result.settings["lr"], result.settings["schedule"], result.polish[:12]) == (
        1000,
        0.01,
        "constant",
        "not polished",
    )
    with pytest.raises(UsageError, match="recipe article sets lr itself"):
        fit(recipe="article", lr=0.1)
    with pytest.raises(UsageError, match="recipe must be one of article"):
        fit(recipe="cake")


def test_step_is_what_moves_the_parameters(monkeypatch, decay):
    def nothing(self, grads):
        self.steps += 1

    monkeypatch.setattr(train.RMSprop, "step", nothing)
    result = fit(decay, DECAY, start={"a": 1, "b": 1, "c": 1}, polish=False)
    assert result.rmsprop.parameters == {"a": 1, "b": 1, "c": 1}
    assert not result.converged


def test_rmsprop_alone_comes_close(decay):
    alone = fit(decay, DECAY, start={"a": 1, "b": 1, "c": 1}, polish=False)
    polished = fit(decay, DECAY, start={"a": 1, "b": 1, "c": 1})
    assert alone.polish == "not polished: switched off"
    assert alone.converged
    assert alone.rss == pytest.approx(polished.rss, rel=OPTIMUM)
    assert polished.rmsprop.rss == alone.rss


@pytest.mark.parametrize("schedule", ["constant", "cosine", "linear", "exponential", "step"])
def test_schedules(decay, schedule):
    result = fit(decay, DECAY, start={"a": 1, "b": 1, "c": 0}, schedule=schedule, epochs=600, polish=False)
    assert result.epochs == 600
    assert result.losses[-1] < 0.05 < result.losses[0]
    assert result.settings["schedule"] == schedule


@pytest.mark.parametrize("dialect", ["graves", "tf1", "hinton", "keras"])
def test_dialects_and_axes_reach_the_rule(decay, dialect):
    result = fit(decay, DECAY, dialect=dialect, decay=0.95, momentum=0.5)
    assert result.converged
    assert (result.settings["decay"], result.settings["momentum"]) == (0.95, 0.5)


@pytest.mark.parametrize("scale", ["curvature", "start", "none"])
def test_scales_reach_the_same_optimum(decay, scale):
    assert fit(decay, DECAY, scale=scale).rss == pytest.approx(fit(decay, DECAY).rss, rel=OPTIMUM)


def test_weights(decay):
    from scipy.optimize import curve_fit

    def model(x, a, b, c):
        return a * np.exp(-b * x) + c

    result = fit(decay, DECAY, sigma="s", start={"a": 1, "b": 1, "c": 1})
    wanted, covariance = curve_fit(model, decay["x"], decay["y"], p0=[1, 1, 1], sigma=decay["s"], xtol=1e-12, ftol=1e-12)
    got = list(result.parameters.values())
    assert [p.value for p in got] == pytest.approx(wanted.tolist(), rel=1e-6)
    assert [p.stderr for p in got] == pytest.approx(np.sqrt(np.diag(covariance)).tolist(), rel=1e-4)
    weights = decay["s"] ** -2
    mean = weights @ decay["y"] / weights.sum()
    assert result.r2 == pytest.approx(1 - result.rss / (weights @ (decay["y"] - mean) ** 2))
    with pytest.raises(DataError, match="sigma must be above 0"):
        fit({**decay, "s": decay["s"] - 0.1}, DECAY, sigma="s")


def test_measures_by_hand():
    result = fit(LINE, "y = a*x + b")
    x, y = LINE["x"], LINE["y"]
    a, b = np.polyfit(x, y, 1)
    rss = np.sum((y - a * x - b) ** 2)
    assert result.rss == pytest.approx(rss)
    assert result.rmse == pytest.approx(math.sqrt(rss / 10))
    s = result.statistics
    assert s.reduced_chi_square == pytest.approx(rss / 8)
    assert s.aic == pytest.approx(10 * math.log(rss / 10) + 4)
    assert s.bic == pytest.approx(10 * math.log(rss / 10) + 2 * math.log(10))
    covariance = np.linalg.inv(np.array([[x @ x, x.sum()], [x.sum(), 10]])) * rss / 8
    assert result.parameters["a"].stderr == pytest.approx(math.sqrt(covariance[0, 0]))
    assert s.correlation[0, 1] == pytest.approx(covariance[0, 1] / math.sqrt(covariance[0, 0] * covariance[1, 1]))


@pytest.mark.parametrize("loss", ["mae", "huber"])
def test_robust_losses_shrug_off_outliers(loss):
    x = np.linspace(0, 10, 101)
    y = 2 * x + 1 + 0.05 * np.sin(37 * x)
    y[::10] += 500
    result = fit({"x": x, "y": y}, "y = a*x + b", loss=loss)
    assert result.parameters["a"].value == pytest.approx(2, abs=0.02)
    assert result.parameters["b"].value == pytest.approx(1, abs=0.1)
    assert all(p.stderr is None for p in result.parameters.values())
    assert f"no standard errors: {loss} is not least squares" in str(result)
    assert ("not polished: mae" in str(result)) == (loss == "mae")
    assert abs(fit({"x": x, "y": y}, "y = a*x + b").parameters["b"].value - 1) > 10


def test_huber_takes_a_delta():
    assert "huber's delta is 0.25" in fit(LINE, "y = a*x + b", loss="huber", delta=0.25).notes
    with pytest.raises(UsageError, match="delta must be a number above 0"):
        fit(LINE, "y = a*x + b", loss="huber", delta=-1)


def test_mini_batches_are_seeded_and_polished(decay):
    runs = [fit(decay, DECAY, batch_size=32, seed=seed, epochs=30) for seed in (0, 0, 1)]
    assert runs[0].losses == runs[1].losses != runs[2].losses
    assert runs[0].settings["schedule"] == "cosine"
    assert runs[0].rss == pytest.approx(fit(decay, DECAY).rss, rel=OPTIMUM)
    with pytest.raises(UsageError, match="restarts needs all rows"):
        fit(decay, DECAY, batch_size=32, schedule="restarts")


def test_same_bits_for_every_number_of_threads():
    import rmsprop

    rng = np.random.default_rng(0)
    n = 120_000
    x = rng.uniform(0, 3, n)
    data = {"x": x, "y": 2 * np.exp(-x) + rng.standard_normal(n)}
    before = rmsprop.get_num_threads()
    try:
        results = []
        for threads in (1, 2, 3):
            rmsprop.set_num_threads(threads)
            results.append(fit(data, "y = a*exp(-b*x)", start={"a": 1, "b": 2}, epochs=20))
    finally:
        rmsprop.set_num_threads(before)
    for result in results[1:]:
        assert result.losses == results[0].losses
        assert result.parameters == results[0].parameters


def test_no_standard_error_where_it_means_nothing():
    twins = fit(LINE, "y = a*x + b*x + c")
    assert all(p.stderr is None for p in twins.parameters.values())
    assert "cannot tell the parameters apart" in twins.statistics.no_stderr
    exact = fit({"x": [0.0, 1.0], "y": [1.0, 3.0]}, "y = a*x + b")
    assert "2 rows leave no degree of freedom for 2 parameters" in exact.statistics.no_stderr
    assert exact.parameters["a"].value == pytest.approx(2)
    short = fit({"x": [2.0], "y": [3.0]}, "y = a*x + b")
    assert short.rss == pytest.approx(0, abs=1e-12)
    flat = fit({"x": [1.0, 2.0, 3.0], "y": [5.0, 5.0, 5.0]}, "y = a*x + b")
    assert flat.r2 is None
    json.loads(flat.to_json())


def test_constant_model_and_model_at_its_start():
    result = fit({"y": [1.0, 2.0, 6.0]}, "y = c")
    assert result.parameters["c"].value == pytest.approx(3)
    assert fit({"x": [1.0, 2.0], "y": [2.0, 4.0]}, "y = a*x", start={"a": 2}).parameters["a"].value == 2


def test_left_side_and_several_columns():
    rng = np.random.default_rng(0)
    u, v = rng.uniform(1, 2, (2, 60))
    result = fit({"u": u, "v": v, "y": np.exp(0.3 + 0.7 * u * v)}, "log(y) = a + b*u*v")
    assert [p.value for p in result.parameters.values()] == pytest.approx([0.3, 0.7])
    assert result.predict({"u": [1.0, 2.0], "v": [1.0, 1.5]}) == pytest.approx([1.0, 2.4])
    assert math.isnan(result.predict({"u": [1.0, np.nan], "v": [1.0, 1.5]})[1])
    with pytest.raises(ValueError, match="lacks the columns v"):
        result.predict({"u": [1.0]})


def test_chosen_start_is_said_and_good():
    x = np.linspace(100, 900, 50)
    data = {"x": x, "y": 5000 * np.exp(-x / 250) + 300}
    result = fit(data, "y = a*exp(-x/tau) + c")
    assert result.parameters["tau"].value == pytest.approx(250)
    assert any(note.startswith("no start was given for a, tau, c: chosen") for note in result.notes)
    some = fit(data, "y = a*exp(-x/tau) + c", start={"tau": 100})
    assert some.parameters["tau"].start == 100


@pytest.mark.parametrize(
    ("data", "model", "options", "message"),
    [
        (LINE, "y = a*log(x)", {}, "at the start a=1 the right side is -inf where x = 0 .row 1"),
        (LINE, "log(x) = a*y", {}, "the left side of .* is -inf where x = 0"),
        (LINE, "y = a*sqrt(x - b)", {"start": {"a": 1, "b": 5}}, "nan where x = 0"),
        (LINE, "y = a*x", {"start": {"b": 1}}, "start names 'b'"),
        (LINE, "y = a*x", {"start": {"a": math.nan}}, "start of a must be a finite number, got nan"),
        (LINE, "y = a*x", {"start": {"a": "1"}}, "start of a must be a finite number, got '1'"),
        (LINE, "y = a*x", {"lr": 0}, "lr must be a number above 0, got 0"),
        (LINE, "y = a*x", {"lr": math.inf}, "lr must be"),
        (LINE, "y = a*x", {"decay": 1.5}, "1.5"),
        (LINE, "y = a*x", {"eps": -1.0}, "-1"),
        (LINE, "y = a*x", {"momentum": 1.0}, "momentum"),
        (LINE, "y = a*x", {"dialect": "pytorsh"}, "pytorch"),
        (LINE, "y = a*x", {"epochs": 0}, "epochs must be a whole number of at least 1, got 0"),
        (LINE, "y = a*x", {"epochs": 1.5}, "epochs must be"),
        (LINE, "y = a*x", {"batch_size": 0}, "batch_size must be"),
        (LINE, "y = a*x", {"loss": "l2"}, "loss must be one of mse, mae, huber, got 'l2'"),
        (LINE, "y = a*x", {"schedule": "sine"}, "schedule must be one of"),
        (LINE, "y = a*x", {"scale": "log"}, "scale must be one of"),
        (LINE, "y = a*x", {"missing": "fill"}, "missing must be one of"),
        (LINE, "y = a*x", {"seed": -1}, "seed must be"),
        (LINE, "y = a*x", {"sigma": "s"}, "'s' named by sigma"),
        (None, "y = a*x", {}, "give DATA and MODEL"),
        (LINE, None, {}, "give DATA and MODEL"),
    ],
)
def test_bad_option_is_refused_by_name(data, model, options, message):
    with pytest.raises(UsageError, match=message):
        fit(data, model, **options)


def test_divergence_names_the_epoch_and_the_remedy():
    options = {"start": {"a": 1, "b": 1}, "schedule": "constant", "scale": "none", "lr": 300.0}
    data = {"x": np.linspace(0, 5, 20), "y": 3 * np.exp(np.linspace(0, 5, 20))}
    with pytest.raises(DivergedError, match=r"diverged at epoch \d+: .* lower lr \(now 300\), or give a start"):
        fit(data, "y = a*exp(b*x)", polish=False, **options)
    polished = fit(data, "y = a*exp(b*x)", **options)
    assert polished.parameters["b"].value == pytest.approx(1)
    assert any("diverged at epoch" in note for note in polished.notes)


def test_interrupt_keeps_the_best_so_far(decay):
    def stop(epoch, epochs, loss):
        if epoch >= 100:
            raise KeyboardInterrupt

    result = fit(decay, DECAY, start={"a": 1, "b": 1, "c": 1}, progress=stop)
    assert result.interrupted
    assert not result.converged
    assert 95 <= result.epochs <= 105
    assert result.rss / 400 == pytest.approx(min(result.losses))
    assert "best parameters so far" in str(result)


def test_interrupt_within_a_sample_leaves_a_run_that_can_be_drawn(decay, monkeypatch):
    taken = iter(range(20))
    effective = train._Walk.effective

    def stop(walk):
        if next(taken, None) is None:
            raise KeyboardInterrupt
        return effective(walk)

    monkeypatch.setattr(train._Walk, "effective", stop)
    result = fit(decay, DECAY, start={"a": 1, "b": 1, "c": 1})
    assert result.interrupted
    assert draw(result, "png").startswith(b"\x89PNG")


def test_interrupted_polishing_keeps_the_run(decay, monkeypatch):
    def stop(*arguments, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr(solve, "best_polish", stop)
    result = fit(decay, DECAY, start={"a": 1, "b": 1, "c": 1})
    assert result.interrupted
    assert result.rss == result.rmsprop.rss


def test_json_has_the_promised_fields(decay):
    result = fit(decay, DECAY)
    got = json.loads(result.to_json())
    assert set(got) >= {"parameters", "rss", "r2", "rmse", "epochs", "converged", "rmsprop", "seconds", "n", "model", "notes"}
    assert set(got["parameters"]) == {"a", "b", "c"}
    for name, p in got["parameters"].items():
        assert set(p) == {"value", "stderr", "start"}
        # A float's repr is exact, so that the file holds the very numbers.
        assert struct.pack("d", p["value"]) == struct.pack("d", result.parameters[name].value)
    assert set(got["rmsprop"]) == {"parameters", "rss"}
    assert got["converged"] is True


def test_report(decay):
    text = str(fit(decay, DECAY, start={"a": 1, "b": 1, "c": 1}))
    for part in ("400 rows", "RMSprop", "alone", "polished", "converged    yes", "(start = 1)", "±", "%", "RSS", "R²", "RMSE"):
        assert part in text
    for part in ("reduced χ²", "AIC", "BIC", "condition number", "[[Correlations]]", "a, b"):
        assert part in text


HARD = [
    # A start from which Levenberg-Marquardt and RMSprop run off to infinity: both sides of the fraction grow together.
    (
        "y = (b1 + b2*x + b3*x**2) / (1 + b4*x + b5*x**2)",
        np.linspace(10, 140, 70),
        {"b1": 1.6, "b2": -0.008, "b3": 2e-5, "b4": -0.006, "b5": 1e-5},
        {"b1": 10, "b2": -1, "b3": 0.05, "b4": -1e-5, "b5": -0.05},
        0.01,
    ),
    (
        "y = a1/(1 + ((x - m1)/w1)**2) + a2/(1 + ((x - m2)/w2)**2) + c",
        np.linspace(0, 100, 300),
        {"a1": 50, "m1": 35, "w1": 4, "a2": 20, "m2": 48, "w2": 7, "c": 5},
        {"a1": 500, "m1": 35, "w1": 40, "a2": 200, "m2": 48, "w2": 70, "c": 50},
        1.0,
    ),
    (
        "y = b1*exp(b2/(x + b3))",
        np.linspace(50, 125, 16),
        {"b1": 0.0056, "b2": 6180, "b3": 345},
        {"b1": 2, "b2": 400_000, "b3": 25_000},
        30.0,
    ),
    (
        "y = b1*(b2 + x)**(-1/b3)",
        np.linspace(8, 3000, 150),
        {"b1": -2500, "b2": 46, "b3": 0.93},
        {"b1": -1, "b2": 100, "b3": 1},
        0.05,
    ),
]


@pytest.mark.parametrize(("model", "x", "truth", "start", "noise"), HARD)
def test_starts_far_off_end_where_the_truth_does(model, x, truth, start, noise):
    compiled = Model(model, ["x", "y"])
    theta = np.array([float(truth[name]) for name in compiled.parameters])
    y = Evaluator(compiled, {"x": x, "y": np.zeros_like(x)}).predictions(theta)
    y = y + noise * np.random.default_rng(1).standard_normal(len(x))
    far, near = fit({"x": x, "y": y}, model, start=start), fit({"x": x, "y": y}, model, start=truth)
    assert near.converged
    assert far.converged
    assert far.rss == pytest.approx(near.rss, rel=OPTIMUM)


@pytest.mark.parametrize("suffix", ["png", "svg", "pdf"])
def test_picture(decay, tmp_path, suffix):
    fit(decay, DECAY, epochs=10).plot(tmp_path / f"fit.{suffix}")
    magic = {"png": b"\x89PNG", "svg": b"<?xml", "pdf": b"%PDF"}[suffix]
    assert (tmp_path / f"fit.{suffix}").read_bytes().startswith(magic)
    assert [path.name for path in tmp_path.iterdir()] == [f"fit.{suffix}"]
    with pytest.raises(UsageError, match=r"must be .png"):
        fit(decay, DECAY, epochs=10).plot(tmp_path / "fit.bmp")


def test_result_is_a_fit_result(decay):
    assert isinstance(fit(decay, DECAY, epochs=5), FitResult)
    with pytest.raises(DataError):
        fit("nothing.csv", DECAY)
