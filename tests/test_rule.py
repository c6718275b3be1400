"""Rule: what it refuses, what it derives; update: bound to each backend."""

import dataclasses
import math
import pickle

import mpmath
import numba
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import rmsprop
from rmsprop import Rule
from rmsprop.rule import AXES, bind


@pytest.mark.parametrize(
    ("axes", "error", "words"),
    [
        ({"decay": 1.5}, ValueError, ["decay", "[0, 1)", "1.5", "weighs the new gradient"]),
        ({"decay": 1.0}, ValueError, ["decay", "[0, 1)"]),
        ({"decay": -0.1}, ValueError, ["decay", "-0.1"]),
        ({"decay": math.nan}, ValueError, ["decay", "nan"]),
        ({"decay": "0.9"}, TypeError, ["decay", "number", "'0.9'"]),
        ({"decay": True}, TypeError, ["decay", "True"]),
        ({"decay": None}, TypeError, ["decay", "None"]),
        ({"eps": 0.0}, ValueError, ["eps", "greater than 0", "1e-8"]),
        ({"eps": -1e-8}, ValueError, ["eps", "-1e-08"]),
        ({"eps": math.inf}, ValueError, ["eps", "inf"]),
        ({"eps_place": "under"}, ValueError, ["eps_place", "'outside', 'inside'", "'under'"]),
        ({"square_init": -1.0}, ValueError, ["square_init", "-1.0"]),
        ({"momentum": 1.0}, ValueError, ["momentum", "[0, 1)"]),
        ({"momentum": math.inf}, ValueError, ["momentum", "inf"]),
        ({"weight_decay": -0.1}, ValueError, ["weight_decay", "-0.1"]),
        ({"weight_decay_form": "l2"}, ValueError, ["weight_decay_form", "'coupled', 'decoupled', 'decoupled_lr'"]),
        ({"centered": 1}, TypeError, ["centered", "True or False", "1"]),
        ({"centered_form": "mean"}, ValueError, ["centered_form", "'variance', 'difference'"]),
        ({"complex_form": "abs"}, ValueError, ["complex_form", "'parts', 'modulus'"]),
        ({"nesterov": True}, ValueError, ["nesterov", "momentum > 0"]),
        ({"bias_correction": True, "square_init": 1.0}, ValueError, ["bias_correction", "square_init=0", "1.0"]),
        ({"lr": math.inf}, ValueError, ["lr", "inf"]),
        ({"lr": -1}, ValueError, ["lr", "-1", "maximize"]),
        ({"lr": 1j}, TypeError, ["lr", "1j"]),
    ],
)
def test_refusals_name_value_range_and_remedy(axes, error, words):
    with pytest.raises(error) as caught:
        Rule(**axes)
    for word in words:
        assert word in str(caught.value)


def test_unknown_axis_is_answered_with_the_axes():
    with pytest.raises(TypeError, match=r"unknown axis 'alpha'; a rule has decay, eps, .*complex_form"):
        Rule().replace(alpha=0.9)


def test_rule_is_a_frozen_value():
    rule = Rule(decay=0.5)
    with pytest.raises(dataclasses.FrozenInstanceError):
        rule.decay = 0.9
    assert rule == Rule(decay=0.5, name="other", source="elsewhere")
    assert hash(rule) == hash(Rule(decay=0.5))
    assert rule != rule.replace(eps=1e-6)
    assert pickle.loads(pickle.dumps(rule)) == rule
    assert isinstance(Rule(decay=np.float32(0.5)).decay, float)


def test_axes_are_those_promised():
    assert AXES == (
        "decay",
        "eps",
        "eps_place",
        "square_init",
        "centered",
        "centered_form",
        "momentum",
        "nesterov",
        "lr_in_momentum",
        "bias_correction",
        "weight_decay",
        "weight_decay_form",
        "maximize",
        "complex_form",
    )


@pytest.mark.parametrize(
    ("axes", "slots"),
    [
        ({}, [("v", "square_avg", 0.0)]),
        ({"square_init": 1.0}, [("v", "square_avg", 1.0)]),
        ({"momentum": 0.9}, [("v", "square_avg", 0.0), ("b", "momentum_buffer", 0.0)]),
        ({"centered": True}, [("v", "variance", 0.0), ("m", "grad_avg", 0.0)]),
        ({"centered": True, "centered_form": "difference"}, [("v", "square_avg", 0.0), ("m", "grad_avg", 0.0)]),
        ({"centered_form": "difference"}, [("v", "square_avg", 0.0)]),
    ],
)
def test_slots_follow_from_the_axes(axes, slots):
    assert [slot[:3] for slot in Rule(**axes).slots] == slots


@given(
    decay=st.floats(0, 0.999999),
    g=st.floats(-1e6, 1e6),
    v=st.floats(0, 1e12),
    m=st.floats(-1e3, 1e3),
    p=st.floats(-1e3, 1e3),
    place=st.sampled_from(["outside", "inside"]),
    centered=st.booleans(),
)
def test_update_agrees_between_floats_numba_and_60_digits(decay, g, v, m, p, place, centered):
    rule = Rule(decay=decay, eps_place=place, centered=centered, eps=1e-6)
    scalars = rule.scalars(0.01, 1)
    plain = bind(rule, sqrt=math.sqrt)(p, g, v, m, 0.0, *scalars)
    assert _compiled(rule)(p, g, v, m, 0.0, *scalars) == plain
    with mpmath.workdps(60):
        exact = bind(rule, sqrt=mpmath.sqrt)(*map(mpmath.mpf, (p, g, v, m, 0.0)), *map(mpmath.mpf, scalars))
    assert plain[1] == pytest.approx(float(exact[1]), rel=1e-13, abs=1e-300)
    assert plain[0] == pytest.approx(float(exact[0]), rel=1e-13, abs=1e-13)


_KERNELS = {}


def _compiled(rule):
    key = tuple(rule.switches.values())
    if key not in _KERNELS:
        flush = numba.njit(lambda z: z)
        _KERNELS[key] = bind(rule, sqrt=math.sqrt, flush=flush, compile=numba.njit)
    return _KERNELS[key]


@given(st.lists(st.floats(-1e3, 1e3), min_size=1, max_size=50), st.floats(0, 0.999))
def test_the_variance_recurrence_is_v_minus_m_squared(gradients, decay):
    """In exact arithmetic; and in any, it never turns negative."""
    variance, difference = (Rule(decay=decay, centered=True, centered_form=form) for form in ("variance", "difference"))
    with mpmath.workdps(80):
        steps = [bind(rule, sqrt=mpmath.sqrt) for rule in (variance, difference)]
        states = [(mpmath.mpf(1), mpmath.mpf(0), mpmath.mpf(0), mpmath.mpf(0))] * 2
        for t, g in enumerate(gradients, 1):
            states = [
                step(state[0], mpmath.mpf(g), *state[1:], *map(mpmath.mpf, rule.scalars(0.1, t)))
                for step, state, rule in zip(steps, states, (variance, difference), strict=True)
            ]
        (_, s, m, _), (_, v, other_m, _) = states
        assert m == other_m
        assert s >= 0
        # 1 - decay is rounded to double, so that the two weights do not add up to exactly 1.
        assert abs(s - (v - m * m)) <= mpmath.mpf(2) ** -50 * (v + 1)


@given(st.floats(0.01, 0.999), st.integers(1, 10_000), st.floats(0, 10))
def test_scalars_keep_what_rounding_would_lose(decay, step, lr):
    scalars = Rule(decay=decay, bias_correction=True).scalars(lr, step)
    assert scalars.fresh == 1 - decay
    assert 0 <= scalars.carried <= 1
    assert scalars.unbias >= 1
    assert math.isfinite(scalars.unbias)
    assert scalars.inner * scalars.outer == lr


def test_lr_stands_inside_or_outside_the_buffer():
    inside = Rule(momentum=0.9).scalars(0.5, 1)
    outside = Rule(momentum=0.9, lr_in_momentum=False).scalars(0.5, 1)
    assert (inside.inner, inside.outer) == (0.5, 1.0)
    assert (outside.inner, outside.outer) == (1.0, 0.5)
    assert Rule(lr_in_momentum=False).scalars(0.5, 1).inner == 0.5


def test_dialects_are_complete():
    names = "article hinton graves pytorch tf1 keras-legacy keras optax jax-example timm sb3 bitsandbytes paddle mxnet mindspore"
    names += " chainer mlx burn optimisers-jl dqn a3c"
    assert set(names.split()) <= set(rmsprop.dialect_names())
    for name in rmsprop.dialect_names():
        rule = rmsprop.dialect(name)
        assert rule.name == name
        assert rule.source
    article = rmsprop.dialect("article")
    assert (article.lr, article.decay, article.eps, article.eps_place) == (0.01, 0.9, 1e-8, "outside")


@pytest.mark.parametrize(
    ("asked", "near"), [("torch", "pytorch"), ("Keras", "keras"), ("tf", "tf1"), ("adam", "choose from article")]
)
def test_unknown_dialect_is_answered_with_the_nearest(asked, near):
    with pytest.raises(ValueError, match=f"unknown dialect {asked!r}.*{near}"):
        rmsprop.dialect(asked)


def test_dialect_takes_a_rule_and_axes():
    rule = Rule(decay=0.5)
    assert rmsprop.dialect(rule) is rule
    assert rmsprop.dialect(rule, decay=0.6).decay == 0.6
    with pytest.raises(TypeError, match="name or a Rule"):
        rmsprop.dialect(3)


def test_axes_that_move_together_in_the_upstream():
    assert rmsprop.dialect("keras-legacy").eps_place == "outside"
    assert rmsprop.dialect("keras-legacy", momentum=0.9).eps_place == "inside"
    assert rmsprop.dialect("keras-legacy", momentum=0.9, eps_place="outside").eps_place == "outside"
    assert rmsprop.dialect("mxnet", centered=True).momentum == 0.9
    assert rmsprop.dialect(rmsprop.dialect("keras-legacy"), momentum=0.9).eps_place == "inside"
