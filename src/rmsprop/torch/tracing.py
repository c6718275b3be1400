"""A step as `torch.compile` sees it: the rule on plain tensors, with nothing in it that would stop the compiler.

The compiler does not trace `_init_group` of an optimizer; it runs it, and takes what it put into the lists as inputs and constants.
"""

from typing import Any

import torch
from torch import Tensor

from rmsprop.kernels.eager import bound
from rmsprop.kernels.precision import biases
from rmsprop.rule import average
from rmsprop.torch.options import rule_of
from rmsprop.torch.state import COMPUTED, REAL, complete, in_parts, name, parts
from rmsprop.torch.tensors import coefficient


def traceable(group: dict[str, Any]) -> bool:
    """Return whether a group's step needs nothing of the host; otherwise it interrupts the compiled code and runs as always."""
    if group["on_nonfinite"] != "propagate" or group["sparse"] != "error" or group["stochastic_rounding"]:
        return False
    return len({p.dtype for p in group["params"]}) == 1


def gather(
    group: dict[str, Any],
    state: Any,
    params: list[Tensor],
    grads: list[Tensor],
    states: list[list[Tensor]],
    averages: list[Tensor],
    steps: list[Tensor],
    told: list[Any],
) -> None:
    """Fill the lists with a group's tensors, and with what the traced code takes for constant.

    Args:
        group: the group.
        state: the optimizer's state, completed.
        params: its parameters that have gradients.
        grads: their gradients.
        states: three lists, for v, m and b; a list stays empty where the rule keeps none.
        averages: their moving averages, if kept.
        steps: their counts of steps.
        told: the bound rule, scalars that do not depend on lr, factors of lr for those that do, and switches.
    """
    rule = rule_of(group)
    rows = {slot.argument: slot.name for slot in rule.slots}
    for p in group["params"]:
        if p.grad is None:
            continue
        complete(state[p], p, rule, averaged=group["ema_decay"] is not None, capturable=p.device.type != "cpu")
        params.append(p)
        grads.append(p.grad)
        for held, argument in zip(states, "vmb", strict=True):
            if argument in rows:
                held.append(state[p][rows[argument]])
        steps.append(state[p]["step"])
        if group["ema_decay"] is not None:
            averages.append(state[p]["ema"])
    if params:
        dtype = params[0].dtype
        apart = in_parts(dtype, rule)
        real = REAL.get(COMPUTED[dtype], COMPUTED[dtype])
        # Each scalar is a number, or a number times lr: those at lr = 0 and lr = 1 tell which.
        at_0, at_1 = rule.scalars(0.0, 1)[:7], rule.scalars(1.0, 1)[:7]
        update = bound(rule.branches, name(real), joint=dtype.is_complex and not apart)
        told += [update, apart, rule.bias_correction, rule.decay]
        told += [float(value) for value in at_1] + [one != other for one, other in zip(at_0, at_1, strict=True)]


def traced(optimizer: Any) -> None:
    """Take one step."""
    gathered = []
    clipped: dict[float, list[Tensor]] = {}
    for group in optimizer.param_groups:
        params: list[Tensor] = []
        grads: list[Tensor] = []
        v: list[Tensor] = []
        m: list[Tensor] = []
        b: list[Tensor] = []
        averages: list[Tensor] = []
        steps: list[Tensor] = []
        told: list[Any] = []
        optimizer._init_group(group, params, grads, v, m, b, averages, steps, told)
        if params:
            gathered.append((group, params, grads, v, m, b, averages, steps, told))
            if group["max_norm"] is not None:
                clipped.setdefault(group["max_norm"], []).extend(grads)
    norms = {limit: torch.nn.utils.get_total_norm(grads) for limit, grads in clipped.items()}
    for group, params, grads, v, m, b, averages, steps, told in gathered:
        gain = None
        if group["max_norm"] is not None:
            gain = coefficient(group["max_norm"], norms[group["max_norm"]])
        for k, p in enumerate(params):
            _step(group, gain, p, grads[k], v[k], m[k] if m else None, b[k] if b else None, steps[k], told)
            if averages:
                keep = group["ema_decay"]
                averages[k].copy_(average(averages[k], p.detach().to(averages[k].dtype), keep, 1 - keep))


def _step(group: Any, gain: Any, p: Tensor, g: Tensor, v: Tensor, m: Any, b: Any, step: Tensor, told: list[Any]) -> None:
    """Step one parameter."""
    update, apart, bias_correction, decay = told[:4]
    scalars = [value * group["lr"] if by_lr else value for value, by_lr in zip(told[4:11], told[11:], strict=True)]
    held: list[Any] = [p.detach(), v, m, b]
    held = [parts(a) if apart and a is not None else a for a in held]
    kind = torch.promote_types(held[0].dtype, held[1].dtype)
    g = (parts(g) if apart else g).to(kind)
    if gain is not None:
        g = g * gain
    prior, correction, divisor = biases(decay, step.double(), torch.where) if bias_correction else (1.0, 1.0, 1.0)
    new = update(held[0].to(kind), g, *held[1:], *scalars, correction, 1 / divisor, prior / correction)
    for target, value in zip(held, new, strict=True):
        if target is not None:
            target.copy_(value)
    step.add_(1.0)
