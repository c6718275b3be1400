"""How long the lab takes to answer a change, by route, for 2 parameters and 500 steps.

    python benchmarks/lab.py

A change is one that nothing is known of yet: each request has another learning rate, in one of its runs or in all of them. The time
is that from the request's bytes to the answer's, through the checks and the threads of the server, without a network. Before it is
timed, the arithmetic shown must equal the trajectory bit for bit; the last column is the answer's time over that of a plain loop
over the same optimizers' steps on the same landscape, one run after the other.
"""

import asyncio
import json
import statistics
import time
from collections.abc import Callable
from itertools import count
from typing import Any

import httpx
import numpy as np

from rmsprop import dialect_names
from rmsprop.lab.arithmetic import recorded
from rmsprop.lab.landing import landing
from rmsprop.lab.server import application
from rmsprop.lab.setup import Setup
from rmsprop.lab.trace import run_of
from timing import machine

STEPS, TURNS = 500, 15
CSV = "x,y\n" + "".join(f"{k / 50},{3 * np.exp(-k / 60) + 0.1 * np.cos(7 * k)}\n" for k in range(200))
RMSPROP = {"optimizer": "rmsprop", "lr": 0.02}
SEVERAL = [RMSPROP, RMSPROP | {"dialect": "graves"}, {"optimizer": "adagrad", "lr": 0.5}, {"optimizer": "adam", "lr": 0.1}]
LANDS = {
    "ravine": {"kind": "named", "name": "ravine"},
    "formula": {"kind": "formula", "text": "(1-x)**2 + 100*(y-x**2)**2"},
    "data, 200 rows": {"kind": "data", "csv": CSV, "model": "y = a*exp(-b*x)"},
}
PORT = 8757


def gate() -> None:
    """Refuse to time an arithmetic that is not the trajectory's own."""
    for name in dialect_names():
        for axes in ({}, {"momentum": 0.9, "nesterov": True}, {"centered": True, "weight_decay": 0.01}):
            run = {"optimizer": "rmsprop", "dialect": name, "lr": 0.02, **axes}
            one = run_of(Setup.from_json({"runs": [run], "steps": STEPS, "noise": "gaussian", "schedule": "cosine"}), 0)
            found = recorded(one.run.rival.rule, one)
            assert found["p_new"].tobytes() == np.ascontiguousarray(one.p[1:]).tobytes(), run
            for letter, array in one.state.items():
                assert found[f"{letter}_new"].tobytes() == np.ascontiguousarray(array[1:]).tobytes(), run


def plain_loop(setup: dict[str, Any]) -> float:
    """Return the seconds of a plain loop over a setup's runs."""
    known = Setup.from_json(setup)
    problem = landing(known.land).problem
    began = time.perf_counter()
    with np.errstate(all="ignore"):
        for run in known.runs:
            p = np.array(problem.start)
            state = run.rival.init(p)
            for t in range(1, STEPS + 1):
                _, g = problem(p)
                p, state = run.rival.step(p, g, state, run.lr, t)
    return time.perf_counter() - began


async def main() -> None:
    """Print the table."""
    gate()
    print(machine())
    print(f"{'route':18} {'landscape':15} {'change':22} {'median ms':>9} {'worst ms':>9} {'kB':>6}  over a plain loop")
    fresh = count()

    def setup(land: str, runs: list[dict[str, Any]], moved: int) -> dict[str, Any]:
        """Return a setup of which `moved` runs have a learning rate that was never asked for."""
        changed = [run | {"lr": run["lr"] * (1 + 1e-6 * next(fresh))} if k < moved else run for k, run in enumerate(runs)]
        return {"land": LANDS[land], "runs": changed, "steps": STEPS}

    app = application("127.0.0.1", PORT)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app=app), base_url=f"http://127.0.0.1:{PORT}", timeout=60) as client:

        async def row(route: str, land: str, change: str, body: Callable[[], Any], loop: Callable[[], float] | None) -> None:
            spans, loops, size = [], [], 0
            for _ in range(TURNS + 2):
                told = body()
                began = time.perf_counter()
                answer = await client.post(route, content=json.dumps(told), headers={"content-type": "application/json"})
                spans.append(time.perf_counter() - began)
                assert answer.status_code == 200, answer.text
                size = len(answer.content)
                if loop is not None:
                    loops.append(loop())
            spans = spans[2:]  # the first ones fit, compile and import
            median = statistics.median(spans)
            ratio = f"{median / statistics.median(loops):.2f}" if loops else ""
            print(f"{route:18} {land:15} {change:22} {1e3 * median:9.1f} {1e3 * max(spans):9.1f} {size / 1e3:6.0f}  {ratio}")

        cases = [("one run", [RMSPROP], 1), ("one of four runs", SEVERAL, 1), ("all of four runs", SEVERAL, 4)]
        for land in LANDS:
            for change, runs, moved in cases:
                body = lambda land=land, runs=runs, moved=moved: setup(land, runs, moved)  # noqa: E731  # called below
                loop = lambda land=land, runs=runs: plain_loop(setup(land, runs, 0))  # noqa: E731  # called below
                await row("/api/trace", land, change, body, loop)
            await row(
                "/api/surface",
                land,
                "a window",
                lambda land=land: {"land": LANDS[land], "window": [-1, 1, -1, 1 + next(fresh)]},
                None,
            )
            await row("/api/arithmetic", land, "one run", lambda land=land: {"setup": setup(land, [RMSPROP], 1), "run": 0}, None)
        for kind in ("csv", "json", "python", "gif"):
            body = lambda: {"setup": setup("ravine", SEVERAL, 1)}  # noqa: E731  # called below
            await row(f"/api/export/{kind}", "ravine", "one of four runs", body, None)


if __name__ == "__main__":
    asyncio.run(main())
