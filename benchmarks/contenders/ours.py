"""This project: packed rows through its classifier."""

from unittest import mock

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
    reviews_of_turn,
)
from benchmarks.workload import NUM_CLASSES, Workload
from sentiment.config import SpeedConfig, TrainingConfig
from sentiment.data.packing import RaggedTokens, choose_row_length
from sentiment.data.pipeline import BatchPlan, EncodedExamples, batches_of
from sentiment.models import packed_text_classifier
from sentiment.models.backbones import kind_of
from sentiment.models.packed_prediction import batch_tokens, packed_batches
from sentiment.models.packed_text_classifier import classifier_class
from sentiment.runtime.process import prepare_process
from sentiment.training.optimizers import make_optimizer

MANY_UPDATES = 1_000_000


class Ours:
    """Trains with `fit` over the Grain pipeline, predicts with `predict_tokens`."""

    speed = SpeedConfig(cache_dir="")

    def __init__(self, workload: Workload, training: bool, device: str, dtype: str):
        self.workload = workload
        self.training = training
        prepare_process(self.speed)
        keras.utils.set_random_seed(SEED)
        preprocessor = workload.preprocessor()
        backbone = workload.model.backbone(
            workload.size,
            preprocessor.tokenizer.vocabulary_size(),
            DROPOUT,
            "mixed_bfloat16" if dtype == "bfloat16" else "float32",
        )
        self.classifier = classifier_class(type(backbone))(
            backbone, NUM_CLASSES, preprocessor, dropout=DROPOUT
        )
        self.classifier.speed = self.speed
        if training:
            self._prepare_training()
        else:
            self.setting = f"batches of up to {batch_tokens():,} tokens"

    def _prepare_training(self):
        tokens, task = self.workload.tokens, self.workload.task
        model = self.workload.sizes
        row_length = choose_row_length(
            tokens.lengths,
            task.sequence_length,
            model.hidden_dim,
            model.intermediate_dim,
        )
        examples = EncodedExamples(tokens, self.workload.labels, 0)
        plan = BatchPlan(examples, 1, row_length, seed=SEED)
        rows_per_review = plan.num_batches / len(tokens)
        batch_rows = round(task.reviews_per_update * rows_per_review)
        self._plan = BatchPlan(examples, batch_rows, row_length, seed=SEED)
        self.setting = f"{batch_rows} rows of {row_length}"
        rows = self._plan.rows(0)
        self._rows = (
            rows[i : i + batch_rows]
            for i in range(0, len(rows) - batch_rows, batch_rows)
        )
        config = TrainingConfig(
            learning_rate=LEARNING_RATE, weight_decay=WEIGHT_DECAY, clip_norm=CLIP_NORM
        )
        kind = kind_of(self.classifier.backbone)
        self.classifier.compile(
            make_optimizer(config, kind, model.num_layers, MANY_UPDATES)
        )

    def warm_up(self):
        """Compiles the train step, or what prediction takes."""
        self.round(WARM_UP_TURN)

    def round(self, turn: int) -> Work:
        """Trains on the next batches, or predicts the next reviews."""
        tokens = self.workload.tokens
        if self.training:
            updates = self.workload.task.updates_per_round
            rows = [next(self._rows) for _ in range(updates)]
            self.classifier.fit(
                batches_of(self._plan, rows),
                steps_per_epoch=updates,
                epochs=1,
                verbose=0,
            )
            positions = updates * self._plan.batch_rows * self._plan.row_length
            reviews = np.concatenate([r for batch in rows for r in batch])
            return Work(tokens.lengths[reviews], positions)
        reviews = reviews_of_turn(self.workload, turn)
        chosen = RaggedTokens.from_sequences([tokens[i] for i in reviews])
        positions = 0

        def counted(*arguments):
            nonlocal positions
            for rows, batch in packed_batches(*arguments):
                positions += batch["token_ids"].size
                yield rows, batch

        with mock.patch.object(packed_text_classifier, "packed_batches", counted):
            self.classifier.predict_tokens(chosen, verbose=0)
        return Work(tokens.lengths[reviews], positions)


class OursWithoutFastPaths(Ours):
    """The same with KerasHub's own attention and dropout."""

    speed = SpeedConfig(
        chunked_attention=False,
        hash_dropout=False,
        skip_unread=False,
        keep_memory=False,
        cache_dir="",
    )
