import json

import pytest

from sentiment.config import TableConfig
from sentiment.data.tables.reader import Table
from sentiment.data.tables.rows import BadRow
from sentiment.errors import InputError

ROWS = [{"text": "a\nb", "label": 1}, {"text": "ü", "label": 0}]
BY_COLUMN = {name: [row[name] for row in ROWS] for name in ROWS[0]}
SHAPES = {
    "array": ROWS,
    "one array in an object": {"version": 3, "reviews": ROWS},
    "pandas columns": {
        name: dict(zip("07", values, strict=True)) for name, values in BY_COLUMN.items()
    },
    "lists": BY_COLUMN,
    "pandas index": dict(zip("ab", ROWS, strict=True)),
    "pandas split": {
        "columns": list(ROWS[0]),
        "index": [0, 1],
        "data": [list(row.values()) for row in ROWS],
    },
    "pandas table": {"schema": {"fields": []}, "data": ROWS},
}


def read(path, **options):
    return list(Table(path, TableConfig(**options)))


@pytest.mark.parametrize("indent", [None, 2])
@pytest.mark.parametrize("shape", list(SHAPES))
def test_shapes(make, shape, indent):
    content = json.dumps(SHAPES[shape], indent=indent)
    assert [row for _, row in read(make("a.json", content))] == ROWS


def test_lines_and_objects_one_after_another(make):
    lines = "\n\n".join(map(json.dumps, ROWS))
    assert read(make("a.json", lines)) == [(1, ROWS[0]), (3, ROWS[1])]
    assert read(make("a.ndjson", lines)) == [(1, ROWS[0]), (3, ROWS[1])]
    pretty = "\n".join(json.dumps(row, indent=1) for row in ROWS)
    assert read(make("a.json", pretty)) == [(1, ROWS[0]), (5, ROWS[1])]
    assert read(make("a.json", json.dumps(ROWS[0]))) == [(1, ROWS[0])]


def test_elements_of_an_array_have_their_lines(make):
    path = make("a.json", '[\n{"text": "a"},\n\n5,\n{"text":\n"b"}]')
    bad = BadRow("must be a JSON object, is a int")
    assert read(path) == [(2, {"text": "a"}), (4, bad), (5, {"text": "b"})]


def test_arrays_one_after_another_are_all_read(make):
    """As scrapers leave them that append page after page."""
    path = make("a.json", '[{"text": "a"}]\n[{"text": "b"}]\n')
    assert read(path) == [(1, {"text": "a"}), (2, {"text": "b"})]
    with pytest.raises(InputError, match="line 2: broken JSON, after the array comes"):
        read(make("b.json", '[{"text": "a"}]\ngarbage'))


def test_columns_of_split_may_be_numbers_levels_or_repeated(make):
    table = {"columns": [0, ["x", "text"], "n", "n"], "data": [["a", "b", 1, 2]]}
    path = make("a.json", json.dumps(table))
    assert Table(path).header == ("0", "x.text", "n", "n")
    assert read(path) == [(1, {"0": "a", "x.text": "b", "n": 1, "n.1": 2})]
    with pytest.raises(InputError, match="several columns named 'n'"):
        Table(path).key("n")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('[{"text": "a"},\n{"text": }]', "line 2: broken JSON: Expecting value"),
        ('[{"text": "a"}', "a part of it is missing"),
        ('[{"text": "a"}\n{"text": "b"}]', "line 2: broken JSON, the array goes on"),
        ("[", "line 1: broken JSON"),
        ('{"text": ["a"], "label": [1, 2]}', "differ in length: 'text' 1, 'label' 2"),
        ("[]", "no columns"),
        ("[" * 100_000, "broken JSON"),
    ],
)
def test_broken_files_are_refused_by_line(make, content, message):
    with pytest.raises(InputError, match=message):
        Table(make("a.json", content)).key("text")


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ('{"text": "a", "text": "b"}', "the key 'text' stands there twice"),
        ('{"n": 1e999}', "the number 1e999 is too large"),
        ('{"n": {"m": -1e999}}', "the number -1e999 is too large"),
    ],
)
def test_what_would_be_lost_or_changed_is_a_bad_row(make, line, reason):
    rows = read(make("a.jsonl", f'{{"text": "x"}}\n{line}\n'))
    assert rows[1] == (2, BadRow(f"broken JSON: {reason}"))
