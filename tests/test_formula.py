"""The printed formula is the rule: put numbers in, and the rule's own result comes out."""

import math
from xml.etree import ElementTree

import pytest
import sympy

import rmsprop
from rmsprop import formula
from rmsprop.rule import bind
from tests.cases import RULES

NUMBERS = {"p": 0.7, "g": -0.3, "v": 0.2, "m": 0.1, "b": 0.05}
LR, STEP = 0.02, 3


@pytest.mark.parametrize("name", RULES)
def test_equations_give_what_update_gives(name):
    rule = RULES[name]
    scalars = rule.scalars(LR, STEP)
    wanted = dict(zip("pvmb", bind(rule, sqrt=math.sqrt)(*NUMBERS.values(), *scalars), strict=True))
    known = {
        "A_old": NUMBERS["p"],
        "g_new": NUMBERS["g"],
        "v_old": NUMBERS["v"],
        "s_old": NUMBERS["v"],
        "m_old": NUMBERS["m"],
        "b_old": NUMBERS["b"],
        "d_lr": LR,
        "a_decay": rule.decay,
        "a_fresh": 1 - rule.decay,
        "z_eps": rule.eps,
        "a_momentum": rule.momentum,
        "a_weight_decay": rule.weight_decay,
        "a_correction": 1 - rule.decay**STEP,
        "a_prior": 1 - rule.decay ** (STEP - 1),
    }
    for equation in formula.equations(rule):
        value = float(equation.rhs.subs({symbol: known[symbol.name] for symbol in equation.rhs.free_symbols}))
        known[equation.lhs.name] = value
        letter = {"A": "p", "s": "v"}.get(equation.lhs.name[0], equation.lhs.name[0])
        assert value == pytest.approx(wanted[letter], rel=1e-12)


def test_latex_of_the_article():
    assert formula.latex(rmsprop.dialect("article")).splitlines() == [
        r"v_{t} = \beta v_{t-1} + \left(1 - \beta\right) g_{t}^{2}",
        r"\theta_{t} = \theta_{t-1} - \frac{\eta g_{t}}{\sqrt{v_{t}} + \epsilon}",
    ]


@pytest.mark.parametrize("name", rmsprop.dialect_names())
def test_mathml_is_well_formed_and_complete(name):
    rule = rmsprop.dialect(name)
    root = ElementTree.fromstring(formula.mathml(rule).replace("&InvisibleTimes;", ""))
    assert len(root.findall(".//{*}mtr")) == len(rule.slots) + 1
    text = "".join(root.itertext())
    assert "θ" in text
    assert "β" in text
    assert "_" not in text


def test_epsilon_stands_where_the_rule_puts_it():
    inside, outside = (formula.pretty(rmsprop.dialect(name)) for name in ("tf1", "pytorch"))
    assert "╲╱ vₜ + ε" in inside
    assert "╲╱ vₜ  + ε" in outside


def test_equations_are_sympy():
    assert all(isinstance(equation, sympy.Eq) for equation in formula.equations(rmsprop.dialect("graves")))
