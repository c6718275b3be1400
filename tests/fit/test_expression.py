import contextlib
import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rmsprop.fit.errors import ExpressionError, UsageError
from rmsprop.fit.expression import FUNCTIONS, Binary, Call, Name, Negative, Number, parse, split_model
from rmsprop.fit.model import Model

ATTACKS = [
    "__import__('os').system('true')",
    "().__class__.__bases__[0].__subclasses__()",
    "x.__class__",
    "x.real",
    "x[0]",
    "'a'*9",
    "b'a'",
    "f'{x}'",
    "[a for a in x]",
    "{a for a in x}",
    "{1: 2}",
    "(a for a in x)",
    "lambda: 1",
    "(y := 3)",
    "x if y else z",
    "x and y",
    "not x",
    "x < y",
    "x == y",
    "x, y",
    "*x",
    "await x",
    "yield",
    "...",
    "True",
    "None",
    "1j",
    "~x",
    "x @ y",
    "x // y",
    "x % y",
    "x << 3",
    "x ^ 2",
    "eval(x)",
    "exec(x)",
    "open(x)",
    "exp(x, y)",
    "exp(*x)",
    "exp(x=1)",
    "exp()",
    "exp(exp)(x)",
    "__builtins__",
    "__x",
    "print(x)",
    "x; y",
    "x # y",
    "x\n+ y",
    "x\\\n+ y",
    "x\0",
    "\ud800",
    "",
    "   ",
    "(",
    ")",
    "x +",
    "1e999",
    "9" * 400,
    "-" * 999 + "x",
    "+" * 999 + "x",
    "~" * 999 + "x",
    "(" * 499 + "x" + ")" * 499,
    "(" * 999,
    "[" * 999,
    "exp(" * 199 + "x" + ")" * 199,
    "x" * 1_000_000,
    "(" * 1_000_000,
    "+".join(["x"] * 400),
    "**".join(["9"] * 300),
    "x**" * 330 + "x",
    "ｅval(x)",
    "ｅxp(x)",
    "x．real",
    "ﬁ",
    "ℯ",
    "е" + "xp(x)",  # a Cyrillic letter that looks like e
    "0x" + "f" * 990,
]


@pytest.mark.parametrize("text", ATTACKS, ids=lambda text: repr(text[:20]))
def test_attack_is_refused_with_a_short_message(text):
    with pytest.raises(ExpressionError) as refusal:
        parse(text)
    assert 10 < len(str(refusal.value)) < 400


@pytest.mark.parametrize("text", ["9**9**9", "9**9**9**9*x", "a*x*10**(10**10)", "log(0)", "0/0", "x*(1/0)", "sqrt(-1)*a*x"])
def test_part_without_names_that_is_not_finite_is_refused(text):
    with pytest.raises(UsageError, match=r"comes to|no parameter"):
        Model(f"y = {text} + b", ["x", "y"])


@pytest.mark.parametrize(
    ("text", "tree"),
    [
        ("-2**2", Negative(Binary("**", Number(2.0), Number(2.0)))),
        ("2**-1", Binary("**", Number(2.0), Number(-1.0))),
        ("a - b - c", Binary("-", Binary("-", Name("a"), Name("b")), Name("c"))),
        ("2**3**2", Binary("**", Number(2.0), Binary("**", Number(3.0), Number(2.0)))),
        ("ln(x)", Call("log", Name("x"))),
        ("+x", Name("x")),
        ("größe*α", Binary("*", Name("größe"), Name("α"))),
        ("1_000 * 0x10", Binary("*", Number(1000.0), Number(16.0))),
    ],
)
def test_tree(text, tree):
    assert parse(text) == tree


@given(st.text(max_size=200) | st.text(string.printable, max_size=200) | st.text("x+-*/()=.,019ae _\"'[]{}:^%", max_size=200))
def test_any_text_is_parsed_or_refused(text):
    # Any other exception fails the test.
    with contextlib.suppress(ExpressionError):
        parse(text)


NAMES = st.sampled_from(["x", "a", "b"]).map(Name)
NUMBERS = st.floats(0, 1e6, allow_subnormal=False).map(Number)
TREES = st.recursive(
    NAMES | NUMBERS,
    lambda inner: (
        st.builds(Binary, st.sampled_from(["+", "-", "*", "/", "**"]), inner, inner)
        | st.builds(Call, st.sampled_from([f for f in FUNCTIONS if f != "ln"]), inner)
        | st.builds(Negative, inner.filter(lambda t: not isinstance(t, Number)))
    ),
    max_leaves=12,
)


def text_of(tree):
    match tree:
        case Number(value):
            return repr(value)
        case Name(name):
            return name
        case Negative(argument):
            return f"(-{text_of(argument)})"
        case Call(function, argument):
            return f"{function}({text_of(argument)})"
        case Binary(operator, left, right):
            return f"({text_of(left)} {operator} {text_of(right)})"


@given(TREES)
def test_written_tree_is_read_back(tree):
    assert parse(text_of(tree)) == tree


@pytest.mark.parametrize(
    "text", ["y", "= x", "y =", "y = a = b", "y == a*x", "y := a", "y <= a", "y >= x", "y != x", "", "=" * 999]
)
def test_model_without_one_equals_sign_is_refused(text):
    with pytest.raises(ExpressionError, match="="):
        split_model(text)
