"""Steps an upstream in its own environment and writes every step to standard output; run by `upstreams.py`, never imported there.

python serve.py GENERATOR    # a script of tests/golden without .py

The scripts of `tests/golden` know how to step each upstream: they hand `save` a function that does. Here `save` is replaced before
the script is imported, so that the function is kept instead of a file being written.

Reads a request as one line of JSON: n, steps, and the fields of `cases.Case`. Answers each step with one line of JSON, a list of
[name, dtype, bytes], and then those bytes: g, and after the step p, v, m, b as far as they exist. An empty list ends the answer.
"""

import json
import os
import sys
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

HERE = Path(__file__).parent


def runners(script: str) -> dict[str, Any]:
    """Return what a script of tests/golden would have run, by the name of the file that it would have written."""
    sys.path[:0] = [str(HERE.parent / "golden"), str(HERE)]
    import cases

    found: dict[str, Any] = {}

    def keep(name: str, made: Any, run: Any, **header: Any) -> None:
        found[name] = run

    cases.save = keep
    __import__(script)
    return found


def answer(run: Any, request: dict[str, Any], out: BinaryIO) -> None:
    """Step one case and write it."""
    import cases
    import gradients

    n, steps, name = request.pop("n"), request.pop("steps"), request.pop("file")
    case = cases.Case(id=name, lr=gradients.rates(steps), **request)
    given = list[np.ndarray]()

    def watched() -> Any:
        for g in gradients.hostile(n * (2 if case.dtype != case.real_dtype else 1), steps, case.real_dtype):
            given[:] = [g.view(case.dtype)]
            yield given[0].copy()

    p0 = gradients.start(n * (2 if case.dtype != case.real_dtype else 1), case.real_dtype).view(case.dtype)
    write(out, {"p": p0})
    for step in run(case, p0.copy(), watched()):
        write(out, {"g": given[0], **step})
    write(out, {})


def write(out: BinaryIO, arrays: dict[str, np.ndarray]) -> None:
    """Write arrays behind a line that describes them."""
    dense = {name: np.ascontiguousarray(array).reshape(-1) for name, array in arrays.items()}
    out.write(json.dumps([[name, str(array.dtype), array.nbytes] for name, array in dense.items()]).encode() + b"\n")
    for array in dense.values():
        out.write(array.view(np.uint8).data)
    out.flush()


def main(script: str) -> None:
    """Answer requests until there are no more."""
    out = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what a framework prints must not end up among the arrays
    found = runners(script)
    for line in sys.stdin:
        request = json.loads(line)
        answer(found[request["file"]], request, out)


if __name__ == "__main__":
    main(sys.argv[1])
