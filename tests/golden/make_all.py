"""Make every golden trace again, each from its live package, in environments of its own.

python tests/golden/make_all.py [FOLDER [NAME ...]]

FOLDER (default .golden) keeps the environments, some gigabytes, between runs; the names choose among them. With the same versions
on the same machine every file comes out as it was; another processor may move a last digit where a package's own kernels differ.
"""

import os
import subprocess
import sys
import venv
from pathlib import Path
from typing import NamedTuple

HERE = Path(__file__).parent
NUMPY = "numpy==2.4.6"
KERAS = "keras==3.15.1"


class Environment(NamedTuple):
    """What to install, in the arguments of one `pip install` after the other, and what to run there."""

    installs: list[list[str]]
    scripts: list[str]
    keras_backend: str | None = None


ENVIRONMENTS = {
    "torch": Environment(
        [
            [NUMPY, "torch==2.13.0", KERAS, "gymnasium", "pandas", "matplotlib"],
            # What these depend on would bring a second torch, and their optimizers need none of it.
            ["--no-deps", "timm==1.0.31", "stable-baselines3==2.9.2", "bitsandbytes==0.50.2"],
        ],
        ["make_torch.py", "make_timm.py", "make_sb3.py", "make_bitsandbytes.py"],
        "torch",
    ),
    "jax": Environment(
        [[NUMPY, "jax==0.10.2", "jaxlib==0.10.2", "optax==0.2.8", KERAS]], ["make_optax.py", "make_jax_example.py"], "jax"
    ),
    "tensorflow": Environment(
        [[NUMPY, "tensorflow==2.21.0", "tf_keras==2.21.0", KERAS]], ["make_tensorflow.py", "make_tf_keras.py"], "tensorflow"
    ),
    "paddle": Environment([[NUMPY, "paddlepaddle==3.3.1"]], ["make_paddle.py"]),
    "mindspore": Environment([[NUMPY, "mindspore==2.10.0"]], ["make_mindspore.py"]),
    "mlx": Environment([[NUMPY, "mlx[cpu]==0.32.4"]], ["make_mlx.py"]),
    # The last release of Chainer is built the old way, and predates NumPy 1.24.
    "chainer": Environment(
        [["numpy==1.23.5", "setuptools<60", "wheel"], ["--no-build-isolation", "chainer==7.8.1"]], ["make_chainer.py"]
    ),
}


def main(folder: Path, names: list[str]) -> None:
    """Make the environments that are missing, and run every generator in its own."""
    for name in names or ENVIRONMENTS:
        environment, python = ENVIRONMENTS[name], prepare(folder, name)
        for script in environment.scripts:
            run(python, HERE / script)
        if environment.keras_backend:
            run(python, HERE / "make_keras.py", KERAS_BACKEND=environment.keras_backend)


def prepare(folder: Path, name: str) -> Path:
    """Make an environment if it is missing, and return its Python."""
    python = folder / name / "bin" / "python"
    if not (folder / name / "installed").exists():
        venv.create(folder / name, with_pip=True, clear=True)
        for arguments in ENVIRONMENTS[name].installs:
            run(python, "-m", "pip", "install", "--quiet", *arguments)
        (folder / name / "installed").touch()
    return python


def run(*command: str | Path, **variables: str) -> None:
    """Run a command beside the environments, where some packages leave files behind, and stop where it fails."""
    subprocess.run(command, check=True, env=os.environ | variables, cwd=Path(command[0]).parent)


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else ".golden").resolve(), sys.argv[2:])
