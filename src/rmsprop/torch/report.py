"""What an optimizer does to its layers, as a dict and as TensorBoard scalars."""

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Protocol

import numpy as np
import torch

from rmsprop.torch.measure import SAMPLE, Layer, Numbers, measured
from rmsprop.torch.options import rule_of

QUANTILES = {"min": 0.0, "p5": 0.05, "p25": 0.25, "median": 0.5, "p75": 0.75, "p95": 0.95, "max": 1.0}
SHARES = ("dead", "nonfinite_parameter", "nonfinite_state")
LOGGED = ("lr", "effective_lr", "update_to_weight", *SHARES, "state_bytes")


class Writer(Protocol):
    """What `log` writes to, such as `torch.utils.tensorboard.SummaryWriter`."""

    def add_scalar(self, tag: str, scalar_value: float, global_step: int, /) -> Any:
        """Write one number."""


@torch.no_grad()
def report(optimizer: torch.optim.Optimizer) -> dict[str, Any]:
    """Return, for each group and each layer, how it is being trained: plain numbers, ready for JSON.

    Args:
        optimizer: whose groups, state and gradients to read; nothing is changed. Call it after a step, before `zero_grad` and
            before a scheduler changes lr: the ratio is that of the step just taken.

    Returns:
        `{"groups": [...]}`, in the order of `param_groups`. A group has "dialect", "lr", the numbers of a layer taken over all of
        its layers, and "layers": by name, a dict of

        - "shape", "elements", "steps" taken, "state_bytes" of all arrays of the state;
        - "effective_lr": lr / (√v + eps) as the rule has it now, in units of the parameter per unit of gradient: a dict of the
          quantiles "min", "p5", "p25", "median", "p75", "p95", "max" of the finite ones; None before the first step;
        - "update_to_weight": ‖Δp‖ / ‖p‖, with Δp the last step, its weight decay included, before it was rounded to a 16-bit
          parameter, and p what it led to. It needs that step's gradient, or for momentum without Nesterov the buffer; None
          without, and where it is not finite. Rows that a lazy sparse gradient leaves out have not moved;
        - "dead": share of entries where v = 0, and if centered m = 0 too: no gradient has arrived, or it has faded below the
          smallest normal number. Where v starts from 1, there are none;
        - "nonfinite_parameter", "nonfinite_state": share of entries that are NaN or infinite;
        - "sampled": from how many elements the quantiles and the ratio are taken: all, or up to 65,536 at even strides, the same
          ones each time. Shares are of all entries.

        Layers without a name are called "group0.param3". Each part of a complex parameter counts by itself, but for
        complex_form="modulus". Of a distributed tensor, the part that lies in this process is read.

    Example:
        >>> import torch
        >>> from rmsprop.torch import RMSprop
        >>> w = torch.tensor([3.0, 4.0], requires_grad=True)
        >>> optimizer = RMSprop([("w", w)], lr=0.1, alpha=0.75)
        >>> (4 * w[0]).backward()
        >>> optimizer.step()
        >>> layer = report(optimizer)["groups"][0]["layers"]["w"]
        >>> round(layer["effective_lr"]["min"], 6), layer["dead"]  # 0.1 / √(0.25·4²), and no gradient for 4
        (0.05, 0.5)
        >>> round(layer["update_to_weight"], 6)  # 0.05·4 / √(2.8² + 4²)
        0.040962
    """
    groups = optimizer.param_groups
    plan = getattr(optimizer, "_plan", None)  # of the last step
    gains = [float(section.gain) for section in plan.sections] if plan is not None else [1.0] * len(groups)
    parts = zip(groups, _names(groups), gains, strict=True)
    return {"groups": [_group(optimizer.state, group, names, gain) for group, names, gain in parts]}


def log(optimizer: torch.optim.Optimizer, writer: Writer, step: int, prefix: str = "rmsprop") -> None:
    """Write a report as scalars, such as rmsprop/<layer>/effective_lr/median and rmsprop/group0/update_to_weight.

    Args:
        optimizer: as for `report`.
        writer: has `add_scalar(tag, value, global_step)`, such as `torch.utils.tensorboard.SummaryWriter`.
        step: where the numbers stand on the time axis.
        prefix: what the tags begin with.

    Example:
        >>> import torch
        >>> from rmsprop.torch import RMSprop
        >>> class Printer:
        ...     def add_scalar(self, tag, value, step):
        ...         if "median" in tag:
        ...             print(step, tag, round(value, 6))
        >>> w = torch.ones(3, requires_grad=True)
        >>> optimizer = RMSprop([("w", w)], lr=0.1, alpha=0.75)
        >>> (2 * w).sum().backward()
        >>> optimizer.step()
        >>> log(optimizer, Printer(), step=1)
        1 rmsprop/group0/effective_lr/median 0.1
        1 rmsprop/w/effective_lr/median 0.1
    """
    for number, group in enumerate(report(optimizer)["groups"]):
        for name, numbers in ((f"group{number}", group), *group["layers"].items()):
            for tag, value in _scalars(numbers):
                writer.add_scalar(f"{prefix}/{name}/{tag}", value, step)


def _scalars(numbers: Mapping[str, Any]) -> Iterator[tuple[str, float]]:
    """Yield what there is to plot of a group or a layer."""
    for key in LOGGED:
        value = numbers.get(key)
        if isinstance(value, dict):
            yield from ((f"{key}/{quantile}", one) for quantile, one in value.items())
        elif value is not None:
            yield key, value


def _group(state: Mapping[Any, Any], group: Mapping[str, Any], names: Sequence[str], gain: float) -> dict[str, Any]:
    """Report on one group."""
    rule, lr = rule_of(group), float(group["lr"])
    lazy = group.get("sparse") == "lazy"
    layers = [measured(rule, lr, p, state.get(p, {}), lazy=lazy, gain=gain) for p in group["params"]]
    told = [layer for layer in layers if math.isfinite(layer.moved)]
    return {
        "dialect": rule.name,
        "lr": lr,
        "elements": sum(layer.elements for layer in layers),
        "sampled": sum(layer.sampled for layer in layers),
        "state_bytes": sum(layer.state_bytes for layer in layers),
        "effective_lr": _pooled(layers),
        "update_to_weight": _ratio(math.hypot(*(layer.moved for layer in told)), math.hypot(*(layer.weight for layer in told))),
        **{share: _mean([(getattr(layer, share), layer.elements) for layer in layers]) for share in SHARES},
        "layers": {name: _layer(layer) for name, layer in zip(names, layers, strict=True)},
    }


def _layer(layer: Layer) -> dict[str, Any]:
    """Report on one layer."""
    return {
        "shape": list(layer.shape),
        "elements": layer.elements,
        "sampled": layer.sampled,
        "steps": layer.steps,
        "state_bytes": layer.state_bytes,
        "effective_lr": _named(np.quantile(layer.rates, list(QUANTILES.values()))) if len(layer.rates) else None,
        "update_to_weight": _ratio(layer.moved, layer.weight),
        **{share: getattr(layer, share) for share in SHARES},
    }


def _ratio(moved: float, weight: float) -> float | None:
    """Return moved / weight, or None where that is no number."""
    return moved / weight if weight and math.isfinite(moved / weight) else None


def _mean(shares: Sequence[tuple[float | None, int]]) -> float | None:
    """Return the mean of shares by their weights, or None where there is none."""
    having = [(share, weight) for share, weight in shares if share is not None]
    return sum(share * weight for share, weight in having) / sum(weight for _, weight in having) if having else None


def _pooled(layers: Sequence[Layer]) -> dict[str, float] | None:
    """Return the quantiles over all layers, each element that was sampled standing for those around it."""
    layers = [layer for layer in layers if len(layer.rates)]
    if not layers:
        return None
    every = -(-sum(layer.elements for layer in layers) // SAMPLE)  # all layers together need no more elements than one
    kept = [layer.rates[:: max(1, every * layer.sampled // layer.elements)] for layer in layers]
    alike = [layer.elements * len(layer.rates) / layer.sampled / len(some) for layer, some in zip(layers, kept, strict=True)]
    rates, weights = np.concatenate(kept), np.repeat(alike, [len(some) for some in kept])
    order = np.argsort(rates, kind="stable")
    rates, weights = rates[order], weights[order]
    middle = np.cumsum(weights) - weights / 2
    wanted = middle[0] + (middle[-1] - middle[0]) * np.array(list(QUANTILES.values()))  # NumPy's own, if the weights are equal
    found = np.interp(wanted, middle, rates)
    found[0], found[-1] = min(layer.rates.min() for layer in layers), max(layer.rates.max() for layer in layers)
    return _named(found)


def _named(values: Numbers) -> dict[str, float]:
    """Return quantiles by name."""
    return dict(zip(QUANTILES, values.tolist(), strict=True))


def _names(groups: Sequence[Mapping[str, Any]]) -> list[list[str]]:
    """Return a name for each layer that no other layer has."""
    given = [group.get("param_names") or [f"param{place}" for place in range(len(group["params"]))] for group in groups]
    uses = Counter(name for names in given for name in names)
    return [
        [name if uses[name] == 1 and "param_names" in group else f"group{number}.{name}" for name in names]
        for number, (group, names) in enumerate(zip(groups, given, strict=True))
    ]
