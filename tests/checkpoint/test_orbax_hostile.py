"""Orbax directories that are damaged or lie: a clear error, in bounded memory, in a process that goes on.

TensorStore ends the process where it cannot have the memory that a file declares, so that everything runs in another one, whose
memory is limited: what a signal ends shows as a failure.
"""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import optax
import orbax.checkpoint as ocp
import pytest

MEMORY = 8 << 30  # of addresses, most of which JAX takes for itself
READ = (
    f"""
import resource
resource.setrlimit(resource.RLIMIT_AS, ({MEMORY}, {MEMORY}))
"""
    + """
import json, sys
from pathlib import Path
from rmsprop import checkpoint

def read(path):
    try:
        state = checkpoint.load(path, kind="optax", lr=0.1, momentum=0.9, step=3, allow_nan=True)
    except checkpoint.CheckpointError as error:
        return f"{type(error).__name__}: {error}"
    return "read " + ",".join(state.names)
"""
)
MUTATE = """
import random, shutil
source, target = Path(sys.argv[1]), Path(sys.argv[2])
files = sorted(p.relative_to(source) for p in source.rglob("*") if p.is_file())
for seed in range(int(sys.argv[3])):
    rng = random.Random(seed)
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(source, target)
    path = target / rng.choice(files)
    content = bytearray(path.read_bytes())
    how = rng.choice(("flip", "flip", "many", "cut", "grow", "digits", "remove", "empty"))
    if how == "remove":
        path.unlink()
    else:
        if how in ("flip", "many"):
            for _ in range(1 if how == "flip" else 20):
                content[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
        elif how == "cut":
            del content[rng.randrange(len(content)):]
        elif how == "grow":
            content += rng.randbytes(1000)
        elif how == "empty":
            content.clear()
        else:  # a number of a JSON text, or a byte that looks like a digit
            at = [i for i, byte in enumerate(content) if 48 <= byte < 58]
            if at:
                i = rng.choice(at)
                content[i : i + 1] = str(rng.choice((0, 7, 10**6, 2**31, 2**40, 2**62, -1))).encode()
        path.write_bytes(content)
    print(json.dumps([how, str(path.relative_to(target)), read(target)]), flush=True)
"""


def run(code: str, *arguments: Any) -> list[Any]:
    """Return what a process with limited memory prints."""
    command = [sys.executable, "-W", "error", "-c", READ + code, *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    return [json.loads(line) for line in done.stdout.splitlines()]


def saved(path: Path, **options: Any) -> Path:
    """Return a directory with a state of two parameters, each of more than what is kept in the index."""
    state = optax.rmsprop(0.1, momentum=0.9).init({"w": jnp.ones((50, 7)), "b": jnp.ones(99)})
    state = (
        state[0]._replace(nu={"w": jnp.arange(350, dtype="float32").reshape(50, 7), "b": jnp.arange(99, dtype="float32")}),
        *state[1:],
    )
    with ocp.Checkpointer(ocp.PyTreeCheckpointHandler(**options)) as checkpointer:
        checkpointer.save(path, state)
    return path


@pytest.mark.parametrize(("options", "times"), [({}, 200), ({"use_ocdbt": False}, 100), ({"use_zarr3": True}, 100)])
def test_damage_is_refused_or_does_no_harm(options: dict[str, Any], times: int, tmp_path: Path) -> None:
    found = run(MUTATE, saved(tmp_path / "good", **options), tmp_path / "bad", times)
    assert len(found) == times
    assert {told.partition(" ")[0] for *_, told in found} <= {"read", "FileError:", "UsageError:"}
    for how, file, told in found:
        # Orbax keeps no checksum of arrays, and does not need all of its files.
        assert told in ("read b,w", "read w,b") or len(told) < 1000, (how, file, told)
    assert sum(told.startswith("FileError") for *_, told in found) > times / 5


def edited(path: Path, **changes: Any) -> Path:
    """Change what one array says of itself, in a directory where it does so in a file of its own."""
    (file,) = path.glob("0.nu.w/.zarray")
    file.write_text(json.dumps(json.loads(file.read_text()) | changes))
    return path


LIES: dict[str, tuple[dict[str, Any], str]] = {
    "petabytes": ({"shape": [2**24, 2**24]}, "declares 1125899906842624 bytes in"),
    "petabytes in a chunk": ({"chunks": [2**24, 2**24]}, "declares 1125899906842624 bytes in 1 chunks"),
    "gigabytes": ({"shape": [2**15, 2**15], "chunks": [2**15, 2**15]}, "declares 4294967296 bytes in 1 chunks"),
    "many chunks": ({"shape": [2**12, 2**12], "chunks": [1, 1]}, "in 16777216 chunks, and the directory has"),
    "more than there is": ({"shape": [5000, 7]}, "cannot be read"),
    "strings": ({"dtype": "|S1000000000000"}, "the array '0.nu.w' is of '|S1000000000000', and no optimizer's"),
    "records": ({"dtype": [["a", "<f4", [10**6, 10**6]]]}, ", and no optimizer's"),
    "no kind": ({"dtype": None}, "is of 'None', and no optimizer's"),
    "blosc": ({"compressor": {"id": "blosc"}}, "is packed by 'blosc'; Orbax takes zstd"),
    "no compressor": ({"compressor": 5}, "cannot be read"),
    "too long": ({"shape": [2**63, 2**63]}, "cannot be read"),
    "negative": ({"shape": [-5, 7]}, "cannot be read"),
    "deep": ({"shape": [1] * 64, "chunks": [1] * 64}, "cannot be read"),
}


def test_lies_of_an_array_about_itself(tmp_path: Path) -> None:
    good = saved(tmp_path / "good", use_ocdbt=False)
    for name, (changes, _) in LIES.items():
        edited(Path(shutil.copytree(good, tmp_path / name)), **changes)
    shutil.copytree(good, tmp_path / "lost chunk")
    (tmp_path / "lost chunk" / "0.nu.w" / "0.0").unlink()
    names = [*LIES, "lost chunk", "good"]
    found = run("for path in sys.argv[1:]: print(json.dumps(read(path)))", *(tmp_path / name for name in names))
    told = dict(zip(names, found, strict=True))
    assert told.pop("good") == "read b,w"
    assert told["lost chunk"].partition(":")[0] == "FileError"
    assert "the array '0.nu.w' cannot be read" in told["lost chunk"]
    for name, (_, message) in LIES.items():
        assert told[name].startswith("FileError"), (name, told[name])
        assert message in told[name], (name, told[name])


def test_a_chunk_that_unpacks_to_gigabytes(tmp_path: Path) -> None:
    """4 GiB of zeros in 128 KiB of zstd: a frame of blocks that each repeat one byte 2¹⁷ times."""
    bad = saved(tmp_path / "bad", use_ocdbt=False)
    block = (2**17 << 3 | 2).to_bytes(3, "little") + b"\0"
    last = (2**17 << 3 | 3).to_bytes(3, "little") + b"\0"
    (bad / "0.nu.w" / "0.0").write_bytes(b"\x28\xb5\x2f\xfd\x00\x38" + block * (2**15 - 1) + last)
    (told,) = run("print(json.dumps(read(sys.argv[1])))", bad)
    assert told.startswith(f"FileError: {bad} is damaged: the array '0.nu.w' cannot be read")


def described(path: Path, **changes: Any) -> Path:
    """Change what a directory's description says."""
    file = path / "_METADATA"
    file.write_text(json.dumps(json.loads(file.read_text()) | changes))
    return path


def entry(*keys: Any, kind: Any = "jax.Array") -> dict[str, Any]:
    return {
        "key_metadata": [{"key": key, "key_type": 1 if str(key).isdigit() else 2} for key in keys],
        "value_metadata": {"value_type": kind},
    }


TREES: dict[str, tuple[Any, str]] = {
    "no tree": (None, "its tree of arrays is malformed"),
    "a list": ([1, 2], "its tree of arrays is malformed"),
    "no keys": ({"a": {"value_metadata": {}}}, "its tree of arrays is malformed"),
    "deep": ({"a": entry(*"x" * 5000)}, "an array lies 5000 keys deep"),
    "root": ({"a": entry()}, "an array lies 0 keys deep"),
    "twice": ({"a": entry("nu", "w"), "b": entry("nu", "w")}, "'w' stands twice"),
    "leaf and branch": ({"a": entry("nu"), "b": entry("nu", "w")}, "its tree of arrays is malformed"),
    "hole": ({"a": entry("7")}, "a list lacks an index"),
    "mixed": ({"a": entry("0"), "b": entry("nu")}, "a list lacks an index"),
    "outside": ({"a": entry("nu", "../../w")}, "would lie outside of it"),
    "elsewhere": ({"a": entry("nu", "w")}, "the array 'nu.w' cannot be read"),
    "strange kind": ({"a": entry("nu", "w", kind=["jax.Array"])}, "its tree of arrays is malformed"),
}


@pytest.mark.parametrize("name", TREES)
def test_descriptions_that_lie(name: str, tmp_path: Path) -> None:
    tree, message = TREES[name]
    from rmsprop import checkpoint

    with pytest.raises(checkpoint.FileError, match=message):
        checkpoint.load(described(saved(tmp_path / "run"), tree_metadata=tree), lr=0.1, step=3)


def test_what_is_no_directory_of_orbax(tmp_path: Path) -> None:
    from rmsprop import checkpoint

    def refused(path: Path, message: str) -> None:
        with pytest.raises(checkpoint.FileError, match=message):
            checkpoint.load(path, kind="optax", lr=0.1, step=3)

    refused(tmp_path / "nowhere", "cannot read .*nowhere: No such file or directory")
    (tmp_path / "empty").mkdir()
    refused(tmp_path / "empty", "empty is no directory of Orbax, or damaged: it lacks _METADATA")
    unfinished = saved(tmp_path / "run").rename(tmp_path / "run.orbax-checkpoint-tmp")
    refused(unfinished, "was not finished: Orbax renames it when all is written; use an earlier checkpoint")
    for content in ("[]", "{", "[" * 100_000, "\xff"):
        bad = saved(tmp_path / f"bad{len(list(tmp_path.iterdir()))}")
        (bad / "_METADATA").write_text(content)
        refused(bad, "is damaged")
    piped = saved(tmp_path / "piped")
    os.mkfifo(piped / "d" / "pipe")
    refused(piped, "pipe is no regular file, and none of Orbax's")
