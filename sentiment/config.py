"""The typed settings of a run, each declared once.

A field's default, help text and allowed values stand together here;
`scripts/flags.py` makes one command-line flag of each, and
`RunConfig.to_flagfile` writes them back as a flagfile. Values are checked on
construction, so a wrong one is reported before any work starts.
"""

import csv
import dataclasses
import io
import math
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sentiment.errors import InputError

TRUNCATIONS = ("head", "tail", "head_tail")
POOLING_NAMES = ("last", "mean", "max", "attention", "concat", "rnn", "gru", "lstm")
ARCHITECTURES = ("gpt2", "rnn", "gru", "lstm")
TEACHERS = ("tfidf_lr", "linear_svm", "nb_svm")
BASELINES = ("majority", "lexicon", *TEACHERS)
OPTIMIZERS = ("adamw", "lion", "muon", "sgd")
MONITORS = ("accuracy", "macro_f1", "loss")
DTYPES = ("float32", "mixed_bfloat16")
BUNDLED_DATASET = "quickstart"
BUNDLED_CLASSIFIER = "imdb_mini_sentiment"
MAX_SEED = 2**32 - 1  # NumPy's
MIN_VOCABULARY_SIZE = 257  # the 256 bytes and the end-of-text token
MODEL_FILE = "model.keras"
PRESET_FOLDER = "preset"
DEFAULT_CACHE_DIR = os.path.join(
    os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"), "sentiment"
)


def setting(
    default: Any,
    help: str,
    *,
    choices: tuple[str, ...] | None = None,
    at_least: float | None = None,
    above: float | None = None,
    at_most: float | None = None,
    below: float | None = None,
    repeated: bool = False,
    is_path: bool = False,
):
    """A dataclass field with its help text and the values it may take.

    Args:
        default: the value where nothing is said.
        help: what the flag's `--help` says.
        choices: the only values allowed.
        at_least: limit of a number; `above`, `at_most`, `below` likewise.
        above: see `at_least`.
        at_most: see `at_least`.
        below: see `at_least`.
        repeated: whether the flag may be given several times, one item each.
        is_path: whether the value is a place on disk, or may be.
    """
    limits = {
        ">=": at_least,
        ">": above,
        "<=": at_most,
        "<": below,
    }
    metadata = {
        "help": help,
        "choices": choices,
        "repeated": repeated,
        "is_path": is_path,
        "limits": {sign: x for sign, x in limits.items() if x is not None},
    }
    if isinstance(default, tuple):
        return dataclasses.field(default_factory=lambda: default, metadata=metadata)
    return dataclasses.field(default=default, metadata=metadata)


class CheckedConfig:
    """Base of the configs: checks choices and limits of every field."""

    def __post_init__(self):
        for field in dataclasses.fields(self):
            if field.metadata:
                _check_value(field, getattr(self, field.name))


def _check_value(field, value):
    choices = field.metadata["choices"]
    if choices and value not in choices:
        raise InputError(
            f"--{field.name} must be one of {', '.join(map(str, choices))}. "
            f"Received: {value}."
        )
    compare = {
        ">=": lambda limit: value >= limit,
        ">": lambda limit: value > limit,
        "<=": lambda limit: value <= limit,
        "<": lambda limit: value < limit,
    }
    limits = field.metadata["limits"]
    is_infinite = isinstance(value, float) and math.isinf(value)
    if is_infinite or not all(compare[sign](x) for sign, x in limits.items()):
        wanted = " and ".join(f"{sign} {limit}" for sign, limit in limits.items())
        wanted += " and finite" if is_infinite else ""
        raise InputError(f"--{field.name} must be {wanted}. Received: {value}.")


@dataclass(frozen=True)
class DataConfig(CheckedConfig):
    """Where reviews come from."""

    dataset: str = setting(
        "",
        "TFDS name (imdb_reviews, glue/sst2, yelp_polarity_reviews, or any set with "
        f"one text and one class label), or '{BUNDLED_DATASET}' for the reviews that "
        "come with this package.",
    )
    tfds_data_dir: str = setting(
        "",
        "TFDS folder; empty: TFDS's own default, ~/tensorflow_datasets.",
        is_path=True,
    )
    train_file: str = setting(
        "",
        "Own training data: CSV, TSV, JSONL or Parquet, instead of --dataset.",
        is_path=True,
    )
    validation_file: str = setting(
        "", "Own validation data; empty: carved from the training data.", is_path=True
    )
    test_file: str = setting(
        "", "Own test data; empty: no test in the metrics.", is_path=True
    )
    text_column: str = setting(
        "", "Column of the text; empty: 'text', or the only text feature of a TFDS set."
    )
    label_column: str = setting(
        "",
        "Column of the label; empty: 'label', or the only class label of a TFDS set.",
    )
    label_names: tuple[str, ...] = setting(
        (),
        "Comma-separated class names, class 0 first; empty: the names that the data "
        "set knows or that occur in the training file.",
    )
    validation_fraction: float = setting(
        0.1,
        "Share of the training data that is carved off for validation, stratified, "
        "where there is no validation data.",
        above=0,
        below=1,
    )
    max_train_examples: int = setting(
        0, "Train on at most this many examples, drawn by seed; 0: all.", at_least=0
    )
    max_test_examples: int = setting(
        0, "Test on at most this many examples, drawn by seed; 0: all.", at_least=0
    )
    skip_bad_rows: bool = setting(
        False, "Skip and count unusable rows of own files, instead of stopping."
    )

    def __post_init__(self):
        super().__post_init__()
        files = {
            name: getattr(self, name)
            for name in ("train_file", "validation_file", "test_file")
        }
        has_examples = self.train_file or self.test_file
        if (self.dataset and any(files.values())) or not (self.dataset or has_examples):
            received = ", ".join(f"{name}={path!r}" for name, path in files.items())
            raise InputError(
                "Give either --dataset or own files (--train_file, and as you like "
                "--validation_file and --test_file). Received: "
                f"dataset={self.dataset!r}, {received}."
            )
        if self.text_column and self.text_column == self.label_column:
            raise InputError(
                "--text_column and --label_column must differ. Received: "
                f"{self.text_column!r} for both."
            )
        _check_names("label_names", self.label_names)
        fixed = [
            name
            for name in ("text_column", "label_column", "label_names")
            if getattr(self, name)
        ]
        if self.dataset == BUNDLED_DATASET and fixed:
            raise InputError(
                f"--dataset={BUNDLED_DATASET} has columns and classes of its own. "
                f"Leave out --{', --'.join(fixed)}."
            )


@dataclass(frozen=True)
class CorpusConfig(CheckedConfig):
    """Where a language model's text comes from."""

    dataset: str = setting("", "TFDS name of a set with a text feature.")
    tfds_data_dir: str = setting(
        "",
        "TFDS folder; empty: TFDS's own default, ~/tensorflow_datasets.",
        is_path=True,
    )
    splits: tuple[str, ...] = setting(
        ("train",), "Comma-separated splits of --dataset, labelled or not."
    )
    exclude_splits: tuple[str, ...] = setting(
        ("test",),
        "Comma-separated splits of --dataset whose texts must not be learnt from; "
        "empty: none.",
    )
    text_files: tuple[str, ...] = setting(
        (),
        "Comma-separated own files: CSV, TSV, JSONL or Parquet, or .txt with one "
        "document a line.",
        is_path=True,
    )
    exclude_files: tuple[str, ...] = setting(
        (), "Comma-separated files whose texts must not be learnt from.", is_path=True
    )
    text_column: str = setting(
        "", "Column of the text; empty: 'text', or the only text feature of a TFDS set."
    )
    validation_fraction: float = setting(
        0.01, "Share of the documents that measure perplexity.", above=0, below=1
    )
    max_documents: int = setting(
        0, "Learn from at most this many documents, drawn by seed; 0: all.", at_least=0
    )
    skip_bad_rows: bool = setting(
        False, "Skip and count unusable rows of own files, instead of stopping."
    )

    def __post_init__(self):
        super().__post_init__()
        if bool(self.dataset) == bool(self.text_files):
            raise InputError(
                "Give either --dataset or --text_files. Received: "
                f"dataset={self.dataset!r}, text_files={','.join(self.text_files)!r}."
            )
        if self.text_files and self.splits != ("train",):
            raise InputError(
                "--splits are of --dataset; --text_files have none. Received: "
                f"{','.join(self.splits)}."
            )
        if self.dataset and not self.splits:
            raise InputError("--splits must name at least one split of --dataset.")
        for split in self.splits:
            if self.dataset and split in self.exclude_splits:
                raise InputError(
                    f"--splits and --exclude_splits both name {split!r}: it cannot be "
                    "learnt from and left out."
                )


@dataclass(frozen=True)
class UnlabelledConfig(CheckedConfig):
    """Texts without labels that a classifier learns from, too, and what labels them."""

    teacher: str = setting(
        "none",
        "Classical classifier, see scripts/baseline.py, that is fitted to the training "
        "examples and gives each unlabelled text the probabilities it is to have "
        "(Hinton et al. 2015).",
        choices=("none", *TEACHERS),
    )
    unlabelled_split: str = setting(
        "", "Split of --dataset for --teacher; labels it may have are not read."
    )
    unlabelled_file: str = setting(
        "",
        "Own texts for --teacher: CSV, TSV, JSONL or Parquet, or .txt with one text a "
        "line.",
        is_path=True,
    )

    def __post_init__(self):
        super().__post_init__()
        if self.unlabelled_split and self.unlabelled_file:
            raise InputError(
                "Give either --unlabelled_split or --unlabelled_file. Received: "
                f"{self.unlabelled_split!r} and {self.unlabelled_file!r}."
            )


@dataclass(frozen=True)
class BackboneConfig(CheckedConfig):
    """Backbone and tokenizer."""

    preset: str = setting(
        "",
        "Pretrained backbone: a KerasHub preset (gpt2_base_en), kaggle:// or hf:// "
        "handle, a local folder in KerasHub's or Hugging Face's format, or a name of "
        "those that come with this package (imdb_mini). Empty: random weights of the "
        "sizes below.",
        is_path=True,
    )
    architecture: str = setting(
        "gpt2",
        "Kind of backbone, without --preset: GPT-2's decoder, or recurrent layers.",
        choices=ARCHITECTURES,
    )
    num_layers: int = setting(
        2, "Decoder blocks or recurrent layers, without --preset.", at_least=1
    )
    num_heads: int = setting(
        2, "Attention heads of a decoder block, without --preset.", at_least=1
    )
    hidden_dim: int = setting(128, "Width, without --preset.", at_least=1)
    intermediate_dim: int = setting(
        512, "Width of a block's feed-forward layers, without --preset.", at_least=1
    )
    vocabulary_size: int = setting(
        8192,
        "Size of the byte-level BPE trained on the training split, without --preset "
        "and --tokenizer.",
        at_least=MIN_VOCABULARY_SIZE,
    )
    max_positions: int = setting(
        512,
        "Length of a decoder's position table, without --preset.",
        at_least=3,
    )
    tokenizer: str = setting(
        "",
        "Folder with vocab.json and merges.txt, without --preset; empty: a byte-level "
        "BPE is trained on the training split alone.",
        is_path=True,
    )
    dropout: float = setting(
        0.1, "Dropout rate of backbone and head.", at_least=0, below=1
    )
    sequence_length: int = setting(
        0,
        "Tokens of a review that are read, start and end token included, and length "
        "of a packed row; 0: 512 or the backbone's positions, whichever is less.",
        at_least=0,
    )
    lowercase: bool = setting(False, "Lowercase the text. Off for pretrained GPT-2.")

    def __post_init__(self):
        super().__post_init__()
        if self.sequence_length in (1, 2):
            raise InputError(
                "--sequence_length must be at least 3 (start token, one token, end "
                f"token). Received: {self.sequence_length}."
            )
        if self.preset or self.architecture != "gpt2":
            return
        if self.hidden_dim % self.num_heads:
            raise InputError(
                "--hidden_dim must be a multiple of --num_heads. Received: "
                f"hidden_dim={self.hidden_dim}, num_heads={self.num_heads}."
            )
        if self.sequence_length > self.max_positions:
            raise InputError(
                f"--sequence_length={self.sequence_length} is beyond the "
                f"{self.max_positions} positions of --max_positions, which would give "
                "NaN."
            )


@dataclass(frozen=True)
class ModelConfig(BackboneConfig):
    """A classifier: backbone, tokenizer and pooling."""

    pooling: str = setting(
        "last",
        "How hidden states become one vector; concat is last, mean and max.",
        choices=POOLING_NAMES,
    )
    truncation: str = setting(
        "head", "What is kept of a longer review.", choices=TRUNCATIONS
    )


@dataclass(frozen=True)
class OptimizationConfig(CheckedConfig):
    """Optimizer, schedule, precision and devices."""

    batch_size: int = setting(
        16, "Rows in a micro-batch; a packed row holds several reviews.", at_least=1
    )
    epochs: int = setting(3, "Passes over the training data at most.", at_least=1)
    optimizer: str = setting("adamw", "Update rule, from optax.", choices=OPTIMIZERS)
    learning_rate: float = setting(
        2e-5, "Peak learning rate, after the warm-up.", above=0
    )
    warmup_ratio: float = setting(
        0.1, "Share of the updates in which the rate rises.", at_least=0, at_most=1
    )
    weight_decay: float = setting(
        0.01, "Decoupled decay of kernels; never biases, norms, embeddings.", at_least=0
    )
    layerwise_lr_decay: float = setting(
        1.0,
        "Factor on the learning rate per layer below the head (ULMFiT, ELECTRA).",
        above=0,
        at_most=1,
    )
    clip_norm: float = setting(
        1.0, "Global norm that gradients are clipped to; 0: no clipping.", at_least=0
    )
    gradient_accumulation_steps: int = setting(
        1, "Micro-batches in one optimizer update.", at_least=1
    )
    dtype: str = setting("float32", "Precision of the backbone.", choices=DTYPES)
    num_devices: int = setting(
        0, "Local devices that share each batch; 0: all there are.", at_least=0
    )


@dataclass(frozen=True)
class TrainingConfig(OptimizationConfig):
    """How a classifier is trained: optimisation, loss, stopping, packing."""

    lm_loss_weight: float = setting(
        0.0,
        "Weight of a language model's loss on the same reviews, beside the "
        "classifier's (GPT-1 took 0.5).",
        at_least=0,
    )
    unfreeze_epochs: float = setting(
        0.0,
        "Epochs after which the next layer below learns, too: first the head alone, "
        "then block by block (ULMFiT took 1). 0: all from the start.",
        at_least=0,
    )
    label_smoothing: float = setting(
        0.0, "Share of the uniform distribution in the target.", at_least=0, below=1
    )
    class_weight: tuple[str, ...] = setting(
        ("none",),
        "Loss weight of each class: none, balanced (inverse frequency), or a "
        "comma-separated list of numbers, class 0 first.",
    )
    early_stopping_patience: int = setting(
        2,
        "Epochs without a better validation score before stopping. The best "
        "epoch's weights are restored in any case.",
        at_least=1,
    )
    monitor: str = setting(
        "accuracy", "Validation score that picks the best epoch.", choices=MONITORS
    )
    packing: bool = setting(True, "Let several reviews share a row.")
    row_length: int = setting(
        0,
        "Tokens in a packed row, at least those of the longest review read; 0: the "
        "length that costs the least time.",
        at_least=0,
    )

    def __post_init__(self):
        super().__post_init__()
        if self.class_weight not in (("none",), ("balanced",)):
            self.class_weight_values()

    def class_weight_values(self) -> tuple[float, ...]:
        """The weights of an explicit list.

        Raises:
            InputError: it is not a list of numbers above 0.
        """
        try:
            weights = tuple(float(weight) for weight in self.class_weight)
        except ValueError:
            weights = ()
        if not weights or not all(0 < weight < float("inf") for weight in weights):
            raise InputError(
                "--class_weight must be none, balanced or a comma-separated list of "
                f"numbers above 0. Received: {','.join(self.class_weight)}."
            )
        return weights


@dataclass(frozen=True)
class PretrainingConfig(OptimizationConfig):
    """How a language model is trained."""

    epochs: int = setting(1, "Passes over the documents.", at_least=1)
    learning_rate: float = setting(
        1e-3, "Peak learning rate, after the warm-up.", above=0
    )
    warmup_ratio: float = setting(
        0.01, "Share of the updates in which the rate rises.", at_least=0, at_most=1
    )
    checkpoint_every: int = setting(
        500,
        "Updates between two checkpoints; each also measures perplexity. An "
        "interrupted run goes on from the last one.",
        at_least=1,
    )


@dataclass(frozen=True)
class SpeedConfig(CheckedConfig):
    """Fast paths, which change no prediction, and caches.

    In training they draw other dropout masks, all but `remat` and `keep_memory`.
    """

    chunked_attention: bool = setting(
        True,
        "Attend by chunks of queries, each to the keys up to its end. Off: over "
        "the full square of a row.",
    )
    hash_dropout: bool = setting(
        True, "Draw dropout masks from an integer hash. Off: from JAX's threefry."
    )
    skip_unread: bool = setting(
        True,
        "With --pooling=last, compute the last block at last tokens alone. Off: at "
        "every token.",
    )
    remat: bool = setting(
        False,
        "Recompute each block in the backward pass instead of keeping its values: "
        "less memory, a quarter more time.",
    )
    keep_memory: bool = setting(
        True,
        "Keep freed memory for the next step, on a CPU. Off: hand it back to the "
        "operating system, to be asked for and cleared again each step. That all "
        "threads share one arena, which this needs, MALLOC_ARENA_MAX alone undoes.",
    )
    cache_dir: str = setting(
        DEFAULT_CACHE_DIR,
        "Folder for compiled programs and token ids, which the next run reuses; empty: "
        "nothing is kept.",
        is_path=True,
    )

    def __post_init__(self):
        super().__post_init__()
        if self.remat and not self.hash_dropout:
            raise InputError(
                "--remat needs --hash_dropout: JAX's generator would be drawn twice."
            )


@dataclass(frozen=True)
class RunConfig(CheckedConfig):
    """Everything that determines a training run.

    Attributes:
        data: where reviews come from.
        model: what is trained.
        training: how.
        speed: fast paths and caches.
        unlabelled: further texts, without labels.
        seed: the one source of randomness.
    """

    data: DataConfig
    model: ModelConfig
    training: TrainingConfig
    speed: SpeedConfig = dataclasses.field(default_factory=SpeedConfig)
    unlabelled: UnlabelledConfig = dataclasses.field(default_factory=UnlabelledConfig)
    seed: int = setting(
        0, "The one source of randomness.", at_least=0, at_most=MAX_SEED
    )

    def __post_init__(self):
        super().__post_init__()
        split, path = self.unlabelled.unlabelled_split, self.unlabelled.unlabelled_file
        if (self.unlabelled.teacher != "none") != bool(split or path):
            raise InputError(
                "--teacher goes with --unlabelled_split or --unlabelled_file. "
                f"Received: teacher={self.unlabelled.teacher!r}, "
                f"unlabelled_split={split!r}, unlabelled_file={path!r}."
            )
        if split and self.data.dataset in ("", BUNDLED_DATASET):
            raise InputError(
                f"--unlabelled_split={split} is a split of a TFDS --dataset. Received: "
                f"dataset={self.data.dataset!r}. Give --unlabelled_file."
            )

    def to_flagfile(self) -> str:
        """The settings as a flagfile, one `--name=value` a line.

        Paths are absolute, so that the file works from any folder.
        """
        return self._flagfile(
            self.data, self.model, self.training, self.speed, self.unlabelled
        )

    def to_data_flagfile(self) -> str:
        """The data settings and the seed alone, as scripts/evaluate.py reads them."""
        return self._flagfile(self.data)

    def _flagfile(self, *groups: CheckedConfig) -> str:
        return _flagfile(*groups) + f"--seed={self.seed}\n"


@dataclass(frozen=True)
class PretrainRunConfig(CheckedConfig):
    """Everything that determines a pre-training run.

    Attributes:
        corpus: what is read.
        backbone: what is trained.
        training: how.
        speed: fast paths and caches.
        seed: the one source of randomness.
    """

    corpus: CorpusConfig
    backbone: BackboneConfig
    training: PretrainingConfig
    speed: SpeedConfig = dataclasses.field(default_factory=SpeedConfig)
    seed: int = setting(
        0, "The one source of randomness.", at_least=0, at_most=MAX_SEED
    )

    def to_flagfile(self) -> str:
        """The settings as a flagfile, see `RunConfig.to_flagfile`."""
        groups = (self.corpus, self.backbone, self.training, self.speed)
        return _flagfile(*groups) + f"--seed={self.seed}\n"


@dataclass(frozen=True)
class BaselineConfig(CheckedConfig):
    """A classical classifier."""

    method: str = setting(
        "nb_svm",
        "majority: the largest class; lexicon: rules over a list of words; tfidf_lr: "
        "TF-IDF and logistic regression; linear_svm: TF-IDF and a linear SVM; nb_svm: "
        "an SVM on n-grams weighted by naive Bayes.",
        choices=BASELINES,
    )
    max_ngram: int = setting(2, "Longest n-gram of words.", at_least=1, at_most=5)
    min_count: int = setting(
        2, "Training texts that an n-gram must occur in.", at_least=1
    )
    inverse_penalty: float = setting(
        1.0, "C of the regression or the SVM: greater fits the data closer.", above=0
    )


@dataclass(frozen=True)
class BaselineRunConfig(CheckedConfig):
    """Everything that determines a baseline.

    Attributes:
        data: where reviews come from.
        baseline: the method.
        seed: the one source of randomness.
    """

    data: DataConfig
    baseline: BaselineConfig
    seed: int = setting(
        0, "The one source of randomness.", at_least=0, at_most=MAX_SEED
    )

    def to_flagfile(self) -> str:
        """The settings as a flagfile, see `RunConfig.to_flagfile`."""
        return _flagfile(self.data, self.baseline) + f"--seed={self.seed}\n"


def _flagfile(*groups: CheckedConfig) -> str:
    lines = [
        f"--{field.name}={_flag_value(field, getattr(group, field.name))}\n"
        for group in groups
        for field in dataclasses.fields(group)
    ]
    return "".join(lines)


def _check_names(flag: str, names: tuple[str, ...]):
    stripped = [name.strip() for name in names]
    if not all(stripped) or len(set(stripped)) != len(stripped):
        raise InputError(
            f"--{flag} must be different names, none of them empty. "
            f"Received: {', '.join(map(repr, names))}."
        )


def _flag_value(field, value) -> str:
    """A setting as it is written on the command line."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, tuple):
        if field.metadata["is_path"]:
            value = tuple(map(_absolute, value))
        line = io.StringIO()  # A name may hold a comma or a quote.
        csv.writer(line, lineterminator="").writerow(value)
        return line.getvalue()
    return _absolute(value) if field.metadata["is_path"] else str(value)


def _absolute(path: str) -> str:
    """A place on disk from any folder; anything else as it is."""
    return os.path.abspath(path) if path and os.path.exists(path) else path


@dataclass(frozen=True)
class TrainCommand(CheckedConfig):
    """What scripts/train.py is asked for."""

    run: RunConfig
    workdir: str = setting("", "Folder for the results; made if missing.")
    overwrite: bool = setting(False, "Replace the results of a finished run.")

    def __post_init__(self):
        super().__post_init__()
        _require_workdir(self.workdir)


@dataclass(frozen=True)
class PretrainCommand(CheckedConfig):
    """What scripts/pretrain.py is asked for."""

    run: PretrainRunConfig
    workdir: str = setting(
        "", "Folder for checkpoints and results; made if missing. A run goes on there."
    )
    overwrite: bool = setting(
        False, "Start anew and replace what a run has left in --workdir."
    )
    sample: int = setting(
        0, "Print this many texts that the model makes up, when done.", at_least=0
    )

    def __post_init__(self):
        super().__post_init__()
        _require_workdir(self.workdir)


@dataclass(frozen=True)
class TwoStageCommand(CheckedConfig):
    """What scripts/two_stage.py is asked for.

    Attributes:
        pretrain: the first stage; its result is the preset of the second.
        train: the second stage.
    """

    pretrain: PretrainRunConfig
    train: RunConfig
    language_model: str = setting(
        "", "Flagfile of the first stage, as for scripts/pretrain.py.", is_path=True
    )
    classifier: str = setting(
        "",
        "Flagfile of the second stage, as for scripts/train.py, without --preset.",
        is_path=True,
    )
    tfds_data_dir: str = setting(
        "", "TFDS folder of both stages; empty: what their flagfiles say.", is_path=True
    )
    workdir: str = setting("", "Folder for the results; made if missing.")
    overwrite: bool = setting(False, "Replace the results of finished stages.")


def stage_folders(workdir: str | Path) -> dict[str, Path]:
    """The workdir of each stage of a two-stage run."""
    return {name: Path(workdir) / name for name in ("language_model", "classifier")}


@dataclass(frozen=True)
class BaselineCommand(CheckedConfig):
    """What scripts/baseline.py is asked for."""

    run: BaselineRunConfig
    workdir: str = setting("", "Folder for the results; made if missing.")
    overwrite: bool = setting(False, "Replace the results of a finished run.")

    def __post_init__(self):
        super().__post_init__()
        _require_workdir(self.workdir)


@dataclass(frozen=True)
class CompareCommand(CheckedConfig):
    """What scripts/compare.py is asked for.

    Attributes:
        runs: workdirs of runs with the same test data; the first is what the others
            are compared with.
    """

    runs: tuple[str, ...]
    output: str = setting("", "PNG file for a chart; empty: none.")
    overwrite: bool = setting(False, "Replace --output if it exists.")
    seed: int = setting(0, "Seed of the resamples.", at_least=0, at_most=MAX_SEED)

    def __post_init__(self):
        super().__post_init__()
        places = {os.path.realpath(run) for run in self.runs}
        if len(self.runs) < 2 or len(places) < len(self.runs):
            raise InputError(
                "Give the workdirs of at least two different runs. Received: "
                f"{' '.join(self.runs) or 'none'}."
            )


@dataclass(frozen=True)
class BundleCommand(CheckedConfig):
    """What scripts/bundle.py is asked for."""

    preset: str = setting("", "Preset folder that is to come with the package.")
    name: str = setting("", "What it is to be called.")

    def __post_init__(self):
        super().__post_init__()
        if not self.preset or not self.name.isidentifier():
            raise InputError(
                "Give --preset=FOLDER and --name=NAME, a name of letters, digits and "
                f"underscores. Received: preset={self.preset!r}, name={self.name!r}."
            )


@dataclass(frozen=True)
class EvaluateCommand(CheckedConfig):
    """What scripts/evaluate.py is asked for."""

    data: DataConfig
    speed: SpeedConfig = dataclasses.field(default_factory=SpeedConfig)
    model: str = setting(
        BUNDLED_CLASSIFIER,
        "A run's workdir, its model.keras, or a preset folder of a classifier; or the "
        "name of one that comes with this package.",
    )
    split: str = setting(
        "test", "Which split to score.", choices=("train", "validation", "test")
    )
    seed: int = setting(
        0,
        "Seed of the training run, for what it carved.",
        at_least=0,
        at_most=MAX_SEED,
    )
    batch_size: int = setting(
        0, "Rows computed at once; 0: as many as are fast.", at_least=0
    )
    output: str = setting("", "JSON file for the scores; empty: they are printed only.")
    overwrite: bool = setting(False, "Replace --output if it exists.")

    def __post_init__(self):
        super().__post_init__()
        _require_model(self.model)


@dataclass(frozen=True)
class PredictCommand(CheckedConfig):
    """What scripts/predict.py is asked for."""

    speed: SpeedConfig = dataclasses.field(default_factory=SpeedConfig)
    model: str = setting(
        BUNDLED_CLASSIFIER,
        "A run's workdir, its model.keras, or a preset folder of a classifier; or the "
        "name of one that comes with this package.",
    )
    text: tuple[str, ...] = setting(
        (), "A text to classify; may be given several times.", repeated=True
    )
    input: str = setting("", "File of texts: CSV, TSV, JSONL or Parquet.")
    text_column: str = setting("text", "Column of the text in --input.")
    output: str = setting("", "File for --input's rows with their predictions.")
    overwrite: bool = setting(False, "Replace --output if it exists.")
    skip_bad_rows: bool = setting(
        False, "Leave unusable rows of --input out and count them."
    )
    batch_size: int = setting(
        0, "Rows computed at once; 0: as many as are fast.", at_least=0
    )

    def __post_init__(self):
        super().__post_init__()
        _require_model(self.model)
        if bool(self.text) == bool(self.input):
            raise InputError("Give either --text or --input.")
        if bool(self.input) != bool(self.output):
            raise InputError("--input and --output go together.")


def _require_workdir(workdir: str):
    if not workdir:
        raise InputError("Say where the results go: --workdir=FOLDER.")


def _require_model(model: str):
    if not model:
        raise InputError("Say which model: --model=WORKDIR or --model=model.keras.")
