"""What is trained."""

from dataclasses import dataclass

from sentiment.config.settings import LENGTH, CheckedConfig, setting
from sentiment.errors import InputError

TRUNCATIONS = ("head", "tail", "head_tail")
AUTO_POOLING = "auto"
POOLING_NAMES = (
    "last",
    "cls",
    "mean",
    "max",
    "attention",
    "concat",
    "rnn",
    "gru",
    "lstm",
)
MIN_VOCABULARY_SIZE = 257  # the 256 bytes and the end-of-text token


@dataclass(frozen=True)
class Architecture:
    """What the settings must know of a value of `--architecture`.

    Attributes:
        kind: module of `sentiment.models.backbones` that holds the kind's record.
        has_heads: whether `--num_heads` share out `--hidden_dim`.
        has_positions: whether `--max_positions` limits the length of a text.
    """

    kind: str
    has_heads: bool = True
    has_positions: bool = True


_RECURRENT = Architecture("recurrent", has_heads=False, has_positions=False)
ARCHITECTURES = {
    "gpt2": Architecture("gpt2"),
    "bert": Architecture("bert"),
    "rnn": _RECURRENT,
    "gru": _RECURRENT,
    "lstm": _RECURRENT,
}


@dataclass(frozen=True)
class BackboneConfig(CheckedConfig):
    """Backbone and tokenizer."""

    preset: str = setting(
        "",
        "Pretrained backbone: a KerasHub preset (gpt2_base_en), kaggle:// or hf:// "
        "handle, a local folder in KerasHub's or Hugging Face's format, or a name of "
        "those that come with this package (imdb_mini). Empty: random weights of the "
        "sizes below.",
        is_path=True,
    )
    keep_layers: int = setting(
        0,
        "Start with this many of the preset's layers, evenly spaced (Sanh et al. "
        "2019), and with the head of --teacher where it has the same form; 0: all "
        "layers.",
        at_least=0,
        at_most=1000,
    )
    architecture: str = setting(
        "gpt2",
        "Kind of backbone, without --preset: GPT-2's decoder, BERT's encoder, or "
        "recurrent layers.",
        choices=tuple(ARCHITECTURES),
    )
    num_layers: int = setting(
        2,
        "Decoder blocks or recurrent layers, without --preset.",
        at_least=1,
        at_most=1000,
    )
    num_heads: int = setting(
        2,
        "Attention heads of a decoder block, without --preset.",
        at_least=1,
        at_most=1024,
    )
    hidden_dim: int = setting(
        128, "Width, without --preset.", at_least=1, at_most=65_536
    )
    intermediate_dim: int = setting(
        512,
        "Width of a block's feed-forward layers, without --preset.",
        at_least=1,
        at_most=262_144,
    )
    vocabulary_size: int = setting(
        8192,
        "Size of the byte-level BPE trained on the training split, without --preset "
        "and --tokenizer.",
        at_least=MIN_VOCABULARY_SIZE,
        at_most=LENGTH,
    )
    max_positions: int = setting(
        512,
        "Length of a decoder's position table, without --preset.",
        at_least=3,
        at_most=LENGTH,
    )
    tokenizer: str = setting(
        "",
        "Folder with vocab.json and merges.txt, without --preset; empty: a byte-level "
        "BPE is trained on the training split alone.",
        is_path=True,
    )
    embeddings_from: str = setting(
        "",
        "Start the token embeddings from those of a pretrained model, without "
        "--preset: what --preset takes. They are reduced to --hidden_dim. Empty: "
        "random ones.",
        is_path=True,
    )
    dropout: float = setting(
        0.1, "Dropout rate of backbone and head.", at_least=0, below=1
    )
    sequence_length: int = setting(
        0,
        "Tokens of a review that are read, start and end token included; also the "
        "greatest length of a packed row. 0: 512 or the backbone's positions, "
        "whichever is less.",
        at_least=0,
        at_most=LENGTH,
    )
    lowercase: bool = setting(False, "Lowercase the text. Off for pretrained GPT-2.")

    def __post_init__(self):
        super().__post_init__()
        if self.sequence_length in (1, 2):
            raise InputError(
                "--sequence_length must be at least 3 (start token, one token, end "
                f"token). Received: {self.sequence_length}."
            )
        if self.keep_layers and not self.preset:
            raise InputError(
                "--keep_layers are those of a --preset; without one, --num_layers says "
                f"how many there are. Received: keep_layers={self.keep_layers}."
            )
        if self.preset and self.embeddings_from:
            raise InputError(
                "--embeddings_from is for a backbone with random weights; a --preset "
                f"has embeddings. Received: embeddings_from={self.embeddings_from!r}, "
                f"preset={self.preset!r}."
            )
        if self.preset:
            return
        architecture = ARCHITECTURES[self.architecture]
        if architecture.has_heads and self.hidden_dim % self.num_heads:
            raise InputError(
                "--hidden_dim must be a multiple of --num_heads. Received: "
                f"hidden_dim={self.hidden_dim}, num_heads={self.num_heads}."
            )
        if architecture.has_positions and self.sequence_length > self.max_positions:
            raise InputError(
                f"--sequence_length={self.sequence_length} is beyond the "
                f"{self.max_positions} positions of --max_positions, which would give "
                "NaN."
            )


@dataclass(frozen=True)
class ModelConfig(BackboneConfig):
    """A classifier: backbone, tokenizer and pooling."""

    pooling: str = setting(
        AUTO_POOLING,
        "How a review's hidden states become one vector: that of the last token, the "
        "first (cls), their mean; concat is last, mean and max side by side. auto is "
        "cls for encoders, last for all others.",
        choices=(AUTO_POOLING, *POOLING_NAMES),
    )
    keep_head: bool = setting(
        False,
        "Start with the head of --preset, which is a classifier of the same classes, "
        "instead of a random one.",
    )
    truncation: str = setting(
        "head",
        "What is kept of a longer review: its head, its tail, or both: a quarter from "
        "the start and the rest from the end.",
        choices=TRUNCATIONS,
    )

    def __post_init__(self):
        super().__post_init__()
        if self.keep_head and not self.preset:
            raise InputError("--keep_head is that of a --preset. Received none.")
