"""CSV as people write it: separator, decimal comma, header and faults found, then read by Polars."""

from __future__ import annotations

import csv
import io
import re
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from rmsprop.errors import DataError

if TYPE_CHECKING:
    import polars as pl

#: Read to see how a file is written; more where its first rows are longer than that.
SAMPLE_BYTES, MOST_SAMPLE_BYTES = 1 << 16, 1 << 28
SAMPLE_ROWS = 100
SEPARATORS = {"\t": "tab", ";": "';'", ",": "','", "|": "'|'"}
#: Cells that stand for "no value", compared in lower case.
MISSING = ("", "na", "n/a", "nan", "null", "none", "-", "--", "?", "missing", "#n/a")

_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?|[+-]?(inf|infinity)", re.IGNORECASE)
_COMMA_NUMBER = re.compile(r"[+-]?(\d+,\d*|,\d+)([eE][+-]?\d+)?")
_THOUSANDS = re.compile(r"[+-]?[1-9]\d{0,2}(,\d{3})+")
_DATE = re.compile(r"\d{1,4}([-/.])\d{1,2}\1\d{1,4}|\d{1,2}:\d{2}")
_MAGIC = (
    (b"PK\x03\x04", "a zip or spreadsheet file; export the sheet as CSV"),
    (b"\x1f\x8b", "compressed by gzip; unpack it first"),
    (b"BZh", "compressed by bzip2; unpack it first"),
    (b"\xff\xfe", "UTF-16 text; save it as UTF-8"),
    (b"\xfe\xff", "UTF-16 text; save it as UTF-8"),
    (b"\xd0\xcf\x11\xe0", "an old spreadsheet file; export the sheet as CSV"),
    (b"%PDF", "a PDF; export the table as CSV"),
)


class Pasted:
    r"""Text in memory, read as a file of it would be.

    Args:
        content: UTF-8 bytes.
        name: what messages call it.

    Example:
        >>> sniff(Pasted(b"x;y\n1,5;2\n", "your data")).separator
        ';'
    """

    def __init__(self, content: bytes, name: str) -> None:
        self.content = content
        self.name = name

    def __str__(self) -> str:
        return self.name

    def open(self, mode: str = "r", **text: Any) -> IO[Any]:
        """Return it opened for reading, as `Path.open` does."""
        raw = io.BytesIO(self.content)
        return raw if "b" in mode else io.TextIOWrapper(raw, **text)


#: Where a table is read from.
File = Path | Pasted


@dataclass(frozen=True)
class Layout:
    """How a CSV file is written."""

    separator: str
    decimal_comma: bool
    header: list[str] | None  # the first line's cells, or None where it holds numbers
    width: int  # cells of a row
    skip: int  # physical lines above the first row of numbers
    comments: bool  # lines that start with # are left out


def sniff(path: File) -> Layout:
    """Return how a CSV file is written.

    Raises:
        DataError: the file is no UTF-8 text, is empty, or holds no row of data.
    """
    with path.open("rb") as file:
        head = file.read(SAMPLE_BYTES)
        while head.count(b"\n") < 3 and len(head) < MOST_SAMPLE_BYTES and (more := file.read(len(head))):
            head += more
        whole = not file.read(1)
    if not head.strip():
        raise DataError(f"{path} is empty; it must hold a header and rows of numbers")
    for magic, what in _MAGIC:
        if head.startswith(magic):
            raise DataError(f"{path} is {what}")
    if b"\0" in head:
        raise DataError(f"{path} is not text (a zero byte at {head.index(0):,}); give a CSV or Parquet file")
    if b"\n" not in head and b"\r" in head:
        raise DataError(f"{path} ends its lines with a bare carriage return; save it with newlines")
    text = head.decode("utf-8-sig", errors="replace")
    if "\ufffd" in text[:-4]:
        _check_utf8(path)
    if not whole:
        text = text[: text.rfind("\n") + 1] or text
    lines = text.splitlines()
    comments = next((line for line in lines if line.strip()), "").startswith("#")
    separator = _separator(lines, comments)
    rows = list(_rows(lines, separator, comments))
    if not rows:
        raise DataError(f"{path} holds only comments; it must hold rows of numbers")
    decimal_comma = separator != "," and _decimal_comma(path, [row for _, row in rows[1:]] or [rows[0][1]])
    _check_first_row(path, lines, rows, separator)
    first = rows[0][1]
    has_header = not all(_is_number(cell, decimal_comma) or cell.lower() in MISSING for cell in first)
    if not has_header and not any(_is_number(cell, decimal_comma) for cell in first):
        has_header = True
    if has_header and len(rows) < 2:
        below = next((k for k, line in enumerate(lines[rows[0][0] + 1 :], rows[0][0] + 2) if line.strip()), None)
        if below is not None:
            raise DataError(f"{path}, line {below}: a cell has more than {csv.field_size_limit():,} characters; shorten it")
        raise DataError(f"{path} holds a header and no row of data")
    header = first if has_header else _commented_header(lines[: rows[0][0]], separator, len(first), decimal_comma)
    return Layout(separator, decimal_comma, header, len(first), rows[int(has_header)][0], comments)


def _check_first_row(path: File, lines: list[str], rows: list[tuple[int, list[str]]], separator: str) -> None:
    """Refuse a title above the header, and cells parted by spaces."""
    above, first = rows[0]
    widths = Counter(len(cells) for _, cells in rows[1 : SAMPLE_ROWS + 1])
    width = max(widths, key=lambda w: widths[w], default=len(first))
    if len(first) < width:
        raise DataError(
            f"{path}, line {above + 1} has {len(first)} cells where the lines below have {width} parted by"
            f" {SEPARATORS[separator]}; the first line must name every column, and titles above it must go"
        )
    if len(first) == width == 1:
        parted = [cells[0].split() for _, cells in rows[1 : SAMPLE_ROWS + 1]]
        if parted and len(parted[0]) > 1 and all(_is_number(cell, False) for cells in parted for cell in cells):
            raise DataError(f"{path}, line {rows[1][0] + 1}: the cells seem to be parted by spaces; part them with commas or tabs")


def _commented_header(above: list[str], separator: str, width: int, decimal_comma: bool) -> list[str] | None:
    """Return the names in the last comment above the numbers, as numpy.savetxt writes them, if there are as many as columns."""
    last = next((line for line in reversed(above) if line.strip()), "")
    if not last.startswith("#"):
        return None
    cells = [cell.strip() for cell in last.lstrip("# ").split(separator)]
    named = len(cells) == width and all(cell and not _is_number(cell, decimal_comma) for cell in cells)
    return cells if named else None


def _rows(lines: list[str], separator: str, comments: bool) -> Iterator[tuple[int, list[str]]]:
    """Yield (physical lines above it, stripped cells) of each row that is not blank."""
    reader = csv.reader((line + "\n" for line in lines), delimiter=separator)
    above = 0
    try:
        for row in reader:
            cells = [cell.strip() for cell in row]
            if any(cells) and not (comments and cells[0].startswith("#")):
                yield above, cells
            above = reader.line_num
    except csv.Error:
        # A cell beyond 131,072 characters: what is above it tells enough.
        return


def _separator(lines: list[str], comments: bool) -> str:
    """Return the separator that gives the most rows one width above 1; on a tie tab before ; before comma before |."""
    best, most = ",", 0
    for separator in SEPARATORS:
        widths = Counter(len(row) for _, row in _rows(lines[:SAMPLE_ROWS], separator, comments))
        same = max((count for width, count in widths.items() if width > 1), default=0)
        if same > most:
            best, most = separator, same
    return best


def _is_number(cell: str, decimal_comma: bool) -> bool:
    return bool(_NUMBER.fullmatch(cell.replace(",", ".") if decimal_comma else cell))


def _decimal_comma(path: File, rows: list[list[str]]) -> bool:
    cells = [cell for row in rows for cell in row if _COMMA_NUMBER.fullmatch(cell) or _THOUSANDS.fullmatch(cell)]
    points = any("." in cell and _NUMBER.fullmatch(cell) for row in rows for cell in row)
    if not cells or points:
        return False
    if all(_THOUSANDS.fullmatch(cell) for cell in cells):
        raise DataError(
            f"{path} holds numbers such as {cells[0]!r}, whose comma may part thousands or decimals;"
            f" write {cells[0].replace(',', '.')} or {cells[0].replace(',', '')}"
        )
    return True


def scan(path: File, layout: Layout, names: list[str]) -> pl.LazyFrame:
    """Return the file's rows as text columns, lazily."""
    import polars as pl

    return pl.scan_csv(
        path.content if isinstance(path, Pasted) else path,
        separator=layout.separator,
        has_header=False,
        skip_lines=layout.skip,
        schema=dict.fromkeys(names, pl.String),
        comment_prefix="#" if layout.comments else None,
        glob=False,
    )


def number(name: str, layout: Layout) -> tuple[pl.Expr, pl.Expr]:
    """Return a column as floats, null where missing, and whether a cell is text in its place."""
    import polars as pl

    text = pl.col(name).str.strip_chars()
    if layout.decimal_comma:
        text = text.str.replace(",", ".", literal=True)
    missing = text.is_null() | text.str.to_lowercase().is_in(MISSING)
    value = pl.when(missing).then(None).otherwise(text).cast(pl.Float64, strict=False)
    return value.alias(name), (value.is_null() & ~missing).alias(name)


@contextmanager
def explained(path: File, layout: Layout) -> Iterator[None]:
    """Turn what Polars says of a file it cannot read into the line and the remedy."""
    import polars as pl

    try:
        yield
    except (pl.exceptions.PolarsError, OSError) as error:
        _check_utf8(path)
        _check_widths(path, layout)
        first = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise DataError(f"{path} cannot be read as CSV: {first}") from None


def cell_error(path: File, layout: Layout, column: int, label: str, row: int) -> DataError:
    """Return the error for text in a number column, with the physical line it stands in."""
    for count, (line, cells) in enumerate(_physical_rows(path, layout)):
        if count == row:
            cell = cells[column].strip() if column < len(cells) else ""
            shown = repr(cell if len(cell) <= 40 else cell[:37] + "...")
            return DataError(f"{path}, line {line}, column {label!r}: {shown} is not a number; {_remedy(cell)}")
    return DataError(f"{path}, column {label!r}: row {row + 1} of the data is not a number; correct it, or leave the cell empty")


def _remedy(cell: str) -> str:
    """Return what to do about a cell that is no number."""
    if _COMMA_NUMBER.fullmatch(cell) and not _THOUSANDS.fullmatch(cell):
        return "write decimals with a point"
    bare = re.sub(r"(?<=\d)[, '\u00a0\u202f](?=\d{3}\b)", "", cell)
    bare = re.sub(r"^[^\d.+-]+|\s*[^\d.]+$", "", bare)
    if _NUMBER.fullmatch(bare) and len(bare) > len(cell) // 2:
        return f"write {bare}, without separators and units"
    if _DATE.match(cell):
        return "turn dates and times into numbers, such as days since the first"
    if cell.lower() in ("true", "false", "yes", "no"):
        return f"write {int(cell.lower() in ('true', 'yes'))}"
    return "correct it, or leave the cell empty"


def _physical_rows(path: File, layout: Layout) -> Iterator[tuple[int, list[str]]]:
    """Yield (line number, cells) of the rows that Polars counts: all below the header, blank ones too."""
    with path.open(encoding="utf-8-sig", errors="replace", newline="") as file:
        for _ in range(layout.skip):
            file.readline()
        reader = csv.reader(file, delimiter=layout.separator)
        line = layout.skip + 1
        try:
            for cells in reader:
                if not (layout.comments and cells and cells[0].startswith("#")):
                    yield line, cells
                line = layout.skip + reader.line_num + 1
        except csv.Error as error:
            raise DataError(f"{path}, line {line}: {error}; shorten the cell, or close its quotes") from None


def _check_utf8(path: File) -> None:
    with path.open("rb") as file:
        for line, content in enumerate(file, 1):
            try:
                content.decode("utf-8")
            except UnicodeDecodeError as error:
                byte = content[error.start]
                raise DataError(f"{path}, line {line}: byte {byte:#04x} is not UTF-8; save the file as UTF-8") from None


def _check_widths(path: File, layout: Layout) -> None:
    line = 0
    for line, cells in _physical_rows(path, layout):
        if len(cells) > layout.width:
            if any("\n" in cell for cell in cells):
                raise DataError(f"{path}, line {line}: a quote is opened there and not closed")
            raise DataError(
                f"{path}, line {line} has {len(cells)} cells where the first line has {layout.width};"
                f" put cells that hold a {SEPARATORS[layout.separator]} in quotes"
            )
        if any(cell.count("\n") > 1 for cell in cells):
            raise DataError(f"{path}, line {line}: a quote is opened there and not closed")


def layout_notes(layout: Layout, names: list[str]) -> list[str]:
    """Say what was found beyond a plain comma-separated file with a header."""
    notes: list[str] = []
    if layout.header is None:
        notes.append(f"no header found: the columns are named {', '.join(names)}")
    if layout.decimal_comma:
        notes.append("numbers are read with a decimal comma")
    return notes
