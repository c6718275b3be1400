"""The formula of a dialect, printed by SymPy from `rmsprop.rule.update` itself."""

import re
from collections.abc import Callable
from typing import Any, NamedTuple

from rmsprop.rule import Rule, Scalars, bind


class Glyph(NamedTuple):
    """How a symbol is written in LaTeX, MathML and Unicode text."""

    latex: str
    mathml: str
    text: str


def _plain(latex: str, text: str) -> Glyph:
    """Return the glyph of a single letter."""
    return Glyph(latex, f"<mi>{text}</mi>", text)


def _indexed(latex: str, text: str, before: bool) -> Glyph:
    """Return the glyph of a quantity after this step, or before it."""
    index = "<mrow><mi>t</mi><mo>-</mo><mn>1</mn></mrow>" if before else "<mi>t</mi>"
    return Glyph(
        f"{latex}_{{t-1}}" if before else f"{latex}_{{t}}",
        f"<msub><mi>{text}</mi>{index}</msub>",
        text + ("ₜ₋₁" if before else "ₜ"),
    )


def _difference(latex: str, text: str, mathml: str) -> Glyph:
    """Return the glyph of 1 - x, which reads as one coefficient."""
    fenced = f"<mrow><mo>(</mo><mn>1</mn><mo>-</mo>{mathml}<mo>)</mo></mrow>"
    return Glyph(rf"\left(1 - {latex}\right)", fenced, f"(1 - {text})")


# By the name that SymPy sorts on: the parameter first, coefficients before what they multiply, epsilon last.
_GLYPHS = {
    "d_lr": _plain(r"\eta", "η"),
    "a_decay": _plain(r"\beta", "β"),
    "a_momentum": _plain(r"\mu", "μ"),
    "a_weight_decay": _plain(r"\lambda", "λ"),
    "a_fresh": _difference(r"\beta", "β", "<mi>β</mi>"),
    "a_correction": _difference(r"\beta^{t}", "βᵗ", "<msup><mi>β</mi><mi>t</mi></msup>"),
    "a_prior": _difference(r"\beta^{t-1}", "βᵗ⁻¹", "<msup><mi>β</mi><mrow><mi>t</mi><mo>-</mo><mn>1</mn></mrow></msup>"),
    "z_eps": _plain(r"\epsilon", "ε"),
    "g_new": _indexed("g", "g", before=False),
    **{
        f"{letter}_{'old' if before else 'new'}": _indexed(latex, text, before)
        for letter, latex, text in [("A", r"\theta", "θ"), *((c, c, c) for c in "vsmb")]
        for before in (True, False)
    },
}


def equations(rule: Rule) -> list[Any]:
    """Return the rule as SymPy equations, one for each quantity that a step assigns, in order.

    v_t = decay·v_{t-1} + (1 - decay)·g_t²,  θ_t = θ_{t-1} - lr·g_t / (√v_t + eps)

    With bias correction, m_0 / (1 - decay⁰) stands for 0 at the first step.

    Args:
        rule: the dialect.

    Returns:
        `sympy.Eq` objects for v (or the variance s), m and b where the rule keeps them, and the parameter.

    Raises:
        ImportError: SymPy is not installed.

    Example:
        >>> from rmsprop import dialect
        >>> [str(equation.lhs) for equation in equations(dialect("graves"))]
        ['s_new', 'm_new', 'b_new', 'A_new']
    """
    sympy = _sympy()
    modulus = rule.complex_form == "modulus"
    names = letters(rule)
    assigned: list[Any] = []

    def flush(value: Any) -> Any:
        """Give each state array that the rule assigns its name; the rest of the rule then reads by that name."""
        symbol = sympy.Symbol(f"{names[len(assigned)]}_new")
        assigned.append(sympy.Eq(symbol, value, evaluate=False))
        return symbol

    step = bind(rule, sqrt=sympy.sqrt, flush=flush, square=lambda z: sympy.Abs(z) ** 2 if modulus else z**2)
    theta, *_ = step(*arguments(rule))
    return [*assigned, sympy.Eq(sympy.Symbol("A_new"), theta, evaluate=False)]


def letters(rule: Rule) -> list[str]:
    """Return the letter of each of the rule's slots: that of `update`'s argument, but s for the variance.

    Example:
        >>> letters(Rule(centered=True, momentum=0.9))
        ['s', 'm', 'b']
    """
    return ["s" if slot.name == "variance" else slot.argument for slot in rule.slots]


def arguments(rule: Rule) -> list[Any]:
    """Return the arguments of `update` as SymPy's symbols, in its order.

    Args:
        rule: the dialect.

    Raises:
        ImportError: SymPy is not installed.

    Example:
        >>> [str(one) for one in arguments(Rule())[:3]]
        ['A_old', 'g_new', 'v_old']
    """
    sympy = _sympy()
    modulus = rule.complex_form == "modulus"
    p, g, m, b = (sympy.Symbol(name, complex=modulus or None) for name in ("A_old", "g_new", "m_old", "b_old"))
    v = sympy.Symbol(f"{letters(rule)[0]}_old")
    return [p, g, v, m, b, *_scalars(rule, sympy)]


def latex(rule: Rule) -> str:
    r"""Return the rule as LaTeX, one equation a line.

    Args:
        rule: the dialect.

    Raises:
        ImportError: SymPy is not installed.

    Example:
        >>> from rmsprop import dialect
        >>> print(latex(dialect("article")).splitlines()[0])
        v_{t} = \beta v_{t-1} + \left(1 - \beta\right) g_{t}^{2}
    """
    _sympy()
    from sympy.printing.latex import LatexPrinter

    class Printer(LatexPrinter):  # type: ignore[misc]
        def _print_Symbol(self, symbol: Any, style: str = "plain") -> str:  # noqa: N802  # SymPy's signature
            return _GLYPHS[symbol.name].latex

    return "\n".join(Printer({"order": "lex"}).doprint(equation) for equation in equations(rule))


def mathml(rule: Rule) -> str:
    """Return the rule as presentation MathML: a `math` element with one table row for each equation.

    Args:
        rule: the dialect.

    Raises:
        ImportError: SymPy is not installed.

    Example:
        >>> from rmsprop import dialect
        >>> mathml(dialect("article")).count("<mtr>")
        2
    """
    printed = mathml_printer()
    body = "".join(f"<mtr><mtd>{printed(equation)}</mtd></mtr>" for equation in equations(rule))
    return f'<math xmlns="http://www.w3.org/1998/Math/MathML" display="block"><mtable columnalign="left">{body}</mtable></math>'


def mathml_printer(written: Callable[[str, str], str] = lambda name, glyph: glyph) -> Callable[[Any], str]:
    """Return what prints an expression of `equations` as presentation MathML, without the `math` element around it.

    Args:
        written: from a symbol's name and its MathML to the one element that is written.

    Raises:
        ImportError: SymPy is not installed.

    Example:
        >>> printed = mathml_printer(lambda name, glyph: f'<mrow id="{name}">{glyph}</mrow>')
        >>> printed(arguments(Rule())[2])
        '<mrow id="v_old"><msub><mi>v</mi><mrow><mi>t</mi><mo>-</mo><mn>1</mn></mrow></msub></mrow>'
    """
    _sympy()
    from sympy.printing.mathml import MathMLPresentationPrinter

    class Printer(MathMLPresentationPrinter):  # type: ignore[misc]
        def _print_Symbol(self, symbol: Any, style: str = "plain") -> Any:  # noqa: N802  # SymPy's signature
            from xml.dom.minidom import parseString

            return parseString(written(symbol.name, _GLYPHS[symbol.name].mathml)).documentElement

    printed: Callable[[Any], str] = Printer({"order": "lex"}).doprint
    return printed


def text(expression: Any) -> str:
    """Return an expression of `equations` on one line of Unicode text.

    Args:
        expression: a SymPy expression.

    Raises:
        ImportError: SymPy is not installed.

    Example:
        >>> text(equations(Rule())[0].rhs)
        'β·vₜ₋₁ + (1 - β)·gₜ²'
    """
    _sympy()
    from sympy.printing.str import StrPrinter

    class Printer(StrPrinter):  # type: ignore[misc]
        def _print_Symbol(self, symbol: Any) -> str:  # noqa: N802  # SymPy's signature
            return _GLYPHS[symbol.name].text

    printed: str = Printer({"order": "lex"}).doprint(expression)
    rooted = re.sub(r"sqrt\(([^\s()]+)\)", r"√\1", printed).replace("sqrt", "√")
    return rooted.replace("**2", "²").replace("*", "·")


def pretty(rule: Rule) -> str:
    """Return the rule as text drawn with Unicode, for a terminal.

    Args:
        rule: the dialect.

    Raises:
        ImportError: SymPy is not installed.

    Example:
        >>> from rmsprop import dialect
        >>> print(pretty(dialect("article")).splitlines()[1].rstrip())
        vₜ = β⋅vₜ₋₁ + (1 - β)⋅gₜ
    """
    _sympy()
    from sympy.printing.pretty.pretty import PrettyPrinter
    from sympy.printing.pretty.pretty_symbology import pretty_use_unicode
    from sympy.printing.pretty.stringpict import prettyForm

    class Printer(PrettyPrinter):  # type: ignore[misc]
        def _print_Symbol(self, symbol: Any, bold_name: bool = False) -> Any:  # noqa: N802  # SymPy's signature
            return prettyForm(_GLYPHS[symbol.name].text, binding=prettyForm.ATOM)

    before = pretty_use_unicode(True)
    try:
        printer = Printer({"order": "lex", "wrap_line": False})
        return "\n\n".join(printer.doprint(equation) for equation in equations(rule))
    finally:
        pretty_use_unicode(before)


def _scalars(rule: Rule, sympy: Any) -> Scalars:
    """Return the scalar arguments of `update` as symbols."""
    names = ("d_lr", "a_decay", "a_fresh", "z_eps", "a_momentum", "a_weight_decay", "a_correction", "a_prior")
    lr, decay, fresh, eps, momentum, weight_decay, correction, prior = (sympy.Symbol(name) for name in names)
    return rule.arranged(lr, decay, fresh, eps, momentum, weight_decay, correction, prior, prior, sympy.Integer(1))


def _sympy() -> Any:
    """Return SymPy, or say how to get it."""
    try:
        import sympy
    except ImportError as error:
        raise ImportError("formulas need SymPy; install it with: pip install 'rmsprop[fit]'") from error
    return sympy
