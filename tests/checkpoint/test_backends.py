"""What needs a backend of Keras, or TensorFlow, each in a process of its own."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
QUIET = {"TF_CPP_MIN_LOG_LEVEL": "3", "TF_ENABLE_ONEDNN_OPTS": "0", "JAX_PLATFORMS": "cpu", "CUDA_VISIBLE_DEVICES": ""}


@pytest.mark.parametrize(
    ("checks", "backend"),
    [
        ("check_keras.py", "torch"),
        ("check_keras.py", "jax"),
        ("check_keras.py", "tensorflow"),
        ("check_tensorflow.py", "tensorflow"),
        ("check_tf_keras.py", "tensorflow"),
    ],
)
def test_checks(checks: str, backend: str, tmp_path: Path) -> None:
    chosen = {"KERAS_BACKEND": backend, "RMSPROP_BACKEND_CHECKS": "1", "KERAS_HOME": str(tmp_path)}
    file = f"tests/checkpoint/backends/{checks}"
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-o", "python_files=check_*.py", file]
    told = subprocess.run(command, cwd=ROOT, env={**os.environ, **QUIET, **chosen}, capture_output=True, text=True, check=False)
    assert told.returncode == 0, f"{told.stdout}\n{told.stderr}"
    assert " passed" in told.stdout
