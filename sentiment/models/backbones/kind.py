"""What the package must know of a kind of backbone."""

import abc
import re
import sys
from dataclasses import dataclass
from types import ModuleType

import keras
from keras import ops

from sentiment.config import BackboneConfig
from sentiment.errors import InputError
from sentiment.models.backbones.packed_layers import PackedLayers
from sentiment.models.tokenizer_definitions import UnigramForm


@dataclass(frozen=True)
class SequenceHead:
    """The head of Hugging Face's `...ForSequenceClassification` models.

    Attributes:
        pooling: a name in `POOLINGS`: the hidden state that it reads.
        activation: of a dense layer between pooling and logits; empty: there is none.
        dense: name of this layer's weights in the checkpoint.
        output: name of the weights that give logits.
        norm: name of the weights of a norm after the dense layer; empty: there is none.
        norm_epsilon: of this norm.
    """

    pooling: str
    activation: str = ""
    dense: str = ""
    output: str = "score"
    norm: str = ""
    norm_epsilon: float = 1e-5


class BackboneKind(abc.ABC):
    """The record of one kind of backbone.

    Everything that differs between kinds is asked here, so that a kind is added by one
    file, with a subclass and an instance of it named `KIND`, and one entry in
    `ARCHITECTURES` of `config/model.py`.

    Attributes:
        backbone_class: its `keras_hub.models.Backbone`.
        variants: subclasses of it that presets may name, too.
        tokenizer_class: what KerasHub loads beside it.
        huggingface_types: `model_type` of the Hugging Face configs that it reads.
        huggingface_prefix: what the names of a checkpoint's weights begin with, where
            there is a head beside the backbone.
        converter: KerasHub's module that converts such a checkpoint; `None` if there is
            none.
        sequence_head: the head of Hugging Face's classifiers; `None`: unknown.
        masked_head: the weights of Hugging Face's masked language models: names of a
            dense layer, a norm and a bias for each token; `None`: unknown.
        default_pooling: what `--pooling=auto` stands for.
        frame: tokens before and after a text, where its tokenizer comes without any.
        unigram: what it makes of a unigram model of SentencePiece's; `None`: it has
            none.
        is_causal: whether a token sees only itself and what comes before it, as a
            language model must.
        objective: how its language models learn: `causal`, to predict the next token,
            or `mlm`, to find hidden ones; empty: it has none.
        is_adaptable: whether its blocks have layers for LoRA, see `lora_layers`.
        block_name: what a block's variables are called, before its number.
        embedding_names: what the variables below the blocks are called.
    """

    backbone_class: type
    variants: tuple[type, ...] = ()
    tokenizer_class: type
    huggingface_types: tuple[str, ...] = ()
    huggingface_prefix: str = ""
    converter: ModuleType | None = None
    sequence_head: SequenceHead | None = None
    masked_head: tuple[str, str, str] | None = None
    default_pooling: str = "last"
    frame: tuple[str, str] = ("<s>", "</s>")
    unigram: UnigramForm | None = None
    is_causal: bool = True
    is_adaptable: bool = False
    objective: str = "causal"
    block_name: str = "transformer_layer_"
    embedding_names: tuple[str, ...] = ("token_embedding", "position_embedding")

    @abc.abstractmethod
    def fresh(self, config: BackboneConfig, vocabulary_size: int, dtype: str):
        """A backbone with random weights, of the sizes in `config`.

        Args:
            config: the settings.
            vocabulary_size: int, tokens.
            dtype: dtype policy.
        """

    @abc.abstractmethod
    def embed(self, backbone, token_ids, positions):
        """What the lowest block reads, float (batch, row_length, hidden_dim).

        Args:
            backbone: one of this kind.
            token_ids: int (batch, row_length).
            positions: int (batch, row_length), 0 at the start of each segment.
        """

    @abc.abstractmethod
    def packed_layers(self, backbone) -> PackedLayers:
        """The layer from embeddings to hidden states over packed rows.

        Args:
            backbone: one of this kind; its weights are shared.
        """

    @abc.abstractmethod
    def blocks(self, backbone) -> list[keras.layers.Layer]:
        """Its blocks, the lowest first."""

    def lora_layers(self, block) -> dict[str, keras.layers.Layer]:
        """Layers of a block that take an adapter, by names of `LORA_TARGETS`."""
        return {}

    def known_arguments(self, arguments: dict) -> dict:
        """Those of a preset's arguments that `backbone_class` takes."""
        return arguments

    def adopt(self, backbone):
        """A backbone to work with, of one that KerasHub has loaded."""
        return backbone

    def huggingface_arguments(self, config: dict) -> tuple[type, dict]:
        """The class that computes as a Hugging Face config says, and its arguments.

        Args:
            config: the content of `config.json`.

        Returns:
            A class and those of its arguments that `converter` leaves out.

        Raises:
            InputError: there is none that would compute the same.
        """
        return self.backbone_class, {}

    def huggingface_head(self, config: dict) -> SequenceHead | None:
        """The head of the classifier whose Hugging Face config this is."""
        return self.sequence_head

    def convert_weights(self, backbone, weights, config: dict):
        """Gives a backbone the weights of a Hugging Face checkpoint.

        Args:
            backbone: a fresh one.
            weights: a `HuggingFaceWeights`.
            config: the content of `config.json`.
        """
        self.converter.convert_weights(backbone, weights, config)

    def vocabulary_size(self, backbone) -> int:
        """Tokens that it has an embedding of."""
        return backbone.vocabulary_size

    def max_length(self, backbone) -> int:
        """Tokens that one text may have."""
        return backbone.max_sequence_length

    def check_pooling(self, pooling: str):
        """Raises an `InputError` where a pooling reads what has read nothing."""
        if pooling == "cls" and self.is_causal:
            raise InputError(
                f"The `cls` pooling reads the first token, which in a "
                f"{self.backbone_class.__name__} has seen no other. Take `last`."
            )

    def check_causal(self, setting: str):
        """Raises an `InputError` where `setting` wants a language model, and none is.

        Args:
            setting: what is asked for, the subject of the message.
        """
        if not self.is_causal:
            raise InputError(
                f"{setting} needs a backbone whose tokens see only what comes before "
                f"them. Received: a {self.backbone_class.__name__}."
            )

    def save_language_model(self, backbone, tokenizer, folder: str):
        """Saves a preset of a language model, without its cleaning.

        Args:
            backbone: one of this kind.
            tokenizer: its tokenizer.
            folder: path; made if missing.

        Raises:
            InputError: the kind has no objective.
        """
        if not self.objective:
            raise InputError(f"A {self.backbone_class.__name__} is no language model.")
        backbone.save_to_preset(folder)
        tokenizer.save_to_preset(folder)

    def language_head(self, backbone):
        """What scores the next token, float (vocabulary_size, hidden_dim)."""
        return ops.convert_to_tensor(backbone.token_embedding.embeddings)

    def kept_arguments(self, backbone, kept: list[int]) -> dict:
        """Arguments of a backbone with some of the layers of another.

        Args:
            backbone: the other.
            kept: numbers of the layers, rising.

        Raises:
            InputError: there can be none.
        """
        return {"num_layers": len(kept)}

    def block_number(self, path: str) -> int | None:
        """Which block, from 0, a variable belongs to; `None` for none.

        Args:
            path: of the variable in the backbone or in a model on top of it.
        """
        found = re.match(rf"{self.block_name}(\d+)/", path)
        return int(found[1]) if found else None

    def depth(self, path: str, num_layers: int) -> int:
        """Where a variable stands: 0 in the embeddings, i + 1 in block i.

        Args:
            path: as of `block_number`.
            num_layers: int, blocks; what is above them has depth `num_layers` + 1.
        """
        if path.startswith(self.embedding_names):
            return 0
        block = self.block_number(path)
        return num_layers + 1 if block is None else block + 1

    def matrix_axes(self, path: str) -> tuple[tuple[int, ...], tuple[int, ...]] | None:
        """Input and output axes of a block's kernel, for optimizers of matrices.

        `None` for variables that are no such matrix. These are the axes of KerasHub's
        attention, (hidden_dim, heads, head_dim) and back.
        """
        if self.block_number(path) is None or not path.endswith("kernel"):
            return None
        if path.endswith("attention_output/kernel"):
            return (0, 1), (2,)
        if "/self_attention" in path:
            return (0,), (1, 2)
        return (0,), (1,)


class UnplacedKind(BackboneKind):
    """Backbones without a table of positions: their blocks look at distances.

    They read texts of any length; `sequence_length` is the only limit.
    """

    def embed(self, backbone, token_ids, positions):
        return backbone.token_embedding(token_ids)

    def max_length(self, backbone):
        return sys.maxsize


def check_settings(config: dict, settings: dict):
    """Refuses a Hugging Face config that departs from what is computed here.

    Args:
        config: the content of `config.json`.
        settings: the one value that each entry may have, which is also its default, and
            what `null` stands for.

    Raises:
        InputError: an entry has another.
    """
    for name, value in settings.items():
        if config.get(name) not in (None, value):
            raise InputError(
                f"Its {name} must be {value!r}, which is what is computed here. "
                f"Received: {config[name]!r}."
            )
