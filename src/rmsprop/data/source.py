"""Data sets: arrays, frames, CSV and Parquet files, behind one small interface."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from rmsprop.aligned import aligned
from rmsprop.data import csvfile
from rmsprop.data.names import usable_names
from rmsprop.errors import DataError, UsageError, missing_extra

if TYPE_CHECKING:
    import polars as pl

Array = NDArray[np.float64]
MISSING_CHOICES = ("drop", "refuse")


@dataclass
class Table:
    """Columns in memory, rows without a number already left out."""

    columns: dict[str, Array]
    n: int
    dropped: int
    notes: list[str] = field(default_factory=list)


class Source(ABC):
    """A data set whose columns can be read by name; the base for those in memory.

    Attributes:
        names: columns, as a formula can write them.
        labels: the same, as the data has them.
        notes: what was found that the user may want to know.
        title: what the reports call it.
    """

    def __init__(self, labels: Sequence[str], title: str) -> None:
        self.labels = [str(label) for label in labels]
        self.names = usable_names(self.labels)
        self.title = title
        self.notes = [
            f"column {label!r} is called {name} in the model"
            for label, name in zip(self.labels, self.names, strict=True)
            if label != name
        ]

    @abstractmethod
    def rows(self) -> int:
        """Return the number of rows, those with missing cells too, or a bound from above."""

    @abstractmethod
    def read(self, names: Sequence[str], missing: str) -> Table:
        """Read whole columns."""

    def label(self, name: str) -> str:
        """Return a column's name as the data has it."""
        return self.labels[self.names.index(name)]


class ArraySource(Source):
    """Arrays by name: a mapping, or any frame with `columns` and `frame[name]`."""

    def __init__(self, data: Any) -> None:
        labels = list(data) if isinstance(data, Mapping) else list(data.columns)
        super().__init__(labels, "the data given")
        if not labels:
            raise DataError("the data has no columns")
        self._data = {str(label): data[label] for label in labels}
        lengths = {label: len(np.atleast_1d(np.asarray(column))) for label, column in self._data.items()}
        if len(set(lengths.values())) > 1:
            raise DataError(f"the columns must be equally long, got {lengths}")
        self._rows = next(iter(lengths.values()))

    def rows(self) -> int:
        """Return the number of rows."""
        return self._rows

    def read(self, names: Sequence[str], missing: str) -> Table:
        """Read whole columns."""
        return finish({name: self.array(name) for name in names}, missing, self.title, lambda row: f"row {row}")

    def array(self, name: str) -> Array:
        """Return a column as (n,) floats, missing cells as NaN."""
        label = self.label(name)
        column = np.atleast_1d(np.asarray(self._data[label]))
        if np.iscomplexobj(column) or column.size != len(column):
            raise DataError(f"column {label!r} must hold one real number a row, got {column.dtype} of shape {column.shape}")
        try:
            return np.ascontiguousarray(column, dtype=np.float64).reshape(-1)
        except (TypeError, ValueError):
            raise DataError(f"column {label!r} holds values that are not numbers (dtype {column.dtype})") from None


class CsvSource(Source):
    """A CSV file, or the text of one."""

    def __init__(self, path: csvfile.File) -> None:
        _pl()  # refused at once where it is not installed
        self.layout = csvfile.sniff(path)
        plain = ["y"] if self.layout.width == 1 else ["x", "y"]
        if self.layout.width > 2:
            plain = [f"x{k + 1}" for k in range(self.layout.width - 1)] + ["y"]
        super().__init__(self.layout.header or plain, path.name)
        self.path = path
        self.notes = csvfile.layout_notes(self.layout, self.names) + self.notes

    def rows(self) -> int:
        """Return the number of rows."""
        # Two bytes are the shortest cell with its separator.
        size = len(self.path.content) if isinstance(self.path, csvfile.Pasted) else self.path.stat().st_size
        return max(1, size // (2 * self.layout.width))

    def numbers(self, names: Sequence[str]) -> pl.LazyFrame:
        """Return columns as floats, null where a cell is missing or text."""
        return csvfile.scan(self.path, self.layout, self.names).select(csvfile.number(n, self.layout)[0] for n in names)

    def check(self, names: Sequence[str]) -> None:
        """Refuse text in the number columns, naming the first such cell."""
        frame = csvfile.scan(self.path, self.layout, self.names)
        bad = frame.select(csvfile.number(name, self.layout)[1] for name in names)
        first = bad.select(
            [c for name in names for c in (_pl().col(name).sum().alias(name), _pl().col(name).arg_max().alias(f"{name} row"))]
        )
        with csvfile.explained(self.path, self.layout):
            found = first.collect().row(0, named=True)
        wrong = [(found[f"{name} row"], name) for name in names if found[name]]
        if wrong:
            row, name = min(wrong)
            raise csvfile.cell_error(self.path, self.layout, self.names.index(name), self.label(name), row)

    def blank_rows(self) -> int:
        """Count rows that hold nothing at all: blank lines, which no one means as data."""
        frame = csvfile.scan(self.path, self.layout, self.names)
        empty = _pl().all_horizontal(_pl().all().str.strip_chars().fill_null("") == "")
        return int(frame.select(empty.sum()).collect().item())

    def read(self, names: Sequence[str], missing: str) -> Table:
        """Read whole columns."""
        frame = csvfile.scan(self.path, self.layout, self.names)
        both = [csvfile.number(name, self.layout) for name in names]
        with csvfile.explained(self.path, self.layout):
            got = frame.select(
                *[value for value, _ in both],
                *[bad.any().alias(f"{name} text") for (_, bad), name in zip(both, names, strict=True)],
            ).collect()
        if got.height and any(got[f"{name} text"][0] for name in names):
            self.check(names)
        columns = {name: got[name].to_numpy().astype(np.float64, copy=False) for name in names}
        return finish(columns, missing, str(self.path), self._place, self.blank_rows)

    def _place(self, row: int) -> str:
        rows = csvfile._physical_rows(self.path, self.layout)
        return next((f"line {line}" for k, (line, _) in enumerate(rows, 1) if k == row), f"row {row}")


class ParquetSource(Source):
    """A Parquet file."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._frame: Any = _pl().scan_parquet(path, glob=False)
        with _ParquetErrors(path):
            self._schema = self._frame.collect_schema()
            super().__init__(self._schema.names(), path.name)
            self._rows = int(self._frame.select(_pl().len()).collect().item())

    def rows(self) -> int:
        """Return the number of rows."""
        return self._rows

    def numbers(self, names: Sequence[str]) -> pl.LazyFrame:
        """Return columns as floats."""
        for name in names:
            dtype = self._schema[self.label(name)]
            if not (dtype.is_numeric() or dtype == _pl().Boolean):
                raise DataError(f"{self.path}, column {self.label(name)!r}: holds {dtype}, not numbers")
        frame: pl.LazyFrame = self._frame.select(_pl().col(self.label(n)).cast(_pl().Float64).alias(n) for n in names)
        return frame

    def check(self, names: Sequence[str]) -> None:
        """Refuse columns that are not numbers."""
        self.numbers(names)

    def read(self, names: Sequence[str], missing: str) -> Table:
        """Read whole columns."""
        with _ParquetErrors(self.path):
            got = self.numbers(names).collect()
        columns = {name: got[name].to_numpy().astype(np.float64, copy=False) for name in names}
        return finish(columns, missing, str(self.path), lambda row: f"row {row}")


def finish(columns: dict[str, Array], missing: str, title: str, place: Any, blanks: Any = None) -> Table:
    """Leave out the rows with a missing or non-finite cell, and count them."""
    n = len(next(iter(columns.values())))
    good = np.ones(n, dtype=bool)
    for column in columns.values():
        good &= np.isfinite(column)
    dropped = n - int(good.sum())
    if dropped and blanks is not None:
        dropped -= blanks()
    if dropped and missing == "refuse":
        row = next(int(k) for k in np.flatnonzero(~good))
        raise DataError(
            f"{title}: {dropped:,} rows have a missing or non-finite cell, the first at {place(row + 1)}; fill them, or drop them"
        )
    if not good.all():
        columns = {name: column[good] for name, column in columns.items()}
    kept = int(good.sum())
    if not kept:
        raise DataError(f"{title} holds no row with a number in every column that the model uses ({', '.join(columns)})")
    notes = [f"{dropped:,} rows with a missing or non-finite cell were dropped; {kept:,} are left"] if dropped else []
    columns = {name: aligned(column) for name, column in columns.items()}
    return Table(columns, kept, dropped, notes)


def open_source(data: Any) -> Source:
    """Return the data set behind a path, a text, a mapping of arrays or a frame.

    Raises:
        DataError: the file is missing, unreadable or no table; or the data has columns of unequal lengths.
    """
    if isinstance(data, Source):
        return data
    if isinstance(data, csvfile.Pasted):
        return CsvSource(data)
    if not isinstance(data, str | os.PathLike):
        if isinstance(data, Mapping) or (hasattr(data, "columns") and hasattr(data, "__getitem__")):
            return ArraySource(data)
        raise UsageError(f"data must be a path, a mapping of arrays or a frame with columns, got {type(data).__name__}")
    path = Path(data)
    try:
        if path.is_dir():
            raise DataError(f"{path} is a directory; name the CSV or Parquet file in it")
        if not path.exists():
            raise DataError(f"{path} does not exist; check the path")
        if not path.is_file():
            raise DataError(f"{path} is not a regular file; save the data to a file first")
        with path.open("rb") as file:
            parquet = file.read(4) == b"PAR1"
        if not parquet and path.suffix.lower() in (".parquet", ".pq") and path.stat().st_size:
            raise DataError(f"{path} is not a Parquet file, in spite of its name (it does not begin with PAR1)")
        return ParquetSource(path) if parquet else CsvSource(path)
    except PermissionError:
        raise DataError(f"{path} cannot be read: permission denied") from None
    except (OSError, ValueError) as error:
        if isinstance(error, DataError):
            raise
        raise DataError(f"{str(path)[:200]!r} cannot be opened: {getattr(error, 'strerror', None) or error}") from None


def available_memory() -> int:
    """Return the bytes of memory that are free for use now."""
    try:
        with open("/proc/meminfo", encoding="ascii") as file:
            for line in file:
                if line.startswith("MemAvailable:"):
                    return int(line.split()[1]) * 1024
    except OSError:
        pass
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2
    except (AttributeError, ValueError, OSError):
        return 4 << 30


class _ParquetErrors:
    """Turn what Polars says of a broken Parquet file into a plain message."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        if isinstance(error, _pl().exceptions.PolarsError | OSError):
            first = (str(error).splitlines() or [type(error).__name__])[0]
            raise DataError(f"{self._path} cannot be read as Parquet: {first}") from None


def _pl() -> Any:
    try:
        import polars
    except ImportError:
        raise missing_extra("Polars") from None
    return polars
