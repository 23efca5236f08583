"""What the package must know of a kind of backbone."""

import abc
import re

import keras

from sentiment.config import BackboneConfig
from sentiment.errors import InputError
from sentiment.models.backbones.packed_layers import PackedLayers


class BackboneKind(abc.ABC):
    """The record of one kind of backbone.

    Everything that differs between kinds is asked here, so that a kind is added by one
    file, with a subclass and an instance of it named `KIND`, and one entry in
    `ARCHITECTURES` of `config/model.py`.

    Attributes:
        backbone_class: its `keras_hub.models.Backbone`.
        tokenizer_class: what KerasHub loads beside it.
        huggingface_types: `model_type` of the Hugging Face configs that it reads.
        is_causal: whether a token sees only itself and what comes before it, as a
            language model must.
        is_adaptable: whether its blocks have layers for LoRA, see `lora_layers`.
        block_name: what a block's variables are called, before its number.
        embedding_names: what the variables below the blocks are called.
    """

    backbone_class: type
    tokenizer_class: type
    huggingface_types: tuple[str, ...] = ()
    is_causal: bool = True
    is_adaptable: bool = False
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

    def max_length(self, backbone) -> int:
        """Tokens that one text may have."""
        return backbone.max_sequence_length

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

        A causal kind must say how; others are refused here.

        Args:
            backbone: one of this kind.
            tokenizer: its `ByteLevelGPT2Tokenizer`.
            folder: path; made if missing.
        """
        self.check_causal("A language model")
        raise NotImplementedError

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
        if "/self_attention/" in path:
            return (0,), (1, 2)
        return (0,), (1,)
