"""NIST's non-linear data sets: how many digits the default fit, RMSprop alone and SciPy's curve_fit reach.

    python benchmarks/nist.py [FOLDER]

FOLDER holds certified.json and the CSV files that it names; by default those that the tests use. Digits are the least over a
model's parameters, at most 11. Where a model is a sum of like exponentials (marked *), its pairs of parameters may come back in
any order; they are compared in the order that suits best. curve_fit gets the same model, start and data, and keeps its defaults.
"""

import sys
import time
import warnings
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

import numpy as np
from scipy.optimize import curve_fit

from rmsprop.data.source import open_source
from rmsprop.expression.evaluate import Evaluator
from rmsprop.expression.model import Model
from rmsprop.fit import fit
from tests.fit.nist_data import FOLDER, SYMMETRIC, digits, runs

ENOUGH = 4


def by_scipy(path: Path, entry: dict, start: str) -> dict[str, float]:
    """Return curve_fit's parameters, or the start where it gives up."""
    source = open_source(path)
    model = Model(entry["model"], source.names)
    evaluator = Evaluator(model, source.read(model.used_columns, "drop").columns)
    theta = [entry[start][name] for name in model.parameters]
    try:
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            theta, _ = curve_fit(
                lambda _, *p: evaluator.predictions(np.array(p)), np.zeros(evaluator.n), evaluator.responses(), p0=theta
            )
    except RuntimeError:
        pass
    return dict(zip(model.parameters, map(float, theta), strict=True))


def main() -> None:
    """Print the table."""
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else FOLDER
    print(f"{'data set':<12}{'start':<8}{'fit':>7}{'RMSprop':>9}{'SciPy':>8}{'epochs':>8}{'seconds':>9}  polished by")
    reached = np.zeros(3, dtype=int)
    least, count = 99.0, 0
    for name, start, path, entry in runs(folder):
        began = time.perf_counter()
        result = fit(path, entry["model"], start=entry[start])
        seconds = time.perf_counter() - began
        answers = ({k: p.value for k, p in result.parameters.items()}, result.rmsprop.parameters, by_scipy(path, entry, start))
        got = [digits(name, answer, entry["certified"]) for answer in answers]
        reached += [d >= ENOUGH for d in got]
        least, count = min(least, got[0]), count + 1
        label = f"{name}{'*' if name in SYMMETRIC else ''}"
        row = f"{label:<12}{start:<8}{got[0]:7.1f}{got[1]:9.1f}{got[2]:8.1f}{result.epochs:8,}{seconds:9.2f}"
        print(f"{row}  {result.polish}{'' if result.converged else '  NOT CONVERGED'}")
    totals = f"{f'>= {ENOUGH} digits':<20}{reached[0]:7}{reached[1]:9}{reached[2]:8}"
    print(f"{totals}   of {count} runs; fewest digits of the fit: {least:.1f}")


if __name__ == "__main__":
    main()
