import csv
import dataclasses
import io
import json
import shutil
import zipfile
from types import SimpleNamespace

import h5py
import jax
import numpy as np
import pytest

import sentiment
from sentiment.cli import main as cli
from sentiment.config import (
    AdversarialConfig,
    DataConfig,
    ModelConfig,
    RunConfig,
    TrainingConfig,
    UnlabelledConfig,
)
from sentiment.data.cleaning import clean_text
from sentiment.data.datasets import Splits, load_splits
from sentiment.data.examples import Examples
from sentiment.data.pipeline import BatchPlan, encode_examples
from sentiment.data.vocabulary import train_vocabulary
from sentiment.errors import InputError
from sentiment.evaluation.evaluate import evaluate_encoded, evaluate_split
from sentiment.inference.loading import load_classifier
from sentiment.training import train
from sentiment.training.optimizers import warmup_cosine
from sentiment.training.train import train_and_evaluate
from tests.training.conftest import MODEL, TRAINING

DATA = {"validation_fraction": 0.3}
MONITORED = {
    "accuracy": "val_accuracy",
    "macro_f1": "val_macro_f1",
    "loss": "val_cross_entropy",
}


@pytest.fixture(scope="module")
def files(tmp_path_factory, write_reviews):
    folder = tmp_path_factory.mktemp("reviews")
    write_reviews(folder / "train.csv", 60, seed=0)
    write_reviews(folder / "test.csv", 20, seed=1)
    return folder


@pytest.fixture(scope="module")
def make_config(files):
    def make(seed=0, **settings):
        paths = {name: str(files / f"{name[:-5]}.csv") for name in FILES}
        settings = {**paths, **DATA, **MODEL, **TRAINING, **settings}
        groups = [
            group(
                **{f.name: settings.pop(f.name) for f in fields if f.name in settings}
            )
            for group in (DataConfig, ModelConfig, TrainingConfig)
            for fields in [dataclasses.fields(group)]
        ]
        assert not settings
        return RunConfig(*groups, seed=seed)

    return make


FILES = ("train_file", "test_file")


@pytest.fixture(scope="module")
def trained(make_config, tmp_path_factory):
    """A finished run of the settings; the same settings are trained once."""
    runs = {}

    def train_once(**settings):
        key = tuple(sorted(settings.items()))
        if key not in runs:
            workdir = tmp_path_factory.mktemp("run") / "workdir"
            config = make_config(**settings)
            result = train_and_evaluate(config, workdir)
            runs[key] = SimpleNamespace(
                config=config,
                workdir=workdir,
                result=result,
                classifier=result.classifier,
                history=result.history,
                metrics=json.loads((workdir / "metrics.json").read_text()),
                splits=load_splits(config.data, config.seed),
            )
        return runs[key]

    return train_once


@pytest.fixture(scope="module")
def base(trained):
    return trained()


RUN_OF_MONITOR = {
    "accuracy": {},
    # Ends without having been stopped.
    "macro_f1": {
        "monitor": "macro_f1",
        "early_stopping_patience": 10,
        "test_file": "",
    },
    "loss": {"monitor": "loss"},
}


@pytest.fixture(params=RUN_OF_MONITOR)
def monitored(trained, request):
    return trained(**RUN_OF_MONITOR[request.param])


@pytest.fixture
def copy_of_base(base, tmp_path):
    return shutil.copytree(base.workdir, tmp_path / "copy")


@pytest.fixture(scope="module")
def overwritten(base, make_config, tmp_path_factory):
    """A copy of the base run, replaced by one of another seed."""
    workdir = tmp_path_factory.mktemp("run") / "workdir"
    shutil.copytree(base.workdir, workdir)
    result = train_and_evaluate(make_config(seed=1), workdir, overwrite=True)
    return SimpleNamespace(workdir=workdir, result=result)


def contents(path):
    return {
        str(file.relative_to(path)): file.read_bytes()
        for file in path.rglob("*")
        if file.is_file()
    }


def close(value):
    return pytest.approx(value, rel=1e-5)


# --- What a run leaves


def test_the_files_of_a_run(base):
    names = {path.name for path in base.workdir.iterdir()}
    assert names == {
        ".lock",
        "model.keras",
        "preset",
        "metrics.json",
        "history.csv",
        "config.cfg",
        "data.cfg",
        "plots",
        "test_predictions.csv",
    }


def test_the_schema_of_the_metrics(base):
    assert list(base.metrics) == ["validation", "test", "run"]
    for name in ("validation", "test"):
        assert list(base.metrics[name]) == [
            "accuracy",
            "macro_f1",
            "loss",
            "per_class",
            "confusion_matrix",
            "num_examples",
            "expected_calibration_error",
        ]
        assert list(base.metrics[name]["per_class"]) == ["bad", "good"]
    assert list(base.metrics["run"]) == [
        "seed",
        "versions",
        "device",
        "seconds",
        "tokens_read",
        "tokens_dropped",
        "fill_ratio",
        "row_length",
        "training_seconds",
        "best_epoch",
        "averaged_epochs",
        "num_recoveries",
        "temperature",
        "num_epochs",
        "num_updates",
        "num_parameters",
        "num_trained_parameters",
        "num_train_examples",
        "num_skipped_rows",
    ]
    assert set(base.metrics["run"]["versions"]) >= {"python", "sentiment", "jax"}


def test_the_figures_of_the_run(base):
    run = base.metrics["run"]
    encoded = encode_examples(base.classifier.preprocessor, base.splits.train)
    plan = BatchPlan(encoded, 4, 12, seed=0)
    assert run["seed"] == 0
    assert run["tokens_read"] == encoded.tokens.lengths.sum()
    assert run["tokens_dropped"] == encoded.num_dropped > 0
    assert run["fill_ratio"] == plan.fill_ratio
    assert run["num_parameters"] == base.classifier.count_params()
    assert run["num_train_examples"] == 42  # 70% of 60
    assert run["num_epochs"] == len(base.history["epoch"])
    assert run["seconds"] > 0
    assert run["device"].startswith(jax.local_devices()[0].platform)


def test_the_history_has_a_row_for_each_epoch(base):
    with open(base.workdir / "history.csv", newline="") as file:
        header, *rows = csv.reader(file)
    assert header[:2] == ["epoch", "learning_rate"]
    scores = {"accuracy", "cross_entropy", "loss", "macro_f1"}
    assert set(header[2:]) == scores | {f"val_{name}" for name in scores}
    assert [int(row[0]) for row in rows] == list(range(1, len(rows) + 1))
    columns = dict(zip(header, zip(*rows, strict=True), strict=True))
    for name, values in base.history.items():
        assert [float(value) for value in columns[name]] == values


def test_the_result_in_memory_is_what_was_saved(base):
    assert base.result.metrics == base.metrics
    texts = base.splits.test.texts
    expected = base.classifier.predict(texts)
    for path in ("", "model.keras", "preset"):
        saved = load_classifier(base.workdir / path)
        assert saved.label_names == ("bad", "good")
        np.testing.assert_allclose(saved.predict(texts), expected, rtol=1e-6)


def test_the_saved_model_holds_no_optimizer_slots(base):
    archive = zipfile.ZipFile(base.workdir / "model.keras")
    sizes = {}

    def measure(name, item):
        if isinstance(item, h5py.Dataset):
            sizes[name] = item.size

    with h5py.File(io.BytesIO(archive.read("model.weights.h5"))) as weights:
        weights.visititems(measure)
    slots = [size for name, size in sizes.items() if name.startswith("optimizer/")]
    assert set(slots) <= {1}  # its rate and its count of updates
    assert sum(sizes.values()) - sum(slots) < base.classifier.count_params() + 20


def test_nothing_that_training_adds_to_the_loss_stays(
    make_config, tmp_path, monkeypatch
):
    config = make_config(epochs=1, pooling="last", lm_loss_weight=0.5)
    adversarial = AdversarialConfig(adversarial="fgm")
    config = dataclasses.replace(config, adversarial=adversarial)
    fit, seen = sentiment.PackedTextClassifier.fit, []

    def terms(classifier):
        method = classifier.adversary and classifier.adversary.config.adversarial
        return method, classifier.language_loss.weight, classifier.decoder.reads

    def watching(self, *arguments, **options):
        seen.append(terms(self))
        return fit(self, *arguments, **options)

    monkeypatch.setattr(sentiment.PackedTextClassifier, "fit", watching)
    classifier = train_and_evaluate(config, tmp_path / "run").classifier
    assert set(seen) == {("fgm", 0.5, "all")}
    assert terms(classifier) == (None, 0.0, "last")


def test_the_test_scores_are_those_of_the_saved_model(base):
    saved = load_classifier(base.workdir)
    scores = evaluate_split(saved, base.config.data, "test", seed=0)
    assert scores["confusion_matrix"] == base.metrics["test"]["confusion_matrix"]
    assert scores["loss"] == close(base.metrics["test"]["loss"])
    assert scores["num_examples"] == 20


def test_without_test_data_there_are_no_test_scores(trained):
    run = trained(**RUN_OF_MONITOR["macro_f1"])
    assert list(run.metrics) == ["validation", "run"]


def test_the_vocabulary_is_learned_from_the_training_split_alone(base):
    texts = [clean_text(text) for text in base.splits.train.texts]
    tokenizer = base.classifier.preprocessor.tokenizer
    vocabulary, merges = train_vocabulary(texts, 300)
    assert dict(tokenizer.vocabulary) == vocabulary
    assert tokenizer.merges == merges


# --- Repeating a run


def test_config_cfg_repeats_the_run_byte_for_byte(base, tmp_path):
    flagfile = base.workdir / "config.cfg"
    command = cli.parse(
        "train", [f"--flagfile={flagfile}", f"--workdir={tmp_path / 'again'}"]
    )
    assert command.run == base.config
    train_and_evaluate(command.run, command.workdir)
    for name in ("history.csv", "config.cfg"):
        again = (tmp_path / "again" / name).read_bytes()
        assert again == (base.workdir / name).read_bytes()


def test_another_seed_gives_another_run(base, overwritten):
    other = overwritten.result
    assert other.history["loss"][0] != base.history["loss"][0]
    assert other.metrics["run"]["seed"] == 1


# --- The schedule


def test_the_learning_rate_follows_the_schedule_over_updates_exactly(base):
    encoded = encode_examples(base.classifier.preprocessor, base.splits.train)
    # An update reads 2 micro-batches of 2 rows.
    updates = BatchPlan(encoded, 4, 12, seed=0).num_batches
    schedule = warmup_cosine(0.03, 10 * updates, 0.1)
    assert base.history["learning_rate"] == [
        float(schedule(epoch * updates - 1)) for epoch in base.history["epoch"]
    ]


# --- The best epoch


def test_the_best_epoch_is_that_of_the_monitored_score(monitored):
    monitor = monitored.config.training.monitor
    scores = monitored.history[MONITORED[monitor]]
    best = min(scores) if monitor == "loss" else max(scores)
    assert monitored.metrics["run"]["best_epoch"] == scores.index(best) + 1
    # Else the next tests would not tell the best weights from the last.
    assert monitored.metrics["run"]["best_epoch"] < len(scores)


def test_the_best_epochs_weights_are_saved(monitored):
    best = monitored.metrics["run"]["best_epoch"] - 1
    saved = load_classifier(monitored.workdir)
    validation = encode_examples(saved.preprocessor, monitored.splits.validation)
    scores = evaluate_encoded(saved, validation).metrics
    for name, column in MONITORED.items():
        assert scores[name] == close(monitored.history[column][best])
    assert scores["loss"] != close(monitored.history["val_cross_entropy"][-1])


def test_the_metrics_are_those_of_the_best_epoch(monitored):
    best = monitored.metrics["run"]["best_epoch"] - 1
    for name, column in MONITORED.items():
        history = monitored.history[column][best]
        assert monitored.metrics["validation"][name] == close(history)
    assert monitored.metrics["validation"]["num_examples"] == 18


def test_a_run_stops_after_patience_epochs_without_a_better_score(base, trained):
    assert base.config.training.early_stopping_patience == 2
    run = base.metrics["run"]
    assert run["num_epochs"] == run["best_epoch"] + 2 < base.config.training.epochs
    patient = trained(**RUN_OF_MONITOR["macro_f1"])
    assert patient.metrics["run"]["num_epochs"] == 10


# --- The workdir


def test_a_finished_run_is_refused_at_once_and_left_untouched(
    copy_of_base, make_config
):
    before = contents(copy_of_base)
    config = make_config(train_file="missing.csv")
    with pytest.raises(InputError, match="finished run"):
        train_and_evaluate(config, copy_of_base)
    assert contents(copy_of_base) == before


def test_overwrite_replaces_every_file(base, overwritten):
    before, after = contents(base.workdir), contents(overwritten.workdir)
    assert after.keys() == before.keys()
    for name in ("model.keras", "metrics.json", "history.csv", "config.cfg"):
        assert after[name] != before[name]
    assert json.loads(after["metrics.json"]) == overwritten.result.metrics
    expected = overwritten.result.classifier.get_weights()
    for path in ("model.keras", "preset"):
        weights = load_classifier(overwritten.workdir / path).get_weights()
        for actual, wanted in zip(weights, expected, strict=True):
            np.testing.assert_array_equal(actual, wanted)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"learning_rate": 100.0}, r"loss became .* lower --learning_rate"),
        ({"test_file": "missing.csv"}, "missing.csv"),
        ({"class_weight": ("1", "2", "3")}, "2 numbers.*bad, good.*Received: 3"),
    ],
)
def test_a_failing_run_leaves_an_older_one_intact(
    copy_of_base, make_config, settings, message
):
    before = contents(copy_of_base)
    with pytest.raises(InputError, match=message):
        train_and_evaluate(make_config(**settings), copy_of_base, overwrite=True)
    assert contents(copy_of_base) == before
    assert [path.name for path in copy_of_base.glob(".*")] == [".lock"]


# --- Class weights


def class_weight(value, counts):
    labels = np.repeat(np.arange(len(counts)), counts)
    examples = Examples([""] * len(labels), labels)
    names = tuple("abc"[: len(counts)])
    splits = Splits(examples, examples, None, names)
    return train._class_weight(TrainingConfig(class_weight=value), splits)


def test_balanced_class_weights_by_hand():
    # n / (classes * count): 10 / (3 * 6), 10 / (3 * 3), 10 / (3 * 1).
    weights = class_weight(("balanced",), (6, 3, 1))
    assert weights == pytest.approx([10 / 18, 10 / 9, 10 / 3])


def test_a_class_that_training_lacks_has_weight_one():
    assert class_weight(("balanced",), (6, 0, 2)) == pytest.approx([8 / 12, 1, 2])


def test_listed_class_weights_are_taken_as_they_are():
    assert class_weight(("0.5", "2"), (6, 2)) == [0.5, 2.0]
    assert class_weight(("none",), (6, 2)) is None


# --- Precision and packing


@pytest.fixture(scope="module")
def half(trained):
    """In half precision, and without packing."""
    return trained(
        dtype="mixed_bfloat16",
        packing=False,
        epochs=2,
        batch_size=4,
        gradient_accumulation_steps=1,
    )


def test_mixed_bfloat16_computes_in_bfloat16_and_gives_float32_logits(half):
    saved = load_classifier(half.workdir)
    batch = {
        "token_ids": np.ones((1, 4), np.int32),
        "segment_lengths": np.array([[3]], np.int32),
    }
    for classifier in (half.classifier, saved):
        for layer in classifier.backbone.transformer_layers:
            assert layer.compute_dtype == "bfloat16"
            assert layer.variable_dtype == "float32"
        logits = jax.eval_shape(classifier, batch)
        assert logits.dtype == "float32"
    assert np.isfinite(half.history["loss"]).all()


def test_without_packing_each_review_fills_its_own_row(half):
    run = half.metrics["run"]
    rows = 44  # 42 reviews in batches of 4
    assert run["fill_ratio"] == run["tokens_read"] / (rows * 12)
    schedule = warmup_cosine(0.03, 2 * 11, 0.1)
    assert half.history["learning_rate"] == [float(schedule(t)) for t in (10, 21)]


# --- Texts that a teacher has labelled


def test_taught_texts_are_learnt_from(make_config, tmp_path, trained):
    path = tmp_path / "more.txt"
    path.write_text("superb lovely film\na dull boring film\nawful and dull\n")
    config = dataclasses.replace(
        make_config(epochs=2, label_smoothing=0.0),
        unlabelled=UnlabelledConfig(teacher="nb_svm", unlabelled_file=str(path)),
    )
    result = train_and_evaluate(config, tmp_path / "run")
    assert result.metrics["unlabelled"] == {
        "num_examples": 3,
        "num_excluded": 0,
        "num_repeated": 0,
        "num_mixed": 0,
        "num_skipped_rows": 0,
    }
    alone = trained(epochs=2, label_smoothing=0.0)
    more = result.metrics["run"]["tokens_read"] - alone.metrics["run"]["tokens_read"]
    tokens = result.classifier.preprocessor.encode(path.read_text().splitlines()).tokens
    assert more == len(tokens.flat)
    assert "unlabelled" not in alone.metrics
    assert f"--unlabelled_file={path}\n" in (tmp_path / "run/config.cfg").read_text()


@pytest.fixture(scope="module")
def adapted(base, trained):
    return trained(
        preset=str(base.workdir / "preset"), lora_rank=2, epochs=2, pooling="mean"
    )


def test_an_adapter_stands_beside_the_model_it_restores(base, adapted):
    expected = load_classifier(adapted.workdir).get_weights()
    found = load_classifier(adapted.workdir / "adapter.safetensors")
    for one, other in zip(found.get_weights(), expected, strict=True):
        np.testing.assert_array_equal(one, other)
    before = {v.path: np.array(v) for v in base.classifier.backbone.weights}
    after = {v.path: np.array(v) for v in found.backbone.weights}
    changed = {path for path in after if not np.array_equal(before[path], after[path])}
    attention = "transformer_layer_0/self_attention"
    assert changed == {f"{attention}/query/kernel", f"{attention}/value/kernel"}


def test_what_an_adapted_run_trains_is_counted(base, adapted):
    run = adapted.metrics["run"]
    # Two kernels (8, 2, 4) with a of (8, 2, 2) and b of (2, 4); the head is (8, 2).
    assert run["num_trained_parameters"] == 2 * (32 + 8) + 8 * 2 + 2
    assert run["num_parameters"] == base.metrics["run"]["num_parameters"]
    assert base.metrics["run"]["num_trained_parameters"] == run["num_parameters"]
