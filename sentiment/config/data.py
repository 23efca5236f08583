"""Where texts come from."""

from dataclasses import dataclass

from sentiment.config.baselines import TEACHERS
from sentiment.config.settings import COUNT, CheckedConfig, setting
from sentiment.config.tables import TableConfig, check_names
from sentiment.errors import InputError

BUNDLED_DATASETS = ("quickstart", "short_texts")
COLUMNS = "columns"  # a teacher whose probabilities stand in a table


@dataclass(frozen=True)
class DataConfig(TableConfig):
    """Where reviews come from."""

    dataset: str = setting(
        "",
        "TFDS name (imdb_reviews, glue/sst2, yelp_polarity_reviews, or any set with "
        "one text and one class label), or one that comes with this package: "
        f"{', '.join(BUNDLED_DATASETS)}.",
    )
    tfds_data_dir: str = setting(
        "",
        "TFDS folder; empty: TFDS's own default, ~/tensorflow_datasets.",
        is_path=True,
    )
    train_file: str = setting(
        "",
        "Own training data, instead of --dataset: a table in CSV, TSV, JSON, Parquet, "
        "a workbook or fastText's format, maybe compressed.",
        is_path=True,
    )
    validation_file: str = setting(
        "", "Own validation data; empty: a part of the training data.", is_path=True
    )
    test_file: str = setting("", "Own test data; empty: no test scores.", is_path=True)
    label_column: str = setting(
        "",
        "Column of the label; empty: 'label', or the only class label of a TFDS set.",
    )
    label_names: tuple[str, ...] = setting(
        (),
        "Comma-separated class names, class 0 first; empty: those of the data set, or "
        "those that occur in the training file.",
    )
    label_map: tuple[str, ...] = setting(
        (),
        "What the labels of own files mean, comma-separated: 1:negative,2:positive, or "
        "1-2:negative,3:neutral,4-5:positive for numbers from one to another. The "
        "classes are in the order in which they are named here.",
    )
    validation_fraction: float = setting(
        0.1,
        "Share of the training data held out for validation, of each class alike, "
        "where there is no validation data.",
        above=0,
        below=1,
    )
    max_train_examples: int = setting(
        0,
        "Train on at most this many examples, drawn by seed; 0: all.",
        at_least=0,
        at_most=COUNT,
    )
    max_test_examples: int = setting(
        0,
        "Test on at most this many examples, drawn by seed; 0: all.",
        at_least=0,
        at_most=COUNT,
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
        columns = [
            (given or ("" if self.dataset else default)).strip()
            for given, default in (
                (self.text_column, "text"),
                (self.label_column, "label"),
            )
        ]
        if columns[0] and columns[0] == columns[1]:
            raise InputError(
                "--text_column and --label_column must differ. Received: "
                f"{columns[0]!r} for both (empty means 'text' and 'label')."
            )
        check_names("label_names", self.label_names)
        mapped = {item.rpartition(":")[2].strip() for item in self.label_map}
        if self.label_names and (stray := mapped - set(self.label_names)):
            raise InputError(
                f"--label_map names {', '.join(sorted(map(repr, stray)))}, the "
                f"--label_names are {', '.join(map(repr, self.label_names))}."
            )
        if self.dataset and self.label_map:
            raise InputError(
                "--label_map is for own files; a --dataset names its classes itself. "
                f"Received: dataset={self.dataset!r}."
            )
        fixed = [
            name
            for name in ("text_column", "label_column", "label_names")
            if getattr(self, name)
        ]
        if self.dataset in BUNDLED_DATASETS and fixed:
            raise InputError(
                f"--dataset={self.dataset} has columns and classes of its own. "
                f"Leave out --{', --'.join(fixed)}."
            )


@dataclass(frozen=True)
class CorpusConfig(TableConfig):
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
        "Comma-separated splits of --dataset whose texts are left out, such as the "
        "test split; empty: none.",
    )
    text_files: tuple[str, ...] = setting(
        (),
        "Comma-separated own files: tables, or .txt with one document a line.",
        is_path=True,
    )
    exclude_files: tuple[str, ...] = setting(
        (), "Comma-separated files whose texts are left out.", is_path=True
    )
    validation_fraction: float = setting(
        0.01, "Share of the documents held out to measure perplexity.", above=0, below=1
    )
    max_documents: int = setting(
        0,
        "Use at most this many documents, drawn by seed; 0: all.",
        at_least=0,
        at_most=COUNT,
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
class UnlabelledTextsConfig(CheckedConfig):
    """Where texts without labels come from."""

    unlabelled_split: str = setting(
        "", "Split of --dataset to learn from without labels; any it has are not read."
    )
    unlabelled_file: tuple[str, ...] = setting(
        (),
        "Own texts to learn from without labels: a table, or .txt with one text a "
        "line; or several, comma-separated.",
        is_path=True,
    )

    def __post_init__(self):
        super().__post_init__()
        check_names("unlabelled_file", self.unlabelled_file)
        if self.unlabelled_split and self.unlabelled_file:
            raise InputError(
                "Give either --unlabelled_split or --unlabelled_file. Received: "
                f"{self.unlabelled_split!r} and {','.join(self.unlabelled_file)!r}."
            )


@dataclass(frozen=True)
class UnlabelledConfig(UnlabelledTextsConfig):
    """Texts without labels to learn from as well, and the teacher that labels them."""

    teacher: tuple[str, ...] = setting(
        (),
        "What gives each unlabelled text its class probabilities (Hinton et al. 2015): "
        f"{', '.join(TEACHERS)}, fitted to the training examples (see `sentiment "
        "baseline`); a trained model (see --model of `sentiment predict`); or "
        f"'{COLUMNS}': the probabilities that `sentiment predict` wrote into "
        "--unlabelled_file. Several teachers, comma-separated: their mean.",
        is_path=True,
    )
    teacher_weight: float = setting(
        0.0,
        "Share of a trained teacher's probabilities in the labels of the training "
        "examples (distillation).",
        at_least=0,
        at_most=1,
    )
    mixed_texts: int = setting(
        0,
        "Make up to this many texts out of phrases of the training texts, for "
        "--teacher to label. Where training texts are few, this passes on what the "
        "teacher knows of words and phrases.",
        at_least=0,
        at_most=100_000_000,
    )

    @property
    def trained_teachers(self) -> tuple[str, ...]:
        """Those of the teachers that are models of their own."""
        return tuple(n for n in self.teacher if n not in (COLUMNS, *TEACHERS))

    @property
    def classical_teachers(self) -> tuple[str, ...]:
        """Those of the teachers that are fitted to the training examples."""
        return tuple(name for name in self.teacher if name in TEACHERS)

    @property
    def reads_probabilities(self) -> bool:
        """Whether the own texts come with a teacher's probabilities."""
        return COLUMNS in self.teacher

    @property
    def has_texts(self) -> bool:
        """Whether there is anything to label."""
        return bool(self.unlabelled_split or self.unlabelled_file or self.mixed_texts)

    def __post_init__(self):
        super().__post_init__()
        if self.teacher == ("none",):  # as flagfiles had it once
            object.__setattr__(self, "teacher", ())
        check_names("teacher", self.teacher)
        received = f"Received: teacher={','.join(self.teacher)!r}"
        others = len(self.trained_teachers) < len(self.teacher)
        if self.teacher_weight and (others or not self.teacher):
            raise InputError(
                "--teacher_weight is for a trained model as --teacher, or several; any "
                "other is fitted to the labels themselves, or knows the unlabelled "
                f"texts alone. {received}."
            )
        if self.reads_probabilities and (not self.unlabelled_file or self.mixed_texts):
            raise InputError(
                f"--teacher={COLUMNS} knows the texts of --unlabelled_file and no "
                f"others. {received}, "
                f"unlabelled_file={','.join(self.unlabelled_file)!r}, "
                f"mixed_texts={self.mixed_texts}."
            )
