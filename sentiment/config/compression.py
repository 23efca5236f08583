"""How a trained model is made smaller."""

from dataclasses import dataclass

from sentiment.config.data import UnlabelledTextsConfig
from sentiment.config.settings import COUNT, setting
from sentiment.errors import InputError

COMPRESSIONS = ("int8", "int4", "distill", "vocab")


@dataclass(frozen=True)
class CompressionConfig(UnlabelledTextsConfig):
    """Which model is made smaller, and how."""

    model: str = setting(
        "",
        "A run's workdir, its model.keras or adapter.safetensors, a preset folder of a "
        "classifier, or the name of one that comes with this package; for distill a "
        "workdir, folder or name.",
        is_path=True,
    )
    method: str = setting(
        "int8",
        "int8, int4: weights as integers instead of float32; distill: a model of fewer "
        "layers, taught by this one; vocab: without the tokens that never occur in the "
        "training data.",
        choices=COMPRESSIONS,
    )
    keep_layers: int = setting(
        0,
        "Layers that distill keeps, evenly spaced; 0: half of them.",
        at_least=0,
        at_most=1000,
    )
    teacher_weight: float = setting(
        0.5,
        "Share of the model's probabilities in the labels that distill learns from; "
        "the rest is the true label.",
        at_least=0,
        at_most=1,
    )
    dropout: float = setting(0.1, "Dropout rate in distill.", at_least=0, below=1)
    min_token_count: int = setting(
        1,
        "How often a token must occur for vocab to keep it.",
        at_least=1,
        at_most=COUNT,
    )

    def __post_init__(self):
        super().__post_init__()
        if not self.model:
            raise InputError("Say which model: --model=WORKDIR or --model=model.keras.")
