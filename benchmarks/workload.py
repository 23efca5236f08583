"""What is computed: reviews as token ids, and how many FLOPs they are worth."""

import dataclasses
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.models import MODELS, Model
from sentiment.config import BackboneConfig, DataConfig
from sentiment.data.datasets import open_source
from sentiment.data.packing import RaggedTokens
from sentiment.data.pipeline import encode_examples

NUM_CLASSES = 2


@dataclass(frozen=True)
class Task:
    """A data set at a sequence length, and how much of it a round takes.

    Attributes:
        dataset: TFDS name.
        sequence_length: tokens of a review that are read.
        reviews_per_update: in training.
        updates_per_round: in training.
        reviews_per_round: in prediction.
        batch_sizes: what peers may choose from, reviews at once.
    """

    dataset: str
    sequence_length: int
    reviews_per_update: int
    updates_per_round: int
    reviews_per_round: int
    batch_sizes: tuple[int, ...]

    def on_gpu(self) -> "Task":
        """The same with enough work at once to keep a GPU busy."""
        return dataclasses.replace(
            self,
            reviews_per_update=GPU_SCALE * self.reviews_per_update,
            updates_per_round=GPU_SCALE,
            reviews_per_round=GPU_SCALE**2 * self.reviews_per_round,
            batch_sizes=tuple(8 * size for size in self.batch_sizes),
        )


GPU_SCALE = 4
TASKS = {
    # Enough reviews in a round of prediction that rows fill up as in a real file.
    "imdb256": Task("imdb_reviews", 256, 64, 1, 512, (2, 4, 8, 16, 32)),
    "imdb512": Task("imdb_reviews", 512, 16, 1, 192, (1, 2, 4)),
    "imdb1024": Task("imdb_reviews", 1024, 16, 1, 96, (1, 2, 4)),
    "sst2": Task("glue/sst2", 64, 128, 1, 512, (4, 8, 16, 32)),
}


@dataclass(frozen=True, eq=False)
class Workload:
    """A task's reviews, as every contender gets them.

    Attributes:
        task: what is measured.
        backbone: key of `MODELS`.
        size: key of its sizes.
        tokenizer: folder with its tokenizer.
        tokens: start token, the review's tokens, end token, for each.
        labels: int32 (N,).
    """

    task: Task
    backbone: str
    size: str
    tokenizer: str
    tokens: RaggedTokens
    labels: np.ndarray

    @property
    def model(self) -> Model:
        """What is built."""
        return MODELS[self.backbone]

    @property
    def sizes(self) -> BackboneConfig:
        """The sizes of the model."""
        return self.model.sizes[self.size]

    def flops(self, lengths: np.ndarray, training: bool) -> float:
        """FLOPs of the model on real tokens; see `review_flops`."""
        forward = review_flops(
            lengths,
            self.sizes.num_layers,
            self.sizes.hidden_dim,
            self.sizes.intermediate_dim,
            self.model.about.is_causal,
        ).sum()
        return float(forward) * (3 if training else 1)

    def preprocessor(self):
        """The preprocessor that made the tokens."""
        return self.model.preprocessor(self.tokenizer, self.task.sequence_length)

    def save(self, path: Path):
        """Writes the workload to one file, for the workers."""
        np.savez(
            path,
            flat=self.tokens.flat,
            offsets=self.tokens.offsets,
            labels=self.labels,
            about=json.dumps(
                [
                    dataclasses.asdict(self.task),
                    self.backbone,
                    self.size,
                    self.tokenizer,
                ]
            ),
        )

    @classmethod
    def load(cls, path: Path) -> "Workload":
        """Reads what `save` wrote."""
        with np.load(path) as file:
            task, *about = json.loads(str(file["about"]))
            tokens = RaggedTokens(file["flat"], file["offsets"])
            return cls(Task(**task), *about, tokens, file["labels"])


def review_flops(
    lengths: np.ndarray,
    num_layers: int,
    hidden_dim: int,
    intermediate_dim: int,
    is_causal: bool,
) -> np.ndarray:
    """FLOPs of one forward pass for each review, a product and a sum being two.

    Embedding look-ups are free, each token attends to its own review (a causal one up
    to itself), nothing is counted for padding, for the softmax or the norms.

    Args:
        lengths: int (N,), tokens of each review.
        num_layers: blocks.
        hidden_dim: their width.
        intermediate_dim: of their feed-forward layers.
        is_causal: whether no token attends to what comes after it.

    Returns:
        float64 (N,).
    """
    lengths = np.asarray(lengths, np.float64)
    products = 2 * (4 * hidden_dim**2 + 2 * hidden_dim * intermediate_dim) * lengths
    attended = lengths * ((lengths + 1) / 2 if is_causal else lengths)
    head = 2 * hidden_dim * NUM_CLASSES
    return num_layers * (products + 4 * hidden_dim * attended) + head


def load_workload(
    task: Task,
    backbone: str,
    size: str,
    tfds_data_dir: str,
    tokenizer: str,
    cache_dir: str,
) -> Workload:
    """Reads and tokenizes a task's training reviews."""
    config = DataConfig(dataset=task.dataset, tfds_data_dir=tfds_data_dir)
    examples = open_source(config).read("train")
    preprocessor = MODELS[backbone].preprocessor(tokenizer, task.sequence_length)
    encoded = encode_examples(preprocessor, examples, cache_dir)
    return Workload(task, backbone, size, tokenizer, encoded.tokens, encoded.labels)
