import json

import numpy as np
import pytest

from sentiment.config import TableConfig
from sentiment.data.labelled_rows import (
    LabelledRows,
    read_labelled,
    read_probabilities,
    read_texts,
)
from sentiment.data.labels import MISSING
from sentiment.errors import InputError


def labelled(path, label_names=None, label_map=(), **options):
    return read_labelled(
        path, TableConfig(**options), label_names=label_names, label_map=label_map
    )


def jsonl(*rows):
    return "".join(json.dumps(row) + "\n" for row in rows)


def test_labelled_rows(make):
    result = labelled(make("a.csv", "id,label,text\n1,pos,a\n2, neg ,b\n3,pos, c \n"))
    assert isinstance(result, LabelledRows)
    assert result.texts == ["a", "b", " c "]
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
    "label", [True, False, "POS", "other", [1], {"a": 1}, "1_0", "\u0661"]
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


def test_text_that_is_no_string_is_a_bad_row(make):
    rows = [{"text": "a", "label": 0}, {"text": 5, "label": 1}]
    path = make("a.jsonl", jsonl(*rows))
    with pytest.raises(InputError, match="line 2: text 5"):
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
    with pytest.raises(InputError, match="column 'label' has more than 100") as error:
        labelled(path)
    assert "--label_names" in str(error.value)
    names = [*(f"x{n}" for n in range(100)), "y"]
    assert labelled(path, label_names=names).labels.tolist() == list(range(101))


def test_missing_label_column(make):
    with pytest.raises(InputError, match="no column 'label'"):
        labelled(make("a.csv", "text,stars\na,1\n"))


# --- Missing texts and labels


@pytest.mark.parametrize("blank", ["", "  ", "\u200b", None, float("nan")])
def test_rows_without_text_are_left_out_and_counted(make, blank, caplog):
    rows = [{"text": "a", "label": "x"}, {"text": blank, "label": "only here"}]
    path = make("a.jsonl", jsonl(*rows, {"label": "x"}))
    with caplog.at_level("INFO", "sentiment"):
        result = labelled(path)
    assert (result.texts, result.label_names) == (["a"], ("x",))
    assert (result.num_without_text, result.num_skipped) == (2, 0)
    assert "left out 2 rows without text" in caplog.text
    assert read_texts(path) == (["a"], 0)


def test_a_table_without_any_text_is_refused(make):
    path = make("a.csv", "text,label\n,x\n ,y\n")
    with pytest.raises(InputError, match=r"no usable row \(2 have no text\)"):
        labelled(path)


PANDAS = ["nan", "NaN", "NA", "N/A", "n/a", "NULL", "null", "None", "<NA>", "#N/A"]


@pytest.mark.parametrize("name", sorted({*PANDAS, *MISSING}))
def test_labels_that_pandas_reads_as_missing_are_bad_rows(make, name):
    rows = [{"text": "a", "label": "x"}, {"text": "b", "label": name}]
    path = make("a.jsonl", jsonl(*rows))
    with pytest.raises(InputError, match="line 2: no label"):
        labelled(path)
    assert labelled(path, skip_bad_rows=True).label_names == ("x",)
    assert labelled(path, label_names=["x", name]).labels.tolist() == [0, 1]
    mapped = labelled(path, label_map=["x:x", f"{name}:none"])
    assert mapped.label_names == ("x", "none")
    with pytest.raises(InputError, match="line 2: no label"):
        labelled(path, label_map=["x:x"])


def test_what_was_skipped_is_logged_by_line(make, caplog):
    path = make("a.csv", "text,label\na,x\nb\n")
    with caplog.at_level("INFO", "sentiment"):
        labelled(path, skip_bad_rows=True)
    assert "skipped 1 bad rows.\n  line 3: 1 fields" in caplog.text


# --- What labels mean


def stars(make, *labels, **options):
    rows = "".join(f"a,{label}\n" for label in labels)
    return labelled(make("stars.csv", f"text,label\n{rows}"), **options)


@pytest.mark.parametrize(
    "labels", ["12", "12345", "13", "1", "2", "0129", ("0.5", "0"), "-0"]
)
def test_numbers_that_need_not_be_indices_are_refused(make, labels):
    labels = ["-1", "0"] if labels == "-0" else labels
    for skip in (False, True):
        with pytest.raises(InputError, match="--label_map="):
            stars(make, *labels, "neg", label_names=["neg", "pos"], skip_bad_rows=skip)


def test_what_the_numbers_may_mean_is_said(make):
    with pytest.raises(InputError, match=r"1 \(2 rows\), 2 \(1 rows\).*1:neg,2:pos$"):
        stars(make, 1, 2, 1, label_names=["neg", "pos"])
    with pytest.raises(InputError, match=r"=1-2:bad,3-4:so,5:good$"):
        stars(make, *"12345", label_names=["bad", "so", "good"])


def test_label_map(make):
    items = ["1-2:negative", "3:neutral", "4-5:positive", "great:positive"]
    result = stars(make, "5", "1.5", "3.0", "great", label_map=items)
    assert result.label_names == ("negative", "neutral", "positive")
    assert result.labels.tolist() == [2, 0, 1, 2]
    result = stars(make, "5", "1", label_map=items)
    assert result.label_names == ("negative", "positive")
    names = ["positive", "neutral", "negative"]
    result = stars(make, "5", "1", label_map=items, label_names=names)
    assert result.labels.tolist() == [0, 2]
    with pytest.raises(InputError, match=r"line 3: label '2\.5' is not in --label_map"):
        stars(make, "5", "2.5", label_map=items)
    # A class that only the map knows is met in a later file as a bad row.
    names = ["negative", "positive"]
    assert stars(make, "5", label_map=items, label_names=names).labels.tolist() == [1]
    with pytest.raises(InputError, match="line 3: label 'neutral' is not in"):
        stars(make, "5", "3", label_map=items, label_names=names)


def test_a_map_to_classes_that_are_numbers(make):
    items = ["bad:1.0", "good:2"]
    result = stars(make, "good", "bad", label_map=items, label_names=("1.0", "2.0"))
    assert result.labels.tolist() == [1, 0]


def test_numbers_sort_as_numbers_also_with_halves(make):
    result = stars(make, "10", "1.5", "2", "1", "1.50", "+2.0")
    assert result.label_names == ("1", "1.5", "2", "10")
    assert result.labels.tolist() == [3, 1, 2, 0, 1, 2]


def test_what_cannot_be_seen_makes_no_class(make):
    composed, decomposed = "caf\u00e9", "cafe\u0301"
    result = stars(make, composed, f"{decomposed}\u200b ", f"\ufeff{composed}")
    assert result.label_names == (composed,)
    names = [decomposed, "x"]
    assert stars(make, composed, label_names=names).labels.tolist() == [0]


def test_a_header_inside_of_the_file_is_a_bad_row(make):
    path = make("a.csv", "text,label\na,x\ntext,label\nb,x\n")
    with pytest.raises(InputError, match="line 3: the header again"):
        labelled(path)
    assert labelled(path, skip_bad_rows=True).texts == ["a", "b"]


# --- Texts


def test_texts_are_lines_or_a_column(make):
    assert read_texts(make("a.txt", "one\n\ntwo\n")) == (["one", "two"], 0)
    assert read_texts(make("a.csv", "text\none\n")) == (["one"], 0)
    options = TableConfig(text_column="body")
    assert read_texts(make("a.txt", "one\ttwo\n"), options) == (["one\ttwo"], 0)
    assert read_texts(make("a.csv", "body,text\none,two\n"), options) == (["one"], 0)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.csv", 'text,label\na,x\n,x\n"  ",only here\n'),
        ("a.tsv", "text\tlabel\na\tx\n\tx\n \tonly here\n"),
        ("a.parquet", {"text": ["a", None, " "], "label": ["x", "x", "only here"]}),
    ],
)
def test_rows_without_text_are_left_out_of_every_format(make, name, content):
    result = labelled(make(name, content))
    assert (result.texts, result.label_names) == (["a"], ("x",))
    assert (result.num_without_text, result.num_skipped) == (2, 0)


def test_control_characters_make_no_class(make):
    path = make("a.csv", "text,label\na,neg\nb,\x1b[31mneg\nc,n\x07eg\n")
    assert labelled(path).label_names == ("[31mneg", "neg")


# --- Probabilities that a teacher wrote


def test_probabilities_beside_the_texts(make):
    # The second row is rounded; predict gives no label where cleaning leaves nothing.
    text = """text,probability_good,more,probability_bad
One.,0.25,x,0.75
Two.,1.00,x,0.01
,0.5,x,0.5
<b>,,x,
"""
    rows = read_probabilities(make("a.csv", text))
    assert rows.texts == ["One.", "Two."]
    assert rows.label_names == ("good", "bad")
    expected = [[0.25, 0.75], [1 / 1.01, 0.01 / 1.01]]
    np.testing.assert_allclose(rows.probabilities, expected, rtol=1e-6)
    assert rows.probabilities.dtype == np.float32


def test_of_two_predictions_the_newer_is_read(make):
    new = ("predicted_probability_x", "predicted_probability_y")
    head = f"{new[0]},probability_a,text,probability_b,{new[1]}"
    rows = read_probabilities(make("a.csv", f"{head}\n0.1,0.5,One.,0.5,0.9\n"))
    assert rows.label_names == ("x", "y")
    np.testing.assert_allclose(rows.probabilities, [[0.1, 0.9]])


def test_three_rounded_thirds_are_a_distribution_and_none_is_said(make, caplog):
    caplog.set_level("INFO")
    head = "text,probability_a,probability_b,probability_c"
    rows = read_probabilities(make("a.csv", f"{head}\nA,.33,.33,.33\nB,,,\n"))
    np.testing.assert_allclose(rows.probabilities, [[1 / 3] * 3], rtol=1e-6)
    assert "left out 1 rows without probabilities" in caplog.text
    with pytest.raises(InputError, match="1 have no probabilities"):
        read_probabilities(make("b.csv", f"{head}\nB,,,\n"))


@pytest.mark.parametrize("cells", ["0.5,0.6", "-0.1,1.1", "x,0.5", "nan,1", ",1"])
def test_what_is_no_distribution_is_a_bad_row(make, cells):
    head = "text,probability_a,probability_b\nOne.,0.5,0.5\n"
    path = make("a.csv", f"{head}Two.,{cells}\n")
    with pytest.raises(InputError, match="line 3: probabilities"):
        read_probabilities(path)
    rows = read_probabilities(path, TableConfig(skip_bad_rows=True))
    assert (rows.texts, rows.num_skipped) == (["One."], 1)


def test_a_table_without_probabilities_is_refused(make):
    with pytest.raises(InputError, match="a column probability_<class> for each class"):
        read_probabilities(make("a.csv", "text,label\nOne.,a\n"))
