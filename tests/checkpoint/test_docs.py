"""The code of the guide to checkpoints, run as it is written."""

import jax
import pytest

from tests import guides

GUIDE = guides.DOCS / "checkpoints.md"


def test_runs_as_it_is_written(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    with jax.enable_x64(False):  # as JAX comes
        guides.run(GUIDE)
    said = capsys.readouterr().out
    assert "damaged.safetensors is damaged: its checksum does not fit its content" in said
    assert "torch.optim.RMSprop has eps_place='outside' and no option for it" in said
    assert (tmp_path / "run.pt").exists()


@pytest.mark.parametrize("kind", ["pytorch", "timm", "sb3", "bitsandbytes", "optax", "keras"])
def test_it_names_every_kind_that_can_be_written(kind):
    text = GUIDE.read_text(encoding="utf-8")
    assert f"`{kind}`" in text
