"""Time what a user waits for before the first result: importing the package, and the first step, cold and warm.

    python benchmarks/startup.py [--rounds N]

Every figure is the median of fresh processes that take turns, counted from where `import numpy` is done. The first step is that of
a model of 10,000 elements, which compiles a kernel; "cold" has an empty cache on disk, "warm" one that an earlier process filled.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile

from timing import machine

CODE = """
import json, time
import numpy
start = time.perf_counter()
{body}
print(time.perf_counter() - start)
"""
STEP = """
import rmsprop
p = numpy.ones(10_000, numpy.float32)
rmsprop.RMSprop(p).step(p * 2)
"""
RIVALS = {
    "import rmsprop": "import rmsprop",
    "import numba": "import numba",
    "first step, 200 elements": STEP.replace("10_000", "200"),
    "first step, cold": STEP,
    "first step, warm": STEP,
}


def main() -> None:
    """Take turns, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=7)
    rounds = parser.parse_args().rounds
    print(f"{machine()}; median of {rounds} processes each\n")
    spans: dict[str, list[float]] = {name: [] for name in RIVALS}
    with tempfile.TemporaryDirectory() as cache:
        run(STEP, cache)  # fills the cache, and the system's file cache
        for _ in range(rounds):
            for name, body in RIVALS.items():
                if name == "first step, cold":
                    with tempfile.TemporaryDirectory() as empty:
                        spans[name].append(run(body, empty))
                else:
                    spans[name].append(run(body, cache))
    medians = {name: statistics.median(times) for name, times in spans.items()}
    for name, seconds in medians.items():
        print(f"{name:26} {seconds * 1e3:8.1f} ms")
    beyond = medians["first step, warm"] - medians["import numba"]
    print(f"{'warm, beyond import numba':26} {beyond * 1e3:8.1f} ms")


def run(body: str, cache: str) -> float:
    """Return the seconds that a body takes in a fresh process once NumPy is imported."""
    environment = {**os.environ, "NUMBA_CACHE_DIR": cache}
    done = subprocess.run(
        [sys.executable, "-c", CODE.format(body=body)], env=environment, capture_output=True, text=True, check=True
    )
    return float(json.loads(done.stdout))


if __name__ == "__main__":
    main()
