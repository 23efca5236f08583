"""What the tests of the settings share: the least settings of a run."""

from sentiment.config import (
    DataConfig,
    ModelConfig,
    RunConfig,
    TrainingConfig,
)

DATA = DataConfig(train_file="a.csv")
RUN = RunConfig(DATA, ModelConfig(), TrainingConfig())
