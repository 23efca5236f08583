import csv
import datetime
import decimal
import json
import tracemalloc
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from sentiment.data.tables.reader import Table
from sentiment.errors import InputError
from sentiment.inference import rows as rows_module
from sentiment.inference.files import (
    PredictedFile,
    predict_file,
)
from tests.inference.conftest import LengthClassifier

SUFFIXES = ("csv", "tsv", "jsonl", "parquet")
ADDED = ["label", "score", "probability_bad", "probability_good", "note"]


@pytest.fixture
def classifier():
    return LengthClassifier()


@pytest.fixture
def write(tmp_path):
    """Writes rows of strings as a table; a string is a CSV file as it stands."""

    def write(name, rows):
        path = tmp_path / name
        if isinstance(rows, str):
            path.write_text(rows, encoding="utf-8")
        elif path.suffix == ".parquet":
            pq.write_table(pa.Table.from_pylist(rows), path)
        elif path.suffix == ".jsonl":
            path.write_text("".join(json.dumps(row) + "\n" for row in rows))
        else:
            with open(path, "w", newline="", encoding="utf-8") as stream:
                delimiter = "\t" if path.suffix == ".tsv" else ","
                writer = csv.DictWriter(stream, list(rows[0]), delimiter=delimiter)
                writer.writeheader()
                writer.writerows(rows)
        return path

    return write


@pytest.fixture
def predicted(classifier, write, tmp_path):
    """Predicts rows and returns those written."""

    def run(rows, before="a.csv", after="b.jsonl", **options):
        predict_file(classifier, write(before, rows), tmp_path / after, **options)
        return rows_of(tmp_path / after)

    return run


def rows_of(path):
    return [row for _, row in Table(path).rows()]


def added(row):
    return {name: row[name] for name in ADDED}


# --- Files: what is written


@pytest.mark.parametrize("after", SUFFIXES)
@pytest.mark.parametrize("before", SUFFIXES)
def test_columns_and_order_stay_and_predictions_follow(predicted, before, after):
    rows = [
        {"id": "007", "text": "x" * 75, " odd ": 'a,"b"\tc\nd'},
        {"id": "", "text": "中文 😀", " odd ": " spaced "},
        {"id": "1e5", "text": "", " odd ": "null"},
    ]
    written = predicted(rows, f"a.{before}", f"b.{after}")
    assert [{name: row[name] for name in rows[0]} for row in written] == rows
    assert [list(row) for row in written] == [["id", "text", " odd ", *ADDED]] * 3
    labels = [row["label"] for row in written]
    assert labels[:2] == ["good", "bad"]
    numbers = [[float(row[name]) for name in ADDED[1:4]] for row in written[:2]]
    expected = [[0.75, 0.25, 0.75], [0.96, 0.96, 0.04]]
    np.testing.assert_allclose(numbers, expected, rtol=1e-12)
    assert not any(written[2][name] for name in ADDED[:4])
    assert [row["note"] for row in written] == ["", "", "no text"]


def test_number_of_rows_is_returned(classifier, write, tmp_path):
    path = write("a.csv", "text\na\nb\nc\n")
    result = predict_file(classifier, path, tmp_path / "b.csv")
    assert result == PredictedFile(3, 0, 0, ())


def test_batch_size_is_handed_on(predicted, classifier):
    predicted("text\na\n", batch_size=5)
    assert classifier.calls == [(1, 5)]


def test_text_column_is_the_one_that_is_read(predicted):
    rows = predicted("text,body \n,xxx\n", text_column="body")
    assert rows[0]["probability_good"] == 0.03


@pytest.mark.parametrize("present", ["label", "score", "note", "probability_good"])
def test_present_column_makes_all_added_ones_predicted(predicted, present):
    (row,) = predicted(f"{present},text\nmine,xx\n")
    assert list(row) == [present, "text", *(f"predicted_{name}" for name in ADDED)]
    assert row[present] == "mine"
    assert row["predicted_probability_good"] == 0.02


def test_predicting_predictions_again_overwrites_nothing(predicted):
    (row,) = predicted("label,predicted_label,text\nmine,too,xx\n")
    assert (row["label"], row["predicted_label"]) == ("mine", "too")
    assert row["predicted_predicted_label"] == "bad"


def test_column_of_a_later_jsonl_row_is_not_overwritten(predicted):
    rows = predicted([{"text": "x"}, {"text": "y", "label": "mine"}], "a.jsonl")
    assert "label" not in rows[0]
    assert rows[1]["label"] == "mine"
    assert [row["predicted_label"] for row in rows] == ["bad", "bad"]


def test_column_of_a_later_jsonl_row_fits_into_csv(predicted):
    rows = [{"text": "x"}, {"text": "y", "more": "mine"}]
    assert [row["more"] for row in predicted(rows, "a.jsonl", "b.csv")] == ["", "mine"]


def test_jsonl_keeps_types(predicted):
    row = {"i": 1, "f": 1.0, "b": True, "n": None, "l": [1, {"k": "ü"}], "text": "x"}
    (read,) = predicted([row], "a.jsonl", "b.jsonl")
    kept = {name: read[name] for name in row}
    assert json.dumps(kept) == json.dumps(row)


def parquet_table():
    time = datetime.datetime(2024, 5, 1, 12, 30, 0, 123456)
    return pa.table(
        {
            "text": pa.array(["x", "yy"], pa.large_string()),
            "id": pa.array([1, None], pa.uint8()),
            "price": pa.array([decimal.Decimal("1.50"), None], pa.decimal128(5, 2)),
            "ratio": pa.array([0.1, 0.2], pa.float32()),
            "day": pa.array([time.date(), None], pa.date32()),
            "time": pa.array([time, time], pa.timestamp("ns", "Europe/Paris")),
            "kind": pa.array(["a", "b"]).dictionary_encode(),
            "tags": pa.array([["u", "v"], []], pa.list_(pa.string())),
            "more": pa.array([{"k": 1}, None], pa.struct([("k", pa.int16())])),
            "raw": pa.array([b"\xff", None], pa.binary()),
            "none": pa.nulls(2),
        },
    ).replace_schema_metadata({"owner": "me"})


def test_parquet_keeps_types_values_and_metadata(classifier, tmp_path):
    table = parquet_table()
    pq.write_table(table, tmp_path / "a.parquet")
    predict_file(classifier, tmp_path / "a.parquet", tmp_path / "b.parquet")
    before = pq.read_table(tmp_path / "a.parquet")
    after = pq.read_table(tmp_path / "b.parquet")
    assert after.select(table.column_names).equals(before)
    assert after.schema.metadata[b"owner"] == b"me"
    number = pa.float64()
    kinds = [pa.string(), number, number, number, pa.string()]
    assert after.schema.names[-5:] == ADDED
    assert after.schema.types[-5:] == kinds


def test_parquet_column_that_begins_with_nulls_keeps_its_type(
    classifier, tmp_path, monkeypatch
):
    monkeypatch.setattr(rows_module, "CHUNK_ROWS", 2)
    table = pa.table({"text": list("abcd"), "n": pa.array([None, None, 3, 4])})
    pq.write_table(table, tmp_path / "a.parquet")
    predict_file(classifier, tmp_path / "a.parquet", tmp_path / "b.parquet")
    after = pq.read_table(tmp_path / "b.parquet")
    assert after.column("n").equals(table.column("n"))


def test_parquet_values_that_python_lacks_come_back(classifier, tmp_path):
    times = pa.array([1, None, 1_700_000_000_123_456_789], pa.timestamp("ns"))
    table = pa.table({"text": list("abc"), "t": times})
    pq.write_table(table, tmp_path / "a.parquet")
    predict_file(classifier, tmp_path / "a.parquet", tmp_path / "b.parquet")
    assert pq.read_table(tmp_path / "b.parquet").column("t").equals(table.column("t"))
    predict_file(classifier, tmp_path / "a.parquet", tmp_path / "b.csv")
    assert rows_of(tmp_path / "b.csv")[2]["t"] == "2023-11-14 22:13:20.123456789"


def test_parquet_takes_types_that_hold_all_rows(
    classifier, write, monkeypatch, tmp_path
):
    monkeypatch.setattr(rows_module, "CHUNK_ROWS", 2)
    rows = [{"text": "a", "n": None, "x": i} for i in range(5)]
    rows += [{"text": "b", "n": 3, "x": 2.5}]
    output = tmp_path / "b.parquet"
    predict_file(classifier, write("a.jsonl", rows), output)
    table = pq.read_table(output)
    assert table.column("n").to_pylist() == [None] * 5 + [3]
    assert table.column("x").to_pylist() == [0, 1, 2, 3, 4, 2.5]
    path = write("c.jsonl", [*rows, {"text": "c", "n": "three"}])
    calls = len(classifier.calls)
    with pytest.raises(InputError, match="Column 'n' holds int and str"):
        predict_file(classifier, path, output, overwrite=True)
    assert len(classifier.calls) == calls


def test_types_are_known_beside_columns_whose_values_must_tell(
    classifier, write, monkeypatch, tmp_path
):
    monkeypatch.setattr(rows_module, "CHUNK_ROWS", 2)
    rows = [{"text": "", "n": 1, "tags": ["a"]}] * 3
    rows += [{"text": "b", "n": 2.5, "tags": ["b", "c"]}]
    output = tmp_path / "b.parquet"
    predict_file(classifier, write("a.jsonl", rows), output)
    table = pq.read_table(output)
    assert table.column("n").to_pylist() == [1, 1, 1, 2.5]
    assert table.column("score").to_pylist() == [None, None, None, 0.99]
    assert table.column("tags").to_pylist()[3] == ["b", "c"]


def test_texts_that_cleaning_empties_are_counted(real_classifier, write, tmp_path):
    path = write("a.csv", "text\ngood film\n<br>\n \n")
    result = predict_file(real_classifier, path, tmp_path / "b.csv")
    assert (result.num_rows, result.num_without_text) == (3, 2)


def test_repeated_columns_of_parquet_stay_apart(classifier, tmp_path):
    arrays = [pa.array(["a", "b"]), pa.array([1, 2]), pa.array([7.5, 8.5])]
    table = pa.Table.from_arrays(arrays, ["text", "n", "n"])
    pq.write_table(table, tmp_path / "a.parquet")
    predict_file(classifier, tmp_path / "a.parquet", tmp_path / "b.parquet")
    with pq.ParquetFile(tmp_path / "b.parquet") as file:
        after = file.read()
    assert after.column_names[:3] == ["text", "n", "n"]
    assert [after.column(i).to_pylist() for i in (1, 2)] == [[1, 2], [7.5, 8.5]]


# --- Files: streaming


@pytest.mark.parametrize("limit", [{"CHUNK_ROWS": 3}, {"CHUNK_CHARACTERS": 10}])
@pytest.mark.parametrize("after", SUFFIXES)
def test_chunks_change_nothing_but_the_calls(
    monkeypatch, predicted, classifier, limit, after
):
    text = "text,i\n" + "".join(f"{'x' * (i % 7 + 1)},{i}\n" for i in range(20))
    whole = predicted(text, after=f"whole.{after}")
    assert classifier.calls == [(20, None)]
    for name, value in limit.items():
        monkeypatch.setattr(rows_module, name, value)
    assert predicted(text, after=f"parts.{after}") == whole
    sizes = [size for size, _ in classifier.calls[1:]]
    assert len(sizes) > 5
    assert sum(sizes) == 20
    if "CHUNK_ROWS" in limit:
        assert sizes == [3] * 6 + [2]


def test_memory_does_not_grow_with_the_file(classifier, write, tmp_path):
    path = write("a.csv", "text,more\n" + f"{'x' * 50},{'y' * 1450}\n" * 16_000)
    tracemalloc.start()
    try:
        predict_file(classifier, path, tmp_path / "b.csv")
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert path.stat().st_size > 24e6
    assert peak < 10e6


def test_a_huge_text_among_short_ones_costs_a_few_copies_of_it(
    real_classifier, write, tmp_path
):
    classifier = real_classifier
    short = [f"film {i}" for i in range(1000)]
    huge = "great film, " * 420_000
    text = "\n".join(["text", *short[:500], f'"{huge}"', *short[500:]])
    path = write("a.csv", text + "\n")
    # Compiling costs memory too, so that comes first: the huge text ends a chunk.
    cut = classifier.predict([*short[:500], huge[-1000:]])[-1]
    classifier.predict(short[500:])
    tracemalloc.start()
    try:
        assert predict_file(classifier, path, tmp_path / "b.jsonl").num_rows == 1001
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert len(huge) > 5e6
    assert peak < 150e6
    rows = rows_of(tmp_path / "b.jsonl")
    assert [row["text"] for row in rows] == [*short[:500], huge, *short[500:]]
    found = [rows[500][f"probability_{name}"] for name in classifier.label_names]
    np.testing.assert_allclose(found, cut, atol=1e-5)


def test_written_probabilities_are_those_of_predict(
    monkeypatch, real_classifier, write, tmp_path
):
    monkeypatch.setattr(rows_module, "CHUNK_ROWS", 15)
    classifier = real_classifier
    texts = [f"{'great ' * (i % 9)}film {i}" for i in range(40)]
    path = write("a.jsonl", [{"text": text} for text in texts])
    predict_file(classifier, path, tmp_path / "b.jsonl")
    rows = rows_of(tmp_path / "b.jsonl")
    names = [f"probability_{name}" for name in classifier.label_names]
    written = np.array([[row[name] for name in names] for row in rows])
    expected = classifier.predict(texts)
    np.testing.assert_allclose(written, expected, atol=1e-5)
    labels = [classifier.label_names[i] for i in written.argmax(axis=1)]
    assert [row["label"] for row in rows] == labels
    assert [row["score"] for row in rows] == written.max(axis=1).tolist()


# --- Files: what is refused


def refused(predicted, *args, **options):
    with pytest.raises(InputError) as error:
        predicted(*args, **options)
    return str(error.value)


def test_bad_row_is_named_and_nothing_is_left(predicted, classifier, tmp_path):
    message = refused(predicted, "text,i\na,1\nb\nc,3\n")
    assert not classifier.calls  # It was looked for before any work.
    assert "a.csv: bad rows: 1. --skip_bad_rows gives" in message
    assert message.endswith("\n  line 3: 1 fields instead of 2")
    assert [path.name for path in tmp_path.iterdir()] == ["a.csv"]


@pytest.mark.parametrize("after", SUFFIXES)
def test_bad_rows_keep_their_place_and_get_a_note(classifier, write, tmp_path, after):
    text = "text,i\n" + "".join(f"good,{i}\nbad\n" for i in range(12))
    output = tmp_path / f"b.{after}"
    path = write("a.csv", text)
    result = predict_file(classifier, path, output, skip_bad_rows=True)
    rows = rows_of(output)
    assert [row["text"] for row in rows] == ["good", "bad"] * 12
    assert [bool(row["label"]) for row in rows] == [True, False] * 12
    assert rows[1]["note"] == "line 3: 1 fields instead of 2"
    assert (result.num_rows, result.num_bad_rows) == (24, 12)
    lines = [line.split(":")[0] for line in result.first_bad_rows]
    assert lines == [f"line {n}" for n in range(3, 23, 2)]
    assert result.first_bad_rows[0].startswith("line 3: 1 fields")


@pytest.mark.parametrize("value", [3, ["a"], {}])
def test_text_that_is_no_string_is_a_bad_row(predicted, value):
    rows = [{"text": "a"}, {"text": value}, {"text": "b"}]
    assert "line 2: text" in refused(predicted, rows, "a.jsonl")
    kept = predicted(rows, "a.jsonl", skip_bad_rows=True)
    assert [row["text"] for row in kept] == ["a", value, "b"]
    assert [row["label"] for row in kept] == ["bad", None, "bad"]
    assert kept[1]["note"] == f"text {value!r} is no string"


@pytest.mark.parametrize("before", ["csv", "jsonl", "parquet"])
def test_rows_without_text_keep_their_place(classifier, write, tmp_path, before):
    blanks = ["", " \u200b"] if before == "csv" else ["", " \u200b", None]
    texts = [text for blank in blanks for text in ("a", blank)]
    path = write(f"a.{before}", [{"text": text, "i": "1"} for text in texts])
    result = predict_file(classifier, path, tmp_path / "b.jsonl")
    rows = rows_of(tmp_path / "b.jsonl")
    assert [row["text"] for row in rows] == texts
    assert [row["label"] for row in rows] == ["bad", None] * len(blanks)
    assert {row["note"] for row in rows[1::2]} == {"no text"}
    assert (result.num_rows, result.num_without_text) == (len(texts), len(blanks))
    assert sum(size for size, _ in classifier.calls) == len(blanks)


def test_repeated_columns_stay_apart(predicted, tmp_path):
    text = "id,text,,\n1,x,p,q\n2,y,r,s\n"
    rows = predicted(text, after="b.csv")
    written = (tmp_path / "b.csv").read_text().splitlines()
    assert written[0] == f"id,text,,,{','.join(ADDED)}"
    assert [line.split(",")[:4] for line in written[1:]] == [
        ["1", "x", "p", "q"],
        ["2", "y", "r", "s"],
    ]
    assert [row[".1"] for row in rows] == ["q", "s"]


def test_missing_column_lists_those_there_are(predicted, classifier):
    message = refused(predicted, "review,stars\na,1\n")
    assert "no column 'text'. It has: 'review', 'stars'" in message
    assert classifier.calls == []


@pytest.mark.parametrize("before", ["text,i\n", ""])
def test_file_without_rows_is_an_error_and_leaves_nothing(predicted, tmp_path, before):
    assert "a.csv" in refused(predicted, before)
    assert [path.name for path in tmp_path.iterdir()] == ["a.csv"]


def test_output_is_not_replaced_unless_asked(predicted, tmp_path, classifier):
    (tmp_path / "b.jsonl").write_text("mine")
    assert "--overwrite" in refused(predicted, "text\na\n")
    assert classifier.calls == []
    assert (tmp_path / "b.jsonl").read_text() == "mine"
    assert len(predicted("text\na\n", overwrite=True)) == 1


@pytest.mark.parametrize("output", ["a.csv", "b/../a.csv", "link.csv"])
def test_output_that_is_the_input_is_refused_even_with_overwrite(
    classifier, write, tmp_path, output
):
    path = write("a.csv", "text\na\n")
    (tmp_path / "link.csv").symlink_to(path)
    with pytest.raises(InputError, match="same file"):
        predict_file(classifier, path, tmp_path / output, overwrite=True)
    assert path.read_text() == "text\na\n"


@pytest.mark.parametrize(
    ("output", "message"), [("b.txt", "must end in"), ("none/b.csv", "does not exist")]
)
def test_unusable_output_is_refused_before_any_work(
    predicted, classifier, output, message
):
    assert message in refused(predicted, "text\na\n", after=output)
    assert classifier.calls == []


def test_failing_run_keeps_the_old_output(predicted, tmp_path, classifier, monkeypatch):
    (tmp_path / "b.jsonl").write_text("mine")
    monkeypatch.setattr(rows_module, "CHUNK_ROWS", 1)

    def fail(texts, batch_size=None):
        if texts == ["c"]:
            raise RuntimeError("stop")
        return LengthClassifier().predict_texts(texts)

    classifier.predict_texts = fail
    with pytest.raises(RuntimeError, match="stop"):
        predicted("text\na\nb\nc\n", overwrite=True)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.csv", "b.jsonl"]
    assert (tmp_path / "b.jsonl").read_text() == "mine"


def test_paths_may_be_strings(classifier, write, tmp_path):
    path = str(write("a.csv", "text\na\n"))
    predict_file(classifier, path, f"{tmp_path}/b.csv")
    assert Path(f"{tmp_path}/b.csv").exists()


def test_a_compiled_prediction_does_not_run_the_model_eagerly_too(
    real_classifier, monkeypatch
):
    texts = ["a film", "b film"]
    real_classifier.predict(texts)
    monkeypatch.setattr(
        type(real_classifier), "__call__", lambda *_, **__: pytest.fail("ran eagerly")
    )
    assert real_classifier.predict(texts).shape == (2, 3)
