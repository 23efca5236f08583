import itertools
import tracemalloc

import jax
import keras
import numpy as np
import pytest
from sklearn.metrics import f1_score

import sentiment
from sentiment.data.packing import RaggedTokens, one_per_row, pack_rows
from sentiment.data.pipeline import BatchPlan, EncodedExamples, batches
from sentiment.errors import InputError
from sentiment.models import packed_prediction, packed_text_classifier
from sentiment.models.losses import ReviewCrossentropy
from sentiment.models.packed_prediction import even_batch_rows
from sentiment.models.packed_text_classifier import PackedTextClassifier

TEXTS = [
    "A great film! I loved it.",
    "!!!",
    "Terrible.",
    "",
    "the end <|endoftext|> of it",
    "中文很好",
    "😀",
    "\ud800 broken",
    "It was fine, nothing more and nothing less.",
    "good",
    "bad, bad and 31415926535897932384626433 times bad",
]
NUM_CLASSES = 3


@pytest.fixture(scope="module")
def make(tokenizer, make_backbone, randomize):
    """Makes a tiny classifier that tells texts apart."""

    def make(dropout=0.0):
        keras.utils.set_random_seed(0)
        backbone = make_backbone(
            num_layers=1, hidden_dim=8, intermediate_dim=16, max_sequence_length=32
        )
        preprocessor = sentiment.GPT2TextClassifierPreprocessor(
            tokenizer, sequence_length=32
        )
        return randomize(
            sentiment.GPT2TextClassifier(
                backbone, NUM_CLASSES, preprocessor, "last", dropout
            )
        )

    return make


# --- Prediction


@pytest.fixture(scope="module")
def classifier(make):
    """For prediction alone: tests share its compiled programs."""
    return make()


@pytest.fixture(scope="module")
def one_by_one(classifier):
    return np.concatenate([classifier.predict([text]) for text in TEXTS])


def test_predict_gives_float32_probabilities_that_differ(one_by_one):
    assert one_by_one.shape == (len(TEXTS), NUM_CLASSES)
    assert one_by_one.dtype == np.float32
    assert (one_by_one >= 0).all()
    np.testing.assert_allclose(one_by_one.sum(axis=1), 1.0, atol=1e-6)
    # Far more than the tolerance of the comparisons below.
    distances = np.abs(one_by_one[:, None] - one_by_one[None]).max(-1)
    assert distances[~np.eye(len(TEXTS), dtype=bool)].min() > 1e-3


@pytest.mark.parametrize("batch_size", [1, 3, None, 1000])
def test_predict_on_a_list_equals_one_by_one(classifier, one_by_one, batch_size):
    result = classifier.predict(TEXTS, batch_size=batch_size)
    np.testing.assert_allclose(result, one_by_one, rtol=0, atol=1e-5)


def test_predict_keeps_the_order_of_the_texts(classifier, one_by_one):
    for seed in range(3):
        order = np.random.default_rng(seed).permutation(len(TEXTS) * 2) % len(TEXTS)
        result = classifier.predict([TEXTS[i] for i in order])
        np.testing.assert_allclose(result, one_by_one[order], rtol=0, atol=1e-5)


def test_predict_reads_strings_tuples_and_arrays(classifier, one_by_one):
    expected = one_by_one[[0, 2]]
    texts = [TEXTS[0], TEXTS[2]]
    for x in (tuple(texts), np.array(texts), np.array(texts, object)):
        np.testing.assert_allclose(classifier.predict(x), expected, atol=1e-5, rtol=0)
    np.testing.assert_array_equal(classifier.predict(texts[0]), one_by_one[:1])


def test_predict_on_nothing_gives_no_rows(classifier):
    assert classifier.predict([]).shape == (0, NUM_CLASSES)


@pytest.mark.parametrize(
    ("texts", "index"),
    [
        (["a", None], 1),
        (["a", "b", 3.5, None], 2),
        ([None, "a"], 0),
        ([None], 0),
        ([float("nan"), float("nan")], 0),
        ([b"a"], 0),
        ((1, 2), 0),
        (np.array(["a", None], object), 1),
    ],
)
def test_predict_names_the_first_element_that_is_no_string(classifier, texts, index):
    with pytest.raises(InputError, match=f"must be a string.*at index {index}"):
        classifier.predict(texts)


def test_predict_on_packed_rows_keeps_the_slots(classifier, one_by_one):
    tokens = classifier.preprocessor.encode([TEXTS[1], TEXTS[2]]).tokens
    batch = pack_rows(tokens, [np.array([0, 1])], 32, 4)
    result = classifier.predict(batch, verbose=0)
    assert result.shape == (1, 4, NUM_CLASSES)
    np.testing.assert_allclose(result[0, :2], one_by_one[1:3], rtol=0, atol=1e-5)


def test_predict_tokens_equals_predict(classifier, one_by_one):
    tokens = classifier.preprocessor.encode(TEXTS).tokens
    result = classifier.predict_tokens(tokens)
    np.testing.assert_allclose(result, one_by_one, rtol=0, atol=1e-5)


def test_no_tokens_give_no_predictions(classifier):
    tokens = RaggedTokens.from_sequences([])
    assert classifier.predict_tokens(tokens).shape == (0, NUM_CLASSES)


def test_predict_texts_tells_which_were_empty(classifier, one_by_one):
    probabilities, is_empty = classifier.predict_texts(TEXTS)
    assert is_empty.tolist() == [text == "" for text in TEXTS]
    np.testing.assert_allclose(probabilities, one_by_one, rtol=0, atol=1e-5)


def test_long_text_is_read_as_its_first_words(classifier):
    many, few = classifier.predict(["good film " * 50_000, "good film " * 50])
    np.testing.assert_array_equal(many, few)


def test_windows_cover_all_texts_in_order_whatever_their_size(
    classifier, one_by_one, monkeypatch
):
    sizes = []
    encode = classifier.preprocessor.encode
    monkeypatch.setattr(packed_prediction, "WINDOW_CHARACTERS", 30)
    monkeypatch.setattr(
        classifier.preprocessor,
        "encode",
        lambda texts: sizes.append(sum(map(len, texts))) or encode(texts),
    )
    result = classifier.predict(TEXTS)
    np.testing.assert_allclose(result, one_by_one, rtol=0, atol=1e-5)
    assert len(sizes) > 2
    assert max(sizes) < 30 + max(map(len, TEXTS))


def test_one_huge_text_among_many_short_ones_takes_bounded_memory(classifier):
    huge = "word salad, " * (5_000_000 // 12)
    texts = ["good"] * 500 + [huge] + ["bad"] * 500
    expected = classifier.predict(["good", huge[:1000], "bad"])
    tracemalloc.start()
    try:
        result = classifier.predict(texts)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    # As an array of strings it would be 20 GB, as padded token ids 8 GB.
    assert peak < 200e6
    np.testing.assert_allclose(result[:500], expected[[0] * 500], rtol=0, atol=1e-5)
    np.testing.assert_allclose(result[500], expected[1], rtol=0, atol=1e-5)
    np.testing.assert_allclose(result[501:], expected[[2] * 500], rtol=0, atol=1e-5)


def test_any_prediction_takes_few_compiled_programs(classifier, monkeypatch):
    shapes = set()

    def step(data):
        (batch,) = data
        shapes.add(tuple(array.shape for array in batch.values()))
        return (np.zeros((*batch["segment_lengths"].shape, NUM_CLASSES)),)

    monkeypatch.setattr(classifier, "_on_weights", lambda _: step)
    for count in range(1, 200):
        classifier.predict(["some words of a text"] * count)
    # One row length, of 32; at most 64 rows, which are 2,048 tokens.
    sizes = {shape[0][0] for shape in shapes}
    assert {1, 64} < sizes <= {1, 2, 4, 8, 16, 24, 32, 40, 48, 56, 64}
    assert len(shapes) == len(sizes)


@pytest.mark.parametrize(
    ("num_rows", "size"),
    [
        (1, 1),
        (3, 4),
        (9, 10),  # one batch of 10 instead of 16
        (16, 16),
        (17, 10),  # two of 9 each, in eighths of 16
        (51, 14),  # four of 13
        (1000, 16),
    ],
)
def test_rows_are_shared_out_evenly_over_batches(num_rows, size):
    assert even_batch_rows(num_rows, 16, num_devices=1) == size
    spare = -(-num_rows // size) * size - num_rows
    assert spare <= max(size // 4, 1) * -(-num_rows // size)
    assert even_batch_rows(num_rows, 16, num_devices=8) % 8 == 0


@pytest.mark.parametrize("batch_size", [0, -1])
def test_batch_size_below_one_is_refused(classifier, batch_size):
    with pytest.raises(InputError, match=f"at least 1. Received: {batch_size}"):
        classifier.predict(["a"], batch_size=batch_size)
    with pytest.raises(InputError, match=f"at least 1. Received: {batch_size}"):
        classifier.evaluate(["a"], [0], batch_size=batch_size)


def test_broken_weights_are_not_answered_with(make):
    broken = make()
    broken.logits_dense.bias.assign(np.full(broken.logits_dense.bias.shape, np.nan))
    with pytest.raises(InputError, match="probabilities are NaN"):
        broken.predict(["a"])


@pytest.mark.parametrize("labels", [[0, NUM_CLASSES], [-1, 0], [0.0, 1.0]])
def test_labels_that_are_no_class_are_refused(make, labels):
    for y in (labels, np.array(labels)):
        with pytest.raises(InputError, match=f"integers from 0 to {NUM_CLASSES - 1}"):
            make().fit(["a", "b"], y, verbose=0)


def test_a_loss_scale_is_not_in_the_logged_loss(make):
    classifier = make()
    losses = []
    for scale in (None, 1024.0):
        classifier.compile(keras.optimizers.SGD(0.0, loss_scale_factor=scale))
        history = classifier.fit(["a", "b"], [0, 1], verbose=0).history
        losses.append(history["loss"][0])
    assert losses[0] == pytest.approx(losses[1], rel=1e-6)


def test_classifier_without_preprocessor_says_so(classifier, monkeypatch):
    monkeypatch.setattr(classifier, "preprocessor", None)
    for call in (classifier.predict, classifier.predict_texts):
        with pytest.raises(InputError, match="no preprocessor"):
            call(["a"])


def test_preprocessor_that_comes_later_is_fitted_to_the_positions(make, tokenizer):
    classifier = make()
    classifier.preprocessor = sentiment.GPT2TextClassifierPreprocessor(tokenizer)
    assert classifier.preprocessor.sequence_length == 32
    too_long = sentiment.GPT2TextClassifierPreprocessor(tokenizer, 33)
    with pytest.raises(InputError, match="32 positions"):
        classifier.preprocessor = too_long


# --- Temperature


def test_a_temperature_divides_the_logits(make):
    classifier = make()
    logits = np.log(np.float32([[4.0, 1.0, 1.0]]))
    expected = [[4 / 6, 1 / 6, 1 / 6]]
    np.testing.assert_allclose(classifier.probabilities(logits), expected, rtol=1e-6)
    classifier.temperature = 2.0  # the square roots of 4, 1 and 1
    expected = [[0.5, 0.25, 0.25]]
    np.testing.assert_allclose(classifier.probabilities(logits), expected, rtol=1e-6)


def test_by_default_not_a_bit_changes(make):
    classifier = make()
    logits = np.random.default_rng(0).normal(0, 3, (5, 4, NUM_CLASSES)).astype("f4")
    expected = jax.nn.softmax(logits, axis=-1)
    np.testing.assert_array_equal(classifier.probabilities(logits), expected)
    program = jax.make_jaxpr(classifier.probabilities)(logits)
    assert str(program) == str(jax.make_jaxpr(jax.nn.softmax)(logits))


def test_every_way_to_predict_uses_the_temperature(make, one_by_one):
    classifier = make()
    classifier.predict(TEXTS)  # What is compiled now must not be used again.
    classifier.temperature = 2.0
    expected = np.sqrt(one_by_one)
    expected /= expected.sum(axis=1, keepdims=True)
    tokens = classifier.preprocessor.encode(TEXTS).tokens
    batch = pack_rows(tokens, one_per_row(len(TEXTS)), 32, 1)
    for found in (
        classifier.predict(TEXTS),
        classifier.predict_texts(TEXTS)[0],
        classifier.predict_tokens(tokens),
        classifier.predict(batch, verbose=0)[:, 0],
    ):
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5)


def test_a_temperature_changes_no_update_and_no_loss(make):
    batch = make_batch(UNEQUAL)
    steps = []
    for temperature in (1.0, 3.0):
        classifier = make()
        classifier.compile(keras.optimizers.SGD(1.0))
        classifier.temperature = temperature
        steps.append(sgd_step(classifier, batch))
    (change, logs), (other_change, other_logs) = steps
    for one, other in zip(change, other_change, strict=True):
        # Two programs, so sums may be in another order.
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-6)
    for name in ("loss", "accuracy", "macro_f1"):
        np.testing.assert_allclose(logs[name], other_logs[name], rtol=1e-6)
    assert other_logs["cross_entropy"] != pytest.approx(logs["cross_entropy"], rel=0.01)


def test_metrics_are_those_of_the_probabilities(make):
    classifier = make()
    classifier.temperature = 3.0
    labels = np.arange(len(TEXTS)) % NUM_CLASSES
    scores = classifier.evaluate(TEXTS, labels, verbose=0, return_dict=True)
    of_label = classifier.predict(TEXTS)[np.arange(len(TEXTS)), labels]
    expected = -np.log(of_label).mean()
    assert scores["cross_entropy"] == pytest.approx(expected, rel=1e-5)
    assert scores["loss"] != pytest.approx(expected, rel=0.01)


@pytest.mark.parametrize("value", [0, -1.0, float("inf"), float("nan")])
def test_a_temperature_is_above_0_and_finite(make, make_backbone, value):
    with pytest.raises(InputError, match=f"above 0 and finite. Received: {value}"):
        make().temperature = value
    with pytest.raises(InputError, match="temperature"):
        sentiment.PackedTextClassifier(make_backbone(), 2, temperature=value)


# --- Training


def sgd_step(classifier, batch):
    """Weights' change by one update at learning rate 1, and what is logged."""
    variables = classifier.trainable_variables
    before = [np.array(variable.value) for variable in variables]
    classifier.reset_metrics()
    logs = classifier.train_on_batch(*batch, return_dict=True)
    change = [
        np.array(variable.value) - old
        for variable, old in zip(variables, before, strict=True)
    ]
    for variable, old in zip(variables, before, strict=True):
        variable.assign(old)
    return change, logs


def make_batch(counts, num_reviews=64, seed=0):
    """32 rows with `counts` reviews each, dealt out in order; unused rows last."""
    rng = np.random.default_rng(seed)
    sequences = [rng.integers(1, 200, rng.integers(2, 8)) for _ in range(num_reviews)]
    labels = rng.integers(0, NUM_CLASSES, num_reviews)
    ends = np.cumsum(counts)
    assert ends[-1] <= num_reviews
    rows = [np.arange(end - n, end) for n, end in zip(counts, ends, strict=True)]
    x = pack_rows(RaggedTokens.from_sequences(sequences), rows, 32, 4, 32)
    y = np.zeros((32, 4), np.int32)
    for i, row in enumerate(rows):
        y[i, : len(row)] = labels[row]
    return x, y, (x["segment_lengths"] > 0).astype(np.float32)


ONE_PER_ROW = [1] * 32
UNEQUAL = [1, 4, 2, 3] * 6 + [1] * 4 + [0] * 4
# 11 rows of an uneven last batch; with 4 micro-batches some are nearly empty.
UNEVEN_LAST = [3] * 10 + [2]


@pytest.fixture(scope="module")
def in_parts(make):
    """One classifier for each number of micro-batches, of equal weights."""
    classifiers = {}
    for steps in (1, 4):
        classifiers[steps] = make()
        classifiers[steps].compile(
            keras.optimizers.SGD(1.0), gradient_accumulation_steps=steps
        )
    return classifiers


def assert_same_update(change, expected):
    assert max(np.abs(array).max() for array in expected) > 1e-2
    for array, expected_array in zip(change, expected, strict=True):
        np.testing.assert_allclose(array, expected_array, rtol=0, atol=1e-6)


@pytest.mark.parametrize("counts", [ONE_PER_ROW, UNEQUAL, UNEVEN_LAST])
def test_micro_batches_give_the_update_of_the_whole_batch(in_parts, counts):
    batch = make_batch(counts)
    change, logs = sgd_step(in_parts[4], batch)
    expected, expected_logs = sgd_step(in_parts[1], batch)
    assert_same_update(change, expected)
    assert logs == pytest.approx(expected_logs, abs=1e-6)


@pytest.mark.parametrize("weighted", [True, False])
def test_a_last_batch_that_does_not_divide_is_filled_up(in_parts, weighted):
    x, y, weight = make_batch(ONE_PER_ROW)
    x = {name: array[:30] for name, array in x.items()}
    if weighted:
        batch = x, y[:30], weight[:30]
    else:  # one slot a row, as `fit` makes of strings
        x["segment_lengths"] = x["segment_lengths"][:, :1]
        batch = x, y[:30, :1], None
    change, logs = sgd_step(in_parts[4], batch)
    expected, expected_logs = sgd_step(in_parts[1], batch)
    assert_same_update(change, expected)
    assert logs == pytest.approx(expected_logs, abs=1e-6)


def test_less_than_one_micro_batch_is_refused(make):
    with pytest.raises(InputError, match=r"at least 1\. Received: 0"):
        make().compile(gradient_accumulation_steps=0)


@pytest.mark.parametrize("steps", [1, 4])
def test_update_does_not_depend_on_how_reviews_fall_into_rows(in_parts, steps):
    expected, expected_logs = sgd_step(in_parts[steps], make_batch(ONE_PER_ROW))
    for counts in (UNEVEN_LAST, [4] * 8):
        change, logs = sgd_step(in_parts[steps], make_batch(counts))
        assert_same_update(change, expected)
        assert logs == pytest.approx(expected_logs, abs=1e-6)


@pytest.mark.parametrize("counts", [UNEQUAL, UNEVEN_LAST])
@pytest.mark.parametrize("steps", [1, 4])
def test_update_and_loss_are_means_per_review_by_hand(in_parts, steps, counts):
    x, y, weight = make_batch(counts)
    classifier = in_parts[steps]
    used = weight > 0
    probabilities = in_parts[1].predict_on_batch(x)[used]
    labels = y[used]
    change, logs = sgd_step(classifier, (x, y, weight))

    loss = -np.log(probabilities[np.arange(len(labels)), labels])
    assert logs["loss"] == pytest.approx(loss.mean(), rel=1e-5)
    assert logs["cross_entropy"] == pytest.approx(loss.mean(), rel=1e-5)
    guesses = probabilities.argmax(-1)
    assert logs["accuracy"] == pytest.approx((guesses == labels).mean())
    macro_f1 = f1_score(labels, guesses, average="macro")
    assert float(np.mean(logs["macro_f1"])) == pytest.approx(macro_f1, rel=1e-5)

    bias = next(
        i
        for i, variable in enumerate(classifier.trainable_variables)
        if variable is classifier.logits_dense.bias
    )
    gradient = (probabilities - np.eye(NUM_CLASSES)[labels]).mean(axis=0)
    np.testing.assert_allclose(change[bias], -gradient, rtol=0, atol=1e-6)


def test_loss_of_an_epoch_weighs_each_review_the_same(in_parts):
    parts = [make_batch(counts) for counts in (ONE_PER_ROW, UNEVEN_LAST[:2])]
    classifier = in_parts[4]
    values = [sgd_step(classifier, part)[1]["loss"] for part in parts]
    assert abs(values[0] - values[1]) > 1e-2
    x, y, weight = jax.tree.map(lambda *arrays: np.concatenate(arrays), *parts)
    classifier.optimizer.learning_rate = 0.0
    history = classifier.fit(
        x, y, batch_size=32, sample_weight=weight, shuffle=False, verbose=0
    ).history
    classifier.optimizer.learning_rate = 1.0
    expected = np.average(values, weights=[32, 6])
    np.testing.assert_allclose(history["loss"], [expected], rtol=1e-5)


def test_content_of_unused_slots_changes_nothing(in_parts):
    x, y, weight = make_batch(UNEVEN_LAST)
    expected, expected_logs = sgd_step(in_parts[4], (x, y, weight))
    y = np.where(weight > 0, y, 2)
    ends = x["segment_lengths"].sum(axis=1, keepdims=True)
    token_ids = np.where(np.arange(32) < ends, x["token_ids"], 7)
    change, logs = sgd_step(
        in_parts[4], ({**x, "token_ids": token_ids.astype(np.int32)}, y, weight)
    )
    for array, expected_array in zip(change, expected, strict=True):
        np.testing.assert_array_equal(array, expected_array)
    assert logs == expected_logs


def test_batch_of_empty_rows_changes_nothing(in_parts):
    x, y, weight = make_batch([0] * 32)
    change, logs = sgd_step(in_parts[4], (x, y, weight))
    assert all((array == 0).all() for array in change)
    assert np.isfinite(logs["loss"])


def test_sample_weights_scale_a_reviews_loss_but_not_the_count(in_parts):
    x, y, used = make_batch(UNEQUAL)
    weight = used * np.random.default_rng(1).uniform(0.5, 2.0, used.shape)
    probabilities = in_parts[1].predict_on_batch(x)
    loss = -np.log(np.take_along_axis(probabilities, y[..., None], -1)[..., 0])
    _, logs = sgd_step(in_parts[1], (x, y, weight.astype(np.float32)))
    assert logs["loss"] == pytest.approx((weight * loss).sum() / used.sum(), rel=1e-5)


def test_a_language_models_loss_is_a_mean_over_all_reviews(make, in_parts):
    x, y, used = make_batch(UNEQUAL)
    weighted = make()
    weighted.compile(
        keras.optimizers.SGD(1.0), gradient_accumulation_steps=4, lm_loss_weight=0.5
    )
    terms = []
    for count in (0, 10, int(used.sum())):  # so many are labelled
        weight = np.where(np.cumsum(used).reshape(used.shape) <= count, used, 0)
        changes = [sgd_step(c, (x, y, weight))[0] for c in (weighted, in_parts[4])]
        terms.append([a - b for a, b in zip(*changes, strict=True)])
    none, *others = terms
    for term in others:
        assert_same_update(term, none)


def test_fit_compiles_each_step_once_and_draws_dropout_in_every_micro_batch(
    make, classifier, monkeypatch
):
    traces = {"train_step": 0, "test_step": 0}

    def count(name):
        step = getattr(PackedTextClassifier, name)

        def counted(self, state, data):
            traces[name] += 1
            return step(self, state, data)

        monkeypatch.setattr(PackedTextClassifier, name, counted)

    count("train_step")
    count("test_step")
    trained = make(dropout=0.5)
    trained.compile(keras.optimizers.Adam(0.0), gradient_accumulation_steps=2)
    for variable, value in zip(
        trained.trainable_variables, classifier.trainable_variables, strict=True
    ):
        variable.assign(np.array(value.value))
    seed_state = trained.pooled_dropout.seed_generator.state
    seed_before = np.array(seed_state.value)

    rng = np.random.default_rng(0)

    def examples(number):
        sequences = [rng.integers(1, 200, rng.integers(2, 20)) for _ in range(number)]
        tokens = RaggedTokens.from_sequences(sequences)
        return EncodedExamples(tokens, rng.integers(0, NUM_CLASSES, number), 0)

    plans = [
        BatchPlan(examples(60), 8, 32, seed=0),
        BatchPlan(examples(25), 4, 32, seed=None),
    ]
    for plan in plans:
        assert plan.num_batches > 2  # and the last one is not full:
        assert len(plan.rows(0)) % plan.batch_rows
    train, validation = plans
    history = trained.fit(
        batches(train, 3),
        epochs=3,
        steps_per_epoch=train.num_batches,
        validation_data=batches(validation, 3),
        validation_steps=validation.num_batches,
        shuffle=False,
        verbose=0,
    ).history
    assert traces == {"train_step": 1, "test_step": 1}

    draws = (np.array(seed_state.value) - seed_before).sum()
    assert draws == 3 * train.num_batches * 2

    labels = validation.examples.labels
    # The learning rate is 0, so these are the weights, and every epoch's values.
    probabilities = classifier.predict_tokens(validation.examples.tokens)
    loss = -np.log(probabilities[np.arange(len(labels)), labels]).mean()
    accuracy = (probabilities.argmax(-1) == labels).mean()
    np.testing.assert_allclose(history["val_loss"], [loss] * 3, rtol=1e-5)
    np.testing.assert_allclose(history["val_accuracy"], [accuracy] * 3, rtol=1e-6)


def test_fit_evaluate_and_predict_work_on_raw_strings(make):
    classifier = make()
    classifier.compile(keras.optimizers.Adam(0.01))
    texts = ["good good", "bad bad", "fine"] * 4
    labels = [0, 1, 2] * 4
    before = classifier.evaluate(texts, labels, verbose=0, return_dict=True)
    classifier.fit(texts, labels, batch_size=12, epochs=30, shuffle=False, verbose=0)
    after = classifier.evaluate(texts, labels, verbose=0, return_dict=True)
    assert after["loss"] < before["loss"] / 2
    guesses = classifier.predict(texts[:3]).argmax(axis=1)
    assert guesses.tolist() == [0, 1, 2]


KINDS = [list, tuple, np.array]


@pytest.mark.parametrize("kind", KINDS)
def test_fit_reads_raw_strings_in_another_order_each_epoch(make, monkeypatch, kind):
    classifier = make()
    given = {}
    monkeypatch.setattr(
        keras.Model, "fit", lambda self, **arguments: given.update(arguments)
    )
    numbers = np.arange(40)
    texts = ["good " * (1 + number % 5) for number in numbers]

    def orders(seed=3, **settings):
        """Of the texts in two epochs."""
        keras.utils.set_random_seed(seed)
        classifier.fit(
            kind(texts),
            numbers % NUM_CLASSES,
            batch_size=8,
            sample_weight=numbers + 1.0,
            epochs=2,
            **settings,
        )
        assert given["steps_per_epoch"] == 5
        assert given["shuffle"] is False  # Keras would warn that it does not.
        order = []
        for x, labels, weights in given["x"]:
            used = x["segment_lengths"] > 0
            read = weights[used].astype(int) - 1
            assert not weights[~used].any()
            assert labels[used].tolist() == (read % NUM_CLASSES).tolist()
            lengths = classifier.preprocessor.encode([texts[i] for i in read]).tokens
            assert x["segment_lengths"][used].tolist() == lengths.lengths.tolist()
            order.append(sorted(read.tolist()))
        return order[:5], order[5:10]

    first, second = orders()
    in_order = numbers.reshape(5, 8).tolist()
    for order in (first, second):
        assert sorted(itertools.chain(*order)) == numbers.tolist()
    assert first != second
    assert in_order not in (first, second)
    assert orders() == (first, second)
    assert orders(seed=4)[0] != first
    assert orders(shuffle=False) == (in_order, in_order)


@pytest.mark.filterwarnings("error:.*shuffle")
@pytest.mark.parametrize("kind", KINDS)
def test_the_last_strings_of_a_split_are_validated_on(make, kind):
    classifier = make()
    classifier.compile(keras.optimizers.SGD(0.0))
    columns = (TEXTS[:8], [0, 1, 2, 0, 1, 2, 0, 1], [1.0, 2, 3, 4, 5, 6, 7, 8])
    texts, labels, weights = map(kind, columns)
    history = classifier.fit(
        texts, labels, sample_weight=weights, validation_split=0.4, verbose=0
    ).history
    for name, part in {"loss": slice(4), "val_loss": slice(4, None)}.items():
        x, y, weight = (column[part] for column in columns)
        expected = classifier.evaluate(
            x, y, sample_weight=weight, verbose=0, return_dict=True
        )
        assert history[name] == pytest.approx([expected["loss"]], rel=1e-5)


@pytest.fixture
def batches_given(monkeypatch):
    """Sizes of the batches of texts that Keras is given, by what they are for."""
    given = {}

    def fit(self, x, validation_data=None, **_):
        pairs = (("train", x), ("validation", validation_data))
        for name, data in pairs:
            given[name] = data and [(x["segment_lengths"] > 0).sum() for x, *_ in data]

    monkeypatch.setattr(keras.Model, "fit", fit)
    return given


@pytest.mark.parametrize("kind", KINDS)
def test_validation_comes_in_batches_of_the_same_size(make, batches_given, kind):
    classifier = make()
    texts, labels = kind(TEXTS[:5]), kind([0, 1, 2, 0, 1])
    classifier.fit(texts, labels, 2, validation_data=(texts[:3], labels[:3]))
    assert batches_given == {"train": [2, 2, 1], "validation": [2, 1]}
    classifier.fit(texts, labels, 2, validation_split=0.4)
    assert batches_given == {"train": [2, 1], "validation": [2]}
    # A split beside data to validate on is left alone, as in Keras.
    data = (texts[:1], labels[:1], kind([0.5]))
    classifier.fit(texts, labels, 4, validation_data=data, validation_split=0.4)
    assert batches_given == {"train": [4, 1], "validation": [1]}
    classifier.fit(texts * 8 if kind is not np.array else np.tile(texts, 8), [1] * 40)
    assert batches_given == {"train": [32, 8], "validation": None}


LABELS = [0, 1, 2]


@pytest.mark.parametrize(
    ("labels", "settings", "message"),
    [
        ([0, 1], {}, r"one label.*: \(3,\), \(2,\)"),
        (LABELS, {"sample_weight": [1.0]}, r"one label.*: \(3,\), \(3,\), \(1,\)"),
        (LABELS, {"validation_split": 0.8}, "leaves 0 of 3"),
        (LABELS, {"validation_data": (["a"], [NUM_CLASSES])}, "integers from 0"),
        (LABELS, {"validation_data": (["a"],)}, "give their labels"),
        (None, {"sample_weight": [1.0] * 3}, "give their labels"),
        ([0, 1, NUM_CLASSES], {"batch_size": 1}, "integers from 0"),
        (jax.numpy.array([0, 1, NUM_CLASSES]), {"batch_size": 1}, "integers from 0"),
        ([[0], [1], [2]], {}, r"one for each text. Received int64 of shape \(3, 1\)"),
        (["0", "1", "2"], {}, "integers from 0"),
        (1, {}, r"one label.*: \(3,\), \(\)"),
        (LABELS, {"sample_weight": [1, -1, 1]}, "Sample weights must be finite"),
        (LABELS, {"sample_weight": [1, float("nan"), 1]}, "Sample weights must be"),
        (LABELS, {"sample_weight": [0, 0, 0]}, "one at least above 0"),
        (LABELS, {"sample_weight": ["a", "b", "c"]}, "Sample weights must be"),
        (LABELS, {"class_weight": {0: -1.0}}, "Sample weights must be"),
        (LABELS, {"class_weight": {NUM_CLASSES: 1.0}}, "integers from 0"),
        (LABELS, {"validation_split": float("nan")}, "validation_split must be"),
        (LABELS, {"validation_split": 1}, "validation_split must be"),
        (LABELS, {"batch_size": 0}, "batch_size must be an integer and at least 1"),
        (LABELS, {"batch_size": 1.5}, "batch_size must be an integer"),
        (LABELS, {"epochs": 0}, "epochs must be an integer and at least 1"),
        (np.array([0.0, 1, 2], object), {}, "integers from 0"),
    ],
)
def test_fit_refuses_at_once_what_does_not_fit(
    make, monkeypatch, labels, settings, message
):
    monkeypatch.setattr(PackedTextClassifier, "preprocess_samples", None)
    with pytest.raises(InputError, match=message):
        make().fit(["a", "b", "c"], labels, verbose=0, **settings)


@pytest.mark.parametrize("kind", [list, np.array])
def test_bytes_are_no_texts(make, kind):
    for call in (lambda c, x: c.fit(x, [0, 1]), lambda c, x: c.predict(x)):
        with pytest.raises(InputError, match=r"must be a string. Received b'good'"):
            call(make(), kind([b"good", b"bad"]))


@pytest.mark.parametrize("texts", [[], ["", " "], ["<br>", "\ufeff"]])
def test_there_must_be_something_to_learn(make, texts):
    with pytest.raises(InputError, match=r"no texts|nothing to read"):
        make().fit(texts, [0] * len(texts), verbose=0)


def test_class_weights_multiply_those_of_the_texts(make):
    classifier = make()
    classifier.compile(keras.optimizers.SGD(0.0))
    texts, labels = TEXTS[:4], [0, 1, 2, 0]
    given = {"class_weight": {0: 2.0, 2: 0.5}, "sample_weight": [1.0, 3.0, 1.0, 0.0]}
    (found,) = classifier.fit(texts, labels, verbose=0, **given).history["loss"]
    weights = [2.0, 3.0, 0.5, 0.0]
    expected = classifier.evaluate(texts, labels, sample_weight=weights, verbose=0)
    assert found == pytest.approx(expected[0], rel=1e-5)


def test_a_batch_of_fit_gives_the_update_of_its_texts(make):
    """However they fall into rows: beside the gradient of unpacked rows."""
    updates = []
    for packed in (True, False):
        keras.utils.set_random_seed(0)
        classifier = make(dropout=0.0)
        classifier.compile(keras.optimizers.SGD(0.1))
        texts, labels = TEXTS[:6], [0, 1, 2, 0, 1, 2]
        if packed:
            classifier.fit(texts, labels, 6, verbose=0)
        else:
            rows = classifier.preprocessor(texts, np.array(labels))
            classifier.train_on_batch(*rows)
        updates.append(classifier.get_weights())
    for one, other in zip(*updates, strict=True):
        np.testing.assert_allclose(one, other, atol=2e-6)


def test_fit_and_evaluate_read_few_places_that_are_empty(make, monkeypatch):
    classifier = make()
    texts, labels = TEXTS * 8, [0] * (8 * len(TEXTS))
    num_tokens = classifier.preprocessor.encode(texts).tokens.lengths.sum()
    read = {"fit": 0, "evaluate": 0}

    def step(model, state, data, *_):
        jax.debug.callback(count, "fit", data[0]["token_ids"].size)
        return train_step(model, state, data)

    def count(name, places):
        read[name] += places

    def counted(tokens, *arguments):
        for rows, batch in packed_batches(tokens, *arguments):
            count("evaluate", batch["token_ids"].size)
            yield rows, batch

    train_step, packed_batches = (
        PackedTextClassifier.train_step,
        packed_text_classifier.packed_batches,
    )
    monkeypatch.setattr(packed_text_classifier, "packed_batches", counted)
    monkeypatch.setattr(PackedTextClassifier, "train_step", step)
    classifier.fit(texts, labels, 32, verbose=0)
    classifier.evaluate(texts, labels, verbose=0)
    jax.effects_barrier()
    padded = len(texts) * classifier.preprocessor.sequence_length
    for name, places in read.items():
        assert num_tokens <= places < padded / 2, name


def test_labels_may_be_booleans(make):
    classifier = make()
    labels = np.array([True, False])
    whole = classifier.evaluate(["a", "b"], labels.astype(int), verbose=0)
    assert classifier.evaluate(["a", "b"], labels, verbose=0) == whole
    classifier.fit(["a", "b"], labels, verbose=0)


# --- Compilation


def test_any_loss_is_summed_over_reviews(make):
    classifier = make()
    y = np.array([[0, 2], [1, 0]])
    logits = np.random.default_rng(0).normal(size=(2, 2, 3)).astype(np.float32)
    weight = np.array([[1.0, 1.0], [1.0, 0.0]])
    log_softmax = logits - np.log(np.exp(logits).sum(-1, keepdims=True))
    expected = -(np.take_along_axis(log_softmax, y[..., None], -1)[..., 0] * weight)
    crossentropy = keras.losses.SparseCategoricalCrossentropy
    for loss in (
        "auto",
        crossentropy(from_logits=True),
        crossentropy(from_logits=True, reduction="mean_with_sample_weight"),
        ReviewCrossentropy(reduction="sum_over_batch_size"),
    ):
        classifier.compile(loss=loss)
        value = classifier.compute_loss(y=y, y_pred=logits, sample_weight=weight)
        assert float(value) == pytest.approx(expected.sum(), rel=1e-6)


def test_settings_of_a_loss_survive_its_summation(make):
    classifier = make()
    classifier.compile(
        loss=ReviewCrossentropy(0.2, [1.0, 2.0, 3.0], reduction="sum_over_batch_size")
    )
    assert classifier.loss.label_smoothing == 0.2
    assert classifier.loss.class_weight == [1.0, 2.0, 3.0]


def test_compiling_anew_takes_back_what_was_added_to_the_loss(make):
    classifier = make()
    assert classifier.decoder.reads == "last"
    classifier.compile(adversary=object(), lm_loss_weight=0.5)
    assert classifier.adversary is not None
    assert classifier.language_loss.weight == 0.5
    assert classifier.decoder.reads == "all"
    classifier.compile()
    assert classifier.adversary is None
    assert classifier.language_loss.weight == 0
    assert classifier.decoder.reads == "last"


@pytest.mark.parametrize("loss", ["sparse_categorical_crossentropy", None, len])
def test_what_is_no_loss_over_logits_is_refused(make, loss):
    with pytest.raises(InputError, match="over logits"):
        make().compile(loss=loss)
