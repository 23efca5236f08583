import dataclasses

import jax
import jax.numpy as jnp
import keras
import numpy as np
import pytest

from sentiment.config import AdversarialConfig
from sentiment.models.adversarial import Adversary, Rows, divergence
from sentiment.models.losses import ReviewCrossentropy
from sentiment.training.optimizers import OptaxOptimizer

METHODS = ("fgm", "pgd", "vat")
# Two reviews of two tokens and of one, then padding.
SEGMENT_IDS = np.array([[1, 1, 2, 0]])
LENGTHS = np.array([[2, 1, 0]])
# A linear model: one weight vector per token; what it says of a review is known.
WEIGHTS = jnp.array([[[3.0, 0.0], [0.0, 4.0], [1.0, -1.0], [7.0, 7.0]]])
EMBEDDING = np.zeros((5, 2), np.float32)
EPSILON = 0.5


@pytest.fixture
def rows():
    return Rows(SEGMENT_IDS, LENGTHS)


def adversary(method, **settings):
    settings = {"adversarial_epsilon": EPSILON, **settings}
    return Adversary(AdversarialConfig(adversarial=method, **settings))


def linear_forward(perturbation):
    """Logits 0 and w . r for each review."""
    scores = jnp.sum(WEIGHTS * perturbation, axis=-1)
    member = SEGMENT_IDS[:, None, :] == np.array([1, 2, 3])[None, :, None]
    sums = jnp.sum(member * scores[:, None, :], axis=-1)
    return jnp.stack([jnp.zeros_like(sums), sums], axis=-1)


def linear_objective(method):
    """What the adversary wants great, where each label is 1."""
    labels, present = np.array([[1, 1, 0]]), np.float32([[1, 1, 0]])
    clean = jax.nn.log_softmax(linear_forward(jnp.zeros(WEIGHTS.shape)))

    def objective(perturbation):
        logits = linear_forward(perturbation)
        if method == "vat":
            return divergence(clean, logits, LENGTHS > 0)
        return ReviewCrossentropy()(labels, logits, present)

    return objective


def test_norms_are_over_all_tokens_of_a_review_and_none_else(rows):
    values = jnp.array([[[3.0, 0.0], [0.0, 4.0], [1.0, 0.0], [9.0, 9.0]]])
    np.testing.assert_allclose(rows.norms(values), [[5.0, 1.0, 0.0]])
    unit = [[[0.6, 0.0], [0.0, 0.8], [1.0, 0.0], [0.0, 0.0]]]
    np.testing.assert_allclose(rows.unit(values), unit, rtol=1e-6)
    within = [[[1.2, 0.0], [0.0, 1.6], [1.0, 0.0], [0.0, 0.0]]]
    np.testing.assert_allclose(rows.within(values, 2.0), within, rtol=1e-6)


def test_no_slope_gives_no_perturbation(rows):
    found = adversary("fgm").perturbation(lambda r: 0.0 * r.sum(), rows, EMBEDDING, 0)
    np.testing.assert_array_equal(found, np.zeros(WEIGHTS.shape))


def test_fgm_goes_against_the_weights_of_a_linear_model(rows):
    found = adversary("fgm").perturbation(linear_objective("fgm"), rows, EMBEDDING, 0)
    half = EPSILON / np.sqrt(2)
    expected = [[[-0.3, 0.0], [0.0, -0.4], [-half, half], [0.0, 0.0]]]
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_vat_goes_along_the_weights_of_a_linear_model(rows):
    # The divergence of a linear model grows along its weights alone, either way.
    found = adversary("vat").perturbation(linear_objective("vat"), rows, EMBEDDING, 0)
    half = EPSILON / np.sqrt(2)
    expected = [[[0.3, 0.0], [0.0, 0.4], [half, half], [0.0, 0.0]]]
    np.testing.assert_allclose(np.abs(found), expected, atol=1e-4)


def test_pgd_ends_near_the_worst_place_of_the_ball(rows):
    objective = linear_objective("pgd")
    worst = objective(adversary("fgm").perturbation(objective, rows, EMBEDDING, 0))
    attack = adversary("pgd", adversarial_steps=20)
    found = objective(attack.perturbation(objective, rows, EMBEDDING, 0))
    assert 0.98 * worst < found <= worst * (1 + 1e-6)


@pytest.mark.parametrize("method", METHODS)
def test_normalised_embeddings_have_variance_one_over_the_training_tokens(rows, method):
    # Feature 0 is 2 for a token that is read a quarter of the time, else 0.
    embedding = np.zeros((5, 2), np.float32)
    embedding[4] = [2.0, 4.0]
    frequencies = np.array([10, 20, 30, 0, 20])
    deviation = np.sqrt(0.25 * 0.75) * np.array([2.0, 4.0])
    settings = AdversarialConfig(
        adversarial=method, adversarial_epsilon=EPSILON, adversarial_normalize=True
    )
    attack = Adversary(settings, frequencies)
    found = attack.perturbation(linear_objective(method), rows, embedding, 0)
    norms = rows.norms(found / deviation)
    if method == "pgd":
        assert np.all(norms <= EPSILON * (1 + 1e-6))
    else:
        np.testing.assert_allclose(norms, [[EPSILON, EPSILON, 0]], rtol=1e-5)


def test_divergence_is_that_of_kullback_and_leibler():
    clean = np.log(np.float32([[[0.5, 0.5], [0.9, 0.1]]]))
    logits = np.log(np.float32([[[0.25, 0.75], [0.5, 0.5]]])) + 7.0
    expected = 0.5 * np.log(0.5 / 0.25) + 0.5 * np.log(0.5 / 0.75)
    one = divergence(clean, logits, np.array([[True, False]]))
    np.testing.assert_allclose(one, expected, rtol=1e-5)


@pytest.mark.parametrize("method", METHODS)
def test_weight_and_share_multiply_the_term(rows, method):
    def term(share, **settings):
        labels, present = np.array([[1, 0, 0]]), np.float32([[1, 0, 0]])
        return adversary(method, **settings).loss(
            linear_forward,
            lambda logits: ReviewCrossentropy()(labels, logits, present),
            linear_forward(jnp.zeros(WEIGHTS.shape)),
            rows,
            EMBEDDING,
            0,
            share,
        )

    once = term(1.0)
    assert once > 0
    np.testing.assert_allclose(term(1.0, adversarial_weight=3.0), 3 * once, rtol=1e-6)
    # The share is of the virtual term alone, which counts reviews without label.
    times = 0.25 if method == "vat" else 1.0
    np.testing.assert_allclose(term(0.25), times * once, rtol=1e-6)


# --- In a classifier


@pytest.fixture
def make_shallow(make_classifier, make_backbone):
    """Makes a classifier of one layer: as good here as two, at half the time."""

    def make(dropout=0.0):
        keras.utils.set_random_seed(0)
        backbone = make_backbone(num_layers=1, dropout=dropout)
        return make_classifier(backbone=backbone, dropout=dropout)

    return make


@pytest.fixture
def batch():
    """Three reviews in two rows, one of them unlabelled."""
    x = {
        "token_ids": np.array([[5, 6, 7, 8, 9, 0], [11, 12, 13, 14, 15, 16]]),
        "segment_lengths": np.array([[3, 2, 0], [6, 0, 0]]),
    }
    return x, np.array([[0, 2, 0], [1, 0, 0]]), np.float32([[1, 1, 0], [1, 0, 0]])


def gradients_and_loss(classifier, batch, attack=None, update=0):
    classifier.compile(OptaxOptimizer(None, 1.0), adversary=attack)

    def loss(trainable):
        return classifier.compute_loss_and_updates(
            trainable,
            [v.value for v in classifier.non_trainable_variables],
            [],
            *batch,
            training=True,
            optimizer_variables=[jnp.asarray(update), jnp.asarray(1.0)],
        )[0]

    trainable = [v.value for v in classifier.trainable_variables]
    loss, gradients = jax.value_and_grad(loss)(trainable)
    return gradients, float(loss)


@pytest.mark.parametrize("method", METHODS)
def test_without_epsilon_the_gradients_are_the_plain_ones(make_shallow, batch, method):
    classifier = make_shallow()
    plain, plain_loss = gradients_and_loss(classifier, batch)
    attack = adversary(method, adversarial_epsilon=0.0)
    found, loss = gradients_and_loss(classifier, batch, attack)
    # FGM and PGD see the same loss twice, VAT none.
    times = 1 if method == "vat" else 2
    assert loss == pytest.approx(times * plain_loss, rel=1e-6)
    for one, other in zip(found, plain, strict=True):
        np.testing.assert_allclose(one, times * other, atol=1e-6)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("dropout", [0.0, 0.3])
def test_the_perturbed_loss_is_not_below_the_plain_one(
    make_shallow, batch, randomize, method, dropout
):
    classifier = randomize(make_shallow(dropout=dropout))
    _, plain = gradients_and_loss(classifier, batch)
    attack = adversary(method, adversarial_epsilon=0.1)
    _, loss = gradients_and_loss(classifier, batch, attack)
    assert loss > (plain if method == "vat" else 2 * plain)


@pytest.mark.parametrize("method", METHODS)
def test_a_review_is_perturbed_as_if_it_were_alone(
    make_shallow, randomize, batch, method
):
    classifier = randomize(make_shallow())
    x, y, weights = batch

    def term(*batch):
        _, with_it = gradients_and_loss(classifier, batch, adversary(method))
        _, without = gradients_and_loss(classifier, batch)
        return with_it - without

    other = {**x, "token_ids": x["token_ids"].copy()}
    other["token_ids"][0, 3:5] = [21, 22]  # the second review of the first row
    only_first = np.float32([[1, 0, 0], [0, 0, 0]])
    alone = {"token_ids": x["token_ids"], "segment_lengths": np.zeros((2, 3), int)}
    alone["segment_lengths"][0, 0] = 3
    if method == "vat":  # It reads no weights: what differs must be the row mates.
        first = term(alone, y, only_first)
        both = term(x, y, weights)
        assert 0 < first < both
        return
    expected = term(x, y, only_first)
    assert term(other, y, only_first) == pytest.approx(expected, rel=1e-5)
    if method == "fgm":  # PGD starts at random, elsewhere in another batch.
        assert term(alone, y, only_first) == pytest.approx(expected, rel=1e-5)


class SumOfEmbeddings:
    """An adversary whose term has a gradient of 1 for each embedding weight."""

    def loss(self, forward, loss, logits, rows, embedding, update, share):
        return share * jnp.sum(embedding)


@pytest.mark.parametrize("num_labelled", [0, 1, 3])
@pytest.mark.parametrize("steps", [1, 2])
def test_terms_over_all_reviews_are_divided_by_all(
    make_shallow, batch, num_labelled, steps
):
    x, y, weights = batch
    weights = np.where(np.cumsum(weights).reshape(2, 3) <= num_labelled, weights, 0)

    def embedding_after_one_update(adversary):
        classifier = make_shallow()
        classifier.compile(
            keras.optimizers.SGD(1.0),
            gradient_accumulation_steps=steps,
            adversary=adversary,
        )
        classifier.train_on_batch(x, y, sample_weight=weights.astype("float32"))
        return np.array(classifier.backbone.token_embedding.embeddings)

    moved = embedding_after_one_update(SumOfEmbeddings())
    moved -= embedding_after_one_update(None)
    # Three reviews; each part of an update adds the term anew.
    np.testing.assert_allclose(moved, np.full(moved.shape, -steps / 3), atol=1e-5)


def test_vat_reads_reviews_without_label(make_shallow, randomize, batch):
    classifier = randomize(make_shallow())
    x, y, _ = batch
    attack = adversary("vat", adversarial_epsilon=0.1)
    none = np.zeros((2, 3), np.float32)
    _, loss = gradients_and_loss(classifier, (x, y, none), attack)
    assert loss > 0


def test_the_weight_multiplies_the_term(make_shallow, randomize, batch):
    classifier = randomize(make_shallow())
    _, plain = gradients_and_loss(classifier, batch)
    terms = []
    for weight in (1.0, 0.25):
        attack = adversary("fgm", adversarial_weight=weight)
        terms.append(gradients_and_loss(classifier, batch, attack)[1] - plain)
    assert terms[1] == pytest.approx(terms[0] / 4, rel=1e-4)


@pytest.mark.parametrize("method", ["pgd", "vat"])
def test_each_update_starts_somewhere_else_by_seed(
    make_shallow, randomize, batch, method
):
    classifier = randomize(make_shallow())
    attack = adversary(method, adversarial_steps=1)
    losses = [
        gradients_and_loss(classifier, batch, attack, update)[1] for update in (0, 0, 1)
    ]
    assert losses[0] == losses[1] != losses[2]
    attack.seed = 1
    assert gradients_and_loss(classifier, batch, attack)[1] != losses[0]


@pytest.mark.parametrize(
    "method, settings",
    [("fgm", {}), ("pgd", {}), ("pgd", {"adversarial_steps": 1}), ("vat", {})],
)
def test_the_cost_is_what_xla_counts(make_classifier, make_backbone, method, settings):
    # Wide enough that products of matrices outweigh the rest.
    backbone = make_backbone(hidden_dim=128, intermediate_dim=512)
    classifier = make_classifier(backbone=backbone)
    lengths = np.array([[40, 24, 0], [64, 0, 0]])
    x = {"token_ids": np.full((2, 64), 5), "segment_lengths": lengths}
    y, weights = np.zeros((2, 3), int), np.float32(lengths > 0)

    def operations(adversary):
        classifier.compile(OptaxOptimizer(None, 1.0), adversary=adversary)

        def loss(trainable):
            return classifier.compute_loss_and_updates(
                trainable,
                [v.value for v in classifier.non_trainable_variables],
                [],
                x,
                y,
                weights,
                training=True,
                optimizer_variables=[jnp.asarray(0), jnp.asarray(1.0)],
            )[0]

        trainable = [v.value for v in classifier.trainable_variables]
        compiled = jax.jit(jax.grad(loss)).lower(trainable).compile()
        return compiled.cost_analysis()["flops"]

    attack = adversary(method, **settings)
    times = operations(attack) / operations(None)
    assert times == pytest.approx(attack.cost, rel=0.1)


def test_prediction_is_not_perturbed(make_classifier):
    classifier = make_classifier()
    plain = classifier.predict(["lovely"])
    classifier.compile(adversary=adversary("fgm"))
    np.testing.assert_array_equal(classifier.predict(["lovely"]), plain)


def test_settings_name_methods_that_are_there():
    known = dataclasses.fields(AdversarialConfig)[0].metadata["choices"]
    assert known == ("none", *METHODS)
    assert all(hasattr(Adversary, f"_{method}") for method in METHODS)
