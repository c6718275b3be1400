"""The guide's code, run from top to bottom."""

import keras

from tests import guides

GUIDE = guides.DOCS / "keras.md"


def test_every_block_runs():
    assert len(guides.blocks(GUIDE)) >= 5
    keras.utils.set_random_seed(0)
    guides.run(GUIDE)
