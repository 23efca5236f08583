from dataclasses import replace

import pytest

from sentiment.config import GatheredSource
from sentiment.data.gathering import gather, write_rows
from sentiment.data.labelled_rows import read_labelled
from sentiment.errors import InputError


@pytest.fixture
def table(tmp_path):
    """Writes a table; `table("a", "text,label", "Fine,1")` gives its source."""

    def write(name, *lines, **settings):
        path = tmp_path / f"{name}.csv"
        path.write_text("\n".join(lines) + "\n")
        return GatheredSource(files=(str(path),), **settings)

    return write


def texts_of(found):
    return [row.text for row in found.rows]


@pytest.fixture
def stars(table):
    lines = ("text,label", "Lovely.,5", "So so.,3", "Dull.,1")
    return table("stars", *lines, label_map=("1-2:bad", "3:mixed", "4-5:good"))


def test_each_source_keeps_its_labels_under_common_names(stars, table):
    words = table("words", "text,label", "Great.,good", "Poor.,bad")
    found = gather({"stars": stars, "words": words})
    assert [(row.text, row.label, row.source) for row in found.rows] == [
        ("Lovely.", "good", "stars"),
        ("So so.", "mixed", "stars"),
        ("Dull.", "bad", "stars"),
        ("Great.", "good", "words"),
        ("Poor.", "bad", "words"),
    ]
    assert found.counts["stars"].labels == {"good": 1, "mixed": 1, "bad": 1}


def test_a_text_is_taken_once_from_the_first_that_has_it(stars, table):
    same = table(
        "same",
        "text,label",
        "<b>lovely.</b>,good",
        "DULL.,good",
        "New.,bad",
        "new.,bad",
    )
    found = gather({"stars": stars, "same": same})
    assert texts_of(found) == ["Lovely.", "So so.", "Dull.", "New."]
    counts = found.counts["same"]
    assert (counts.read, counts.repeated, counts.contradicting) == (4, 2, 1)


def test_what_is_to_be_left_out_is_not_there(stars, table):
    test = table("test", "text", "so  SO.", labelled=False)
    found = gather({"stars": stars}, [test])
    assert texts_of(found) == ["Lovely.", "Dull."]
    assert found.counts["stars"].excluded == 1


def test_sentences_come_without_the_label_of_their_text(table):
    lines = ("text", "A <b>start</b>. An end!<br /><br />No stop<P>Last", "Alone")
    source = table("a", *lines, labelled=False, unit="sentence")
    found = gather({"a": source})
    assert texts_of(found) == [
        "A start .",
        "An end!",
        "No stop",
        "Last",
        "Alone",
    ]
    assert {row.label for row in found.rows} == {None}
    assert found.counts["a"].read == 2


def test_no_sentence_of_a_text_that_is_left_out(table):
    source = table(
        "a", "text", "One. Two.", "Three. One.", labelled=False, unit="sentence"
    )
    test = table("test", "text", "one. two.", "Three.", labelled=False)
    found = gather({"a": source}, [test])
    # "Three." itself is excluded; "One." is of another text here, and may be anyone's.
    assert texts_of(found) == ["One."]
    assert found.counts["a"].excluded == 2


@pytest.mark.parametrize(
    "limits, left",
    [
        ({"min_words": 2}, ["b c", "d e f"]),
        ({"max_words": 2}, ["a", "b c"]),
        ({"min_words": 2, "max_words": 2}, ["b c"]),
    ],
)
def test_words_are_counted(table, limits, left):
    found = gather(
        {"a": table("a", "text", "a", "b c", "d e f", labelled=False, **limits)}
    )
    assert texts_of(found) == left
    assert found.counts["a"].of_other_length == 3 - len(left)


def test_each_chinese_letter_is_a_word(table):
    source = table("a", "text", "\u4e0d\u597d", "\u4e0d", labelled=False, min_words=2)
    assert texts_of(gather({"a": source})) == ["\u4e0d\u597d"]


def test_what_is_drawn_depends_on_the_seed_alone(table):
    lines = [f"text {i}" for i in range(100)]
    source = table("a", "text", *lines, labelled=False, max_rows=20)
    drawn = texts_of(gather({"a": source}, seed=3))
    assert drawn == texts_of(gather({"a": source}, seed=3))
    assert drawn != texts_of(gather({"a": source}, seed=4))
    assert len(set(drawn)) == 20
    assert drawn == sorted(drawn, key=lines.index)
    assert gather({"a": source}).counts["a"].not_drawn == 80
    others = {"before": table("b", "text", "x", "y", labelled=False), "a": source}
    assert texts_of(gather(others, seed=3)) == ["x", "y", *drawn]


def test_what_was_not_drawn_may_come_from_another_source(table):
    lines = [f"text {i}" for i in range(10)]
    few = table("few", "text", *lines, labelled=False, max_rows=3)
    found = gather({"few": few, "all": table("all", "text", *lines, labelled=False)})
    assert sorted(texts_of(found)) == lines
    assert found.counts["all"].repeated == 3


def test_a_label_is_not_lost_to_a_source_without(stars, table):
    plain = table("plain", "text", "DULL.", "More.", labelled=False)
    found = gather({"plain": plain, "stars": stars})
    assert [(row.text, row.label) for row in found.rows][2:] == [
        ("Dull.", "bad"),
        ("More.", None),
    ]


def test_what_is_left_out_needs_no_label_and_has_sentences(table):
    source = table("a", "text", "One. Two.", "Two.", "Three.", labelled=False)
    test = table("test", "text,label", "One. Two.,", "Three.,bad", unit="text")
    assert texts_of(gather({"a": source}, [test])) == ["Two."]
    cut = replace(test, labelled=False, unit="sentence")
    with pytest.raises(InputError, match="Nothing is left"):
        gather({"a": source}, [cut])


@pytest.mark.parametrize("names", ["neg Negative", "neg 0", "very VERY"])
def test_two_spellings_of_a_class_are_refused_before_any_is_drawn(table, names):
    mine, theirs = names.split()
    one = table("one", "text,label", f"A.,{mine}", "B.,pos", max_rows=1)
    other = table("other", "text,label", f"A.,{theirs}", "D.,pos", max_rows=1)
    said = f"one has a class '{mine}', other one '{theirs}'"
    for seed in range(4):
        with pytest.raises(InputError, match=said):
            gather({"one": one, "other": other}, seed=seed)


@pytest.mark.parametrize(
    "names", [("1", "10"), ("very", "very bad"), ("joy", "joyful")]
)
def test_names_that_a_source_tells_apart_are_two_classes(table, names):
    lines = [f"text {name},{name}" for name in names]
    one, other = (table(f"t{i}", "text,label", *lines[: i + 1]) for i in range(2))
    found = gather({"other": other, "one": one})
    assert {row.label for row in found.rows} == set(names)


def test_nothing_left_is_refused(stars):
    with pytest.raises(InputError, match=r"3 texts were read; .* 3 are to be left"):
        gather({"stars": stars}, [stars])


def test_the_bundled_reviews_have_splits():
    source = GatheredSource(dataset="quickstart", splits=("validation", "test"))
    found = gather({"quickstart": source})
    assert len(found.rows) == 432
    assert set(found.counts["quickstart"].labels) == {"negative", "neutral", "positive"}
    with pytest.raises(InputError, match=r"no split 'all'. It has: train, validation"):
        gather({"quickstart": GatheredSource(dataset="quickstart", splits=("all",))})


def test_the_table_is_read_back(stars, tmp_path):
    found = gather({"stars": stars})
    path = tmp_path / "all.parquet"
    write_rows(found.rows, path)
    back = read_labelled(path)
    assert back.texts == texts_of(found)
    names = [back.label_names[code] for code in back.labels]
    assert names == [row.label for row in found.rows]
    with pytest.raises(InputError, match="exists"):
        write_rows(found.rows, path)
