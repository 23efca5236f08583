"""`sentiment gather`; a test named `test_<flag>__<effect>` observes a flag."""

import csv
import dataclasses

import pytest

from sentiment.cli import main as cli
from sentiment.config import GatherCommand, GatheredSource
from sentiment.errors import InputError
from tests.conftest import ROOT


@pytest.fixture
def write_source(tmp_path):
    """Writes a table of texts and the flagfile that describes it."""

    def write(name, *lines, flags=()):
        table = tmp_path / f"{name}_texts.csv"
        table.write_text("\n".join(lines) + "\n")
        flagfile = tmp_path / f"{name}.cfg"
        flagfile.write_text("\n".join([f"--files={table}", *flags]) + "\n")
        return str(flagfile)

    return write


@pytest.fixture
def sources(write_source):
    """Two flagfiles, as `--sources` takes them."""
    stars = ("text,label", "Lovely.,5", "Dull.,1", "Fine.,4")
    labelled = write_source("stars", *stars, flags=["--label_map=1-2:bad,3-5:good"])
    plain = ("text", "A day. A night.", "Dull.")
    return f"{labelled},{write_source('plain', *plain, flags=['--nolabelled'])}"


@pytest.fixture
def gather(call_script, tmp_path):
    """Runs the command; returns the rows of the table and what was printed."""

    def run(*arguments, output=tmp_path / "all.csv"):
        result = call_script("gather", *arguments, f"--output={output}")
        assert result.status == 0, result.err
        with open(output, newline="") as file:
            return list(csv.reader(file))[1:], result.out

    return run


def test_every_flag_has_a_test_that_observes_it():
    expected = {f.name for f in dataclasses.fields(GatherCommand) if f.metadata}
    tests = [name[5:] for name in globals() if name.startswith("test_")]
    assert {name.split("__")[0] for name in tests if "__" in name} == expected


def test_sources__become_one_table(gather, sources):
    rows, printed = gather(f"--sources={sources}")
    assert rows == [
        ["Lovely.", "good", "stars"],
        ["Dull.", "bad", "stars"],
        ["Fine.", "good", "stars"],
        ["A day. A night.", "", "plain"],
    ]
    assert "stars: 1 bad, 2 good" in printed
    assert "4 rows written" in printed


def test_exclude__leaves_texts_out(gather, sources, write_source):
    test = write_source("test", "text", "fine.", flags=["--nolabelled"])
    rows, printed = gather(f"--sources={sources}", f"--exclude={test}")
    assert [text for text, *_ in rows] == ["Lovely.", "Dull.", "A day. A night."]
    assert "left out" in printed


def test_seed__decides_what_is_drawn(gather, write_source):
    texts = [f"text {i}" for i in range(50)]
    flags = ["--nolabelled", "--max_rows=10"]
    source = write_source("many", "text", *texts, flags=flags)
    drawn = [
        gather(f"--sources={source}", f"--seed={seed}", "--overwrite")[0]
        for seed in (1, 2, 1)
    ]
    assert drawn[0] == drawn[2] != drawn[1]
    assert len(drawn[0]) == 10


def test_output__ends_in_what_is_written(call_script, sources, tmp_path):
    result = call_script(
        "gather", f"--sources={sources}", f"--output={tmp_path / 'a.xlsx'}"
    )
    assert result.status == 2
    assert ".parquet" in result.err


def test_output__is_no_input(call_script, sources, tmp_path):
    table = tmp_path / "stars_texts.csv"
    before = table.read_text()
    flags = (f"--sources={sources}", f"--output={table}", "--overwrite")
    result = call_script("gather", *flags)
    assert (result.status, table.read_text()) == (2, before)
    assert "the same file" in result.err


def test_overwrite__replaces_the_output(call_script, gather, sources, tmp_path):
    output = tmp_path / "all.csv"
    output.write_text("mine")
    refused = call_script("gather", f"--sources={sources}", f"--output={output}")
    assert (refused.status, output.read_text()) == (2, "mine")
    assert len(gather(f"--sources={sources}", "--overwrite")[0]) == 4


def test_tfds_data_dir__is_of_all_data_sets(tmp_path, sources):
    flagfile = tmp_path / "imdb.cfg"
    flagfile.write_text("--dataset=imdb_reviews\n--tfds_data_dir=a\n")
    arguments = [f"--sources={flagfile},{sources}", "--output=o.csv"]
    command = cli.parse("gather", [*arguments, "--tfds_data_dir=b"])
    folders = [source.tfds_data_dir for source in command.gathered.values()]
    assert folders == ["b", "", ""]
    assert cli.parse("gather", arguments).gathered["imdb"].tfds_data_dir == "a"


# --- What is refused before anything is read


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--files=a.csv", "--dataset=d"], "either a --dataset or --files"),
        ([], "either a --dataset or --files"),
        (["--files=a.csv", "--splits=test"], "--files have none"),
        (["--dataset=d", "--splits=a,a"], "--splits must be different"),
        (["--dataset=d", "--label_map=1:a"], "--label_map is for --files"),
        (["--dataset=quickstart", "--label_map=1:a"], "classes of its own"),
        (["--dataset=short_texts", "--label_names=a,b,c"], "classes of its own"),
        (["--files=a.csv", "--unit=sentence"], "goes with --nolabelled"),
        (["--files=a.csv", "--nolabelled", "--label_names=a"], "would do nothing"),
        (["--files=a.csv", "--min_words=3", "--max_words=2"], "at least --min_words"),
        (["--files=a.csv", "--max_words=-1"], "--max_words must be"),
        (["--file=a.csv"], "Unknown command line flag 'file'"),
        (["--help"], "not for a flagfile"),
    ],
)
def test_a_source_that_makes_no_sense_is_named(tmp_path, flags, said):
    path = tmp_path / "odd.cfg"
    path.write_text("\n".join(flags))
    with pytest.raises(InputError, match=said) as error:
        cli.parse("gather", [f"--sources={path}", "--output=o.csv"])
    assert "odd.cfg" in str(error.value)


def test_nothing_to_gather_or_nowhere_to_write_is_refused(sources):
    for arguments in ([f"--sources={sources}"], ["--output=o.csv"]):
        with pytest.raises(InputError, match="--sources=FLAGFILE,FLAGFILE and --out"):
            cli.parse("gather", arguments)


def test_two_sources_of_one_name_are_refused(sources):
    with pytest.raises(InputError, match="Two sources are called 'stars'"):
        cli.parse("gather", [f"--sources={sources},{sources}", "--output=o.csv"])


@pytest.mark.parametrize(
    "path", sorted((ROOT / "configs" / "sources").glob("*.cfg")), ids=lambda p: p.stem
)
def test_each_source_that_comes_along_is_one(path):
    command = cli.parse("gather", [f"--sources={path}", "--output=o.csv"])
    assert isinstance(command.gathered[path.stem], GatheredSource)
    assert path.read_text().startswith("# ")
