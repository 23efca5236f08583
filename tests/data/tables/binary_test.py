import pyarrow as pa
import pytest

from sentiment.config import TableConfig
from sentiment.data.tables.reader import Table
from sentiment.errors import InputError
from tests.data.tables.workbook import write_workbook

ROWS = [
    ["text", "label", "n"],
    ["Good.", "pos", 5],
    [None, "neg", 1.5],
    ["Bad.", "neg"],
]


def read(path, **options):
    return list(Table(path, TableConfig(**options)))


def test_a_sheet_is_a_table_with_the_rows_a_spreadsheet_shows(tmp_path):
    path = write_workbook(tmp_path / "a.xlsx", Data=[[], *ROWS[:2], [], *ROWS[2:]])
    assert Table(path).header == ("text", "label", "n")
    assert read(path) == [
        (3, {"text": "Good.", "label": "pos", "n": 5}),
        (5, {"text": None, "label": "neg", "n": 1.5}),
        (6, {"text": "Bad.", "label": "neg", "n": None}),
    ]
    assert isinstance(read(path)[0][1]["n"], int)


def test_empty_sheets_do_not_count_and_others_must_be_named(tmp_path):
    path = write_workbook(tmp_path / "a.xlsx", One=[], Two=ROWS, Three=[[]])
    assert len(read(path)) == 3
    path = write_workbook(tmp_path / "b.xlsx", One=ROWS[:2], Two=ROWS)
    with pytest.raises(InputError, match="2 sheets that are not empty: 'One', 'Two'"):
        read(path)
    assert len(read(path, sheet="One")) == 1
    with pytest.raises(InputError, match=r"no sheet 'x'\. It has: 'One', 'Two'"):
        read(path, sheet="x")


def test_what_is_no_workbook_is_said(make):
    for content in (b"", b"text\na\n", b"PK\x03\x04 and nothing more"):
        with pytest.raises(InputError, match=r"a\.xlsx cannot be read"):
            read(make("a.xlsx", content))


def test_columns_are_for_text_alone(tmp_path):
    path = write_workbook(tmp_path / "a.xlsx", Data=ROWS)
    with pytest.raises(InputError, match="--columns is for CSV"):
        read(path, columns=("text",))


def test_cells_beyond_the_last_name_are_kept(tmp_path):
    rows = [["text"], ["a", "more"], ["b"]]
    path = write_workbook(tmp_path / "a.xlsx", Data=rows)
    assert Table(path).header == ("text", "")
    assert [row for _, row in read(path)] == [
        {"text": "a", "": "more"},
        {"text": "b", "": None},
    ]


def test_a_header_inside_of_a_sheet_is_a_bad_row(tmp_path):
    path = write_workbook(tmp_path / "a.xlsx", Data=[*ROWS[:2], ROWS[0], *ROWS[2:]])
    assert read(path)[1][1].reason == "the header again"


def test_bytes_that_are_no_text_are_named_by_their_column(make):
    bad = pa.Array.from_buffers(
        pa.string(),
        1,
        [None, pa.py_buffer(b"\0\0\0\0\1\0\0\0"), pa.py_buffer(b"\xff")],
    )
    path = make("a.parquet", {"text": pa.array(["a"]), "b": bad})
    with pytest.raises(InputError, match="a value in column 'b' that Python cannot"):
        read(path)
