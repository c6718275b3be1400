"""Ours, the ruler and one rival at a time, timed in turn on one device."""

import gc
from dataclasses import dataclass, field

import torch

from gpu_clock import Clock, Step
from gpu_rivals import RIVALS, compiled, step_of
from rmsprop.torch import RMSprop
from timing import interleaved
from torch_cases import LR, Case, moved
from torch_step import assign, mover

# Seconds of one rival's steps, then of another's; on the host each step is timed by itself.
TURN = 2e-3


@dataclass
class Times:
    """What a rival took for a step, in seconds; and ours in the same duel."""

    device: float
    host: float
    wall: float
    graph: float | None = None
    bytes: int = 0
    ours: dict[str, float] = field(default_factory=dict)


@dataclass
class Setting:
    """What all duels share.

    Args:
        device: where the tensors lie.
        clock: of that device.
        seconds: roughly how long a duel takes.
        rounds: how often each rival has its turn at least.
        patience: seconds that a compilation may take.
        backend: of `torch.compile`.
    """

    device: torch.device
    clock: Clock
    seconds: float
    rounds: int
    patience: float
    backend: str


def triad(size: int, device: torch.device) -> Step:
    """Return the ruler: an addition in place, x ← x + y/2, that reads and writes as many bytes as a step."""
    count = max(1, size // 12)
    x, y = (torch.zeros(count, device=device) for _ in range(2))
    return lambda: x.add_(y, alpha=0.5)


def duels(case: Case, names: list[str], setting: Setting, left_out: dict[str, str]) -> dict[str, Times]:
    """Time ours and the ruler against each rival, and return the times by name.

    Args:
        case: the model.
        names: of `RIVALS`, or "compiled".
        setting: of the run.
        left_out: gets the names of those that could not be timed, with the reason.
    """
    grads = case.gradients(setting.device)
    params = case.parameters(setting.device)
    assign(params, grads)
    ours = RMSprop(params, lr=LR, **case.options)
    ours.step()
    size = moved(ours)
    steps = {"ours": ours.step, "ruler": triad(size, setting.device)}
    found: dict[str, Times] = {}
    for name in names:
        try:
            # Ours and the ruler are in every duel; what is told of them is the first one's. The ratios are each duel's own.
            for each, times in duel(case, name, steps, grads, size, setting, left_out).items():
                found.setdefault(each, times)
        except Exception as error:  # one rival that fails must not cost the others' figures
            left_out[name] = brief(error)
        clear(setting.device)
    if "ours" in found and names != ["compiled"]:
        alone("ours", ours.step, found, setting, left_out)
        sets = [grads, [g.clone() for g in grads]]
        before = {"moved": mover(params, sets)}
        clock = setting.clock
        hosts = interleaved({"moved": ours.step}, setting.seconds / 3, setting.rounds, 0.0, before, timed=clock.host)
        found["ours, gradients moved"] = Times(float("nan"), hosts["moved"], float("nan"), bytes=size)
    return found


def duel(
    case: Case,
    name: str,
    steps: dict[str, Step],
    grads: list[torch.Tensor],
    size: int,
    setting: Setting,
    left_out: dict[str, str],
) -> dict[str, Times]:
    """Time ours, the ruler and one rival in turn."""
    if name != "compiled" and not RIVALS[name].takes(case):
        raise NotImplementedError(f"it knows no more than {', '.join(RIVALS[name].only) or 'the plain case'}")
    params = case.parameters(setting.device)
    assign(params, grads)
    if name == "compiled":
        optimizer, step = compiled(params, case, setting.patience, setting.backend)
    else:
        optimizer, step = step_of(RIVALS[name], params, case)
    together = steps | {name: step}
    took: dict[str, dict[str, float]] = {}
    for of, turn in (("device", TURN), ("host", 0.0), ("wall", TURN)):
        timed = getattr(setting.clock, of)
        took[of] = interleaved(together, setting.seconds / 3, setting.rounds, turn, timed=timed)
    sizes = {"ours": size, "ruler": size, name: moved(optimizer)}
    found = {each: Times(took["device"][each], took["host"][each], took["wall"][each], bytes=sizes[each]) for each in together}
    mine = {of: took[of]["ours"] for of in took}
    for each in together:
        found[each].ours = mine
    if name != "compiled" and RIVALS[name].capturable:
        alone(name, step, found, setting, left_out)
    return found


def alone(name: str, step: Step, found: dict[str, Times], setting: Setting, left_out: dict[str, str]) -> None:
    """Time the replay of a captured step."""
    try:
        replay = setting.clock.captured(step)
        times = interleaved({name: replay}, setting.seconds / 3, setting.rounds, TURN, timed=setting.clock.device)
        found[name].graph = times[name]
    except Exception as error:
        left_out[f"{name}, captured"] = brief(error)


def brief(error: BaseException) -> str:
    """Return the kind and the first line of an error."""
    return f"{type(error).__name__}: {str(error).split(chr(10))[0]}"


def clear(device: torch.device) -> None:
    """Give back what the last rival held."""
    gc.collect()
    if device.type == "cuda":
        torch.cuda.synchronize()
        torch.cuda.empty_cache()
