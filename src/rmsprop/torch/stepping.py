"""One step over all batches of an optimizer: whether it is taken, what gradients are multiplied by, then each batch's own pass."""

from typing import Any

import torch
from torch import Tensor

from rmsprop.torch.batch import Batch
from rmsprop.torch.plan import Plan, Work
from rmsprop.torch.tensors import Tensors, coefficient


def advance(optimizer: Any, plan: Plan) -> int | Tensor:
    """Take one step, or leave everything as it is.

    Args:
        optimizer: whose step it is; `grad_scale` and `found_inf` are read, as GradScaler sets them.
        plan: of its groups.

    Returns:
        How many steps were skipped for a gradient that is not finite: 0 or 1, a tensor where a device decided.
    """
    work = plan.work()
    if work is None:
        plan = optimizer._planned(anew=True)
        work = plan.work()
        assert work is not None  # the plan was just made of what is there
    if not work or (not isinstance(work[0].lr, Tensor) and work[0].lr == 0 and _is_rehearsal(work)):
        return 0
    scale, found = getattr(optimizer, "grad_scale", None), getattr(optimizer, "found_inf", None)
    if scale is None and found is None and plan.plain():  # nearly always so
        for section, batch, route, lr in work:
            section.gain = 1.0
            batch.advance(route, lr, 1.0, scaled=False)
        return 0
    if not plan.on_host:
        # Older releases of PyTorch know it by the second name.
        check = getattr(optimizer, "_accelerator_graph_capture_health_check", None) or optimizer._cuda_graph_capture_health_check
        check()
    elif found is not None:
        if found.item():
            return 0
        found = None
    gain: float | Tensor = 1.0
    if scale is not None:
        gain = 1.0 / scale.item() if plan.on_host else 1.0 / scale
    gains, norms = _clipping(work, gain)
    skipped = _refused(optimizer, work, gains, norms)
    if skipped is True:
        return 1
    skip = found if skipped is False else skipped if found is None else skipped | found.to(skipped.device).bool()
    if skip is not None:
        skip = skip.reshape(()).bool()
        if any(one.batch.on_host for one in work):  # parameters on the host have to know
            if skip.item():
                return 0 if skipped is False else skipped.to(torch.int64)
            skip = None
    with torch.set_grad_enabled(optimizer.defaults["differentiable"]):
        for (section, batch, route, lr), one in zip(work, gains, strict=True):
            section.gain = one
            batch.advance(route, lr, one, scaled=scale is not None or section.group["max_norm"] is not None, skip=skip)
    return 0 if skipped is False else skipped.to(torch.int64)


def _clipping(work: list[Work], gain: float | Tensor) -> tuple[list[Any], dict[float, Any]]:
    """Return what each batch's gradients are multiplied by, and the norm for each of the groups' values of max_norm."""
    squares: dict[float, list[Any]] = {}
    for section, batch, route, _ in work:
        limit = section.group["max_norm"]
        if limit is not None:
            squares.setdefault(limit, []).append(batch.squares(route))
    norms: dict[float, Any] = {}
    if not squares:
        return [gain] * len(work), norms
    factors: dict[float | None, Any] = {None: gain}
    for limit, parts in squares.items():
        on_device = [part for part in parts if isinstance(part, Tensor)]
        total = sum(part.to(on_device[0].device) if isinstance(part, Tensor) else part for part in parts)
        norms[limit] = norm = total**0.5 * gain
        factors[limit] = gain * coefficient(limit, norm)
    return [factors[one.section.group["max_norm"]] for one in work], norms


def _refused(optimizer: Any, work: list[Work], gains: list[Any], norms: dict[float, Any]) -> bool | Tensor:
    """Return whether the step is to be skipped, decided on the device where gradients are there; or raise.

    A norm that is finite says that all gradients are, and clipped ones are not large: one look at them serves both.
    """
    flag: bool | Tensor = False
    for (section, batch, route, _), gain in zip(work, gains, strict=True):
        policy, limit = section.group["on_nonfinite"], section.group["max_norm"]
        if policy == "propagate":
            continue
        norm = norms.get(limit)
        bad = batch.beyond(route, gain, gradients=norm is None)
        if norm is not None:
            bad = bad | (~torch.isfinite(norm) if isinstance(norm, Tensor) else not abs(norm) < float("inf"))
        if policy == "raise" and bool(bad):
            raise FloatingPointError(_complaint(optimizer, batch, gain))
        if policy == "skip":
            if isinstance(bad, bool):
                if bad:
                    return True
            else:
                flag = bad if isinstance(flag, bool) else flag | bad.to(flag.device)
    return flag


def _is_rehearsal(work: list[Work]) -> bool:
    """Return whether this is the step with lr and all gradients at 0 by which distributed checkpointing makes the state.

    It must change nothing: neither does it count, nor do v and the weights decay by it.
    """
    for one in work:
        if isinstance(one.lr, Tensor) or one.lr != 0 or any(entry["step"] != 0 for entry in one.batch.entries):
            return False
    return not any(p.grad.count_nonzero() for one in work for p in one.batch.params if p.grad is not None)


def _complaint(optimizer: Any, batch: Batch | Tensors, gain: Any) -> str:
    """Return why a gradient of a batch was refused."""
    named = {id(p): name for p, name in optimizer._named()}
    remedy = "nothing was changed; lower the learning rate or mend the loss, or pass on_nonfinite='skip'"
    for p in batch.params:
        # What is clipped is not large; it only has to be finite.
        limit = float("inf") if batch.group["max_norm"] is not None else batch.limit / float(gain)
        tensors = [("the gradient of {}", p.grad, min(limit, torch.finfo(p.dtype).max))]
        if batch.rule.switches["COUPLED"]:
            tensors.append(("parameter {} in its weight decay", p.detach(), batch.limit / batch.rule.weight_decay))
        for what, tensor, limit in tensors:
            if tensor is None:
                continue
            values = tensor.detach()
            values = values.coalesce().values() if values.is_sparse else values
            wrong = ~(values.abs() <= limit)
            if wrong.any():
                place = tuple(wrong.nonzero()[0].tolist())
                value = values[place].item()
                why = "" if value - value != 0 else ", whose square overflows"
                return f"{what.format(repr(named[id(p)]))} is {value} at {place}{why}; {remedy}"
    return f"the gradients' norm is not finite; {remedy}"
