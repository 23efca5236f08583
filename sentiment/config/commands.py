"""The settings of each command."""

import dataclasses
import os
from collections.abc import Mapping
from dataclasses import dataclass

from sentiment.config.data import DataConfig
from sentiment.config.gathering import GatheredSource
from sentiment.config.runs import (
    BaselineRunConfig,
    CompressRunConfig,
    PretrainRunConfig,
    RunConfig,
    SeededRun,
)
from sentiment.config.settings import MAX_SEED, CheckedConfig, setting
from sentiment.config.space import Dimension, default_space, parse_space
from sentiment.config.tables import TableConfig, check_names
from sentiment.config.training import SpeedConfig
from sentiment.errors import InputError

POLARITIES = ("negative", "neutral", "positive")
BUNDLED_CLASSIFIER = "imdb_mini_sentiment"


@dataclass(frozen=True)
class RunCommand(CheckedConfig):
    """Base of the commands that leave a folder of results.

    Attributes:
        run: what determines them.
    """

    run: SeededRun
    workdir: str = setting("", "Folder for the results; made if missing.")
    overwrite: bool = setting(False, "Replace the results of a finished run.")

    def __post_init__(self):
        super().__post_init__()
        if not self.workdir:
            raise InputError("Say where the results go: --workdir=FOLDER.")


@dataclass(frozen=True)
class TrainCommand(RunCommand):
    """The settings of `sentiment train`."""

    run: RunConfig


@dataclass(frozen=True)
class TuneCommand(RunCommand):
    """The settings of `sentiment tune`; `run` is what its trials start from."""

    run: RunConfig
    workdir: str = setting(
        "",
        "Folder of the study; made if missing. The same command continues a study "
        "there, and several processes may do so at once.",
    )
    overwrite: bool = setting(False, "Start again and replace the study in --workdir.")
    trials: int = setting(
        20, "How many trials to run in all.", at_least=1, at_most=100_000
    )
    space: tuple[str, ...] = setting(
        (),
        "A setting to vary and its values: --space=learning_rate=1e-5:1e-3:log, "
        "--space=epochs=1:3 or --space=pooling=last|mean. May be given several times. "
        "Not given: the learning rate (up to ten times more or less), dropout and "
        "weight decay vary.",
        repeated=True,
    )

    def __post_init__(self):
        super().__post_init__()
        _ = self.dimensions  # Raises now what it would later.

    @property
    def dimensions(self) -> tuple[Dimension, ...]:
        """What is varied."""
        return parse_space(self.space or default_space(self.run), self.run)


@dataclass(frozen=True)
class PretrainCommand(RunCommand):
    """The settings of `sentiment pretrain`."""

    run: PretrainRunConfig
    workdir: str = setting(
        "",
        "Folder for checkpoints and results; made if missing. The same command "
        "continues an interrupted run there.",
    )
    overwrite: bool = setting(False, "Start again and replace the run in --workdir.")
    sample: int = setting(
        0,
        "When done, print this many texts written by the model.",
        at_least=0,
        at_most=10_000,
    )


@dataclass(frozen=True)
class TwoStageCommand(CheckedConfig):
    """The settings of `sentiment two_stage`.

    Attributes:
        pretrain: the first stage; its result is the preset of the second.
        train: the second stage.
    """

    pretrain: PretrainRunConfig
    train: RunConfig
    language_model: str = setting(
        "", "Flagfile of the first stage, as for `sentiment pretrain`.", is_path=True
    )
    classifier: str = setting(
        "",
        "Flagfile of the second stage, as for `sentiment train`, but without --preset.",
        is_path=True,
    )
    tfds_data_dir: str = setting(
        "", "TFDS folder of both stages; empty: those of their flagfiles.", is_path=True
    )
    workdir: str = setting("", "Folder for the results; made if missing.")
    overwrite: bool = setting(False, "Replace the results of finished stages.")


@dataclass(frozen=True)
class BaselineCommand(RunCommand):
    """The settings of `sentiment baseline`."""

    run: BaselineRunConfig


@dataclass(frozen=True)
class CompressCommand(RunCommand):
    """The settings of `sentiment compress`."""

    run: CompressRunConfig


@dataclass(frozen=True)
class CompareCommand(CheckedConfig):
    """The settings of `sentiment compare`.

    Example: `sentiment compare runs/nb_svm runs/imdb`.
    """

    runs: tuple[str, ...] = setting(
        (),
        "Workdirs of runs with the same test data; the first is what the others are "
        "compared with.",
        positional=True,
    )
    output: str = setting("", "PNG file for a chart; empty: none.")
    overwrite: bool = setting(False, "Replace --output if it exists.")
    seed: int = setting(0, "Seed of the resamples.", at_least=0, at_most=MAX_SEED)

    def __post_init__(self):
        super().__post_init__()
        if self.output and not self.output.lower().endswith(".png"):
            raise InputError(
                f"--output is a PNG file and must end in .png. Received: {self.output}."
            )
        try:
            places = {os.path.realpath(run) for run in self.runs}
        except OSError as error:  # such as a working folder that has been deleted
            raise InputError(f"The runs cannot be found: {error}.") from error
        if len(self.runs) < 2 or len(places) < len(self.runs):
            raise InputError(
                "Give the workdirs of at least two different runs. Received: "
                f"{' '.join(self.runs) or 'none'}."
            )


@dataclass(frozen=True)
class GatherCommand(CheckedConfig):
    """The settings of `sentiment gather`.

    Attributes:
        gathered: the sources by name, as their flagfiles describe them.
        left_out: likewise, those whose texts must not be gathered.
    """

    gathered: Mapping[str, GatheredSource]
    left_out: Mapping[str, GatheredSource]
    sources: tuple[str, ...] = setting(
        (),
        "Comma-separated flagfiles, one for each source, see docs/data.md. A text that "
        "several have is taken from the first.",
        is_path=True,
    )
    exclude: tuple[str, ...] = setting(
        (),
        "Comma-separated flagfiles of sources whose texts are left out, such as test "
        "data.",
        is_path=True,
    )
    tfds_data_dir: str = setting(
        "", "TFDS folder of all sources; empty: those of their flagfiles.", is_path=True
    )
    seed: int = setting(
        0, "Seed of what --max_rows draws.", at_least=0, at_most=MAX_SEED
    )
    output: str = setting("", "File for the table: .csv, .tsv, .jsonl or .parquet.")
    overwrite: bool = setting(False, "Replace --output if it exists.")

    def __post_init__(self):
        super().__post_init__()
        if not self.sources or not self.output:
            raise InputError(
                "Give --sources=FLAGFILE,FLAGFILE and --output=TABLE. Received: "
                f"sources={','.join(self.sources)!r}, output={self.output!r}."
            )


@dataclass(frozen=True)
class BundleCommand(CheckedConfig):
    """The settings of `sentiment bundle`."""

    preset: str = setting("", "Preset folder to put into the package.")
    name: str = setting("", "Name of the preset in the package.")

    def __post_init__(self):
        super().__post_init__()
        if not self.preset or not self.name.isidentifier():
            raise InputError(
                "Give --preset=FOLDER and --name=NAME, a name of letters, digits and "
                f"underscores. Received: preset={self.preset!r}, name={self.name!r}."
            )


@dataclass(frozen=True)
class DoctorCommand(CheckedConfig):
    """The settings of `sentiment doctor`."""

    dataset: str = setting("imdb_reviews", "TFDS name of a data set to look for.")
    tfds_data_dir: str = setting("", "TFDS folder to look in.", is_path=True)
    workdir: str = setting("", "Folder that must be writable; empty: this one.")


@dataclass(frozen=True)
class ConfigsCommand(CheckedConfig):
    """The settings of `sentiment configs`."""

    copy: str = setting("", "Name of the flagfile to copy; empty: all are listed.")
    output: str = setting("", "File for the copy; empty: NAME.cfg in this folder.")

    def __post_init__(self):
        super().__post_init__()
        if self.output and not self.copy:
            raise InputError(
                f"--output is for a copy: give --copy=NAME. Received: {self.output!r}."
            )


@dataclass(frozen=True)
class CompletionCommand(CheckedConfig):
    """What `sentiment completion` is asked for."""

    shell: str = setting("bash", "Which shell.", choices=("bash", "zsh"))


@dataclass(frozen=True, kw_only=True)
class ModelCommand(CheckedConfig):
    """Base of the commands that load a classifier."""

    model: tuple[str, ...] = setting(
        (BUNDLED_CLASSIFIER,),
        "A run's workdir, its model.keras or adapter.safetensors, or a preset folder "
        "of a classifier; or the name of one that comes with this package. Several, "
        "comma-separated, answer as one: the mean of their probabilities.",
    )
    batch_size: int = setting(
        0, "Rows computed at once; 0: chosen for speed.", at_least=0, at_most=65_536
    )

    def __post_init__(self):
        super().__post_init__()
        if not self.model or not all(self.model):
            raise InputError("Say which model: --model=WORKDIR or --model=model.keras.")
        check_names("model", self.model)


@dataclass(frozen=True)
class EvaluateCommand(ModelCommand):
    """The settings of `sentiment evaluate`."""

    data: DataConfig
    speed: SpeedConfig = dataclasses.field(default_factory=SpeedConfig)
    split: str = setting(
        "test", "Which split to score.", choices=("train", "validation", "test")
    )
    seed: int = setting(
        0,
        "Seed of the training run, which decided what was held out for validation.",
        at_least=0,
        at_most=MAX_SEED,
    )
    data_classes_only: bool = setting(
        False,
        "Score among the classes that occur in the data alone, for a model that knows "
        "more: where reviews are negative or positive, the likelier of the two is the "
        "answer of one that also knows neutral.",
    )
    output: str = setting("", "JSON file for the scores; empty: they are only printed.")
    overwrite: bool = setting(False, "Replace --output if it exists.")


@dataclass(frozen=True)
class BehaveCommand(ModelCommand):
    """The settings of `sentiment behave`."""

    speed: SpeedConfig = dataclasses.field(default_factory=SpeedConfig)
    suite: str = setting(
        "",
        "JSON file of behaviours, see sentiment/behaviour/suite.py; empty: the English "
        "ones that come along.",
        is_path=True,
    )
    polarity: tuple[str, ...] = setting(
        (),
        "What the model's classes mean, in their order, where their names do not say "
        "it: negative, neutral or positive for each.",
    )
    failures: int = setting(
        3,
        "Cases that fail to be shown of each behaviour.",
        at_least=0,
        at_most=100_000,
    )
    cases: str = setting(
        "",
        "Table for the suite's texts, with a label where one answer is right, to be "
        "left out of training data or to be a part of it: .csv, .tsv, .jsonl or "
        ".parquet. No model is asked then.",
    )
    output: str = setting(
        "", "JSON file for the results; empty: they are only printed."
    )
    overwrite: bool = setting(False, "Replace --output if it exists.")

    def __post_init__(self):
        super().__post_init__()
        if self.cases and self.output:
            raise InputError(
                "--cases asks no model, so there is nothing for --output. Leave one of "
                "them out."
            )
        if not set(self.polarity) <= set(POLARITIES):
            raise InputError(
                f"--polarity must name one of {', '.join(POLARITIES)} for each class. "
                f"Received: {','.join(self.polarity)}."
            )


@dataclass(frozen=True)
class PredictCommand(TableConfig, ModelCommand):
    """The settings of `sentiment predict`."""

    speed: SpeedConfig = dataclasses.field(default_factory=SpeedConfig)
    text: tuple[str, ...] = setting(
        (), "A text to classify; may be given several times.", repeated=True
    )
    input: str = setting(
        "",
        "File of texts: a table in CSV, TSV, JSON or Parquet, a workbook, or .txt with "
        "one text a line; maybe compressed.",
    )
    text_column: str = setting("", "Column of the text in --input; empty: 'text'.")
    output: str = setting(
        "",
        "File for --input's rows with their predictions: .csv, .tsv, .jsonl or "
        ".parquet.",
    )
    overwrite: bool = setting(False, "Replace --output if it exists.")
    skip_bad_rows: bool = setting(
        False,
        "Give rows of --input that cannot be read a note instead of a label, instead "
        "of stopping.",
    )
    escape_formulas: bool = setting(
        False,
        "Put a ' before what a spreadsheet would run as a formula, in a CSV or TSV "
        "--output. Off: values pass unchanged.",
    )

    def __post_init__(self):
        super().__post_init__()
        if bool(self.text) == bool(self.input):
            raise InputError("Give either --text or --input.")
        usual = TableConfig().reading() | dict.fromkeys(
            ("overwrite", "escape_formulas"), False
        )
        stray = [name for name in usual if getattr(self, name) != usual[name]]
        if self.text and stray:
            raise InputError(
                f"A --text is no file: --{', --'.join(stray)} would do nothing. Leave "
                "out what is for --input."
            )
        if bool(self.input) != bool(self.output):
            raise InputError("--input and --output go together.")
