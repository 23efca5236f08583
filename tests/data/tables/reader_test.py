import json
import tracemalloc

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from sentiment.config import TableConfig
from sentiment.data.tables.reader import Table, table_suffix
from sentiment.errors import InputError
from tests.data.tables.odd_files import odd_files


def read_rows(path, required_columns=(), on_bad_row=None, **options):
    table = Table(path, TableConfig(**options))
    for name in required_columns:
        table.key(name)
    return table.rows(on_bad_row)


def column_names(path, **options):
    return list(Table(path, TableConfig(**options)).header)


def read_all(path):
    """Returns the good rows and the bad ones."""
    bad = []
    return list(read_rows(path, on_bad_row=lambda *row: bad.append(row))), bad


def jsonl(*rows):
    return "".join(json.dumps(row) + "\n" for row in rows)


# --- Files as a whole


@pytest.mark.parametrize("name", ["a", "a.doc", "a.doc.gz", "a.gz"])
def test_other_suffix_lists_the_accepted_ones(make, name):
    with pytest.raises(InputError, match=r"\.csv, .*\.parquet, \.xlsx.*\.gz, .*\.zip"):
        read_rows(make(name, "text\na\n"))


def test_suffix_is_case_insensitive(make):
    assert table_suffix("A.Csv") == ".csv"
    assert list(read_rows(make("A.CSV", "text\na\n"))) == [(2, {"text": "a"})]
    assert list(read_rows(make("A.Parquet", {"x": [1]}))) == [(1, {"x": 1})]


@pytest.mark.parametrize("suffix", ["csv", "tsv", "jsonl", "parquet"])
def test_missing_file_and_folder(tmp_path, suffix):
    with pytest.raises(InputError, match="No such file"):
        read_rows(tmp_path / f"none.{suffix}")
    (tmp_path / f"folder.{suffix}").mkdir()
    with pytest.raises(InputError, match=r"(?i)is a directory"):
        read_rows(tmp_path / f"folder.{suffix}")


@pytest.mark.parametrize(
    ("name", "content"),
    [
        *((f"zero.{suffix}", b"") for suffix in ("csv", "tsv", "jsonl", "parquet")),
        ("bom.csv", b"\xef\xbb\xbf"),
        ("bom.jsonl", b"\xef\xbb\xbf"),
        ("header.csv", "text,label\n"),
        ("header.tsv", "text\tlabel\n\n\n"),
        ("blank.csv", "\n\n"),
        ("blank.jsonl", "\n  \n"),
        ("header.parquet", {"text": pa.array([], pa.string())}),
    ],
)
def test_file_without_rows(make, name, content):
    path = make(name, content)
    with pytest.raises(InputError, match=name):
        list(read_rows(path, on_bad_row=lambda *_: None))


def test_broken_parquet(make):
    with pytest.raises(InputError, match=r"a\.parquet cannot be read"):
        read_rows(make("a.parquet", b"PAR1 and nothing more"))


def test_damaged_parquet_page_is_an_input_error(make):
    path = make("a.parquet", {"text": [f"{n} text" for n in range(5000)]})
    content = bytearray(path.read_bytes())
    content[4:2000] = bytes(1996)
    path.write_bytes(content)
    with pytest.raises(InputError, match="cannot be read"):
        list(read_rows(path))


@pytest.mark.parametrize("suffix", ["csv", "jsonl"])
def test_latin1_is_fatal_with_line_and_conversion(make, suffix):
    head, tail = {"csv": (b"text\n", b""), "jsonl": (b'{"text": "', b'"}')}[suffix]
    good = b'"two\nlines"\n' if suffix == "csv" else b'{"text": "a"}\n\n'
    bad = head.strip(b"\n") + "caf\xe9".encode("latin-1") + tail + b"\n"
    start = head if suffix == "csv" else b""
    path = make(f"a.{suffix}", start + good * 5000 + bad + bad)
    line = 10_002 if suffix == "csv" else 10_001
    with pytest.raises(InputError, match=rf"a\.{suffix}, line {line}: not UTF-8") as e:
        read_all(path)
    assert "--encoding=cp1252 reads that line as" in str(e.value)
    assert "café" in str(e.value)


def test_utf8_cut_off_at_the_end(make):
    with pytest.raises(InputError, match="line 2: not UTF-8"):
        read_all(make("a.csv", b"text\ncaf\xc3"))


@pytest.mark.parametrize(
    ("name", "content"),
    [("a.csv", "text\na\n"), ("a.tsv", '"text"\na\n'), ("a.jsonl", '{"text": "a"}')],
)
def test_byte_order_mark_is_no_part_of_the_first_column(make, name, content):
    path = make(name, b"\xef\xbb\xbf" + content.encode())
    assert column_names(path) == ["text"]
    assert [row for _, row in read_rows(path)] == [{"text": "a"}]


# --- Columns


def test_column_names(make):
    assert column_names(make("a.csv", "b,a, c\n1,2,3\n")) == ["b", "a", " c"]
    assert column_names(make("a.tsv", "\nb\ta,c\n1\t2\n")) == ["b", "a,c"]
    content = '[]\n{"b": 1, "a": 2}\n{"z": 1}\n'
    assert column_names(make("a.jsonl", content)) == ["b", "a", "z"]
    assert column_names(make("a.parquet", {"b": [1], "a": [2]})) == ["b", "a"]
    with pytest.raises(InputError, match=r"no columns\. line 2: must be a JSON object"):
        read_rows(make("bad.jsonl", "\n[]\n"), ["text"])


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.csv", "body,stars\na,b\n"),
        ("a.tsv", "body\tstars\na\tb\n"),
        ("a.jsonl", jsonl({"body": "a", "stars": 1})),
        ("a.parquet", {"body": ["a"], "stars": [1]}),
    ],
)
def test_missing_column_lists_columns_before_any_row(make, name, content):
    path = make(name, content)
    with pytest.raises(InputError, match=r"no column 'text'.*'body', 'stars'"):
        read_rows(path, ["body", "text"])
    assert len(list(read_rows(path, ["stars", "body"]))) == 1


def test_jsonl_rows_may_have_other_keys_even_the_first(make):
    path = make("a.jsonl", 'broken\n{"a": 1}\n{"b": 1}\n{"b": 2, "a": 3}\n')
    bad = []
    rows = list(read_rows(path, ["b"], lambda *row: bad.append(row)))
    assert rows == [(2, {"a": 1}), (3, {"b": 1}), (4, {"b": 2, "a": 3})]
    assert [line for line, _ in bad] == [1]
    with pytest.raises(InputError, match=r"no column 'c'\. It has: 'a', 'b'"):
        read_rows(path, ["c"])


def test_jsonl_of_bad_lines_only_reports_them(make):
    bad = []
    path = make("a.jsonl", "[]\n{\n")
    assert list(read_rows(path, [], lambda *row: bad.append(row))) == []
    assert [line for line, _ in bad] == [1, 2]


def test_only_a_column_that_is_used_must_be_the_one_of_its_name(make):
    path = make("a.csv", "a,b,b,b.1,,\n1,2,3,4,5,6\n")
    row = {"a": "1", "b": "2", "b.2": "3", "b.1": "4", "": "5", ".1": "6"}
    assert list(read_rows(path, ["a", "b.1"])) == [(2, row)]
    assert column_names(path) == ["a", "b", "b", "b.1", "", ""]
    with pytest.raises(InputError, match="several columns named 'b'"):
        read_rows(path, ["b"])
    table = pa.Table.from_arrays([pa.array([n]) for n in range(3)], ["a", "b", "b"])
    path = make("a.parquet", b"")
    pq.write_table(table, path)
    assert list(read_rows(path, ["a"])) == [(1, {"a": 0, "b": 1, "b.1": 2})]
    with pytest.raises(InputError, match="several columns named 'b'"):
        read_rows(path, ["b"])


def test_bad_header_is_fatal(make):
    with pytest.raises(InputError, match=r"a\.csv, line 2: bad quoting"):
        read_rows(make("a.csv", '\n"a" b,c\n1,2\n'), on_bad_row=lambda *_: None)


# --- Rows


def test_line_numbers_after_quoted_newlines(make):
    content = 'text,label\n"a\nb\r\nc",1\r\n\n"d ""e"", f",2\n"g\n\nh",3\ni,4'
    assert list(read_rows(make("a.csv", content))) == [
        (2, {"text": "a\nb\r\nc", "label": "1"}),
        (6, {"text": 'd "e", f', "label": "2"}),
        (7, {"text": "g\n\nh", "label": "3"}),
        (10, {"text": "i", "label": "4"}),
    ]


def test_lines_after_a_header_that_spans_lines(make):
    assert list(read_rows(make("a.csv", '"a\nb"\nc\n'))) == [(3, {"a\nb": "c"})]


def test_old_mac_line_ends(make):
    rows, bad = read_all(make("a.csv", "a,b\r1,2\r3\r4,5\r"))
    assert [line for line, _ in rows] == [2, 4]
    assert [line for line, _ in bad] == [3]


def test_tsv_has_commas_and_quoted_tabs(make):
    path = make("a.tsv", 'a\tb\n1,5\t"x\ty"\n')
    assert list(read_rows(path)) == [(2, {"a": "1,5", "b": "x\ty"})]


def test_wrong_number_of_fields(make):
    rows, bad = read_all(make("a.csv", 'a,b\n1,2\n"x\ny",2,3\n4\n5,6\n'))
    assert [line for line, _ in rows] == [2, 6]
    assert bad == [(3, "3 fields instead of 2"), (5, "1 fields instead of 2")]


def test_blank_lines_are_skipped_but_count(make):
    rows, bad = read_all(make("a.csv", "\na,b\n\n   \n1,2\n\n"))
    assert (rows, bad) == ([(5, {"a": "1", "b": "2"})], [])
    rows, bad = read_all(make("a.jsonl", '\n  \n{"a": 1}\n\n'))
    assert (rows, bad) == ([(3, {"a": 1})], [])


def test_empty_and_white_values_of_a_single_column_are_rows(make):
    rows, _ = read_all(make("a.csv", 'text\n""\n\n" "\n'))
    assert rows == [(2, {"text": ""}), (4, {"text": " "})]


def test_values_come_back_unchanged(make):
    path = make("a.csv", "a,b,c,d\n007,1.50, x ,NULL\n")
    row = {"a": "007", "b": "1.50", "c": " x ", "d": "NULL"}
    assert list(read_rows(path)) == [(2, row)]
    row = {"a": 1, "b": 1.5, "c": None, "d": [{"e": ["ü"]}], "f": ""}
    assert list(read_rows(make("a.jsonl", jsonl(row)))) == [(1, row)]
    path = make("a.parquet", {name: [value] for name, value in row.items()})
    assert list(read_rows(path)) == [(1, row)]


def test_open_quote_at_the_end_is_reported_where_it_began(make):
    rows, bad = read_all(make("a.csv", 'a,b\n"x\ny",2\n3,"open\n5,6\n\n7,8\n'))
    assert [line for line, _ in bad] == [4]
    assert "quote" in bad[0][1]
    assert rows[1:] == [(5, {"a": "5", "b": "6"}), (7, {"a": "7", "b": "8"})]


def test_open_quote_in_the_last_row(make):
    rows, bad = read_all(make("a.csv", 'a\n1\n"open'))
    assert (len(rows), [line for line, _ in bad]) == (1, [3])


def test_open_quote_does_not_take_rows_up_to_the_next_quote(make):
    rows, bad = read_all(make("a.csv", 'a,b\n1,"open\n3,4\n5,"six"\n7,8\n'))
    assert [line for line, _ in bad] == [2]
    assert [(line, row["b"]) for line, row in rows] == [(3, "4"), (4, "six"), (5, "8")]


def test_many_open_quotes(make):
    """Reading a line again must neither recurse nor lose count."""
    rows, bad = read_all(make("a.csv", "a,b\n" + '1,"open\n2,3\n' * 20_000))
    assert [line for line, _ in bad] == list(range(2, 40_002, 2))
    assert [line for line, _ in rows] == list(range(3, 40_002, 2))


def test_text_after_a_closing_quote_is_text_where_that_makes_sense(make):
    rows, bad = read_all(make("a.csv", 'a,b\n"x" y,1\n"x, z" y,1\n2,3\n'))
    assert [line for line, _ in bad] == [3]
    assert rows == [(2, {"a": '"x" y', "b": "1"}), (4, {"a": "2", "b": "3"})]


def test_quotes_inside_a_plain_field_are_text(make):
    path = make("a.csv", 'a\nsaid "hi"\n')
    assert list(read_rows(path)) == [(2, {"a": 'said "hi"'})]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ('{"a": 1', "column 8"),
        ('{"a": 1} {"a": 2}', "Extra data"),
        ("[1]", "a list"),
        ("null", "a NoneType"),
        ("[" * 100_000, "broken JSON"),
        ('{"a": ' + "1" * 5000 + "}", "broken JSON"),
    ],
)
def test_bad_json(make, text, reason):
    rows, bad = read_all(make("a.jsonl", f'{{"a": 0}}\n\n{text}\n{{"a": 3}}\n'))
    assert [line for line, _ in rows] == [1, 4]
    assert [line for line, _ in bad] == [3]
    assert reason in bad[0][1]


@pytest.mark.parametrize(
    ("name", "content", "line"),
    [
        ("a.csv", 'a,b\n"1\n2",3\n4\n', 4),
        ("a.csv", 'a,b\n1,2\n3,"4\n', 3),
        ("a.tsv", "a\tb\n1\t2\n\n3\n", 4),
        ("a.jsonl", '{"a": 1}\n\n{"a"}\n', 3),
    ],
)
def test_bad_row_without_callback_names_file_and_line(make, name, content, line):
    rows = read_rows(make(name, content))
    assert next(rows)
    with pytest.raises(InputError, match=rf"{name}, line {line}: "):
        list(rows)


def test_line_separators_of_unicode_end_no_line(make):
    text = "a\u2028b\x85c\x0bd\x1ce"
    assert list(read_rows(make("a.csv", f"text\n{text}\nz\n")))[1] == (3, {"text": "z"})
    path = make("a.jsonl", json.dumps({"text": "a\u2028b"}, ensure_ascii=False))
    assert list(read_rows(path)) == [(1, {"text": "a\u2028b"})]


def test_nul_is_a_character(make):
    assert list(read_rows(make("a.csv", "a,b\nx\0y,\0\n"))) == [
        (2, {"a": "x\0y", "b": "\0"})
    ]
    assert list(read_rows(make("a.jsonl", jsonl({"a": "\0"})))) == [(1, {"a": "\0"})]


@pytest.mark.parametrize("suffix", ["csv", "jsonl"])
def test_field_of_five_megabytes(make, suffix):
    text = "word, \n" * 750_000
    content = f'text\n"{text}"\nb\n' if suffix == "csv" else jsonl({"text": text})
    rows = list(read_rows(make(f"a.{suffix}", content)))
    assert rows[0][1]["text"] == text
    if suffix == "csv":
        assert rows[1] == (750_003, {"text": "b"})


def test_parquet_rows_are_numbered_across_batches(make):
    path = make("a.parquet", {"n": list(range(3000))})
    assert [(line, row["n"]) for line, row in read_rows(path)] == [
        (n + 1, n) for n in range(3000)
    ]


@pytest.mark.parametrize("suffix", ["csv", "jsonl", "parquet"])
def test_rows_stream(tmp_path, suffix):
    """60,000 rows never are in memory together."""
    path, count, text = tmp_path / f"a.{suffix}", 60_000, "some text " * 5
    if suffix == "parquet":
        table = pa.table({"text": [f"{n} {text}" for n in range(count)]})
        pq.write_table(table, path, row_group_size=10_000, use_dictionary=False)
        table = None
    else:
        line = f"{text}\n" if suffix == "csv" else f'{{"text": "{text}"}}\n'
        path.write_text(("text\n" if suffix == "csv" else "") + line * count)
    arrow = pa.total_allocated_bytes()
    tracemalloc.start()
    try:
        for number, (_, row) in enumerate(read_rows(path), 1):
            assert row
            if number % 1000 == 0:
                assert pa.total_allocated_bytes() - arrow < 6_000_000
        assert tracemalloc.get_traced_memory()[1] < 3_000_000
    finally:
        tracemalloc.stop()
    assert number == count


def test_rows_are_lazy(make):
    rows = read_rows(make("a.csv", "a\n" + "1\n" * 10 + '"open'))
    assert next(rows) == (2, {"a": "1"})


# --- Files as people keep them


def test_every_odd_file_is_read_as_what_it_holds(tmp_path):
    count, wrong = 0, []
    for file in odd_files():
        count += 1
        path = tmp_path / file.name
        path.write_bytes(file.content)
        table = Table(path, TableConfig(**file.options))
        text, label = table.key("text"), table.key("label")
        found = [
            (row[text], row[label]) if isinstance(row, dict) else row
            for _, row in table
        ]
        if found != file.rows:
            wrong.append((file, found))
        path.unlink()
    assert count == 7 * 4 * 4 * 3 * 4
    assert not wrong, f"{len(wrong)} of {count}, the first: {wrong[0]}"
