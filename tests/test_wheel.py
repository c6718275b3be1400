"""The built wheel in an empty environment."""

import subprocess
import sys
import venv
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.mark.slow
def test_wheel_fits_in_an_empty_environment(tmp_path):
    subprocess.run([sys.executable, "-m", "build", "--wheel", "--outdir", tmp_path, ROOT], check=True, capture_output=True)
    (wheel,) = tmp_path.glob("rmsprop-*.whl")
    venv.create(tmp_path / "empty", with_pip=True)
    commands = tmp_path / "empty" / "bin"
    subprocess.run([commands / "python", "-m", "pip", "install", "-q", wheel], check=True)
    data, model = ROOT / "examples" / "quadratic.csv", "y = a*x**2 + b*x + c"
    bare = subprocess.run([commands / "rmsprop", "fit", data, model], cwd=tmp_path, capture_output=True, text=True)
    assert bare.returncode == 1
    assert "pip install 'rmsprop[fit]'" in bare.stderr
    subprocess.run([commands / "python", "-m", "pip", "install", "-q", f"{wheel}[fit]"], check=True)
    full = subprocess.run([commands / "rmsprop", "fit", data, model], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert "a:      2.0719" in full.stdout
    assert (tmp_path / "fit" / "fit.png").stat().st_size > 10_000
