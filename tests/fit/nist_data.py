"""The NIST data sets, and how many digits an answer has in common with the certified one."""

import itertools
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

FOLDER = Path(__file__).parent / "nist"
# Sums of exponentials, in which (amplitude, rate) pairs may come back in any order.
SYMMETRIC = ("Lanczos1", "Lanczos2", "Lanczos3")
MOST_DIGITS = 11.0


def runs(folder: Path = FOLDER) -> Iterator[tuple[str, str, Path, Mapping[str, Any]]]:
    """Yield (name, "start1" or "start2", data file, entry of certified.json)."""
    for name, entry in json.loads((folder / "certified.json").read_text(encoding="utf-8")).items():
        for start in ("start1", "start2"):
            yield name, start, folder / entry["data"], entry


def digits(name: str, got: Mapping[str, float], certified: Mapping[str, float]) -> float:
    """Return the least number of digits in which the parameters agree, at most 11."""
    wanted = np.array(list(certified.values()))
    values = np.array([got[parameter] for parameter in certified])
    pairs = values.reshape(-1, 2) if name in SYMMETRIC else [values]
    return max(_digits(np.concatenate(order), wanted) for order in itertools.permutations(pairs))


def _digits(values: np.ndarray, wanted: np.ndarray) -> float:
    with np.errstate(all="ignore"):
        error = np.max(np.abs(values - wanted) / np.abs(wanted))
    return float(np.clip(-np.log10(max(error, 1e-300)), 0, MOST_DIGITS)) if np.isfinite(error) else 0.0
