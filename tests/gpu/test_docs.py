"""The code blocks of the guide to GPUs, and what it says of what was measured."""

import pytest

pytest.importorskip("torch", reason="PyTorch is not installed")

from tests import guides
from tests.gpu.conftest import cuda

GUIDE = guides.DOCS / "gpu.md"


def test_runs_as_it_is_written_where_there_is_no_gpu():
    guides.run(GUIDE)


@pytest.mark.gpu
def test_runs_as_it_is_written_on_a_gpu():
    cuda()
    assert guides.run(GUIDE)["device"] == "cuda"


def test_each_target_says_on_what_it_was_measured(monkeypatch):
    monkeypatch.syspath_prepend(str(guides.DOCS.parent / "benchmarks"))
    from gpu_cases import TARGETS

    rows = [
        line for line in GUIDE.read_text(encoding="utf-8").splitlines() if line.startswith("|") and ("≥" in line or "≤" in line)
    ]
    asked = {f"≥ {target.asked:g}" if target.rival else f"≤ {target.asked * 1e6:g} µs" for target in TARGETS}
    told = {row.split("|")[2].strip() for row in rows}
    assert {each.removesuffix(".0") for each in told} == asked
    assert all(row.split("|")[3].strip() for row in rows)
