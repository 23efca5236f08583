"""What each flag of `sentiment train` does: a test named `test_<flag>__<effect>`.

Nothing is trained but the shared run: `start` goes from the command line to
the call of `fit`, and the tests look at what would be trained, and how.
"""

import contextlib
import dataclasses
import itertools
import json
import math
from types import SimpleNamespace

import jax
import keras
import keras_hub
import numpy as np
import pytest
import scipy

import sentiment
from sentiment.baselines.classical import fit_baseline
from sentiment.cli import main as cli
from sentiment.config import (
    POOLING_NAMES,
    TEACHERS,
    AdversarialConfig,
    BaselineConfig,
    DataConfig,
    ModelConfig,
    RunConfig,
    SpeedConfig,
    TrainCommand,
    TrainingConfig,
    UnlabelledConfig,
)
from sentiment.data import datasets, tfds_source, vocabulary
from sentiment.errors import InputError
from sentiment.inference.loading import load_classifier
from sentiment.models.backbones import KINDS, packed_transformer
from sentiment.models.embedding_transfer import load_embeddings, transfer_embeddings
from sentiment.models.ensemble import Ensemble
from sentiment.models.packed_causal_lm import PackedCausalLM
from sentiment.runtime import process as runtime
from sentiment.training import resumable_run, train, unlabelled_texts
from sentiment.training.callbacks import KeepBest
from sentiment.training.optimizers import make_optimizer
from tests.cli.conftest import CLASSES, TINY, reviews
from tests.data.tables.workbook import write_workbook


class Started(Exception):
    """Raised where training would begin."""


def parse(*arguments):
    return cli.parse("train", [*map(str, arguments)])


@pytest.fixture
def start(monkeypatch, tmp_path, files):
    """Goes up to the call of `fit`; returns the classifier and what `fit` got."""

    def stop(classifier, x, **options):
        raise Started(classifier, x, options)

    monkeypatch.setattr(sentiment.PackedTextClassifier, "fit", stop)

    def run(*arguments):
        workdir = f"--workdir={tmp_path / 'workdir'}"
        command = parse(*files.flags, *TINY, workdir, *arguments)
        with pytest.raises(Started) as started:
            train.train_and_evaluate(command.run, command.workdir, command.overwrite)
        classifier, batches, options = started.value.args
        inputs, labels, weights = next(iter(batches))
        return SimpleNamespace(
            classifier=classifier,
            batches=batches,
            token_ids=inputs["token_ids"],
            segment_lengths=inputs["segment_lengths"],
            labels=labels,
            weights=weights,
            **options,
        )

    return run


@pytest.fixture
def splits(files):
    """Reads the data of a command line."""

    def read(*arguments):
        run = parse(*files.flags, "--workdir=w", *arguments).run
        return datasets.load_splits(run.data, run.seed)

    return read


def test_every_flag_has_a_test_that_observes_it():
    groups = (
        DataConfig,
        ModelConfig,
        TrainingConfig,
        SpeedConfig,
        UnlabelledConfig,
        AdversarialConfig,
    )
    classes = (*groups, RunConfig, TrainCommand)
    expected = {
        field.name for c in classes for field in dataclasses.fields(c) if field.metadata
    }
    tests = [name[5:] for name in globals() if name.startswith("test_")]
    assert {name.split("__")[0] for name in tests if "__" in name} == expected


def test_main_trains_and_prints_the_scores(call_script, monkeypatch, trained):
    received = []
    monkeypatch.setattr(
        train, "train_and_evaluate", lambda *args: received.append(args) or trained
    )
    result = call_script("train", "--train_file=a.csv", "--workdir=w", "--overwrite")
    command = parse("--train_file=a.csv", "--workdir=w", "--overwrite")
    assert received == [(command.run, "w", True)]
    assert result.status == 0
    for split in ("Validation", "Test"):
        accuracy = trained.metrics[split.lower()]["accuracy"]
        assert f"{split}: accuracy {accuracy:.2%}" in result.out
    assert "sentiment predict --model=w" in result.out


# --- Data


def test_dataset__quickstart_is_the_bundled_reviews(
    monkeypatch, tmp_path, write_reviews, splits
):
    for i, name in enumerate(("train", "validation", "test")):
        path = tmp_path / "quickstart" / f"{name}.csv"
        path.parent.mkdir(exist_ok=True)
        write_reviews(path, 30 + i, labels=datasets.BUNDLED_LABELS)
    monkeypatch.setattr(datasets, "BUNDLED_ROOT", tmp_path)
    read = splits("--dataset=quickstart", "--train_file=", "--test_file=")
    assert read.label_names == datasets.BUNDLED_LABELS
    assert [*map(len, (read.train, read.validation, read.test))] == [30, 31, 32]


def test_tfds_data_dir__is_where_a_data_set_is_looked_for(
    monkeypatch, tmp_path, splits
):
    monkeypatch.setattr(tfds_source, "has_network", lambda *_: False)
    with pytest.raises(InputError, match=f"{tmp_path}.*no network"):
        splits(
            "--dataset=imdb_reviews",
            f"--tfds_data_dir={tmp_path}",
            "--train_file=",
            "--test_file=",
        )


def test_train_file__is_trained_on(tmp_path, write_reviews, splits):
    path = write_reviews(tmp_path / "own.csv", 60, seed=5)
    read = splits(f"--train_file={path}")
    texts = [text for text, _ in reviews(60, seed=5)]
    assert sorted(read.train.texts + read.validation.texts) == sorted(texts)


def test_validation_file__is_validated_on(tmp_path, write_reviews, splits):
    path = write_reviews(tmp_path / "own.csv", 20, seed=5)
    read = splits(f"--validation_file={path}")
    assert read.validation.texts == [text for text, _ in reviews(20, seed=5)]
    assert len(read.train) == 150


def test_test_file__is_tested_on(tmp_path, write_reviews, splits):
    path = write_reviews(tmp_path / "own.csv", 20, seed=5)
    texts = [text for text, _ in reviews(20, seed=5)]
    assert splits(f"--test_file={path}").test.texts == texts
    assert splits("--test_file=").test is None


def test_text_column__is_read(tmp_path, splits):
    path = tmp_path / "own.csv"
    path.write_text("text,body,label\n" + "no,yes,a\nno,yes,b\n" * 10)
    read = splits(f"--train_file={path}", "--test_file=", "--text_column=body")
    assert {*read.train.texts, *read.validation.texts} == {"yes"}


@pytest.fixture
def texts_of(tmp_path, splits):
    """The texts of a table with two rows, read with the given flags."""

    def read(header, rows, *flags, encoding="utf-8"):
        path = tmp_path / "own.csv"
        path.write_text(header + "".join(rows) * 10, encoding=encoding)
        found = splits(f"--train_file={path}", "--test_file=", *flags)
        assert found.label_names == ("a", "b")
        return {*found.train.texts, *found.validation.texts}

    return read


def test_delimiter__separates_columns(texts_of):
    rows = ["one, two#a\n", "three#b\n"]
    assert texts_of("text#label\n", rows, "--delimiter=#") == {"one, two", "three"}


def test_quoting__decides_what_a_quote_is(texts_of):
    rows = ['"one",a\n', '"two",b\n']
    assert texts_of("text,label\n", rows) == {"one", "two"}
    assert texts_of("text,label\n", rows, "--quoting=none") == {'"one"', '"two"'}


def test_columns__are_those_of_a_file_without_header(texts_of):
    rows = ["a,one\n", "b,two\n"]
    assert texts_of("", rows, "--columns=label,text") == {"one", "two"}


def test_encoding__is_the_one_that_is_read(texts_of):
    rows = ["好,a\n", "不好,b\n"]
    flag = "--encoding=gb18030"
    found = texts_of("text,label\n", rows, flag, encoding="gb18030")
    assert found == {"好", "不好"}


def test_sheet__is_the_one_that_is_read(tmp_path, splits):
    rows = {name: [["text", "label"], *[[name, "a"], [name, "b"]] * 9] for name in "XY"}
    path = write_workbook(tmp_path / "own.xlsx", **rows)
    read = splits(f"--train_file={path}", "--test_file=", "--sheet=Y")
    assert {*read.train.texts} == {"Y"}


def test_label_map__says_what_labels_mean(tmp_path, splits):
    path = tmp_path / "own.csv"
    path.write_text("text,label\n" + "bad,1\nso,3\ngood,4.5\n" * 10)
    items = "1-2:negative,3:neutral,4-5:positive"
    read = splits(f"--train_file={path}", "--test_file=", f"--label_map={items}")
    assert read.label_names == ("negative", "neutral", "positive")
    classes = dict(zip(read.train.texts, read.train.labels.tolist(), strict=True))
    assert classes == {"bad": 0, "so": 1, "good": 2}


def test_label_column__is_read(tmp_path, splits):
    path = tmp_path / "own.csv"
    path.write_text("text,label,stars\n" + "no,a,1\nno,a,2\n" * 10)
    read = splits(f"--train_file={path}", "--test_file=", "--label_column=stars")
    assert read.label_names == ("1", "2")


def test_label_names__are_the_order_of_the_classes(start, splits):
    assert splits().label_names == ("neg", "neu", "pos")
    read = splits("--label_names=pos,neu,neg")
    expected = {
        text: ["neg", "neu", "pos"].index(label) for text, label in reviews(46, 1)
    }
    assert [2 - expected[text] for text in read.test.texts] == read.test.labels.tolist()
    classifier = start("--label_names=pos,neu,neg").classifier
    assert classifier.label_names == ("pos", "neu", "neg")


def test_validation_fraction__is_carved_from_training(splits):
    read = splits("--validation_fraction=0.3")
    assert (len(read.train), len(read.validation)) == (105, 45)
    assert np.bincount(read.validation.labels).tolist() == [15, 15, 15]


def test_max_train_examples__are_drawn_before_carving(splits):
    read = splits("--max_train_examples=60")
    assert (len(read.train), len(read.validation), len(read.test)) == (54, 6, 46)


def test_max_test_examples__are_drawn(splits):
    read = splits("--max_test_examples=12")
    assert (len(read.train), len(read.validation), len(read.test)) == (135, 15, 12)


def test_skip_bad_rows__leaves_them_out_and_counts_them(tmp_path, files, splits):
    path = tmp_path / "own.csv"
    path.write_text(files.train.read_text() + "too,many,fields\nno label,\n")
    with pytest.raises(InputError, match="bad rows: 2"):
        splits(f"--train_file={path}")
    read = splits(f"--train_file={path}", "--skip_bad_rows")
    assert len(read.train) + len(read.validation) == 150
    assert read.num_skipped_rows == 2


# --- Model


def test_preset__gives_the_weights_and_the_vocabulary(start, trained):
    preset = trained.workdir / "preset"
    flags = (f"--preset={preset}", "--lowercase", "--num_layers=5")
    classifier = start(*flags).classifier
    pairs = zip(
        classifier.backbone.weights, trained.classifier.backbone.weights, strict=True
    )
    assert all(np.array_equal(a.numpy(), b.numpy()) for a, b in pairs)
    tokenizers = [c.preprocessor.tokenizer for c in (classifier, trained.classifier)]
    assert tokenizers[0].vocabulary == tokenizers[1].vocabulary


def test_preset__leaves_the_settings_of_reading_to_the_flags(start, trained):
    assert trained.classifier.preprocessor.truncation == "head"
    flags = (f"--preset={trained.workdir}/preset", "--lowercase", "--truncation=tail")
    assert start(*flags).classifier.preprocessor.truncation == "tail"


@pytest.mark.parametrize("name", ["rnn", "gru", "lstm"])
def test_architecture__is_the_kind_of_backbone(start, name):
    classifier = start(f"--architecture={name}").classifier
    assert type(classifier) is sentiment.RNNTextClassifier
    assert classifier.backbone.cell == name
    assert type(start().classifier) is sentiment.GPT2TextClassifier
    encoder = start("--architecture=bert").classifier
    assert type(encoder.backbone) is keras_hub.models.BertBackbone
    assert encoder.pooling == "cls"


def test_num_layers__is_the_number_of_blocks(start):
    assert len(start("--num_layers=3").classifier.backbone.transformer_layers) == 3


def test_num_heads__divides_the_attention(start):
    block = start("--num_heads=4").classifier.backbone.transformer_layers[0]
    shapes = {w.path: w.shape for w in block.weights}
    (query,) = (s for path, s in shapes.items() if path.endswith("query/kernel"))
    assert query == (16, 4, 4)


def test_hidden_dim__is_the_width(start):
    classifier = start("--hidden_dim=24").classifier
    assert classifier.backbone.token_embedding.embeddings.shape == (300, 24)
    assert classifier.logits_dense.kernel.shape == (24, 3)


def test_intermediate_dim__is_the_width_of_the_feed_forward_layers(start):
    block = start("--intermediate_dim=40").classifier.backbone.transformer_layers[0]
    assert (16, 40) in [weight.shape for weight in block.weights]


def test_vocabulary_size__is_learned_and_embedded(start):
    classifier = start("--vocabulary_size=280").classifier
    assert classifier.preprocessor.tokenizer.vocabulary_size() == 280
    assert classifier.backbone.token_embedding.embeddings.shape == (280, 16)


def test_max_positions__is_the_length_of_the_position_table(start):
    classifier = start("--max_positions=48").classifier
    shapes = [w.shape for w in classifier.backbone.position_embedding.weights]
    assert shapes == [(48, 16)]
    assert classifier.preprocessor.sequence_length == 48


def test_tokenizer__is_taken_from_the_folder(start, tmp_path, vocabulary, tokenizer):
    table, merges = vocabulary
    (tmp_path / "vocab.json").write_text(json.dumps(table), encoding="utf-8")
    lines = ["#version: 0.2", *merges, ""]
    (tmp_path / "merges.txt").write_text("\n".join(lines), encoding="utf-8")
    made = start(f"--tokenizer={tmp_path}").classifier.preprocessor.tokenizer
    assert made.vocabulary == table
    texts = ["I loved every minute!", "中文很好 😀"]
    assert made.encode_batch(texts) == tokenizer.encode_batch(texts)


def test_pooling__is_the_kind_of_pooler(start):
    names = {}
    for name in POOLING_NAMES:
        kind = "--architecture=bert" if name == "cls" else "--architecture=gpt2"
        pooler = start(f"--pooling={name}", kind).classifier.pooler
        cell = getattr(pooler, "cell_class", None)
        names[name] = type(pooler).__name__ if cell is None else cell.__name__
    assert names == {
        "last": "LastTokenPooling",
        "cls": "FirstTokenPooling",
        "mean": "MeanPooling",
        "max": "MaxPooling",
        "attention": "AttentionPooling",
        "concat": "ConcatPooling",
        "rnn": "SimpleRNNCell",
        "gru": "GRUCell",
        "lstm": "LSTMCell",
    }


def test_dropout__is_that_of_backbone_and_head(start):
    classifier = start("--dropout=0.25").classifier
    assert classifier.backbone.embeddings_dropout.rate == 0.25
    assert classifier.backbone.transformer_layers[0].dropout == 0.25
    assert classifier.pooled_dropout.rate == 0.25


def test_dropout__of_a_preset_is_replaced(start, trained):
    preset = f"--preset={trained.workdir}/preset"
    classifier = start(preset, "--lowercase", "--dropout=0.25").classifier
    assert classifier.backbone.transformer_layers[0].dropout == 0.25


def test_sequence_length__bounds_reviews_and_rows(start):
    started = start("--sequence_length=8")
    assert started.token_ids.shape[1] == 8
    assert started.segment_lengths.max() == 8
    assert start().token_ids.shape[1] == 32  # --max_positions


@pytest.mark.parametrize(
    ("truncation", "kept"),
    [
        ("head", [0, 1, 2, 3, 4, 5]),
        ("tail", [-6, -5, -4, -3, -2, -1]),
        ("head_tail", [0, -5, -4, -3, -2, -1]),
    ],
)
def test_truncation__decides_which_tokens_are_read(start, truncation, kept):
    flags = ("--sequence_length=8", f"--truncation={truncation}")
    preprocessor = start(*flags).classifier.preprocessor
    text = "a film of nine words and then some more"
    (ids,) = preprocessor.tokenizer.encode_batch([text])
    assert len(ids) > 12
    read = preprocessor.encode([text]).tokens[0].tolist()
    assert read[1:-1] == [ids[i] for i in kept]


def test_lowercase__lowers_the_tokens_and_the_vocabulary(start):
    def tokens(preprocessor, text):
        return preprocessor.encode([text]).tokens[0].tolist()

    cased = start().classifier.preprocessor
    lowered = start("--lowercase").classifier.preprocessor
    assert tokens(cased, "LOVELY") != tokens(cased, "lovely")
    assert tokens(lowered, "LOVELY") == tokens(lowered, "lovely")
    assert any("Love" in token for token in cased.tokenizer.vocabulary)
    assert not any("Love" in token for token in lowered.tokenizer.vocabulary)


# --- Optimizer

PATHS = (
    "token_embedding/embeddings",
    "transformer_layer_0/kernel",
    "transformer_layer_1/kernel",
    "logits/kernel",
    "logits/bias",
)


def updates(*arguments, gradients=(1.0,), weight=0.0, shape=(2, 2)):
    """The last update by path, of sgd at rate 0.5 and nothing else but `arguments`.

    Each of `gradients` is that of one step, the same for all variables.
    """
    plain = (
        "--train_file=a",
        "--workdir=w",
        "--optimizer=sgd",
        "--learning_rate=0.5",
        "--warmup_ratio=0",
        "--weight_decay=0",
        "--clip_norm=0",
    )
    training = parse(*plain, *arguments).run.training
    optimizer = make_optimizer(training, KINDS["gpt2"], 2, 10**6)
    variables = []
    for path in PATHS:
        scope, name = path.rsplit("/", 1)
        with keras.name_scope(scope):
            variables.append(keras.Variable(np.full(shape, weight), name=name))
    assert [v.path for v in variables] == list(PATHS)
    for gradient in gradients:
        before = [v.numpy() for v in variables]
        gradient = np.broadcast_to(np.float32(gradient), shape)
        optimizer.apply([keras.ops.array(gradient)] * len(variables), variables)
    return {v.path: v.numpy() - b for v, b in zip(variables, before, strict=True)}


def test_learning_rate__scales_the_update():
    for update in updates("--learning_rate=0.25").values():
        np.testing.assert_allclose(update, -0.25, rtol=1e-6)


def test_warmup_ratio__is_the_share_in_which_the_rate_rises():
    training = parse(
        "--train_file=a", "--workdir=w", "--warmup_ratio=0.2", "--learning_rate=0.5"
    ).run.training
    rate = make_optimizer(training, KINDS["gpt2"], 2, 50)._learning_rate
    rates = [float(rate(step)) for step in (0, 5, 10, 30, 50)]
    np.testing.assert_allclose(rates, [0, 0.25, 0.5, 0.25, 0], atol=1e-7)


def test_weight_decay__shrinks_kernels_alone():
    decayed = updates("--weight_decay=0.2", gradients=(0.0,), weight=3.0)
    for path, update in decayed.items():
        expected = -0.5 * 0.2 * 3.0 if path.endswith("kernel") else 0.0
        np.testing.assert_allclose(update, expected, rtol=1e-6)


def test_layerwise_lr_decay__is_a_factor_per_layer_below_the_head():
    decayed = updates("--layerwise_lr_decay=0.5")
    factors = [update[0, 0] / -0.5 for update in decayed.values()]
    np.testing.assert_allclose(factors, [1 / 8, 1 / 4, 1 / 2, 1, 1], rtol=1e-6)


def test_layerwise_lr_decay__counts_the_layers_of_the_backbone(start):
    classifier = start(
        "--num_layers=2",
        "--optimizer=sgd",
        "--clip_norm=0",
        "--weight_decay=0",
        "--layerwise_lr_decay=0.5",
    ).classifier
    ones = {v.path: np.ones(v.shape) for v in classifier.trainable_variables}
    rule = classifier.optimizer.transformation
    updates, _ = rule.update(ones, rule.init(ones), ones)
    assert updates["logits/bias"][0] == -1
    assert updates["transformer_layer_1/feedforward_layer_norm/beta"][0] == -1 / 2
    assert updates["token_embedding/embeddings"][0, 0] == -1 / 8


def test_clip_norm__bounds_the_norm_over_all_variables():
    clipped = updates("--clip_norm=0.1", gradients=(7.0,))
    norm = math.sqrt(sum(float(np.sum(u**2)) for u in clipped.values()))
    assert norm == pytest.approx(0.5 * 0.1, rel=1e-5)
    small = updates("--clip_norm=100", gradients=(7.0,))
    np.testing.assert_allclose(small["logits/bias"], -3.5, rtol=1e-6)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        # After gradients 1 and -1, over the learning rate.
        ("sgd", -(0.9 * 1 - 1)),
        ("lion", 1.0),  # -sign(0.9 * 0.01 - 0.1)
        ("adamw", 0.01 / 0.19),  # moments -0.01 and 0.001999, without bias
        ("muon", 0.9 * 0.01 / 0.271 + 0.1 / 0.19),  # Adam's with Nesterov momentum
    ],
)
def test_optimizer__is_the_update_rule(name, expected):
    update = updates(f"--optimizer={name}", gradients=(1.0, -1.0))
    np.testing.assert_allclose(update["logits/bias"], 0.5 * expected, rtol=1e-4)


def test_optimizer__muon_evens_out_the_directions_of_a_block():
    gradient = np.diag([1.0, 0.1])
    for name, even in (("muon", True), ("sgd", False)):
        update = updates(f"--optimizer={name}", gradients=(gradient,))
        values = np.linalg.svd(update["transformer_layer_0/kernel"])[1]
        assert (values[0] / values[1] < 2) == even


# --- Training


def test_batch_size__is_rows_of_a_batch(start):
    assert start("--batch_size=5").token_ids.shape[0] == 5


def test_gradient_accumulation_steps__make_one_update_of_several_batches(start):
    started = start("--batch_size=5", "--gradient_accumulation_steps=3")
    assert started.token_ids.shape[0] == 15
    assert started.classifier.gradient_accumulation_steps == 3
    assert started.steps_per_epoch < start("--batch_size=5").steps_per_epoch


def test_epochs__is_how_often_every_review_is_read(start):
    started = start("--epochs=4")
    assert started.epochs == 4
    weights = [weight for _, _, weight in started.batches]
    assert len(weights) == 4 * started.steps_per_epoch
    assert sum(float(w.sum()) for w in weights) == 4 * 135


def test_packing__puts_several_reviews_into_a_row(start):
    packed, single = start(), start("--nopacking")
    assert packed.segment_lengths.shape[1] > 1
    assert (packed.segment_lengths > 0).sum(axis=1).max() > 1
    assert single.segment_lengths.shape[1] == 1
    assert packed.steps_per_epoch < single.steps_per_epoch == math.ceil(135 / 16)
    for started in (packed, single):
        real = [weight.sum() for _, _, weight in started.batches]
        assert sum(real[: started.steps_per_epoch]) == 135


def test_dtype__is_the_precision_of_the_backbone_alone(start):
    classifier = start("--dtype=mixed_bfloat16").classifier
    assert classifier.backbone.transformer_layers[0].compute_dtype == "bfloat16"
    assert classifier.backbone.transformer_layers[0].variable_dtype == "float32"
    assert classifier.logits_dense.compute_dtype == "float32"
    block = start().classifier.backbone.transformer_layers[0]
    assert block.compute_dtype == "float32"


def test_dtype__holds_for_a_preset(start, trained):
    preset = f"--preset={trained.workdir}/preset"
    flags = ("--lowercase", "--dtype=mixed_bfloat16")
    backbone = start(preset, *flags).classifier.backbone
    assert backbone.transformer_layers[0].compute_dtype == "bfloat16"


def test_keep_layers__takes_some_of_the_presets(start, trained):
    preset = (f"--preset={trained.workdir}/preset", "--lowercase")
    assert start(*preset, "--keep_layers=1").classifier.backbone.num_layers == 1
    with pytest.raises(
        InputError, match=r"`keep_layers` must be from 1 to 1,.*Received"
    ):
        start(*preset, "--keep_layers=2")


def test_embeddings_from__are_those_of_another_model(
    start, tmp_path, make_backbone, tokenizer
):
    plain = start().classifier
    folder = str(tmp_path / "other")
    make_backbone(hidden_dim=2 * plain.backbone.hidden_dim).save_to_preset(folder)
    tokenizer.save_to_preset(folder)
    started = start(f"--embeddings_from={folder}").classifier
    own = plain.preprocessor.tokenizer
    transfer_embeddings(plain.backbone, own, load_embeddings(folder))
    # All else is what the seed gives without the other model.
    for found, expected in zip(started.weights, plain.weights, strict=True):
        np.testing.assert_array_equal(np.array(found), np.array(expected))
    with pytest.raises(InputError, match=r"is for a backbone with random weights"):
        start(f"--embeddings_from={folder}", f"--preset={folder}")


def test_keep_head__begins_with_the_presets(start, trained):
    preset = (f"--preset={trained.workdir}/preset", "--lowercase")
    kept = trained.classifier
    started = start(*preset, "--keep_head").classifier
    assert started.pooling == kept.pooling
    for name in ("pooler", "logits_dense"):
        layers = getattr(started, name), getattr(kept, name)
        for one, other in zip(*(layer.get_weights() for layer in layers), strict=True):
            np.testing.assert_array_equal(one, other)
    fresh = start(*preset).classifier
    assert np.abs(fresh.logits_dense.kernel - kept.logits_dense.kernel).max() > 0.01
    with pytest.raises(InputError, match=r"reads what --pooling=\w+ gives.*=max"):
        start(*preset, "--keep_head", "--pooling=max")
    with pytest.raises(InputError, match=r"wants a classifier as --preset.*language"):
        start("--preset=imdb_mini", "--lowercase", "--keep_head")


def test_keep_head__wants_a_preset(start):
    with pytest.raises(InputError, match=r"--keep_head is that of a --preset"):
        start("--keep_head")


def test_lora_rank__trains_matrices_of_this_rank(start, trained):
    preset = f"--preset={trained.workdir}/preset"
    classifier = start(preset, "--lowercase", "--lora_rank=3").classifier
    shapes = {v.name: v.shape for v in classifier.backbone.trainable_variables}
    assert shapes == {"lora_kernel_a": (16, 2, 3), "lora_kernel_b": (3, 8)}


def test_lora_alpha__scales_them(start, trained):
    flags = (f"--preset={trained.workdir}/preset", "--lowercase", "--lora_rank=3")

    def alpha(*more):
        block = start(*flags, *more).classifier.backbone.transformer_layers[0]
        return block._self_attention_layer.query_dense.lora_alpha

    assert (alpha(), alpha("--lora_alpha=6")) == (3, 6)


def test_lora_targets__are_the_layers_that_get_them(start, trained):
    preset = f"--preset={trained.workdir}/preset"
    flags = ("--lowercase", "--lora_rank=1", "--lora_targets=key,intermediate")
    variables = start(preset, *flags).classifier.backbone.trainable_variables
    assert {v.path.split("/")[-2] for v in variables} == {
        "key",
        "feedforward_intermediate_dense",
    }


def test_what_an_encoder_cannot_is_refused_before_data_are_read(start, monkeypatch):
    monkeypatch.setattr(train, "load_splits", lambda *_: pytest.fail("too late"))
    with pytest.raises(InputError, match="--lm_loss_weight needs a backbone whose"):
        start("--architecture=bert", "--lm_loss_weight=0.5")
    with pytest.raises(InputError, match="GPT2Backbone has seen no other"):
        start("--pooling=cls")


def test_lora_rank__is_refused_for_a_recurrent_preset(start, monkeypatch):
    monkeypatch.setattr(train, "load_splits", lambda *_: pytest.fail("too late"))
    backbone = sentiment.RNNBackbone(300, 1, 8)
    parts = (backbone, None)
    monkeypatch.setattr(train, "prepare_parts", lambda *_: parts)
    with pytest.raises(InputError, match="RNNBackbone"):
        start("--preset=p", "--lora_rank=2")


def test_unfreeze_epochs__hold_lower_layers_back_longer(start):
    started = start(
        "--num_layers=2",
        "--optimizer=sgd",
        "--clip_norm=0",
        "--weight_decay=0",
        "--batch_size=4",
        "--unfreeze_epochs=0.5",
    )
    variables = started.classifier.trainable_variables
    ones = {v.path: np.ones(v.shape) for v in variables}
    rule = started.classifier.optimizer.transformation
    state, first = rule.init(ones), {}
    for step in range(2 * started.steps_per_epoch):
        changes, state = rule.update(ones, state, ones)
        for path, change in changes.items():
            if np.any(change):
                first.setdefault(path, step)
    half = round(0.5 * started.steps_per_epoch)
    assert half > 1
    assert first["logits/bias"] == 0
    assert first["transformer_layer_1/feedforward_layer_norm/beta"] == half
    assert first["transformer_layer_0/feedforward_layer_norm/beta"] == 2 * half
    assert first["token_embedding/embeddings"] == 3 * half


@pytest.mark.parametrize("pooling", ["last", "mean"])
def test_lm_loss_weight__adds_the_mean_loss_of_each_review(start, pooling):
    def losses(*arguments):
        started = start("--dropout=0", f"--pooling={pooling}", *arguments)
        classifier = started.classifier
        x = {
            "token_ids": started.token_ids,
            "segment_lengths": started.segment_lengths,
        }
        trainable = [v.value for v in classifier.trainable_variables]
        frozen = [v.value for v in classifier.non_trainable_variables]

        @jax.jit
        def loss(trainable):
            return classifier.compute_loss_and_updates(
                trainable,
                frozen,
                [],
                x,
                started.labels,
                started.weights,
                training=True,
                optimizer_variables=[],
            )[0]

        return float(loss(trainable)), classifier, x

    plain, classifier, x = losses()
    weighted, _, _ = losses("--lm_loss_weight=0.5")
    model = PackedCausalLM(classifier.backbone)
    logits = np.asarray(jax.jit(lambda x: model.logits(model(x)))(x))
    expected = 0.0
    for ids, lengths, scores in zip(
        x["token_ids"], x["segment_lengths"], logits, strict=True
    ):
        for end, length in zip(np.cumsum(lengths), lengths, strict=True):
            if length:
                rows = np.arange(end - length, end - 1)
                of_next = scipy.special.log_softmax(scores[rows], axis=-1)[
                    np.arange(length - 1), ids[rows + 1]
                ]
                expected -= 0.5 * float(of_next.mean())
    assert weighted - plain == pytest.approx(expected, rel=1e-4)


def test_label_smoothing__mixes_in_the_uniform_distribution(start):
    loss = start("--label_smoothing=0.3").classifier.loss
    # Probabilities 4/6, 1/6, 1/6; the target becomes 0.8, 0.1, 0.1.
    value = loss(np.array([[0]]), np.log([[[4.0, 1.0, 1.0]]]))
    expected = -(0.8 * math.log(4 / 6) + 0.2 * math.log(1 / 6))
    assert float(value) == pytest.approx(expected, rel=1e-5)


def test_focal_gamma__counts_less_what_is_classified_well(start):
    loss = start("--focal_gamma=2").classifier.loss
    value = loss(np.array([[0]]), np.log([[[4.0, 1.0, 1.0]]]))
    assert float(value) == pytest.approx((1 / 3) ** 2 * -math.log(2 / 3), rel=1e-5)


def adversary(start, *flags):
    return start(*flags).classifier.adversary


def test_adversarial__is_the_kind_of_perturbation(start):
    assert adversary(start) is None
    for name in ("fgm", "pgd", "vat"):
        found = adversary(start, f"--adversarial={name}", "--seed=5")
        assert (found.config.adversarial, found.seed) == (name, 5)


def test_adversarial_epsilon__reaches_the_adversary(start):
    found = adversary(start, "--adversarial=pgd", "--adversarial_epsilon=0.25")
    assert found.config.adversarial_epsilon == 0.25


def test_adversarial_steps__reach_the_adversary(start):
    found = adversary(start, "--adversarial=pgd", "--adversarial_steps=7")
    assert found.config.adversarial_steps == 7


def test_adversarial_weight__reaches_the_adversary(start):
    found = adversary(start, "--adversarial=fgm", "--adversarial_weight=0.5")
    assert found.config.adversarial_weight == 0.5


def test_adversarial_normalize__is_by_the_tokens_trained_on(start):
    started = start("--adversarial=fgm", "--adversarial_normalize")
    found = started.classifier.adversary
    assert found.config.adversarial_normalize
    counts = np.zeros(found.token_frequencies.shape, int)
    for x, _, _ in started.batches:
        np.add.at(counts, x["token_ids"][x["token_ids"] > 0], 1)
    epochs = started.epochs
    np.testing.assert_array_equal(found.token_frequencies[1:] * epochs, counts[1:])


def test_ema_momentum__averages_the_weights(start):
    optimizer = start("--ema_momentum=0.9").classifier.optimizer
    assert (optimizer.use_ema, optimizer.ema_momentum) == (True, 0.9)
    assert not start().classifier.optimizer.use_ema


def test_calibrate__gives_validation_the_least_loss(trained, tmp_path):
    run = trained.run.replaced(calibrate=True)
    metrics = train.train_and_evaluate(run, tmp_path).metrics
    found = metrics["run"]["temperature"]
    assert trained.metrics["run"]["temperature"] == 1
    assert load_classifier(tmp_path).temperature == found != 1
    for split in ("validation", "test"):  # No label changes.
        assert metrics[split]["accuracy"] == trained.metrics[split]["accuracy"]
    assert metrics["validation"]["loss"] < trained.metrics["validation"]["loss"]


def callback(started, kind):
    (found,) = (c for c in started.callbacks if isinstance(c, kind))
    return found


def test_average_best__keeps_so_many(start):
    assert callback(start("--average_best=3"), KeepBest).count == 3


def test_checkpoint_every__is_updates_between_two(start):
    run = callback(start("--checkpoint_every=7"), resumable_run._Recorder).run
    assert run.training.checkpoint_every == 7


def test_max_recoveries__is_how_often_training_goes_back(start):
    run = callback(start("--max_recoveries=5"), resumable_run._Recorder).run
    assert run.training.max_recoveries == 5


@pytest.mark.parametrize(
    ("flag", "weights"),
    [
        ("none", [1, 1, 1]),
        ("1,2,0.5", [1, 2, 0.5]),
        # The 20 of 40, 12 of 40 and 8 of 40 that are trained on: n / (3 n_c).
        ("balanced", [40 / 60, 40 / 36, 40 / 24]),
    ],
)
def test_class_weight__multiplies_the_loss_of_a_class(start, tmp_path, flag, weights):
    path = tmp_path / "own.csv"
    lines = [f"text,{c}\n" * n for c, n in zip(CLASSES, (20, 12, 8), strict=True)]
    path.write_text("text,label\n" + "".join(lines))
    source = (f"--train_file={path}", f"--validation_file={path}")
    loss = start(*source, f"--class_weight={flag}").classifier.loss
    values = [float(loss(np.array([[c]]), np.zeros((1, 1, 3)))) for c in range(3)]
    np.testing.assert_allclose(values, np.log(3) * np.array(weights), rtol=1e-5)


def test_class_weight__must_be_one_for_each_class(start):
    with pytest.raises(InputError, match=r"3 numbers.*neg, neu, pos.*Received: 2"):
        start("--class_weight=1,2")


def soft_labels(started):
    """The labels of one epoch that are no certain class, and how many there are."""
    labels = np.concatenate(
        [y[weights > 0] for _, y, weights in itertools.islice(started.batches, 200)]
    )
    return [row for row in labels.tolist() if max(row) < 1], len(labels)


def test_teacher__labels_softly(start, tmp_path, splits):
    path = tmp_path / "more.txt"
    path.write_text("quite superb\nvery dull\n")
    flags = ("--epochs=1", f"--unlabelled_file={path}")
    for method in TEACHERS:
        soft, _ = soft_labels(start(*flags, f"--teacher={method}"))
        teacher = fit_baseline(BaselineConfig(method=method), splits(), 0)
        expected = teacher.predict(["quite superb", "very dull"])
        np.testing.assert_allclose(sorted(soft), sorted(expected.tolist()), rtol=1e-5)


def test_teacher__may_be_a_trained_model(start, tmp_path, trained):
    path = tmp_path / "more.txt"
    path.write_text("quite superb\nvery dull\n")
    flags = ("--epochs=1", f"--unlabelled_file={path}", f"--teacher={trained.workdir}")
    soft, _ = soft_labels(start(*flags))
    expected = trained.classifier.predict(["quite superb", "very dull"])
    np.testing.assert_allclose(sorted(soft), sorted(expected.tolist()), rtol=1e-5)


def test_teacher__may_be_several_or_what_predict_wrote(
    start, call_script, tmp_path, trained, contrary
):
    texts = ["quite superb", "very dull"]
    path, taught = tmp_path / "more.txt", tmp_path / "taught.parquet"
    path.write_text("\n".join(texts))
    models = f"{trained.workdir},{contrary}"
    result = call_script(
        "predict", f"--model={models}", f"--input={path}", f"--output={taught}"
    )
    assert result.status == 0, result.err
    expected = Ensemble([trained.classifier, load_classifier(contrary)]).predict(texts)
    for file, teacher in ((path, models), (taught, "columns")):
        flags = ("--epochs=1", f"--unlabelled_file={file}", f"--teacher={teacher}")
        soft, _ = soft_labels(start(*flags))
        np.testing.assert_allclose(sorted(soft), sorted(expected.tolist()), rtol=1e-5)


def test_teacher_weight__is_its_share_of_the_training_labels(start, trained, splits):
    flags = ("--epochs=1", f"--teacher={trained.workdir}", "--teacher_weight=0.25")
    soft, count = soft_labels(start(*flags))
    train = splits().train
    assert len(soft) == count == len(train)
    expected = 0.75 * np.eye(3)[train.labels]
    expected += 0.25 * trained.classifier.predict(train.texts)
    np.testing.assert_allclose(sorted(soft), sorted(expected.tolist()), rtol=1e-4)


def test_unlabelled_file__is_read_beside_the_training_data(start, tmp_path, splits):
    path = tmp_path / "more.jsonl"
    path.write_text('{"text": "quite superb"}\n{"text": "very dull"}\n')
    flags = ("--epochs=1", "--teacher=nb_svm", f"--unlabelled_file={path}")
    assert soft_labels(start(*flags))[1] == len(splits().train) + 2


def test_unlabelled_split__is_read_of_the_data_set(monkeypatch):
    asked = []

    def read(name, folder, wanted, column):
        asked.append((name, *wanted))
        return {"unsupervised": ["a", "b"]}

    monkeypatch.setattr(unlabelled_texts, "read_tfds_texts", read)
    flags = ("--dataset=imdb_reviews", "--workdir=w", "--teacher=nb_svm")
    run = parse(*flags, "--unlabelled_split=unsupervised").run
    assert unlabelled_texts.read_unlabelled(run).texts == ["a", "b"]
    assert asked == [("imdb_reviews", "unsupervised")]


def test_mixed_texts__are_made_of_the_training_texts(start, splits):
    soft, count = soft_labels(
        start("--epochs=1", "--teacher=nb_svm", "--mixed_texts=40")
    )
    assert 30 < count - len(splits().train) <= 40
    assert len(soft) == count - len(splits().train)


def test_early_stopping_patience__is_how_long_training_waits(start):
    assert callback(start("--early_stopping_patience=3"), KeepBest).patience == 3


@pytest.mark.parametrize(
    ("monitor", "name", "mode"),
    [
        ("accuracy", "val_accuracy", "max"),
        ("macro_f1", "val_macro_f1", "max"),
        ("loss", "val_cross_entropy", "min"),
    ],
)
def test_monitor__picks_the_best_epoch(start, monitor, name, mode):
    best = callback(start(f"--monitor={monitor}"), KeepBest)
    assert (best.monitor, best.mode) == (name, mode)


def test_num_devices__share_a_batch(start, monkeypatch, logged):
    monkeypatch.setattr(
        keras.distribution, "list_devices", lambda *_: [f"cpu:{i}" for i in range(4)]
    )
    made = []

    def data_parallel(devices, auto_shard_dataset):
        made.append(devices)
        return SimpleNamespace(scope=contextlib.nullcontext)

    monkeypatch.setattr(keras.distribution, "DataParallel", data_parallel)
    start("--num_devices=2")
    start("--num_devices=1")
    start("--batch_size=6")  # 0: as many as divide the batch
    assert made == [["cpu:0", "cpu:1"], ["cpu:0", "cpu:1", "cpu:2"]]
    assert "Using 1 of 4" in logged.text
    with pytest.raises(InputError, match="there are 4 local devices"):
        start("--num_devices=5")
    with pytest.raises(InputError, match="multiple of --num_devices"):
        start("--num_devices=3", "--batch_size=4")


def test_row_length__is_the_length_of_a_packed_row(start):
    started = start("--row_length=48")
    assert started.token_ids.shape[1] == 48
    assert start().token_ids.shape[1] == 32  # --max_positions bounds the choice
    with pytest.raises(InputError, match=r"at least \d+, the tokens of the longest"):
        start("--row_length=5")


# --- Speed


@pytest.mark.parametrize("name", ["chunked_attention", "hash_dropout", "skip_unread"])
def test_fast_paths_are_on_unless_switched_off(start, name):
    assert getattr(start().classifier.speed, name)
    assert not getattr(start(f"--no{name}").classifier.speed, name)


def count_operations(start, operation, *arguments):
    """How often a JAX operation stands in the compiled train step."""
    started = start(*arguments)
    classifier = started.classifier
    classifier.optimizer.build(classifier.trainable_variables)
    state = classifier._get_jax_state(
        trainable_variables=True,
        non_trainable_variables=True,
        optimizer_variables=True,
        metrics_variables=True,
    )
    inputs = {
        "token_ids": started.token_ids,
        "segment_lengths": started.segment_lengths,
    }
    data = (inputs, started.labels, started.weights)
    return str(jax.make_jaxpr(classifier.train_step)(state, data)).count(operation)


def test_chunked_attention__goes_by_chunks_of_128_queries(start, monkeypatch):
    monkeypatch.setattr(packed_transformer, "CHUNK_LENGTH", 8)  # rows of 32: 4 chunks
    chunked, full = (
        count_operations(start, "concatenate", "--pooling=mean", f"--{no}{name}")
        for no, name in (("", "chunked_attention"), ("no", "chunked_attention"))
    )
    assert chunked > full


def test_hash_dropout__leaves_out_threefry(start):
    flags = ("--dropout=0.5",)
    off = count_operations(start, "random_bits", *flags, "--nohash_dropout")
    assert 0 < count_operations(start, "random_bits", *flags) < off


def test_skip_unread__takes_the_last_block_at_last_tokens(start):
    def width(*arguments):
        started = start("--pooling=last", *arguments)
        shape = (*started.token_ids.shape, 32)  # --intermediate_dim
        shown = "f32[" + ",".join(map(str, shape)) + "]"
        return count_operations(start, shown, "--pooling=last", *arguments)

    assert width() < width("--noskip_unread")


def test_remat__recomputes_blocks(start):
    assert count_operations(start, "remat", "--remat") > 0
    assert count_operations(start, "remat") == 0


def test_keep_memory__asks_the_c_library(start, monkeypatch):
    asked = []
    monkeypatch.setattr(runtime, "keep_freed_memory", lambda: asked.append(True))
    start("--nokeep_memory")
    assert not asked
    start()
    assert asked


def test_cache_dir__keeps_what_the_next_run_need_not_tokenize(
    start, tmp_path, monkeypatch
):
    cache = f"--cache_dir={tmp_path / 'cache'}"
    first = start(cache)
    assert list((tmp_path / "cache" / "tokens").glob("*.npz"))

    def never(*_):
        raise AssertionError("tokenized again")

    preprocessor = sentiment.GPT2TextClassifierPreprocessor
    train_vocabulary = vocabulary.train_vocabulary
    monkeypatch.setattr(preprocessor, "encode", never)
    monkeypatch.setattr(vocabulary, "train_vocabulary", never)
    np.testing.assert_array_equal(start(cache).token_ids, first.token_ids)
    monkeypatch.setattr(vocabulary, "train_vocabulary", train_vocabulary)
    with pytest.raises(AssertionError, match="tokenized again"):
        start("--cache_dir=")
    with pytest.raises(AssertionError, match="tokenized again"):
        start(cache, "--lowercase")


# --- Run


def test_seed__decides_the_weights(start):
    def weights(seed):
        return start(f"--seed={seed}").classifier.logits_dense.kernel.numpy()

    first, again, other = weights(1), weights(1), weights(2)
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


def test_seed__decides_what_is_carved_and_drawn(splits):
    first, again, other = (
        splits(f"--seed={seed}", "--max_test_examples=20") for seed in (1, 1, 2)
    )
    for split in ("train", "validation", "test"):
        texts = [getattr(read, split).texts for read in (first, again, other)]
        assert texts[0] == texts[1] != texts[2]


def test_seed__decides_the_order(start, files):
    data = ("--nopacking", f"--validation_file={files.test}")

    def order(seed):
        return start(f"--seed={seed}", *data).token_ids.tolist()

    assert order(1) == order(1) != order(2)


def test_seed__may_be_the_largest_that_numpy_takes(start):
    start(f"--seed={2**32 - 1}")
    with pytest.raises(InputError, match="--seed must be"):  # NumPy's limit
        start(f"--seed={2**32}")


def test_workdir__is_made_with_the_folders_above_it(start, tmp_path):
    start(f"--workdir={tmp_path}/a/b")
    assert (tmp_path / "a" / "b").is_dir()


def test_overwrite__replaces_a_finished_run(start, tmp_path):
    start()
    (tmp_path / "workdir" / "metrics.json").write_text("{}")
    with pytest.raises(InputError, match="already holds a finished run"):
        start()
    start("--overwrite")
