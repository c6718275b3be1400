"""From data and a model to a result: read, start, run RMSprop, polish, measure."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rmsprop.data.source import ArraySource, Source, available_memory, open_source
from rmsprop.expression.evaluate import Evaluator
from rmsprop.expression.model import Model
from rmsprop.fit import article, start
from rmsprop.fit.errors import DivergedError, UsageError
from rmsprop.fit.measure import Answer, measure
from rmsprop.fit.options import Options
from rmsprop.fit.polish import Polished
from rmsprop.fit.problem import SAMPLE, InMemory, Streamed, sample
from rmsprop.fit.result import FitResult, Parameter, RMSpropEnd
from rmsprop.fit.start import checked_start
from rmsprop.fit.strategy import best_polish
from rmsprop.fit.stream import Pieces, too_large
from rmsprop.fit.train import Progress, Run, Settings, train, trouble_of

Array = NDArray[np.float64]

# Of the free memory, what a fit may use for its columns by default.
_MEMORY_SHARE = 2
# Rows in a mini-batch of a file that is larger than memory.
_STREAM_BATCH = 4_096
# Where a start is in doubt, how many others are polished, and from how many of them RMSprop runs.
_OTHERS, _RUNS = 6, 2


def fit(
    data: Any = None,
    model: str | None = None,
    *,
    start: Mapping[str, float] | None = None,
    lr: float | None = None,
    decay: float | None = None,
    eps: float | None = None,
    momentum: float | None = None,
    dialect: str = "article",
    epochs: int | None = None,
    batch_size: int | None = None,
    loss: str = "mse",
    delta: float | None = None,
    schedule: str | None = None,
    scale: str | None = None,
    sigma: str | None = None,
    seed: int = 0,
    polish: bool = True,
    recipe: str | None = None,
    missing: str = "drop",
    memory: int | None = None,
    progress: Progress | None = None,
) -> FitResult:
    """Fit a model to data: RMSprop on scaled parameters, then Levenberg-Marquardt for the last digits.

    mse: (1/n) Σ (f(x; θ) - y)²,  mae: (1/n) Σ |f - y|,  huber: (1/n) Σ h(f - y), h quadratic inside delta and linear outside

    Args:
        data: path of a CSV or Parquet file, mapping of name to array (n,), or frame.
        model: "left = right" of the columns' names; unknown names on the right are the parameters.
        start: parameter → start value; the others get one that suits the data.
        lr: learning rate, > 0, in the scaled coordinates (by default 0.3 for restarts, 0.03 for other schedules).
        decay: decay of the mean square, in [0, 1).
        eps: added to the root of the mean square, > 0.
        momentum: in [0, 1).
        dialect: a name of `rmsprop.dialect_names()`.
        epochs: passes over the data, ≥ 1 (by default 2,000, fewer for many rows; restarts may end sooner).
        batch_size: rows of a mini-batch; by default all rows in every step.
        loss: "mse", "mae" or "huber".
        delta: where Huber's loss turns linear, in units of the residual; by default 1.345 robust standard deviations.
        schedule: "restarts", "constant", "cosine", "linear", "exponential" or "step".
        scale: coordinates of the run: "curvature", "start" or "none" (the parameters as they are).
        sigma: column with the standard deviation of the left side.
        seed: of mini-batches and of start values that are not given, ≥ 0.
        polish: whether to polish.
        recipe: "article" repeats the tutorial's run: lr 0.01, decay 0.9, eps 1e-8, 1,000 epochs, nothing scaled; without data
            and model, on the tutorial's own.
        missing: "drop" rows with a missing or non-finite cell, or "refuse" them.
        memory: bytes that the columns may take before the file is fitted in pieces; by default half of what is free.
        progress: called with (epoch, epochs, lowest loss) some 400 times.

    Returns:
        The result; `print` shows its report.

    Raises:
        UsageError: an option or the model cannot be used.
        DataError: the data cannot be used.
        DivergedError: RMSprop diverged and polishing was switched off.

    >>> import numpy as np
    >>> x = np.linspace(0, 4, 50)
    >>> result = fit({"x": x, "y": 3 * np.exp(-0.7 * x)}, "y = a*exp(-b*x)", start={"a": 1, "b": 1})
    >>> {name: round(p.value, 6) for name, p in result.parameters.items()}
    {'a': 3.0, 'b': 0.7}
    """
    options = Options(
        start={} if start is None else dict(start), lr=lr, decay=decay, eps=eps, momentum=momentum, dialect=dialect, epochs=epochs,
        batch_size=batch_size, loss=loss, delta=delta, schedule=schedule, scale=scale, sigma=sigma, seed=seed, polish=polish,
        recipe=recipe, missing=missing, memory=memory,
    )  # fmt: skip
    began = time.perf_counter()
    options.check()
    data, model, options = _recipe_data(data, model, options)
    source = open_source(data)
    compiled = _compiled(source, model, options)
    allowed = available_memory() // _MEMORY_SHARE if memory is None else memory
    if too_large(source, len(compiled.used_columns), allowed):
        return _fit_pieces(source, compiled, options, allowed, progress, began)
    table = source.read(compiled.used_columns, options.missing)
    notes = source.notes + table.notes + _unused(source, compiled)
    problem = InMemory(compiled, table.columns, batch_size=options.batch_size, seed=seed, delta=options.delta)
    theta = checked_start(compiled, table.columns, options, notes)
    settings = options.settings(table.n, False)
    run = train(problem, theta, settings, progress)
    answer = _answer(problem, compiled, theta, run, options, settings, notes)
    return _result(compiled, source, options, settings, theta, run, answer, notes, sample(table.columns, SAMPLE), began)


def _recipe_data(data: Any, model: str | None, options: Options) -> tuple[Any, str, Options]:
    if options.recipe and data is None and model is None:
        columns, start = article.data()
        source = ArraySource(columns)
        source.title = "the article's own data"
        return source, article.MODEL, replace(options, start={**start, **options.start})
    if data is None or model is None:
        raise UsageError("give DATA and MODEL, such as: data.csv 'y = a*x + b'; only a recipe brings its own")
    return data, model, options


def _compiled(source: Source, model: str, options: Options) -> Model:
    """Return the model; where it cannot be read, the error says how the columns that it seems to name are called in it."""
    try:
        return Model(model, source.names, sigma=_sigma(source, options.sigma), loss=options.loss, start=options.start)
    except UsageError as error:
        changed = [
            f"column {label!r} is called {name} in the model"
            for label, name in zip(source.labels, source.names, strict=True)
            if label and label != name and label in model
        ]
        raise type(error)("; ".join([str(error), *changed[:3]])) from None


def _unused(source: Source, model: Model) -> list[str]:
    """Say which columns the model leaves out: a misspelt one becomes a parameter."""
    unused = [name for name in source.names if name not in model.used_columns]
    return [f"columns that the model does not use: {', '.join(unused)}"] if unused else []


def _sigma(source: Source, sigma: str | None) -> str | None:
    """Return the name of the sigma column, which may be given as the file has it."""
    return source.names[source.labels.index(sigma)] if sigma in source.labels and sigma not in source.names else sigma


def _answer(
    problem: InMemory, model: Model, theta: Array, run: Run, options: Options, settings: Settings, notes: list[str]
) -> Answer:
    """Polish where that is asked for and possible."""
    delta = problem.delta if model.loss == "huber" else None
    if delta is not None:
        notes.append(f"huber's delta is {delta:.6g}")
    rough = run.end if options.recipe else run.best
    trouble = trouble_of(run, settings)
    done: Polished | None = None
    why = _why_not_polished(problem, model, run, options)
    if why is None:
        try:
            guessed = any(name not in options.start and name not in model.linear for name in model.parameters)
            done = best_polish(problem.whole, run.best, theta, delta, _others(problem, model, options, settings), guessed=guessed)
        except KeyboardInterrupt:
            run.interrupted = True
            why = "polishing was interrupted"
    if trouble is not None:
        if not run.interrupted and (done is None or not done.converged):
            raise DivergedError(trouble)
        notes.append(trouble)
    if done is None:
        return measure(model, problem.whole, rough, rough, f"not polished: {why}", problem.delta)
    return measure(model, problem.whole, done.theta, rough, _told(done), problem.delta)


def _others(problem: InMemory, model: Model, options: Options, settings: Settings) -> Iterator[tuple[str, Array]]:
    """Yield where else to begin, given starts or not: what the data suggest, and the ends of runs from there."""
    rows = sample(problem.columns, start.ROWS)
    found = start.suggestions(model, Evaluator(model, rows), rows, {}, options.seed)
    yield from (("another start", point) for point in found[1 : _OTHERS + 1])
    for point in found[:_RUNS]:
        if np.isfinite(problem.full(point)[1]).all():
            yield "a run from another start", train(problem, point, settings).best


def _told(done: Polished) -> str:
    names = {"lm": "Levenberg-Marquardt", "trf": "a trust region"}
    return f"{names[done.method]} from {done.origin}, {done.evaluations} evaluations"


def _why_not_polished(problem: InMemory, model: Model, run: Run, options: Options) -> str | None:
    if options.recipe:
        return f"the recipe {options.recipe} is RMSprop alone"
    if run.interrupted:
        return "the run was interrupted"
    if not options.polish:
        return "switched off"
    if model.loss == "mae":
        return "mae has no derivative at its optimum, which least-squares methods need"
    needed = 8 * 4 * problem.n * (len(model.parameters) + 2)
    if needed > available_memory() // 2:
        return f"the derivatives would take {needed / 1e9:.1f} GB"
    return None


def _fit_pieces(source: Source, model: Model, options: Options, memory: int, progress: Progress | None, began: float) -> FitResult:
    """Fit a file that is larger than the memory allowed, by mini-batches."""
    if options.schedule == "restarts":
        raise UsageError("schedule restarts needs all rows in memory; use another schedule, or allow more memory")
    if options.recipe:
        raise UsageError(f"recipe {options.recipe} needs all rows in memory; allow more memory")
    pieces = Pieces(source, model.used_columns, memory, options.missing)
    try:
        size = options.batch_size or _STREAM_BATCH
        notes = [
            *source.notes,
            f"the file is larger than the memory allowed: read in {len(pieces.sizes)} pieces, mini-batches of {size:,} rows",
        ]
        if pieces.dropped:
            notes.append(f"{pieces.dropped:,} rows with a missing or non-finite cell were dropped; {pieces.n:,} are left")
        problem = Streamed(model, pieces, batch_size=size, seed=options.seed, delta=options.delta)
        rows = pieces.read(0)
        theta = checked_start(model, rows, options, notes)
        settings = replace(options, batch_size=size).settings(pieces.n, True)
        run = train(problem, theta, settings, progress)
        trouble = trouble_of(run, settings)
        if trouble is not None:
            if not run.interrupted:
                raise DivergedError(trouble)
            notes.append(trouble)
        why = "not polished: the file is larger than the memory allowed"
        answer = measure(model, problem, run.end, run.end, why, problem.delta)
        return _result(model, source, options, settings, theta, run, answer, notes, sample(rows, SAMPLE), began)
    finally:
        pieces.close()


def _result(
    model: Model,
    source: Source,
    options: Options,
    settings: Settings,
    theta: Array,
    run: Run,
    answer: Answer,
    notes: list[str],
    rows: dict[str, Array],
    began: float,
) -> FitResult:
    names = model.parameters
    s = answer.statistics
    stderr = [None] * len(names) if s.stderr is None else [float(value) for value in s.stderr]
    used = {
        key: value for key, value in asdict(options).items() if key in ("recipe", "seed", "loss", "sigma", "delta", "batch_size")
    }
    used |= {
        "lr": settings.lr,
        "dialect": settings.dialect,
        **settings.axes,
        "schedule": settings.schedule,
        "scale": settings.scale,
    }
    return FitResult(
        model=model.text,
        parameters={
            name: Parameter(float(value), error, float(first))
            for name, value, error, first in zip(names, answer.theta, stderr, theta, strict=True)
        },
        rss=s.rss,
        r2=s.r2,
        rmse=s.rmse,
        epochs=run.epochs,
        converged=answer.converged and not run.interrupted,
        interrupted=run.interrupted,
        rmsprop=RMSpropEnd({name: float(value) for name, value in zip(names, answer.rough, strict=True)}, answer.rough_rss),
        seconds=time.perf_counter() - began,
        losses=run.losses,
        statistics=s,
        polish=answer.polish,
        notes=notes,
        settings=used,
        title=source.title,
        compiled=model,
        run=run,
        rows=rows,
    )
