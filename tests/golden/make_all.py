"""Make every golden trace again, each from its live package, in environments of its own.

    python tests/golden/make_all.py [FOLDER]

FOLDER (default .golden) keeps the environments, some gigabytes, between runs. With the same versions on the same machine every file
comes out as it was; another processor may move a last digit where a package's own kernels differ.
"""

import os
import subprocess
import sys
import venv
from pathlib import Path

HERE = Path(__file__).parent
ENVIRONMENTS: dict[str, tuple[list[str], list[tuple[str, dict[str, str]]]]] = {
    "torch": (
        # What the last three depend on would bring a second torch, and their optimizers need none of it.
        [
            "torch==2.13.0",
            "keras==3.15.1",
            "gymnasium",
            "pandas",
            "--no-deps:timm==1.0.31",
            "--no-deps:stable-baselines3==2.9.2",
            "--no-deps:bitsandbytes==0.50.2",
        ],
        [
            ("make_torch.py", {}),
            ("make_timm.py", {}),
            ("make_sb3.py", {}),
            ("make_bitsandbytes.py", {}),
            ("make_keras.py", {"KERAS_BACKEND": "torch"}),
        ],
    ),
    "jax": (
        ["jax==0.10.2", "jaxlib==0.10.2", "optax==0.2.8", "keras==3.15.1"],
        [("make_optax.py", {}), ("make_jax_example.py", {}), ("make_keras.py", {"KERAS_BACKEND": "jax"})],
    ),
    "tensorflow": (
        ["tensorflow==2.21.0", "tf_keras==2.21.0", "keras==3.15.1"],
        [("make_tensorflow.py", {}), ("make_tf_keras.py", {}), ("make_keras.py", {"KERAS_BACKEND": "tensorflow"})],
    ),
}


def main(folder: Path) -> None:
    """Make the environments that are missing, and run every generator in its own."""
    for name, (packages, scripts) in ENVIRONMENTS.items():
        python = folder / name / "bin" / "python"
        if not python.exists():
            venv.create(folder / name, with_pip=True)
            alone = [package.removeprefix("--no-deps:") for package in packages if package.startswith("--no-deps:")]
            whole = [package for package in packages if not package.startswith("--no-deps:")]
            run(python, "-m", "pip", "install", "--quiet", "numpy==2.4.6", *whole)
            if alone:
                run(python, "-m", "pip", "install", "--quiet", "--no-deps", *alone)
        for script, variables in scripts:
            run(python, str(HERE / script), **variables, TF_CPP_MIN_LOG_LEVEL="3")


def run(*command: str | Path, **variables: str) -> None:
    """Run a command, and stop with it."""
    subprocess.run(command, check=True, env=os.environ | variables)


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else ".golden").resolve())
