"""What a person probably meant by a formula that cannot be read."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterable

_PLAIN = str.maketrans(
    {
        "^": "**", "×": "*", "·": "*", "⋅": "*", "∙": "*", "÷": "/", "−": "-", "–": "-", "²": "**2", "³": "**3",
        "[": "(", "]": ")", "{": "(", "}": ")",
    }
)  # fmt: skip
# Longer suggestions are harder to read than the formula.
_LONGEST = 100
_NAME = r"[^\W\d]\w*"
_NUMBER = r"(?<![\w.])\d+\.?\d*(?:[eE][+-]?\d+)?"
# As other languages write it → as it is written here.
_REWRITES = (
    (re.compile(rf"\b(?:np|numpy|math|scipy|torch|jnp)\.(?={_NAME})"), ""),
    (re.compile(r"(\d),(?=\d)"), r"\1."),
    (re.compile(r"\|([^|]+)\|"), r"abs(\1)"),
    (re.compile(rf"√\s*(\(|{_NAME}|\d+\.?\d*)"), lambda m: "sqrt(" if m[1] == "(" else f"sqrt({m[1]})"),
    (re.compile(r"\b(?:pow|power)\(([^(),]+),([^(),]+)\)"), lambda m: f"({m[1].strip()})**({m[2].strip()})"),
    (re.compile(rf"({_NUMBER})\s*(?={_NAME}|\()"), r"\1*"),
    (re.compile(rf"\)\s*(?=\(|{_NAME}|\d)"), ")*"),
)
_SIDE_BY_SIDE = re.compile(rf"({_NAME})\s+({_NAME}|\d+\.?\d*)")
_CALL = re.compile(rf"({_NAME})(?=\s*\()")


def rewritten(text: str, functions: Iterable[str], reads: Callable[[str], object]) -> str | None:
    """Return a formula in the way that it is written here, or None where no such way is found.

    Args:
        text: the formula.
        functions: names of functions.
        reads: raises a ValueError for a formula that cannot be read.

    >>> from rmsprop.expression.language import FUNCTIONS, parse
    >>> rewritten("2x^2 + sin x", FUNCTIONS, parse)
    '2*x**2 + sin(x)'
    """
    known = set(functions)

    def apart(match: re.Match[str]) -> str:
        return f"{match[1]}({match[2]})" if match[1] in known else f"{match[1]}*{match[2]}"

    def called(match: re.Match[str]) -> str:
        if match[1] in known:
            return match[1]
        plain = re.sub("^arc", "a", match[1].lower())
        return plain if plain in known else f"{match[1]}*" if len(match[1]) <= 2 else match[1]

    candidate = text.translate(_PLAIN)
    for pattern, instead in _REWRITES:
        candidate = pattern.sub(instead, candidate)
    # A short name that is no function, before a parenthesis, is a factor.
    candidate = _CALL.sub(called, _SIDE_BY_SIDE.sub(apart, candidate))
    if candidate == text or len(candidate) > _LONGEST:
        return None
    try:
        reads(candidate)
    except ValueError:
        return None
    return candidate


def unbalanced(text: str) -> str | None:
    """Say which parenthesis has no partner, or that the formula breaks off.

    >>> unbalanced("a*(x + b")
    "the '(' at character 3 is not closed"
    """
    opened: list[int] = []
    for place, character in enumerate(text, 1):
        if character == "(":
            opened.append(place)
        elif character == ")":
            if not opened:
                return f"the ')' at character {place} closes nothing"
            opened.pop()
    if opened:
        return f"the '(' at character {opened[-1]} is not closed"
    return f"nothing follows the {text.rstrip()[-1]!r} at its end" if text.rstrip().endswith(("+", "-", "*", "/")) else None


def near(name: str, known: Iterable[str]) -> str:
    """Return "; did you mean …?" for a name like known ones, else nothing.

    >>> near("Temp", ["temp", "time"])
    '; did you mean temp?'
    """
    choices = list(known)
    same = [choice for choice in choices if choice.casefold() == name.casefold()]
    found = same or difflib.get_close_matches(name, choices, 3, 0.6)
    return f"; did you mean {' or '.join(found)}?" if found else ""


def listed(names: Iterable[str]) -> str:
    """Return names as one line, of which long ones and many are cut short.

    >>> listed(["x", "y"])
    'x, y'
    """
    every = [name if len(name) <= 40 else name[:37] + "..." for name in names]
    return ", ".join(every[:20]) + (f" and {len(every) - 20} more" if len(every) > 20 else "")
