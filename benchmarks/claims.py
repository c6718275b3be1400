"""Test what two articles claim of RMSprop: write docs/claims.json, its pictures, and the tables of docs/claims.md anew.

    pip install "rmsprop[workloads]"
    python benchmarks/claims.py [--kept DIR]

Each race is one that `rmsprop race` runs; `claimed.py` has what is taken from them, and the verdicts as conditions on the figures.
With --kept, races that a directory holds are not run again; else it takes half an hour or so.
"""

import argparse
import io
import json
import platform
import re
import shlex
import sys
import tempfile
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from PIL import Image

from claimed import CLAIMS, Told
from rmsprop.cli import run
from timing import machine

DOCS = Path(__file__).parents[1] / "docs"
_EPS = "--against none --dialect article:eps=1e-8,article:eps=1e-4,article:eps=0.01,article:eps=1"
#: Races as they are typed after `rmsprop race`; those that are not here are landscapes of that name, with all rivals.
RACES = {
    "digits": "--workload digits --against sgd,momentum,adagrad,adam",
    "chars": "--workload chars --against sgd,adagrad --steps 120 --budget 5 --seeds 3",
    "words": "--workload words --against sgd,adagrad,adam",
    "cartpole": "--workload cartpole --against adagrad --steps 100 --budget 4 --seeds 3",
    "decay": "--workload digits --against none"
    " --dialect article:decay=0.5,article,article:decay=0.99,article:decay=0.999 --steps 150 --budget 6",
    "cliff outliers": "cliff --noise outliers",
    "plateau eps": f"plateau {_EPS}",
    "ravine eps": f"ravine {_EPS}",
}
#: Pictures of races that the documentation shows.
PICTURES = ("digits", "chars", "words", "cartpole", "decay")
# Bytes that one of them may take.
_LARGEST = 150_000


def typed(name: str) -> str:
    """Return what is typed after `rmsprop race` for a race."""
    return RACES.get(name, name)


def told(names: Sequence[str], kept: Path) -> dict[str, Told]:
    """Return what races told, from a directory where they are, else run there.

    Args:
        names: of the races.
        kept: a directory of directories.
    """
    found = {}
    for name in names:
        place = kept / name.replace(" ", "-")
        if not (place / "race.json").exists():
            print(f"rmsprop race {typed(name)}", flush=True)
            if run(["race", *shlex.split(typed(name)), "--quiet", "--out", str(place)]):
                sys.exit(f"rmsprop race {typed(name)} failed")
        found[name] = json.loads((place / "race.json").read_text(encoding="utf-8"))
    return found


def measured(kept: Path) -> dict[str, Any]:
    """Return the figures of every claim.

    Args:
        kept: where races are, or go.
    """
    races = told(list(dict.fromkeys(name for claim in CLAIMS.values() for name in claim.races)), kept)
    return {name: claim.figures(races) for name, claim in CLAIMS.items()}


def table(name: str, figures: Mapping[str, Any]) -> str:
    """Return a claim's figures as a table in Markdown."""
    header, *rows = CLAIMS[name].table(figures[name])
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def written(text: str, figures: Mapping[str, Any]) -> str:
    """Return a guide with its tables put in anew: what stands between <!-- NAME --> and <!-- end -->."""

    def put(found: re.Match[str]) -> str:
        return f"<!-- {found[1]} -->\n{table(found[1], figures)}\n<!-- end -->"

    return re.sub(r"<!-- ([\w-]+) -->\n(?:(?!<!--).)*?<!-- end -->", put, text, flags=re.DOTALL)


def small(picture: bytes) -> bytes:
    """Return a PNG with few enough colours to be small."""
    image = Image.open(io.BytesIO(picture)).convert("RGB")
    for colors in (256, 64, 16):
        out = io.BytesIO()
        image.quantize(colors, method=Image.Quantize.MAXCOVERAGE).save(out, "PNG", optimize=True)
        if len(out.getvalue()) < _LARGEST:
            break
    return out.getvalue()


def main() -> None:
    """Run the races, and write figures, pictures and tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kept", type=Path, help="where races are kept, or go")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        kept = asked.kept or Path(folder)
        figures = measured(kept)
        for name in PICTURES:
            (DOCS / "images" / f"claims-{name}.png").write_bytes(small((kept / name / "race.png").read_bytes()))
    versions = {name: version(name) for name in ("torch", "numpy", "scikit-learn", "stable-baselines3", "gymnasium")}
    where = {"machine": machine(), "python": platform.python_version(), "threads": 1, **versions}
    (DOCS / "claims.json").write_text(json.dumps({"where": where, "figures": figures}, indent=1) + "\n", encoding="utf-8")
    guide = DOCS / "claims.md"
    guide.write_text(written(guide.read_text(encoding="utf-8"), figures), encoding="utf-8")
    for name, claim in CLAIMS.items():
        print(f"{name:10} {'as docs/claims.md says' if claim.holds(figures[name]) else 'NOT AS docs/claims.md SAYS'}")


if __name__ == "__main__":
    main()
