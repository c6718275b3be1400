"""Time one step of `rmsprop.torch.RMSprop` against `torch.optim.RMSprop` and the ruler, after proving that both do the same.

    python benchmarks/torch_step.py [--threads N] [--seconds S] [--case SUBSTRING] [--quick] [--compile]

In one run and in turn, each on parameters of its own: ours; `torch.optim.RMSprop` as it comes; the same with foreach=True; with
--compile, for the two cases that ask for it, `torch.compile` around its step, which takes minutes to compile for 500 tensors; and
the ruler, a pass over as many bytes, allocated by PyTorch and with the same threads, that does next to nothing to each element. It
is taken twice, as the package's own sweep with an addition in the rule's place and as a plain loop, and the faster counts.
Each turn is some 20 ms of one rival's steps, as torchbench's harness of optimizer steps times them in blocks.

"moving" is the step as a training loop meets it: before each step, outside of what is timed, every `p.grad` is set to None and then
to a tensor of the other of two sets, as after `zero_grad()` and `backward()`. Elsewhere the gradients stay where they were.

Run it on an idle machine: where others are at work on the cores, PyTorch's threads lose more than ours by waiting for each other.
"""

import argparse
import os
import time
from collections.abc import Callable
from typing import Any

import torch

import rmsprop
from rmsprop.torch import RMSprop
from shapes import elements
from timing import interleaved, machine
from torch_cases import CASES, LR, TURN, Case, moved
from torch_extras import extras
from torch_gate import gate
from torch_ruler import of_ruler, rulers

Step = Callable[[], Any]


def main() -> None:
    """Gate, time, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seconds", type=float, default=4.0, help="for each case")
    parser.add_argument("--case", default="", help="only cases with this in their title")
    parser.add_argument("--quick", action="store_true", help="skip the cases of more than 10 M elements")
    parser.add_argument("--compile", action="store_true", help="time compiled steps too")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    rmsprop.set_num_threads(options.threads)
    print(f"{machine()}, PyTorch {torch.__version__}; {options.threads} threads; load before this run {os.getloadavg()[0]:.1f}")
    print(
        f"\n{'case':32} {'MB':>5} {'ms':>8} {'GB/s':>6} {'of ruler':>8} {'× torch':>8} {'asked':>6} {'× foreach':>9} "
        f"{'× compiled':>10} {'asked':>6} {'moving: ms':>10} {'× torch':>8}"
    )
    for case in CASES:
        if options.case.lower() in case.title.lower() and not (options.quick and large(case)):
            print(line(case, options.seconds, options.compile), flush=True)
    extras(options.case, options.seconds, options.quick)


def large(case: Case) -> bool:
    """Return whether a case has more than 10 M elements."""
    return elements(case.shapes) > 10_000_000


def line(case: Case, seconds: float, compiling: bool) -> str:
    """Gate and time one case, and return its line of the table."""
    grads = case.gradients()
    kinds: dict[str, Callable[..., torch.optim.Optimizer]] = {
        "ours": RMSprop,
        "torch": torch.optim.RMSprop,
        "foreach": lambda params, **options: torch.optim.RMSprop(params, foreach=True, **options),
    }
    gate(case)
    models = {name: case.parameters() for name in kinds}
    optimizers = {name: make(models[name], lr=LR, **case.options) for name, make in kinds.items()}
    for params in models.values():
        assign(params, grads)
    steps: dict[str, Step] = {name: optimizer.step for name, optimizer in optimizers.items()}
    steps["ours"]()  # makes the state, which `moved` counts
    steps |= {f"ruler {k}": pass_ for k, pass_ in enumerate(rulers(optimizers["ours"]))}
    took = ""
    if compiling and case.compiled is not None:
        steps["compiled"], spent = compiled(case, grads)
        took = f"\n    compiling took {spent:.1f} s"
    times = interleaved(steps, seconds, turn=TURN)
    steps = {name: steps[name] for name in ("ours", "torch")}  # the memory of the others can go
    sets = [grads, [g.clone() for g in grads]]
    movers = {name: mover(models[name], sets) for name in steps}
    moving = interleaved(steps, seconds / 2, turn=TURN, before=movers)
    size, ours = moved(optimizers["ours"]), times["ours"]
    asked = "" if case.least is None else f"{case.least:g}"
    share = f"{of_ruler(times):.2f}" + ("" if case.ruler is None else f"/{case.ruler}")
    against = f"{times['compiled'] / ours:.2f}" if "compiled" in times else ""
    return (
        f"{case.title:32} {size / 1e6:5.0f} {ours * 1e3:8.3f} {size / ours / 1e9:6.1f} {share:>8} {times['torch'] / ours:8.1f} "
        f"{asked:>6} {times['foreach'] / ours:9.1f} {against:>10} {case.compiled or '':>6} "
        f"{moving['ours'] * 1e3:10.3f} {moving['torch'] / moving['ours']:8.1f}{took}"
    )


def compiled(case: Case, grads: list[torch.Tensor]) -> tuple[Step, float]:
    """Return a compiled step of torch's optimizer on parameters of its own, and the seconds until it ran at full speed."""
    torch.compiler.reset()
    params = case.parameters()
    assign(params, grads)
    optimizer = torch.optim.RMSprop(params, lr=LR, **case.options)
    optimizer.step()  # makes the state, so that one compilation is enough

    @torch.compile
    def step() -> None:
        optimizer.step()

    start = time.perf_counter()
    step()
    step()
    return step, time.perf_counter() - start


def assign(params: list[torch.Tensor], grads: list[torch.Tensor]) -> None:
    """Give each parameter its gradient."""
    for p, g in zip(params, grads, strict=True):
        p.grad = g


def mover(params: list[torch.Tensor], sets: list[list[torch.Tensor]]) -> Step:
    """Return a function that gives parameters the gradients of one set after the other."""
    turn = 0

    def move() -> None:
        nonlocal turn
        turn = 1 - turn
        for p in params:
            p.grad = None
        assign(params, sets[turn])

    return move


if __name__ == "__main__":
    main()
