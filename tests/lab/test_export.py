"""What a user takes along says the same as the lab did; the code that it gives runs, and ends where the run ended."""

import ast
import csv
import io
import json
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from rmsprop import dialect_names
from rmsprop.lab.arithmetic import columns
from rmsprop.lab.code import code
from rmsprop.lab.export import KINDS, as_race, export
from rmsprop.lab.setup import Data, Setup
from rmsprop.lab.trace import labels, run_of, trace
from rmsprop.race.landscapes import landscape, landscape_names
from rmsprop.race.noise import noise_kinds
from rmsprop.race.rivals import rival_names
from tests.lab.harness import DATA

NASTY = 'x;"y ""quoted"""\r\n1,5;2\r\n2,5;3,5\r\n3,5;4\r\n4,5;6,25\r\n'
RMSPROP = {"optimizer": "rmsprop", "lr": 0.02}
PROGRAMS = {
    **{f"on {name}": {"land": {"kind": "named", "name": name}} for name in landscape_names()},
    **{f"in {name} noise": {"noise": name, "seed": 3, "steps": 300} for name in noise_kinds()},
    **{name: {"runs": [{"optimizer": name, "lr": 0.013}]} for name in rival_names()},
    **{f"as {name}": {"runs": [{"optimizer": "rmsprop", "dialect": name, "lr": 0.003}]} for name in dialect_names()},
    "a formula": {"land": {"kind": "formula", "text": "(1-a)**2 + 100*(b-a**2)**2"}, "start": [-1.5, 2.0], "schedule": "cosine"},
    "data": {"land": DATA, "runs": [{"optimizer": "adam", "lr": 0.1}]},
    "data over two of three": {"land": DATA | {"model": "y = a*x**2 + b*x + c", "over": ["c", "a"]}, "runs": [RMSPROP]},
    "data over the first two": {"land": DATA | {"model": "y = a*x**2 + b*x + c"}, "runs": [RMSPROP]},
    "data with quotes": {"land": {"kind": "data", "csv": NASTY, "model": "y_quoted = p*x + q"}, "runs": [RMSPROP]},
    "axes": {"runs": [RMSPROP | {"decay": 0.5, "momentum": 0.7, "nesterov": True, "centered": True, "weight_decay": 0.01}]},
    "keras-legacy, ε outside": {"runs": [RMSPROP | {"dialect": "keras-legacy", "momentum": 0.9, "eps_place": "outside"}]},
    "hyper-parameters": {"runs": [{"optimizer": "adam", "lr": 0.1, "momentum": 0.5, "decay": 0.9, "eps": 0.01}]},
    "numbers that the optimizer refuses": {"runs": [{"optimizer": "rmsprop", "lr": 1e305, "eps": 1e-8}], "steps": 5},
    "a run that diverges": {"runs": [{"optimizer": "sgd", "lr": 1e3}], "steps": 30},
}  # fmt: skip


@pytest.fixture(scope="module")
def outputs(tmp_path_factory):
    """What every program printed; they run in a few processes, each alone in a fresh module."""
    folder = tmp_path_factory.mktemp("programs")
    names = {}
    for k, (name, told) in enumerate(PROGRAMS.items()):
        file = export("python", Setup.from_json({"steps": 120, **told}), lang=("en", "zh")[k % 2])
        names[name] = folder / f"program_{k}.py"
        names[name].write_bytes(file.content)
    (folder / "all.py").write_text(
        "import runpy, sys\nfor path in sys.argv[1:]:\n    runpy.run_path(path, run_name='__main__')\n", encoding="utf-8"
    )
    command = [sys.executable, "-W", "error", folder / "all.py", *names.values()]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=folder)
    assert done.returncode == 0, done.stderr
    return dict(zip(names, done.stdout.splitlines(), strict=True))


@pytest.mark.parametrize("name", PROGRAMS)
def test_code_ends_with_the_same_parameters_to_the_last_bit(outputs, name):
    one = run_of(Setup.from_json({"steps": 120, **PROGRAMS[name]}), 0)
    got = np.array([float(part) for part in outputs[name].split()])
    np.testing.assert_array_equal(got, one.p[-1])
    assert not np.isnan(got).all() or "diverges" in name


def test_code_stands_alone(tmp_path):
    file = export("python", Setup.from_json(PROGRAMS["data"]))
    (tmp_path / file.name).write_bytes(file.content)
    done = subprocess.run([sys.executable, "-W", "error", file.name], capture_output=True, text=True, check=True, cwd=tmp_path)
    assert [float(part) for part in done.stdout.split()] == run_of(Setup.from_json(PROGRAMS["data"]), 0).p[-1].tolist()
    assert "rmsprop.lab" not in file.content.decode()


@pytest.mark.parametrize(
    "text",
    ['"""', "'\"\\", "\\", "a\n\r\0\u2028b", '"); import os; ("', "变量", "{x}", "\x7f", '"""\n__import__("os").abort()\n"""'],
)
def test_text_of_the_users_stays_text_in_the_code(text):
    setup = Setup(land=Data(csv=f"{text}\n1,2\n", model=f"y = {text}", over=None))
    tree = ast.parse(code(setup, 0, landscape("ravine")))
    literals = [node.value for node in ast.walk(tree) if isinstance(node, ast.Constant)]
    called = {node.func.id for node in ast.walk(tree) if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)}
    assert {f"{text}\n1,2\n", f"y = {text}"} <= set(literals)
    assert called == {"Pasted", "of_data", "schedule", "RMSprop", "range", "problem", "print"}


def test_csv_holds_every_number_of_every_step_in_full():
    setup = Setup.from_json(
        {"runs": [{"optimizer": "adam"}, {"optimizer": "rmsprop", "dialect": "graves", "lr": 0.01}], "steps": 40}
    )
    for k, one in enumerate(run_of(setup, k) for k in range(2)):
        rows = list(csv.DictReader(io.StringIO(export("csv", setup, k).content.decode())))
        assert [int(row["step"]) for row in rows] == list(range(41))
        assert [float(row["loss"]) for row in rows] == one.loss.tolist()
        for column in columns(one):
            for j, name in enumerate("xy"):
                assert [float(row[f"{column.key}_{name}"]) for row in rows[1:]] == column.values[:, j].tolist()
        assert [float(rows[0][f"p_new_{name}"]) for name in "xy"] == one.p[0].tolist()


def test_json_holds_the_setup_and_its_trace_with_null_for_what_is_not_finite():
    setup = Setup.from_json({"runs": [{"optimizer": "sgd", "lr": 1e8}], "land": {"kind": "named", "name": "beale"}, "steps": 20})
    told = json.loads(export("json", setup).content, parse_constant=pytest.fail)
    assert Setup.from_json(told["setup"]) == setup
    assert told["trace"]["runs"][0]["loss"][-1] is None
    assert told["trace"]["runs"][0]["loss"][0] == trace(setup)["runs"][0]["loss"][0]


@pytest.mark.parametrize("steps", [1, 5000])
def test_gif_moves_from_the_start_to_the_end(steps):
    runs = [RMSPROP, RMSPROP, {"optimizer": "adam"}, {"optimizer": "sgd", "lr": 1e9}]
    file = export("gif", Setup.from_json({"runs": runs, "steps": steps}))
    with Image.open(io.BytesIO(file.content)) as picture:
        assert picture.format == "GIF"
        assert picture.size == (720, 640)
        assert 2 <= picture.n_frames <= 72
        first = np.asarray(picture.convert("RGB"))
        picture.seek(picture.n_frames - 1)
        assert (np.asarray(picture.convert("RGB")) != first).any()


def test_the_race_behind_the_pictures_is_the_trace():
    setup = Setup.from_json({"runs": [RMSPROP, RMSPROP, {"optimizer": "adam"}], "steps": 10})
    race = as_race(setup)
    assert [entry.rival.name for entry in race.entries] == labels(setup.runs) == ["rmsprop", "rmsprop (2)", "adam"]
    np.testing.assert_array_equal(race.entries[2].path, run_of(setup, 2).p)
    assert race.times.tolist() == list(range(11))


def test_the_kinds_are_those_of_the_page():
    assert list(KINDS) == ["csv", "json", "gif", "python"]
