"""The models that are measured: their sizes, their tokens, what they run on."""

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from sentiment.config import BackboneConfig
from sentiment.data.vocabulary import read_vocabulary
from sentiment.models.backbones import KINDS
from sentiment.models.backbones.kind import BackboneKind
from sentiment.models.fast_tokenizer import DEFINITION_FILE, FastTokenizer
from sentiment.models.gpt2_tokenizer import ByteLevelGPT2Tokenizer
from sentiment.models.presets import preprocessor_class


@dataclass(frozen=True)
class Model:
    """One that both sides build with random weights.

    Attributes:
        kind: key of `KINDS`.
        sizes: the real one, and one for trying the benchmark out.
        tasks: keys of `TASKS` that are measured by default.
        read_tokenizer: from a folder.
    """

    kind: str
    sizes: dict[str, BackboneConfig]
    tasks: tuple[str, ...]
    read_tokenizer: Callable

    @property
    def about(self) -> BackboneKind:
        """The record of its kind."""
        return KINDS[self.kind]

    def backbone(self, size: str, vocabulary_size: int, dropout: float, dtype: str):
        """Ours, which is KerasHub's."""
        config = dataclasses.replace(self.sizes[size], dropout=dropout)
        return self.about.fresh(config, vocabulary_size, dtype)

    def preprocessor(self, folder: str, sequence_length: int):
        """What makes tokens of texts."""
        tokenizer = self.read_tokenizer(folder)
        return preprocessor_class(tokenizer)(tokenizer, sequence_length)


def _gpt2_tokenizer(folder: str) -> ByteLevelGPT2Tokenizer:
    return ByteLevelGPT2Tokenizer(*read_vocabulary(folder))


def _fast_tokenizer(folder: str) -> FastTokenizer:
    return FastTokenizer((Path(folder) / DEFINITION_FILE).read_text(encoding="utf-8"))


MODELS = {
    "gpt2": Model(
        "gpt2",
        {
            "small": BackboneConfig(
                num_layers=12,
                num_heads=12,
                hidden_dim=768,
                intermediate_dim=3072,
                max_positions=1024,
            ),
            "tiny": BackboneConfig(
                num_layers=2,
                num_heads=2,
                hidden_dim=32,
                intermediate_dim=128,
                max_positions=1024,
            ),
        },
        ("imdb512", "imdb1024", "sst2"),
        _gpt2_tokenizer,
    ),
    # all-MiniLM-L6-v2's shape.
    "minilm": Model(
        "bert",
        {
            "small": BackboneConfig(
                architecture="bert",
                num_layers=6,
                num_heads=12,
                hidden_dim=384,
                intermediate_dim=1536,
                max_positions=512,
            ),
            "tiny": BackboneConfig(
                architecture="bert",
                num_layers=2,
                num_heads=2,
                hidden_dim=32,
                intermediate_dim=128,
                max_positions=512,
            ),
        },
        ("imdb256", "sst2"),
        _fast_tokenizer,
    ),
}
