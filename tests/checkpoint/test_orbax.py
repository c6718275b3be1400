"""Orbax directories: what checkpointers wrote is read, and what is written they restore."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import orbax.checkpoint as ocp
import pytest

import rmsprop
import rmsprop.optax
from rmsprop import checkpoint
from rmsprop.checkpoint import ConversionError, FileError, SaveError, UsageError
from rmsprop.checkpoint.optax import arguments
from rmsprop.checkpoint.orbax import draft
from tests.checkpoint.optaxes import CASES, draw, gradients, run, same

LABELS = {"dense": {"kernel": "fast", "bias": "slow"}, "scales": ["slow", "fast"]}
SAID = {"lr": 0.01, "momentum": 0.9}


def begun(optimizer: Any, dtype: str = "float32") -> tuple[Any, Any]:
    p = draw(0, dtype)
    return run(optimizer, p, optimizer.init(p), gradients(dtype, 3))


def put(path: Path, tree: Any) -> Path:
    with ocp.StandardCheckpointer() as checkpointer:
        checkpointer.save(path, tree)
    return path


def equal(one: checkpoint.State, other: checkpoint.State) -> bool:
    """Return whether two states have the same rules, names, steps and bits."""

    def plain(state: checkpoint.State) -> Any:
        return [
            (g.rule, g.lr, [(p.name, p.step, {s: (a.dtype, a.tobytes()) for s, a in p.slots.items()}) for p in g.parameters])
            for g in state.groups
        ]

    return plain(one) == plain(other)


@pytest.mark.parametrize("dtype", ["float32", "float64", "complex64", "bfloat16"])
@pytest.mark.parametrize("name", ["plain", "momentum", "bias correction", "momentum, centered", "schedule", "injected schedule"])
def test_what_orbax_wrote_is_what_was_captured(name: str, dtype: str, tmp_path: Path) -> None:
    with jax.enable_x64(dtype == "float64"):
        _, live = begun(CASES[name].make(), dtype)
        told = CASES[name].told if CASES[name].counted else {**CASES[name].told, "step": 3}
        wanted = checkpoint.capture(live, **told)
        put(tmp_path / "run", live)
    assert equal(checkpoint.load(tmp_path / "run", **told), wanted)  # whether or not JAX has double precision now


OURS = {
    "ours": lambda: rmsprop.optax.rmsprop(0.01, momentum=0.9),
    "ours, everything": lambda: rmsprop.optax.rmsprop(0.01, "pytorch", centered=True, momentum=0.9, on_nonfinite="skip"),
    "parts": lambda: optax.chain(optax.clip(1.0), optax.partition({"fast": OURS["ours"](), "slow": OURS["ours"]()}, LABELS)),
    "wrapped": lambda: optax.MultiSteps(optax.apply_if_finite(optax.chain(optax.zero_nans(), OURS["ours"]()), 3), 1),
    "masked": lambda: optax.masked(OURS["ours"](), {"dense": {"kernel": True, "bias": False}, "scales": [True, True]}),
}


@pytest.mark.parametrize("name", OURS)
def test_chains_and_wrappers_are_known_by_their_fields(name: str, tmp_path: Path) -> None:
    _, live = begun(OURS[name]())
    told = {**SAID, **({"dialect": "pytorch"} if "everything" in name else {})}
    assert equal(checkpoint.load(put(tmp_path / "run", live), **told), checkpoint.capture(live, **told))


@pytest.mark.parametrize("kind", ["optax", "rmsprop.optax"])
@pytest.mark.parametrize("axes", [{}, {"momentum": 0.9}, {"centered": True, "bias_correction": True, "momentum": 0.5}])
@pytest.mark.parametrize("dtype", ["float32", "complex64"])
def test_what_is_written_is_restored_into_what_init_returns(kind: str, axes: dict[str, Any], dtype: str, tmp_path: Path) -> None:
    p, live = begun(rmsprop.optax.rmsprop(0.25, **axes), dtype)
    state = checkpoint.capture(live, lr=0.25, **axes)
    checkpoint.save(tmp_path / "run", state, to=kind)
    make = optax.rmsprop if kind == "optax" else rmsprop.optax.rmsprop
    fresh = make(**arguments(state, to=kind)).init(p)
    with ocp.StandardCheckpointer() as checkpointer:
        restored = checkpointer.restore(tmp_path / "run", target=fresh)
    wanted = checkpoint.restore(fresh, state)
    assert jax.tree.structure(restored) == jax.tree.structure(wanted)
    for one, other in zip(jax.tree.leaves(restored), jax.tree.leaves(wanted), strict=True):
        np.testing.assert_array_equal(one, other)
    told = {**axes, "lr": 0.25, **({} if kind == "rmsprop.optax" or "bias_correction" in axes else {"step": 3})}
    again = checkpoint.load(tmp_path / "run", **told)
    assert equal(again, checkpoint.capture(wanted, **told))
    assert os.listdir(tmp_path) == ["run"]


def test_groups_are_written_as_parts(tmp_path: Path) -> None:
    parts = {"fast": optax.rmsprop(0.1, momentum=0.9), "slow": optax.rmsprop(0.1, momentum=0.9)}
    optimizer = optax.partition(parts, LABELS)
    p, live = begun(optimizer)
    state = checkpoint.capture(live, lr=0.1, momentum=0.9, step=3)
    checkpoint.save(tmp_path / "run", state, to="optax")
    with ocp.StandardCheckpointer() as checkpointer:
        assert same(checkpointer.restore(tmp_path / "run", target=optimizer.init(p)), live)


def test_names_make_the_tree_and_a_rename_fits_it(tmp_path: Path) -> None:
    w = {"0.weight": np.ones((4, 3), np.float32), "0.bias": np.zeros(4, np.float32)}
    numpy = rmsprop.RMSprop(w, lr=0.1, dialect="optax")
    numpy.step({name: np.full_like(array, 2.0) for name, array in w.items()})
    checkpoint.save(tmp_path / "run.safetensors", numpy)
    table = {r"(\d+)\.weight": r"layers/\1/kernel@1,0", r"(\d+)\.bias": r"layers/\1/bias"}
    checkpoint.convert(tmp_path / "run.safetensors", tmp_path / "run", "optax", rename=table)
    params = {"layers": [{"kernel": jnp.ones((3, 4)), "bias": jnp.ones(4)}]}
    with ocp.StandardCheckpointer() as checkpointer:
        restored = checkpointer.restore(tmp_path / "run", target=optax.rmsprop(0.1).init(params))
    np.testing.assert_array_equal(restored[0].nu["layers"][0]["kernel"], numpy.state["square_avg"]["0.weight"].T)


def manager(path: Path, state: Any, **options: Any) -> Path:
    """Return a directory in which a CheckpointManager has written two steps of what a training keeps."""
    kept = {"params": [jnp.ones(3)], "opt_state": state, "step": 7, "note": "best"}
    with ocp.CheckpointManager(path, **options) as checkpoints:
        for step in (9, 10):
            whole = ocp.args.StandardSave({"params": [jnp.ones(3)], "opt_state": state, "step": 7})
            if options:
                whole = ocp.args.Composite(state=ocp.args.PyTreeSave(kept), other=ocp.args.StandardSave([jnp.ones(2)]))
            checkpoints.save(step, args=whole)
            checkpoints.wait_until_finished()
    return path


def test_steps_of_a_manager(tmp_path: Path) -> None:
    _, live = begun(CASES["momentum"].make())
    told = {**SAID, "step": 3}
    wanted = checkpoint.capture(live, **told)
    root = manager(tmp_path / "plain", live)
    with pytest.raises(FileError, match=r"holds the steps '9', '10'; name one of them, as .*plain/10"):
        checkpoint.load(root, **told)
    for path, key in (
        (root / "10", None),
        (root / "10" / "default", None),
        (root / "10", "default/opt_state"),
        (root / "9", "opt_state"),
    ):
        assert equal(checkpoint.load(path, key=key, **told), wanted)


def test_items_of_a_manager(tmp_path: Path) -> None:
    _, live = begun(CASES["momentum"].make())
    told = {**SAID, "step": 3}
    step = manager(tmp_path / "items", live, item_names=("state", "other")) / "10"
    assert equal(checkpoint.load(step, key="state", **told), checkpoint.capture(live, **told))
    assert checkpoint.load(step, key="state/opt_state/0", lr=0.1, step=3).names == (
        "dense/bias",
        "dense/kernel",
        "scales/0",
        "scales/1",
    )
    for key, message in {
        None: r"holds 'other', 'state'; say which, as key='other' or --key other",
        "params": "holds 'other', 'state'; say which",
        "state/opt": r"has no 'opt' in that place; there are 'note', 'opt_state', 'params', 'step'",
    }.items():
        with pytest.raises(UsageError, match=message):
            checkpoint.load(step, key=key, **told)
    with pytest.raises(FileError, match="an array is no state of RMSprop"):
        checkpoint.load(step, key="state/params", **told)


def test_several_optimizers_and_adams_lookalike(tmp_path: Path) -> None:
    p = {"w": jnp.ones(3)}
    both = {"generator": optax.rmsprop(0.1).init(p), "critic": optax.rmsprop(0.1).init(p)}
    put(tmp_path / "both", both)
    with pytest.raises(UsageError, match=r"several optimizers, 'critic', 'generator'; say which, as key='critic' or --key critic"):
        checkpoint.load(tmp_path / "both", lr=0.1, step=0)
    assert checkpoint.load(tmp_path / "both", key="critic", lr=0.1, step=0).names == ("w",)
    corrected = optax.rmsprop(0.1, centered=True, bias_correction=True).init(p)
    put(tmp_path / "corrected", {"params": [p["w"]], "state": corrected})
    with pytest.raises(UsageError, match=r"and optax\.adam too; if it is the former, say centered=True and bias_correction=True"):
        checkpoint.load(tmp_path / "corrected", lr=0.1)
    assert checkpoint.load(tmp_path / "corrected", lr=0.1, centered=True, bias_correction=True).groups[0].rule.centered
    put(
        tmp_path / "adan",
        optax.partition({"a": optax.rmsprop(0.1), "b": optax.adan(0.1)}, {"w": "a", "v": "b"}).init({**p, "v": p["w"]}),
    )
    with pytest.raises(FileError, match=r"a state of .* is no state of RMSprop, and would be lost \(under 'b'\)"):
        checkpoint.load(tmp_path / "adan", lr=0.1, step=0)


def test_what_orbax_cannot_hold_is_refused_ahead(tmp_path: Path) -> None:
    def state(*names: str, size: int = 2) -> checkpoint.State:
        arrays = {name: np.ones(size, np.float32) for name in names}
        parameters = tuple(checkpoint.Parameter(name, 1, {"square_avg": a}) for name, a in arrays.items())
        return checkpoint.State((checkpoint.Group(rmsprop.dialect("optax"), 0.1, parameters),))

    refused = {
        r"Orbax holds no arrays without elements, and '0\.nu\.w' has shape \(0,\)": state("w", size=0),
        "'a/b' lies within another parameter's name": state("a", "a/b"),
        "'a' is the beginning of another parameter's name": state("a/b", "a"),
        r"two arrays would be called '0\.nu\.a\.b' in Orbax's directory": state("a.b", "a/b"),
    }
    for message, one in refused.items():
        with pytest.raises(ConversionError, match=message):
            checkpoint.save(tmp_path / "run", one, to="optax")
    assert os.listdir(tmp_path) == []


def test_a_directory_is_there_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    state = checkpoint.capture(optax.rmsprop(0.1).init({"w": jnp.ones(3)}), lr=0.1, step=0)
    checkpoint.save(tmp_path / "run", state, to="optax")
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(SaveError, match="run exists, and Orbax's directories are not replaced; write to another one, or remove it"):
        checkpoint.save(tmp_path / "run", state, to="optax")
    with pytest.raises(SaveError, match=r"cannot write .*nowhere/run"):
        checkpoint.save(tmp_path / "nowhere" / "run", state, to="optax")

    def full(path: Path) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(draft, "sync", full)
    with pytest.raises(SaveError, match=r"No space left on device; nothing was left behind"):
        checkpoint.save(tmp_path / "other", state, to="optax")
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize(("library", "call"), [("orbax", "write(path, [])"), ("tensorstore", "Directory(path).fetch(Place('w'))")])
def test_a_missing_library_is_named_and_loaded_only_when_needed(library: str, call: str, tmp_path: Path) -> None:
    put(tmp_path / "run", {"w": jnp.ones(2)})
    code = f"""
import sys, pathlib
from rmsprop.checkpoint.orbax import Directory, Place, write
from rmsprop.checkpoint import MissingExtraError
import rmsprop.checkpoint.optax
assert not {{"orbax", "tensorstore", "jax"}} & set(sys.modules)
sys.modules[{library!r}] = None
path = pathlib.Path({str(tmp_path / "run")!r})
try:
    {call}
except MissingExtraError as error:
    print(error)
"""
    told = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True)
    assert "install it with: pip install orbax-checkpoint" in told.stdout, told.stderr
