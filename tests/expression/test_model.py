import numpy as np
import pytest

from rmsprop.errors import UsageError
from rmsprop.expression.model import Model


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("z = a*x", "'z', which is not a column"),
        ("Y = a*x", "the columns are x, y"),
        ("y = a*y", "both sides"),
        ("y = x", "no parameter"),
        ("y = pi*x", "no parameter"),
        ("y = a + b", "uses no column"),
        ("y = a*x + exp", "exp is a function"),
        ("2 = a*x", "uses no column"),
    ],
)
def test_model_that_does_not_suit_the_columns_is_refused(text, message):
    with pytest.raises(UsageError, match=message):
        Model(text, ["x", "y"])


def test_start_and_sigma_must_name_what_there_is():
    with pytest.raises(UsageError, match="start names 'c'"):
        Model("y = a*x", ["x", "y"], start=["c"])
    with pytest.raises(UsageError, match="'s' named by sigma"):
        Model("y = a*x", ["x", "y"], sigma="s")


def test_constants_yield_to_columns_and_start_values():
    assert Model("y = a*e*x", ["x", "y"]).parameters == ["a"]
    assert Model("y = a*e*x", ["x", "y"], start=["e"]).parameters == ["a", "e"]
    assert Model("y = a*e", ["e", "y"]).right_columns == ["e"]


@pytest.mark.parametrize(
    ("text", "linear"),
    [
        ("y = a*x**2 + b*x + c", ["a", "b", "c"]),
        ("y = a*exp(-b*x) + c", ["a", "c"]),
        ("y = a*b*x", ["a"]),
        ("y = x/a", []),
        ("y = a**1*x + (b + c)**2", ["a"]),
        ("y = -(a - x)/2", ["a"]),
    ],
)
def test_linear_parameters(text, linear):
    assert Model(text, ["x", "y"]).linear == linear


def test_model_of_several_columns_and_left_side():
    model = Model("log(y) = b1 - b2*x1*exp(-b3*x2)", ["x1", "x2", "y"])
    assert (model.right_columns, model.left_columns) == (["x1", "x2"], ["y"])
    assert np.isfinite(len(model.jacobian))
