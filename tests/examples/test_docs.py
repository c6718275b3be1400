"""The code blocks of the guide to the PyTorch optimizer, run in their order in one namespace."""

import pytest
import torch

from tests import guides

GUIDE = guides.DOCS / "torch.md"

# PyTorch's own, of what it has deprecated itself.
pytestmark = pytest.mark.filterwarnings("default:::torch")


def test_runs_as_it_is_written(tmp_path, monkeypatch, capsys):
    pytest.importorskip("tensorboard", reason="tensorboard is not installed")
    assert len(guides.blocks(GUIDE)) > 15
    monkeypatch.chdir(tmp_path)
    torch.manual_seed(0)
    guides.run(GUIDE)
    assert "Invalid alpha value: 1.0" in capsys.readouterr().out
    assert list((tmp_path / "runs").iterdir())


@pytest.mark.parametrize("guide", sorted(guides.DOCS.glob("*.md")), ids=lambda path: path.stem)
def test_its_links_lead_somewhere(guide):
    assert not guides.dead_links(guide)
