"""The suite on each backend of Keras, which a process takes once; and what is there without Keras."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
QUIET = {"TF_CPP_MIN_LOG_LEVEL": "3", "TF_ENABLE_ONEDNN_OPTS": "0", "JAX_PLATFORMS": "cpu", "CUDA_VISIBLE_DEVICES": ""}


@pytest.mark.parametrize("backend", ["torch", "jax", "tensorflow"])
def test_suite(backend, tmp_path):
    chosen = {"KERAS_BACKEND": backend, "RMSPROP_KERAS_SUITE": "1", "KERAS_HOME": str(tmp_path)}
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-o", "python_files=check_*.py", "tests/keras/suite"]
    told = subprocess.run(command, cwd=ROOT, env={**os.environ, **QUIET, **chosen}, capture_output=True, text=True)
    assert told.returncode == 0, f"{told.stdout}\n{told.stderr}"
    assert f"on {backend}" in told.stdout  # what it ran on, as the suite itself found out


def test_a_missing_keras_names_the_extra():
    code = (
        "import sys; sys.modules['keras'] = None\nimport rmsprop\ntry:\n    rmsprop.keras\nexcept ImportError as e:\n    print(e)"
    )
    told = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout
    assert told == "rmsprop.keras needs Keras 3; install it with: pip install 'rmsprop[keras]'\n"


def test_importing_rmsprop_does_not_load_it():
    code = "import sys, rmsprop; print('keras' in sys.modules, 'keras' in dir(rmsprop))"
    assert subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout == "False True\n"
