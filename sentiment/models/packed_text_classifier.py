"""A classifier over packed rows, on any kind of backbone."""

import functools
import math
import random
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import keras
import keras_hub
import numpy as np
from keras_hub.src.utils.preset_utils import (
    TASK_CONFIG_FILE,
    check_config_class,
    check_file_exists,
    get_preset_loader,
    load_json,
)

from sentiment.bundled import resolve
from sentiment.config import AUTO_POOLING, SpeedConfig
from sentiment.data.packing import ROW_LENGTH_STEP, RaggedTokens
from sentiment.errors import InputError
from sentiment.models.adversarial import Adversary, EmbeddingPerturbation, Rows
from sentiment.models.backbones import kind_of
from sentiment.models.backbones.segment_layout import SegmentLayout
from sentiment.models.huggingface import HuggingFaceHead, load_head
from sentiment.models.losses import MacroF1, ReviewCrossentropy
from sentiment.models.packed_causal_lm import AuxiliaryLanguageLoss
from sentiment.models.packed_prediction import packed_batches, progress_bar, windows
from sentiment.models.packed_text_classifier_preprocessor import (
    PackedTextClassifierPreprocessor,
    fit_sequence_length,
)
from sentiment.models.packed_training import (
    count_targets,
    packed_train_step,
    update_packed_metrics,
)
from sentiment.models.pooling import POOLINGS
from sentiment.models.presets import load_parts, preprocessor_class
from sentiment.models.pure_step import PureStep, scopes_kept
from sentiment.models.raw_texts import (
    LabelledTexts,
    check_counts,
    checked_labels,
    texts_in,
)
from sentiment.runtime.threads import check_not_forked, one_thread_at_a_time

DEFAULT_FIT_BATCH_SIZE = 32  # as in Keras
HEAD_LAYERS = ("pooler", "head_dense", "head_norm", "logits_dense")


@keras.saving.register_keras_serializable(package="sentiment")
class PackedTextClassifier(keras_hub.models.TextClassifier):
    """A text classifier that reads several texts per row.

    A backbone reads the text, a pooling layer makes one vector of its hidden states, a
    Dense softmax head classifies it. Several texts share a row (packing); the
    backbone's own layers are used and `classifier.backbone` stays as it is.

    The model is called on packed rows and returns logits; `predict` takes raw strings
    and returns probabilities. In training its targets are texts, see
    `packed_training`: labels and sample weights are (batch, max_segments), weight 0 in
    unused slots; float labels (batch, max_segments, num_classes) are probabilities.

    Args:
        backbone: one of a kind in `sentiment.models.backbones`, for instance a
            `keras_hub.models.GPT2Backbone`.
        num_classes: int, at least 2.
        preprocessor: a `PackedTextClassifierPreprocessor` or `None`.
        pooling: a name in `POOLINGS` of `sentiment.models.pooling`, for instance
            `last`, `cls`, `mean` or `attention`; `auto`: `cls` for encoders, `last`
            for all others.
        dropout: float in [0, 1), on the pooled vector.
        label_names: sequence of str, one per class, or `None` for "0", "1", ...
        temperature: float above 0; probabilities are softmax(logits / temperature).
            It calibrates a trained classifier (Guo et al. 2017,
            https://arxiv.org/abs/1706.04599) and changes no training.
        head_activation: str, of a dense layer between pooling and logits, as the heads
            of Hugging Face's classifiers have one; `None`: there is none.
        head_norm_epsilon: float, of a layer norm after it, as ModernBERT's head has
            one; `None`: there is none.

    Inputs:
        token_ids: int (batch, row_length).
        segment_lengths: int (batch, max_segments), tokens of each text in the
            row, 0 in unused slots, which come last.

    Returns:
        float32 (batch, max_segments, num_classes), logits.

    Raises:
        InputError: an unknown kind of backbone, an unknown pooling, fewer than two
            classes, label names that do not fit, a temperature that is not above 0, or
            a `sequence_length` beyond the backbone's position table (which would give
            NaN).
    """

    preprocessor_cls = PackedTextClassifierPreprocessor
    gradient_accumulation_steps = 1
    adversary: Adversary | None = None

    @one_thread_at_a_time
    def __init__(
        self,
        backbone,
        num_classes,
        preprocessor=None,
        pooling="auto",
        dropout=0.1,
        label_names=None,
        temperature=1.0,
        head_activation=None,
        head_norm_epsilon=None,
        **kwargs,
    ):
        kind = kind_of(backbone)
        _check_class(type(self), backbone)
        label_names = _check_label_names(label_names, num_classes)
        pooling = kind.default_pooling if pooling == AUTO_POOLING else pooling
        if pooling not in POOLINGS:
            raise InputError(
                f"pooling must be one of {AUTO_POOLING}, {', '.join(POOLINGS)}. "
                f"Received: {pooling!r}."
            )
        kind.check_pooling(pooling)

        # === Config ===, before the constructor compiles
        self.num_classes = num_classes
        self.pooling = pooling
        self.dropout = dropout
        self.label_names = label_names
        self.temperature = temperature
        self.head_activation = head_activation
        self.head_norm_epsilon = head_norm_epsilon

        # === Layers ===
        self.backbone = backbone
        self.preprocessor = preprocessor
        self.segment_layout = SegmentLayout(name="segment_layout")
        self.perturbation = EmbeddingPerturbation(name="perturbation")
        self.decoder = kind.packed_layers(backbone)  # In saved files it has this name.
        self.language_loss = AuxiliaryLanguageLoss(backbone, name="language_loss")
        self.pooler = POOLINGS[pooling](name="pooler")
        self.decoder.reads = self.pooler.reads
        self.pooled_dropout = keras.layers.Dropout(
            dropout, dtype="float32", name="pooled_dropout"
        )
        self.head_dense = head_activation and keras.layers.Dense(
            backbone.hidden_dim * self.pooler.width,
            head_activation,
            kernel_initializer=keras.initializers.RandomNormal(stddev=0.02),
            dtype="float32",
            name="head_dense",
        )
        self.head_norm = head_norm_epsilon and keras.layers.LayerNormalization(
            epsilon=head_norm_epsilon, dtype="float32", name="head_norm"
        )
        self.logits_dense = keras.layers.Dense(
            num_classes,
            kernel_initializer=keras.initializers.RandomNormal(stddev=0.02),
            dtype="float32",
            name="logits",
        )

        # === Functional Model ===
        inputs = {
            "token_ids": keras.Input((None,), dtype="int32", name="token_ids"),
            "segment_lengths": keras.Input(
                (None,), dtype="int32", name="segment_lengths"
            ),
        }
        token_ids, segment_lengths = inputs["token_ids"], inputs["segment_lengths"]
        segment_ids, positions = self.segment_layout(token_ids, segment_lengths)
        embeddings = kind.embed(backbone, token_ids, positions)
        embeddings = self.perturbation(embeddings)
        hidden_states = self.decoder(embeddings, segment_ids, segment_lengths)
        hidden_states = self.language_loss(
            hidden_states, token_ids, segment_ids, segment_lengths
        )
        pooled = self.pooler(hidden_states, segment_ids, segment_lengths)
        if self.head_dense:
            pooled = self.head_dense(self.pooled_dropout(pooled))
        if self.head_norm:
            pooled = self.head_norm(pooled)
        outputs = self.logits_dense(self.pooled_dropout(pooled))
        super().__init__(inputs=inputs, outputs=outputs, **kwargs)

    @keras_hub.models.TextClassifier.preprocessor.setter
    def preprocessor(self, value):
        if value is not None:
            fit_sequence_length(value, self.backbone)
        self._preprocessor = value

    @property
    def speed(self) -> SpeedConfig:
        """The fast paths in use; not saved, for they change no prediction."""
        return self.decoder.speed

    @speed.setter
    def speed(self, value: SpeedConfig):
        self.decoder.speed = value
        # What was compiled took the old paths.
        self.train_function = self.test_function = self.predict_function = None

    @property
    def temperature(self) -> float:
        """What logits are divided by where they become probabilities."""
        return self._temperature

    @temperature.setter
    def temperature(self, value: float):
        if not 0 < value < math.inf:
            raise InputError(
                f"temperature must be above 0 and finite. Received: {value}."
            )
        self._temperature = float(value)
        # What was compiled holds the old one.
        self.train_function = self.test_function = self.predict_function = None

    def probabilities(self, logits):
        """Class probabilities of logits.

        Args:
            logits: float (..., num_classes).

        Returns:
            float32, like `logits`.
        """
        return jax.nn.softmax(self._calibrated(logits), axis=-1)

    def _calibrated(self, logits):
        logits = jnp.asarray(logits, "float32")
        return logits if self.temperature == 1 else logits / self.temperature

    @property
    def head_form(self) -> dict:
        """Arguments of the constructor that say which layers pooling and head have."""
        return {
            "pooling": self.pooling,
            "head_activation": self.head_activation,
            "head_norm_epsilon": self.head_norm_epsilon,
        }

    def with_backbone(self, backbone, preprocessor=None):
        """A classifier with this one's pooling and head on another backbone.

        Args:
            backbone: one whose hidden states have the same width.
            preprocessor: by default this one's.

        Returns:
            A classifier of the same class, with a copy of pooling and head.
        """
        other = type(self)(
            backbone,
            self.num_classes,
            preprocessor=preprocessor or self.preprocessor,
            dropout=self.dropout,
            label_names=self.label_names,
            temperature=self.temperature,
            **self.head_form,
        )
        for name in HEAD_LAYERS:
            if getattr(self, name):
                getattr(other, name).set_weights(getattr(self, name).get_weights())
        other.speed = self.speed
        return other

    @classmethod
    @one_thread_at_a_time
    def from_preset(cls, preset, load_weights=True, **kwargs):
        """A classifier of a preset: a finished one, or a fresh head on a backbone.

        Args:
            preset: str, a folder that `save_to_preset` wrote, a name of those that come
                with this package (`imdb_mini_sentiment`), or what
                `keras_hub.models.TextClassifier.from_preset` takes.
            load_weights: bool, whether the backbone has the preset's weights.
            **kwargs: of the constructor. With `num_classes` the head is a fresh one.

        Raises:
            InputError: a name of those that come along is also a path here.
        """
        preset = resolve(str(preset))
        if "num_classes" in kwargs:
            kwargs = {"temperature": 1.0, **kwargs}
        saved = _saved_class(preset)
        if saved is None or not issubclass(saved, PackedTextClassifier):
            return cls._on_preset(preset, load_weights, **kwargs)
        if saved is cls:  # KerasHub wants a subclass for each kind; we need none.
            has_head = "num_classes" not in kwargs
            loader = get_preset_loader(preset)
            return loader.load_task(cls, load_weights, has_head, **kwargs)
        return super().from_preset(preset, load_weights, **kwargs)

    @classmethod
    def _on_preset(cls, preset, load_weights, dtype=None, **kwargs):
        """A classifier on a backbone that was saved without one of ours."""
        head = None if "num_classes" in kwargs else load_head(preset)
        backbone, tokenizer = load_parts(preset, load_weights=load_weights, dtype=dtype)
        if "preprocessor" not in kwargs:
            # A head has learned from texts as they were.
            reads = preprocessor_class(tokenizer)
            kwargs["preprocessor"] = reads(tokenizer, clean=head is None)
        if head is not None:
            kwargs = {**head.arguments, **kwargs}
        made = classifier_class(type(backbone))
        # Where another kind was asked for, the constructor says so.
        classifier = (made if issubclass(made, cls) else cls)(backbone, **kwargs)
        if head is not None and load_weights:
            classifier.set_head(head)
        return classifier

    def set_head(self, head: HuggingFaceHead):
        """Takes over the weights of a head that has the same form."""
        for name, arrays in head.weights.items():
            getattr(self, name).set_weights(arrays)

    @classmethod
    @one_thread_at_a_time
    def from_config(cls, config):
        names = config.get("label_names")
        if names is not None and len(names) != config["num_classes"]:
            # `from_preset(num_classes=...)` puts another number into the saved
            # config; names and temperature belong to the head that it replaces.
            config = {**config, "label_names": None, "temperature": 1.0}
        return super().from_config(config)

    def get_config(self):
        config = super().get_config()
        config.update(
            num_classes=self.num_classes,
            dropout=self.dropout,
            label_names=list(self.label_names),
            temperature=self.temperature,
            **self.head_form,
        )
        return config

    def compile(
        self,
        optimizer="auto",
        loss="auto",
        *,
        metrics=None,
        weighted_metrics="auto",
        gradient_accumulation_steps=1,
        adversary=None,
        lm_loss_weight=0.0,
        **kwargs,
    ):
        """Configures training; everything has a default, and nothing of it is saved.

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
            adversary: an `Adversary`, whose loss is added in training.
            lm_loss_weight: float, weight of the loss of a language model on the same
                texts, see `AuxiliaryLanguageLoss`.
            **kwargs: see `keras.Model.compile`.

        Raises:
            InputError: less than one micro-batch, something else than a loss over
                logits, or `lm_loss_weight` where the backbone is no language model.
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
        if lm_loss_weight:
            kind_of(self.backbone).check_causal("lm_loss_weight")
        self.gradient_accumulation_steps = gradient_accumulation_steps
        self.adversary = adversary
        self.language_loss.weight = lm_loss_weight
        # A language model reads every hidden state.
        self.decoder.reads = "all" if lm_loss_weight else self.pooler.reads
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

        Texts are tokenized once and share rows, so no time goes into padding; still an
        update has exactly `batch_size` of them. They come in another order in each
        epoch, by the seed of `keras.utils.set_random_seed`, long and short ones in
        about equal parts of each batch.

        Args:
            x: strings, in a list, array, column or iterator. Anything else is handed to
                `keras_hub.models.TextClassifier.fit`.
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
        texts, x = texts_in(x)
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
        epochs = kwargs.setdefault("epochs", 1)
        check_counts(
            batch_size=batch_size, epochs=epochs, validation_split=validation_split
        )
        batch_size = batch_size or DEFAULT_FIT_BATCH_SIZE
        class_weight = kwargs.pop("class_weight", None)
        labelled = LabelledTexts.of(
            texts, y, sample_weight, self.output_shape[-1], class_weight
        )
        held_out = None
        if validation_data is not None:
            held_out = self._labelled_in(validation_data)
        elif validation_split:
            labelled, held_out = labelled.split(validation_split)
        if held_out is not None:
            validation = self._equal_batches(held_out, batch_size)
            validation_data = validation.batches(epochs)
            kwargs.setdefault("validation_steps", validation.num_batches)
        seed = random.randrange(2**31) if shuffle else None
        plan = self._equal_batches(labelled, batch_size, seed)
        steps = kwargs.get("steps_per_epoch") or plan.num_batches
        kwargs["steps_per_epoch"] = min(steps, plan.num_batches)
        return super().fit(
            plan.batches(epochs),
            validation_data=validation_data,
            shuffle=False,
            **kwargs,
        )

    def _equal_batches(self, labelled, batch_size, seed=None):
        """Texts as packed batches of so many of them."""
        # Predicting does without.
        from sentiment.data.pipeline import EncodedExamples, EqualBatches

        check_not_forked()  # before the tokenizer starts threads
        encoded = self.preprocessor.encode(labelled.texts)
        if encoded.is_empty.all():
            raise InputError(
                f"There is nothing to read: cleaning leaves nothing of all "
                f"{len(labelled)} texts."
            )
        longest = int(encoded.tokens.lengths.max())
        row_length = min(
            -(-longest // ROW_LENGTH_STEP) * ROW_LENGTH_STEP,
            max(longest, kind_of(self.backbone).max_length(self.backbone)),
        )
        labels, *weights = labelled.arrays
        examples = EncodedExamples(
            encoded.tokens, labels, encoded.num_dropped, *weights
        )
        return EqualBatches(examples, batch_size, row_length, seed)

    def _labelled_in(self, data) -> LabelledTexts | None:
        """The raw texts to validate on, if that is what `data` holds."""
        if not isinstance(data, (list, tuple)):
            return None
        x, y, sample_weight = keras.utils.unpack_x_y_sample_weight(data)
        texts, _ = texts_in(x)
        if texts is None:
            return None
        return LabelledTexts.of(texts, y, sample_weight, self.output_shape[-1])

    def evaluate(
        self,
        x=None,
        y=None,
        batch_size=None,
        verbose="auto",
        sample_weight=None,
        return_dict=False,
        **kwargs,
    ):
        """Loss and metrics on raw texts or on packed batches.

        Texts share rows, as in `predict`, and the variables are left alone.

        Args:
            x: strings, as of `fit`. Anything else is handed to
                `keras_hub.models.TextClassifier.evaluate`.
            y: int (num_texts,), their classes.
            batch_size: as in `predict`.
            verbose: as in `predict`.
            sample_weight: float (num_texts,), of each in loss and metrics.
            return_dict: bool, whether names come along.
            **kwargs: see `keras.Model.evaluate`, which they lead to.

        Returns:
            Floats: the loss, a mean over texts, and the weighted metrics.

        Raises:
            InputError: an element is not a string, a label is no class, or there are
                not as many of them as texts.
        """
        texts, x = texts_in(x)
        # The loss of a language model wants hidden states, not logits alone.
        if (
            texts is None
            or self.preprocessor is None
            or self.language_loss.weight
            or kwargs
        ):
            return super().evaluate(
                x,
                y,
                batch_size,
                sample_weight=sample_weight,
                verbose=verbose,
                return_dict=return_dict,
                **kwargs,
            )
        labelled = LabelledTexts.of(texts, y, sample_weight, self.output_shape[-1])
        self.make_predict_function()
        read = functools.partial(self._packed_outputs, self._logits_step)
        logits, _ = self._read_texts(read, texts, batch_size, verbose)
        logs = self._metrics_of(logits, *labelled.arrays)
        return logs if return_dict else self._flatten_metrics_in_order(logs)

    @one_thread_at_a_time
    def _metrics_of(self, logits, labels, weights=None) -> dict[str, float]:
        """Loss and metrics, computed beside the model's own metric variables."""
        if weights is None:
            weights = np.ones(len(labels))
        # One row that holds all texts.
        y, y_pred, weights = labels[None], logits[None], np.float32(weights)[None]
        with scopes_kept():
            for part in (self._compile_loss, self._compile_metrics):
                if part is not None and not part.built:
                    part.build(*(keras.KerasTensor(x.shape) for x in (y, y_pred)))
            fresh = [v for m in self.metrics for v in m.stateless_reset_state()]
            loss = self.compute_loss(None, y, y_pred, weights, training=False)
            logs, _ = self._update_metrics_variables(
                fresh, loss, None, y, y_pred, weights
            )
        return {name: float(logs[name]) for name in sorted(logs)}

    def train_step(self, state, data):
        """One optimizer update."""
        x, y, sample_weight = keras.utils.unpack_x_y_sample_weight(data)
        num_reviews = (x["segment_lengths"] > 0).sum()
        num_labelled = count_targets(y, sample_weight)
        # For terms over all reviews, labelled or not: the step divides by the labelled.
        share = jnp.maximum(num_labelled, 1) / jnp.maximum(num_reviews, 1)
        return packed_train_step(
            self,
            state,
            data,
            functools.partial(self.compute_loss_and_updates, labelled_share=share),
        )

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
        labelled_share=1.0,
    ):
        """As in `keras.Model`; in training the adversary's loss is added.

        `labelled_share` is that of the update: labelled reviews per review.
        """
        with self.language_loss.scaled_by(labelled_share):
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
            labelled_share,
        ), updates

    def compute_metrics(self, x, y, y_pred, sample_weight=None):
        """As in `keras.Model`; metrics see logits over the temperature.

        Labels that are probabilities count as the likeliest.
        """
        if len(y.shape) == len(y_pred.shape):
            y = keras.ops.argmax(y, axis=-1)
        return super().compute_metrics(x, y, self._calibrated(y_pred), sample_weight)

    def _update_metrics_variables(self, *arguments):
        return update_packed_metrics(self, *arguments)

    def predict_step(self, state, data):
        """Probabilities instead of the logits that training reads."""
        logits, non_trainable = super().predict_step(state, data)
        return self.probabilities(logits), non_trainable

    @one_thread_at_a_time
    def make_predict_function(self, force=False):
        """As in `keras.Model`; makes anew what reads texts, too."""
        if force or self.predict_function is None:
            self._probabilities_step = PureStep(self.predict_step)
            self._logits_step = PureStep(super().predict_step)
        return super().make_predict_function(force)

    def predict_on_batch(self, x):
        """As in `keras.Model`; leaves the variables alone."""
        self.make_predict_function()
        return np.array(self._on_weights(self._probabilities_step)((x,))[0])

    def predict(self, x, batch_size=None, verbose="auto", **kwargs):
        """Class probabilities of raw texts.

        Texts share rows, so no time goes into padding, and the result does
        not depend on how they fell together.

        Args:
            x: a string, or strings as of `fit`. Anything else is handed to
                `keras.Model.predict`, whose result keeps the slots:
                (batch, max_segments, num_classes).
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
        texts, x = texts_in(x)
        if texts is None:
            return super().predict(x, batch_size=batch_size, verbose=verbose, **kwargs)
        self._check_preprocessor()
        return self._read_texts(self._predict_packed, texts, batch_size, verbose)[0]

    def predict_texts(
        self, texts: Sequence[str], batch_size=None, verbose="auto"
    ) -> tuple[np.ndarray, np.ndarray]:
        """Like `predict`, and says which texts cleaning left empty.

        Args:
            texts: as of `predict`, but strings alone.
            batch_size: as in `predict`.
            verbose: as in `predict`.

        Returns:
            `(probabilities, is_empty)`: float32 (num_texts, num_classes) and
            bool (num_texts,).
        """
        self._check_preprocessor()
        found, _ = texts_in(texts)
        if found is None:
            raise InputError(f"Texts must be strings. Received: {texts!r:.60}.")
        return self._read_texts(self._predict_packed, found, batch_size, verbose)

    def _read_texts(self, read, texts, batch_size, verbose):
        """What `read` gives for the tokens of each text, and which are empty."""
        check_not_forked()  # before the tokenizer starts threads
        outputs = np.zeros((len(texts), self.num_classes), np.float32)
        is_empty = np.zeros(len(texts), bool)
        with progress_bar(len(texts), verbose) as progress:
            for start, stop in windows(texts):
                encoded = self.preprocessor.encode(texts[start:stop])
                is_empty[start:stop] = encoded.is_empty
                outputs[start:stop] = read(encoded.tokens, batch_size, progress)
        return outputs, is_empty

    def predict_tokens(
        self, tokens: RaggedTokens, batch_size=None, verbose="auto"
    ) -> np.ndarray:
        """Like `predict`, for what `preprocessor.encode` returns as tokens."""
        with progress_bar(len(tokens), verbose) as progress:
            return self._predict_packed(tokens, batch_size, progress)

    def _check_preprocessor(self):
        if self.preprocessor is None:
            raise InputError(
                "This classifier has no preprocessor, which makes tokens of strings "
                "and knows how long a row may be. Pass packed rows, or set "
                "`classifier.preprocessor`."
            )

    def _predict_packed(self, tokens, batch_size, progress):
        self.make_predict_function()
        probabilities = self._packed_outputs(
            self._probabilities_step, tokens, batch_size, progress
        )
        if np.isnan(probabilities).any():
            raise InputError(
                "The model's probabilities are NaN: its weights are broken, or it was "
                "trained until it diverged. Train again with a lower learning rate."
            )
        return probabilities

    def _on_weights(self, step):
        """A `PureStep` on the weights as they are now."""
        self.jax_state_sync()  # A callback may ask in the middle of `fit`.
        variables = (self.trainable_variables, self.non_trainable_variables)
        return step.on(tuple([variable.value for variable in v] for v in variables))

    def _packed_outputs(self, step, tokens, batch_size, progress):
        """What a `PureStep` gives for each text, which leaves the variables alone."""
        check_counts(batch_size=batch_size)
        if len(tokens) == 0:
            return np.zeros((0, self.num_classes), np.float32)
        self._check_preprocessor()
        step = self._on_weights(step)
        outputs = np.zeros((len(tokens), self.num_classes), np.float32)
        longest_row = self.preprocessor.sequence_length
        for rows, batch in packed_batches(tokens, longest_row, batch_size):
            values = np.asarray(step((batch,))[0])
            for row, row_values in zip(rows, values, strict=False):
                outputs[row] = row_values[: len(row)]
            progress.update(sum(map(len, rows)))
        return outputs


def classifier_class(backbone_class: type) -> type[PackedTextClassifier]:
    """The class of classifiers on backbones of a class: a subclass, if there is one."""
    for cls in PackedTextClassifier.__subclasses__():
        if cls.backbone_cls and issubclass(backbone_class, cls.backbone_cls):
            return cls
    return PackedTextClassifier


def _saved_class(preset: str) -> type | None:
    """What was saved as a preset; `None` if it is no model of KerasHub's or ours."""
    if not check_file_exists(preset, TASK_CONFIG_FILE):
        return None
    return check_config_class(load_json(preset, TASK_CONFIG_FILE))


def _check_class(cls, backbone):
    wanted = cls.backbone_cls
    if wanted is not None and not isinstance(backbone, wanted):
        raise InputError(
            f"A {cls.__name__} reads with a {wanted.__name__}. Received: a "
            f"{type(backbone).__name__}, for which there is "
            f"{classifier_class(type(backbone)).__name__}."
        )


def _check_label_names(label_names, num_classes) -> tuple[str, ...]:
    if num_classes < 2:
        raise InputError(f"num_classes must be at least 2. Received: {num_classes}.")
    if label_names is None:
        return tuple(str(i) for i in range(num_classes))
    label_names = tuple(label_names)
    are_names = all(isinstance(name, str) for name in label_names)
    if not are_names or not len(label_names) == len(set(label_names)) == num_classes:
        raise InputError(
            f"label_names must be {num_classes} different names, one string per class. "
            f"Received: {list(label_names)}."
        )
    return label_names


def _summed(loss):
    if not isinstance(loss, keras.losses.Loss):
        raise InputError(
            "loss must be a keras.losses.Loss over logits, for instance "
            f"ReviewCrossentropy(). Received: {loss!r}."
        )
    if loss.reduction == "sum":
        return loss
    return type(loss).from_config({**loss.get_config(), "reduction": "sum"})
