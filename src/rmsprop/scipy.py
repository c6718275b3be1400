"""RMSprop as a minimizer of functions, in SciPy's manner."""

import inspect
import warnings
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from rmsprop.dialects import dialect as _dialect
from rmsprop.optimizer import RMSprop
from rmsprop.rule import AXES, Rule
from rmsprop.schedules import schedule as _schedule

if TYPE_CHECKING:
    from scipy.optimize import OptimizeResult

Array = NDArray[Any]
_MESSAGES = {
    0: "The gradient is within gtol.",
    1: "Reached maxiter before the gradient was within gtol; raise maxiter or lr.",
    2: "The gradient is not finite, or its square overflows; lower lr or start elsewhere.",
    3: "The function is not finite where its gradient vanishes; start elsewhere.",
    99: "The callback stopped the run.",
}


def minimize(
    fun: Callable[..., Any],
    x0: ArrayLike,
    args: tuple[Any, ...] = (),
    *,
    jac: Callable[..., Any] | bool | None = None,
    bounds: Any = None,
    callback: Callable[..., Any] | None = None,
    lr: float | None = None,
    dialect: str | Rule = "article",
    schedule: str = "cosine",
    maxiter: int = 10_000,
    gtol: float = 1e-5,
    tol: float | None = None,
    **axes: Any,
) -> "OptimizeResult":
    """Minimize a function of one or more variables with RMSprop.

    x ← x - lr(t) / (√v + eps)·∇fun(x); with bounds, x is put back into them after each step

    A step is about lr in the units of x, so scale x to the order of 1, and choose lr and maxiter such that lr·maxiter/2 exceeds the
    way to go. At a constant learning rate the end is a cycle about lr wide; the schedules shrink it.

    Args:
        fun: function of (x, *args), x of x0's shape, that returns a number; with jac=True the number and the gradient.
        x0: where to start, real, any shape; not changed.
        args: further arguments of fun and jac.
        jac: gradient as a function of (x, *args); True if fun returns it; by default forward differences, n + 1 calls a step.
        bounds: `scipy.optimize.Bounds`, or (low, high) pairs with None for no bound.
        callback: called after each step with x, or with an `OptimizeResult` of x, fun, jac and nit if its one parameter is named
            intermediate_result; raising StopIteration, or returning True, ends the run.
        lr: learning rate of the first step, ≥ 0; by default the dialect's.
        dialect: name or `Rule`.
        schedule: one of `rmsprop.schedules.schedule_names()`.
        maxiter: steps at most, ≥ 1.
        gtol: end when no component of the gradient exceeds this, ≥ 0.
        tol: SciPy's name for gtol; used where it is given.
        axes: axes of `Rule`, but for maximize: minimize the negative of fun.

    Returns:
        `scipy.optimize.OptimizeResult` with x, fun, jac, nit, nfev, njev, status, success and message; x is the last point with a
        finite gradient.

    Raises:
        ImportError: SciPy is not installed.
        TypeError: an argument has the wrong type.
        ValueError: a value is not allowed.

    Example:
        >>> result = minimize(lambda x: ((x - 3) ** 2).sum(), [0.0, 0.0], jac=lambda x: 2 * (x - 3))
        >>> result.success, result.x.round(4).tolist()
        (True, [3.0, 3.0])
    """
    optimize = _optimize()
    rule = _dialect(dialect, **_axes(axes))
    if rule.maximize:
        raise ValueError("maximize=True contradicts minimize; minimize the negative of fun")
    if np.iscomplexobj(x0):
        raise TypeError(f"x0 must be real, got {x0!r}; minimize over its parts")
    x = np.array(x0, dtype=np.float64)
    if not np.isfinite(x).all():
        raise ValueError(f"x0 must be finite, got {x0!r}")
    if isinstance(maxiter, bool) or not isinstance(maxiter, int | np.integer) or maxiter < 1:
        raise ValueError(f"maxiter must be an integer of at least 1, got {maxiter!r}")
    limit = gtol if tol is None else tol
    if not limit >= 0:
        raise ValueError(f"{'gtol' if tol is None else 'tol'} must be at least 0, got {limit!r}")
    low, high = _bounds(optimize, bounds, x)
    problem = _Problem(fun, jac, args if isinstance(args, tuple) else (args,), x, high)
    np.clip(x, low, high, out=x)
    optimizer = RMSprop(x, lr, rule)
    optimizer.lr = _schedule(schedule, optimizer.lr, int(maxiter))  # type: ignore[arg-type]  # a number until here
    report = _reporter(optimize, callback)

    status = 1
    last: tuple[Array, Array] | None = None
    for nit in range(maxiter + 1):
        gradient = problem.gradient(x)
        if not np.isfinite(gradient).all():
            status = 2
            break
        last = x.copy(), gradient
        if nit and report is not None and report(problem, x, gradient, nit):
            status = 99
            break
        if _projected(x, gradient, low, high).max(initial=0.0) <= limit:
            status = 0
            break
        if nit == maxiter:
            break
        try:
            optimizer.step(gradient)
        except FloatingPointError:  # finite, but its square is not
            status = 2
            break
        np.clip(x, low, high, out=x)
    end, gradient = last if last is not None else (x, gradient)
    value = problem.value(end)
    if status == 0 and not np.isfinite(value):
        status = 3
    return optimize.OptimizeResult(
        x=end,
        fun=value,
        jac=gradient,
        nit=optimizer.steps,
        nfev=problem.nfev,
        njev=problem.njev,
        status=status,
        success=status == 0,
        message=_MESSAGES[status],
    )


def rmsprop(fun: Callable[..., Any], x0: ArrayLike, args: tuple[Any, ...] = (), **options: Any) -> "OptimizeResult":
    """Run `minimize` as a method of `scipy.optimize.minimize`, which passes keywords that not every method knows.

    Args:
        fun: as for `minimize`.
        x0: as for `minimize`.
        args: as for `minimize`.
        options: keywords of `minimize`; others are ignored, with a warning where they would have changed the problem.

    Example:
        >>> from scipy import optimize
        >>> optimize.minimize(lambda x: (x[0] - 1) ** 2, [0.0], method=rmsprop, options={"lr": 0.1}).x.round(4).tolist()
        [1.0]
    """
    if options.get("constraints"):
        warnings.warn("method rmsprop cannot handle constraints; use bounds, or a penalty in fun", RuntimeWarning, stacklevel=2)
    return minimize(fun, x0, args, **{name: value for name, value in options.items() if name in {*_options(), *AXES}})


def _options() -> list[str]:
    """Return the keywords of `minimize` but for the axes."""
    return [name for name in inspect.signature(minimize).parameters if name not in ("fun", "x0", "args", "axes")]


def _axes(axes: dict[str, Any]) -> dict[str, Any]:
    """Return keywords that are axes, or refuse the first that is not."""
    unknown = [name for name in axes if name not in AXES]
    if unknown:
        raise TypeError(f"unknown keyword {unknown[0]!r}; minimize takes {', '.join([*_options(), *AXES])}")
    return axes


class _Problem:
    """A function with its gradient, and how often each was called."""

    def __init__(self, fun: Callable[..., Any], jac: Any, args: tuple[Any, ...], x0: Array, high: Array) -> None:
        if jac is not None and jac is not False and jac is not True and not callable(jac):
            raise TypeError(f"jac must be a function, True or None, got {jac!r}; differences are taken when it is None")
        self._fun = fun
        self._high = high
        self._jac = jac if callable(jac) else None
        self._both = jac is True
        self._args = args
        self._shape = x0.shape
        self._known: tuple[bytes, float, Array | None] | None = None
        self.nfev = self.njev = 0

    def value(self, x: Array) -> float:
        """Return fun(x)."""
        key = x.tobytes()
        if self._known is None or self._known[0] != key:
            self._known = (key, *self._call(x))
        return self._known[1]

    def gradient(self, x: Array) -> Array:
        """Return the gradient at x, in x's shape."""
        if self._jac is not None:
            self.njev += 1
            found = np.array(self._jac(x.copy(), *self._args), dtype=np.float64)  # it may reuse its array
        elif self._both:
            self.value(x)
            assert self._known is not None
            self.njev += 1
            found = np.array(self._known[2], dtype=np.float64)
        else:
            self.njev += 1
            found = self._differences(x)
        if found.shape != self._shape:
            if found.size != int(np.prod(self._shape)):
                raise ValueError(f"the gradient must have the shape {self._shape} of x0, got {found.shape}")
            found = found.reshape(self._shape)
        return found

    def _differences(self, x: Array) -> Array:
        """Return the gradient by forward differences, backward where a step forward would leave the bounds."""
        here = self.value(x)
        steps = np.finfo(np.float64).eps ** 0.5 * np.maximum(1.0, np.abs(x))
        steps = np.where(x + steps > self._high, -steps, steps)
        found = np.empty(self._shape)
        for index in np.ndindex(self._shape):
            near = x.copy()
            near[index] += steps[index]
            found[index] = (self._call(near)[0] - here) / (near[index] - x[index])
        return found

    def _call(self, x: Array) -> tuple[float, Array | None]:
        """Call fun, and return the value with the gradient if fun gives one."""
        self.nfev += 1
        result = self._fun(x.copy(), *self._args)
        if self._both and not (isinstance(result, tuple | list) and len(result) == 2):
            raise TypeError(f"with jac=True fun must return (value, gradient), got {type(result).__name__}")
        value, gradient = result if self._both else (result, None)
        if np.iscomplexobj(value):
            raise TypeError(f"fun must return a real number, got {value!r}; minimize its modulus")
        number = np.asarray(value, dtype=np.float64)
        if number.size != 1:
            raise ValueError(f"fun must return one number, got an array of shape {number.shape}; minimize a sum or a mean")
        return float(number.reshape(())), gradient


def _bounds(optimize: Any, bounds: Any, x: Array) -> tuple[Array, Array]:
    """Return the lowest and highest x allowed, in x's shape."""
    if bounds is None:
        return np.full(x.shape, -np.inf), np.full(x.shape, np.inf)
    wanted = f"bounds must be scipy.optimize.Bounds or one (low, high) pair for each of {x.size} variables"
    try:
        if isinstance(bounds, optimize.Bounds):
            low, high = (np.broadcast_to(np.asarray(side, float), x.shape) for side in (bounds.lb, bounds.ub))
        else:
            low, high = (np.array(side, float).reshape(x.shape) for side in zip(*map(_pair, bounds), strict=True))
    except (TypeError, ValueError) as error:
        raise ValueError(f"{wanted}, got {bounds!r}") from error
    if np.isnan(low).any() or np.isnan(high).any():
        raise ValueError(f"a bound is nan, got {bounds!r}; use None or inf for no bound")
    if (low > high).any():
        raise ValueError(f"a lower bound is above its upper bound: {low[low > high].flat[0]} > {high[low > high].flat[0]}")
    return low, high


def _pair(pair: Any) -> tuple[float, float]:
    """Return the lowest and highest value of one variable; None is no bound."""
    low, high = pair
    return -np.inf if low is None else low, np.inf if high is None else high


def _projected(x: Array, gradient: Array, low: Array, high: Array) -> Array:
    """Return the size of each component of the gradient along which x may still move."""
    stuck = ((x <= low) & (gradient > 0)) | ((x >= high) & (gradient < 0))
    return np.where(stuck, 0.0, np.abs(gradient))


def _reporter(optimize: Any, callback: Callable[..., Any] | None) -> Callable[[_Problem, Array, Array, int], bool] | None:
    """Return a function that calls the user's callback, and returns whether it asked to stop."""
    if callback is None:
        return None
    try:
        parameters = set(inspect.signature(callback).parameters)
    except ValueError:  # a builtin may tell no signature
        parameters = set()

    def report(problem: _Problem, x: Array, gradient: Array, nit: int) -> bool:
        try:
            if parameters == {"intermediate_result"}:
                state = optimize.OptimizeResult(x=x.copy(), fun=problem.value(x), jac=gradient, nit=nit)
                answer = callback(intermediate_result=state)
            else:
                answer = callback(x.copy())
            return isinstance(answer, bool | np.bool_) and bool(answer)
        except StopIteration:
            return True

    return report


def _optimize() -> Any:
    """Return `scipy.optimize`, or say how to get it."""
    try:
        from scipy import optimize
    except ImportError as error:
        raise ImportError("minimize needs SciPy; install it with: pip install 'rmsprop[fit]'") from error
    return optimize
