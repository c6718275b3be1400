"""The live upstreams, each in an environment and a process of its own, and the cases that they are stepped through."""

import fcntl
import json
import os
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import rmsprop

HERE = Path(__file__).parent
GOLDEN = HERE.parent / "golden"
FOLDER = Path(os.environ.get("RMSPROP_UPSTREAMS", HERE.parent.parent / ".golden")).resolve()

Arrays = dict[str, np.ndarray]  # p, v, m, b, g, each (n,)


@dataclass(frozen=True)
class Upstream:
    """A package: the trace of tests/golden that lists its options, the script that steps it, and where it is installed."""

    file: str
    script: str
    environment: str
    variables: tuple[tuple[str, str], ...] = ()


def keras(backend: str, environment: str) -> Upstream:
    return Upstream(f"keras-{backend}", "make_keras", environment, (("KERAS_BACKEND", backend),))


UPSTREAMS = {
    one.file: one
    for one in (
        Upstream("torch", "make_torch", "torch"),
        Upstream("timm", "make_timm", "torch"),
        Upstream("sb3", "make_sb3", "torch"),
        Upstream("bitsandbytes", "make_bitsandbytes", "torch"),
        keras("torch", "torch"),
        Upstream("optax", "make_optax", "jax"),
        Upstream("jax-example", "make_jax_example", "jax"),
        keras("jax", "jax"),
        Upstream("tensorflow", "make_tensorflow", "tensorflow"),
        keras("tensorflow", "tensorflow"),
        Upstream("tf-keras", "make_tf_keras", "tensorflow"),
        Upstream("tf-keras-legacy", "make_tf_keras", "tensorflow"),
    )
}


@dataclass(frozen=True)
class Case:
    """An upstream with some of its options, as its golden trace tells them."""

    file: str
    dialect: str
    dtype: str
    axes: tuple[tuple[str, Any], ...]
    told: tuple[tuple[str, Any], ...] = ()
    sign: int = 1  # of the upstream's momentum buffer

    def __str__(self) -> str:
        words = [f"{key}={value:.6g}" if isinstance(value, float) else f"{key}={value}" for key, value in self.axes + self.told]
        return f"{self.file} {self.dtype}: {', '.join(words) or 'defaults'}"

    @property
    def real(self) -> str:
        """The dtype of one number."""
        return {"complex64": "float32", "complex128": "float64"}.get(self.dtype, self.dtype)

    @property
    def rule(self) -> rmsprop.Rule:
        return rmsprop.dialect(self.dialect, **dict(self.axes))


@cache
def document(file: str) -> dict[str, Any]:
    return json.loads((GOLDEN / f"{file}.json").read_text(encoding="utf-8"))


def cases(file: str) -> list[Case]:
    """Return each choice of options and dtype in an upstream's golden trace, once; complex ones are left to the trace."""
    found = document(file)
    return list(
        dict.fromkeys(
            Case(file, one["dialect"], one["dtype"], tuple(one["axes"].items()), tuple(one.get("told", {}).items()), found["sign"])
            for one in found["cases"]
            if "complex" not in one["dtype"]
        )
    )


def chosen(file: str) -> list[Case]:
    """Return, in float32, the defaults, every option alone, other numbers, and all options together; these in float64 too.

    Of a rule that several packages or backends share, one has all of these and the others the defaults and the last in float32.
    """
    found = cases(file)
    count = {case: len({key for key, _ in case.axes} - {"decay", "eps", "weight_decay_form"}) for case in found}
    last = [
        max((case for case in found if case.dtype == dtype), key=lambda case: (count[case], case.rule.centered, len(case.axes)))
        for dtype in dict.fromkeys(case.dtype for case in found)
    ]
    if file in ("keras-jax", "keras-tensorflow", "tf-keras"):
        return [found[0], last[0]]
    alone = [case for case in found if case.dtype == "float32" and count[case] <= 1]
    return list(dict.fromkeys(alone + last))


class Process:
    """An upstream at work: it computes the next step while the last one is looked at."""

    def __init__(self, upstream: Upstream) -> None:
        self.upstream = upstream
        self.busy = False  # whether an answer has not been read to its end
        environment = FOLDER / upstream.environment
        if not (environment / "installed").exists():
            pytest.skip(f"{upstream.file} is not installed; `make test-upstream` does that")
        # Where the tests look for modules is none of an upstream's business.
        inherited = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
        quiet = {"TF_CPP_MIN_LOG_LEVEL": "3", "TF_ENABLE_ONEDNN_OPTS": "0", "JAX_PLATFORMS": "cpu", "OMP_NUM_THREADS": "1"}
        self.process = subprocess.Popen(
            [environment / "bin" / "python", HERE / "serve.py", upstream.script],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=inherited | quiet | dict(upstream.variables),
            cwd=environment,
        )
        assert self.process.stdout is not None
        if hasattr(fcntl, "F_SETPIPE_SZ"):
            fcntl.fcntl(self.process.stdout, fcntl.F_SETPIPE_SZ, 1 << 20)

    def close(self) -> None:
        """End it, whatever it is at."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.close()
        self.process.stdout.close()
        self.process.terminate()
        self.process.wait(timeout=60)

    def run(self, case: Case, n: int, steps: int) -> Iterator[Arrays]:
        """Yield p before the first step, and after each step g, p and the state."""
        request = {"n": n, "steps": steps, "file": case.file, "dialect": case.dialect, "dtype": case.dtype}
        request |= {"axes": dict(case.axes), "told": dict(case.told)}
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(request).encode() + b"\n")
        self.process.stdin.flush()
        self.busy = True
        while arrays := self.read():
            if "b" in arrays and case.sign < 0:
                np.negative(arrays["b"], out=arrays["b"])
            yield arrays
        self.busy = False

    def read(self) -> Arrays:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError(f"{self.upstream.file} ended with status {self.process.wait(timeout=60)}; its error is above")
        arrays = {}
        for name, dtype, size in json.loads(line):
            arrays[name] = np.empty(size // np.dtype(dtype).itemsize, dtype)
            self.process.stdout.readinto(arrays[name].view(np.uint8).data)
        return arrays
