"""How fast the input pipeline is on its own.

python benchmarks/pipeline.py --tfds_data_dir=../shared/tfds --tokenizer=../shared/gpt2
"""

import os
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
os.environ.setdefault("KERAS_BACKEND", "jax")

from absl import app, flags

from benchmarks.models import MODELS
from sentiment.config import DataConfig
from sentiment.data.datasets import open_source
from sentiment.data.pipeline import BatchPlan, batches, encode_examples

FLAGS = flags.FLAGS
flags.DEFINE_string("dataset", "imdb_reviews", "TFDS name.")
flags.DEFINE_string("tfds_data_dir", "", "Folder of the TFDS data.")
flags.DEFINE_string("tokenizer", "", "Folder with GPT-2's vocab.json and merges.txt.")
flags.DEFINE_integer("sequence_length", 512, "Tokens of a review that are read.")
flags.DEFINE_integer("batch_size", 16, "Rows in a batch.")
flags.DEFINE_integer("epochs", 3, "Passes over the data.")


def main(_):
    """Times tokenizing, planning and batching on the training split."""
    config = DataConfig(dataset=FLAGS.dataset, tfds_data_dir=FLAGS.tfds_data_dir)
    examples = open_source(config).read("train")
    preprocessor = MODELS["gpt2"].preprocessor(FLAGS.tokenizer, FLAGS.sequence_length)
    with tempfile.TemporaryDirectory() as cache_dir:
        for place in ("first time", "from the cache"):
            started = time.perf_counter()
            encoded = encode_examples(preprocessor, examples, cache_dir)
            seconds = time.perf_counter() - started
            print(f"{len(examples):,} reviews tokenized, {place}: {seconds:.2f} s")
    plan = BatchPlan(encoded, FLAGS.batch_size, FLAGS.sequence_length, seed=0)
    started = time.perf_counter()
    count = sum(1 for _ in batches(plan, FLAGS.epochs))
    seconds = time.perf_counter() - started
    tokens = int(encoded.tokens.lengths.sum()) * FLAGS.epochs
    print(f"{count:,} batches, rows {plan.fill_ratio:.1%} full")
    print(f"pipeline: {tokens / seconds:,.0f} real tokens/s, planning included")


if __name__ == "__main__":
    app.run(main)
