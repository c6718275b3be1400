"""Each ordered pair of frameworks: train on the left, move through a file, train on at the right beside the one that stayed.

What moves is the upstream's own optimizer (on NumPy, ours); what goes on is ours, in the upstream's dialect.
"""

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import rmsprop
from rmsprop.checkpoint import convert, load, save
from tests.checkpoint.frameworks import FRAMEWORKS, SHAPES
from tests.checkpoint.harness import assert_bits
from tests.tolerances import TOLERANCES

# Keras's own on PyTorch, of NumPy's new way to ask for an array.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept a copy:DeprecationWarning")

GUIDE = Path(__file__).parents[2] / "docs" / "checkpoints.md"
VARIANTS: dict[str, dict[str, Any]] = {
    "plain": {},
    "momentum": {"momentum": 0.9},
    "centered": {"centered": True},
    "both": {"momentum": 0.9, "centered": True},
}
BEFORE, AFTER = 10, 20
LRS = (0.01,) * BEFORE + (0.003,) * 10 + (0.02,) * 10
TITLES = {
    "torch": "`torch.optim.RMSprop`",
    "optax": "`optax.rmsprop`",
    "keras": "`keras.optimizers.RMSprop`",
    "numpy": "`rmsprop.RMSprop`",
}
OURS = {"torch": "`rmsprop.torch`", "optax": "`rmsprop.optax`", "keras": "`rmsprop.keras`", "numpy": "NumPy"}


def problem() -> tuple[dict[str, np.ndarray], list[dict[str, np.ndarray]]]:
    rng = np.random.default_rng(11)

    def drawn() -> dict[str, np.ndarray]:
        return {name: np.asarray(rng.standard_normal(shape), np.float32) for name, shape in SHAPES.items()}

    return drawn(), [{name: 3 * g + 1 for name, g in drawn().items()} for _ in range(BEFORE + AFTER)]


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize(("here", "there"), list(itertools.product(FRAMEWORKS, FRAMEWORKS)))
def test_the_run_goes_on_as_if_it_had_stayed(here: str, there: str, variant: str, tmp_path: Path) -> None:
    params, grads = problem()
    rule = rmsprop.dialect(FRAMEWORKS[here].dialect, **VARIANTS[variant])
    stays = FRAMEWORKS[here](params, LRS, rule, ours=False)
    for g in grads[:BEFORE]:
        stays.step(g)
    save(tmp_path / "run.safetensors", stays.captured())
    state = load(tmp_path / "run.safetensors")
    start = {name: np.array(p) for name, p in stays.values().items()}
    # The rule of what goes on is that of the file, but for the form of the variance, where ours keeps the one that cannot fail.
    moves = FRAMEWORKS[there](start, LRS, state.groups[0].rule.replace(centered_form="variance"), ours=True)
    moves.restored(state)
    largest = {name: np.abs(p) for name, p in start.items()}
    bound = TOLERANCES[f"pair {here}"].parameter
    for g in grads[BEFORE:]:
        stays.step(g)
        moves.step(g)
        for name, p in stays.values().items():
            p, q = np.asarray(p), np.asarray(moves.values()[name])
            largest[name] = np.maximum(largest[name], np.abs(p))
            assert np.max(np.abs(q - p) / np.spacing(largest[name])) <= bound, TOLERANCES[f"pair {here}"].reason


FILES = {"torch": "run.pt", "optax": "run", "keras": "run.weights.h5", "numpy": "moved.safetensors"}


@pytest.mark.parametrize(("here", "there"), list(itertools.product(FRAMEWORKS, FRAMEWORKS)))
def test_the_file_of_the_other_framework_holds_it_too(here: str, there: str, tmp_path: Path) -> None:
    params, grads = problem()
    first = FRAMEWORKS[here](params, LRS, rmsprop.dialect(FRAMEWORKS[here].dialect, **VARIANTS["both"]), ours=False)
    for g in grads[:BEFORE]:
        first.step(g)
    save(tmp_path / "run.safetensors", first.captured())
    kind, path = "rmsprop" if there == "numpy" else f"rmsprop.{there}", tmp_path / FILES[there]
    state = convert(tmp_path / "run.safetensors", path, kind)
    group = state.groups[0]
    # What each kind of file does not hold.
    said = {"optax": {"dialect": group.rule, "lr": group.lr}, "keras": {"kind": kind, "dialect": group.rule, "names": state.names}}
    found = load(path, **said.get(there, {}))
    if there == "optax":  # a tree, whose keys are sorted
        found = found.arranged([state.names])
    assert found.groups[0].rule == group.rule
    assert found.groups[0].lr == (np.float32(group.lr) if there == "keras" else group.lr)
    for p, q in zip(found.parameters, state.parameters, strict=True):
        assert (p.name, p.step, sorted(p.slots)) == (q.name, q.step, sorted(q.slots))
        for slot, array in q.slots.items():
            assert_bits(p.slots[slot], array)


def table() -> str:
    """Return the table of the guide."""
    lines = ["| trained with | " + " | ".join(f"goes on in {OURS[there]}" for there in FRAMEWORKS) + " |"]
    lines.append("|" + "---|" * (len(FRAMEWORKS) + 1))
    for here in FRAMEWORKS:
        bound = f"≤ {TOLERANCES[f'pair {here}'].parameter:g} ulp"
        lines.append(f"| {TITLES[here]}, dialect `{FRAMEWORKS[here].dialect}` | " + " | ".join([bound] * len(FRAMEWORKS)) + " |")
    return "\n".join(lines)


def test_the_guide_has_the_table_of_what_is_tested_here() -> None:
    shown = GUIDE.read_text(encoding="utf-8").partition("<!-- pairs -->\n")[2].partition("\n<!-- end of pairs -->")[0]
    assert shown == table(), f"docs/checkpoints.md must have this table:\n{table()}"
