import pytest

from sentiment.config import (
    BundleCommand,
    CompareCommand,
    EvaluateCommand,
    PredictCommand,
    TrainCommand,
)
from sentiment.errors import InputError
from tests.config.conftest import DATA, RUN


@pytest.mark.parametrize("command", [EvaluateCommand, PredictCommand])
def test_a_model_must_be_named(command):
    arguments = {"data": DATA} if command is EvaluateCommand else {"text": ("a",)}
    assert command(**arguments).model == ("imdb_mini_sentiment",)
    with pytest.raises(InputError, match="--model="):
        command(**arguments, model="")
    with pytest.raises(InputError, match="--model="):
        command(**arguments, model=("a", ""))
    with pytest.raises(InputError, match="--model must be different names"):
        command(**arguments, model=("a", "a"))
    for one in ("a", ["a"]):
        assert command(**arguments, model=one).model == ("a",)


def test_a_workdir_must_be_named():
    with pytest.raises(InputError, match="--workdir="):
        TrainCommand(RUN)


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"text": ("a",), "input": "a.csv", "output": "b.csv"},
        {"input": "a.csv"},
        {"text": ("a",), "output": "b.csv"},
    ],
)
def test_predict_reads_texts_or_a_file(settings):
    with pytest.raises(InputError, match="--input"):
        PredictCommand(model="m", **settings)


@pytest.mark.parametrize(
    "settings",
    [
        {"overwrite": True},
        {"escape_formulas": True},
        {"skip_bad_rows": True},
        {"delimiter": ";"},
        {"quoting": "none"},
        {"columns": ("text",)},
        {"text_column": "body"},
    ],
)
def test_what_is_for_files_does_nothing_for_texts(settings):
    (name,) = settings
    with pytest.raises(InputError, match=f"--{name} would do nothing"):
        PredictCommand(text=("a",), **settings)
    assert PredictCommand(input="a.csv", output="b.csv", **settings)


def test_a_run_is_not_compared_with_itself():
    with pytest.raises(InputError, match="two different runs"):
        CompareCommand(("a", "./a/"))


@pytest.mark.parametrize("settings", [("", "n"), ("p", ""), ("p", "a/b"), ("p", "..")])
def test_what_is_bundled_has_a_plain_name(settings):
    with pytest.raises(InputError, match="--name=NAME"):
        BundleCommand(*settings)


@pytest.mark.parametrize("output", ["x.txt", "chart", "x.png.csv"])
def test_the_chart_of_a_comparison_is_a_png(output):
    with pytest.raises(InputError, match=r"must end in \.png"):
        CompareCommand(("a", "b"), output=output)
    assert CompareCommand(("a", "b"), output="x.PNG")
