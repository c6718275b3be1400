"""Steps `rmsprop.torch.RMSprop` beside each live upstream, a million elements for a hundred steps; run by `make test-upstream`."""

from collections.abc import Callable, Iterator

import pytest

from tests.test_golden import WRONG
from tests.tolerances import UPSTREAM, Upstream
from tests.upstream.compare import Worst, measure
from tests.upstream.results import Result, results
from tests.upstream.upstreams import UPSTREAMS, Case, Process, cases, chosen

pytestmark = pytest.mark.upstream

ELEMENTS, STEPS = 1_000_000, 100
CASES = [case for file in UPSTREAMS for case in chosen(file)]


@pytest.fixture(scope="module")
def start() -> Iterator[Callable[[str], Process]]:
    """Return what starts an upstream, unless it is the one that runs; one at a time."""
    running: list[Process] = []

    def started(file: str) -> Process:
        if not running or running[0].upstream.file != file or running[0].busy:
            stop()
            running.append(Process(UPSTREAMS[file]))
        return running[0]

    def stop() -> None:
        while running:
            running.pop().close()

    yield started
    stop()


def tolerance(case: Case) -> Upstream:
    kind = "coupled" if case.rule.switches["COUPLED"] else "cancelling" if case.rule.centered or case.rule.momentum else "plain"
    return UPSTREAM[f"upstream {case.file} {case.dtype} {kind}"]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_equals_its_upstream(start: Callable[[str], Process], case: Case, request: pytest.FixtureRequest) -> None:
    step, run = measure(start(case.file), case, ELEMENTS, STEPS)
    request.config.stash[results].append(Result(str(case), step, run))
    allowed = tolerance(case)
    assert step.state <= allowed.state, allowed.reason
    assert step.parameter <= allowed.parameter, allowed.reason
    assert step.share <= allowed.beyond, allowed.reason
    assert step.unknown <= allowed.unknown * step.seen, allowed.reason
    assert run.share <= allowed.far, allowed.reason
    assert run.finite
    if allowed.drift is not None:
        assert max(run.state, run.parameter) <= allowed.drift, allowed.reason


def told_wrong(file: str) -> list[tuple[Case, str]]:
    """Return the plainest case for each axis that can be set wrong; for that of eps the one where eps weighs most."""
    out = []
    for axis in WRONG.keys() - {"complex_form"}:
        able = [case for case in cases(file) if case.dtype == "float32" and WRONG[axis](case.rule) is not None]
        if able:
            weights = [(-case.rule.eps if axis.startswith("eps") else 0, case.rule.centered, len(case.axes)) for case in able]
            out.append((able[weights.index(min(weights))], axis))
    return sorted(out, key=lambda row: row[1])


@pytest.mark.parametrize(("case", "axis"), [row for file in UPSTREAMS for row in told_wrong(file)], ids=str)
def test_a_wrong_axis_shows(start: Callable[[str], Process], case: Case, axis: str) -> None:
    allowed = tolerance(case)
    step, _ = measure(start(case.file), case, 2_000, 20, **{axis: WRONG[axis](case.rule)})
    assert excess(step, allowed) > 10


def excess(step: Worst, allowed: Upstream) -> float:
    return max(step.state / max(allowed.state, 1), step.parameter / allowed.parameter)
