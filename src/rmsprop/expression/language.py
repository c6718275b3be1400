"""Formulas as text: parsed by `ast`, checked against a short allow-list, never evaluated as code."""

from __future__ import annotations

import ast
import unicodedata
import warnings
from collections.abc import Iterator
from dataclasses import dataclass

from rmsprop.errors import ExpressionError
from rmsprop.expression.hints import near, rewritten, unbalanced

MAX_CHARACTERS = 1_000
MAX_NODES = 200
MAX_DEPTH = 60

#: Functions a formula may call; each has one argument.
FUNCTIONS = (
    "exp", "expm1", "log", "ln", "log10", "log2", "log1p", "sqrt", "abs",
    "sin", "cos", "tan", "asin", "acos", "atan", "sinh", "cosh", "tanh", "asinh", "acosh", "atanh", "erf",
)  # fmt: skip

_BINARY: dict[type[ast.operator], str] = {
    ast.Add: "+",
    ast.Sub: "-",
    ast.Mult: "*",
    ast.Div: "/",
    ast.Pow: "**",
}
_REFUSED = {
    ast.Attribute: "an attribute (a dot)",
    ast.Subscript: "a subscript ([...])",
    ast.Lambda: "a lambda",
    ast.NamedExpr: "an assignment (:=)",
    ast.Compare: "a comparison",
    ast.BoolOp: "and/or",
    ast.IfExp: "if/else",
    ast.JoinedStr: "a string",
    ast.Starred: "a star",
    ast.Tuple: "a comma",
    ast.List: "a list",
    ast.Dict: "a dict",
    ast.Set: "a set",
    ast.ListComp: "a comprehension",
    ast.SetComp: "a comprehension",
    ast.DictComp: "a comprehension",
    ast.GeneratorExp: "a comprehension",
    ast.Await: "await",
    ast.Yield: "yield",
}
_OPERATORS: dict[type[ast.operator], str] = {
    ast.BitXor: "^ (powers are written **)",
    ast.MatMult: "@ (products are written *)",
    ast.FloorDiv: "//",
    ast.Mod: "%",
    ast.LShift: "<<",
    ast.RShift: ">>",
    ast.BitOr: "|",
    ast.BitAnd: "&",
}
_USE = "; use numbers, names, + - * / **, parentheses and the functions " + ", ".join(FUNCTIONS)


@dataclass(frozen=True, slots=True)
class Number:
    """A number."""

    value: float


@dataclass(frozen=True, slots=True)
class Name:
    """A column, a parameter or a constant."""

    id: str


@dataclass(frozen=True, slots=True)
class Negative:
    """A minus sign."""

    argument: Expression


@dataclass(frozen=True, slots=True)
class Binary:
    """An operation on two formulas."""

    operator: str  # one of + - * / **
    left: Expression
    right: Expression


@dataclass(frozen=True, slots=True)
class Call:
    """A function of one formula."""

    function: str  # one of FUNCTIONS
    argument: Expression


Expression = Number | Name | Negative | Binary | Call


def parse(text: str) -> Expression:
    """Return the tree of a formula.

    Args:
        text: at most 1,000 characters that parse to at most 200 nodes.

    Returns:
        The tree, of the five node types of this module.

    Raises:
        ExpressionError: anything outside the allow-list; the message names it and what is allowed.

    >>> parse("a*x**2")
    Binary(operator='*', left=Name(id='a'), right=Binary(operator='**', left=Name(id='x'), right=Number(value=2.0)))
    >>> parse("x.__class__")
    Traceback (most recent call last):
    rmsprop.errors.ExpressionError: cannot use an attribute (a dot) in a formula: '__class__'...
    """
    try:
        return _parse(text)
    except ExpressionError as error:
        meant = rewritten(text, FUNCTIONS, _parse) if isinstance(text, str) and len(text) <= MAX_CHARACTERS else None
        if meant is None:
            raise
        raise ExpressionError(f"{str(error).removesuffix(_USE)}; write {meant!r}") from None


def _parse(text: str) -> Expression:
    _check_text(text)
    try:
        with warnings.catch_warnings():
            # Python warns of things such as `1or 2` or `3(x)`, which are refused below in our own words.
            warnings.simplefilter("ignore")
            tree = ast.parse(text.strip(), mode="eval").body
    except SyntaxError as error:
        raise ExpressionError(_syntax_message(text.strip(), error)) from None
    except (RecursionError, MemoryError, ValueError, OverflowError):
        raise ExpressionError(f"formula {_short(text)} is nested too deeply or holds a number too long") from None
    for count, _ in enumerate(_breadth_first(tree), 1):
        if count > MAX_NODES:
            raise ExpressionError(f"formula has more than {MAX_NODES} nodes; shorten it, or make a column of a part of it")
    return _convert(tree, 0)


def split_model(text: str) -> tuple[str, str]:
    """Return the two sides of `left = right`.

    >>> split_model("log(y) = a*x + b")
    ('log(y)', 'a*x + b')
    """
    _check_length(text)
    sides = text.split("=")
    if "~" in text and len(sides) == 1:
        raise ExpressionError(
            f"model {_short(text)} must have '=' instead of '~', and name its parameters too, such as 'y = a*x + b'"
        )
    if len(sides) == 3 and not sides[1]:
        raise ExpressionError(f"model {_short(text)} must have one '='; write {_short(sides[0] + '=' + sides[2])}")
    if len(sides) != 2 or not sides[0].strip() or not sides[1].strip() or ":=" in text or sides[0].rstrip()[-1:] in "<>!":
        raise ExpressionError(
            f"model {_short(text)} must have one '=' with a formula on each side, such as 'y = a*x + b' or 'log(y) = a*x + b'"
        )
    return sides[0].strip(), sides[1].strip()


def names(tree: Expression) -> list[str]:
    """Return the names in a tree, in the order in which they are first read.

    >>> names(parse("b*x + a*exp(-x)"))
    ['b', 'x', 'a']
    """
    found: dict[str, None] = {}

    def visit(node: Expression) -> None:
        match node:
            case Name(identifier):
                found[identifier] = None
            case Negative(argument) | Call(_, argument):
                visit(argument)
            case Binary(_, left, right):
                visit(left)
                visit(right)

    visit(tree)
    return list(found)


def _check_length(text: str) -> None:
    if not isinstance(text, str):
        raise ExpressionError(f"a formula must be text, got {type(text).__name__}")
    if len(text) > MAX_CHARACTERS:
        raise ExpressionError(f"formula has {len(text):,} characters; at most {MAX_CHARACTERS:,} are read")


def _check_text(text: str) -> None:
    _check_length(text)
    if not text.strip():
        raise ExpressionError("formula is empty; write one such as 'a*x + b'")
    for character in text:
        # The middle dot may be a part of Python's names, but who writes it in a formula means a product.
        if character in "\n\r\\#;\0·":
            raise ExpressionError(f"cannot use {character!r} in a formula{_USE}")
    # Python reads names in their NFKC form, so that a look-alike such as a full-width letter would change under the user's eyes.
    if unicodedata.normalize("NFKC", text) != text:
        odd = next(c for c in text if unicodedata.normalize("NFKC", c) != c) if any(
            unicodedata.normalize("NFKC", c) != c for c in text
        ) else text  # fmt: skip
        raise ExpressionError(
            f"formula holds {_short(odd)}, a compatibility form of {_short(unicodedata.normalize('NFKC', odd))};"
            " write the plain form"
        )
    depth = 0
    for character in text:
        depth += (character == "(") - (character == ")")
        if depth > MAX_DEPTH:
            raise ExpressionError(f"formula nests parentheses more than {MAX_DEPTH} deep; simplify it")


def _syntax_message(text: str, error: SyntaxError) -> str:
    place = max(min((error.offset or 1) - 1, len(text)), 0)
    why = unbalanced(text) or f"it stops making sense at {text[place : place + 12] or 'its end'!r} (character {place + 1})"
    return f"formula {_short(text)} cannot be read: {why}"


def _breadth_first(tree: ast.AST) -> Iterator[ast.AST]:
    """Walk expressions without recursion; operators and contexts are not nodes that a user wrote."""
    for node in ast.walk(tree):
        if isinstance(node, ast.expr):
            yield node


def _convert(node: ast.expr, depth: int) -> Expression:
    if depth > MAX_DEPTH * 3:
        raise ExpressionError("formula is nested too deeply; simplify it")
    match node:
        case ast.Constant(value=value):
            return Number(_number(value))
        case ast.Name(id=identifier):
            return Name(_identifier(identifier))
        case ast.UnaryOp(op=ast.UAdd(), operand=operand):
            return _convert(operand, depth + 1)
        case ast.UnaryOp(op=ast.USub(), operand=operand):
            inner = _convert(operand, depth + 1)
            return Number(-inner.value) if isinstance(inner, Number) else Negative(inner)
        case ast.BinOp(left=left, op=operator, right=right) if type(operator) in _BINARY:
            return Binary(_BINARY[type(operator)], _convert(left, depth + 1), _convert(right, depth + 1))
        case ast.Call(func=ast.Name(id=function), args=arguments, keywords=[]):
            if function not in FUNCTIONS:
                raise _unknown_function(function)
            if len(arguments) != 1:
                raise ExpressionError(f"{function} takes one argument, got {len(arguments)}")
            return Call("log" if function == "ln" else function, _convert(arguments[0], depth + 1))
        case _:
            raise _refusal(node)


def _number(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        kind = "a string" if isinstance(value, str | bytes) else "a complex number" if isinstance(value, complex) else "this"
        raise ExpressionError(f"cannot use {kind} in a formula: {_short(repr(value))}{_USE}")
    try:
        number = float(value)
    except OverflowError:
        number = float("inf")
    if number in (float("inf"), float("-inf")):
        raise ExpressionError("formula holds a number beyond 1.8e308, the largest that a float can be")
    return number


def _identifier(identifier: str) -> str:
    if identifier.startswith("__"):
        raise ExpressionError(f"cannot use the name {_short(identifier)} in a formula; names must not start with two underscores")
    return identifier


def _unknown_function(function: str) -> ExpressionError:
    plain = "a" + function[3:] if function.startswith("arc") and "a" + function[3:] in FUNCTIONS else function
    return ExpressionError(f"unknown function {_short(function)}{near(plain, FUNCTIONS) if len(function) > 1 else ''}{_USE}")


def _refusal(node: ast.expr) -> ExpressionError:
    what = _REFUSED.get(type(node))
    detail = ""
    if isinstance(node, ast.Attribute):
        detail = f": {_short(node.attr)}"
    if isinstance(node, ast.BinOp):
        what = _OPERATORS.get(type(node.op), "this operator")
    if isinstance(node, ast.UnaryOp):
        what = "~" if isinstance(node.op, ast.Invert) else "not"
    if isinstance(node, ast.Call):
        what = "a call of this kind"
    return ExpressionError(f"cannot use {what or type(node).__name__} in a formula{detail}{_USE}")


def _short(text: str, limit: int = 60) -> str:
    shown = text if len(text) <= limit else text[: limit - 3] + "..."
    return repr(shown)
