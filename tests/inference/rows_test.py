import itertools

import pytest

from sentiment.errors import InputError
from sentiment.inference import rows as module
from sentiment.inference.rows import label_rows, predict_rows, prediction_columns
from tests.inference.conftest import LengthClassifier


@pytest.fixture
def classifier():
    return LengthClassifier()


def test_label_rows_name_the_most_probable_class(classifier):
    sure, empty = label_rows(classifier, ["x" * 75, " "])
    assert sure == {
        "label": "good",
        "score": 0.75,
        "probabilities": {"bad": 0.25, "good": 0.75},
        "is_empty": False,
    }
    assert empty == {
        "label": None,
        "score": None,
        "probabilities": {"bad": None, "good": None},
        "is_empty": True,
    }


def test_rows_come_out_in_order_with_what_they_held(classifier):
    rows = [{"id": i, "text": "x" * i, "other": None} for i in range(7)]
    found = list(predict_rows(classifier, rows))
    assert [{k: row[k] for k in ("id", "text", "other")} for row in found] == rows
    assert found[3] == {
        **rows[3],
        "label": "bad",
        "score": 0.97,
        "probability_bad": 0.97,
        "probability_good": 0.03,
        "note": "",
    }
    assert (found[0]["label"], found[0]["note"]) == (None, "no text")
    assert "label" not in rows[0]  # What was given stays as it is.


def test_rows_are_read_as_they_are_asked_for(classifier, monkeypatch):
    monkeypatch.setattr(module, "CHUNK_ROWS", 3)
    read = []

    def endless():
        for i in itertools.count():
            read.append(i)
            yield {"text": "x" * (i % 50 + 1)}

    found = list(itertools.islice(predict_rows(classifier, endless()), 5))
    assert len(found) == 5
    assert read == list(range(6))
    assert classifier.calls == [(3, None), (3, None)]


def test_a_chunk_holds_so_many_characters_at_most(classifier, monkeypatch):
    monkeypatch.setattr(module, "CHUNK_CHARACTERS", 10)
    rows = [{"text": "x" * length} for length in (4, 6, 9, 1, 50, 2)]
    assert len(list(predict_rows(classifier, rows, batch_size=8))) == 6
    assert classifier.calls == [(2, 8), (2, 8), (1, 8), (1, 8)]


def test_no_rows_are_no_call(classifier):
    assert list(predict_rows(classifier, iter([]))) == []
    assert classifier.calls == []


def test_names_that_are_taken_get_a_prefix(classifier):
    expected = ["label", "score", "probability_bad", "probability_good", "note"]
    assert prediction_columns(("bad", "good"), ["text", "id"]) == expected
    taken = prediction_columns(("bad", "good"), iter(["text", "note"]))
    assert taken == [f"predicted_{name}" for name in expected]
    (row,) = predict_rows(classifier, [{"text": "x", "score": 5}])
    assert row["score"] == 5
    assert row["predicted_score"] == 0.99


def test_columns_and_the_text_may_have_other_names(classifier):
    rows = [{"review": "x" * 75}]
    columns = ["a", "b", "c", "d", "e"]
    (row,) = predict_rows(classifier, rows, "review", columns)
    assert row == {
        "review": "x" * 75,
        "a": "good",
        "b": 0.75,
        "c": 0.25,
        "d": 0.75,
        "e": "",
    }


@pytest.mark.parametrize("row", [{}, {"text": None}, {"text": "\ufeff"}])
def test_a_row_without_text_has_a_note_instead_of_a_label(classifier, row):
    found = list(predict_rows(classifier, [{"text": "x"}, row, {"text": "y" * 75}]))
    assert [row["label"] for row in found] == ["bad", None, "good"]
    assert found[1] == row | {
        "label": None,
        "score": None,
        "probability_bad": None,
        "probability_good": None,
        "note": "no text",
    }


@pytest.mark.parametrize("row", [{"text": 3}, {"text": b"x"}])
def test_a_text_that_is_no_string_is_shown(classifier, row):
    with pytest.raises(
        InputError, match=r"string at 'text', or.* Received: {"
    ) as error:
        list(predict_rows(classifier, [{"text": "x"}, row]))
    assert repr(row) in str(error.value)


def test_a_later_row_loses_nothing(classifier):
    rows = [{"text": "x"}, {"text": "y", "label": "mine"}]
    with pytest.raises(InputError, match="'label' already"):
        list(predict_rows(classifier, rows))
    columns = prediction_columns(classifier.label_names, rows[1])
    _, later = predict_rows(classifier, rows, columns=columns)
    assert (later["label"], later["predicted_label"]) == ("mine", "bad")
