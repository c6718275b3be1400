"""A model: the formula's two sides, which names are columns and which are parameters, its losses and derivatives."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from functools import cached_property

from rmsprop.errors import UsageError
from rmsprop.expression.hints import listed, near
from rmsprop.expression.language import FUNCTIONS, Binary, Call, Expression, Name, Negative, Number, names, parse, split_model
from rmsprop.expression.tape import Builder

CONSTANTS = {"pi": math.pi, "e": math.e}
LOSSES = ("mse", "mae", "huber")
#: Parameters of the tape that no formula can name, as they hold a space.
DELTA = "huber delta"


class Model:
    """`left = right` over the columns of a data set; unknown names on the right are the parameters.

    Args:
        text: the model, such as "y = a*x**2 + b*x + c" or "log(y) = a + b*x".
        columns: names of the columns that there are.
        sigma: column with the standard deviation of each row's left side, if any.
        loss: "mse", "mae" or "huber".
        constants: values of names that are neither columns nor parameters; by default pi and e.
        start: names given a start value: they are parameters even where a constant has the name.

    Raises:
        UsageError: the model cannot be read, or does not fit the columns.

    >>> model = Model("y = a*exp(-x/tau)", ["x", "y"])
    >>> model.parameters, model.used_columns
    (['a', 'tau'], ['x', 'y'])
    """

    def __init__(
        self, text: str, columns: Iterable[str], *, sigma: str | None = None, loss: str = "mse", start: Iterable[str] = ()
    ) -> None:
        if loss not in LOSSES:
            raise UsageError(f"loss must be one of {', '.join(LOSSES)}, got {loss!r}")
        self.text = " ".join(text.split())
        self.loss = loss
        self.sigma = sigma
        left_text, right_text = split_model(text)
        self.left, self.right = parse(left_text), parse(right_text)
        known = list(columns)
        self._columns = frozenset(known)
        given = set(start)
        self._constants = {k: v for k, v in CONSTANTS.items() if k not in self._columns and k not in given}
        self._check_names(known, left_text)
        right_names = names(self.right)
        self.parameters = [n for n in right_names if n not in self._columns and n not in self._constants]
        self.right_columns = [n for n in right_names if n in self._columns]
        self.left_columns = [n for n in names(self.left) if n in self._columns]
        used = dict.fromkeys(self.right_columns + self.left_columns + ([sigma] if sigma else []))
        self.used_columns = list(used)
        self._check_parameters(known, given)

        b = self.builder = Builder()
        self.prediction = b.expression(self.right, self._columns, self._constants)
        self.response = b.expression(self.left, self._columns, self._constants)
        residual = b.op("sub", self.prediction, self.response)
        self.residual = b.op("div", residual, b.column(sigma)) if sigma else residual

    def _check_names(self, known: Sequence[str], left_text: str) -> None:
        for name in names(self.left):
            if name not in self._columns and name not in self._constants:
                raise UsageError(
                    f"the left side {left_text!r} uses {name!r}, which is not a column; the columns are {listed(known)}"
                    f"{near(name, known)}"
                )
        if not any(name in self._columns for name in names(self.left)):
            raise UsageError(f"the left side {left_text!r} uses no column; the columns are {listed(known)}")
        if isinstance(self.left, Name) and self.left.id in names(self.right):
            raise UsageError(
                f"{self.left.id!r} stands on both sides of the model; the right side must predict it from other columns"
            )
        if self.sigma is not None and self.sigma not in self._columns:
            raise UsageError(
                f"the column {self.sigma!r} named by sigma is not there; the columns are {listed(known)}{near(self.sigma, known)}"
            )

    def _check_parameters(self, known: Sequence[str], given: set[str]) -> None:
        if not self.parameters:
            raise UsageError(
                f"the model {self.text!r} has no parameter to fit: every name is a column or a constant ({listed(known)}, pi, e)"
            )
        for name in self.parameters:
            if name in FUNCTIONS:
                raise UsageError(f"{name} is a function; write {name}(...), or give the parameter another name")
        if not self.right_columns and len(self.parameters) > 1:
            hints = [
                f"; a product is written {name.removesuffix(column)}*{column}"
                for name in self.parameters
                for column in known
                if name.endswith(column) and name != column
            ] + [near(name, known) for name in self.parameters]
            hint = next(filter(None, hints), "")
            raise UsageError(f"the right side of {self.text!r} uses no column; the columns are {listed(known)}{hint}")
        unknown = sorted(given - set(self.parameters))
        if unknown:
            raise UsageError(
                f"start names {', '.join(map(repr, unknown))}, which the model does not have;"
                f" its parameters are {listed(self.parameters)}{near(unknown[0], self.parameters)}"
            )

    @cached_property
    def _scalars(self) -> list[int]:
        return sorted(self.builder.scalars_of(self.prediction))

    @cached_property
    def loss_terms(self) -> tuple[int, int]:
        """The term of one row in the loss, and its derivative by the residual (of half the term for mse, as article B has it)."""
        b, r = self.builder, self.residual
        if self.loss == "mse":
            return b.op("square", r), r
        if self.loss == "mae":
            return b.op("abs", r), b.op("sign", r)
        delta = b.parameter(DELTA)
        clipped = b.op("max", b.op("min", r, delta), b.op("neg", delta))
        # With c the clipped residual, Huber's loss is c (r - c/2) = r²/2 inside and delta (|r| - delta/2) outside.
        return b.op("mul", clipped, b.op("sub", r, b.op("mul", b.number(0.5), clipped))), clipped

    @cached_property
    def gradient_sums(self) -> tuple[list[int], list[int]]:
        """What to sum over rows, and the parameter-only formulas that turn the sums into the gradient.

        Returns:
            The nodes to sum; and for each parameter the node of its derivative, which reads sum k as the parameter `sum k`.
        """
        b = self.builder
        seed = self.loss_terms[1]
        if self.sigma:
            seed = b.op("div", seed, b.column(self.sigma))
        rows = b.gradient(self.prediction, seed, frozenset(self._scalars))
        summed = [rows[i] for i in self._scalars]
        return summed, self._chain({i: b.parameter(f"sum {k}") for k, i in enumerate(self._scalars)})

    @cached_property
    def jacobian(self) -> list[int]:
        """The derivative of each row's residual by each parameter."""
        b = self.builder
        seed = b.op("div", b.number(1.0), b.column(self.sigma)) if self.sigma else b.number(1.0)
        return self._chain(b.gradient(self.prediction, seed, frozenset(self._scalars)))

    def _chain(self, adjoints: dict[int, int]) -> list[int]:
        """Carry adjoints of the parameter-only nodes on to the parameters themselves."""
        b = self.builder
        total: dict[str, int] = {}
        for index, adjoint in adjoints.items():
            for leaf, share in b.gradient(index, adjoint).items():
                name = str(b.nodes[leaf].value)
                total[name] = b.op("add", total[name], share) if name in total else share
        # A parameter whose every use folds away, as in a**0, has no adjoint.
        return [total[name] if name in total else b.number(0.0) for name in self.parameters]

    @cached_property
    def linear(self) -> list[str]:
        """Parameters in which the right side is linear together, the others held fixed; the first such set that is found."""
        chosen: list[str] = []
        for name in self.parameters:
            if _degree(self.right, frozenset([*chosen, name])) <= 1:
                chosen.append(name)
        return chosen


def _degree(tree: Expression, chosen: frozenset[str]) -> float:
    """Return the degree of a formula in some names together; inf where it is no polynomial in them."""
    match tree:
        case Number():
            return 0
        case Name(name):
            return int(name in chosen)
        case Negative(argument):
            return _degree(argument, chosen)
        case Call(_, argument):
            return math.inf if _degree(argument, chosen) else 0
        case Binary("+" | "-", left, right):
            return max(_degree(left, chosen), _degree(right, chosen))
        case Binary("*", left, right):
            return _degree(left, chosen) + _degree(right, chosen)
        case Binary("/", left, right):
            return math.inf if _degree(right, chosen) else _degree(left, chosen)
        case Binary(_, left, right):
            powers = _degree(left, chosen) or _degree(right, chosen)
            plain = isinstance(right, Number) and right.value == 1.0
            return _degree(left, chosen) if plain else (math.inf if powers else 0)
