"""The README's move from TensorFlow 1 to PyTorch, run as it is written, beside the run that stays in TensorFlow."""

import os
import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from tests.tolerances import TOLERANCES

README = Path(__file__).parents[2] / "README.md"

# A dense network in TensorFlow 1: ten steps, a checkpoint, the parameters after each of ten more.
TRAIN = """
import numpy as np
import tensorflow as tf

v1 = tf.compat.v1
v1.disable_eager_execution()
rng = np.random.default_rng(5)
x, y = rng.standard_normal((16, 4)).astype("f4"), rng.standard_normal((16, 1)).astype("f4")
values = {}
h = tf.constant(x)
for layer, (rows, columns) in (("hidden", (4, 8)), ("out", (8, 1))):
    for name, shape in (("kernel", (rows, columns)), ("bias", (columns,))):
        values[f"{layer}/{name}"] = v1.get_variable(f"{layer}/{name}", initializer=rng.standard_normal(shape).astype("f4"))
    h = tf.matmul(h, values[f"{layer}/kernel"]) + values[f"{layer}/bias"]
    h = tf.tanh(h) if layer == "hidden" else h
step = v1.train.get_or_create_global_step()
loss = tf.reduce_mean((h - y) ** 2)
train = v1.train.RMSPropOptimizer(0.01, momentum=0.9).minimize(loss, global_step=step)
found = {"x": x, "y": y}
with v1.Session() as session:
    session.run(v1.global_variables_initializer())
    for _ in range(1000):
        session.run(train)
    v1.train.Saver().save(session, "./model.ckpt", global_step=step)
    for t in range(10):
        session.run(train)
        found |= {f"{name} {t}": session.run(value) for name, value in values.items()}
np.savez("there.npz", **found)
"""

# What the README calls `model`, then its code, then ten steps.
BEFORE = """
import torch
from collections import OrderedDict

model = torch.nn.Sequential(OrderedDict(hidden=torch.nn.Linear(4, 8), tanh=torch.nn.Tanh(), out=torch.nn.Linear(8, 1)))
"""
AFTER = """
import numpy as np

there = np.load("there.npz")
x, y = torch.tensor(there["x"]), torch.tensor(there["y"])
found = {}
for t in range(10):
    optimizer.zero_grad()
    ((model(x) - y) ** 2).mean().backward()
    optimizer.step()
    for name, p in model.named_parameters():
        found[f"{name.replace('.weight', '/kernel').replace('.', '/')} {t}"] = p.detach().numpy().T.copy()
np.savez("here.npz", **found)
"""


def run(code: str, folder: Path) -> None:
    # TensorFlow loads Keras, which would load the other tests' backend.
    environment = {**os.environ, "KERAS_BACKEND": "tensorflow", "TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": ""}
    done = subprocess.run([sys.executable, "-c", code], cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_the_move_in_ten_lines(tmp_path: Path) -> None:
    if find_spec("tensorflow") is None:  # looked for and not loaded: it has a process of its own
        pytest.skip("TensorFlow is not installed")
    (code,) = [block for block in re.findall(r"```python\n(.*?)```", README.read_text("utf-8"), re.DOTALL) if "tensorflow" in block]
    assert len([line for line in code.splitlines() if line.strip()]) <= 10
    run(TRAIN, tmp_path)
    run(BEFORE + code + AFTER, tmp_path)
    there, here = np.load(tmp_path / "there.npz"), np.load(tmp_path / "here.npz")
    allowed = TOLERANCES["readme, TensorFlow to PyTorch"]
    for name in here.files:
        size = np.abs(there[name]).max()  # a gradient's rounding is that of the network's largest numbers
        assert np.max(np.abs(here[name] - there[name])) <= allowed.parameter * np.spacing(size), (name, allowed.reason)
