"""The formula of a run's own rule, line by line, each symbol with the name of the number that goes in its place."""

from __future__ import annotations

from typing import Any, NamedTuple

from rmsprop.formula import arguments, equations, letters, mathml_printer, text
from rmsprop.lab.cache import Cache
from rmsprop.lab.recording import quantities
from rmsprop.rule import Rule

_KEPT = Cache(64)
# From SymPy's symbols of `rmsprop.formula` to the names of the numbers.
_SCALARS = {
    "d_lr": "lr", "a_decay": "decay", "a_momentum": "momentum", "a_weight_decay": "weight_decay", "a_fresh": "fresh",
    "a_correction": "correction", "a_prior": "prior", "z_eps": "eps", "g_new": "g",
}  # fmt: skip
_LETTERS = {"A": "p", "s": "v"}


class Line(NamedTuple):
    """A line of the formula.

    Attributes:
        key: the quantity that it works out.
        left: MathML of the left side, or None where the line is an expression without a letter of its own.
        right: MathML of the right side.
        label: what a table calls the quantity.
        quantities: names of the numbers that go in.
    """

    key: str
    left: str | None
    right: str
    label: str
    quantities: list[str]

    def to_json(self) -> dict[str, Any]:
        """Return it as the page reads it, with the whole line as a `math` element."""
        body = self.right if self.left is None else f"<mrow>{self.left}<mo>=</mo>{self.right}</mrow>"
        return self._asdict() | {"mathml": f'<math xmlns="http://www.w3.org/1998/Math/MathML" display="block">{body}</math>'}


def lines(rule: Rule) -> list[Line]:
    """Return the lines of a rule's step: the equations of what it keeps, and what is worked out on the way.

    Args:
        rule: the dialect.

    Raises:
        ImportError: SymPy is not installed.

    Example:
        >>> [line.label for line in lines(Rule())]
        ['gₜ²', 'vₜ', '√vₜ + ε', 'η/(√vₜ + ε)', 'Δθₜ', 'θₜ']
    """
    # Numbers do not matter to the symbols, but these two do to where the learning rate stands.
    on = rule.switches
    shape = rule.branches.replace(
        lr_in_momentum=rule.lr_in_momentum or not on["MOMENTUM"],
        weight_decay_form=rule.weight_decay_form if on["DECOUPLED"] else "coupled",
    )
    found: list[Line] = _KEPT.get(shape, lambda: _lines(shape))
    return found


def key_of(symbol: str) -> str:
    """Return the name of the number that stands for a symbol.

    Example:
        >>> key_of("A_old"), key_of("s_new"), key_of("z_eps")
        ('p_old', 'v_new', 'eps')
    """
    letter, _, when = symbol.partition("_")
    return _SCALARS.get(symbol) or f"{_LETTERS.get(letter, letter)}_{when}"


def _lines(rule: Rule) -> list[Line]:
    import sympy

    printed = mathml_printer(lambda name, glyph: f'<mrow data-q="{key_of(name)}">{glyph}</mrow>')
    names = iter(letters(rule))

    def kept(value: Any) -> Any:
        """Give what goes into the state its letter; what follows then reads by that."""
        return sympy.Symbol(f"{next(names)}_new")

    worked = quantities(rule, arguments(rule), sqrt=sympy.sqrt, flush=kept, square=lambda z: z**2)
    assigned = {key_of(equation.lhs.name): equation for equation in equations(rule)}
    delta = '<mrow data-q="change"><mo>Δ</mo><msub><mi>θ</mi><mi>t</mi></msub></mrow>'
    found = []
    for key, expression in worked.items():
        if key in assigned:
            equation = assigned[key]
            left, right, label = printed(equation.lhs), equation.rhs, text(equation.lhs)
        elif key == "change":
            left, right, label = delta, expression, "Δθₜ"
        else:
            left, right, label = None, expression, text(expression)
        numbers = sorted({key_of(symbol.name) for symbol in right.free_symbols})
        found.append(Line(key, left, printed(right), label, numbers))
    return found
