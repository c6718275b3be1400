"""Time one step of `rmsprop.torch.RMSprop` on a GPU against PyTorch's optimizers and the ruler, after proving that it is right.

    python benchmarks/gpu_step.py [--cases TEXT ...] [--seconds S] [--minutes M] [--json FILE] [--no-compile]

Nothing of a case is timed before its results on the device are the CPU's, bit for bit, and those are PyTorch's. Then ours, the
ruler and one rival at a time are timed in turn, on parameters of their own: `torch.optim.RMSprop` with foreach, without, and
capturable; its compiled step; bitsandbytes' RMSprop with 32-bit and 8-bit state, where it is installed; and PyTorch's fused Adam,
which moves more bytes. The ruler is an addition in place that moves as many bytes as our step: the memory's limit.

"device" is what the GPU takes while the host is ahead of it, "host" how long the call takes while the GPU is idle, "wall" a step of
a loop that does nothing else, and "graph" the replay of a captured step on the device. Each ratio is taken within one duel.

A step whose bytes fit into the L2 cache is not bound by the memory; such cases say so.

`--device cpu` rehearses all of it on tiny tensors, by Triton's interpreter: its figures mean nothing.
"""

import argparse
import dataclasses
import json
import math
import os
import sys
import time
import traceback
from pathlib import Path
from typing import Any

import torch

from gpu_cases import CASES, COMPILED, TARGETS, Target, need, tiny
from gpu_clock import CudaClock, HostClock
from gpu_duels import Setting, Times, brief, clear, duels
from gpu_gate import INTERPRETER, gate
from gpu_rivals import RIVALS
from timing import machine
from torch_cases import Case


def main() -> None:
    """Gate, time, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", nargs="*", default=[""], help="only cases with one of these in their title")
    parser.add_argument("--rivals", nargs="*", default=[""], help="only rivals with one of these in their name")
    parser.add_argument("--seconds", type=float, default=0.6, help="for each duel")
    parser.add_argument("--rounds", type=int, default=7, help="turns of each rival in a duel, at least")
    parser.add_argument("--minutes", type=float, default=7.0, help="after which nothing new is begun")
    parser.add_argument("--patience", type=float, default=90.0, help="seconds that a compilation may take")
    parser.add_argument("--no-compile", action="store_true", help="time no compiled step")
    parser.add_argument("--json", type=Path, help="write all figures there, after each case")
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda", help="cpu rehearses")
    options = parser.parse_args()
    device = torch.device(options.device)
    if device.type == "cuda" and not torch.cuda.is_available():
        sys.exit(
            f"gpu_step.py times a CUDA GPU, and PyTorch {torch.__version__} sees none: nothing was measured. "
            "`--device cpu` rehearses it on tiny tensors, without figures that mean anything"
        )
    chosen = {title: case for title, case in CASES.items() if any(part.lower() in title.lower() for part in options.cases)}
    if not chosen:
        sys.exit(f"no case has {' or '.join(map(repr, options.cases))} in its title; the titles are:\n  " + "\n  ".join(CASES))
    if device.type == "cpu":
        os.environ.update(dict.fromkeys(INTERPRETER, "1"))
        torch.set_num_threads(1)
        chosen = {title: tiny(case) for title, case in chosen.items()}
    run = Run(options, device)
    print(run.head, flush=True)
    run.write()  # that it cannot is better known now
    rivals = [name for name in RIVALS if any(part.lower() in name.lower() for part in options.rivals)]
    for case in chosen.values():
        run.case(case, rivals)
    if not options.no_compile and any(part.lower() in "compiled" for part in options.rivals):
        for title in COMPILED:
            if title in chosen:
                run.case(chosen[title], ["compiled"])
    print("\n" + targets(run.results, measured=device.type == "cuda"))
    if run.wrong:
        sys.exit(f"not right, and so not timed: {'; '.join(run.wrong)}")


class Run:
    """What a run has found so far.

    Args:
        options: of the command.
        device: where the tensors lie.
    """

    def __init__(self, options: Any, device: torch.device) -> None:
        """Look at the machine."""
        self.options, self.device = options, device
        clock = CudaClock() if device.type == "cuda" else HostClock()
        backend = "inductor" if device.type == "cuda" else "eager"
        self.setting = Setting(device, clock, options.seconds, options.rounds, options.patience, backend)
        self.end = time.monotonic() + 60 * options.minutes
        self.results: dict[str, dict[str, Times]] = {}
        self.gates: dict[str, str] = {}
        self.left_out: dict[str, dict[str, str]] = {}
        self.wrong: list[str] = []
        self.cache = 0
        self._told: set[str] = set()  # reasons that were printed
        self.head = f"rehearsal without a GPU: no figure means anything; {machine()}, PyTorch {torch.__version__}"
        if device.type == "cuda":
            gpu = torch.cuda.get_device_properties(device)
            self.cache = getattr(gpu, "L2_cache_size", 0)
            self.head = (
                f"{gpu.name}, {gpu.total_memory / 1e9:.0f} GB, L2 {self.cache / 1e6:.0f} MB, sm_{gpu.major}{gpu.minor}; "
                f"{machine()}; PyTorch {torch.__version__}, CUDA {torch.version.cuda}, Triton {version('triton')}, "
                f"bitsandbytes {version('bitsandbytes')}"
            )

    def case(self, case: Case, names: list[str]) -> None:
        """Gate a case if that was not done, time it, print it, and write down what there is."""
        omitted = self.left_out.setdefault(case.title, {})
        try:
            if not self._fits(case, omitted) or case.title in self.wrong:
                return
            if case.title not in self.gates:
                self.gates[case.title] = gate(case, self.device)
                clear(self.device)
            found = duels(case, names, self.setting, omitted)
            self.results[case.title] = found | self.results.get(case.title, {})
            print(table(case, found, self.gates[case.title], self.cache), flush=True)
        except (Exception, SystemExit) as wrong:
            if not isinstance(wrong, SystemExit):
                traceback.print_exc()
            self.wrong.append(case.title)
            omitted["all"] = brief(wrong)
        finally:
            clear(self.device)
            for name, why in omitted.items():
                if why not in self._told:
                    print(f"  {case.title}: {name} left out: {why}", flush=True)
                self._told.add(why)
            self.write()

    def _fits(self, case: Case, omitted: dict[str, str]) -> bool:
        """Return whether there is time and memory for a case."""
        if time.monotonic() > self.end:
            omitted["all"] = f"the {self.options.minutes:g} minutes are over"
            return False
        free = torch.cuda.mem_get_info()[0] if self.device.type == "cuda" else math.inf
        if need(case) > free:
            omitted["all"] = f"it needs {need(case) / 1e9:.0f} GB, and {free / 1e9:.0f} GB are free"
            return False
        return True

    def write(self) -> None:
        """Write all that is known to the file that was asked for."""
        if self.options.json is None:
            return
        told = {
            "machine": self.head,
            "rehearsal": self.device.type != "cuda",
            "gates": self.gates,
            "times": {
                title: {name: dataclasses.asdict(times) for name, times in found.items()} for title, found in self.results.items()
            },
            "left out": {title: why for title, why in self.left_out.items() if why},
            "wrong": self.wrong,
            "targets": [{**dataclasses.asdict(target), "measured": reached(target, self.results)} for target in TARGETS],
        }
        self.options.json.write_text(json.dumps(finite(told), indent=1, ensure_ascii=False, allow_nan=False) + "\n")


def finite(value: Any) -> Any:
    """Return nested values as JSON has them: what is not a number as null."""
    if isinstance(value, dict):
        return {key: finite(each) for key, each in value.items()}
    if isinstance(value, list):
        return [finite(each) for each in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def table(case: Case, found: dict[str, Times], gated: str, cache: int) -> str:
    """Return the table of a case."""
    first = next(iter(found.values()), None)
    notes = f"; {first.bytes / 1e6:.0f} MB, of which much stays in the L2 cache" if first and first.bytes < 3 * cache else ""
    lines = [
        f"\n{case.title}: {len(case.shapes):,} tensors; right: {gated}{notes}",
        f"  {'':24} {'MB':>7} {'device ms':>10} {'GB/s':>7} {'graph ms':>10} {'host µs':>9} {'wall ms':>9}   ours is faster by "
        f"{'device':>7} {'host':>7} {'wall':>7}",
    ]
    for name, times in found.items():
        speed = times.bytes / times.device / 1e9
        ratios = [getattr(times, of) / times.ours[of] if of in times.ours else math.nan for of in ("device", "host", "wall")]
        lines.append(
            f"  {name:24} {times.bytes / 1e6:7.0f} {number(times.device * 1e3, '10.4f')} {number(speed, '7.0f')} "
            f"{number(math.nan if times.graph is None else times.graph * 1e3, '10.4f')} {number(times.host * 1e6, '9.1f')} "
            f"{number(times.wall * 1e3, '9.4f')}                     " + " ".join(number(ratio, "7.2f") for ratio in ratios)
        )
    return "\n".join(lines)


def number(value: float, form: str) -> str:
    """Return a number in a form, or blanks of its width where it is none."""
    return format(value, form) if math.isfinite(value) else " " * int(form.split(".")[0])


def reached(target: Target, results: dict[str, dict[str, Times]]) -> float | None:
    """Return what a run measured of what is asked, or None."""
    times = results.get(target.case, {}).get(target.rival or "ours")
    if times is None:
        return None
    value: float = getattr(times, target.of)
    return value if target.rival is None else value / times.ours[target.of]


def targets(results: dict[str, dict[str, Times]], *, measured: bool) -> str:
    """Return the table of what is asked and what was measured."""
    lines = [f"{'asked of a step':66} {'asked':>9} {'measured':>11}"]
    for target in TARGETS:
        value = reached(target, results) if measured else None
        if target.rival is None:
            what, asked = f"{target.case}: time on the {target.of}", f"≤ {target.asked * 1e6:.0f} µs"
            got, met = f"{(value or 0) * 1e6:.1f} µs", value is not None and value <= target.asked
        else:
            what, asked = f"{target.case}: × {target.rival}, {target.of}", f"≥ {target.asked:g}"
            got, met = f"{value or 0:.2f}", value is not None and value >= target.asked
        lines.append(
            f"{what:66} {asked:>9} {'unmeasured' if value is None else got:>11} {'' if value is None or met else 'MISSED'}"
        )
    return "\n".join(lines)


def version(package: str) -> str:
    """Return the version of a package, or that it is not there."""
    from importlib import metadata

    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "not installed"


if __name__ == "__main__":
    main()
