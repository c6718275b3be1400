"""`rmsprop inspect` and `rmsprop convert`, as they are typed."""

import json
import pickle
from pathlib import Path

import numpy as np
import pytest

import rmsprop
from rmsprop.checkpoint import load, save
from rmsprop.cli import run
from rmsprop.cli.checkpoints import rule_line
from tests.cases import RULES
from tests.checkpoint.harness import assert_same, trained


@pytest.fixture
def file(tmp_path: Path) -> str:
    save(tmp_path / "run.safetensors", trained(RULES["centered, momentum"]))
    return str(tmp_path / "run.safetensors")


def test_inspect_shows_rule_steps_slots_shapes_and_statistics(file: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["inspect", file]) == 0
    out = capsys.readouterr().out
    assert "state of rmsprop.RMSprop" in out
    assert "tf1: lr 0.01, decay 0.9, eps 1e-10 inside, centered, momentum 0.9 (of lr·g/denominator), v from 1" in out
    assert "4 parameters, 14 numbers, step 3" in out
    rows = [line.split() for line in out.splitlines()]
    assert next(row for row in rows if row[:1] == ["matrix"])[:5] == ["matrix", "3×4", "3", "variance", "float32"]
    state = load(file)
    v = next(state.parameters).slots["variance"]
    assert next(row for row in rows if row[:1] == ["matrix"])[5:8] == [f"{x:.4g}" for x in (v.min(), v.mean(dtype=float), v.max())]
    assert next(row for row in rows if row[:1] == ["empty"])[:2] == ["empty", "0×2"]
    assert next(row for row in rows if row[:1] == ["scalar"])[:2] == ["scalar", "()"]


def test_inspect_prints_json(file: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["inspect", file, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    p = told["groups"][0]["parameters"][0]
    assert (p["name"], p["step"], p["shape"], sorted(p["slots"])) == (
        "matrix",
        3,
        [3, 4],
        ["grad_avg", "momentum_buffer", "variance"],
    )
    assert told["groups"][0]["rule"]["momentum"] == 0.9
    assert told["unknown"] == []


def test_inspect_shows_what_is_not_finite(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    optimizer = rmsprop.RMSprop({"w": np.ones(3)}, 0.1, on_nonfinite="propagate")
    optimizer.step({"w": np.array([1, np.nan, 0])})
    save(tmp_path / "run", optimizer, allow_nan=True)
    assert run(["inspect", str(tmp_path / "run")]) == 0
    assert "33.3 %, 1 not finite" in capsys.readouterr().out


def test_inspect_says_what_it_cannot_know(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    optimizer = rmsprop.RMSprop({"w": np.ones(3)}, 0.1, "optax", decay=0.5, momentum=0.7)
    optimizer.step({"w": np.ones(3)})
    save(tmp_path / "run", optimizer, to="optax")
    assert run(["inspect", str(tmp_path / "run")]) == 0
    out = capsys.readouterr().out
    assert "optax: lr unknown, decay 0.9, eps 1e-08 inside, momentum unknown (of lr·g/denominator)" in out
    assert "1 parameter, 3 numbers, step unknown" in out
    assert "The file does not hold lr, step and momentum: say --lr, --step and --set momentum=... to convert it." in out
    assert "What the file does not hold of the rule is shown as in the dialect" in out
    assert run(["inspect", str(tmp_path / "run"), "--lr", "0.1", "--step", "1", "--set", "momentum=0.7,decay=0.5"]) == 0
    out = capsys.readouterr().out
    assert "optax: lr 0.1, decay 0.5, eps 1e-08 inside, momentum 0.7 (of lr·g/denominator)" in out
    assert "does not hold lr" not in out


def test_convert_renames_and_says_what_it_wrote(file: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "moved.safetensors"
    assert run(["convert", file, str(out), "--to", "rmsprop", "--map", r"(ma)trix=\1/w@1,0", "--map", "one=two"]) == 0
    assert load(out).names == ("ma/w", "scalar", "empty", "two")
    said = capsys.readouterr().out
    assert f"wrote {out}: state of rmsprop.RMSprop, from rmsprop.RMSprop" in said
    assert "4 parameters, 14 numbers, step 3" in said
    assert run(["convert", file, str(out), "--to", "rmsprop", "--quiet"]) == 0
    assert capsys.readouterr() == ("", "")
    assert_same(load(out), load(file))


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["inspect", "nowhere"], 1, "nowhere does not exist"),
        (["inspect", "FOLDER"], 1, "is a directory, and neither"),
        (["inspect", "."], 1, "is a directory, and neither"),
        (["inspect", "/"], 1, "is a directory, and neither"),
        (["inspect", "FILE", "--from", "pytroch"], 2, "unknown kind 'pytroch'; did you mean 'pytorch'?"),
        (["inspect", "FILE", "--set", "rho=1"], 2, "--set must be such as decay=0.9"),
        (["inspect", "FILE", "--set", "decay=0.5,decay=0.6"], 2, "--set gives decay twice"),
        (["inspect", "FILE", "--set", "decay"], 2, "--set must be such as"),
        (["inspect", "FILE", "--lr", "0.1"], 2, "holds lr itself; leave it out"),
        (["inspect", "FILE", "--set", "decay=0.5"], 2, "holds decay itself"),
        (["convert", "FILE", "OUT"], 2, "Missing option '--to'"),
        (["convert", "FILE", "OUT", "--to", "torch"], 2, "unknown kind 'torch'"),
        (["convert", "FILE", "OUT", "--to", "rmsprop", "--map", "x"], 2, "an entry of the map must be such as"),
        (
            ["convert", "FILE", "OUT", "--to", "rmsprop", "--map", "x=y"],
            2,
            "matches no name that is left for it; the names are 'matrix'",
        ),
        (["convert", "FILE", "OUT", "--to", "pytorch"], 1, "eps_place='outside' and no option for it"),
        (["convert", "nowhere", "OUT", "--to", "rmsprop"], 1, "nowhere does not exist"),
        (["convert", "TEXT", "OUT", "--to", "rmsprop"], 1, "is of no known format"),
        (["convert", "FILE", "nowhere/OUT", "--to", "rmsprop"], 1, "cannot write nowhere/OUT: No such file or directory; what was"),
        (["convert", "FILE", "FOLDER", "--to", "rmsprop"], 1, "Is a directory; what was there is unchanged"),
        (["convert", "FILE", "OUT", "--to", "rmsprop", "--like", "nowhere"], 1, "cannot read nowhere: No such file or directory"),
        (["inspect", "PICKLE"], 1, "it is a pickle, and none of torch.save's; pickles run what they hold"),
        (["inspect", "TORCH", "--key", "x"], 2, "there is no optimizer state under 'x', but one alone; leave the key out"),
        (["inspect", "ALONE"], 2, "holds variances: say centered=True or --set centered=true, and momentum if there was any"),
        (["inspect", "ALONE", "--set", "centered=true"], 1, "say momentum and centered as they were"),
    ],
)
def test_bad_input_gets_one_line_and_writes_nothing(
    file: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    arguments: list[str],
    code: int,
    message: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "TEXT").write_text("hello, world")
    (tmp_path / "PICKLE").write_bytes(pickle.dumps({"state": 1}))
    save(tmp_path / "TORCH", load(file), to="rmsprop.torch")
    save(tmp_path / "alone.weights.h5", load(file), to="rmsprop.keras")
    places = {"FILE": file, "FOLDER": str(tmp_path), "ALONE": "alone.weights.h5"}
    before = sorted(path.name for path in tmp_path.iterdir())
    assert run([places.get(one, one) for one in arguments]) == code
    out, error = capsys.readouterr()
    assert out == ""
    assert error.startswith("rmsprop: error: ")
    assert error.count("\n") == 1
    assert message in error
    assert sorted(path.name for path in tmp_path.iterdir()) == before


def test_rules_that_print_alike_step_alike() -> None:
    # But for the form in which a variance is kept, and for what is told in its own place: the name and the learning rate.
    first: dict[str, rmsprop.Rule] = {}
    for rule in RULES.values():
        rule = rule.replace(centered_form="variance", complex_form="parts")
        line = rule_line(rule, 0.1).partition(": ")[2]
        other = first.setdefault(line, rule)
        assert (other.switches, other.scalars(0.1, 3), other.slots) == (rule.switches, rule.scalars(0.1, 3), rule.slots)
    assert len(first) > len(RULES) / 2
