"""State carried from rule to rule: what is exact, what is rounded once, and what is refused."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

import rmsprop
from rmsprop.checkpoint import ConversionError, State, UsageError, capture
from rmsprop.checkpoint.kinds import KINDS, Told, expressed, kind_of
from rmsprop.checkpoint.moving import carried, moved
from rmsprop.rule import AXES
from tests.cases import RULES, ulps
from tests.checkpoint.harness import assert_same, trained
from tests.tolerances import TOLERANCES

OURS = [name for name in KINDS if name.startswith("rmsprop")]
UPSTREAM = [name for name in KINDS if name not in OURS]


def state_of(rule: rmsprop.Rule, dtype: str = "float32", steps: int = 6, lr: float = 0.01) -> State:
    return capture(trained(rule, dtype, steps, lr), allow_nan=True)


def distance(got: np.ndarray, wanted: np.ndarray, scale: np.ndarray) -> float:
    return ulps(*(np.atleast_1d(array) for array in (got, wanted, scale)))


@pytest.mark.parametrize("kind", OURS)
@pytest.mark.parametrize("name", RULES)
def test_ours_take_every_rule_as_it_is(name: str, kind: str) -> None:
    state = state_of(RULES[name])
    assert_same(moved(state, KINDS[kind]), state)


@pytest.mark.parametrize("dtype", ["float32", "float64", "complex64"])
@pytest.mark.parametrize("inside", [True, False])
def test_the_learning_rate_comes_into_the_buffer_and_out_of_it(dtype: str, inside: bool) -> None:
    # At a constant learning rate both rules take the same steps, so that each tells what the other's buffer must be.
    here, there = (rmsprop.Rule(momentum=0.9, centered=True, lr_in_momentum=way) for way in (inside, not inside))
    source, wanted = state_of(here, dtype, lr=0.037), state_of(there, dtype, lr=0.037)
    found = carried(source.groups[0], there)
    assert found.rule == there
    for p, q in zip(found.parameters, wanted.groups[0].parameters, strict=True):
        b = q.slots["momentum_buffer"]
        assert distance(p.slots["momentum_buffer"], b, b) <= TOLERANCES["moved"].state
        for slot in ("variance", "grad_avg"):
            assert (p.slots[slot] == q.slots[slot]).all()


@pytest.mark.parametrize("bias_correction", [False, True])
def test_a_variance_becomes_a_mean_of_squares_and_the_other_way_round(bias_correction: bool) -> None:
    forms = ("variance", "difference")
    rules = {form: rmsprop.Rule(centered=True, bias_correction=bias_correction, centered_form=form) for form in forms}
    states = {form: state_of(rule, "float64").groups[0] for form, rule in rules.items()}
    for here, there in (forms, forms[::-1]):
        slot = rules[there].slots[0].name
        found, wanted = carried(states[here], rules[there]).parameters, states[there].parameters
        for p, q, scale in zip(found, wanted, states["difference"].parameters, strict=True):
            far = distance(p.slots[slot], q.slots[slot], scale.slots["square_avg"])
            assert far <= TOLERANCES["moved"].state


def test_a_variance_that_rounding_made_negative_is_0() -> None:
    state = state_of(rmsprop.Rule(centered=True, centered_form="difference"))
    one = state.groups[0].parameters[0]
    m = one.slots["grad_avg"]
    below = {"square_avg": np.nextafter(m * m, np.float32(0)), "grad_avg": m}
    group = replace(state.groups[0], parameters=(replace(one, slots=below),))
    found = carried(group, rmsprop.Rule(centered=True)).parameters[0].slots["variance"]
    assert (found == 0).all()


def test_the_average_of_the_parameters_goes_along() -> None:
    state = state_of(rmsprop.Rule(momentum=0.9))
    one = state.groups[0].parameters[0]
    group = replace(state.groups[0], parameters=(replace(one, slots={**one.slots, "ema": np.ones((3, 4), np.float32)}),))
    assert (carried(group, rmsprop.Rule(momentum=0.9, lr_in_momentum=False)).parameters[0].slots["ema"] == 1).all()


REFUSED: dict[str, tuple[dict[str, Any], str, str]] = {
    "eps inside": ({"dialect": "tf1"}, "pytorch", r"eps_place='outside'.*√\(v \+ eps\).*use 'rmsprop.torch'"),
    "eps outside": ({"dialect": "pytorch"}, "keras", r"eps_place='inside'.*use 'rmsprop.keras'"),
    "nesterov": ({"momentum": 0.9, "nesterov": True}, "pytorch", "nesterov=False and no option"),
    "momentum": ({"momentum": 0.9}, "bitsandbytes", "momentum=0.0 and no option"),
    "centered": ({"centered": True}, "bitsandbytes", "centered=False and no option"),
    "bias correction": ({"bias_correction": True}, "pytorch", "bias_correction=False and no option"),
    "decoupled": (
        {"weight_decay": 0.1, "weight_decay_form": "decoupled_lr"},
        "pytorch",
        "weight_decay_form='coupled' and no option",
    ),
    "coupled": ({"dialect": "tf1", "weight_decay": 0.1}, "keras", "weight_decay_form='decoupled_lr' and no option"),
    "decay off": (
        {"weight_decay": 0.1, "weight_decay_form": "decoupled", "dialect": "timm"},
        "timm",
        "weight_decay_form='coupled'",
    ),
    "weight decay": ({"dialect": "keras", "weight_decay": 0.1}, "tf1", r"weight_decay=0\.0 and no option"),
    "maximize": ({"dialect": "keras", "maximize": True}, "keras", "maximize=False"),
    "legacy keras with momentum": ({"dialect": "pytorch", "momentum": 0.9}, "keras-legacy", "eps_place='inside'"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_has_no_equal_there_is_refused(name: str) -> None:
    axes, kind, message = REFUSED[name]
    state = state_of(rmsprop.dialect(axes.get("dialect", "article"), **{k: v for k, v in axes.items() if k != "dialect"}))
    with pytest.raises(ConversionError, match=message):
        moved(state, KINDS[kind])


def test_complex_parts_and_modulus_are_refused_and_real_ones_are_not() -> None:
    rule = rmsprop.dialect("keras", momentum=0.9)  # takes complex numbers in parts; optax takes the modulus
    with pytest.raises(ConversionError, match=r"complex_form='modulus'.*do not give each other"):
        moved(state_of(rule, "complex64"), KINDS["optax"])
    assert moved(state_of(rule), KINDS["optax"]).names


def test_a_first_value_of_v_is_state_once_a_step_was_taken() -> None:
    begun, fresh = (state_of(rmsprop.dialect("tf1"), steps=n) for n in (1, 0))
    assert moved(begun, KINDS["keras"]).groups[0].rule.square_init == 1
    with pytest.raises(ConversionError, match=r"square_init=0\.0.*v before the first step"):
        moved(fresh, KINDS["keras"])


@pytest.mark.parametrize(("lr", "message"), [(0.0, "cannot move at lr = 0"), (None, "none is known; pass lr")])
def test_a_buffer_needs_a_learning_rate_to_be_scaled_by(lr: float | None, message: str) -> None:
    state = state_of(rmsprop.dialect("pytorch", momentum=0.9))
    state = state.replace(groups=(replace(state.groups[0], lr=lr),))
    with pytest.raises(ConversionError, match=message):
        carried(state.groups[0], rmsprop.dialect("pytorch", momentum=0.9, lr_in_momentum=True))


def test_a_buffer_that_overflows_is_refused() -> None:
    state = state_of(rmsprop.dialect("article", momentum=0.9))
    group = replace(state.groups[0], lr=1e-42)
    with pytest.raises(ConversionError, match="overflows float32"):
        carried(group, rmsprop.dialect("article", momentum=0.9, lr_in_momentum=False))


@pytest.mark.parametrize("kind", UPSTREAM)
@pytest.mark.parametrize("name", RULES)
def test_an_upstream_gets_only_what_it_can_say(name: str, kind: str) -> None:
    rule, there = RULES[name], KINDS[kind]
    try:
        told = expressed(rule, there, complex=False, begun=True)
    except ConversionError:
        return
    # The upstream, told the axes that it has options for, is the rule that goes on, but for what makes no difference.
    theirs = rmsprop.dialect(there.dialect, **{axis: getattr(told, axis) for axis in there.said})
    differ = {axis for axis in AXES if getattr(told, axis) != getattr(theirs, axis)}
    idle = {"square_init", "complex_form"} | ({"lr_in_momentum"} if not rule.momentum else set())
    idle |= ({"weight_decay_form"} if not rule.weight_decay else set()) | ({"centered_form"} if not rule.centered else set())
    assert differ <= idle
    changed = {axis for axis in AXES if getattr(told, axis) != getattr(rule, axis)}
    assert changed <= {"lr_in_momentum", "centered_form"}
    assert not told.centered or told.centered_form == "difference"


@pytest.mark.parametrize("name", [name for name in UPSTREAM if "centered" in KINDS[name].said])
def test_a_centered_upstream_keeps_the_mean_of_squares(name: str) -> None:
    kind = KINDS[name]
    rule = Told(axes={"centered": True}).rule(kind)
    assert rule.centered_form == "difference"
    for form in ("variance", "difference"):
        assert expressed(rule.replace(centered_form=form), kind, complex=False, begun=True) == rule


def test_an_upstream_takes_its_own_dialect() -> None:
    for kind in KINDS.values():
        rule = rmsprop.dialect(kind.dialect)
        assert expressed(rule, kind, complex=True, begun=False) == rule


def test_an_unknown_kind_is_refused_with_the_nearest() -> None:
    with pytest.raises(UsageError, match="did you mean 'pytorch'"):
        kind_of("pytroch")
    with pytest.raises(UsageError, match="choose from rmsprop, "):
        kind_of("xyz")


def test_what_was_not_said_is_asked_for() -> None:
    kind = KINDS["tf1"]
    with pytest.raises(UsageError, match=r"holds no learning rate.*--lr 0\.01"):
        Told().rate(kind)
    with pytest.raises(UsageError, match="does not count its steps"):
        Told().count(kind)
    with pytest.raises(UsageError, match="decay must be in"):
        Told(axes={"decay": 2}).rule(kind)
    with pytest.raises(UsageError, match="holds decay itself"):
        Told(axes={"decay": 0.5}).refuse_rule("the file")
    with pytest.raises(UsageError, match="holds step itself"):
        Told(step=3).refuse("the file", "decay", "step")
    Told(lr=0.1, axes={"eps": 1e-3}).refuse("the file", "decay", "step")
    unsaid: list[str] = []
    assert (Told(unsaid=unsaid).rate(kind), Told(unsaid=unsaid).count(kind), unsaid) == (None, 0, ["lr", "step"])
