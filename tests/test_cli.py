"""The command line as a user meets it: in a process of its own."""

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from rmsprop import dialect_names
from rmsprop.cli import run
from tests.terminal import drawn

ROOT = Path(__file__).parent.parent
MODEL = "y = a*x**2 + b*x + c"
PROGRAM = [sys.executable, "-c", "from rmsprop.cli import main; main()"]


def rmsprop(*arguments, cwd, **options):
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src"), "COLUMNS": "120"}
    return subprocess.run(
        [*PROGRAM, *map(str, arguments)], cwd=cwd, env=environment, capture_output=True, text=True, timeout=120, **options
    )


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "quadratic.csv").write_bytes((ROOT / "examples" / "quadratic.csv").read_bytes())
    return tmp_path


def test_fit_prints_the_report_and_writes_both_files(folder):
    done = rmsprop("fit", "quadratic.csv", MODEL, cwd=folder)
    assert done.returncode == 0
    assert "[[Parameters]]" in done.stdout
    assert "converged    yes" in done.stdout
    assert done.stderr == "rmsprop: wrote fit/fit.json and fit/fit.png\n"
    got = json.loads((folder / "fit" / "fit.json").read_text(encoding="utf-8"))
    assert got["parameters"]["a"]["value"] == pytest.approx(2.0719444, rel=1e-7)
    assert (folder / "fit" / "fit.png").read_bytes().startswith(b"\x89PNG")
    assert sorted(path.name for path in (folder / "fit").iterdir()) == ["fit.json", "fit.png"]


def test_json_is_one_object_alone_on_stdout(folder):
    done = rmsprop("fit", "quadratic.csv", MODEL, "--json", "--out", "there", "--start", "a=1,b=2, c=3", cwd=folder)
    got = json.loads(done.stdout)
    assert got == json.loads((folder / "there" / "fit.json").read_text(encoding="utf-8"))
    assert [got["parameters"][name]["start"] for name in "abc"] == [1, 2, 3]


def test_quiet_prints_nothing(folder):
    done = rmsprop("fit", "quadratic.csv", MODEL, "--quiet", cwd=folder)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert (folder / "fit" / "fit.json").exists()


def test_recipe_needs_no_data(folder):
    done = rmsprop("fit", "--recipe", "article", "--json", cwd=folder)
    assert json.loads(done.stdout)["parameters"]["a"]["value"] == 2.07694441894195


def test_every_option_is_heard(folder):
    (folder / "s.csv").write_text("x,y,s\n" + "".join(f"{k},{2 * k + 1 + (k % 3) / 10},{1 + k % 2}\n" for k in range(40)))
    options = ["--lr", "0.05", "--decay", "0.95", "--eps", "1e-7", "--momentum", "0.5", "--dialect", "tf1", "--epochs", "40"]
    options += [
        "--batch-size",
        "8",
        "--loss",
        "huber",
        "--delta",
        "0.5",
        "--schedule",
        "cosine",
        "--scale",
        "start",
        "--sigma",
        "s",
    ]
    options += ["--seed", "3", "--no-polish", "--missing", "refuse", "--memory", "1000000", "--start", "a=1", "--json"]
    used = json.loads(rmsprop("fit", "s.csv", "y = a*x + b", *options, cwd=folder).stdout)
    wanted = {
        "lr": 0.05,
        "decay": 0.95,
        "eps": 1e-7,
        "momentum": 0.5,
        "dialect": "tf1",
        "batch_size": 8,
        "loss": "huber",
        "delta": 0.5,
    }
    wanted |= {"schedule": "cosine", "scale": "start", "sigma": "s", "seed": 3}
    assert {name: used["settings"][name] for name in wanted} == wanted
    assert (used["epochs"], used["polish"]) == (40, "not polished: switched off")


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["fit", "quadratic.csv"], 2, "give DATA and MODEL"),
        (["fit", "quadratic.csv", "y"], 2, "must have one '='"),
        (["fit", "quadratic.csv", "y = a*x.real"], 2, "an attribute"),
        (["fit", "quadratic.csv", "y = __import__('os')"], 2, "unknown function"),
        (["fit", "quadratic.csv", "y = " + "(" * 5000], 2, "characters"),
        (["fit", "quadratic.csv", "z = a*x"], 2, "the columns are x, y"),
        (["fit", "quadratic.csv", MODEL, "--start", "a"], 2, "--start must be such as a=1,b=2.5, got 'a'"),
        (["fit", "quadratic.csv", MODEL, "--start", "a=1,a=2"], 2, "twice"),
        (["fit", "quadratic.csv", MODEL, "--start", "q=1"], 2, "start names 'q'"),
        (["fit", "quadratic.csv", MODEL, "--epochs", "x"], 2, "epochs"),
        (["fit", "quadratic.csv", MODEL, "--epochs", "0"], 2, "epochs must be a whole number of at least 1, got 0"),
        (["fit", "quadratic.csv", MODEL, "--loss", "l2"], 2, "mse, mae, huber"),
        (["fit", "quadratic.csv", MODEL, "--dialect", "kera"], 2, "keras"),
        (["fit", "quadratic.csv", MODEL, "--decay", "2"], 2, "2"),
        (["fit", "quadratic.csv", MODEL, "--bogus"], 2, "bogus"),
        (["fit", "quadratic.csv", MODEL, "--out", "quadratic.csv"], 2, "is a file"),
        (["bogus"], 2, "bogus"),
        (["dialects", "pytorsh"], 2, "pytorch"),
        (["fit", "none.csv", MODEL], 1, "none.csv does not exist"),
        (["fit", ".", MODEL], 1, "is a directory"),
        (["fit", "text.csv", MODEL], 1, "line 3, column 'y': 'two' is not a number"),
        (["fit", "empty.csv", MODEL], 1, "empty.csv is empty"),
        (
            ["fit", "quadratic.csv", "y = a*exp(b*x)", "--no-polish", "--scale", "none", "--schedule", "constant", "--lr", "900"],
            1,
            "lower lr",
        ),
    ],
)
def test_errors_are_one_plain_message_and_leave_outputs_alone(folder, capsys, monkeypatch, arguments, code, message):
    (folder / "text.csv").write_text("x,y\n1,2\n3,two\n")
    (folder / "empty.csv").write_text("")
    (folder / "fit").mkdir()
    (folder / "fit" / "fit.json").write_text("old")
    (folder / "fit" / "fit.png").write_text("old")
    monkeypatch.chdir(folder)
    assert run(arguments) == code
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("rmsprop: error: ")
    assert message in err
    assert "Traceback" not in err
    assert {path.name: path.read_text() for path in (folder / "fit").iterdir()} == {"fit.json": "old", "fit.png": "old"}


def test_process_exit_codes(folder):
    assert rmsprop("fit", "none.csv", MODEL, cwd=folder).returncode == 1
    assert rmsprop("fit", "quadratic.csv", "y", cwd=folder).returncode == 2
    assert rmsprop(cwd=folder).returncode == 2


@pytest.mark.skipif(os.name == "nt", reason="Windows sends no SIGINT to a child")
def test_ctrl_c_reports_the_best_so_far(folder):
    x = np.linspace(0, 1, 2000)
    np.savetxt(folder / "wave.csv", np.column_stack([x, np.sin(9 * x)]), delimiter=",", header="x,y", comments="")
    command = ["fit", "wave.csv", "y = a*sin(b*x)", "--start", "a=0.5,b=7", "--epochs", "100000000", "--schedule", "cosine"]
    # Every sample is flushed by the progress hook, so that the test need not guess when the run has begun.
    code = "\n".join(
        [
            "import sys, rmsprop.cli.progress as progress",
            "from rmsprop.fit import train",
            "train._SAMPLES = 10**9",
            "def update(self, epoch, epochs, note):",
            "    if epoch == 50:",
            "        print('running', file=sys.stderr, flush=True)",
            "progress.Progress.update = update",
            "from rmsprop.cli import main",
            "main()",
        ]
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
    child = subprocess.Popen(
        [sys.executable, "-c", code, *command],
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert child.stderr.readline() == "running\n"
        child.send_signal(signal.SIGINT)
        out, err = child.communicate(timeout=60)
    finally:
        child.kill()
    assert child.returncode == 130
    assert "stopped      by Ctrl-C: these are the best parameters so far" in out
    assert "Traceback" not in err
    assert json.loads((folder / "fit" / "fit.json").read_text())["interrupted"] is True


def test_progress_is_drawn_on_a_terminal_only(folder):
    command = [*PROGRAM, "fit", "quadratic.csv", MODEL, "--epochs", "2000"]
    told = drawn(command, folder, {**os.environ, "PYTHONPATH": str(ROOT / "src")})
    assert b"RMSprop" in told
    assert b"epochs, loss" in told


def test_dialects_table_names_every_dialect(capsys):
    assert run(["dialects"]) == 0
    out = capsys.readouterr().out
    for name in dialect_names():
        assert re.search(rf"^{re.escape(name)} ", out, re.MULTILINE)


@pytest.mark.parametrize("name", dialect_names())
def test_one_dialect_has_axes_source_and_formula(capsys, name):
    assert run(["dialects", name]) == 0
    out = capsys.readouterr().out
    assert out.startswith(f"{name}\n")
    for part in ("eps_place", "LaTeX:", r"\theta_{t} =", "θₜ"):
        assert part in out


def test_help_and_version(capsys):
    import rmsprop

    assert run(["--version"]) == 0
    assert capsys.readouterr().out == f"rmsprop {rmsprop.__version__}\n"
    assert run(["fit", "--help"]) == 0
    text = capsys.readouterr().out
    for option in ("--start", "--lr", "--polish", "--no-polish", "--recipe", "--sigma", "--json", "--quiet", "--out"):
        assert option in text


def test_missing_extra_is_answered_with_the_command(folder):
    code = "import sys; sys.modules['{}'] = None; from rmsprop.cli import main; main()"
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
    for module, arguments in [
        ("typer", ["--version"]),
        ("polars", ["fit", "quadratic.csv", MODEL]),
        ("scipy.optimize", ["fit", "quadratic.csv", MODEL]),
        ("matplotlib.figure", ["fit", "quadratic.csv", MODEL]),
        ("sympy", ["dialects", "article"]),
    ]:
        done = subprocess.run(
            [sys.executable, "-c", code.format(module), *arguments],
            cwd=folder,
            env=environment,
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert done.returncode == 1
        assert "pip install 'rmsprop[fit]'" in done.stderr
        assert "Traceback" not in done.stderr
    assert not (folder / "fit").exists()


def test_command_line_is_importable_with_numpy_alone():
    heavy = {"typer", "click", "rich", "polars", "scipy", "matplotlib", "numba"}
    code = f"import sys; import rmsprop.cli; print(sorted({heavy} & set(sys.modules)))"
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=60)
    assert done.stdout == "[]\n"


def test_reader_that_goes_away_is_no_traceback(folder):
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
    with subprocess.Popen(
        [*PROGRAM, "dialects"], env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as child:
        child.stdout.close()
        err = child.stderr.read()
    assert "Traceback" not in err
