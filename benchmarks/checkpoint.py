"""Time saving and loading a state, beside `torch.save` and `torch.load` of the same arrays and beside the bare disk.

    python benchmarks/checkpoint.py [--elements N]

All writers end with the data on the disk (fsync). Ours also checks every number for NaN, writes a checksum, keeps the file before
and never leaves a torn one; `torch.save` does none of these. The ruler writes the same bytes and brings them to the disk.
"""

import argparse
import os
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

import rmsprop
from rmsprop import checkpoint
from timing import interleaved, machine


def main() -> None:
    """Prove that both give back what they got, then time."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--elements", type=int, default=50_000_000)
    elements = parser.parse_args().elements
    print(f"{machine()}\n")
    print(f"{'case':34} {'MB':>6} {'':8} {'ours s':>8} {'torch s':>8} {'ruler s':>8} {'× torch':>8} {'of ruler':>8}")
    with tempfile.TemporaryDirectory() as folder:
        compare("one parameter, v and b", [elements], Path(folder))
        compare("156 parameters, v and b", [elements // 312] * 156, Path(folder))
        compare("2,000 parameters of 1,000, v and b", [1_000] * 2_000, Path(folder))


def compare(title: str, sizes: list[int], folder: Path) -> None:
    """Time one set of parameters."""
    rng = np.random.default_rng(0)
    params = {f"p{k}": rng.standard_normal(size, np.float32) for k, size in enumerate(sizes)}
    optimizer = rmsprop.RMSprop(params, 0.1, "tf1", momentum=0.9)
    optimizer.step(params)
    state = checkpoint.capture(optimizer)
    arrays = {f"{slot}/{p.name}": array for p in state.parameters for slot, array in p.slots.items()}
    tensors = {name: torch.from_numpy(array) for name, array in arrays.items()}
    ours, theirs, bare = folder / "ours", folder / "theirs", folder / "bare"

    def save() -> None:
        checkpoint.save(ours, state)

    def save_torch() -> None:
        torch.save(tensors, theirs)
        synced(theirs)

    def write() -> None:
        with open(bare, "wb") as file:
            for array in arrays.values():
                file.write(array.data)
        synced(bare)

    def load() -> checkpoint.State:
        return checkpoint.load(ours)

    def load_torch() -> dict[str, torch.Tensor]:
        found: dict[str, torch.Tensor] = torch.load(theirs, weights_only=True)
        return found

    def read() -> list[bytes]:
        with open(bare, "rb") as file:
            return [file.read(array.nbytes) for array in arrays.values()]

    save()
    save_torch()
    write()
    back, back_torch = {f"{s}/{p.name}": a for p in load().parameters for s, a in p.slots.items()}, load_torch()
    if any(back[n].tobytes() != a.tobytes() or back_torch[n].numpy().tobytes() != a.tobytes() for n, a in arrays.items()):
        sys.exit(f"{title}: what was loaded is not what was saved, so nothing is timed")
    size = sum(array.nbytes for array in arrays.values())
    rows: dict[str, tuple[Callable[[], object], ...]] = {"save": (save, save_torch, write), "load": (load, load_torch, read)}
    for row, calls in rows.items():
        times = interleaved(dict(zip(("ours", "torch", "ruler"), calls, strict=True)), 20, least=5)
        print(
            f"{title:34} {size / 1e6:6.0f} {row:8} {times['ours']:8.3f} {times['torch']:8.3f} {times['ruler']:8.3f} "
            f"{times['torch'] / times['ours']:8.2f} {times['ruler'] / times['ours']:8.2f}",
            flush=True,
        )
        title = ""


def synced(path: Path) -> None:
    """Bring a file to the disk."""
    with open(path, "rb") as file:
        os.fsync(file.fileno())


if __name__ == "__main__":
    main()
