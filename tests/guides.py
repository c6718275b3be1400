"""The code in a guide, run in its order in one namespace."""

import re
import textwrap
from pathlib import Path
from typing import Any

DOCS = Path(__file__).parents[1] / "docs"
_FENCED = re.compile(r"^( *)```python\n(.*?)^\1```$", re.MULTILINE | re.DOTALL)


def blocks(guide: Path) -> list[tuple[int, str]]:
    """Return the line number and the code of each block."""
    text = guide.read_text(encoding="utf-8")
    found = [(text.count("\n", 0, one.start(2)), textwrap.dedent(one[2])) for one in _FENCED.finditer(text)]
    assert len(found) == text.count("```python"), "a block is not closed"
    return found


def run(guide: Path) -> dict[str, Any]:
    """Run a guide's code, errors being shown at their lines, and return the names that it leaves."""
    names: dict[str, Any] = {"__name__": "guide"}
    for line, code in blocks(guide):
        exec(compile("\n" * line + code, str(guide), "exec"), names)
    return names


def dead_links(guide: Path) -> list[str]:
    """Return what a guide links to and is not there."""
    targets = re.findall(r"\]\(([^)#]+)\)", guide.read_text(encoding="utf-8"))
    return [target for target in targets if "://" not in target and not (guide.parent / target).exists()]
