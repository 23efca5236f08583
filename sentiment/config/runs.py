"""Everything that determines a run, its groups of settings together."""

import dataclasses
from dataclasses import dataclass
from typing import Any

from sentiment.config.baselines import BaselineConfig
from sentiment.config.compression import CompressionConfig
from sentiment.config.data import (
    BUNDLED_DATASETS,
    CorpusConfig,
    DataConfig,
    UnlabelledConfig,
    UnlabelledTextsConfig,
)
from sentiment.config.model import BackboneConfig, ModelConfig
from sentiment.config.settings import (
    MAX_SEED,
    CheckedConfig,
    changed_settings,
    setting,
    to_flagfile,
)
from sentiment.config.training import (
    AdversarialConfig,
    PretrainingConfig,
    SpeedConfig,
    TrainingConfig,
)
from sentiment.errors import InputError


@dataclass(frozen=True, kw_only=True)
class SeededRun(CheckedConfig):
    """Base of what determines a run.

    Attributes:
        seed: the one source of randomness.
    """

    seed: int = setting(
        0, "The one source of randomness.", at_least=0, at_most=MAX_SEED
    )

    @property
    def groups(self) -> tuple[CheckedConfig, ...]:
        """All groups of settings."""
        values = (getattr(self, field.name) for field in dataclasses.fields(self))
        return tuple(value for value in values if isinstance(value, CheckedConfig))

    def to_flagfile(self) -> str:
        """The settings as a flagfile, one `--name=value` a line.

        Paths are absolute, so that the file works from any folder.
        """
        return self._flagfile(*self.groups)

    def _flagfile(self, *groups: CheckedConfig) -> str:
        return to_flagfile(*groups) + f"--seed={self.seed}\n"


@dataclass(frozen=True)
class RunConfig(SeededRun):
    """Everything that determines a training run.

    Attributes:
        data: where reviews come from.
        model: what is trained.
        training: how.
        speed: fast paths and caches.
        unlabelled: texts without labels.
        adversarial: perturbations to withstand.
    """

    data: DataConfig
    model: ModelConfig
    training: TrainingConfig
    speed: SpeedConfig = dataclasses.field(default_factory=SpeedConfig)
    unlabelled: UnlabelledConfig = dataclasses.field(default_factory=UnlabelledConfig)
    adversarial: AdversarialConfig = dataclasses.field(
        default_factory=AdversarialConfig
    )

    def __post_init__(self):
        super().__post_init__()
        unlabelled = self.unlabelled
        split = unlabelled.unlabelled_split
        has_teacher = bool(unlabelled.teacher)
        has_reader = has_teacher or self.adversarial.adversarial == "vat"
        is_idle = not (unlabelled.has_texts or unlabelled.teacher_weight)
        if (has_teacher and is_idle) or (unlabelled.has_texts and not has_reader):
            raise InputError(
                "--teacher goes with --unlabelled_split, --unlabelled_file, "
                "--mixed_texts or --teacher_weight, and texts without labels with "
                "--teacher or --adversarial=vat. "
                f"Received: teacher={','.join(unlabelled.teacher)!r}, "
                f"adversarial={self.adversarial.adversarial!r}, "
                f"unlabelled_split={split!r}, "
                f"unlabelled_file={','.join(unlabelled.unlabelled_file)!r}, "
                f"mixed_texts={unlabelled.mixed_texts}."
            )
        _check_split(unlabelled, self.data)
        if self.training.lora_rank and not self.model.preset:
            raise InputError(
                "--lora_rank freezes the backbone, which must have learned before: "
                f"give --preset. Received: lora_rank={self.training.lora_rank}, no "
                "preset."
            )

    def replaced(self, **settings: Any) -> "RunConfig":
        """A copy with other values of some fields, whichever group holds them.

        Raises:
            InputError: a value is not allowed, or does not go with the others.
        """
        changed = {}
        for field in dataclasses.fields(self):
            group = getattr(self, field.name)
            if isinstance(group, CheckedConfig):
                names = {part.name for part in dataclasses.fields(group)}
                values = {name: settings.pop(name) for name in names & settings.keys()}
                changed[field.name] = dataclasses.replace(group, **values)
        return dataclasses.replace(self, **changed, **settings)

    def to_data_flagfile(self) -> str:
        """The data settings and the seed alone, as `sentiment evaluate` reads them."""
        return self._flagfile(self.data)


@dataclass(frozen=True)
class PretrainRunConfig(SeededRun):
    """Everything that determines a pre-training run.

    Attributes:
        corpus: what is read.
        backbone: what is trained.
        training: how.
        speed: fast paths and caches.
    """

    corpus: CorpusConfig
    backbone: BackboneConfig
    training: PretrainingConfig
    speed: SpeedConfig = dataclasses.field(default_factory=SpeedConfig)


@dataclass(frozen=True)
class CompressRunConfig(SeededRun):
    """Everything that determines a compression.

    Attributes:
        data: what it is measured on, and learns from.
        compression: the model and the method.
        training: how a student is trained.
        speed: fast paths and caches.
    """

    data: DataConfig
    compression: CompressionConfig
    training: TrainingConfig = dataclasses.field(default_factory=TrainingConfig)
    speed: SpeedConfig = dataclasses.field(default_factory=SpeedConfig)

    def __post_init__(self):
        super().__post_init__()
        method = self.compression.method
        defaults = CompressionConfig(model=self.compression.model)
        owners = dict.fromkeys(
            (
                "keep_layers",
                "teacher_weight",
                "dropout",
                "unlabelled_split",
                "unlabelled_file",
            ),
            "distill",
        )
        owners["min_token_count"] = "vocab"
        stray = [
            name
            for name, owner in owners.items()
            if owner != method
            and getattr(self.compression, name) != getattr(defaults, name)
        ]
        if method != "distill":
            stray += changed_settings(self.training)
        elif not (
            self.compression.teacher_weight
            or self.compression.unlabelled_split
            or self.compression.unlabelled_file
        ):
            raise InputError(
                "--method=distill learns from --teacher_weight, --unlabelled_split or "
                "--unlabelled_file. Received: teacher_weight=0.0 and no texts."
            )
        _check_split(self.compression, self.data)
        if stray:
            raise InputError(
                f"--method={method} makes no use of --{', --'.join(stray)}. Leave them "
                "out."
            )


@dataclass(frozen=True)
class BaselineRunConfig(SeededRun):
    """Everything that determines a baseline.

    Attributes:
        data: where reviews come from.
        baseline: the method.
    """

    data: DataConfig
    baseline: BaselineConfig


def _check_split(unlabelled: UnlabelledTextsConfig, data: DataConfig):
    split = unlabelled.unlabelled_split
    if split and data.dataset in ("", *BUNDLED_DATASETS):
        raise InputError(
            f"--unlabelled_split={split} is a split of a TFDS --dataset. Received: "
            f"dataset={data.dataset!r}. Give --unlabelled_file."
        )
