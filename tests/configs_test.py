import re

import pytest

from sentiment.bundled import bundled_presets
from sentiment.cli import main as cli
from sentiment.data.datasets import BUNDLED_LABELS
from tests.conftest import ROOT

CONFIGS = sorted((ROOT / "configs").glob("*.cfg"))
NAMES = {
    "chinese_scratch",
    "csv",
    "imdb",
    "imdb_distill",
    "imdb_finetune",
    "imdb_lstm",
    "imdb_mini",
    "imdb_pretrain",
    "imdb_two_stage",
    "imdb_scratch",
    "minilm_imdb",
    "minilm_sst2",
    "minilm_sst5",
    "quickstart",
    "qwen3_lora",
    "roberta_imdb",
    "sst2",
    "sst2_scratch",
    "sst5",
    "sst5_scratch",
    "twitter_roberta",
    "xlmr_chinese",
    "yelp",
}
HEADINGS = ["Purpose", "Command", "Cost", "Score"]

each_config = pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)


def head(path):
    """The comment lines that a config opens with, without their marks."""
    lines = path.read_text(encoding="utf-8").splitlines()
    count = next(i for i, line in enumerate(lines) if not line.startswith("#"))
    return [line.removeprefix("#").removeprefix(" ") for line in lines[:count]]


def command(path):
    """The arguments of the command that the head of a config gives."""
    text = "\n".join(head(path))
    shown = re.search(r"^Command:(.*?)(?=^[A-Z]\w*:)", text, re.DOTALL | re.MULTILINE)
    words = shown.group(1).split()
    assert words[0] == "python"
    return words[1].removeprefix("scripts/"), words[2:]


def test_the_set_of_configs():
    assert {path.stem for path in CONFIGS} == NAMES


@each_config
def test_config_opens_with_purpose_command_cost_and_score(path):
    starts = [line.split(":")[0] for line in head(path) if re.match(r"[A-Z]\w*:", line)]
    assert starts[:4] == HEADINGS


@each_config
def test_the_command_in_the_head_parses_to_this_config(path, monkeypatch):
    monkeypatch.chdir(ROOT)
    script, arguments = command(path)
    assert f"--flagfile=configs/{path.name}" in arguments
    cli.parse(script.removesuffix(".py"), arguments)


@each_config
def test_config_sets_each_flag_once_and_none_of_a_place(path):
    lines = path.read_text(encoding="utf-8").splitlines()
    names = [line.split("=")[0] for line in lines if line.startswith("--")]
    assert len(names) == len(set(names))
    assert "--workdir" not in names
    assert "--flagfile" not in names


@pytest.mark.parametrize(
    "path",
    [path for path in CONFIGS if command(path)[0] == "train.py"],
    ids=lambda path: path.stem,
)
def test_scratch_configs_need_no_download_of_weights(path, monkeypatch):
    monkeypatch.chdir(ROOT)
    model = cli.parse("train", [*command(path)[1]]).run.model
    assert bool(model.preset) != path.stem.endswith("_scratch")


@pytest.mark.parametrize("name", ["quickstart", "imdb_mini"])
def test_configs_that_need_no_download_take_a_preset_that_comes_along(name):
    path = ROOT / "configs" / f"{name}.cfg"
    arguments = [f"--flagfile={path}", "--workdir=w"]
    assert cli.parse("train", arguments).run.model.preset in bundled_presets()


def test_the_language_model_has_read_as_far_as_its_classifier_does():
    def run_of(command, name):
        flagfile = f"--flagfile={ROOT / 'configs' / name}"
        return cli.parse(command, [flagfile, "--workdir=w"]).run

    language_model = run_of("pretrain", "imdb_pretrain.cfg").backbone
    classifier = run_of("train", "imdb_mini.cfg").model
    assert language_model.sequence_length == classifier.sequence_length


@pytest.mark.parametrize(
    "path",
    [*CONFIGS, *ROOT.glob("*.md"), *ROOT.glob("docs/*.md")],
    ids=lambda path: str(path.relative_to(ROOT)),
)
def test_nothing_is_left_to_be_filled_in(path):
    text = path.read_text(encoding="utf-8")
    assert not re.search(r"@@|TODO|not measured yet", text)


def test_quickstart_is_on_the_bundled_reviews(monkeypatch):
    monkeypatch.chdir(ROOT)
    path = ROOT / "configs" / "quickstart.cfg"
    run = cli.parse("train", [*command(path)[1]]).run
    assert run.data.dataset == "quickstart"
    assert run.data.label_names in ((), BUNDLED_LABELS)
