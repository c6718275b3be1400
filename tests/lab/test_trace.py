"""Trajectories: each run is itself, whoever runs beside it; noise, schedules and divergence come through."""

import warnings
from dataclasses import replace

import numpy as np
import pytest

from rmsprop.lab import Setup, trace
from rmsprop.lab.answers import to_json
from rmsprop.lab.landing import landing
from rmsprop.lab.presets import setups
from rmsprop.lab.surface import GRID, surface
from rmsprop.lab.trace import _RUNS, _SETUPS, labels, trajectories
from rmsprop.race.landscapes import landscape, landscape_names
from rmsprop.race.rivals import Adagrad
from rmsprop.schedules import schedule, schedule_names
from tests.lab.harness import DATA

RUNS = [
    {"optimizer": "rmsprop", "lr": 0.02},
    {"optimizer": "rmsprop", "dialect": "graves", "lr": 0.01, "nesterov": True},
    {"optimizer": "adagrad", "lr": 0.5},
    {"optimizer": "adam", "lr": 0.1},
    {"optimizer": "adadelta"},
]
LANDS = [{"kind": "named", "name": name} for name in landscape_names()]
LANDS += [{"kind": "formula", "text": "sin(3*u)*exp(-v**2) + u**2/5 + v**4"}, DATA]


def forget():
    for cache in (_SETUPS, _RUNS):
        cache._known.clear()


def runs_of(told):
    setup = Setup.from_json(told)
    return trajectories(setup, landing(setup.land, setup.start).problem)


@pytest.mark.parametrize("land", LANDS, ids=lambda land: land.get("name", land["kind"]))
def test_a_run_has_the_same_bits_alone_and_beside_others(land):
    told = {"land": land, "steps": 40, "noise": "multiplicative=0.3", "schedule": "linear", "seed": 5}
    forget()
    together = runs_of(told | {"runs": RUNS})
    for run, one in zip(RUNS, together, strict=True):
        forget()
        (alone,) = runs_of(told | {"runs": [run]})
        for name in ("p", "loss", "g", "lrs"):
            np.testing.assert_array_equal(getattr(alone, name), getattr(one, name), err_msg=name)
        assert alone.state.keys() == one.state.keys()
        for name, array in alone.state.items():
            np.testing.assert_array_equal(array, one.state[name], err_msg=name)


def test_what_is_known_already_is_not_run_again(monkeypatch):
    forget()
    first = runs_of({"runs": RUNS, "steps": 30})
    moved = [RUNS[0] | {"lr": 0.03}, *RUNS[1:]]
    played = []
    inner = trajectories.__globals__["_played"]
    monkeypatch.setitem(trajectories.__globals__, "_played", lambda setup, *rest: played.append(setup.runs) or inner(setup, *rest))
    second = runs_of({"runs": moved, "steps": 30})
    assert [len(runs) for runs in played] == [1]
    assert [a is b for a, b in zip(first, second, strict=True)] == [False, True, True, True, True]
    runs_of({"runs": moved, "steps": 30})
    assert len(played) == 1


@pytest.mark.parametrize("land", LANDS[:-2], ids=lambda land: land["name"])
def test_losses_and_gradients_are_the_landscapes(land):
    (one, *_) = runs_of({"land": land, "runs": RUNS, "steps": 25})
    loss, g = landscape(land["name"])(one.p)
    np.testing.assert_array_equal(one.loss, loss)
    np.testing.assert_array_equal(one.g, g[:-1])


def test_all_runs_of_a_seed_meet_the_same_noise_and_another_seed_another():
    noise = {}
    for seed in (0, 1):
        found = runs_of({"runs": RUNS, "steps": 300, "noise": "gaussian=0.5", "seed": seed})
        noise[seed] = [one.g - landscape("ravine")(one.p[:-1])[1] for one in found]
        for other in noise[seed][1:]:
            np.testing.assert_allclose(other, noise[seed][0], atol=1e-10)
    assert np.abs(noise[0][0] - noise[1][0]).min() > 0


@pytest.mark.parametrize("name", schedule_names())
def test_learning_rates_follow_the_schedule(name):
    (one,) = runs_of({"runs": [{"optimizer": "sgd", "lr": 0.004}], "steps": 50, "schedule": name})
    wanted = [schedule(name, 0.004, 50)(t) for t in range(50)]
    np.testing.assert_array_equal(one.lrs, wanted)
    np.testing.assert_allclose(one.p[:-1] - one.p[1:], one.lrs[:, None] * one.g, atol=1e-15)


@pytest.mark.parametrize("name", ["rosenbrock", "beale", "himmelblau", "monkey-saddle"])
def test_a_run_that_leaves_the_finite_numbers_gives_nulls_and_no_warning(name):
    runs = [
        {"optimizer": "sgd", "lr": 1e6},
        {"optimizer": "rmsprop", "lr": 1e200, "centered": True},
        {"optimizer": "momentum", "lr": 1e300},
    ]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        traced = trace(Setup.from_json({"land": {"kind": "named", "name": name}, "runs": runs, "steps": 60}))
        text = to_json(traced)
    assert b"NaN" not in text
    assert b"Infinity" not in text
    assert b"null" in text
    assert all(0 < run["diverged_at"] <= 60 for run in traced["runs"])
    assert all(run["arrived_at"] is None for run in traced["runs"])


def test_the_step_of_divergence_is_the_first_that_is_never_made_good():
    (one,) = runs_of({"land": {"kind": "named", "name": "rosenbrock"}, "runs": [{"optimizer": "sgd", "lr": 1e-2}], "steps": 50})
    at = one.diverged_at
    assert np.isfinite(one.loss[at - 1])
    assert one.loss[at - 1] <= 10 * one.loss[0]
    assert not (one.loss[at:] <= 9 * one.loss[0]).any()


def test_arrival_is_the_step_from_which_the_loss_stays_at_the_target():
    setup = {"land": {"kind": "named", "name": "quadratic"}, "runs": [{"optimizer": "sgd", "lr": 0.1}], "steps": 300}
    (one,) = runs_of(setup)
    target = landscape("quadratic").target
    assert (one.loss[one.arrived_at :] <= target).all()
    assert one.loss[one.arrived_at - 1] > target


def test_adagrads_sum_grows_beside_rmsprops_average_over_the_same_gradients():
    traced = trace(Setup.from_json({"runs": [RUNS[3], RUNS[0]], "steps": 80}))
    memory, run = traced["memory"], traced["runs"][1]
    np.testing.assert_array_equal(memory["average"], run["state"]["v"])
    state = {"s": np.zeros(2)}
    for t, g in enumerate(memory["gradient"].T, 1):
        _, state = Adagrad().step(np.zeros(2), g, state, 0.1, t)
        np.testing.assert_array_equal(memory["sum"][:, t], state["s"])
    assert (np.diff(memory["sum"]) >= 0).all()
    assert (np.diff(memory["average"]) < 0).any()


def test_where_the_variance_is_kept_the_average_is_that_of_the_squares_all_the_same():
    plain, centered = (
        trace(
            Setup.from_json({"runs": [{"optimizer": "rmsprop", "lr": 0.0, "centered": centered}], "noise": "gaussian", "steps": 50})
        )
        for centered in (False, True)
    )
    assert (centered["runs"][0]["state"]["v"][:, 1:] < plain["runs"][0]["state"]["v"][:, 1:]).all()
    np.testing.assert_allclose(centered["memory"]["average"], plain["memory"]["average"], rtol=1e-12)


def test_without_rmsprop_there_is_no_memory_to_compare():
    assert trace(Setup.from_json({"runs": [{"optimizer": "adam"}], "steps": 2}))["memory"] is None


def test_a_start_of_ones_own_is_where_all_runs_begin_and_is_in_the_window():
    traced = trace(Setup.from_json({"start": [9.0, -7.0], "runs": RUNS, "steps": 3}))
    for run in traced["runs"]:
        assert run["p"][:, 0].tolist() == [9.0, -7.0]
    left, right, bottom, top = traced["window"]
    assert left < 9 < right
    assert bottom < -7 < top


def test_data_has_its_points_and_a_curve_for_each_moment_of_each_run():
    traced = trace(Setup.from_json({"land": DATA, "runs": RUNS[:2], "steps": 200}))
    data = traced["data"]
    assert (data["x"], data["y"], data["held"]) == ("x", "y", {})
    assert data["points"].shape == (2, 20)
    moments = data["moments"].tolist()
    assert moments[0] == 0
    assert moments[-1] == 200
    for run, curves in zip(traced["runs"], data["curves"], strict=True):
        assert len(curves) == len(moments)
        for moment, curve in zip(moments, curves, strict=True):
            a, b = run["p"][:, moment]
            np.testing.assert_allclose(curve, a * data["grid"] + b, rtol=1e-12)


def test_a_model_of_several_columns_is_shown_row_by_row():
    csv = "u,v,w\n" + "".join(f"{k},{k * k % 7},{2 * k + 3 * (k * k % 7) + 1}\n" for k in range(12))
    land = {"kind": "data", "csv": csv, "model": "w = a*u + b*v + c", "over": ["b", "a"]}
    traced = trace(Setup.from_json({"land": land, "steps": 5}))
    data = traced["data"]
    assert traced["names"] == ("b", "a")
    assert data["x"] == "row"
    assert data["grid"].tolist() == list(range(1, 13))
    assert data["held"] == pytest.approx({"c": 1.0}, abs=1e-9)
    b, a = traced["runs"][0]["p"][:, 0]
    u = np.arange(12)
    np.testing.assert_allclose(data["curves"][0][0], a * u + b * (u * u % 7) + data["held"]["c"], rtol=1e-9)


def test_the_surface_is_the_landscape_on_a_grid():
    told = surface({"land": {"kind": "named", "name": "rosenbrock"}, "window": [-1, 1, 0, 2]})
    assert (told["x"][0], told["x"][-1], told["y"][0], told["y"][-1]) == (-1, 1, 0, 2)
    assert told["loss"].shape == told["z"].shape == (GRID, GRID)
    k, j = 17, 93
    assert told["loss"][j, k] == landscape("rosenbrock").loss(np.array([told["x"][k], told["y"][j]]))
    assert told["z"].min() >= 0
    assert np.unravel_index(told["z"].argmax(), told["z"].shape) == np.unravel_index(told["loss"].argmax(), told["loss"].shape)


def test_runs_of_one_name_are_told_apart():
    setup = Setup.from_json({"runs": [RUNS[0], RUNS[0], RUNS[0] | {"decay": 0.5}, RUNS[1], RUNS[3]], "steps": 1})
    traced = trace(setup)["runs"]
    assert [run["label"] for run in traced] == [
        "rmsprop, β 0.9", "rmsprop, β 0.9 (2)", "rmsprop, β 0.5", "rmsprop graves", "adam",
    ]  # fmt: skip
    assert len({(run["look"]["symbol"], run["look"]["dash"]) for run in traced}) == 5
    assert trace(replace(setup, runs=setup.runs[:1]))["runs"][0]["label"] == "rmsprop"


@pytest.mark.parametrize(
    ("preset", "names"),
    [
        ("momentum", ["rmsprop", "rmsprop, μ 0.9", "rmsprop, μ 0.9, nesterov"]),
        ("decay", ["rmsprop, β 0", "rmsprop, β 0.9", "rmsprop, β 0.99"]),
        ("eps-place", ["rmsprop", "rmsprop, ε inside"]),
        ("tf-pytorch", ["rmsprop pytorch", "rmsprop tf1, v₀ 1", "rmsprop tf1, v₀ 0"]),
        ("weight-decay", ["rmsprop", "rmsprop, λ 0.1", "rmsprop, λ 0.1, decoupled lr"]),
        ("first-step", ["rmsprop, β 0.9", "rmsprop, β 0.99", "rmsprop, β 0.999", "rmsprop, β 0.999, bias correction"]),
    ],
)
def test_what_is_off_is_not_named(preset, names):
    assert labels(setups()[preset].runs) == names


def test_adam_s_letters_are_its_own():
    runs = [{"optimizer": "adam", "momentum": 0.5}, {"optimizer": "adam", "decay": 0.9}]
    assert labels(Setup.from_json({"runs": runs}).runs) == ["adam, β₁ 0.5, β₂ 0.999", "adam, β₁ 0.9, β₂ 0.9"]
