"""Files that are the old one or the new one, whole: killed writers, full disks, several writers at once."""

import errno
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import rmsprop
from rmsprop.checkpoint import SaveError, load, save
from rmsprop.checkpoint.safe import previous
from rmsprop.files import Draft, replace
from tests.cases import RULES
from tests.checkpoint.harness import assert_same, trained

# Saves over and over and says how often it has; what it saves tells how often. It forks, so that a thousand of it start fast.
WRITER = r"""
import os, sys
import numpy as np
import rmsprop
from rmsprop.checkpoint import save

path, size = sys.argv[1], int(sys.argv[2])
weights = np.ones(size)
optimizer = rmsprop.RMSprop(weights, 0.1, "graves")
save(path, optimizer)
while line := sys.stdin.readline():
    start = int(line)
    child = os.fork()
    if child:
        print(child, flush=True)
        os.waitpid(child, 0)
        print("ended", flush=True)
        continue
    optimizer.steps = start
    while True:
        optimizer.steps += 1
        save(path, optimizer)
        os.write(1, f"{optimizer.steps}\n".encode())
"""


def killed(path: Path, kills: int, size: int, seed: int) -> None:
    """Kill a writer again and again; each time the file must hold all that the writer had said was saved, and be whole."""
    rng = np.random.default_rng(seed)
    with subprocess.Popen(
        [sys.executable, "-c", WRITER, str(path), str(size)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as writer:
        assert writer.stdin is not None
        assert writer.stdout is not None
        said, torn = 0, 0
        for _ in range(kills):
            writer.stdin.write(f"{said}\n")
            writer.stdin.flush()
            child = int(writer.stdout.readline())
            # Anywhere in a save: after a random share of the time that a few of them take.
            for _ in range(int(rng.integers(0, 3))):
                said = int(writer.stdout.readline())
            signal.sigtimedwait([], float(rng.uniform(0, 0.004)))
            os.kill(child, signal.SIGKILL)
            while (line := writer.stdout.readline().strip()) != "ended":
                said = int(line)
            drafts = list(path.parent.glob(".*.draft"))
            torn += bool(drafts)
            for kept in (path, previous(path)):
                if kept.exists():
                    found = load(kept).groups[0].parameters[0]
                    assert found.step >= said - (kept != path)
                    said = max(said, found.step)
        writer.stdin.close()
    assert torn, "no kill hit a save; the test proves nothing"
    save(path, trained(RULES["article"]))
    assert not list(path.parent.glob(".*")), "drafts of killed writers must be gone after the next save"


def test_a_killed_writer_loses_nothing(tmp_path: Path) -> None:
    killed(tmp_path / "run.safetensors", 60, 20_000, 1)


@pytest.mark.slow
def test_a_thousand_killed_writers_lose_nothing(tmp_path: Path) -> None:
    killed(tmp_path / "run.safetensors", 1_000, 20_000, 2)


class Full:
    """A disk that is full from the n-th call on that a save makes of the system."""

    def __init__(self, patch: pytest.MonkeyPatch, after: int) -> None:
        import rmsprop.checkpoint.safe
        import rmsprop.files

        self.left = after
        for module, names in (
            (rmsprop.files.tempfile, ("mkstemp",)),
            (rmsprop.files.os, ("chmod", "fsync", "link", "replace")),
            (rmsprop.files.shutil, ("copyfile",)),
        ):
            for name in names:
                patch.setattr(module, name, self.failing(getattr(module, name)))
        patch.setattr(rmsprop.checkpoint.safe, "open", self.opened, raising=False)

    def opened(self, *args: Any, **kwargs: Any) -> Any:
        file = open(*args, **kwargs)  # noqa: SIM115  # the caller closes it
        file.write = self.failing(file.write) if file.writable() else None
        return file

    def failing(self, call: Callable[..., Any]) -> Callable[..., Any]:
        def called(*args: Any, **kwargs: Any) -> Any:
            self.left -= 1
            if self.left < 0:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            return call(*args, **kwargs)

        return called


@pytest.mark.parametrize("calls", range(40))
def test_a_disk_that_is_full_at_any_call_loses_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, calls: int) -> None:
    path = tmp_path / "run.safetensors"
    first, second = trained(RULES["article"]), trained(RULES["article"], steps=5)
    save(path, first)
    before = path.read_bytes()
    with monkeypatch.context() as patch:
        disk = Full(patch, calls)
        try:
            save(path, second)
            failed = False
        except SaveError as error:
            assert "No space left on device" in str(error)  # noqa: PT017  # whether it raises depends on the number of calls
            failed = True
    assert not failed or calls < 39, "there are more calls than the test lets fail"
    if not failed:
        assert disk.left >= 0
        assert_same(load(path), rmsprop.checkpoint.capture(second))
        return
    # Once it is in its place, only the directory's own way to the disk is left to fail.
    assert path.read_bytes() == before or (disk.left == -1 and load(path).groups[0].parameters[0].step == 5)
    assert load(path)
    assert not list(tmp_path.glob(".*"))
    save(path, second)
    assert load(path).groups[0].parameters[0].step == 5


# Saves to a file while no file of its process may grow beyond some size, smaller than what it saves.
LIMITED = """
import resource, signal, sys
from pathlib import Path

from rmsprop.checkpoint import SaveError, load, save

path, larger = Path(sys.argv[1]), load(sys.argv[2])
before, size = path.read_bytes(), Path(sys.argv[2]).stat().st_size
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
for limit in range(0, size, 97):
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
    try:
        save(path, larger)
    except SaveError as error:
        assert "cannot write" in str(error), error
    else:
        sys.exit(f"{size} bytes were written where {limit} are allowed")
    assert path.read_bytes() == before
"""


def test_a_file_that_may_not_grow_loses_nothing(tmp_path: Path) -> None:
    save(tmp_path / "run", trained(RULES["article"]))
    save(tmp_path / "larger", trained(RULES["everything"], steps=5))
    subprocess.run([sys.executable, "-c", LIMITED, tmp_path / "run", tmp_path / "larger"], check=True)
    assert sorted(one.name for one in tmp_path.iterdir()) == ["larger", "run"]


# The same for the files of others: a file is replaced whole or not at all, and a directory is whole or not there.
OTHERS = """
import resource, signal, sys
from pathlib import Path

import numpy as np

import rmsprop
from rmsprop.checkpoint import SaveError, capture, save

def content():
    return {path: path.read_bytes() for path in Path().rglob("*") if path.is_file()}

kind, path, target = sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3])
w = np.linspace(-1, 1, 1200, dtype="f4").reshape(30, 40)
optimizer = rmsprop.RMSprop({"w": w}, 0.1, "tf1", momentum=0.9)
optimizer.step({"w": w})
save(path, optimizer, to=kind)
optimizer.step({"w": w})
before, state = content(), capture(optimizer)
size = max(map(len, before.values()))
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
for limit in [size * fifths // 5 for fifths in range(5)]:  # Orbax's files are some bytes longer or shorter each time
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
    try:
        save(target, state, to=kind)
    except SaveError as error:
        assert str(error).startswith(f"cannot write {target}: "), error
        assert kind == "rmsprop.optax" or "File too large" in str(error), error
    else:
        sys.exit(f"{size} bytes were written where {limit} are allowed")
    assert content() == before
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
save(target, state, to=kind)
assert content() != before
assert not list(Path().glob(".*"))
"""


@pytest.mark.parametrize(
    ("kind", "path", "target"),
    [
        ("rmsprop.torch", "run.pt", "run.pt"),
        ("rmsprop.keras", "run.weights.h5", "run.weights.h5"),
        ("rmsprop.optax", "run", "new"),
        pytest.param("tf1", "model.ckpt-1", "model.ckpt-2", marks=pytest.mark.slow),  # TensorFlow takes long to load
    ],
)
def test_files_of_others_that_may_not_grow_lose_nothing(tmp_path: Path, kind: str, path: str, target: str) -> None:
    quiet = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": ""}
    quiet |= {"KERAS_BACKEND": "tensorflow"} if kind == "tf1" else {}
    command = [sys.executable, "-c", OTHERS, kind, path, target]
    done = subprocess.run(command, cwd=tmp_path, env=quiet, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]


@pytest.mark.slow
def test_a_disk_that_is_really_full_loses_nothing(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", disk], capture_output=True, check=False)
    if mounted.returncode:
        pytest.skip(f"a small disk cannot be mounted here: {mounted.stderr.decode().strip()}")
    try:
        path = disk / "run.safetensors"
        save(path, trained(RULES["article"]))
        before, failures = path.read_bytes(), 0
        for room in range(0, 60_000, 1024):
            (disk / "filler").write_bytes(b"")
            try:
                (disk / "filler").write_bytes(bytes(60_000 - room))
            except OSError:
                continue
            try:
                save(path, trained(RULES["everything"], steps=5))
            except SaveError as error:
                failures += "No space left" in str(error)
                assert path.read_bytes() == before
            else:
                assert load(path).groups[0].parameters[0].step == 5
                break
            assert not list(disk.glob(".*"))
        assert failures >= 2
    finally:
        subprocess.run(["umount", disk], check=True)


@pytest.mark.parametrize("place", ["missing/run", "file/run"])
def test_a_place_that_cannot_be_written_to_is_refused(tmp_path: Path, place: str) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(SaveError, match=r"cannot write .*run"):
        save(tmp_path / place, trained(RULES["article"]))


def test_writers_at_once_leave_one_whole_file(tmp_path: Path) -> None:
    path = tmp_path / "run.safetensors"
    script = (
        "import sys, rmsprop, numpy as np\nfrom rmsprop.checkpoint import save\n"
        "for k in range(30): save(sys.argv[1], rmsprop.RMSprop(np.ones(1000), 0.1))"
    )
    writers = [subprocess.Popen([sys.executable, "-W", "error", "-c", script, path]) for _ in range(3)]
    assert [writer.wait() for writer in writers] == [0, 0, 0]
    assert load(path).names == load(previous(path)).names == ("0",)
    assert not list(tmp_path.glob(".*"))


def test_a_draft_of_a_living_writer_is_left_alone(tmp_path: Path) -> None:
    target = tmp_path / "a"
    with Draft(target) as first, Draft(target) as second:
        assert first.path.exists()
        first.path.write_bytes(b"first")
        second.path.write_bytes(b"second")
        replace([first])
        replace([second])
    assert target.read_bytes() == b"second"
    assert sorted(tmp_path.iterdir()) == [target]


def test_permissions_are_those_of_the_file_before(tmp_path: Path) -> None:
    path = tmp_path / "run"
    save(path, trained(RULES["article"]))
    assert path.stat().st_mode & 0o777 == 0o666 & ~current_umask()
    path.chmod(0o640)
    save(path, trained(RULES["article"]))
    assert path.stat().st_mode & 0o777 == 0o640


def current_umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def test_without_hard_links_the_one_before_is_copied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any) -> None:
        raise PermissionError(errno.EPERM, "no hard links here")

    monkeypatch.setattr(os, "link", refuse)
    path = tmp_path / "run"
    save(path, trained(RULES["article"]))
    before = path.read_bytes()
    save(path, trained(RULES["article"], steps=5))
    assert previous(path).read_bytes() == before
    assert sorted(one.name for one in tmp_path.iterdir()) == ["run", "run.previous"]
