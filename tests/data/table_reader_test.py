import json
import tracemalloc

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from sentiment.data.labelled_rows import LabelledRows, read_labelled, read_texts
from sentiment.data.table_reader import column_names, read_rows, table_suffix
from sentiment.errors import InputError


@pytest.fixture
def make(tmp_path):
    """Writes a file of the given content: bytes, a string, or Parquet columns."""

    def make(name, content):
        path = tmp_path / name
        if isinstance(content, dict):
            pq.write_table(pa.table(content), path)
        else:
            path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    return make


def read_all(path):
    """Returns the good rows and the bad ones."""
    bad = []
    return list(read_rows(path, on_bad_row=lambda *row: bad.append(row))), bad


def labelled(path, **options):
    return read_labelled(path, text_column="text", label_column="label", **options)


def jsonl(*rows):
    return "".join(json.dumps(row) + "\n" for row in rows)


# --- Files as a whole


@pytest.mark.parametrize("name", ["a.txt", "a", "a.csv.gz", "a.xlsx"])
def test_other_suffix_lists_the_accepted_ones(make, name):
    with pytest.raises(InputError, match=r"\.csv, \.tsv, \.jsonl, \.parquet"):
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
    assert "iconv -f WINDOWS-1252 -t UTF-8" in str(e.value)


def test_utf8_cut_off_at_the_end(make):
    with pytest.raises(InputError, match="line 2: not UTF-8"):
        read_all(make("a.csv", b"text\ncaf\xc3"))


def test_utf16_is_named_in_the_conversion(make):
    with pytest.raises(InputError, match="iconv -f UTF-16"):
        read_rows(make("a.csv", "text\na\n".encode("utf-16")))


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
        column_names(make("bad.jsonl", "\n[]\n"))


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


def test_jsonl_row_without_a_key_is_a_bad_row_even_the_first(make):
    path = make("a.jsonl", 'broken\n{"a": 1}\n{"b": 1}\n{"b": 2, "a": 3}\n')
    bad = []
    rows = list(read_rows(path, ["a"], lambda *row: bad.append(row)))
    assert rows == [(2, {"a": 1}), (4, {"b": 2, "a": 3})]
    assert [line for line, _ in bad] == [1, 3]
    assert bad[1][1] == "no column 'a'"
    bad.clear()
    rows = list(read_rows(path, ["b"], lambda *row: bad.append(row)))
    assert [line for line, _ in rows] == [3, 4]
    assert bad[1] == (2, "no column 'b'")
    with pytest.raises(InputError, match=r"no column 'c'\. It has: 'a', 'b'"):
        read_rows(path, ["c"])


def test_jsonl_of_bad_lines_only_reports_them(make):
    bad = []
    path = make("a.jsonl", "[]\n{\n")
    assert list(read_rows(path, ["text"], lambda *row: bad.append(row))) == []
    assert [line for line, _ in bad] == [1, 2]


def test_repeated_column(make):
    with pytest.raises(InputError, match="several columns named 'b'"):
        read_rows(make("a.csv", "a,b,b\n1,2,3\n"))
    table = pa.Table.from_arrays([pa.array([1]), pa.array([2])], ["b", "b"])
    path = make("a.parquet", b"")
    pq.write_table(table, path)
    with pytest.raises(InputError, match="several columns named 'b'"):
        column_names(path)


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


def test_text_after_a_closing_quote(make):
    rows, bad = read_all(make("a.csv", 'a,b\n"x" y,1\n2,3\n'))
    assert [line for line, _ in bad] == [2]
    assert rows == [(3, {"a": "2", "b": "3"})]


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
    """200,000 rows never are in memory together."""
    path, count, text = tmp_path / f"a.{suffix}", 200_000, "some text " * 5
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


# --- Labelled rows


def test_labelled_rows(make):
    result = labelled(make("a.csv", "id,label,text\n1,pos,a\n2, neg ,\n3,pos, c \n"))
    assert isinstance(result, LabelledRows)
    assert result.texts == ["a", "", " c "]
    assert result.labels.dtype == np.int32
    assert result.labels.tolist() == [1, 0, 1]
    assert result.label_names == ("neg", "pos")
    assert result.num_skipped == 0
    with pytest.raises(AttributeError):
        result.texts = []


def test_integer_labels_sort_as_numbers(make):
    result = labelled(make("a.csv", "text,label\na,10\nb,2\nc,-1\nd,2\n"))
    assert result.label_names == ("-1", "2", "10")
    assert result.labels.tolist() == [2, 1, 0, 1]


def test_mixed_labels_sort_as_text(make):
    result = labelled(make("a.csv", "text,label\na,10\nb,2\nc,x\nd,02\n"))
    assert result.label_names == ("02", "10", "2", "x")


def test_spellings_of_an_integer_are_one_label(make):
    rows = [{"text": "a", "label": label} for label in (1, "1", 1.0, " 1 ", 0, True)]
    result = labelled(make("a.jsonl", jsonl(*rows[:-1])))
    assert result.label_names == ("0", "1")
    assert result.labels.tolist() == [1, 1, 1, 1, 0]
    assert labelled(make("a.jsonl", jsonl(*rows))).label_names == ("0", "1", "True")
    path = make("a.parquet", {"text": ["a", "b"], "label": [1.0, 0.0]})
    assert labelled(path).label_names == ("0", "1")


def test_label_names_and_indices(make):
    labels = ["pos", " neg ", 0, "1", 1.0, "0"]
    path = make("a.jsonl", jsonl(*({"text": "a", "label": n} for n in labels)))
    result = labelled(path, label_names=["neg", "pos"])
    assert result.labels.tolist() == [1, 0, 0, 1, 1, 0]
    assert result.labels.dtype == np.int32
    assert result.label_names == ("neg", "pos")


@pytest.mark.parametrize(
    "label", [True, False, 2, -1, 0.5, "POS", "other", [1], {"a": 1}, "1_0", "\u0661"]
)
def test_label_outside_the_names_is_a_bad_row(make, label):
    rows = [{"text": "a", "label": "pos"}, {"text": "b", "label": label}]
    path = make("a.jsonl", jsonl(*rows))
    with pytest.raises(InputError, match=r"\n  line 2: label"):
        labelled(path, label_names=("neg", "pos"))


def test_names_that_are_integers_win_over_indices(make):
    stars, path = ("1", "2", "3"), make("a.csv", "text,label\na,1\nb,3.0\n")
    assert labelled(path, label_names=stars).labels.tolist() == [0, 2]
    with pytest.raises(InputError, match="line 2: label '0'"):
        labelled(make("a.csv", "text,label\na,0\n"), label_names=stars)


@pytest.mark.parametrize("label", [None, "", "  ", float("nan"), ["a"], {"a": 1}])
def test_missing_or_nested_label_is_a_bad_row(make, label):
    rows = [{"text": "a", "label": "x"}, {"text": "b", "label": label}]
    result = labelled(make("a.jsonl", jsonl(*rows)), skip_bad_rows=True)
    assert (result.texts, result.label_names) == (["a"], ("x",))
    assert result.num_skipped == 1


def test_bytes_of_parquet_are_neither_text_nor_label(make):
    path = make("a.parquet", {"text": ["a", "b"], "label": [b"x", None]})
    with pytest.raises(InputError, match=r"row 1: label b'x'.*\n  row 2: no label"):
        labelled(path)


@pytest.mark.parametrize(("text", "reason"), [(None, "no text"), (5, "text 5")])
def test_text_that_is_no_string_is_a_bad_row(make, text, reason):
    rows = [{"text": "a", "label": 0}, {"text": text, "label": 1}]
    path = make("a.jsonl", jsonl(*rows))
    with pytest.raises(InputError, match=f"line 2: {reason}"):
        labelled(path)
    # The label of a bad row makes no class.
    assert labelled(path, skip_bad_rows=True).label_names == ("0",)


BAD = 'text,label\n"a\nb",pos\nc\nd,\ne,"open\nf,neg\n'


def test_bad_rows_are_one_error_in_file_order(make):
    with pytest.raises(InputError) as error:
        labelled(make("a.csv", BAD))
    message = str(error.value)
    assert "a.csv" in message
    assert "--skip_bad_rows" in message
    lines = message.splitlines()[1:]
    assert [line.split(":")[0] for line in lines] == [
        "  line 4",
        "  line 5",
        "  line 6",
    ]
    assert "more" not in message


def test_bad_rows_are_skipped_and_counted(make):
    result = labelled(make("a.csv", BAD), skip_bad_rows=True)
    assert result.texts == ["a\nb", "f"]
    assert result.labels.tolist() == [1, 0]
    assert result.num_skipped == 3


@pytest.mark.parametrize(("count", "more"), [(10, ""), (13, "and 3 more")])
def test_ten_bad_rows_are_shown(make, count, more):
    path = make("a.csv", "text,label\na,x\n" + "b\n" * count)
    with pytest.raises(InputError, match=f"bad rows: {count}") as error:
        labelled(path)
    message = str(error.value)
    assert message.count("  line ") == 10
    assert "line 12: " in message
    assert "line 13: " not in message
    assert message.endswith(more) and ("more" in message) == bool(more)


def test_no_usable_row(make):
    path = make("a.csv", "text,label\na\nb,\n")
    with pytest.raises(InputError, match=r"no usable row\.\n  line 2: "):
        labelled(path, skip_bad_rows=True)


def test_many_labels_name_the_column(make):
    path = make("a.csv", "text,label\n" + "".join(f"a,x{n}\n" for n in range(100)))
    assert len(labelled(path).label_names) == 100
    path.write_text(path.read_text() + "a,y\n")
    with pytest.raises(InputError, match="column 'label' has more than 100"):
        labelled(path)
    names = [*(f"x{n}" for n in range(100)), "y"]
    assert labelled(path, label_names=names).labels.tolist() == list(range(101))


def test_missing_label_column(make):
    with pytest.raises(InputError, match="no column 'label'"):
        labelled(make("a.csv", "text,stars\na,1\n"))


# --- Texts


def test_texts_are_lines_or_a_column(make):
    assert read_texts(make("a.txt", "one\n\ntwo\n"), "text") == (["one", "two"], 0)
    assert read_texts(make("a.csv", "text\none\n"), "text") == (["one"], 0)


@pytest.mark.parametrize("name", ["a.json", "folder"])
def test_other_files_of_texts_are_refused_with_those_that_can_be_read(tmp_path, name):
    with pytest.raises(
        InputError, match=r"\.csv, .*or from \.txt with one text a line"
    ):
        read_texts(tmp_path / name, "text")
