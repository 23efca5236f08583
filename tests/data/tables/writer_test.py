import datetime
import json
import os

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings, strategies

from sentiment.data.tables.reader import Table
from sentiment.data.tables.writer import TableWriter
from sentiment.errors import InputError

SUFFIXES = ["csv", "tsv", "jsonl", "parquet"]


def write(path, *chunks, **options):
    with TableWriter(path, **options) as writer:
        for chunk in chunks:
            writer.write(chunk)
    return path


def rows_of(path):
    return [row for _, row in Table(path).rows()]


@pytest.mark.parametrize("suffix", [*SUFFIXES, "CSV"])
def test_chunks_round_trip(tmp_path, suffix):
    rows = [
        {"z": 'a,"b"\tc\nd', "a": "\0", "m": "x\ry"},
        {"z": "", "a": " ü\u2028 ", "m": "\r\n"},
        {"z": '"', "a": "'", "m": "\ufeff"},
    ]
    path = write(tmp_path / f"a.{suffix}", rows[:2], [], rows[2:])
    assert rows_of(path) == rows
    assert [list(row) for row in rows_of(path)] == [["z", "a", "m"]] * 3
    assert os.listdir(tmp_path) == [path.name]


def test_exact_text(tmp_path):
    rows = [{"b": "ü", "a": None, "c": 0.1}]
    assert write(tmp_path / "a.csv", rows).read_bytes() == "b,a,c\nü,,0.1\n".encode()
    path = write(tmp_path / "a.tsv", rows)
    assert path.read_bytes() == "b\ta\tc\nü\t\t0.1\n".encode()
    path = write(tmp_path / "a.jsonl", rows)
    assert path.read_bytes() == '{"b": "ü", "a": null, "c": 0.1}\n'.encode()


def test_jsonl_and_parquet_keep_types(tmp_path):
    row = {"i": 1, "f": 1.0, "t": True, "n": [1, None], "d": {"k": "ü"}, "s": "1"}
    for suffix in ("jsonl", "parquet"):
        (read,) = rows_of(write(tmp_path / f"a.{suffix}", [row]))
        assert read == row
        assert [*map(type, read.values())] == [*map(type, row.values())]


def test_csv_holds_nested_values_as_json(tmp_path):
    nested = {"k": ["ü", None, True]}
    (row,) = rows_of(write(tmp_path / "a.csv", [{"d": nested, "l": ["x"], "t": "x"}]))
    assert json.loads(row["d"]) == nested
    assert "ü" in row["d"]
    assert row["l"] == '["x"]'
    assert row["t"] == "x"


def test_values_json_does_not_know(tmp_path):
    row = {
        "f": np.float32(0.5),
        "a": np.array([1, 2]),
        "d": datetime.date(2024, 5, 1),
    }
    (read,) = rows_of(write(tmp_path / "a.jsonl", [row]))
    assert read == {"f": 0.5, "a": [1, 2], "d": "2024-05-01"}


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_half_a_character_is_replaced_in_every_format(tmp_path, suffix):
    rows = [{"a": "b"}, {"a": "x\ud83d\ude00\udc00y"}]
    found = rows_of(write(tmp_path / f"a.{suffix}", rows))
    assert found == [{"a": "b"}, {"a": "x\ufffd\ufffd\ufffdy"}]
    if suffix in ("jsonl", "parquet"):
        rows = [{"a": [{"k": "x\ud83d"}]}]
        assert rows_of(write(tmp_path / f"b.{suffix}", rows)) == [
            {"a": [{"k": "x\ufffd"}]}
        ]


# --- Columns and types


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_columns_of_the_first_chunk_in_order_of_the_first_row(tmp_path, suffix):
    rows = [{"b": "1", "a": "2"}, {"a": "3", "c": "4", "b": "5"}]
    path = write(tmp_path / f"a.{suffix}", rows, [{"a": "6", "b": "7"}])
    first, second, third = rows_of(path)
    assert list(second) == ["b", "a", "c"]
    assert (second["b"], second["c"], third["b"]) == ("5", "4", "7")
    empty = {"csv": "", "tsv": "", "parquet": None}
    if suffix == "jsonl":
        assert "c" not in first
        assert list(third) == ["b", "a"]
    else:
        assert (first["c"], third["c"]) == (empty[suffix], empty[suffix])


@pytest.mark.parametrize("suffix", ["csv", "tsv", "parquet"])
@pytest.mark.parametrize("options", [{}, {"columns": ["a"]}])
def test_new_column_is_named(tmp_path, suffix, options):
    with pytest.raises(InputError, match="'extra'"):
        write(tmp_path / f"a.{suffix}", [{"a": 1}], [{"a": 2, "extra": 3}], **options)
    assert os.listdir(tmp_path) == []


def test_jsonl_takes_new_columns(tmp_path):
    rows = [{"a": 1}, {"b": 2, "a": 3}]
    path = write(tmp_path / "a.jsonl", rows[:1], rows[1:])
    assert rows_of(path) == rows
    assert list(rows_of(path)[1]) == ["a", "b"]


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_columns_give_the_order(tmp_path, suffix):
    path = write(tmp_path / f"a.{suffix}", [{"a": "1", "b": "2"}], columns=["b", "a"])
    assert [list(row) for row in rows_of(path)] == [["b", "a"]]


@pytest.mark.parametrize(
    ("first", "later"),
    [
        (1, "x"),
        (1, 1.5),
        ([1], [float("nan")]),
        (True, 2),
        ("x", 3),
        ([1], ["x"]),
        ({"k": 1}, {"other": 1}),
        ([{"k": 1}], [{"k": 1, "other": 1}]),
        ({"k": {"l": 1}}, {"k": {"m": 1}}),
        (1, 1 << 70),
    ],
)
def test_parquet_value_that_does_not_fit_names_the_column(tmp_path, first, later):
    path = tmp_path / "a.parquet"
    with pytest.raises(InputError, match="column 'value'"):
        write(path, [{"a": 1, "value": first}], [{"a": 1, "value": later}])
    assert os.listdir(tmp_path) == []


def test_parquet_first_chunk_of_mixed_types_names_the_column(tmp_path):
    with pytest.raises(InputError, match="column 'v'"):
        write(tmp_path / "a.parquet", [{"v": 1}, {"v": "x"}])


def test_parquet_struct_without_fields(tmp_path):
    with pytest.raises(InputError, match="'v'"):
        write(tmp_path / "a.parquet", [{"v": {}}])
    assert os.listdir(tmp_path) == []


def test_parquet_nulls_of_the_first_chunk_count_as_strings(tmp_path):
    path = write(tmp_path / "a.parquet", [{"v": None}], [{"v": "x"}])
    assert rows_of(path) == [{"v": None}, {"v": "x"}]


def test_parquet_schema(tmp_path):
    schema = pa.schema([("b", pa.float32()), ("a", pa.int16())])
    path = write(tmp_path / "a.parquet", [{"a": 1, "b": None}], schema=schema)
    assert pq.read_schema(path) == schema
    with pytest.raises(InputError, match="column 'a'"):
        write(path, [{"a": 70_000, "b": 1}], schema=schema, overwrite=True)
    with pytest.raises(InputError, match="'extra'"):
        write(path, [{"a": 1, "extra": 1}], schema=schema, overwrite=True)
    assert rows_of(path) == [{"b": None, "a": 1}]


# --- The file as a whole


def test_nothing_written_with_columns(tmp_path):
    columns = ["b", "a"]
    path = write(tmp_path / "a.csv", columns=columns)
    assert path.read_text() == "b,a\n"
    assert write(tmp_path / "a.tsv", [], columns=columns).read_text() == "b\ta\n"
    assert write(tmp_path / "a.jsonl", columns=columns).read_text() == ""
    table = pq.read_table(write(tmp_path / "a.parquet", columns=columns))
    assert (table.column_names, table.num_rows) == (columns, 0)
    schema = pa.schema([("n", pa.int8())])
    path = write(tmp_path / "b.parquet", schema=schema)
    assert pq.read_schema(path) == schema


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_nothing_written_without_columns(tmp_path, suffix):
    path = write(tmp_path / f"a.{suffix}")
    assert path.is_file()
    if suffix == "parquet":
        assert pq.read_table(path).num_rows == 0
    else:
        assert path.read_bytes() == b""


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
@pytest.mark.parametrize("suffix", SUFFIXES)
def test_exception_leaves_nothing(tmp_path, suffix, error):
    with (
        pytest.raises(error, match="stop"),
        TableWriter(tmp_path / f"a.{suffix}") as writer,
    ):
        writer.write([{"a": 1}])
        raise error("stop")
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_exception_keeps_the_file_there_was(tmp_path, suffix):
    path = write(tmp_path / f"a.{suffix}", [{"a": "old"}])
    with (
        pytest.raises(RuntimeError),
        TableWriter(path, overwrite=True) as writer,
    ):
        writer.write([{"a": "new"}])
        raise RuntimeError
    assert rows_of(path) == [{"a": "old"}]
    assert os.listdir(tmp_path) == [path.name]


def test_target_appears_at_the_end_only(tmp_path):
    path = tmp_path / "a.csv"
    with TableWriter(path) as writer:
        writer.write([{"a": 1}])
        assert not path.exists()
        assert len(os.listdir(tmp_path)) == 1  # on the same file system
    assert path.exists()


def test_rows_are_not_kept(tmp_path):
    with TableWriter(tmp_path / "a.jsonl") as writer:
        for _ in range(100):
            writer.write([{"a": "x" * 1000}])
        (temporary,) = tmp_path.iterdir()
        assert temporary.stat().st_size > 50_000


def test_existing_target_needs_overwrite(tmp_path):
    path = write(tmp_path / "a.csv", [{"a": "old"}])
    with pytest.raises(InputError, match=r"a\.csv exists.*--overwrite"):
        TableWriter(path)
    assert rows_of(path) == [{"a": "old"}]
    write(path, [{"a": "new"}], overwrite=True)
    assert rows_of(path) == [{"a": "new"}]


def test_constructor_names_what_is_wrong(tmp_path):
    with pytest.raises(InputError, match=str(tmp_path / "none")):
        TableWriter(tmp_path / "none" / "a.csv")
    with pytest.raises(InputError, match=r"\.csv, \.tsv, \.jsonl, \.parquet"):
        TableWriter(tmp_path / "a.txt")
    (tmp_path / "folder.csv").mkdir()
    with pytest.raises(InputError, match="is a folder"):
        TableWriter(tmp_path / "folder.csv", overwrite=True)


def test_file_is_as_readable_as_any_other(tmp_path):
    (tmp_path / "other").write_text("")
    path = write(tmp_path / "a.csv", [{"a": 1}])
    assert path.stat().st_mode == (tmp_path / "other").stat().st_mode


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_formulas_pass_unless_they_are_to_be_escaped(tmp_path, suffix):
    values = ["=1+1", "+cmd", "-2+3", "@x", " =1", "-5", "+1.5", "a=b", "plain", "'x"]
    rows = [{"text": value} for value in values]
    assert rows_of(write(tmp_path / f"a.{suffix}", rows)) == rows
    written = rows_of(write(tmp_path / f"b.{suffix}", rows, escape_formulas=True))
    expected = [f"'{value}" for value in values[:5]] + values[5:]
    escaped = [{"text": value} for value in expected]
    assert written == (escaped if suffix in ("csv", "tsv") else rows)


@pytest.mark.parametrize("suffix", SUFFIXES)
@given(
    cells=strategies.lists(
        strategies.tuples(
            strategies.text(strategies.characters(exclude_categories=("Cs",))),
            strategies.text(strategies.characters(exclude_categories=("Cs",))),
        ),
        min_size=1,
        max_size=6,
    )
)
@settings(max_examples=60, deadline=None)
def test_what_is_written_is_read_back(tmp_path_factory, suffix, cells):
    rows = [{"a": a, "b": b} for a, b in cells]
    path = tmp_path_factory.mktemp("tables") / f"a.{suffix}"
    found = rows_of(write(path, rows))
    assert found == [row for row in rows if row != {"a": "a", "b": "b"}]
