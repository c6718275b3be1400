import contextlib
import os

import numpy as np
import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rmsprop.data.names import usable_names
from rmsprop.data.source import open_source
from rmsprop.errors import DataError, UsageError
from rmsprop.expression.language import parse


def read(path, content, names=("x", "y"), missing="drop"):
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    source = open_source(path)
    table = source.read(names, missing)
    return {name: column.tolist() for name, column in table.columns.items()}, source.notes + table.notes


PLAIN = {"x": [1.0, 3.0], "y": [2.0, 4.5]}


@pytest.mark.parametrize(
    "content",
    [
        "x,y\n1,2\n3,4.5\n",
        "x;y\n1;2\n3;4.5\n",
        "x\ty\n1\t2\n3\t4.5\n",
        "x;y\n1,0;2,0\n3,0;4,5\n",
        "\ufeffx,y\n1,2\n3,4.5",
        "x,y\r\n1,2\r\n3,4.5\r\n",
        '"x","y"\n"1","2"\n"3","4.5"\n',
        " x , y \n 1 , 2 \n 3 ,\t4.5\n",
        "\n\nx,y\n\n1,2\n\n   \n3,4.5\n\n",
        "1,2\n3,4.5\n",
        "# a comment\nx,y\n1,2\n# another\n3,4.5\n",
        'name,x,y\nann,1,2\n"o\'neil, bob",3,4.5\n',
        'note,x,y\n"two\nlines",1,2\nb,3,4.5\n',
        "x,y\n1,2\n,\n3,4.5\n",
        "x,y\n+1.0e0,2.\n3,.45E1\n",
        "x,y,z\n1,2,\n3,4.5,\n",
        "x,y\n1,2\n3,4.5\n\n\n\n",
        "x|y\n1|2\n3|4.5\n",
        "# x,y\n1,2\n3,4.5\n",
        "#made by hand, in a hurry, twice\n#x,y\n1,2\n3,4.5\n",
        "note,x,y\n" + "z" * 100_000 + ",1,2\nb,3,4.5\n",
    ],
)
def test_csv_as_people_write_it(tmp_path, content):
    assert read(tmp_path / "data.csv", content)[0] == PLAIN


def test_what_was_found_is_said(tmp_path):
    path = tmp_path / "data.csv"
    assert "no header found: the columns are named x, y" in read(path, "1,2\n3,4\n")[1]
    assert "no header found: the columns are named x1, x2, y" in read(path, "1,2,3\n3,4,5\n", ["y"])[1]
    assert "numbers are read with a decimal comma" in read(path, "x;y\n1,5;2\n")[1]
    assert "column 'Temp (°C)' is called Temp_C in the model" in read(path, "Temp (°C),y\n1,2\n", ["Temp_C"])[1]
    assert any("is called x_2" in note for note in read(path, "x,x,y\n1,2,3\n", ["x_2"])[1])


@pytest.mark.parametrize("cell", ["", "NaN", "NA", "n/a", "null", "inf", "-inf", "1e999", "?", "-"])
def test_missing_cells_are_counted_and_dropped_or_refused(tmp_path, cell):
    path = tmp_path / "data.csv"
    columns, notes = read(path, f"x,y\n1,2\n7,{cell}\n3,4.5\n")
    assert columns == PLAIN
    assert any(note.startswith("1 rows with a missing or non-finite cell were dropped; 2 are left") for note in notes)
    with pytest.raises(DataError, match=r"1 rows .* line 3"):
        read(path, f"x,y\n1,2\n7,{cell}\n3,4.5\n", missing="refuse")


def test_short_row_counts_as_missing(tmp_path):
    assert read(tmp_path / "data.csv", "x,y\n1,2\n7\n3,4.5\n")[0] == PLAIN


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "is empty"),
        ("  \n\n ", "is empty"),
        ("x,y\n", "no row of data"),
        ("x,y\nNaN,1\n2,\n", "no row with a number"),
        ("# only\n# comments\n", "only comments"),
        ("x,y\n1,2\nabc,4\n", r"line 3, column 'x': 'abc' is not a number"),
        ("x,y\n1,2\n\n\n3,oops\n", r"line 5, column 'y': 'oops'"),
        ('x,y\n"1\n",2\n3,4x\n', r"line 4, column 'y': '4x'"),
        ("x,y\n1,2\n3,1.234.5\n", r"line 3, column 'y': '1.234.5'"),
        ("x;y\n1;2.5\n3;4,5\n", r"line 3, column 'y': '4,5' .*decimals with a point"),
        ("x;y\n1,234;2,345\n", "may part thousands"),
        ("x,y\n1,2\n3,4,5\n", "line 3 has 3 cells where the first line has 2"),
        ('x,y\n"1,2\n3,4\n5,6\n', "a quote is opened there and not closed"),
        (b"x,y\n1,2\n3,\xe9\n", "line 3: byte 0xe9 is not UTF-8"),
        ("x,y\n1,2\n".encode("utf-16"), "UTF-16"),
        ('x,y\n1,2\n3,"1,234.5"\n', r"write 1234.5, without"),
        ("x,y\n1,10%\n", r"write 10, without"),
        ("x,y\n2020-01-31,1\n", r"turn dates and times into numbers"),
        ("x,y\n1,true\n", r"'true' is not a number; write 1"),
        ("My title\nx,y\n1,2\n3,4\n", r"line 1 has 1 cells where the lines below have 2"),
        ("x y\n1 2\n3 4\n", r"line 2: the cells seem to be parted by spaces"),
        ("note,x,y\n" + "z" * 200_000 + ",1,2\nb,3,4.5\n", r"line 2: a cell has more than 131,072 characters"),
        (b"\x89PNG\r\n\x1a\n\x00\x00\x00", "not text"),
        (b"PK\x03\x04\x14\x00", "spreadsheet"),
        (b"\x1f\x8b\x08\x00", "gzip"),
        (b"x,y\r1,2\r3,4\r", "carriage return"),
        (b"x,y\n1,\x00\n", "not text"),
    ],
)
def test_fault_is_named_with_its_place(tmp_path, content, message):
    with pytest.raises(DataError, match=message) as refusal:
        read(tmp_path / "data.csv", content)
    assert "data.csv" in str(refusal.value)


def test_bad_byte_far_into_a_file(tmp_path):
    with pytest.raises(DataError, match="line 50002: byte 0xff is not UTF-8"):
        read(tmp_path / "data.csv", b"x,y\n" + b"1,2\n" * 50_000 + b"1,\xff\n")


def test_text_far_into_a_file(tmp_path):
    with pytest.raises(DataError, match="line 50002, column 'y': 'two'"):
        read(tmp_path / "data.csv", b"x,y\n" + b"1,2\n" * 50_000 + b"1,two\n" + b"1,2\n" * 10)


def test_places_that_hold_no_data(tmp_path):
    for path, message in [
        (tmp_path, "is a directory"),
        (tmp_path / "no.csv", "does not exist"),
        (os.devnull, "not a regular file"),
    ]:
        with pytest.raises(DataError, match=message):
            open_source(path)
    with pytest.raises(DataError, match="cannot be opened"):
        open_source("x" * 10_000)
    with pytest.raises(UsageError, match="got int"):
        open_source(3)


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may read every file")
def test_unreadable_file(tmp_path):
    path = tmp_path / "data.csv"
    path.write_text("x,y\n1,2\n")
    path.chmod(0)
    with pytest.raises(DataError, match="permission denied"):
        open_source(path)


def test_parquet(tmp_path):
    path = tmp_path / "data.bin"
    pl.DataFrame({"x": [1, None, 3], "y": [2.0, 1.0, 4.5], "z": ["a", "b", "c"]}).write_parquet(path)
    source = open_source(path)
    table = source.read(["x", "y"], "drop")
    assert {name: column.tolist() for name, column in table.columns.items()} == PLAIN
    assert table.dropped == 1
    with pytest.raises(DataError, match="column 'z': holds String"):
        source.read(["z"], "drop")
    cut = tmp_path / "cut.parquet"
    cut.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(DataError, match="cannot be read as Parquet"):
        open_source(cut)
    cut.write_bytes(b"hello")
    with pytest.raises(DataError, match="not a Parquet file"):
        open_source(cut)


def test_arrays_and_frames():
    for data in (PLAIN, pl.DataFrame(PLAIN), {"x": np.array([[1], [3]]), "y": (2, 4.5)}):
        assert open_source(data).read(["x", "y"], "drop").columns["y"].tolist() == [2.0, 4.5]
    with pytest.raises(DataError, match="equally long"):
        open_source({"x": [1], "y": [1, 2]})
    with pytest.raises(DataError, match="no columns"):
        open_source({})
    with pytest.raises(DataError, match="not numbers"):
        open_source({"x": ["a"]}).read(["x"], "drop")
    with pytest.raises(DataError, match="one real number a row"):
        open_source({"x": [1j]}).read(["x"], "drop")


@given(st.lists(st.text(max_size=12), max_size=8))
def test_every_label_becomes_a_name_of_its_own(labels):
    names = usable_names(labels)
    assert len(set(names)) == len(names) == len(labels)
    for name in names:
        parse(name)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    rows=st.lists(
        st.tuples(st.floats(allow_nan=False, allow_infinity=False), st.floats(allow_nan=False, allow_infinity=False)), min_size=1
    ),
    separator=st.sampled_from([",", ";", "\t"]),
    newline=st.sampled_from(["\n", "\r\n"]),
    header=st.booleans(),
    mark=st.sampled_from(["", "\ufeff"]),
    quote=st.booleans(),
    comma=st.booleans(),
    blank=st.booleans(),
)
def test_written_numbers_are_read_back_to_the_last_bit(tmp_path, rows, separator, newline, header, mark, quote, comma, blank):
    comma = comma and separator != ","

    def cell(number):
        # A point or comma in every number, so that the decimal mark shows.
        text = f"{number!r}" if "." in repr(number) or "e" not in repr(number) else repr(number).replace("e", ".0e")
        text = text.replace(".", ",") if comma else text
        return f'"{text}"' if quote else text

    lines = [separator.join(map(cell, row)) for row in rows]
    if comma and all(
        text.strip('"').split(",")[0] not in ("0", "-0") and len(text.split(",")[1].strip('"')) == 3
        for r in rows
        for text in map(cell, r)
    ):
        return
    content = mark + newline.join((["x" + separator + "y"] if header else []) + (["", *lines, ""] if blank else lines)) + newline
    columns, _ = read(tmp_path / "data.csv", content)
    assert list(zip(columns["x"], columns["y"], strict=True)) == rows


@given(st.binary(max_size=400) | st.text('0123456789,;\n"x.#\t -', max_size=200).map(str.encode))
@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_file_is_read_or_refused(tmp_path, content):
    path = tmp_path / "data.csv"
    path.write_bytes(content)
    # Anything but a refusal that is foreseen fails the test.
    with contextlib.suppress(DataError):
        source = open_source(path)
        source.read(source.names, "drop")
