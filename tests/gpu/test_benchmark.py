"""The benchmark on GPUs, rehearsed without one: all but its clock."""

import importlib
import json
import sys
from pathlib import Path

import pytest

torch = pytest.importorskip("torch", reason="PyTorch is not installed")
pytest.importorskip("triton", reason="Triton is not installed; it exists for Linux only")

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
BRIEF = ["--seconds", "0.01", "--rounds", "1"]


@pytest.fixture
def run(monkeypatch):
    """Return what runs the benchmark with arguments, and returns how it ended."""
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    for name in ("RMSPROP_INTERPRET", "TRITON_INTERPRET"):
        monkeypatch.setenv(name, "0")  # so that it is set back afterwards
        monkeypatch.delenv(name)
    threads = torch.get_num_threads()

    def benchmark(*arguments):
        monkeypatch.setattr(sys, "argv", ["gpu_step.py", *arguments])
        try:
            importlib.import_module("gpu_step").main()
        except SystemExit as end:
            return str(end)
        return None

    yield benchmark
    torch.set_num_threads(threads)


def test_without_a_gpu_it_says_that_nothing_was_measured(run, capsys, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert "sees none: nothing was measured" in run()
    assert capsys.readouterr().out == ""


def test_of_a_case_that_there_is_not_it_says_which_there_are(run):
    complaint = run("--device", "cpu", "--cases", "AlexNet")
    assert "no case has 'AlexNet'" in complaint
    assert "GPT-2, 124 M, bfloat16" in complaint


def test_a_rehearsal_goes_through_everything_and_claims_nothing(run, capsys, tmp_path):
    out = tmp_path / "figures.json"
    cases = ["2,000 tensors of 1,000, float32, weight decay", "10⁹ parameters, bfloat16"]
    rivals = ["foreach", "adam", "32 bits"]
    assert run("--device", "cpu", "--cases", *cases, "--rivals", *rivals, *BRIEF, "--json", str(out)) is None
    told, printed = json.loads(out.read_text()), capsys.readouterr().out
    assert told["rehearsal"] is True
    assert told["gates"] == dict.fromkeys(reversed(cases), "bits")
    decayed, half = (told["times"][case] for case in cases)
    assert set(decayed) - {"bitsandbytes, 32 bits"} == {"ours", "ruler", "foreach", "fused Adam", "ours, gradients moved"}
    assert decayed["ours"]["bytes"] == 20 * 4 * 1000
    assert decayed["fused Adam"]["bytes"] == 28 * 4 * 1000
    assert half["ours"]["bytes"] == 14 * 5000
    assert all(decayed["ours"][of] > 0 for of in ("device", "host", "wall", "graph"))
    assert printed.count("unmeasured") == len(told["targets"])
    assert "MISSED" not in printed


@pytest.mark.parametrize(("nudge", "right"), [(1e-7, True), (1e-3, False)])
def test_what_is_wrong_is_not_timed(run, tmp_path, monkeypatch, nudge, right):
    gate = importlib.import_module("gpu_gate")
    stepped = gate.stepped

    def nudged(case, device):
        params, optimizer = stepped(case, device)
        if len(case.shapes) > 1:  # not the truth's
            params[-1].detach().view(-1)[-1] *= 1 + nudge
        return params, optimizer

    monkeypatch.setattr(gate, "stepped", nudged)
    out, title = tmp_path / "figures.json", "2,000 tensors of 1,000, float32, weight decay"
    complaint = run("--device", "cpu", "--cases", title, "--rivals", "foreach", *BRIEF, "--json", str(out))
    told = json.loads(out.read_text())
    if right:  # as near as PyTorch's own are
        assert complaint is None
        assert told["gates"][title].startswith("1 elements differ")
        assert told["times"][title]["ours"]["device"] > 0
    else:
        assert f"not right, and so not timed: {title}" in complaint
        assert told["wrong"] == [title]
        assert told["times"] == {}
