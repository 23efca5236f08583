"""A source of texts for a table that is gathered from several."""

from dataclasses import dataclass

from sentiment.config.data import BUNDLED_DATASETS
from sentiment.config.settings import COUNT, setting
from sentiment.config.tables import TableConfig, check_names
from sentiment.errors import InputError

UNITS = ("text", "sentence")


@dataclass(frozen=True)
class GatheredSource(TableConfig):
    """What the flagfile of a source says: which texts are gathered, and how."""

    dataset: str = setting(
        "",
        "TFDS name, or one that comes with this package: "
        f"{', '.join(BUNDLED_DATASETS)}.",
    )
    tfds_data_dir: str = setting(
        "",
        "TFDS folder; empty: TFDS's own default, ~/tensorflow_datasets.",
        is_path=True,
    )
    splits: tuple[str, ...] = setting(
        ("train",),
        "Comma-separated splits of --dataset by their own names, or parts of them as "
        "train[:10%].",
    )
    files: tuple[str, ...] = setting(
        (),
        "Comma-separated own files, instead of --dataset: tables, or .txt with one "
        "text a line.",
        is_path=True,
    )
    label_column: str = setting(
        "",
        "Column of the label; empty: 'label', or the only class label of a TFDS set.",
    )
    label_names: tuple[str, ...] = setting(
        (),
        "Comma-separated class names, class 0 first; empty: those of the data set, or "
        "those that occur in the file.",
    )
    label_map: tuple[str, ...] = setting(
        (),
        "What the labels of own files mean, as 1-2:negative,3:neutral,4-5:positive.",
    )
    labelled: bool = setting(
        True,
        "Keep the labels. Rows of a --dataset that have none are left out; those of "
        "--files are bad rows.",
    )
    unit: str = setting(
        "text",
        "What becomes a row: a whole text, or each of its sentences. The label of a "
        "text is none of its sentences', so that goes with --nolabelled.",
        choices=UNITS,
    )
    min_words: int = setting(
        0,
        "Leave out what has fewer words; each Chinese or Japanese letter is one.",
        at_least=0,
        at_most=COUNT,
    )
    max_words: int = setting(
        0, "Leave out what has more words; 0: no limit.", at_least=0, at_most=COUNT
    )
    max_rows: int = setting(
        0,
        "Gather at most this many rows, drawn by seed; 0: all.",
        at_least=0,
        at_most=COUNT,
    )

    def __post_init__(self):
        super().__post_init__()
        if bool(self.dataset) == bool(self.files):
            raise InputError(
                "A source is either a --dataset or --files. Received: "
                f"dataset={self.dataset!r}, files={','.join(self.files)!r}."
            )
        if self.files and self.splits != ("train",):
            raise InputError(
                "--splits are of a --dataset; --files have none. Received: "
                f"{','.join(self.splits)}."
            )
        check_names("splits", self.splits)
        check_names("files", self.files)
        check_names("label_names", self.label_names)
        about_labels = [
            name
            for name in ("label_column", "label_names", "label_map")
            if getattr(self, name)
        ]
        if self.dataset in BUNDLED_DATASETS and about_labels:
            raise InputError(
                f"--dataset={self.dataset} has columns and classes of its own. Leave "
                f"out --{', --'.join(about_labels)}."
            )
        if not self.files and self.label_map:
            raise InputError(
                "--label_map is for --files; a --dataset takes other names of its "
                f"classes as --label_names. Received: dataset={self.dataset!r}."
            )
        if not self.labelled and about_labels:
            raise InputError(
                f"--{', --'.join(about_labels)} would do nothing beside --nolabelled."
            )
        if self.labelled and self.unit != "text":
            raise InputError(
                "The label of a text is none of its sentences': --unit=sentence goes "
                "with --nolabelled."
            )
        if self.max_words and self.max_words < self.min_words:
            raise InputError(
                f"--max_words must be at least --min_words. Received: {self.max_words} "
                f"and {self.min_words}."
            )
