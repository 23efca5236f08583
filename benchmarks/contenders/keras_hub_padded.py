"""KerasHub's backbone used the plain way: one review a row, padded in full."""

import keras
import numpy as np

from benchmarks.contenders.base import (
    CLIP_NORM,
    DROPOUT,
    LEARNING_RATE,
    SEED,
    WARM_UP_TURN,
    WEIGHT_DECAY,
    Work,
    in_turn,
    reviews_of_turn,
)
from benchmarks.workload import NUM_CLASSES, Workload

# Tokens of padded rows; more runs out of memory on small machines.
TOKENS_AT_ONCE = {"cpu": 2048, "gpu": 32768}


class KerasHubPadded:
    """The backbone, last real token (an encoder's first), `Dense`, `fit`, `predict`."""

    def __init__(self, workload: Workload, training: bool, device: str, dtype: str):
        self.workload, self.training = workload, training
        keras.utils.set_random_seed(SEED)
        keras.config.set_dtype_policy(
            "mixed_bfloat16" if dtype == "bfloat16" else "float32"
        )
        model, task = workload.model, workload.task
        backbone = model.backbone(
            workload.size,
            workload.preprocessor().tokenizer.vocabulary_size(),
            DROPOUT,
            keras.config.dtype_policy().name,
        )
        outputs = backbone.output
        if isinstance(outputs, dict):  # BERT's
            outputs = outputs["sequence_output"]
        read = keras.Input((1,), dtype="int32", name="read")
        hidden_states = keras.layers.Lambda(
            lambda x: keras.ops.take_along_axis(x[0], x[1][:, :, None], axis=1)[:, 0],
            output_shape=(workload.sizes.hidden_dim,),
        )([outputs, read])
        logits = keras.layers.Dense(NUM_CLASSES, dtype="float32")(hidden_states)
        self.model = keras.Model({**backbone.input, "read": read}, logits)
        self.batch_size = max(1, TOKENS_AT_ONCE[device] // task.sequence_length)
        steps = task.reviews_per_update // self.batch_size
        self.model.compile(
            keras.optimizers.AdamW(
                LEARNING_RATE,
                weight_decay=WEIGHT_DECAY,
                global_clipnorm=CLIP_NORM,
                gradient_accumulation_steps=steps if steps > 1 else None,
            ),
            keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        )
        self.setting = f"batch {self.batch_size} of {task.sequence_length}"
        rng = np.random.default_rng(SEED)
        self._groups = in_turn(len(workload.tokens), task.reviews_per_update, rng)

    def warm_up(self):
        """Compiles."""
        self.round(WARM_UP_TURN)

    def round(self, turn: int) -> Work:
        """One update, or a few batches of prediction."""
        if self.training:
            reviews = next(self._groups)
        else:  # Padding costs the same whatever the reviews are: a few will do.
            reviews = reviews_of_turn(self.workload, turn)[: 4 * self.batch_size]
        length = self.workload.task.sequence_length
        tokens = self.workload.tokens
        token_ids = np.zeros((len(reviews), length), np.int32)
        for row, index in enumerate(reviews):
            token_ids[row, : len(tokens[index])] = tokens[index]
        lengths = tokens.lengths[reviews]
        mask = np.arange(length)[None] < lengths[:, None]
        x = {
            "token_ids": token_ids,
            "padding_mask": mask.astype(np.int32),
            "read": (lengths - 1)[:, None].astype(np.int32),
            "segment_ids": np.zeros_like(token_ids),
        }
        if not self.workload.model.about.is_causal:
            x["read"] = np.zeros_like(x["read"])
        x = {name: x[name] for name in self.model.input}
        if self.training:
            y = self.workload.labels[reviews]
            self.model.fit(x, y, batch_size=self.batch_size, epochs=1, verbose=0)
        else:
            self.model.predict(x, batch_size=self.batch_size, verbose=0)
        return Work(lengths, token_ids.size)
