"""The one table of tolerances: what may differ, by how many ulp, and why.

For v the unit is one ulp of v itself. For p it is one ulp of max(|p before|, |p after|): near 0 the ulp of p alone says nothing.
"""

from typing import NamedTuple


class Tolerance(NamedTuple):
    """How far a result may be from what it is compared with."""

    state: float  # ulp of v, m and b
    parameter: float  # ulp of the larger of |p before| and |p after|
    reason: str


TOLERANCES: dict[str, Tolerance] = {}
