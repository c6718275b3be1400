"""Files larger than the memory allowed."""

import json

import numpy as np
import polars as pl
import pytest

from rmsprop.fit import DataError, UsageError, fit
from tests.tolerances import RELATIVE

N = 60_000
SHARE = RELATIVE["fit, streamed"].share


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    rng = np.random.default_rng(11)
    x = rng.uniform(0, 4, N)
    y = 3 * np.exp(-0.8 * x) + 0.5 + 0.05 * rng.standard_normal(N)
    x[123] = np.nan
    frame = pl.DataFrame({"x": x, "y": y})
    folder = tmp_path_factory.mktemp("stream")
    frame.write_parquet(folder / "data.parquet", row_group_size=7_000)
    frame.write_csv(folder / "data.csv")
    return folder


MODEL = "y = a*exp(-b*x) + c"
START = {"a": 1, "b": 1, "c": 1}


@pytest.mark.parametrize("name", ["data.parquet", "data.csv"])
def test_pieces_give_the_same_answer_as_memory(files, name):
    whole = fit(files / name, MODEL, start=START, epochs=200)
    pieces = fit(files / name, MODEL, start=START, epochs=8, memory=200_000)
    assert any("larger than the memory allowed: read in" in note for note in pieces.notes)
    assert any("1 rows with a missing" in note for note in pieces.notes)
    assert pieces.polish == "not polished: the file is larger than the memory allowed"
    assert pieces.statistics.n == whole.statistics.n == N - 1
    assert pieces.rss == pytest.approx(whole.rss, rel=SHARE)
    for name_, p in pieces.parameters.items():
        assert p.value == pytest.approx(whole.parameters[name_].value, rel=SHARE)
        assert p.stderr == pytest.approx(whole.parameters[name_].stderr, rel=SHARE)
    assert pieces.r2 == pytest.approx(whole.r2, rel=SHARE)
    json.loads(pieces.to_json())


def test_csv_and_parquet_pieces_agree_to_the_last_bit(files):
    runs = [fit(files / name, MODEL, start=START, epochs=2, memory=200_000) for name in ("data.parquet", "data.csv")]
    assert runs[0].parameters == runs[1].parameters


def test_pieces_refuse_what_they_cannot_do(files, tmp_path):
    with pytest.raises(UsageError, match="restarts needs all rows in memory"):
        fit(files / "data.csv", MODEL, memory=200_000, schedule="restarts")
    with pytest.raises(UsageError, match="recipe article needs all rows"):
        fit(files / "data.csv", "y = a*x + b", memory=200_000, recipe="article")
    with pytest.raises(DataError, match="1 rows have a missing"):
        fit(files / "data.parquet", MODEL, memory=200_000, missing="refuse")
    bad = tmp_path / "bad.csv"
    bad.write_bytes((files / "data.csv").read_bytes() + b"1,two\n")
    with pytest.raises(DataError, match=f"line {N + 2}, column 'y': 'two'"):
        fit(bad, MODEL, memory=200_000)
