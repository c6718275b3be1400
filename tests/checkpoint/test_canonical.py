"""The state as a value: what it checks, and how its parameters are named and ordered."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

import rmsprop
from rmsprop.checkpoint import ConversionError, Group, Parameter, State, UsageError, capture, restore
from rmsprop.checkpoint.like import ordered
from rmsprop.checkpoint.names import parse
from tests.cases import RULES
from tests.checkpoint.harness import SHAPES, assert_bits, assert_same, trained


def made(*shapes: tuple[str, tuple[int, ...]], lr: float = 0.1, **axes: Any) -> Group:
    rule = rmsprop.Rule(**axes)
    rng = np.random.default_rng(3)
    return Group(
        rule, lr, tuple(Parameter(name, 2, {s.name: rng.random(shape, np.float32) for s in rule.slots}) for name, shape in shapes)
    )


def one(slots: dict[str, Any], step: Any = 1, **axes: Any) -> State:
    return State((Group(rmsprop.Rule(**axes), 0.1, (Parameter("w", step, slots),)),))


V = np.ones(2, np.float32)


@pytest.mark.parametrize(
    ("slots", "step", "axes", "message"),
    [
        ({"square_avg": V}, 1, {"momentum": 0.9}, r"'w' must have square_avg, momentum_buffer.*momentum=0\.9.*got square_avg"),
        ({"square_avg": V, "grad_avg": V}, 1, {}, "must have square_avg under"),
        ({"square_avg": V, "ema": V[:1]}, 1, {}, r"'ema' of parameter 'w' must have shape \(2,\) as its other arrays, got \(1,\)"),
        ({"square_avg": V.astype(int)}, 1, {}, "must be one of float32, float64, complex64, complex128, got int64"),
        ({"square_avg": V * np.nan}, 1, {}, "not finite; go back to an earlier state, or pass allow_nan=True"),
        ({"square_avg": -V}, 1, {}, "negative values"),
        ({"square_avg": V}, -1, {}, "integer of at least 0, got -1"),
        ({"square_avg": V}, True, {}, "integer of at least 0, got True"),
        ({"square_avg": V}, 2**63, {}, "integer of at least 0"),
    ],
)
def test_refuses_what_no_step_left_behind(slots: Any, step: Any, axes: Any, message: str) -> None:
    with pytest.raises(ConversionError, match=message):
        one(slots, step, **axes)


def test_refuses_two_parameters_of_one_name() -> None:
    with pytest.raises(ConversionError, match="two parameters are called 'w'"):
        State((made(("w", (2,))), made(("w", (2,)))))


def test_refuses_a_learning_rate_that_is_none() -> None:
    with pytest.raises(ConversionError, match=r"lr must be in \[0, inf\), got -1"):
        State((made(("w", (2,)), lr=-1),))


def test_a_parameter_without_state_is_allowed() -> None:
    state = State((Group(rmsprop.Rule(), 0.1, (Parameter("w", 0, {}),)),))
    assert next(state.parameters).shape is None


def test_renames_with_the_first_pattern_that_matches_and_puts_axes_in_order() -> None:
    state = State((made(("a/kernel", (2, 3)), ("a/bias", (3,)), ("conv/kernel", (5, 4, 2, 3)), ("b", ())),))
    found = state.renamed({r"conv/kernel": "conv.weight@3,2,0,1", r"(.+)/kernel": r"\1.weight@1,0", r"(.+)/(bias)": r"\1.\2"})
    assert found.names == ("a.weight", "a.bias", "conv.weight", "b")
    assert [p.shape for p in found.parameters] == [(3, 2), (3,), (3, 2, 5, 4), ()]
    before, after = next(state.parameters).slots["square_avg"], next(found.parameters).slots["square_avg"]
    assert_bits(after, before.T)
    assert state.names[0] == "a/kernel"


@pytest.mark.parametrize(
    ("table", "error", "message"),
    [
        ({"x": "y"}, UsageError, "'x' of the map matches no name that is left for it; the names are 'a', 'b'"),
        ({".+": "c", "a": "d"}, UsageError, "'a' of the map matches no name that is left"),
        ({".+": "c"}, ConversionError, "two parameters are called 'c'"),
        ({"(": "c"}, UsageError, "no regular expression"),
        ({"a": r"\2"}, UsageError, "cannot be made of 'a'"),
        ({"a": "c@x"}, UsageError, "such as @1,0, got 'x'"),
        ({"a": "c@0,0"}, ConversionError, r"shape \(2, 3\) cannot have its axes in the order \(0, 0\)"),
        ({"a": "c@0"}, ConversionError, "cannot have its axes"),
    ],
)
def test_refuses_a_map_that_does_not_fit(table: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        State((made(("a", (2, 3)), ("b", (2,))),)).renamed(table)


@pytest.mark.parametrize("text", ["", "a", "=b", "a="])
def test_refuses_an_entry_that_is_none(text: str) -> None:
    with pytest.raises(UsageError, match="must be such as"):
        parse(text)


def test_an_expression_may_hold_an_equals_sign() -> None:
    assert parse("(?=a).=b") == ("(?=a).", "b")


def test_arranges_by_name_and_otherwise_by_order() -> None:
    state = State((made(("a", (2,)), ("b", (3,))),))
    assert state.arranged([["b"], ["a"]]).names == ("b", "a")
    assert [len(g.parameters) for g in state.arranged([["b"], ["a"]]).groups] == [1, 1]
    by_order = state.arranged([["0", "1"]], {"0": (2,), "1": (3,)})
    assert by_order.names == ("0", "1")
    assert_bits(next(by_order.parameters).slots["square_avg"], next(state.parameters).slots["square_avg"])


@pytest.mark.parametrize(
    ("names", "shapes", "message"),
    [
        ([["a"]], {}, r"has 'b', which this optimizer lacks"),
        ([["a", "b", "c"]], {}, "the state lacks 'c'"),
        ([["0"]], {}, r"has 2 parameters \('a', 'b'\) and here are 1 \('0'\).*by order"),
        ([["b", "a"]], {"a": (3,), "b": (3,)}, r"'a' has shape \(2,\) and 'a' has \(3,\)"),
        ([["0", "1"]], {"0": (3,), "1": (3,)}, r"'a' has shape \(2,\) and '0' has \(3,\); if the axes"),
    ],
)
def test_refuses_parameters_that_differ(names: Any, shapes: Any, message: str) -> None:
    with pytest.raises(ConversionError, match=message):
        State((made(("a", (2,)), ("b", (3,))),)).arranged(names, shapes)


def test_refuses_a_group_of_two_rules() -> None:
    state = State((made(("a", (2,))), made(("b", (2,)), decay=0.5)))
    assert state.arranged([["a"], ["b"]]).groups[1].rule.decay == 0.5
    with pytest.raises(ConversionError, match="several rules, learning rates or options"):
        state.arranged([["a", "b"]])


def test_names_without_an_order_match_by_name_alone() -> None:
    group = made(("a", (2,)), ("b", (2,)))
    state = State((replace(group, options={"unordered": True, "nesting": 1}),))
    assert not state.ordered
    with pytest.raises(ConversionError, match=r"no name is in both.*keeps no order.*map the names"):
        state.arranged([["0", "1"]])
    for found in (state.arranged([["b", "a"]]), ordered(state, {"b": None, "a": (2,)}, "the model")):
        assert (found.names, found.ordered, dict(found.groups[0].options)) == (("b", "a"), True, {"nesting": 1})
    alone = State((replace(made(("a", (2,))), options={"unordered": True}),))
    assert alone.arranged([["0"]]).names == ("0",)


def test_takes_the_order_of_a_model() -> None:
    state = State((made(("bias", (3,)), ("weight", (3, 2))),))
    wanted = {"weight": (3, 2), "running_mean": (3,), "bias": None}
    assert ordered(state, wanted, "model.pt").names == ("weight", "bias")
    with pytest.raises(ConversionError, match=r"'weight' has shape \(3, 2\), and \(2, 3\) in model\.pt.*@1,0"):
        ordered(state, {**wanted, "weight": (2, 3)}, "model.pt")
    with pytest.raises(ConversionError, match=r"model\.pt lacks 'bias'"):
        ordered(state, {"weight": None}, "model.pt")


# NumPy's own optimizer.


@pytest.mark.parametrize("name", RULES)
def test_numpy_takes_back_what_it_gave(name: str) -> None:
    first = trained(RULES[name])
    second = trained(RULES["article"], steps=0)
    restore(second, capture(first))
    assert_same(capture(first), capture(second))


def test_a_schedule_stays() -> None:
    target = rmsprop.RMSprop(np.ones(2), lambda t: 0.5)
    restore(target, capture(rmsprop.RMSprop(np.ones(2), 0.1)))
    assert callable(target.lr)
    assert capture(target).groups[0].lr is None


@pytest.mark.parametrize(
    ("state", "message"),
    [
        (State((made(("a", (2,)), ("b", (3,))),)), r"state lacks 'matrix'|has 2 parameters"),
        (State((made(*((name, (9,)) for name in SHAPES)),)), r"'matrix' has shape \(9,\)"),
        (State((Group(rmsprop.Rule(), 0.1, tuple(Parameter(n, 0, {}) for n in SHAPES)),)), "no arrays for 'matrix'"),
        (
            State(
                (
                    Group(
                        rmsprop.Rule(),
                        0.1,
                        tuple(Parameter(n, k, {"square_avg": np.ones(s, np.float32)}) for k, (n, s) in enumerate(SHAPES.items())),
                    ),
                )
            ),
            "has taken 0 to 3 with them; use rmsprop.torch",
        ),
        (
            State((Group(rmsprop.Rule(), 0.1, tuple(Parameter(n, 1, {"square_avg": np.ones(s)}) for n, s in SHAPES.items())),)),
            "must be float32",
        ),
        (
            State(
                (Group(rmsprop.Rule(), 1e300, tuple(Parameter(n, 1, {"square_avg": np.ones(s, "f4")}) for n, s in SHAPES.items())),)
            ),
            "lr",
        ),
    ],
)
def test_numpy_refuses_what_does_not_fit_and_stays_as_it_was(state: State, message: str) -> None:
    target = trained(RULES["momentum"])
    before = capture(target)
    with pytest.raises(ConversionError, match=message):
        restore(target, state)
    assert_same(capture(target), before)
    assert target.lr == 0.01


@pytest.mark.parametrize("source", [3, "path", None, {"a": 1}, (1, 2), object()])
def test_what_is_no_optimizer_is_refused(source: Any) -> None:
    with pytest.raises(UsageError, match="is no optimizer whose state can be read"):
        capture(source)
    with pytest.raises(UsageError, match="is no optimizer"):
        restore(source, State(()))


def test_what_the_state_says_itself_must_not_be_said() -> None:
    with pytest.raises(UsageError, match="holds lr itself; leave it out"):
        capture(trained(RULES["article"]), lr=0.1)
    with pytest.raises(UsageError, match="unknown keyword 'rho'; a rule has decay"):
        capture(trained(RULES["article"]), rho=0.1)
