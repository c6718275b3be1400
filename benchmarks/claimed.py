"""What two articles claim of RMSprop, and what is measured of it: figures out of races, tables of them, verdicts as conditions.

`claims.py` runs the races and writes; docs/claims.md says in words what `holds` checks in numbers.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from rmsprop.fit import fit
from rmsprop.fit.article import LR, data

#: Landscapes with more than one minimum, or that bend the wrong way somewhere on the way down.
NONCONVEX = ("rosenbrock", "beale", "himmelblau", "rastrigin", "saddle", "monkey-saddle", "plateau", "cliff", "network")
Told = Mapping[str, Any]  # what race.json holds
Table = list[list[str]]


class Claim(NamedTuple):
    """What is claimed, and how it is tested.

    Attributes:
        races: names of the races it needs.
        figures: from what they told to the figures.
        table: from the figures to a table, its header first.
        holds: whether the figures are as the verdict in docs/claims.md says.
    """

    races: tuple[str, ...]
    figures: Callable[[Mapping[str, Told]], dict[str, Any]]
    table: Callable[[dict[str, Any]], Table]
    holds: Callable[[dict[str, Any]], bool]


def by_name(told: Told) -> dict[str, Told]:
    """Return the rivals of a race by name, in the order of the race."""
    return {entry["name"]: entry for entry in told["optimizers"]}


def standing(told: Told) -> dict[str, dict[str, Any]]:
    """Return what a table says of each rival of a race."""
    found = {}
    for name, entry in by_name(told).items():
        finals = entry["tried"]["final_loss"]
        found[name] = {
            "lr": entry["lr"],
            "steps": entry["steps_to_target"]["quartiles"][1],
            "arrived": entry["arrived"],
            "final": entry["final_loss"]["quartiles"],
            "rates": sum(steps is not None for steps in entry["tried"]["steps_to_target"]),
            "tried": len(finals),
            "broke": sum(loss is None for loss in finals),
        }
        if "metric" in entry:
            found[name] |= {"metric": entry["metric"]["quartiles"], "best": entry["metric"]["best"][1]}
    return found


def standings(figures: dict[str, Any]) -> Table:
    """Return a table of what `standing` found."""
    metric = any("metric" in one for one in figures["rivals"].values())
    header = ["", "lr", "steps to target", "arrived", "loss at the end", "rates"]
    rows = []
    for name, one in figures["rivals"].items():
        row = [name, number(one["lr"]), steps(one["steps"]), str(one["arrived"]), spread(one["final"])]
        row += [f"{one['rates']} of {one['tried']}", *([spread(one["metric"])] if metric else [])]
        rows.append(row)
    return [[*header, *([figures["metric"]] if metric else [])], *rows]


def number(value: float | None) -> str:
    """Return a number with three digits."""
    return "none" if value is None else f"{value:.3g}"


def steps(value: float | None) -> str:
    """Return a number of steps."""
    return "never" if value is None else f"{value:,.0f}"


def spread(quarters: Sequence[float | None]) -> str:
    """Return a median and the middle half around it."""
    low, middle, high = (number(value) for value in quarters)
    return f"{middle} ({low} to {high})"


def on_workload(name: str) -> Callable[[Mapping[str, Told]], dict[str, Any]]:
    """Return what takes the standings of a race on a workload."""

    def figures(told: Mapping[str, Told]) -> dict[str, Any]:
        return {"metric": told[name]["workload"]["metric"], "rivals": standing(told[name])}

    return figures


def rank(told: Told, name: str) -> int:
    """Return a rival's place in a race, 1 for the first."""
    return 1 + list(by_name(told)).index(name)


def _fading(told: Mapping[str, Told]) -> dict[str, Any]:
    """Return how the effective learning rate goes on: after the first tenth of the run, and at the end."""
    found = {}
    for name, entry in by_name(told["digits"]).items():
        rates = entry["effective_lr"]
        found[name] = {"early": rates[len(rates) // 10], "late": rates[-1], "left": rates[-1] / rates[len(rates) // 10]}
    outliers = standing(told["cliff outliers"])
    return {"rates": found, "outliers": {name: outliers[name]["steps"] for name in outliers}}


def _fading_table(figures: dict[str, Any]) -> Table:
    rows = [
        [name, number(one["early"]), number(one["late"]), f"{one['left']:.2f}", steps(figures["outliers"].get(name))]
        for name, one in figures["rates"].items()
    ]
    return [["", "effective rate, early", "at the end", "what is left", "cliff with outliers, steps to target"], *rows]


def _steep(told: Mapping[str, Told]) -> dict[str, Any]:
    """Return how steps go with gradients, as a power, and what a rate for each parameter gains straight and turned."""
    slopes = {name: float(np.median(entry["step_by_gradient"])) for name, entry in by_name(told["digits"]).items()}
    gains = {}
    for place in ("ill-conditioned", "rotated"):
        found = standing(told[place])
        gains[place] = {name: found[name]["steps"] for name in ("rmsprop", "sgd")}
    return {"slopes": slopes, "gains": gains}


def _steep_table(figures: dict[str, Any]) -> Table:
    rows = [
        [
            name,
            f"{slope - 1:+.2f}",
            f"{slope:+.2f}",
            *(steps(figures["gains"][place].get(name, 0) or None) for place in figures["gains"]),
        ]
        for name, slope in figures["slopes"].items()
    ]
    for row in rows:
        if row[0] not in ("rmsprop", "sgd"):
            row[3:] = ["", ""]
    return [["", "rate ~ gradient to the", "step ~ gradient to the", "ill-conditioned: steps", "rotated: steps"], *rows]


def _recurrent(told: Mapping[str, Told]) -> dict[str, Any]:
    found = on_workload("chars")(told)
    for name, entry in by_name(told["chars"]).items():
        way = np.array([np.nan if loss is None else loss for loss in entry["loss_on_the_way"]], dtype=float)
        rises = np.maximum(np.diff(way), 0)
        found["rivals"][name]["rises"] = float(rises.sum() / (way[0] - way.min()))
        peaks = [peak for peak in entry["gradient_peak"] if peak is not None]
        found["rivals"][name]["peak"] = max(peaks) / float(np.median([norm for norm in entry["gradient_norm"] if norm is not None]))
    return found


def _recurrent_table(figures: dict[str, Any]) -> Table:
    header, *rows = standings(figures)
    more = [[f"{one['broke']}", f"{one['rises']:.1%}", f"{one['peak']:.1f}"] for one in figures["rivals"].values()]
    return [
        [*header, "rates that broke it", "rises on the way", "largest gradient"],
        *([*row, *two] for row, two in zip(rows, more, strict=True)),
    ]


def _nonconvex(told: Mapping[str, Told]) -> dict[str, Any]:
    return {
        place: {
            "first": next(iter(by_name(told[place]))),
            "rmsprop": rank(told[place], "rmsprop"),
            "adagrad": rank(told[place], "adagrad"),
            "steps": {name: one["steps"] for name, one in standing(told[place]).items()},
        }
        for place in NONCONVEX
    }


def _nonconvex_table(figures: dict[str, Any]) -> Table:
    rows = [
        [place, one["first"], *(f"{one[name]} ({steps(one['steps'][name])})" for name in ("rmsprop", "adagrad"))]
        for place, one in figures.items()
    ]
    return [["", "first", "RMSprop's place of 7 (steps)", "Adagrad's"], *rows]


def _epsilon(told: Mapping[str, Told]) -> dict[str, Any]:
    return {place: {name: one["steps"] for name, one in standing(told[f"{place} eps"]).items()} for place in ("plateau", "ravine")}


def _epsilon_table(figures: dict[str, Any]) -> Table:
    names = sorted(figures["plateau"], key=lambda name: float(name.rpartition("=")[2]))
    rows = [[name.rpartition("=")[2], *(steps(figures[place][name]) for place in figures)] for name in names]
    return [["eps", *(f"{place}: steps to target" for place in figures)], *rows]


def _example(told: Mapping[str, Told]) -> dict[str, Any]:
    """Return where the tutorial's own program ends, and how far from the least-squares optimum, in learning rates."""
    ends = fit(recipe="article", polish=False).rmsprop.parameters
    columns, _ = data()
    best = dict(zip("abc", np.polyfit(columns["x"], columns["y"], 2).tolist(), strict=True))
    return {name: {"end": end, "optimum": best[name], "off": (end - best[name]) / LR} for name, end in ends.items()}


def _example_table(figures: dict[str, Any]) -> Table:
    rows = [[name, f"{one['end']:.6f}", f"{one['optimum']:.6f}", f"{one['off']:.3f} lr"] for name, one in figures.items()]
    return [["", "after 1,000 epochs", "least squares", "apart"], *rows]


def _fades(f: dict[str, Any]) -> bool:
    """Adagrad's rate falls and RMSprop's does not; it costs Adagrad nothing on digits, and everything where there are outliers."""
    ahead = list(f["rates"])
    return (
        f["rates"]["adagrad"]["left"] < 0.6
        and f["rates"]["rmsprop"]["left"] > 0.9
        and ahead.index("adagrad") < ahead.index("rmsprop")
        and f["outliers"]["rmsprop"] < 0.5 * f["outliers"]["adagrad"]
    )


def _is_steep(f: dict[str, Any]) -> bool:
    """RMSprop's rates fall the most where gradients are large, but its steps still grow; turned, nothing is gained."""
    slopes, straight, turned = f["slopes"], f["gains"]["ill-conditioned"], f["gains"]["rotated"]
    return (
        min(slopes, key=slopes.__getitem__) == "rmsprop"
        and 0.05 < slopes["rmsprop"] < 0.6
        and abs(slopes["sgd"] - 1) < 0.02
        and straight["rmsprop"] < straight["sgd"]
        and turned["rmsprop"] > turned["sgd"]
    )


def _is_close(f: dict[str, Any]) -> bool:
    """Adagrad is ahead of RMSprop, all end with about the same accuracy, and none works with many rates."""
    rivals, ahead = f["rivals"], list(f["rivals"])
    right = [one["metric"][1] for one in rivals.values()]
    few = all(one["rates"] <= 3 for one in rivals.values())
    return ahead.index("adagrad") < ahead.index("rmsprop") and max(right) - min(right) < 0.04 and few


def _is_behind(f: dict[str, Any]) -> bool:
    """RMSprop is never among the first three, and Adagrad is ahead of it everywhere."""
    return all(one["rmsprop"] > 3 and one["adagrad"] < one["rmsprop"] for one in f.values())


def _is_all_the_same(f: dict[str, Any]) -> bool:
    """From 1e-8 to 0.01 nothing changes; at 1 it is another optimizer."""
    small = [[steps for name, steps in one.items() if not name.endswith("=1")] for one in f.values()]
    large = [steps for one in f.values() for name, steps in one.items() if name.endswith("=1")]
    return all(max(one) < 1.03 * min(one) and least < 0.95 * min(one) for one, least in zip(small, large, strict=True))


def _is_a_draw(f: dict[str, Any]) -> bool:
    """Adagrad ends lower than RMSprop, but neither sooner nor with more read right; gradient descent is far behind both."""
    adagrad, ours, sgd = (f["rivals"][name] for name in ("adagrad", "rmsprop", "sgd"))
    return (
        adagrad["final"][1] < 0.7 * ours["final"][1]
        and 0.6 < adagrad["steps"] / ours["steps"] < 1.7
        and abs(adagrad["metric"][1] - ours["metric"][1]) < 0.02
        and sgd["metric"][1] < ours["metric"][1] - 0.05
    )


def _is_flat(f: dict[str, Any]) -> bool:
    """From 0.9 to 0.999 RMSprop ends about as low; with 0.5 it ends the highest."""
    final = {name.rpartition("=")[2]: one["final"][1] for name, one in f["rivals"].items()}
    within = [loss for name, loss in final.items() if name != "0.5"]
    return max(within) < 1.4 * min(within) and final["0.5"] > max(within)


def _is_steady(f: dict[str, Any]) -> bool:
    """RMSprop goes down smoothly, unlike gradient descent; Adagrad is as steady, ends lower, and breaks at no more rates."""
    adagrad, ours, sgd = (f["rivals"][name] for name in ("adagrad", "rmsprop", "sgd"))
    return (
        max(adagrad["rises"], ours["rises"]) < 0.03 < sgd["rises"]
        and sgd["peak"] > 1.5 * ours["peak"]
        and adagrad["final"][1] < ours["final"][1] < sgd["final"][1]
        and ours["broke"] >= max(adagrad["broke"], sgd["broke"])
    )


def _balances(f: dict[str, Any]) -> bool:
    """With RMSprop the pole stays up for more than twice as long."""
    return bool(f["rivals"]["rmsprop"]["metric"][1] > 2 * f["rivals"]["adagrad"]["metric"][1])


#: By the name that stands before its table in docs/claims.md.
CLAIMS: dict[str, Claim] = {
    "fading": Claim(("digits", "cliff outliers"), _fading, _fading_table, _fades),
    "steep": Claim(("digits", "ill-conditioned", "rotated"), _steep, _steep_table, _is_steep),
    "digits": Claim(("digits",), on_workload("digits"), standings, _is_close),
    "recurrent": Claim(("chars",), _recurrent, _recurrent_table, _is_steady),
    "sparse": Claim(("words",), on_workload("words"), standings, _is_a_draw),
    "cartpole": Claim(("cartpole",), on_workload("cartpole"), standings, _balances),
    "nonconvex": Claim(NONCONVEX, _nonconvex, _nonconvex_table, _is_behind),
    "decay": Claim(("decay",), on_workload("decay"), standings, _is_flat),
    "eps": Claim(("plateau eps", "ravine eps"), _epsilon, _epsilon_table, _is_all_the_same),
    "example": Claim((), _example, _example_table, lambda f: all(abs(one["off"] - 0.5) < 0.01 for one in f.values())),
}
