"""Files larger than memory, read in pieces of rows."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rmsprop.data import csvfile
from rmsprop.data.source import CsvSource, ParquetSource, Source
from rmsprop.errors import DataError

Array = NDArray[np.float64]

# Of the memory allowed, a piece's columns take this share; its shuffled copies and Polars' buffers need the rest.
_SHARE = 8


def too_large(source: Source, columns: int, memory: int) -> bool:
    """Return whether a file's columns should not be held in memory: they and a copy would take more than is allowed."""
    return isinstance(source, CsvSource | ParquetSource) and 2 * 8 * columns * source.rows() > memory


class Pieces:
    """The columns of a file, a piece of rows at a time.

    Args:
        source: a CSV or Parquet file. CSV is first turned into Parquet, in a temporary directory that goes with this object.
        names: the columns.
        memory: bytes that may be used.
        missing: "drop" or "refuse" rows with a missing or non-finite cell.

    Attributes:
        sizes: rows of each piece, those dropped not counted.
        n: all rows that are left.
        dropped: rows left out.
    """

    def __init__(self, source: Source, names: Sequence[str], memory: int, missing: str) -> None:
        import polars as pl

        assert isinstance(source, CsvSource | ParquetSource)
        self._names = list(names)
        self._temporary: tempfile.TemporaryDirectory[str] | None = None
        source.check(names)
        frame: Any = source.numbers(names)
        good = pl.all_horizontal(pl.all().is_finite().fill_null(False))
        if isinstance(source, CsvSource):
            self._temporary = tempfile.TemporaryDirectory(prefix="rmsprop-fit-")
            path = Path(self._temporary.name) / "columns.parquet"
            with csvfile.explained(source.path, source.layout):
                frame.sink_parquet(path, row_group_size=max(1_000, min(100_000, memory // (8 * _SHARE * len(names)))))
            frame = pl.scan_parquet(path, glob=False)
        self._frame = frame
        rows = int(frame.select(pl.len()).collect().item())
        step = max(1_000, memory // (8 * _SHARE * len(names)))
        self._offsets = list(range(0, rows, step))
        self._step = step
        counts = [int(frame.slice(offset, step).select(good.sum()).collect().item()) for offset in self._offsets]
        self._offsets = [offset for offset, count in zip(self._offsets, counts, strict=True) if count]
        self.sizes = [count for count in counts if count]
        self.n = sum(self.sizes)
        self.dropped = rows - self.n
        if self.dropped and missing == "refuse":
            raise DataError(f"{source.title}: {self.dropped:,} rows have a missing or non-finite cell; fill them, or drop them")
        if not self.n:
            raise DataError(f"{source.title} holds no row with a number in every column that the model uses ({', '.join(names)})")

    def read(self, piece: int) -> dict[str, Array]:
        """Return name → (rows,) of a piece."""
        got = self._frame.slice(self._offsets[piece], self._step).collect()
        columns = {name: got[name].to_numpy().astype(np.float64) for name in self._names}
        good = np.logical_and.reduce([np.isfinite(column) for column in columns.values()])
        return columns if good.all() else {name: column[good] for name, column in columns.items()}

    def close(self) -> None:
        """Remove what was written."""
        if self._temporary is not None:
            self._temporary.cleanup()
