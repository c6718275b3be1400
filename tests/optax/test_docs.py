"""The guide's code, run from top to bottom."""

import jax

from tests import guides

GUIDE = guides.DOCS / "optax.md"


def test_every_block_runs():
    assert len(guides.blocks(GUIDE)) >= 7
    with jax.enable_x64(False):  # as JAX comes
        guides.run(GUIDE)
