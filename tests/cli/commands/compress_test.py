"""`sentiment compress`: what its flags reach, and the whole way once."""

import dataclasses
import json

import pytest

from sentiment.cli import main as cli
from sentiment.config import CompressionConfig
from sentiment.errors import InputError
from tests.conftest import call_fresh

# A value that differs from the default, and what else must be said with it.
OTHER = {
    "model": ("m", {}),
    "method": ("vocab", {}),
    "keep_layers": (3, {"method": "distill"}),
    "teacher_weight": (0.25, {"method": "distill"}),
    "dropout": (0.3, {"method": "distill"}),
    "unlabelled_split": (
        "unsupervised",
        {"method": "distill", "dataset": "imdb_reviews", "train_file": ""},
    ),
    "unlabelled_file": ("more.csv", {"method": "distill"}),
    "min_token_count": (7, {"method": "vocab"}),
}


def parse(**settings):
    settings = {"train_file": "a.csv", "model": "x", "workdir": "w", **settings}
    return cli.parse(
        "compress", [*(f"--{name}={value}" for name, value in settings.items())]
    )


@pytest.mark.parametrize(
    "name", [field.name for field in dataclasses.fields(CompressionConfig)]
)
def test_every_flag_reaches_its_setting(name):
    value, others = OTHER[name]
    found = parse(**others, **{name: value}).run.compression
    assert getattr(found, name) == ((value,) if name == "unlabelled_file" else value)
    assert getattr(CompressionConfig(model="x"), name) != value


def test_a_model_must_be_named():
    with pytest.raises(InputError, match="--model=WORKDIR"):
        parse(model="")


def test_a_model_is_compressed_and_predicts(trained, files, tmp_path):
    command = [
        "compress",
        *files.flags,
        f"--model={trained.workdir}",
        "--method=int8",
        f"--workdir={tmp_path / 'small'}",
    ]
    printed = call_fresh(cli.main, command)
    metrics = json.loads((tmp_path / "small" / "metrics.json").read_text())
    assert f"{metrics['before']['accuracy']:.2%}" in printed
    assert f"Saved in {tmp_path / 'small'}" in printed.replace("\n", "")
    command = ["predict", f"--model={tmp_path / 'small'}", "--text=Lovely film"]
    assert "Lovely film" in call_fresh(cli.main, command)
    again = (tmp_path / "small" / "config.cfg").read_text()
    assert f"--model={trained.workdir}\n" in again
