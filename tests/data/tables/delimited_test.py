import time

import pytest

from sentiment.config import TableConfig
from sentiment.data.tables.reader import Table
from sentiment.data.tables.rows import BadRow
from sentiment.errors import InputError


def read(path, **options):
    return list(Table(path, TableConfig(**options)))


def texts(path, **options):
    return [row["text"] for _, row in Table(path, TableConfig(**options)).rows()]


# --- Quotes


def test_a_text_that_begins_with_a_quote_is_a_row_of_its_own(make, caplog):
    path = make("a.tsv", 'text\tlabel\n"Great film\tpos\nends so "\tneg\nfine\tpos\n')
    assert texts(path) == ['"Great film', 'ends so "', "fine"]
    assert "lines 2 to 3: a quoted cell would hold a tab and a line end" in caplog.text
    merged = ["Great film\tpos\nends so ", "fine"]
    assert texts(path, quoting="csv") == merged
    assert texts(path, quoting="none") == ['"Great film', 'ends so "', "fine"]


def test_a_quote_that_never_closes_is_text_between_tabs(make):
    path = make("a.tsv", 'text\tlabel\n"Great film\tpos\nfine\tneg\n')
    assert texts(path) == ['"Great film', "fine"]


def test_between_commas_a_quote_that_never_closes_is_a_bad_row(make):
    rows = read(make("a.csv", 'text,label\n"Great film,pos\nfine,neg\n'))
    assert isinstance(rows[0][1], BadRow)
    assert rows[1] == (3, {"text": "fine", "label": "neg"})


@pytest.mark.parametrize("suffix", ["csv", "tsv"])
def test_quotes_escaped_by_a_backslash(make, suffix):
    separator = "," if suffix == "csv" else "\t"
    content = 'text,label\n"a \\"b\\", c",x\n"two\n\\"lines\\"",y\nz,x\n'
    path = make(f"a.{suffix}", content.replace(",", separator))
    assert texts(path) == [f'a "b"{separator} c', 'two\n"lines"', "z"]
    assert [line for line, _ in read(path)] == [2, 3, 5]


def test_without_quotes_a_backslash_is_a_character(make):
    path = make("a.tsv", 'text\tlabel\nsaid \\"wow\\"\tpos\n')
    assert texts(path) == ['said \\"wow\\"']


def test_a_quoted_cell_with_a_tab_and_a_line_end_stays_one_where_it_can(make, caplog):
    path = make("a.tsv", 'id\ttext\n1\t"a\tb\nc"\n2\td\n')
    assert texts(path) == ["a\tb\nc", "d"]
    assert "--quoting=none reads rows" in caplog.text


def test_escaped_quotes_merge_no_rows(make):
    rows = ['1,"x, 19\\"",pos', '2,a 20\\",neg', "3,c,pos"]
    path = make("a.csv", "\n".join(["id,text,label", *rows, ""]))
    found = [(row["text"], row["label"]) for _, row in read(path)]
    assert found == [('x, 19"', "pos"), ('a 20\\"', "neg"), ("c", "pos")]
    path = make("b.csv", 'text,label\n"The 19\\", wide screen",pos\n')
    assert texts(path) == ['The 19", wide screen']


def test_an_open_quote_that_closes_by_chance_takes_no_good_row_with_it(make):
    content = 'text,label\n"open,pos\nok,neg\n19", wide,neg\nend,pos\n'
    rows = read(make("a.csv", content))
    assert [line for line, row in rows if isinstance(row, BadRow)] == [2, 4]
    good = [row["text"] for _, row in rows if isinstance(row, dict)]
    assert good == ["ok", "end"]


def test_a_row_of_too_many_cells_does_not_take_the_file_with_it(make):
    """Reading each line up to the end of the file would be quadratic."""
    path = make("a.csv", "text,label\n" + 'a","c\n' * 20_000)
    begin = time.thread_time()
    assert len(read(path)) == 20_000
    assert time.thread_time() - begin < 20


def test_strict_quoting_guesses_nothing(make):
    path = make("a.csv", 'text,label\n"x" y,1\nz,2\n')
    assert [type(row) for _, row in read(path, quoting="csv")] == [BadRow, dict]


# --- Separators


@pytest.mark.parametrize(
    ("separator", "spoken"), [(";", "a semicolon"), ("\t", "a tab"), ("|", "'|'")]
)
def test_the_separator_is_what_the_header_has_most_of(make, separator, spoken, caplog):
    rows = [["text", "label"], ["a, b, c, d", "pos"]]
    content = "".join(separator.join(row) + "\n" for row in rows)
    with caplog.at_level("INFO", "sentiment"):
        assert texts(make("a.csv", content)) == ["a, b, c, d"]
    assert f"columns are separated by {spoken}" in caplog.text


def test_quoted_separators_do_not_count(make):
    assert texts(make("a.csv", 'text,"a;b;c"\nx;y,z\n')) == ["x;y"]
    assert texts(make("a.tsv", "text\tb\nx;y\tz\n")) == ["x;y"]


@pytest.mark.parametrize("given", ["#", "tab", "\\t"])
def test_a_separator_can_be_given(make, given):
    separator = "#" if given == "#" else "\t"
    content = f"text{separator}label\na,b{separator}x\n"
    assert texts(make("a.csv", content), delimiter=given) == ["a,b"]


@pytest.mark.parametrize("given", ["ab", '"', "\n", "\x1f", "\u00a0"])
def test_a_separator_is_one_character(given):
    with pytest.raises(InputError, match=r"--delimiter must be (one|no)"):
        TableConfig(delimiter=given)


def test_the_line_that_tells_a_spreadsheet_the_separator_is_no_row(make):
    rows = read(make("a.csv", "sep=;\r\ntext;label\r\na,b;x\r\n"))
    assert rows == [(3, {"text": "a,b", "label": "x"})]
    path = make("b.csv", "sep=;\ntext;label\na;x\n")
    assert texts(path, delimiter=";") == ["a"]


# --- Headers


def test_columns_name_those_of_a_file_without_header(make):
    path = make("a.csv", "\nI liked it,pos\nbad one,neg\n")
    rows = read(path, columns=("text", "label"))
    assert rows[0] == (2, {"text": "I liked it", "label": "pos"})
    assert len(rows) == 2
    with pytest.raises(
        InputError, match=r"2 columns in its first row, .* --columns names 1"
    ):
        read(path, columns=("text",))


def test_how_to_name_columns_is_said_also_where_the_header_looks_like_one(make):
    path = make("a.csv", "lovely soup,pos\ncold soup,neg\n")
    message = r"It has: 'lovely soup', 'pos'\. If the header is missing, name the 2"
    with pytest.raises(InputError, match=rf"{message} .*--columns=text,label"):
        Table(path).key("text")
    with pytest.raises(InputError, match=r"It has: 'a', 'b'\.$"):
        Table(path, TableConfig(columns=("a", "b"))).key("text")


def test_without_header_the_separator_is_what_most_lines_fit(make):
    columns = ("text", "label")
    path = make("a.tsv", "Good, nice, cheap\tpos\nbad\tneg\n")
    assert texts(path, columns=columns) == ["Good, nice, cheap", "bad"]
    path = make("b.csv", "Gut, sehr gut;pos\nschlecht;neg\n")
    assert texts(path, columns=columns) == ["Gut, sehr gut", "schlecht"]
    path = make("c.csv", '"Line one\nline two, x, y",pos\nb,neg\n')
    assert texts(path, columns=columns) == ["Line one\nline two, x, y", "b"]


def test_a_missing_header_is_noticed_and_little_of_the_row_shown(make):
    name = "Jane Doe of Springfield wrote this"
    path = make("a.csv", f"5,A long review that nobody wants to see here,{name}\n")
    with pytest.raises(InputError, match="looks like a row") as error:
        Table(path).key("text")
    assert "--columns=label,text,column_0" in str(error.value)
    assert name not in str(error.value)


def test_a_header_inside_of_the_file_is_a_bad_row_with_its_values(make):
    rows = read(make("a.csv", "text,label\na,x\ntext,label\n"))
    values = {"text": "text", "label": "label"}
    assert rows[1] == (3, BadRow("the header again", values))
    assert len(read(make("b.csv", "text\na\ntext\n"))) == 2


def test_names_differ_by_what_can_be_seen(make):
    path = make("a.csv", "\ufeff text\u200b ,label\na,x\n")
    assert Table(path).key("text") == "\ufeff text\u200b ".removeprefix("\ufeff")


# --- Plain text


def test_lines_of_text(make):
    assert read(make("a.txt", "one\n \ntwo\tb\r\n")) == [
        (1, {"text": "one"}),
        (3, {"text": "two\tb"}),
    ]


def test_a_table_of_text(make):
    content = "label\ttext\nx\tone\n"
    assert read(make("a.txt", content)) == [(2, {"label": "x", "text": "one"})]
    assert texts(make("b.txt", "text\tmore\nlast one\n")) == ["text\tmore", "last one"]
    rows = read(make("e.txt", "label\ttext\npos\tgood\tfilm\nneg\tbad\n"))
    assert [type(row) for _, row in rows] == [BadRow, dict]
    rows = read(make("c.txt", "x\tone\n"), columns=("label", "text"))
    assert rows == [(1, {"label": "x", "text": "one"})]
    assert texts(make("d.txt", "text;b\none;c\n"), delimiter=";") == ["one"]


def test_texts_stay_texts_whatever_is_said_of_tables_beside_them(make):
    lines = ["Great film, I loved it.", "Dull; and too long.", "Fine."]
    path = make("a.txt", "\n".join(lines))
    for options in (
        {"columns": ("label", "text")},
        {"delimiter": ";"},
        {"delimiter": ",", "columns": ("label", "text")},
    ):
        assert texts(path, **options) == lines


def test_fasttext(make):
    rows = read(make("a.txt", "__label__2 good one\n\n__label__1 a\nnone\n"))
    assert rows[:2] == [
        (1, {"label": "2", "text": "good one"}),
        (3, {"label": "1", "text": "a"}),
    ]
    assert rows[2] == (4, BadRow("0 labels (__label__...) instead of 1"))
