"""Adversarial and virtual adversarial training on packed rows.

A perturbation is added to the embeddings of a review's tokens, of norm epsilon over
the whole review, in the direction that hurts most; the model learns to withstand it
(Miyato et al. 2017, https://arxiv.org/abs/1605.07725).
"""

import contextlib

import jax
import jax.numpy as jnp
import keras
import numpy as np

from sentiment.config import AdversarialConfig
from sentiment.models.pooling import segment_membership

# Length of the trial step of VAT's power iteration, as a share of epsilon: long
# enough for float32 differences, short enough for the second-order term to lead.
TRIAL_STEP = 0.1
# Steps of PGD cross the ball two and a half times (Madry et al. 2018).
PGD_STRETCH = 2.5
TINY = 1e-12  # a gradient below it counts as none, and moves nothing far


@keras.saving.register_keras_serializable(package="sentiment")
class EmbeddingPerturbation(keras.layers.Layer):
    """Adds `perturbation` to the embeddings, where one is set; else passes them.

    Call arguments:
        embeddings: float (batch, row_length, hidden_dim).

    Attributes:
        perturbation: like `embeddings`, or `None`; set while a step is traced.
    """

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.perturbation = None

    def call(self, embeddings):
        if self.perturbation is None:
            return embeddings
        return embeddings + self.perturbation.astype(embeddings.dtype)

    @contextlib.contextmanager
    def adding(self, perturbation):
        """While this holds, `perturbation` is added."""
        self.perturbation = perturbation
        try:
            yield
        finally:
            self.perturbation = None


class Adversary:
    """Finds perturbations and what they cost.

    Args:
        config: method, norm, steps and weight.
        token_frequencies: float (vocabulary_size,), how often each token occurs in
            training; read where embeddings are normalised.
        seed: int, of random starts.
    """

    def __init__(
        self,
        config: AdversarialConfig,
        token_frequencies: np.ndarray | None = None,
        seed: int = 0,
    ):
        self.config = config
        self.token_frequencies = token_frequencies
        self.seed = seed

    @property
    def cost(self) -> float:
        """Cost of an update, in plain updates; a backward pass counts as two forward.

        Each slope takes a forward pass and a backward pass to the embeddings alone.
        That of FGM is part of the plain step, and XLA computes it once.
        """
        slopes = {"fgm": 0, "pgd": self.config.adversarial_steps, "vat": 1}
        return 2 + 2 / 3 * slopes[self.config.adversarial]

    def loss(self, forward, loss, logits, rows: "Rows", embedding, update, share=1.0):
        """The term that training adds, summed over reviews.

        Args:
            forward: from a perturbation (batch, row_length, hidden_dim) to logits
                (batch, max_segments, num_classes), with the same dropout each time.
            loss: from logits to the labelled reviews' summed loss.
            logits: those without perturbation, with the same dropout.
            rows: which token is whose.
            embedding: float (vocabulary_size, hidden_dim), the token embedding.
            update: int, updates made so far; each starts somewhere else.
            share: labelled reviews per review of the update. Sums are divided by the
                labelled ones; this makes VAT's a mean over all.
        """
        hurt = loss
        if self.config.adversarial == "vat":
            clean = jax.lax.stop_gradient(jax.nn.log_softmax(logits))

            def hurt(logits):
                return divergence(clean, logits, rows.is_review)

        def objective(perturbation):
            return hurt(forward(perturbation))

        found = self.perturbation(objective, rows, embedding, update)
        factor = share if self.config.adversarial == "vat" else 1.0
        return self.config.adversarial_weight * factor * objective(found)

    def perturbation(self, objective, rows: "Rows", embedding, update):
        """Float (batch, row_length, hidden_dim), what makes `objective` greater.

        Args:
            objective: from a perturbation to a sum over reviews.
            rows: see `loss`.
            embedding: see `loss`.
            update: see `loss`.
        """
        scale = self._scale(embedding)

        def slope(relative):
            gradient = jax.grad(lambda relative: objective(relative * scale))
            return rows.unit(gradient(jax.lax.stop_gradient(relative)))

        key = jax.random.fold_in(jax.random.key(self.seed), update)
        shape = (*rows.segment_ids.shape, embedding.shape[1])
        search = getattr(self, f"_{self.config.adversarial}")
        return jax.lax.stop_gradient(search(slope, rows, key, shape) * scale)

    def _fgm(self, slope, rows, key, shape):
        """One step along the gradient (Miyato et al. 2017, equation 3)."""
        return self.config.adversarial_epsilon * slope(jnp.zeros(shape))

    def _pgd(self, slope, rows, key, shape):
        """Several steps from a point on the ball, kept within it."""
        epsilon, steps = self.config.adversarial_epsilon, self.config.adversarial_steps
        found = epsilon * rows.unit(jax.random.normal(key, shape))
        for _ in range(steps):
            found += PGD_STRETCH * epsilon / steps * slope(found)
            found = rows.within(found, epsilon)
        return found

    def _vat(self, slope, rows, key, shape):
        """One power iteration from a random direction (equations 6 and 7)."""
        epsilon = self.config.adversarial_epsilon
        direction = rows.unit(jax.random.normal(key, shape))
        return epsilon * slope(TRIAL_STEP * epsilon * direction)

    def _scale(self, embedding):
        """Unit of length in each feature: its spread over the training tokens, or 1."""
        if not self.config.adversarial_normalize:
            return 1.0
        embedding = jax.lax.stop_gradient(embedding)
        share = self.token_frequencies / self.token_frequencies.sum()
        mean = share @ embedding
        return jnp.sqrt(share @ jnp.square(embedding - mean))


class Rows:
    """Which token of packed rows is whose, for norms of one review each.

    Args:
        segment_ids: int (batch, row_length), 0 is padding.
        segment_lengths: int (batch, max_segments), 0 in unused slots.
    """

    def __init__(self, segment_ids, segment_lengths):
        self.segment_ids = segment_ids
        self.is_review = segment_lengths > 0
        member = segment_membership(segment_ids, segment_lengths.shape[1])
        self._member = member.astype("float32")

    def norms(self, values):
        """Euclidean norm of each review's (tokens, hidden_dim), (batch, slots)."""
        squares = jnp.sum(jnp.square(values), axis=-1)
        return jnp.sqrt(jnp.einsum("bsl,bl->bs", self._member, squares))

    def unit(self, values):
        """`values` with norm 1 in each review, 0 in padding."""
        return self._scaled(values, 1 / jnp.maximum(self.norms(values), TINY))

    def within(self, values, radius):
        """`values` with norm `radius` where a review's was greater."""
        norms = jnp.maximum(self.norms(values), TINY)
        return self._scaled(values, jnp.minimum(1.0, radius / norms))

    def _scaled(self, values, factors):
        per_token = jnp.einsum("bsl,bs->bl", self._member, factors)
        return values * per_token[:, :, None]


def divergence(clean, logits, is_review):
    """Sum over reviews of KL(p, q), p from `clean` log-probabilities."""
    other = jax.nn.log_softmax(logits)
    per_review = jnp.sum(jnp.exp(clean) * (clean - other), axis=-1)
    return jnp.sum(jnp.where(is_review, per_review, 0.0))
