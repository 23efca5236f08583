"""Everything that determines a run, its groups of settings together."""

import dataclasses
from dataclasses import dataclass

from sentiment.config.data import (
    BUNDLED_DATASET,
    TEACHERS,
    CorpusConfig,
    DataConfig,
    UnlabelledConfig,
)
from sentiment.config.model import BackboneConfig, ModelConfig
from sentiment.config.settings import MAX_SEED, CheckedConfig, setting, to_flagfile
from sentiment.config.training import PretrainingConfig, SpeedConfig, TrainingConfig
from sentiment.errors import InputError

BASELINES = ("majority", "lexicon", *TEACHERS)


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
        unlabelled = self.unlabelled
        split = unlabelled.unlabelled_split
        if (unlabelled.teacher != "none") != unlabelled.has_texts:
            raise InputError(
                "--teacher goes with --unlabelled_split, --unlabelled_file or "
                f"--mixed_texts. Received: teacher={unlabelled.teacher!r}, "
                f"unlabelled_split={split!r}, "
                f"unlabelled_file={unlabelled.unlabelled_file!r}, "
                f"mixed_texts={unlabelled.mixed_texts}."
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
        return to_flagfile(*groups) + f"--seed={self.seed}\n"


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
        return to_flagfile(*groups) + f"--seed={self.seed}\n"


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
        return to_flagfile(self.data, self.baseline) + f"--seed={self.seed}\n"
