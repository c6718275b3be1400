"""The contract: implementation × dialect × dtype × shape, against the rule in 60 digits."""

import itertools

import numpy as np
import pytest

from rmsprop.parameters import COMPUTED
from tests.cases import LRS, RULES, gradients, parameters, truth, ulps
from tests.kernels.implementations import IMPLEMENTATIONS, Trace, chunks
from tests.tolerances import TOLERANCES

DTYPES = tuple(COMPUTED)
SHAPES = ((), (0,), (1,), (7,), (3, 5), (2, 1, 9))


@pytest.fixture(scope="module", params=IMPLEMENTATIONS)
def implementation(request):
    return IMPLEMENTATIONS[request.param]()


# With both, v - m² is exactly 0 at the first step, so that rounding decides the step: there is no truth to be near to.
JUDGED = [
    name for name, rule in RULES.items() if not (rule.bias_correction and rule.centered_form == "difference" and rule.centered)
]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", JUDGED)
def test_against_the_truth(implementation, name, dtype):
    rule = RULES[name]
    rng = np.random.default_rng(len(name))
    p, grads = parameters(rng, (23,), dtype), gradients(rng, (23,), dtype)
    tolerance = TOLERANCES["contract, coupled" if rule.switches["COUPLED"] else "contract"]
    state_error, parameter_error = errors(rule, p, implementation(rule, p, grads, LRS), truth(rule, p, grads, LRS))
    assert state_error <= tolerance.state
    assert parameter_error <= tolerance.parameter


def errors(rule, p, got: Trace, exact: Trace) -> tuple[float, float]:
    """Return the largest errors of the state and of the parameter, in ulp.

    v is a sum of positive terms, and an ulp of it is its own. The others cancel, and keep the rounding of their larger past: their
    unit is the ulp of the largest magnitude so far.
    """
    worst = {"p": 0.0, "state": 0.0}
    largest = {"p": abs(p)}
    for step, wanted in zip(got, exact, strict=True):
        for key, array in step.items():
            largest[key] = abs(array) if key in ("square_avg", "variance") else np.maximum(largest.get(key, 0), abs(array))
            kind = "p" if key == "p" else "state"
            worst[kind] = max(worst[kind], ulps(array, wanted[key], largest[key]))
    return worst["state"], worst["p"]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", RULES)
def test_compiled_passes_have_the_bits_of_the_reference(name, dtype):
    rng = np.random.default_rng(1)
    for shape in SHAPES:
        p, grads = parameters(rng, shape, dtype), gradients(rng, shape, dtype)
        wanted = IMPLEMENTATIONS["reference"]()(RULES[name], p, grads, LRS)
        for each in ("compiled", "torch"):
            same_bits(IMPLEMENTATIONS[each]()(RULES[name], p, grads, LRS), wanted)


def same_bits(one: Trace, other: Trace) -> None:
    for a, b in zip(one, other, strict=True):
        assert a.keys() == b.keys()
        for key in a:
            assert a[key].dtype == b[key].dtype
            assert a[key].tobytes() == b[key].tobytes(), key


@pytest.mark.parametrize("dtype", DTYPES)
def test_layout_changes_no_bit(dtype):
    rule = RULES["everything"]
    rng = np.random.default_rng(2)
    p, grads = parameters(rng, (4, 6), dtype), gradients(rng, (4, 6), dtype)
    plain = IMPLEMENTATIONS["compiled"]()(rule, p, grads, LRS)
    layouts = zip(chunks(p), *(list(chunks(g)) for g in grads), strict=True)
    for one_p, *one_grads in itertools.islice(layouts, 1, None):
        for each in ("reference", "compiled"):
            trace = IMPLEMENTATIONS[each]()(rule, one_p, one_grads, LRS)
            for step, wanted in zip(trace, plain, strict=True):
                for key in step:
                    assert step[key].astype(wanted[key].dtype).tolist() == wanted[key].tolist(), (each, one_p.strides)
