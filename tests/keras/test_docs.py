"""The guide's code, run as it is written, on the backend that the other tests load."""

import pytest

from tests import guides


# keras.Variable has not followed NumPy 2 in this.
@pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept a copy keyword:DeprecationWarning")
def test_runs_as_it_is_written(tmp_path, monkeypatch):
    guide = guides.DOCS / "keras.md"
    assert len(guides.blocks(guide)) == 4
    monkeypatch.chdir(tmp_path)
    guides.run(guide)
    assert (tmp_path / "model.keras").exists()
