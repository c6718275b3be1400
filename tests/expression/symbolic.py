"""Formulas as SymPy expressions: the judge of the tape's derivatives, built from the same tree."""

import sympy

from rmsprop.expression.language import Binary, Call, Expression, Name, Negative, Number

_FUNCTIONS = {"abs": sympy.Abs, "expm1": lambda x: sympy.exp(x) - 1, "log1p": lambda x: sympy.log(1 + x)}
_FUNCTIONS |= {"log10": lambda x: sympy.log(x, 10), "log2": lambda x: sympy.log(x, 2)}


def to_sympy(tree: Expression) -> sympy.Expr:
    match tree:
        case Number(value):
            return sympy.Float(value, 60) if value != int(value) else sympy.Integer(int(value))
        case Name(name):
            return sympy.Symbol(name, real=True)
        case Negative(argument):
            return -to_sympy(argument)
        case Call(function, argument):
            return _FUNCTIONS.get(function, getattr(sympy, function, None))(to_sympy(argument))
        case Binary(operator, left, right):
            a, b = to_sympy(left), to_sympy(right)
            return {"+": lambda: a + b, "-": lambda: a - b, "*": lambda: a * b, "/": lambda: a / b, "**": lambda: a**b}[operator]()


def value(expression: sympy.Expr, at: dict[str, float]) -> complex:
    numbers = {sympy.Symbol(name, real=True): sympy.Float(number, 60) for name, number in at.items()}
    return complex(expression.evalf(40, subs=numbers))
