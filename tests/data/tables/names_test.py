import time

import pytest

from sentiment.data.tables.names import distinct, find_column, tidy_name
from sentiment.errors import InputError


def test_tidy_names_have_nothing_that_cannot_be_seen():
    assert tidy_name("\ufeff cafe\u0301\u200b ") == "caf\u00e9"
    assert tidy_name("two words") == "two words"
    assert tidy_name(3) == "3"


def test_distinct_names():
    assert distinct(["a", "b"]) == ["a", "b"]
    assert distinct(["a", "", "a", "", "a"]) == ["a", "", "a.1", ".1", "a.2"]
    assert distinct(["a", "a", "a.1"]) == ["a", "a.2", "a.1"]


def test_a_column_is_found_by_its_name_or_what_looks_like_it():
    assert find_column("f", ["text ", "text"], "text") == 1
    assert find_column("f", ["id", " text"], "text ") == 1
    with pytest.raises(InputError, match="several columns named 'text'"):
        find_column("f", ["text ", " text"], "text")


def test_long_names_are_cut():
    with pytest.raises(InputError) as error:
        find_column("f", ["short", "y" * 59 + "z" * 40], "text")
    assert "z" * 2 not in str(error.value)


def test_many_equal_names_take_no_time():
    begin = time.thread_time()
    assert distinct([""] * 20_000)[-1] == ".19999"
    assert time.thread_time() - begin < 5
