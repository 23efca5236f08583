"""What language models over packed rows have in common."""

import json
from pathlib import Path

import keras

from sentiment.config import SpeedConfig
from sentiment.models.backbones import kind_of
from sentiment.models.packed_training import (
    packed_train_step,
    update_packed_metrics,
)

CLEANING_FILE = "cleaning.json"


class PackedLanguageModel(keras.Model):
    """Base of models that predict tokens of several documents per row.

    Its targets are tokens, see `packed_training`: the logged loss is in nats per
    token, and its exponential the perplexity. A subclass makes the functional model
    and sets `backbone` and `packed_layers`.
    """

    gradient_accumulation_steps = 1

    def compile(self, *args, gradient_accumulation_steps=1, **kwargs):
        """As `keras.Model.compile`.

        Args:
            *args: see `keras.Model.compile`.
            gradient_accumulation_steps: int, micro-batches in one update, see
                `packed_training`.
            **kwargs: see `keras.Model.compile`.
        """
        self.gradient_accumulation_steps = gradient_accumulation_steps
        super().compile(*args, **kwargs)

    @property
    def speed(self) -> SpeedConfig:
        """The fast paths in use."""
        return self.packed_layers.speed

    @speed.setter
    def speed(self, value: SpeedConfig):
        self.packed_layers.speed = value
        # What was compiled took the old paths.
        self.train_function = self.test_function = None

    def train_step(self, state, data):
        """One optimizer update."""
        return packed_train_step(self, state, data)

    def _update_metrics_variables(self, *arguments):
        return update_packed_metrics(self, *arguments)


def save_language_model(backbone, tokenizer, folder, lowercase=False):
    """Saves a preset of a language model.

    `sentiment train --preset=folder` fine-tunes it. Of GPT-2's,
    `keras_hub.models.GPT2CausalLM.from_preset(folder)` generates without this package.

    Args:
        backbone: of a causal kind.
        tokenizer: its `ByteLevelGPT2Tokenizer`; beside a GPT-2 backbone it is saved
            as KerasHub's own class.
        folder: path; made if missing.
        lowercase: whether its texts were lowercased; kept in `cleaning.json`, for
            fine-tuning must read texts in the same way.
    """
    kind_of(backbone).save_language_model(backbone, tokenizer, str(folder))
    cleaning = json.dumps({"lowercase": lowercase}) + "\n"
    (Path(folder) / CLEANING_FILE).write_text(cleaning)
