"""The typed settings of a run, each declared once.

A field's default, help text and allowed values stand together;
`sentiment/cli/flags.py` makes one command-line flag of each, and
`RunConfig.to_flagfile` writes them back as a flagfile. Values are checked on
construction, so a wrong one is reported before any work starts.
"""

from sentiment.config.baselines import (
    BASELINES,
    TEACHERS,
    BaselineConfig,
)
from sentiment.config.commands import (
    BUNDLED_CLASSIFIER,
    POLARITIES,
    BaselineCommand,
    BehaveCommand,
    BundleCommand,
    CompareCommand,
    CompletionCommand,
    CompressCommand,
    ConfigsCommand,
    DoctorCommand,
    EvaluateCommand,
    GatherCommand,
    PredictCommand,
    PretrainCommand,
    TrainCommand,
    TuneCommand,
    TwoStageCommand,
)
from sentiment.config.compression import COMPRESSIONS, CompressionConfig
from sentiment.config.data import (
    BUNDLED_DATASETS,
    COLUMNS,
    CorpusConfig,
    DataConfig,
    UnlabelledConfig,
    UnlabelledTextsConfig,
)
from sentiment.config.gathering import GatheredSource
from sentiment.config.model import (
    ARCHITECTURES,
    AUTO_POOLING,
    MIN_VOCABULARY_SIZE,
    POOLING_NAMES,
    TRUNCATIONS,
    BackboneConfig,
    ModelConfig,
)
from sentiment.config.monitors import MONITORS
from sentiment.config.runs import (
    BaselineRunConfig,
    CompressRunConfig,
    PretrainRunConfig,
    RunConfig,
)
from sentiment.config.settings import (
    MAX_SEED,
    CheckedConfig,
    setting,
)
from sentiment.config.space import (
    Dimension,
    default_space,
    parse_space,
    tunable_types,
)
from sentiment.config.tables import TableConfig
from sentiment.config.training import (
    ADVERSARIES,
    DEFAULT_CACHE_DIR,
    DTYPES,
    LORA_TARGETS,
    OPTIMIZERS,
    AdversarialConfig,
    OptimizationConfig,
    PretrainingConfig,
    SpeedConfig,
    TrainingConfig,
)

__all__ = [
    "ADVERSARIES",
    "ARCHITECTURES",
    "AUTO_POOLING",
    "BASELINES",
    "BUNDLED_CLASSIFIER",
    "BUNDLED_DATASETS",
    "COLUMNS",
    "COMPRESSIONS",
    "DEFAULT_CACHE_DIR",
    "DTYPES",
    "LORA_TARGETS",
    "MAX_SEED",
    "MIN_VOCABULARY_SIZE",
    "MONITORS",
    "OPTIMIZERS",
    "POLARITIES",
    "POOLING_NAMES",
    "TEACHERS",
    "TRUNCATIONS",
    "AdversarialConfig",
    "BackboneConfig",
    "BaselineCommand",
    "BaselineConfig",
    "BaselineRunConfig",
    "BehaveCommand",
    "BundleCommand",
    "CheckedConfig",
    "CompareCommand",
    "CompletionCommand",
    "CompressCommand",
    "CompressRunConfig",
    "CompressionConfig",
    "ConfigsCommand",
    "CorpusConfig",
    "DataConfig",
    "Dimension",
    "DoctorCommand",
    "EvaluateCommand",
    "GatherCommand",
    "GatheredSource",
    "ModelConfig",
    "OptimizationConfig",
    "PredictCommand",
    "PretrainCommand",
    "PretrainRunConfig",
    "PretrainingConfig",
    "RunConfig",
    "SpeedConfig",
    "TableConfig",
    "TrainCommand",
    "TrainingConfig",
    "TuneCommand",
    "TwoStageCommand",
    "UnlabelledConfig",
    "UnlabelledTextsConfig",
    "default_space",
    "parse_space",
    "setting",
    "tunable_types",
]
