"""`rmsprop race --workload` as a user meets it."""

import json

import pytest

from rmsprop.cli import run
from rmsprop.race.workloads import workload_names

FILES = ["race.html", "race.json", "race.png"]
FAST = ["--against", "adagrad", "--steps", "6", "--seeds", "2", "--budget", "2"]


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_prints_the_table_and_writes_three_files(folder, capsys):
    assert run(["race", "--workload", "digits", *FAST]) == 0
    out, err = capsys.readouterr()
    assert out.startswith("digits: a convolutional network")
    assert "accuracy" in out
    assert "adagrad" in out
    assert err.startswith("rmsprop: ")
    assert "race.png" in err
    assert sorted(path.name for path in (folder / "race").iterdir()) == FILES
    assert (folder / "race" / "race.png").read_bytes().startswith(b"\x89PNG")


def test_every_option_is_heard_and_json_is_alone_on_stdout(folder, capsys):
    options = ["--dialect", "tf1,article:decay=0.99", "--against", "none", "--lr", "0.02,rmsprop tf1=0.01", "--schedule", "cosine"]
    options += ["--seed", "3", "--target", "1.5", "--seeds", "2", "--steps", "5", "--budget", "2", "--out", "there", "--json"]
    assert run(["race", "--workload", "words", *options]) == 0
    got = json.loads(capsys.readouterr().out)
    assert got == json.loads((folder / "there" / "race.json").read_text(encoding="utf-8"))
    assert {entry["name"]: entry["lr"] for entry in got["optimizers"]} == {"rmsprop tf1": 0.01, "rmsprop decay=0.99": 0.02}
    settings = got["settings"]
    assert [settings[name] for name in ("steps", "seeds", "seed", "budget", "schedule")] == [5, 2, 3, 2, "cosine"]
    assert got["workload"]["target"] == 1.5
    by_name = {entry["name"]: entry["hyper"] for entry in got["optimizers"]}
    assert by_name["rmsprop decay=0.99"]["decay"] == 0.99


def test_quiet_prints_nothing(folder, capsys):
    assert run(["race", "--workload", "words", *FAST, "--lr", "0.1", "--quiet"]) == 0
    assert capsys.readouterr() == ("", "")


def test_list_names_every_workload(capsys):
    assert run(["race", "--list"]) == 0
    out = capsys.readouterr().out
    for name in workload_names():
        assert f"\n  {name} " in out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--workload", "digit"], "did you mean digits?"),
        (["--workload", "mnist"], "workload must be one of digits, chars, cartpole, words, got 'mnist'"),
        (["ravine", "--workload", "digits"], "LANDSCAPE is for landscapes; leave it out with --workload, got 'ravine'"),
        (["--workload", "digits", "--noise", "gaussian"], "--noise is for landscapes"),
        (["--workload", "digits", "--start", "1,2"], "--start is for landscapes"),
        (["--workload", "digits", "--data", "x.csv"], "--data is for landscapes"),
        (["--workload", "digits", "--model", "y = a*x"], "--model is for landscapes"),
        (["--workload", "digits", "--over", "a,b"], "--over is for landscapes"),
        (["--workload", "digits", "--target", "-1"], "target must be a loss above 0 for digits, got -1.0"),
        (["--workload", "digits", "--target", "nan"], "target must be a loss above 0"),
        (["--workload", "digits", "--steps", "0"], "steps must be a whole number"),
        (["--workload", "digits", "--budget", "1"], "budget must be"),
        (["--workload", "digits", "--seeds", "many"], "seeds"),
        (["--workload", "digits", "--lr", "bob=1"], "'bob', which does not run"),
        (["--workload", "digits", "--against", "adm"], "did you mean adam?"),
        (["--workload", "digits", "--dialect", "article:dekay=1"], "--dialect must be such as"),
        (["--workload", "digits", "--dialect", "article:"], "changes nothing"),
        (["--workload", "digits", "--dialect", "article:decay=2"], "decay must be in"),
        (["--workload", "digits", "--out", "file"], "is a file"),
    ],
)
def test_errors_are_one_plain_message_and_leave_outputs_alone(folder, capsys, arguments, message):
    (folder / "file").write_text("")
    (folder / "race").mkdir()
    for name in FILES:
        (folder / "race" / name).write_text("old")
    assert run(["race", *arguments]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("rmsprop: error: ")
    assert message in err
    assert {path.name: path.read_text() for path in (folder / "race").iterdir()} == dict.fromkeys(FILES, "old")


def test_ctrl_c_leaves_outputs_alone(folder, capsys, monkeypatch):
    def stopped(*arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr("rmsprop.race.workloads.train._run", stopped)
    assert run(["race", "--workload", "digits", *FAST]) == 130
    assert capsys.readouterr().err.strip() == "rmsprop: stopped; nothing was written"
    assert not (folder / "race").exists()


@pytest.mark.parametrize("module", ["torch", "sklearn.datasets"])
def test_missing_extra_is_answered_with_the_command(folder, capsys, monkeypatch, module):
    from rmsprop.race.workloads import digits

    digits._data.cache_clear()
    monkeypatch.setitem(__import__("sys").modules, module, None)
    assert run(["race", "--workload", "digits", *FAST]) == 1
    assert "pip install 'rmsprop[workloads]'" in capsys.readouterr().err
    assert not (folder / "race").exists()
