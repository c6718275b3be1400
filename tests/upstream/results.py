"""What the tests measured, for the table at the end of a run."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:  # `make test` reads this too, and needs none of it
    from tests.upstream.compare import Worst


@dataclass(frozen=True)
class Result:
    """One case: from step to step, and free-running."""

    name: str
    step: Worst
    run: Worst

    def __str__(self) -> str:
        step, run = self.step, self.run
        return (
            f"{self.name:90} {_three(step.bare):>22} {step.share:8.1e} {_three(step.error):>16}"
            f" | {_three(run.bare):>22} {run.share:8.1e} {_three(run.error):>16}"
        )


HEADER = (
    f"{'p / v / m, b':90} {'each step, ulp':>22} {'beyond':>8} {'ulp + doubt':>16}"
    f" | {'free run, ulp':>22} {'far':>8} {'ulp + doubt':>16}"
)
results = pytest.StashKey[list[Result]]()


def _three(errors: dict[str, float]) -> str:
    return " / ".join(f"{value:.3g}" for value in (errors["p"], errors["v"], max(errors["m"], errors["b"])))
