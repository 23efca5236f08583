import dataclasses
import json
import os
import signal

import keras_hub
import numpy as np
import pytest

from sentiment.cli import main
from sentiment.config import (
    BackboneConfig,
    CorpusConfig,
    PretrainingConfig,
    PretrainRunConfig,
    SpeedConfig,
)
from sentiment.errors import InputError
from sentiment.models.backbones import KINDS
from sentiment.models.packed_language_model import save_language_model
from sentiment.models.packed_masked_lm import PackedMaskedLM
from sentiment.models.presets import load_backbone
from sentiment.training import pretrain as module
from sentiment.training import resumable_run
from sentiment.training.pretrain import pretrain
from tests.conftest import (
    FreshProcess,
    Stop,
    at_update,
    stop_at,
    terminate_at,
    wait_for,
)
from tests.training.conftest import command_of

WORDS = "the film was a great deal of fun but dull in parts and far too long"


@pytest.fixture(scope="module")
def text_file(tmp_path_factory):
    """120 texts whose every word follows from the one before."""
    rng = np.random.default_rng(0)
    lines, words = [], WORDS.split()
    for number in range(120):
        start, count = rng.integers(len(words)), rng.integers(4, 30)
        chosen = [words[(start + i) % len(words)] for i in range(count)]
        lines.append(f"{number} " + " ".join(chosen))
    path = tmp_path_factory.mktemp("text") / "text.txt"
    path.write_text("\n".join(lines) + "\n")
    return str(path)


@pytest.fixture(scope="module")
def config(text_file, tmp_path_factory):
    compiled = tmp_path_factory.mktemp("cache")
    return PretrainRunConfig(
        CorpusConfig(text_files=(text_file,), validation_fraction=0.1),
        BackboneConfig(
            num_layers=1,
            num_heads=2,
            hidden_dim=16,
            intermediate_dim=32,
            vocabulary_size=300,
            max_positions=32,
            sequence_length=32,
            dropout=0.1,
        ),
        PretrainingConfig(
            batch_size=4, epochs=4, learning_rate=0.02, checkpoint_every=12
        ),
        # What is compiled is shared by all runs, also by those in other processes.
        SpeedConfig(cache_dir=str(compiled)),
    )


def weights_of(workdir, config):
    backbone, _ = load_backbone(
        dataclasses.replace(config.backbone, preset=str(workdir / "preset"))
    )
    return backbone.get_weights()


def assert_same_run(one, other, config):
    for a, b in zip(weights_of(one, config), weights_of(other, config), strict=True):
        np.testing.assert_array_equal(a, b)
    assert (one / "history.csv").read_text() == (other / "history.csv").read_text()


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """Runs that were never interrupted, by settings."""
    made = {}

    def run(config):
        if config not in made:
            workdir = tmp_path_factory.mktemp("whole")
            made[config] = workdir, pretrain(config, workdir)
        return made[config]

    return run


def test_perplexity_falls_and_fits_what_is_reported(config, whole):
    workdir, result = whole(config)
    history = result.history
    assert history["update"][:2] == [12, 24]
    assert history["val_perplexity"][-1] < history["val_perplexity"][0] / 2
    scores = json.loads((workdir / "metrics.json").read_text())["validation"]
    assert scores["perplexity"] == pytest.approx(np.exp(history["val_loss"][-1]))
    bits = history["val_loss"][-1] * scores["num_tokens"] / np.log(2)
    assert scores["bits_per_byte"] == pytest.approx(bits / scores["num_bytes"])
    assert 0 < scores["bits_per_byte"] < 4
    assert not (workdir / "checkpoints").exists()
    assert (workdir / "plots" / "perplexity.png").is_file()


@pytest.fixture(scope="module")
def masked(config, tmp_path_factory):
    """The same with an encoder, and texts that say one word again and again."""
    rng = np.random.default_rng(0)
    path = tmp_path_factory.mktemp("text") / "repeated.txt"
    texts = [" ".join([word] * n) for word in WORDS.split() for n in range(4, 12)]
    path.write_text("\n".join(rng.permutation(texts)) + "\n")
    return dataclasses.replace(
        config,
        corpus=dataclasses.replace(config.corpus, text_files=(str(path),)),
        backbone=dataclasses.replace(
            config.backbone, architecture="bert", hidden_dim=32, dropout=0.0
        ),
        training=dataclasses.replace(
            config.training, epochs=16, learning_rate=0.01, checkpoint_every=24
        ),
    )


def test_an_encoder_learns_to_find_hidden_tokens(masked, whole):
    workdir, result = whole(masked)
    assert isinstance(result.model, PackedMaskedLM)
    history = result.history
    assert history["val_perplexity"][-1] < history["val_perplexity"][0] / 2
    assert "val_bits_per_byte" not in history
    scores = json.loads((workdir / "metrics.json").read_text())["validation"]
    assert scores["perplexity"] == pytest.approx(np.exp(history["val_loss"][-1]))
    preset = dataclasses.replace(masked.backbone, preset=str(workdir / "preset"))
    backbone, tokenizer = load_backbone(preset)
    # There is an embedding for the mask, which is no token of the tokenizer.
    assert backbone.vocabulary_size == tokenizer.vocabulary_size() + 1
    for one, other in zip(backbone.weights, result.model.backbone.weights, strict=True):
        np.testing.assert_array_equal(one.value, other.value)


def test_an_encoder_goes_on_bit_for_bit_after_an_interruption(masked, whole, tmp_path):
    expected, _ = whole(masked)
    with pytest.raises(Stop):
        pretrain(masked, tmp_path, on_update=stop_at(30))
    pretrain(masked, tmp_path)
    assert_same_run(tmp_path, expected, masked)


def test_pretraining_goes_on_from_an_encoder(masked, whole, tmp_path):
    workdir, _ = whole(masked)
    backbone = dataclasses.replace(masked.backbone, preset=str(workdir / "preset"))
    training = dataclasses.replace(masked.training, epochs=1, mask_share=0.3)
    config = dataclasses.replace(masked, backbone=backbone, training=training)
    first = pretrain(config, tmp_path).history["val_perplexity"][-1]
    assert first < whole(masked)[1].history["val_perplexity"][0]


@pytest.mark.parametrize(
    ("architecture", "objective", "learns"),
    [("gpt2", "mlm", "causal"), ("lstm", "mlm", "causal"), ("bert", "causal", "mlm")],
)
def test_an_objective_that_a_backbone_has_not_is_refused_before_text_is_read(
    config, tmp_path, monkeypatch, architecture, objective, learns
):
    monkeypatch.setattr(module, "load_corpus", lambda *_: pytest.fail("too late"))
    backbone = dataclasses.replace(config.backbone, architecture=architecture)
    training = dataclasses.replace(config.training, objective=objective)
    config = dataclasses.replace(config, backbone=backbone, training=training)
    message = f"learns with --objective={learns}. Received: --objective={objective}"
    with pytest.raises(InputError, match=message):
        pretrain(config, tmp_path)


def test_a_preset_without_a_mask_is_refused_before_text_is_read(
    config, tmp_path, monkeypatch, tokenizer
):
    monkeypatch.setattr(module, "load_corpus", lambda *_: pytest.fail("too late"))
    encoder = keras_hub.models.BertBackbone(
        tokenizer.vocabulary_size(), 1, 1, 4, 4, max_sequence_length=32
    )
    save_language_model(encoder, tokenizer, tmp_path / "preset")
    backbone = dataclasses.replace(config.backbone, preset=str(tmp_path / "preset"))
    with pytest.raises(InputError, match=r"behind a mask token.*300 tokens has none"):
        pretrain(dataclasses.replace(config, backbone=backbone), tmp_path / "run")


def test_metrics_count_what_was_left_out(config, text_file, tmp_path):
    some = tmp_path / "test.txt"
    with open(text_file) as file:
        some.write_text("".join(file.readlines()[:7]))
    corpus = dataclasses.replace(config.corpus, exclude_files=(str(some),))
    training = dataclasses.replace(config.training, epochs=1)
    config = dataclasses.replace(config, corpus=corpus, training=training)
    counts = pretrain(config, tmp_path / "run").metrics["corpus"]
    assert counts["num_excluded"] == 7
    assert counts["num_train_documents"] + counts["num_validation_documents"] == 113


@pytest.mark.parametrize("updates", [5, 17, 30])
def test_interrupted_run_ends_like_the_whole_one(config, whole, tmp_path, updates):
    with pytest.raises(Stop):
        pretrain(config, tmp_path, on_update=stop_at(updates))
    pretrain(config, tmp_path)
    assert_same_run(tmp_path, whole(config)[0], config)


@pytest.mark.parametrize("architecture", ["lstm"])
def test_recurrent_model_learns(config, whole, architecture):
    backbone = dataclasses.replace(config.backbone, architecture=architecture)
    config = dataclasses.replace(config, backbone=backbone)
    _, result = whole(config)
    perplexity = result.history["val_perplexity"]
    assert perplexity[-1] < perplexity[0]


def pretrain_and_die(config, workdir, updates, checkpoint=None):
    """The process ends by SIGKILL at an update, when a checkpoint is whole."""

    def die():
        if checkpoint:
            wait_for(checkpoint)
        os.kill(os.getpid(), signal.SIGKILL)

    pretrain(config, workdir, on_update=at_update(updates, die))


def test_killed_process_goes_on(config, whole, tmp_path):
    """SIGKILL while a checkpoint is being written, and after one is whole."""
    workdir = tmp_path / "run"
    whole_one = workdir / "checkpoints" / "24"
    for updates, checkpoint in ((13, None), (25, whole_one)):
        killed = FreshProcess(pretrain_and_die, config, workdir, updates, checkpoint)
        printed = killed.wait()
        assert killed.status == -signal.SIGKILL, printed
    again = FreshProcess(main.main, ["pretrain", *command_of(config, workdir)])
    printed = again.wait()
    assert again.status == 0, printed
    assert "Going on after update 24." in printed
    assert_same_run(workdir, whole(config)[0], config)


@pytest.fixture
def interrupted():
    """Leaves a run with a checkpoint after update 12."""

    def run(config, workdir):
        with pytest.raises(Stop):
            pretrain(config, workdir, on_update=stop_at(13))

    return run


def test_other_settings_are_refused_with_their_names(config, tmp_path, interrupted):
    interrupted(config, tmp_path)
    training = dataclasses.replace(config.training, max_recoveries=1)
    changed = dataclasses.replace(config, training=training, seed=1)
    with pytest.raises(InputError, match="--max_recoveries: 2 then, 1 now") as e:
        pretrain(changed, tmp_path)
    assert "--seed: 0 then, 1 now" in str(e.value)
    told = []
    with pytest.raises(Stop):
        pretrain(
            changed, tmp_path, True, lambda done: told.append(done) or stop_at(2)(done)
        )
    assert told == [1, 2]


def test_other_text_is_refused(config, tmp_path, interrupted):
    path = tmp_path / "text.txt"
    with open(config.corpus.text_files[0]) as file:
        lines = file.readlines()
    path.write_text("".join(lines))
    corpus = dataclasses.replace(config.corpus, text_files=(str(path),))
    config = dataclasses.replace(config, corpus=corpus)
    interrupted(config, tmp_path / "run")
    path.write_text("".join([*lines[:-1], "another line\n"]))
    with pytest.raises(InputError, match=r"--text_files: .*text.txt has changed"):
        pretrain(config, tmp_path / "run")


def test_sigterm_saves_and_the_same_call_goes_on(
    config, whole, tmp_path, monkeypatch, fast_clock
):
    with pytest.raises(SystemExit) as left:
        pretrain(config, tmp_path, on_update=terminate_at(17))
    assert left.value.code == 128 + signal.SIGTERM
    assert (tmp_path / "checkpoints" / "17").is_dir()
    seconds = resumable_run.Checkpoints(tmp_path / "checkpoints").about()["seconds"]
    monkeypatch.undo()
    result = pretrain(config, tmp_path)
    assert_same_run(tmp_path, whole(config)[0], config)
    # Of both sittings; the second has the real clock.
    assert 0 < result.metrics["run"]["seconds"] - seconds < 1e5


def test_a_full_disk_stops_the_run_which_goes_on_when_there_is_room(
    config, whole, tmp_path, fill_disk
):
    fill_disk("pretrain", 14, config, tmp_path / "run", last=12)
    pretrain(config, tmp_path / "run")
    assert_same_run(tmp_path / "run", whole(config)[0], config)


def test_a_second_process_is_refused_while_one_trains(config, tmp_path, refused_beside):
    refused_beside("pretrain", config, tmp_path / "run", pretrain)


@pytest.mark.parametrize("factor", [np.nan, 1e4])
def test_divergence_goes_back_and_leaves_the_batch_out(
    config, tmp_path, poison, logged, factor
):
    poison(24, factor)  # whenever it is read
    result = pretrain(config, tmp_path)
    metrics = json.loads((tmp_path / "metrics.json").read_text())
    assert metrics["run"]["num_recoveries"] == 1
    assert float(result.model.optimizer.rate_factor) == 0.5
    assert max(result.history["loss"]) < 10
    printed = logged.text
    assert "in updates 25 to 25. Back to update 24, without these batches" in printed
    assert "at 0.5 of the learning rate (1 of 2 times)" in printed


def test_divergence_is_recovered_from_so_many_times(config, tmp_path, poison, logged):
    training = dataclasses.replace(config.training, max_recoveries=1)
    poison(24, forever=True)
    with pytest.raises(InputError, match="The loss became nan by update 36"):
        pretrain(dataclasses.replace(config, training=training), tmp_path)
    assert logged.text.count("Back to update 24") == 1
    assert (tmp_path / "checkpoints" / "24").is_dir()


def test_damaged_checkpoint_is_reported(config, tmp_path, interrupted):
    interrupted(config, tmp_path)
    state = tmp_path / "checkpoints" / "12" / "state"
    for file in state.rglob("*"):
        if file.is_file():
            file.write_bytes(b"")
    with pytest.raises(InputError, match=r"checkpoint of update 12 .* cannot be read"):
        pretrain(config, tmp_path)


def test_finished_run_is_not_replaced_unasked(config, whole):
    workdir, _ = whole(config)
    with pytest.raises(InputError, match="already holds a finished run"):
        pretrain(config, workdir)


def test_preset_is_trained_further(config, whole, tmp_path):
    workdir, result = whole(config)
    backbone = dataclasses.replace(config.backbone, preset=str(workdir / "preset"))
    training = dataclasses.replace(config.training, epochs=1, learning_rate=1e-5)
    further = dataclasses.replace(config, backbone=backbone, training=training)
    again = pretrain(further, tmp_path)
    start = again.history["val_loss"][0]
    assert start == pytest.approx(result.history["val_loss"][-1], rel=0.05)


def test_rows_beyond_the_positions_are_refused(config, whole, tmp_path):
    workdir, _ = whole(config)
    backbone = dataclasses.replace(
        config.backbone, preset=str(workdir / "preset"), sequence_length=64
    )
    with pytest.raises(InputError, match="beyond the backbone's 32 positions"):
        pretrain(dataclasses.replace(config, backbone=backbone), tmp_path)


def test_bar_counts_real_tokens():
    bar = module._progress(10, 2, tokens_per_update=100.0)
    bar._time = lambda: bar.start_t + 1.0  # however busy the machine is
    bar.last_print_t = bar.start_t
    bar.update(4)
    shown = int(bar.format_dict["tokens_per_second"].split()[0].replace(",", ""))
    assert shown == 400
    bar.close()


@pytest.mark.parametrize("objective", ["auto", "mlm", "causal"])
def test_a_kind_without_an_objective_is_refused_as_such(config, objective):
    training = dataclasses.replace(config.training, objective=objective)
    config = dataclasses.replace(config, training=training)
    with pytest.raises(InputError, match=r"XLNetBackbone has no objective that is kn"):
        module._check_objective(config, KINDS["xlnet"])
