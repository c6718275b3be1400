"""What ours does in the same call as the step, against PyTorch's functions beside its optimizer."""

import math
from collections.abc import Callable
from typing import Any

import torch
from torch.nn.utils import clip_grad_norm_, clip_grads_with_norm_, get_total_norm
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from rmsprop.torch import RMSprop
from timing import interleaved
from torch_cases import CARTPOLE, LR, ONE_LARGE, RESNET, SMALL, TURN, Case, moved
from torch_gate import FIRST_MOVE, PARAMETER, STATE, averages, compare, follow
from torch_ruler import of_ruler, rulers

DECAY = 0.999
Step = Callable[[], Any]


def clipping(optimizer: torch.optim.Optimizer, params: list[torch.Tensor]) -> Step:
    """Return a step of torch's optimizer on gradients clipped to a global norm of 1."""

    def step() -> None:
        clip_grad_norm_(params, 1.0)
        optimizer.step()

    return step


def skipping(optimizer: torch.optim.Optimizer, params: list[torch.Tensor]) -> Step:
    """Return a step of torch's optimizer that is left out where a gradient is not finite."""

    def step() -> None:
        if math.isfinite(get_total_norm([p.grad for p in params])):
            optimizer.step()

    return step


def averaging(optimizer: torch.optim.Optimizer, params: list[torch.Tensor]) -> Step:
    """Return a step of torch's optimizer with an update of the averaged weights."""
    model = torch.nn.ParameterList(params)
    averaged = AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(DECAY))
    averaged.n_averaged.fill_(1)  # otherwise the first update only copies

    def step() -> None:
        optimizer.step()
        averaged.update_parameters(model)

    step.averages = [p.detach() for p in averaged.module.parameters()]  # type: ignore[attr-defined]
    return step


# Title, ours by option, torch's by function.
EXTRAS: list[tuple[str, dict[str, Any], Callable[..., Step]]] = [
    ("max_norm=1", {"max_norm": 1.0}, clipping),
    ('on_nonfinite="skip"', {"on_nonfinite": "skip"}, skipping),
    ("ema_decay=.999", {"ema_decay": DECAY}, averaging),
]


def extras(chosen: str, seconds: float, quick: bool) -> None:
    """Gate and time each of them, and print a table."""
    print(f"\n{'with more in the same call':54} {'MB':>5} {'ms':>8} {'of ruler':>8} {'× bare':>7} {'× torch':>8} {'× foreach':>9}")
    for case in (CARTPOLE, SMALL) if quick else (CARTPOLE, SMALL, RESNET, ONE_LARGE):
        for title, options, beside in EXTRAS:
            if chosen.lower() in f"{case.title}, {title}".lower():
                print(line(case, title, options, beside, seconds), flush=True)


def line(case: Case, title: str, options: dict[str, Any], beside: Callable[..., Step], seconds: float) -> str:
    """Return the line of one case with one extra."""
    gate(case, options, beside)
    models = {name: case.parameters() for name in ("ours", "bare", "torch", "foreach")}
    for params in models.values():
        for p, g in zip(params, case.gradients(), strict=True):
            p.grad = g
    ours = RMSprop(models["ours"], lr=LR, **options)
    steps = {
        "ours": ours.step,
        "bare": RMSprop(models["bare"], lr=LR).step,
        "torch": beside(torch.optim.RMSprop(models["torch"], lr=LR), models["torch"]),
        "foreach": beside(torch.optim.RMSprop(models["foreach"], lr=LR, foreach=True), models["foreach"]),
    }
    ours.step()  # makes the state, which the ruler measures out
    steps |= {f"ruler {k}": pass_ for k, pass_ in enumerate(rulers(ours))}
    times = interleaved(steps, seconds, turn=TURN)
    size, took = moved(ours) / 1e6, times["ours"]
    return (
        f"{case.title + ', ' + title:54} {size:5.0f} {took * 1e3:8.3f} {of_ruler(times):8.2f} {took / times['bare']:7.2f} "
        f"{times['torch'] / took:8.1f} {times['foreach'] / took:9.1f}"
    )


def gate(case: Case, options: dict[str, Any], beside: Callable[..., Step]) -> None:
    """Stop unless ours with an option equals torch's optimizer with a function beside it."""
    ours, theirs = case.parameters(), case.parameters()
    optimizer = torch.optim.RMSprop(theirs, lr=LR)
    mine, step = RMSprop(ours, lr=LR, **options), beside(optimizer, theirs)

    def clipped() -> None:
        # torch sums up the squares in float32, which for 50 M elements is off in the fourth digit.
        norm = get_total_norm([p.grad.double() for p in theirs])
        clip_grads_with_norm_(theirs, 1.0, norm.float())
        optimizer.step()

    follow(case, [(ours, mine.step), (theirs, clipped if beside is clipping else step)])
    compare(case, ours, theirs, PARAMETER, FIRST_MOVE)
    compare(case, averages(mine), averages(optimizer), STATE)  # which tells how far gradients were clipped
    if beside is averaging:
        compare(case, [mine.state[p]["ema"] for p in ours], step.averages, PARAMETER, FIRST_MOVE)  # type: ignore[attr-defined]
