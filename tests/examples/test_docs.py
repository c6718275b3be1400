"""The code blocks of the guide, run in their order in one namespace."""

import re
import textwrap
from pathlib import Path

import pytest
import torch

GUIDE = Path(__file__).parents[2] / "docs" / "torch.md"
FENCED = re.compile(r"^( *)```python\n(.*?)^\1```$", re.MULTILINE | re.DOTALL)

# PyTorch's own, of what it has deprecated itself.
pytestmark = pytest.mark.filterwarnings("default:::torch")


def blocks():
    """Return the line number and the code of each block."""
    text = GUIDE.read_text(encoding="utf-8")
    return [(text.count("\n", 0, found.start(2)), textwrap.dedent(found[2])) for found in FENCED.finditer(text)]


def test_all_blocks_are_found():
    assert len(blocks()) == GUIDE.read_text(encoding="utf-8").count("```python") > 15


def test_runs_as_it_is_written(tmp_path, monkeypatch, capsys):
    pytest.importorskip("tensorboard", reason="tensorboard is not installed")
    monkeypatch.chdir(tmp_path)
    torch.manual_seed(0)
    names = {"__name__": "guide"}
    for line, code in blocks():
        # Errors are shown at their line of the guide.
        exec(compile("\n" * line + code, str(GUIDE), "exec"), names)
    assert "Invalid alpha value: 1.0" in capsys.readouterr().out
    assert list((tmp_path / "runs").iterdir())


def test_its_links_lead_somewhere():
    for target in re.findall(r"\]\(([^)#]+)\)", GUIDE.read_text(encoding="utf-8")):
        assert (GUIDE.parent / target).exists(), target
