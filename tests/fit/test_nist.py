import pytest

from rmsprop.fit import fit
from tests.fit.nist_data import digits, runs
from tests.tolerances import RELATIVE

RUNS = list(runs())


@pytest.mark.parametrize(("name", "start", "path", "entry"), RUNS, ids=[f"{name}-{start}" for name, start, _, _ in RUNS])
def test_default_fit_reaches_four_digits_in_every_parameter(name, start, path, entry):
    result = fit(path, entry["model"], start=entry[start])
    values = {k: p.value for k, p in result.parameters.items()}
    assert digits(name, values, entry["certified"]) >= 4
    assert result.converged
    assert result.rss == pytest.approx(entry["residual_sum_of_squares"], rel=RELATIVE["fit, certified rss"].share)
    # The same errors belong to the same parameters, in whatever order the symmetric ones came back.
    certified = sorted(entry["standard_deviation"].values())
    assert sorted(p.stderr for p in result.parameters.values()) == pytest.approx(
        certified, rel=RELATIVE["fit, certified stderr"].share
    )
