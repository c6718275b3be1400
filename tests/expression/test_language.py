import contextlib
import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rmsprop.errors import ExpressionError, UsageError
from rmsprop.expression.language import FUNCTIONS, Binary, Call, Name, Negative, Number, parse, split_model
from rmsprop.expression.model import Model

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


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("a*x^2 + b", "write 'a*x**2 + b'"),
        ("2x + a", "write '2*x + a'"),
        ("2(x + a)(x - a)", "write '2*(x + a)*(x - a)'"),
        ("a x + b", "write 'a*x + b'"),
        ("a*sin x", "write 'a*sin(x)'"),
        ("a*[x + 1]", "write 'a*(x + 1)'"),
        ("a*|x|", "write 'a*abs(x)'"),
        ("a×x − b", "write 'a*x - b'"),
        ("a·x", "write 'a*x'"),
        ("a*x²", "write 'a*x**2'"),
        ("a*√x", "write 'a*sqrt(x)'"),
        ("a*np.exp(b*x)", "write 'a*exp(b*x)'"),
        ("a*EXP(x)", "write 'a*exp(x)'"),
        ("a*arctan(x)", "write 'a*atan(x)'"),
        ("a*power(x, 2)", r"write 'a*(x)**(2)'"),
        ("1,5*x", "write '1.5*x'"),
        ("a*(x + b", "the '(' at character 3 is not closed"),
        ("a*x) + b", "the ')' at character 4 closes nothing"),
        ("a*x +", "nothing follows the '+'"),
    ],
)
def test_common_mistake_is_answered_with_what_to_write(text, hint):
    with pytest.raises(ExpressionError) as refusal:
        parse(text)
    assert hint in str(refusal.value)


def test_common_mistakes_in_models():
    with pytest.raises(ExpressionError, match="'=' instead of '~'"):
        split_model("y ~ x")
    with pytest.raises(ExpressionError, match="write 'y = a"):
        split_model("y == a*x")
    with pytest.raises(UsageError, match=r"did you mean x\?"):
        Model("y = a*X + b", ["x", "y"])
    with pytest.raises(UsageError, match=r"did you mean y\?"):
        Model("Y = a*x", ["x", "y"])
    with pytest.raises(UsageError, match=r"did you mean a\?"):
        Model("y = a*x", ["x", "y"], start=["A"])
    with pytest.raises(UsageError, match=r"written a\*time"):
        Model("y = atime + b", ["time", "y"])
