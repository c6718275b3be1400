"""The guide's code, run from top to bottom."""

import re
from pathlib import Path

import jax

GUIDE = Path(__file__).resolve().parents[2] / "docs" / "optax.md"


def test_every_block_runs():
    text = GUIDE.read_text(encoding="utf-8")
    blocks = re.findall(r"```python\n(.*?)```", text, flags=re.DOTALL)
    assert len(blocks) == text.count("```") // 2 >= 7
    names: dict[str, object] = {}
    with jax.enable_x64(False):  # as JAX comes
        for block in blocks:
            exec(compile(block, GUIDE.name, "exec"), names)
