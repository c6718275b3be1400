"""Files of PyTorch's that are cut short, changed, or bring code along: an error in bounded memory, or the state itself."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from rmsprop.checkpoint import FileError, load
from tests.checkpoint.torches import saved, trained


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "run.pt"


class Payload:
    """Makes a directory when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return os.mkdir, (str(self.path),)


@pytest.mark.parametrize("zipped", [True, False])
def test_no_code_is_run(zipped: bool, path: Path) -> None:
    made = path.with_name("made")
    path.write_bytes(saved({"optimizer": trained("pytorch")[1].state_dict(), "hook": Payload(made)}, zipped=zipped))
    with pytest.raises(
        FileError, match=r"holds (posix|nt)\.mkdir, which is no number, .* save the optimizer's state by itself: torch\.save\("
    ):
        load(path)
    assert not made.exists()
    torch.load(path, weights_only=False)
    assert made.exists()  # it would have


@pytest.mark.parametrize("zipped", [True, False])
def test_every_truncation_is_refused(zipped: bool, path: Path) -> None:
    whole = saved(zipped=zipped)
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        with pytest.raises(FileError):
            load(path, kind="pytorch")


# Reads changed copies of a file, in little more memory than it takes to read one, and counts what came of it.
MUTATIONS = r"""
import gc, json, resource, sys
from pathlib import Path
import numpy as np
import torch
from rmsprop.checkpoint import ConversionError, FileError, UsageError, load
from tests.checkpoint.harness import assert_same

whole, path = Path(sys.argv[1]).read_bytes(), Path(sys.argv[2])
rng = np.random.default_rng(5)
wanted = load(sys.argv[1])
held = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (held + 64 * 2**20,) * 2)
counts = {"equal": 0, "FileError": 0, "ConversionError": 0, "UsageError": 0, "different": 0}
for _ in range(int(sys.argv[3])):
    changed = bytearray(whole)
    for at in rng.integers(0, len(whole), rng.integers(1, 4)):
        changed[at] = rng.integers(0, 256)
    path.write_bytes(changed)
    try:
        found = load(path, kind="pytorch")
    except (FileError, ConversionError, UsageError) as error:
        counts[type(error).__name__] += 1
        continue
    try:
        assert_same(found, wanted)
        counts["equal"] += 1
    except AssertionError:
        counts["different"] += 1
print(json.dumps(counts))
"""


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="the limit on memory needs Linux's /proc")
@pytest.mark.parametrize(
    ("zipped", "times"),
    [(True, 2000), (False, 500), *(pytest.param(way, 20_000, marks=pytest.mark.slow) for way in (True, False))],
)
def test_changed_bytes_are_found_out(zipped: bool, times: int, tmp_path: Path) -> None:
    (tmp_path / "whole.pt").write_bytes(saved(zipped=zipped))
    arguments = [str(tmp_path / "whole.pt"), str(tmp_path / "changed.pt"), str(times)]
    ended = subprocess.run(
        [sys.executable, "-c", MUTATIONS, *arguments], capture_output=True, text=True, cwd=Path(__file__).parents[2], timeout=1700
    )
    assert ended.returncode == 0, ended.stderr[-3000:]
    counts = json.loads(ended.stdout.splitlines()[-1])
    assert sum(counts.values()) == times
    assert counts["FileError"] > times / 10
    # The format of old has no sums, so that other numbers are other numbers.
    assert counts["different"] == 0 or not zipped, counts
