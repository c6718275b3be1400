"""Make the environments that the tests beside live upstreams need.

python tests/upstream/install.py FOLDER
"""

import sys
from pathlib import Path

NEEDED = ("torch", "jax", "tensorflow")


def main(folder: Path) -> None:
    """Make those that are missing."""
    sys.path.insert(0, str(Path(__file__).parents[1] / "golden"))
    import make_all

    for name in NEEDED:
        make_all.prepare(folder, name)


if __name__ == "__main__":
    main(Path(sys.argv[1]).resolve())
