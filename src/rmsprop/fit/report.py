"""The report of a fit as text, in the manner of lmfit."""

from __future__ import annotations

import math
from itertools import combinations
from textwrap import fill

from rmsprop.fit.article import LR
from rmsprop.fit.result import FitResult

#: Correlations weaker than this are left out, as in lmfit.
LEAST_CORRELATION = 0.1
_MOST_CORRELATIONS = 10
# A standard error that many times a value is no longer told as its share.
_LARGEST_SHARE = 100


def report(fit: FitResult) -> str:
    """Return the whole report."""
    parts = [_head(fit), _run(fit), _parameters(fit), _measures(fit)]
    if fit.statistics.correlation is not None and len(fit.parameters) > 1:
        parts.append(_correlations(fit))
    if fit.settings.get("recipe"):
        parts.append(_cycle())
    if fit.notes:
        parts.append("[[Notes]]\n" + "\n".join(_wrapped(note) for note in fit.notes))
    return "\n".join(part for part in parts if part)


def _head(fit: FitResult) -> str:
    s = fit.statistics
    return f"[[Fit]] {fit.title}: {s.n:,} rows\n    {fit.model}"


def _run(fit: FitResult) -> str:
    first = fit.losses[1] if len(fit.losses) > 1 else fit.losses[0]
    kind = fit.settings["loss"]
    used, epochs = fit.settings, f"{fit.epochs:,} epochs"
    lines = [
        "[[Run]]",
        f"    RMSprop      {epochs} ({used['dialect']}, lr {used['lr']:g}, {used['schedule']})",
        f"    loss         {kind} {fit.losses[0]:.6g} at the start, {first:.6g} after the first epoch,"
        f" {fit.losses[-1]:.6g} after the last",
        f"    alone        RSS {fit.rmsprop.rss:.8g} at " + ", ".join(f"{k} = {v:.6g}" for k, v in fit.rmsprop.parameters.items()),
    ]
    if fit.polish.startswith("not polished"):
        lines.append(f"    {fit.polish}")
    else:
        gain = fit.rmsprop.rss - fit.rss
        share = f", {gain / fit.rmsprop.rss:.2g} of it" if fit.rmsprop.rss > 0 else ""
        added = f"lowered RSS by {gain:.3g}{share}" if gain > 0 else "RSS was already at its lowest"
        lines.append(f"    polished     {added}: {fit.polish}")
    if fit.interrupted:
        lines.append("    stopped      by Ctrl-C: these are the best parameters so far")
    lines.append(f"    converged    {'yes' if fit.converged else 'no'}")
    lines.append(f"    seconds      {fit.seconds:.2f}")
    return "\n".join(lines)


def _parameters(fit: FitResult) -> str:
    width = max(map(len, fit.parameters))
    lines = ["[[Parameters]]"]
    for name, p in fit.parameters.items():
        line = f"    {name + ':':<{width + 1}} {_number(p.value):>15}"
        if p.stderr is not None:
            share = abs(p.stderr / p.value) if p.value else math.inf
            relative = f" ({share:.2%})" if share < _LARGEST_SHARE else ""
            line += f" ± {p.stderr:<11.6g}{relative:<10}"
        lines.append(f"{line} (start = {p.start:g})")
    if fit.statistics.no_stderr:
        lines.append(f"    no standard errors: {fit.statistics.no_stderr}")
    return "\n".join(lines)


def _measures(fit: FitResult) -> str:
    s = fit.statistics
    weighted = " (weighted by 1/sigma²)" if fit.settings.get("sigma") else ""
    rows = [
        ("RSS" + weighted, fit.rss),
        ("R²", fit.r2),
        ("RMSE", fit.rmse),
        ("reduced χ²", s.reduced_chi_square),
        ("AIC", s.aic),
        ("BIC", s.bic),
        ("condition number", s.condition),
    ]
    width = max(len(label) for label, _ in rows)
    return "[[Measures]]\n" + "\n".join(f"    {label:<{width}}  {_number(value)}" for label, value in rows)


def _correlations(fit: FitResult) -> str:
    matrix = fit.statistics.correlation
    assert matrix is not None
    pairs = [(float(matrix[i, k]), a, b) for (i, a), (k, b) in combinations(enumerate(fit.parameters), 2)]
    strong = sorted((pair for pair in pairs if abs(pair[0]) >= LEAST_CORRELATION), key=lambda pair: -abs(pair[0]))
    if not strong:
        return f"[[Correlations]] all below {LEAST_CORRELATION}"
    shown = strong[:_MOST_CORRELATIONS]
    width = max(len(f"{a}, {b}") for _, a, b in shown)
    lines = [f"    {f'{a}, {b}':<{width}}  {value:+.4f}" for value, a, b in shown]
    if len(strong) > len(shown):
        lines.append(f"    and {len(strong) - len(shown)} weaker ones, in fit.json")
    return f"[[Correlations]] (those below {LEAST_CORRELATION} are left out)\n" + "\n".join(lines)


def _cycle() -> str:
    return _wrapped(
        "[[Recipe]] RMSprop at a constant learning rate does not come to rest: near the optimum every parameter moves by about"
        f" lr in each step, back and forth. The end of the article's own run is {LR / 2:g} = lr/2 away from the least-squares"
        " optimum in every parameter; that is this limit cycle. A learning rate that falls, or polishing, reaches the optimum."
    ).lstrip()


def _number(value: float | None) -> str:
    if value is None:
        return "undefined"
    return f"{value:.9g}" if math.isfinite(value) else "infinite"


def _wrapped(text: str) -> str:
    return fill(text, 110, initial_indent="    ", subsequent_indent="    ", break_long_words=False, break_on_hyphens=False)
