import jax
import jax.numpy as jnp
import keras
import numpy as np
import pytest
from sklearn.metrics import f1_score

from sentiment.models.losses import MacroF1, ReviewCrossentropy

# Softmax of log p is p, so that losses can be written down.
PROBABILITIES = np.array([[[0.7, 0.2, 0.1], [0.25, 0.25, 0.5]]], np.float32)
LOGITS = np.log(PROBABILITIES) + 3.0
LABELS = np.array([[0, 2]])


def per_review(**options):
    return np.asarray(ReviewCrossentropy(**options).call(LABELS, LOGITS))


def test_loss_is_minus_log_probability_of_the_label():
    np.testing.assert_allclose(per_review(), -np.log([[0.7, 0.5]]), rtol=1e-6)


def test_label_smoothing_mixes_in_the_uniform_distribution():
    first = -(0.8 * np.log(0.7) + 0.1 * np.log(0.2) + 0.1 * np.log(0.1))
    second = -(0.8 * np.log(0.5) + 0.2 * np.log(0.25))
    # 0.3 over 3 classes: 0.1 each, and 0.7 + 0.1 for the label.
    smoothed = per_review(label_smoothing=0.3)
    np.testing.assert_allclose(smoothed, [[first, second]], rtol=1e-6)


def test_class_weight_multiplies_by_the_weight_of_the_label():
    weighted = per_review(class_weight=[0.5, 9.0, 2.0])
    expected = [[-0.5 * np.log(0.7), -2.0 * np.log(0.5)]]
    np.testing.assert_allclose(weighted, expected, rtol=1e-6)


def test_a_focus_multiplies_each_log_probability_by_what_is_missed():
    expected = [[-(0.3**2) * np.log(0.7), -(0.5**2) * np.log(0.5)]]
    np.testing.assert_allclose(per_review(focal_gamma=2.0), expected, rtol=1e-5)


def test_smoothing_and_class_weight_together():
    # The weight is that of the label, whatever smoothing moves to other classes.
    first = -(0.8 * np.log(0.7) + 0.1 * np.log(0.2) + 0.1 * np.log(0.1))
    second = -(0.8 * np.log(0.5) + 0.2 * np.log(0.25))
    both = per_review(label_smoothing=0.3, class_weight=[0.5, 9.0, 2.0])
    np.testing.assert_allclose(both, [[0.5 * first, 2.0 * second]], rtol=1e-6)


def test_a_focus_with_smoothing_and_class_weight():
    # Each class is multiplied by what is missed of its own probability.
    first = -(
        0.8 * 0.3**2 * np.log(0.7)
        + 0.1 * 0.8**2 * np.log(0.2)
        + 0.1 * 0.9**2 * np.log(0.1)
    )
    second = -(0.8 * 0.5**2 * np.log(0.5) + 0.2 * 0.75**2 * np.log(0.25))
    smoothed = per_review(label_smoothing=0.3, focal_gamma=2.0)
    np.testing.assert_allclose(smoothed, [[first, second]], rtol=1e-5)
    weights = [0.5, 9.0, 2.0]
    both = per_review(label_smoothing=0.3, focal_gamma=2.0, class_weight=weights)
    np.testing.assert_allclose(both, [[0.5 * first, 2.0 * second]], rtol=1e-5)


def test_a_label_may_be_a_distribution():
    labels = np.array([[[0.6, 0.4, 0.0], [0.0, 0.0, 1.0]]], np.float32)
    first = -(0.6 * np.log(0.7) + 0.4 * np.log(0.2))
    loss = np.asarray(ReviewCrossentropy().call(labels, LOGITS))
    np.testing.assert_allclose(loss, [[first, -np.log(0.5)]], rtol=1e-6)
    weighted = ReviewCrossentropy(class_weight=[0.5, 9.0, 2.0]).call(labels, LOGITS)
    weights = [[0.6 * 0.5 + 0.4 * 9.0, 2.0]]
    np.testing.assert_allclose(weighted, loss * weights, rtol=1e-6)


@pytest.mark.parametrize("options", [{}, {"label_smoothing": 0.3}])
def test_a_certain_distribution_is_the_label(options):
    certain = np.eye(3, dtype=np.float32)[LABELS]
    loss = ReviewCrossentropy(class_weight=[0.5, 9.0, 2.0], **options)
    np.testing.assert_array_equal(loss.call(certain, LOGITS), loss.call(LABELS, LOGITS))


def test_default_reduction_is_the_sum_over_weighted_reviews():
    loss = ReviewCrossentropy()(LABELS, LOGITS, sample_weight=np.array([[1.0, 0.0]]))
    np.testing.assert_allclose(loss, -np.log(0.7), rtol=1e-6)
    both = ReviewCrossentropy()(LABELS, LOGITS)
    np.testing.assert_allclose(both, -np.log(0.7) - np.log(0.5), rtol=1e-6)


def test_extreme_logits_give_a_finite_loss():
    logits = np.array([[[1e4, -1e4, 0.0]]], np.float32)
    loss = ReviewCrossentropy().call(np.array([[1]]), logits)
    np.testing.assert_allclose(loss, [[2e4]])


def test_logits_of_half_precision_give_a_float32_loss():
    # 7.75 of 0 and 7.75: sums of such are rounded to 1/32 in bfloat16.
    logits = jnp.asarray([[[0.0, 7.75]]], "bfloat16")
    loss = ReviewCrossentropy().call(np.array([[0]]), logits)
    assert loss.dtype == "float32"
    np.testing.assert_allclose(loss, [[np.log1p(np.exp(7.75))]], rtol=1e-6)


@pytest.mark.parametrize("gamma", [0.5, 2.0])
def test_a_focus_is_exact_and_has_a_slope_where_the_label_is_nearly_certain(gamma):
    def loss(logit):
        logits = jnp.stack([logit, 0.0])[None, None]
        return ReviewCrossentropy(focal_gamma=gamma).call(np.array([[0]]), logits)[0, 0]

    miss = 1 / (1 + np.exp(5.0))
    expected = miss**gamma * -np.log1p(-miss)
    np.testing.assert_allclose(loss(jnp.float32(5.0)), expected, rtol=1e-4)
    # There p is 1 in float32, and the slope of 0 ** 0.5 would be infinite.
    assert np.isfinite(jax.grad(loss)(jnp.float32(60.0)))


def test_loss_config_holds_every_argument():
    config = ReviewCrossentropy(
        0.2, (1.0, 2.0), 1.5, name="n", reduction="mean"
    ).get_config()
    again = ReviewCrossentropy.from_config(config)
    assert again.get_config() == config
    assert (again.label_smoothing, again.class_weight) == (0.2, [1.0, 2.0])
    assert again.focal_gamma == 1.5
    assert (again.name, again.reduction) == ("n", "mean")


# --- Macro-F1


@pytest.fixture(scope="module")
def packed_answers():
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 3, (20, 5))
    logits = rng.normal(size=(20, 5, 3)).astype(np.float32)
    weight = (rng.random((20, 5)) < 0.7).astype(np.float32)
    return labels, logits, weight


def sklearn_macro_f1(labels, logits, weight):
    used = weight > 0
    return f1_score(labels[used], logits.argmax(-1)[used], average="macro")


def test_macro_f1_is_sklearns_without_unused_slots(packed_answers):
    labels, logits, weight = packed_answers
    metric = MacroF1(3)
    metric.update_state(labels, logits, weight)
    expected = sklearn_macro_f1(labels, logits, weight)
    assert abs(expected - sklearn_macro_f1(labels, logits, np.ones_like(weight))) > 1e-3
    np.testing.assert_allclose(metric.result(), expected, rtol=1e-6)


def test_macro_f1_adds_up_over_batches(packed_answers):
    labels, logits, weight = packed_answers
    metric = MacroF1(3)
    for part in (slice(0, 3), slice(3, 20)):
        metric.update_state(labels[part], logits[part], weight[part])
    expected = sklearn_macro_f1(labels, logits, weight)
    np.testing.assert_allclose(metric.result(), expected, rtol=1e-6)


def test_macro_f1_counts_a_class_that_nobody_names_as_zero():
    metric = MacroF1(3)
    metric.update_state(np.array([[0, 1]]), np.eye(3, dtype="float32")[None, :2])
    expected = f1_score(
        [0, 1], [0, 1], labels=[0, 1, 2], average="macro", zero_division=0
    )
    np.testing.assert_allclose(metric.result(), expected, rtol=1e-6)


def test_macro_f1_reads_logits_of_any_sign_and_size():
    logits = np.array([[[-90.0, -80.0], [500.0, 600.0], [-1e4, -2e4]]], np.float32)
    metric = MacroF1(2)
    metric.update_state(np.array([[1, 1, 0]]), logits)
    np.testing.assert_allclose(metric.result(), 1.0, rtol=1e-6)


def test_macro_f1_returns_from_its_config():
    metric = MacroF1(4, name="f")
    again = MacroF1.from_config(metric.get_config())
    assert again.get_config() == metric.get_config()
    assert (again.num_classes, again.name, again.average) == (4, "f", "macro")


def test_loss_and_metric_return_by_their_registered_names():
    for item in (ReviewCrossentropy(0.1, [1.0, 2.0]), MacroF1(2)):
        saved = keras.saving.serialize_keras_object(item)
        assert saved["registered_name"].startswith("sentiment>")
        assert type(keras.saving.deserialize_keras_object(saved)) is type(item)
