"""Steps `rmsprop.torch.RMSprop` beside each live upstream, a million elements for a hundred steps; run by `make test-upstream`."""

from collections.abc import Iterator

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
def process(request: pytest.FixtureRequest) -> Iterator[Process]:
    """The upstream at work, one after the other: pytest puts the tests of each together."""
    with Process(UPSTREAMS[request.param]) as running:
        yield running


def tolerance(case: Case) -> Upstream:
    kind = "coupled" if case.rule.switches["COUPLED"] else "cancelling" if case.rule.centered or case.rule.momentum else "plain"
    return UPSTREAM[f"upstream {case.file} {case.dtype} {kind}"]


@pytest.mark.parametrize(("process", "case"), [(case.file, case) for case in CASES], indirect=["process"], ids=str)
def test_equals_its_upstream(process: Process, case: Case, request: pytest.FixtureRequest) -> None:
    step, run = measure(process, case, ELEMENTS, STEPS)
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


def told_wrong(file: str) -> list[tuple[str, Case, str]]:
    """Return the plainest case for each axis that can be set wrong; for that of eps the one where eps weighs most."""
    out = []
    for axis in WRONG.keys() - {"complex_form"}:
        able = [case for case in cases(file) if case.dtype == "float32" and WRONG[axis](case.rule) is not None]
        if able:
            weights = [(-case.rule.eps if axis.startswith("eps") else 0, case.rule.centered, len(case.axes)) for case in able]
            out.append((file, able[weights.index(min(weights))], axis))
    return sorted(out, key=lambda row: row[2])


@pytest.mark.parametrize(
    ("process", "case", "axis"),
    [row for file in UPSTREAMS for row in told_wrong(file)],
    indirect=["process"],
    ids=lambda value: str(value) if isinstance(value, str | Case) else None,
)
def test_a_wrong_axis_shows(process: Process, case: Case, axis: str) -> None:
    allowed = tolerance(case)
    step, _ = measure(process, case, 2_000, 20, **{axis: WRONG[axis](case.rule)})
    assert excess(step, allowed) > 10


def excess(step: Worst, allowed: Upstream) -> float:
    return max(step.state / max(allowed.state, 1), step.parameter / allowed.parameter)
