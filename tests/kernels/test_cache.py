"""Compiled kernels on disk: the right one is found, and nothing breaks without a folder to keep them in."""

import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest

import rmsprop
from tests.cases import RULES

ROOT = Path(rmsprop.__file__).parent
STEP = """
import json, sys
import numpy as np
import rmsprop
from rmsprop.kernels import cpu
p = np.linspace(-1, 1, 1000).astype("float32")
optimizer = rmsprop.RMSprop(p, 0.01, rmsprop.Rule(**json.loads(sys.argv[1])))
for _ in range(3):
    optimizer.step(np.cos(p) * 3)
kernel = optimizer._groups[0].sweep
print(p.tobytes().hex(), sum(kernel.stats.cache_hits.values()))
"""
VARIANTS = [
    {"eps": 0.1},
    {"eps": 0.1, "eps_place": "inside"},
    {"momentum": 0.9},
    {"momentum": 0.9, "nesterov": True},
    {"centered": True},
    {"centered": True, "centered_form": "difference"},
    {"maximize": True},
    {"weight_decay": 0.1},
    {"weight_decay": 0.1, "weight_decay_form": "decoupled"},
    {"bias_correction": True},
]


def run(axes, **environment):
    environment = {**os.environ, **environment}
    done = subprocess.run(
        [sys.executable, "-c", STEP, json.dumps(axes)], capture_output=True, text=True, env=environment, check=True
    )
    bits, hits = done.stdout.split()
    return bits, int(hits)


def by_reference(axes):
    p = np.linspace(-1, 1, 1000).astype("float32")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("rmsprop.optimizer.SMALL", 10**9)
        optimizer = rmsprop.RMSprop(p, 0.01, rmsprop.Rule(**axes))
    for _ in range(3):
        optimizer.step(np.cos(p) * 3)
    return p.tobytes().hex()


def test_dialects_that_alternate_across_processes_find_their_own_kernels(tmp_path):
    """One folder, two rounds: the second must hit the cache, and each must give its own dialect's bits."""
    wanted = [by_reference(axes) for axes in VARIANTS]
    assert len(set(wanted)) == len(VARIANTS)
    for hits in (0, 1):
        for axes, bits in zip(VARIANTS, wanted, strict=True):
            assert run(axes, NUMBA_CACHE_DIR=str(tmp_path)) == (bits, hits)


def test_an_edited_rule_does_not_find_the_old_kernel(tmp_path):
    """The time stamp of the kernel's own file stays; only rule.py changes, as an upgrade in place may do it."""
    package = tmp_path / "rmsprop"
    for source in ROOT.rglob("*.py"):
        target = package / source.relative_to(ROOT)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(source.read_bytes())
    environment = {"NUMBA_CACHE_DIR": str(tmp_path / "cache"), "PYTHONPATH": str(tmp_path)}
    before, _ = run({}, **environment)
    rule = package / "rule.py"
    text = rule.read_text(encoding="utf-8")
    assert "p = p - outer * step" in text
    rule.write_text(text.replace("p = p - outer * step", "p = p + outer * step"), encoding="utf-8")
    after, hits = run({}, **environment)
    assert hits == 0
    assert after != before


def test_a_rule_edited_after_it_was_imported_is_filed_as_what_ran(tmp_path):
    """The first process has another rule in memory than on disk; the second must not take its kernel for its own."""
    environment = {"NUMBA_CACHE_DIR": str(tmp_path)}
    edited = "from rmsprop import rule; code = rule.update.__code__; "
    edited += "consts = tuple('changed' if isinstance(c, str) else c for c in code.co_consts); "
    edited += "rule.update.__code__ = code.replace(co_consts=consts)\n"
    first = subprocess.run(
        [sys.executable, "-c", edited + STEP, "{}"], capture_output=True, text=True, env={**os.environ, **environment}, check=True
    )
    assert first.stdout.split()[1] == "0"
    assert run({}, **environment)[1] == 0


def test_damaged_files_are_no_obstacle(tmp_path):
    environment = {"NUMBA_CACHE_DIR": str(tmp_path)}
    bits, _ = run({}, **environment)
    for kind in ("*.nbc", "*.nbi"):
        for file in tmp_path.rglob(kind):
            file.write_bytes(file.read_bytes()[:20])
        assert run({}, **environment) == (bits, 0)
        assert run({}, **environment) == (bits, 1)


def test_numba_without_compilation_is_no_obstacle():
    code = STEP.replace("kernel = optimizer._groups[0].sweep\n", "").replace("sum(kernel.stats.cache_hits.values())", "0")
    assert "kernel = " not in code
    environment = {**os.environ, "NUMBA_DISABLE_JIT": "1"}
    done = subprocess.run([sys.executable, "-c", code, "{}"], capture_output=True, text=True, env=environment, check=True)
    assert done.stdout.split()[0] == by_reference({})


def test_a_processor_without_float16_conversion_leaves_it_to_numpy():
    code = STEP.replace('"float32"', '"float16"').replace("kernel = optimizer._groups[0].sweep\n", "")
    code = code.replace("sum(kernel.stats.cache_hits.values())", "0")
    bits = set()
    for features in ({}, {"NUMBA_CPU_NAME": "generic", "NUMBA_CPU_FEATURES": ""}):
        done = subprocess.run(
            [sys.executable, "-c", code, "{}"], capture_output=True, text=True, env={**os.environ, **features}, check=True
        )
        bits.add(done.stdout)
    assert len(bits) == 1


def test_a_zipped_package_runs(tmp_path):
    archive = tmp_path / "rmsprop.zip"
    with zipfile.ZipFile(archive, "w") as zipped:
        for source in ROOT.rglob("*.py"):
            zipped.write(source, Path("rmsprop") / source.relative_to(ROOT))
    assert run({}, PYTHONPATH=str(archive), NUMBA_CACHE_DIR=str(tmp_path / "cache"))[0] == by_reference({})


def test_no_folder_to_write_to_is_no_obstacle(tmp_path):
    """A file where the folder should be, as root may write to any folder."""
    blocked = tmp_path / "file"
    blocked.write_text("")
    assert run({}, NUMBA_CACHE_DIR=str(blocked))[0] == by_reference({})


def test_every_variant_of_the_contract_has_a_kernel_of_its_own():
    from rmsprop.kernels import cpu

    names = {}
    for rule in RULES.values():
        for kind in ("float32", "float64"):
            key = (tuple(rule.switches.items()), rule.complex_form, kind)
            names.setdefault(cpu.sweep_for(rule, kind, kind).py_func.__qualname__, set()).add(key)
    assert all(len(keys) == 1 for keys in names.values())
