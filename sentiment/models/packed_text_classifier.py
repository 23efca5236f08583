"""What every classifier over packed rows shares: training and prediction."""

import random
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import keras
import keras_hub
import numpy as np
from tqdm.auto import tqdm

from sentiment.data.packing import RaggedTokens, pack_rows, plan_rows
from sentiment.errors import InputError
from sentiment.models.adversarial import Adversary, Rows
from sentiment.models.losses import MacroF1, ReviewCrossentropy
from sentiment.models.packed_training import (
    count_targets,
    packed_train_step,
    update_packed_metrics,
)
from sentiment.models.raw_texts import LabelledTexts, checked_labels, texts_in

# On a CPU a batch's activations fit its cache, which makes long reviews a fifth
# faster; elsewhere a batch keeps large products busy, and fits a small memory.
PREDICT_BATCH_TOKENS = {"cpu": 2048}
PREDICT_BATCH_TOKENS_ELSEWHERE = 8192
PREDICT_SHORTEST_ROW = 32
PREDICT_WINDOW_CHARACTERS = 4_000_000
PREDICT_SHOW_PROGRESS = 1000
DEFAULT_FIT_BATCH_SIZE = 32  # as in Keras


class PackedTextClassifier(keras_hub.models.TextClassifier):
    """Base class of text classifiers that read several reviews per row.

    Inputs are `token_ids` (batch, row_length) and `segment_lengths` (batch,
    max_segments); the model's output is one row of logits per slot, (batch,
    max_segments, num_classes). Labels and sample weights are (batch,
    max_segments), weight 0 in unused slots; float labels (batch, max_segments,
    num_classes) are probabilities.

    Its targets are reviews; see `packed_training`.
    """

    gradient_accumulation_steps = 1
    adversary: Adversary | None = None
    labelled_share = 1.0

    def compile(
        self,
        optimizer="auto",
        loss="auto",
        *,
        metrics=None,
        weighted_metrics="auto",
        gradient_accumulation_steps=1,
        **kwargs,
    ):
        """Configures training; everything has a default.

        Args:
            optimizer: as in `keras.Model.compile`; `"auto"` is Adam at 5e-5.
            loss: a `keras.losses.Loss` over logits, or `"auto"` for
                `ReviewCrossentropy`. Its reduction is set to `"sum"`.
            metrics: as in `keras.Model.compile`; these see unused slots too.
            weighted_metrics: metrics over real reviews; `"auto"` is accuracy,
                cross-entropy and macro-F1.
            gradient_accumulation_steps: int, micro-batches in one update. A
                batch handed to `fit` is the whole update; the compiled step
                reads it in this many parts, the last of them filled up.
            **kwargs: see `keras.Model.compile`.
        """
        if gradient_accumulation_steps < 1:
            raise InputError(
                "gradient_accumulation_steps must be at least 1. Received: "
                f"{gradient_accumulation_steps}."
            )
        if optimizer == "auto":
            optimizer = keras.optimizers.Adam(5e-5)
        if loss == "auto":
            loss = ReviewCrossentropy()
        if weighted_metrics == "auto":
            weighted_metrics = [
                keras.metrics.SparseCategoricalAccuracy(name="accuracy"),
                keras.metrics.SparseCategoricalCrossentropy(
                    name="cross_entropy", from_logits=True
                ),
                MacroF1(self.output_shape[-1]),
            ]
        self.gradient_accumulation_steps = gradient_accumulation_steps
        super().compile(
            optimizer=optimizer,
            loss=_summed(loss),
            metrics=metrics,
            weighted_metrics=weighted_metrics,
            **kwargs,
        )

    def get_compile_config(self):
        """Nothing: a saved classifier is for prediction, see `compile`."""
        return None

    def compile_from_config(self, config):
        """Does nothing: the constructor has compiled with the defaults."""

    def preprocess_samples(self, x, y=None, sample_weight=None):
        """Runs the preprocessor on strings; packed batches pass unchanged."""
        if isinstance(x, dict):
            return keras.utils.pack_x_y_sample_weight(x, y, sample_weight)
        y = None if y is None else checked_labels(y, self.output_shape[-1])
        return super().preprocess_samples(x, y, sample_weight)

    def fit(
        self,
        x=None,
        y=None,
        batch_size=None,
        sample_weight=None,
        validation_data=None,
        validation_split=None,
        shuffle=True,
        **kwargs,
    ):
        """Trains on raw texts or on packed batches.

        KerasHub makes a dataset of texts, which Keras then does not shuffle. Here they
        come in another order in each epoch, by the seed of
        `keras.utils.set_random_seed`.

        Args:
            x: a list, tuple, array or pandas column of strings. Anything else is handed
                to `keras_hub.models.TextClassifier.fit`.
            y: int (num_texts,), their classes.
            batch_size: int, texts in an update, and in a batch of validation; 32 by
                default.
            sample_weight: float (num_texts,), of each in the loss.
            validation_data: `(x, y)` or `(x, y, sample_weight)` like these, or what
                `keras_hub.models.TextClassifier.fit` takes.
            validation_split: float, share of the texts, taken from the end before they
                are shuffled, to validate on.
            shuffle: bool.
            **kwargs: see `keras.Model.fit`.

        Raises:
            InputError: an element is not a string, a label is no class, or there are
                not as many of them as texts.
        """
        texts = texts_in(x)
        if texts is None or self.preprocessor is None:
            return super().fit(
                x,
                y,
                batch_size,
                sample_weight,
                validation_data,
                validation_split,
                shuffle=shuffle,
                **kwargs,
            )
        batch_size = batch_size or DEFAULT_FIT_BATCH_SIZE
        labelled = LabelledTexts.of(texts, y, sample_weight, self.output_shape[-1])
        if validation_data is not None:
            validation_data = self._validation_batches(validation_data, batch_size)
        elif validation_split:
            labelled, held_out = labelled.split(validation_split)
            validation_data = held_out.batches(batch_size)
        seed = random.randrange(2**31) if shuffle else None
        return super().fit(
            labelled.batches(batch_size, seed),
            validation_data=validation_data,
            shuffle=False,
            **kwargs,
        )

    def _validation_batches(self, data, batch_size):
        """Raw texts in batches; anything else as it is."""
        if not isinstance(data, (list, tuple)):
            return data
        x, y, sample_weight = keras.utils.unpack_x_y_sample_weight(data)
        texts = texts_in(x)
        if texts is None:
            return data
        labelled = LabelledTexts.of(texts, y, sample_weight, self.output_shape[-1])
        return labelled.batches(batch_size)

    def train_step(self, state, data):
        """One optimizer update."""
        x, y, sample_weight = keras.utils.unpack_x_y_sample_weight(data)
        num_reviews = (x["segment_lengths"] > 0).sum()
        num_labelled = count_targets(y, sample_weight)
        # For terms over all reviews, labelled or not: the step divides by the labelled.
        share = jnp.maximum(num_labelled, 1) / jnp.maximum(num_reviews, 1)
        self.labelled_share = self.language_loss.share = share
        try:
            return packed_train_step(self, state, data)
        finally:  # Values of a trace must not outlive it.
            self.labelled_share = self.language_loss.share = 1.0

    def compute_loss_and_updates(
        self,
        trainable_variables,
        non_trainable_variables,
        metrics_variables,
        x,
        y,
        sample_weight,
        training=False,
        optimizer_variables=None,
    ):
        """As in `keras.Model`; in training the adversary's loss is added."""
        loss, updates = super().compute_loss_and_updates(
            trainable_variables,
            non_trainable_variables,
            metrics_variables,
            x,
            y,
            sample_weight,
            training=training,
            optimizer_variables=optimizer_variables,
        )
        if not training or self.adversary is None:
            return loss, updates

        def forward(perturbation):
            # The same random state each time, and so the same dropout.
            with self.perturbation.adding(perturbation):
                return self.stateless_call(
                    trainable_variables, non_trainable_variables, x, training=True
                )[0]

        values = dict(
            zip(
                map(id, [*self.trainable_variables, *self.non_trainable_variables]),
                [*trainable_variables, *non_trainable_variables],
                strict=True,
            )
        )
        segment_ids, _ = self.segment_layout(x["token_ids"], x["segment_lengths"])
        return loss + self.adversary.loss(
            forward,
            lambda logits: self.loss(y, logits, sample_weight),
            updates[1],  # logits
            Rows(segment_ids, x["segment_lengths"]),
            values[id(self.backbone.token_embedding.embeddings)],
            optimizer_variables[0],  # updates made so far
            self.labelled_share,
        ), updates

    def compute_metrics(self, x, y, y_pred, sample_weight=None):
        """As in `keras.Model`; labels that are probabilities count as the likeliest."""
        if len(y.shape) == len(y_pred.shape):
            y = keras.ops.argmax(y, axis=-1)
        return super().compute_metrics(x, y, y_pred, sample_weight)

    def _update_metrics_variables(self, *arguments):
        return update_packed_metrics(self, *arguments)

    def predict_step(self, state, data):
        """Probabilities instead of the logits that training reads."""
        logits, non_trainable = super().predict_step(state, data)
        return jax.nn.softmax(logits.astype("float32"), axis=-1), non_trainable

    def predict(self, x, batch_size=None, verbose="auto", **kwargs):
        """Class probabilities of raw texts.

        Texts share rows, so no time goes into padding, and the result does
        not depend on how they fell together.

        Args:
            x: a string or a list, tuple, array or pandas column of strings.
                Anything else is handed to `keras.Model.predict`, whose result
                keeps the slots: (batch, max_segments, num_classes).
            batch_size: int, rows computed at once. By default as many as make
                2,048 tokens on a CPU, 8,192 elsewhere.
            verbose: 0 hides the progress bar; `"auto"` shows it from 1,000
                texts on.
            **kwargs: see `keras.Model.predict`; not used for texts.

        Returns:
            float32 (num_texts, num_classes), in the order of the texts.

        Raises:
            InputError: an element is not a string.
        """
        if isinstance(x, str):
            x = [x]
        texts = texts_in(x)
        if texts is None:
            return super().predict(x, batch_size=batch_size, verbose=verbose, **kwargs)
        if self.preprocessor is None:
            raise InputError(
                "This classifier has no preprocessor, so it cannot read strings. "
                "Pass packed rows, or set `classifier.preprocessor`."
            )
        return self.predict_texts(texts, batch_size, verbose)[0]

    def predict_texts(
        self, texts: Sequence[str], batch_size=None, verbose="auto"
    ) -> tuple[np.ndarray, np.ndarray]:
        """Like `predict`, and says which texts cleaning left empty.

        Returns:
            `(probabilities, is_empty)`: float32 (num_texts, num_classes) and
            bool (num_texts,).
        """
        probabilities = np.zeros((len(texts), self.num_classes), np.float32)
        is_empty = np.zeros(len(texts), bool)
        with _progress(len(texts), verbose) as progress:
            for start, stop in _windows(texts):
                encoded = self.preprocessor.encode(texts[start:stop])
                is_empty[start:stop] = encoded.is_empty
                probabilities[start:stop] = self._predict_packed(
                    encoded.tokens, batch_size, progress
                )
        return probabilities, is_empty

    def predict_tokens(
        self, tokens: RaggedTokens, batch_size=None, verbose="auto"
    ) -> np.ndarray:
        """Like `predict`, for what `preprocessor.encode` returns as tokens."""
        with _progress(len(tokens), verbose) as progress:
            return self._predict_packed(tokens, batch_size, progress)

    def _predict_packed(self, tokens, batch_size, progress):
        # Row length and number of rows come from a short list of sizes, so that
        # any input is served by a few compiled programs.
        if batch_size is not None and batch_size < 1:
            raise InputError(f"batch_size must be at least 1. Received: {batch_size}.")
        if len(tokens) == 0:
            return np.zeros((0, self.num_classes), np.float32)
        if self.preprocessor is None:
            raise InputError(
                "This classifier has no preprocessor, which knows how long a row may "
                "be. Set `classifier.preprocessor`."
            )
        longest = int(tokens.lengths.max(initial=1))
        limit = self.preprocessor.sequence_length
        row_length = min(_round_up(longest, smallest=PREDICT_SHORTEST_ROW), limit)
        rows = plan_rows(tokens.lengths, row_length, max(1, row_length // 4))
        max_segments = _round_up(max(map(len, rows), default=1), smallest=8)
        most = batch_size or max(1, predict_batch_tokens() // row_length)
        batch_rows = _even_batch_rows(len(rows), most, _num_devices())
        probabilities = np.zeros((len(tokens), self.num_classes), np.float32)
        for i in range(0, len(rows), batch_rows):
            chunk = rows[i : i + batch_rows]
            batch = pack_rows(tokens, chunk, row_length, max_segments, batch_rows)
            values = self.predict_on_batch(_sharded(batch))
            for row, row_values in zip(chunk, values, strict=False):
                probabilities[row] = row_values[: len(row)]
            progress.update(sum(map(len, chunk)))
        if np.isnan(probabilities).any():
            raise InputError(
                "The model's probabilities are NaN: its weights are broken, or it was "
                "trained until it diverged. Train again with a lower learning rate."
            )
        return probabilities


def predict_batch_tokens() -> int:
    """Tokens that prediction computes at once."""
    backend = jax.default_backend()
    return PREDICT_BATCH_TOKENS.get(backend, PREDICT_BATCH_TOKENS_ELSEWHERE)


def _summed(loss):
    if not isinstance(loss, keras.losses.Loss):
        raise InputError(
            "loss must be a keras.losses.Loss over logits, for instance "
            f"ReviewCrossentropy(). Received: {loss!r}."
        )
    if loss.reduction == "sum":
        return loss
    return type(loss).from_config({**loss.get_config(), "reduction": "sum"})


def _progress(total, verbose):
    hide = not verbose or (verbose == "auto" and total < PREDICT_SHOW_PROGRESS)
    return tqdm(total=total, desc="Predicting", unit=" texts", disable=hide)


def _windows(texts):
    """Splits texts into ranges of bounded size, so memory stays bounded."""
    start, characters = 0, 0
    for i, text in enumerate(texts):
        characters += len(text)
        if characters >= PREDICT_WINDOW_CHARACTERS:
            yield start, i + 1
            start, characters = i + 1, 0
    if start < len(texts):
        yield start, len(texts)


def _round_up(value, smallest):
    """The least `smallest * 2**n` that holds `value`."""
    size = smallest
    while size < value:
        size *= 2
    return size


def _even_batch_rows(num_rows, limit, num_devices):
    """Rows of each batch, so that batches of one size hold all with few to spare.

    Sizes come from a short list, the powers of 2 and eighths of `limit`, since
    each takes a compilation.
    """
    num_batches = -(-num_rows // limit)
    even = -(-num_rows // max(num_batches, 1))
    eighth = max(limit // 8, 1)
    size = min(_round_up(even, smallest=1), -(-even // eighth) * eighth)
    return -(-min(size, limit) // num_devices) * num_devices


def _sharded(batch):
    """Shares the rows out over the devices of the current distribution."""
    distribution = keras.distribution.distribution()
    if distribution is None:
        return batch
    return {
        name: keras.distribution.distribute_tensor(
            array, distribution.get_data_layout(array.shape)
        )
        for name, array in batch.items()
    }


def _num_devices():
    distribution = keras.distribution.distribution()
    return 1 if distribution is None else distribution.device_mesh.shape[0]
