"""Times `fit` on raw texts against the packed training of `sentiment train`.

python benchmarks/raw_fit.py --tfds_data_dir=FOLDER

Both train the bundled language model on the same texts, an epoch each in turns, after
an epoch that compiles. Printed are the median of the ratios of an epoch's seconds, and
real tokens per second.
"""

import statistics
import time

import sentiment  # isort: skip, settles the back end
import keras
import numpy as np
from absl import app, flags

from sentiment.config import DataConfig
from sentiment.data.datasets import load_splits
from sentiment.data.packing import choose_row_length
from sentiment.data.pipeline import BatchPlan, batches, encode_examples

FLAGS = flags.FLAGS
flags.DEFINE_string("tfds_data_dir", "", "TFDS folder.")
flags.DEFINE_list("datasets", ["imdb_reviews", "glue/sst2"], "What is trained on.")
flags.DEFINE_integer("texts", 1024, "Number of texts.")
flags.DEFINE_integer("batch_size", 32, "Texts in an update.")
flags.DEFINE_integer("rounds", 4, "Epochs of each side.")


class _Clock(keras.callbacks.Callback):
    """Seconds of each epoch."""

    def __init__(self):
        super().__init__()
        self.seconds = []

    def on_epoch_begin(self, epoch, logs=None):
        self._begin = time.perf_counter()

    def on_epoch_end(self, epoch, logs=None):
        self.seconds.append(time.perf_counter() - self._begin)


def _classifier():
    keras.utils.set_random_seed(0)
    classifier = sentiment.GPT2TextClassifier.from_preset("imdb_mini", num_classes=2)
    classifier.compile(keras.optimizers.Adam(1e-4))
    return classifier


def _compare(name: str):
    config = DataConfig(
        dataset=name, tfds_data_dir=FLAGS.tfds_data_dir, max_train_examples=FLAGS.texts
    )
    examples = load_splits(config, seed=0).train
    raw, packed = _classifier(), _classifier()
    encoded = encode_examples(packed.preprocessor, examples)
    lengths = encoded.tokens.lengths
    backbone = packed.backbone
    row_length = choose_row_length(
        lengths,
        packed.preprocessor.sequence_length,
        backbone.hidden_dim,
        backbone.intermediate_dim,
    )
    # As many tokens in an update as that many texts have.
    rows = max(1, round(FLAGS.batch_size * float(np.mean(lengths)) / row_length))
    plan = BatchPlan(encoded, rows, row_length, seed=0)

    def fit_raw(epochs):
        clock = _Clock()
        raw.fit(
            examples.texts,
            examples.labels,
            batch_size=FLAGS.batch_size,
            epochs=epochs,
            callbacks=[clock],
            verbose=0,
        )
        return clock.seconds[-1]

    def fit_packed(epochs):
        clock = _Clock()
        packed.fit(
            batches(plan, epochs),
            epochs=epochs,
            steps_per_epoch=plan.num_batches,
            callbacks=[clock],
            shuffle=False,
            verbose=0,
        )
        return clock.seconds[-1]

    ratios, seconds = [], []
    for _ in range(FLAGS.rounds):
        ours, trained = fit_raw(2), fit_packed(2)
        ratios.append(ours / trained)
        seconds.append(ours)
    tokens = lengths.sum() / statistics.median(seconds)
    print(
        f"{name}: fit on raw texts takes {statistics.median(ratios):.2f} times as long "
        f"({', '.join(f'{ratio:.2f}' for ratio in ratios)}), {tokens:,.0f} tokens/s; "
        f"{len(lengths)} texts of {np.mean(lengths):.0f} tokens, rows of {row_length}"
    )


def main(_):
    """Compares on each data set."""
    for name in FLAGS.datasets:
        _compare(name)


if __name__ == "__main__":
    app.run(main)
