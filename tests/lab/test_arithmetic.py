"""The numbers of each step are the run's own, to the last bit, and the formula shown is the one that gives them."""

from dataclasses import replace
from html import unescape
from xml.etree import ElementTree

import numpy as np
import pytest

from rmsprop import Rule
from rmsprop.lab.arithmetic import arithmetic, columns, recorded
from rmsprop.lab.formulas import lines
from rmsprop.lab.setup import Formula, Named, Run, Setup
from rmsprop.lab.trace import run_of
from rmsprop.race.noise import Noise
from rmsprop.race.rivals import RMSprop, rival, rival_names
from tests.cases import RULES
from tests.tolerances import RELATIVE

LANDS = {
    "ravine": Named("ravine"),
    "network": Named("network"),
    "formula": Formula("log(1 + u**2) + abs(v) + tanh(u*v)"),
    "steep": Formula("exp(u/4) + u**2*v**2"),
}


def run(rule, land="ravine", **changed):
    setup = Setup(
        land=LANDS[land], runs=(Run(RMSprop(rule=rule), 0.03),), steps=60, schedule="cosine", noise=Noise("gaussian", 0.2)
    )
    return run_of(replace(setup, **changed), 0)


def same_bits(a, b):
    assert a.shape == b.shape
    assert a.dtype == b.dtype == np.float64
    np.testing.assert_array_equal(a.view(np.int64), b.view(np.int64))


@pytest.mark.parametrize("land", ["ravine", "network", "formula"])
@pytest.mark.parametrize("name", RULES)
def test_what_is_recorded_is_the_trajectory_to_the_last_bit(name, land):
    rule = RULES[name]
    one = run(rule, land)
    assert np.isfinite(one.p).all() or rule.maximize
    found = recorded(rule, one)
    same_bits(found["p_new"], np.ascontiguousarray(one.p[1:]))
    for letter, array in one.state.items():
        same_bits(found[f"{letter}_new"], np.ascontiguousarray(array[1:]))
    before = found.get("decayed", one.p[:-1])
    same_bits(before + found["change"], found["p_new"])


def test_a_run_that_leaves_the_finite_numbers_is_recorded_as_it_went():
    one = run(RULES["bias correction, centered"], "steep")
    assert not np.isfinite(one.p).all()
    np.testing.assert_array_equal(recorded(one.run.rival.rule, one)["p_new"], one.p[1:])


@pytest.mark.parametrize("name", RULES)
def test_the_lines_give_their_quantities_when_the_numbers_are_filled_in(name):
    rule = RULES[name].replace(complex_form="parts", maximize=False)
    told = arithmetic(run(rule))
    assert [line["key"] for line in told["lines"]] == [column["key"] for column in told["columns"][1:]]
    for line in told["lines"]:
        tree = ElementTree.fromstring(unescape(line["right"].replace("&InvisibleTimes;", "·")))
        names = {element.get("data-q") for element in tree.iter()} - {None}
        assert names == set(line["quantities"]) <= set(told["quantities"])
        numbers = {name: value_of(told["quantities"][name]) for name in names}
        with np.errstate(all="ignore"):
            got = worked_out(tree, numbers)
        wanted = value_of(told["quantities"][line["key"]])
        # With bias correction, the first step's line has 0/0 for the 0 that the rule takes.
        good = np.isfinite(got)
        assert good[:, 1:].all()
        scale = np.maximum(np.abs(wanted), np.max(np.abs(wanted)) * 1e-9)
        assert np.max(np.abs(got - wanted)[good] / scale[good]) < RELATIVE["lab, lines"].share


def test_each_line_has_a_left_side_where_the_quantity_has_a_letter():
    plain = {line.key: line.left is not None for line in lines(Rule())}
    assert plain == {"square": False, "v_new": True, "denominator": False, "rate": False, "change": True, "p_new": True}


def test_the_formula_is_that_of_the_run():
    labels = [[line.label for line in lines(RULES[name])] for name in ("graves", "tf1", "bias correction", "coupled decay")]
    assert labels == [
        ["(gₜ - mₜ₋₁)²", "sₜ", "mₜ", "√(sₜ + ε)", "η/√(sₜ + ε)", "bₜ", "Δθₜ", "θₜ"],
        ["gₜ²", "vₜ", "√(vₜ + ε)", "η/√(vₜ + ε)", "Δθₜ", "θₜ"],
        ["gₜ²", "vₜ", "√(ε + vₜ/(1 - βᵗ))", "η/√(ε + vₜ/(1 - βᵗ))", "Δθₜ", "θₜ"],
        ["(θₜ₋₁·λ + gₜ)²", "vₜ", "√vₜ + ε", "η/(√vₜ + ε)", "Δθₜ", "θₜ"],
    ]


@pytest.mark.parametrize("name", [name for name in rival_names() if name != "rmsprop"])
def test_rivals_show_their_gradient_state_and_change(name):
    one = run_of(Setup(runs=(Run(rival(name), 0.01),), steps=20), 0)
    table = {column.key: column.values for column in columns(one)}
    assert list(table) == ["g", *(f"{letter}_new" for letter in one.state), "change", "p_new"]
    same_bits(np.ascontiguousarray(table["p_new"]), np.ascontiguousarray(one.p[1:]))
    told = arithmetic(one)
    assert told["lines"] == []
    assert "p ← p - lr" in told["text"]


def value_of(told):
    """Return a quantity as (2, steps), or what broadcasts to it."""
    return np.asarray(next(iter(told.values())))


def worked_out(element, numbers):
    """Return the value of a formula in MathML: what a reader would work out from it."""
    if element.get("data-q") is not None:
        return numbers[element.get("data-q")]
    parts = list(element)
    match element.tag:
        case "mn":
            return float(element.text)
        case "msqrt":
            return np.sqrt(row(parts, numbers))
        case "mfrac":
            return worked_out(parts[0], numbers) / worked_out(parts[1], numbers)
        case "msup":
            return worked_out(parts[0], numbers) ** worked_out(parts[1], numbers)
        case "mrow" | "mfenced":
            return row(parts, numbers)
    raise AssertionError(f"cannot read {element.tag}")


def row(parts, numbers):
    """Return the value of a row: sums of products, with parentheses read as written."""
    if parts[0].tag == "mo" and parts[0].text == "(":
        assert parts[-1].text == ")"
        return row(parts[1:-1], numbers)
    total, sign, product = 0.0, 1.0, None
    for part in parts:
        if part.tag == "mo" and part.text.strip() in "+-":
            total = total if product is None else total + sign * product
            sign, product = (-1.0 if part.text.strip() == "-" else 1.0) * (sign if product is None else 1.0), None
        elif part.tag == "mo":
            assert part.text == "·", part.text
        else:
            value = worked_out(part, numbers)
            product = value if product is None else product * value
    return total + sign * product
