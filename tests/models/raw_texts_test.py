import collections
import sys
import types

import keras
import numpy as np
import pytest

from sentiment.errors import InputError
from sentiment.models.raw_texts import texts_in

TEXTS = ["one", "two"]


class Arrow:
    """As pyarrow's arrays are: no list, no `dtype`."""

    def to_pylist(self):
        return TEXTS


class Polars:
    """As a column of polars is."""

    dtype = "String"
    shape = (2,)

    def to_list(self):
        return TEXTS


class Column(collections.UserList):
    """As a column of Hugging Face's data sets is."""


@pytest.mark.parametrize(
    "x",
    [
        TEXTS,
        tuple(TEXTS),
        np.array(TEXTS),
        np.array(TEXTS, object),
        Arrow(),
        Polars(),
        Column(TEXTS),
        collections.deque(TEXTS),
        dict.fromkeys(TEXTS).keys(),
        iter(TEXTS),
        (text for text in TEXTS),
    ],
    ids=lambda x: type(x).__name__,
)
def test_texts_are_found_in_whatever_holds_them_in_order(x):
    assert texts_in(x)[0] == TEXTS


def test_pyarrow_columns_are_texts():
    import pyarrow as pa

    assert texts_in(pa.array(TEXTS))[0] == TEXTS
    assert texts_in(pa.chunked_array([TEXTS]))[0] == TEXTS


@pytest.mark.parametrize("x", ["one two", np.str_("one two"), np.array("one two")])
def test_one_string_is_one_text(x):
    assert texts_in(x)[0] == ["one two"]


@pytest.mark.parametrize("x", [[], (), np.array([]), iter([])])
def test_nothing_is_no_texts(x):
    assert texts_in(x)[0] == []


@pytest.mark.parametrize(
    ("x", "message"),
    [
        (None, "Received: None"),
        (5, "Received: 5"),
        (b"one", "Received: b'one'"),
        ({"one"}, "a set has not"),
        (["one", None], "Received None of type NoneType at index 1"),
        ([None, "one"], "at index 0"),
        ([1, 2], "Received 1 of type int"),
        (np.array(["one", 5], object), "Received 5"),
        (
            types.SimpleNamespace(columns=["text", "label"]),
            "of text, label: give the column",
        ),
        ({"text": TEXTS, "label": [0, 1]}, "a dict of text, label: give the column"),
        ({"text": np.array(TEXTS)}, "a dict of text: give the column"),
        ([TEXTS, TEXTS], r"Received \['one', 'two'\] of type list at index 0"),
        (np.array(5), "Received: 5"),
    ],
)
def test_what_cannot_be_texts_is_refused_in_a_sentence(x, message):
    with pytest.raises(InputError, match=message):
        texts_in(x)


def test_batches_and_arrays_are_for_keras():
    class Batches(keras.utils.PyDataset):
        def __len__(self):
            return 1

        def __getitem__(self, index):
            return np.zeros((1, 2))

    for x in (
        {"token_ids": np.zeros((1, 2), int)},
        np.zeros((1, 2)),
        [np.zeros((1, 2))],
        Batches(),
        sys.modules["jax"].numpy.zeros((1, 2)),
    ):
        texts, same = texts_in(x)
        assert texts is None
        assert same is x


def test_a_generator_of_batches_loses_none():
    batches = (np.full((1, 2), i) for i in range(3))
    texts, generator = texts_in(batches)
    assert texts is None
    assert isinstance(generator, types.GeneratorType)
    assert [int(batch[0, 0]) for batch in generator] == [0, 1, 2]
