"""Hugging Face's `...ForSequenceClassification`, dynamic padding."""

import contextlib
import itertools
import os
import time

import numpy as np
import torch
from transformers import AutoConfig, AutoModelForSequenceClassification

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

# Like Trainer's `group_by_length`: sorted within this many batches.
GROUPED_BATCHES = 50
TRIAL_BATCHES = 6  # of each size


def _gpt2(sizes) -> dict:
    return {
        "n_layer": sizes.num_layers,
        "n_head": sizes.num_heads,
        "n_embd": sizes.hidden_dim,
        "n_inner": sizes.intermediate_dim,
        "n_positions": sizes.max_positions,
        "resid_pdrop": DROPOUT,
        "embd_pdrop": DROPOUT,
        "attn_pdrop": DROPOUT,
        "use_cache": False,
    }


def _bert(sizes) -> dict:
    return {
        "num_hidden_layers": sizes.num_layers,
        "num_attention_heads": sizes.num_heads,
        "hidden_size": sizes.hidden_dim,
        "intermediate_size": sizes.intermediate_dim,
        "max_position_embeddings": sizes.max_positions,
        "hidden_dropout_prob": DROPOUT,
        "attention_probs_dropout_prob": DROPOUT,
    }


SETTINGS = {"gpt2": _gpt2, "bert": _bert}


class Transformers:
    """Batches in random order, padded to their longest review, `sdpa`."""

    grouped = False
    compiled = False

    def __init__(self, workload: Workload, training: bool, device: str, dtype: str):
        torch.manual_seed(SEED)
        torch.set_num_threads(os.cpu_count())
        torch.set_float32_matmul_precision("high" if device == "gpu" else "highest")
        self.workload, self.training = workload, training
        self.device = torch.device("cuda" if device == "gpu" else "cpu")
        self.dtype = torch.bfloat16 if dtype == "bfloat16" else None
        num_tokens = workload.preprocessor().tokenizer.vocabulary_size()
        config = AutoConfig.for_model(
            workload.model.kind,
            vocab_size=num_tokens + 1,
            pad_token_id=num_tokens,  # a token of its own: every other may be real
            num_labels=NUM_CLASSES,
            **SETTINGS[workload.model.kind](workload.sizes),
        )
        self.model = AutoModelForSequenceClassification.from_config(
            config, attn_implementation="sdpa"
        ).to(self.device)
        self.model.train(training)
        self.optimizer = torch.optim.AdamW(
            self.model.parameters(),
            lr=LEARNING_RATE,
            weight_decay=WEIGHT_DECAY,
            fused=True,
        )
        self.forward = self.model
        if self.compiled:
            self.forward = torch.compile(self.model, dynamic=True)
        self.batch_size = None
        self._rng = np.random.default_rng(SEED)

    def warm_up(self):
        """Tries the batch sizes on batches like the rounds'; the fastest stays."""
        sizes = self.workload.task.batch_sizes
        if self.compiled:
            sizes = sizes[-2:-1] or sizes  # each takes minutes to compile
        speeds = {}
        for size in sizes:
            trial = self._trial(size)
            self._run_all(trial[:1])  # Kernels are warm then.
            started = time.perf_counter()
            work = self._run_all(trial)
            speeds[size] = work.lengths.sum() / (time.perf_counter() - started)
        self.batch_size = max(speeds, key=speeds.get)
        shown = ", ".join(f"{size}: {speed:.0f}" for size, speed in speeds.items())
        self.setting = f"batch {self.batch_size} (tokens/s tried: {shown})"
        self._batches = self._in_batches(self.batch_size)
        self._update()

    def _trial(self, size) -> list[np.ndarray]:
        """Batches of a size as the rounds have them, short and long ones."""
        if self.training:
            batches = list(itertools.islice(self._in_batches(size), GROUPED_BATCHES))
            batches.sort(key=lambda batch: self.workload.tokens.lengths[batch].max())
        else:
            batches = self._split(reviews_of_turn(self.workload, WARM_UP_TURN), size)
        places = np.linspace(0, len(batches) - 1, TRIAL_BATCHES + 2)[1:-1]
        return [batches[round(place)] for place in places]

    def round(self, turn: int) -> Work:
        """The next updates, or the turn's reviews."""
        task = self.workload.task
        if not self.training:
            reviews = reviews_of_turn(self.workload, turn)
            return self._run_all(self._split(reviews, self.batch_size))
        works = []
        for _ in range(task.updates_per_round):
            count = 0
            while count < task.reviews_per_update:
                works.append(self._run_all([next(self._batches)]))
                count += len(works[-1].lengths)
            self._update()
        return _joined(works)

    def _split(self, reviews, size) -> list[np.ndarray]:
        """Batches of reviews to predict."""
        if self.grouped:
            reviews = reviews[np.argsort(-self.workload.tokens.lengths[reviews])]
        return [reviews[i : i + size] for i in range(0, len(reviews), size)]

    def _in_batches(self, size):
        """Endless micro-batches, in the order of training."""
        lengths = self.workload.tokens.lengths
        size = min(size, self.workload.task.reviews_per_update)
        if not self.grouped:
            yield from in_turn(len(lengths), size, self._rng)
        for group in in_turn(len(lengths), size * GROUPED_BATCHES, self._rng):
            order = group[np.argsort(-lengths[group])]
            batches = order.reshape(GROUPED_BATCHES, size)
            yield from batches[self._rng.permutation(GROUPED_BATCHES)]

    def _run_all(self, batches) -> Work:
        works = [self._run_batch(reviews) for reviews in batches]
        if self.device.type == "cuda":
            torch.cuda.synchronize()
        return _joined(works)

    def _run_batch(self, reviews) -> Work:
        tokens = self.workload.tokens
        lengths = tokens.lengths[reviews]
        length = int(lengths.max())
        ids = np.full((len(reviews), length), self.model.config.pad_token_id)
        for row, index in enumerate(reviews):
            ids[row, : len(tokens[index])] = tokens[index]
        mask = np.arange(length)[None] < lengths[:, None]
        batch = {
            "input_ids": torch.from_numpy(ids).to(self.device),
            "attention_mask": torch.from_numpy(mask.astype(np.int64)).to(self.device),
        }
        with self._autocast():
            if self.training:
                labels = torch.from_numpy(
                    self.workload.labels[reviews].astype(np.int64)
                )
                output = self.forward(**batch, labels=labels.to(self.device))
                share = len(reviews) / self.workload.task.reviews_per_update
                (output.loss * share).backward()
            else:
                with torch.inference_mode():
                    self.forward(**batch).logits.softmax(-1).float().cpu()
        return Work(lengths, ids.size)

    def _update(self):
        if self.training:
            torch.nn.utils.clip_grad_norm_(self.model.parameters(), CLIP_NORM)
            self.optimizer.step()
            self.optimizer.zero_grad(set_to_none=True)

    def _autocast(self):
        if self.dtype is None:
            return contextlib.nullcontext()
        return torch.autocast(self.device.type, self.dtype)


class TransformersGrouped(Transformers):
    """Batches of similar length; in prediction, inputs sorted by length."""

    grouped = True


class TransformersCompiled(Transformers):
    """Random order through `torch.compile`, dynamic shapes."""

    compiled = True


def _joined(works) -> Work:
    return Work(
        np.concatenate([work.lengths for work in works]),
        sum(work.positions for work in works),
    )
