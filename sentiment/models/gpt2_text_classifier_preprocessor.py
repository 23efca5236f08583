"""From raw strings to what `GPT2TextClassifier` reads."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import keras
import keras_hub
import numpy as np

from sentiment.config import TRUNCATIONS
from sentiment.data import cleaning
from sentiment.data.cache import fingerprint
from sentiment.data.cleaning import clean_text
from sentiment.data.packing import RaggedTokens, one_per_row, pack_rows
from sentiment.errors import InputError
from sentiment.models.gpt2_tokenizer import ByteLevelGPT2Tokenizer

DEFAULT_SEQUENCE_LENGTH = 512
NUM_SPECIAL_TOKENS = 2


@dataclass(frozen=True)
class EncodedTexts:
    """Texts as the model reads them.

    Attributes:
        tokens: start token, the text's tokens, end token, for each text.
        num_dropped: tokens left out by truncation, over all texts.
    """

    tokens: RaggedTokens
    num_dropped: int

    @property
    def is_empty(self) -> np.ndarray:
        """Bool (num_texts,), texts of which cleaning left nothing."""
        return self.tokens.lengths == NUM_SPECIAL_TOKENS


@keras.saving.register_keras_serializable(package="sentiment")
class GPT2TextClassifierPreprocessor(keras_hub.models.TextClassifierPreprocessor):
    """Cleans, tokenizes and truncates reviews for `GPT2TextClassifier`.

    Each review becomes `<|endoftext|> tokens <|endoftext|>`: the start token
    is what GPT-2 saw before a new document, the end token is where the `last`
    pooling reads. Both survive truncation.

    Args:
        tokenizer: a GPT-2 tokenizer; any other class than
            `ByteLevelGPT2Tokenizer` is rebuilt as one, from its vocabulary.
        sequence_length: int, tokens of a review that are kept, start and end
            token included. `None` lets the classifier choose: 512 or the
            backbone's positions, whichever is less.
        truncation: what is kept of a longer review: its `"head"`, its
            `"tail"`, or `"head_tail"`, a quarter from the start and the rest
            from the end (Sun et al. 2019, https://arxiv.org/abs/1905.05583).
        lowercase: whether cleaning lowercases.

    Call arguments:
        x: a string or a list of strings.
        y: int labels (batch,) or `None`.
        sample_weight: float (batch,) or `None`.

    Returns from a call:
        `x`, `(x, y)` or `(x, y, sample_weight)`, one review per row: `x` holds
        `token_ids` int32 (batch, sequence_length) and `segment_lengths` int32
        (batch, 1); `y` and `sample_weight` become (batch, 1). For a single
        string the batch axis is dropped.

    Example:
    ```python
    preprocessor = GPT2TextClassifierPreprocessor.from_preset("gpt2_base_en")
    preprocessor(["A fine film.", "Dull."])["segment_lengths"]  # [[6], [4]]
    ```
    """

    backbone_cls = keras_hub.models.GPT2Backbone
    tokenizer_cls = ByteLevelGPT2Tokenizer

    def __init__(
        self,
        tokenizer,
        sequence_length=None,
        truncation="head",
        lowercase=False,
        **kwargs,
    ):
        if truncation not in TRUNCATIONS:
            raise InputError(
                f"truncation must be one of {', '.join(TRUNCATIONS)}. "
                f"Received: {truncation!r}."
            )
        if sequence_length is not None and sequence_length <= NUM_SPECIAL_TOKENS:
            raise InputError(
                "sequence_length must leave room for a token between start and end "
                f"token, so be at least 3. Received: {sequence_length}."
            )
        super().__init__(
            tokenizer=ByteLevelGPT2Tokenizer.from_tokenizer(tokenizer),
            sequence_length=sequence_length,
            **kwargs,
        )
        self.truncation = truncation
        self.lowercase = lowercase
        # While a layer is unbuilt, Keras runs the model eagerly before each prediction.
        self.built = self.tokenizer.built = True

    def build(self, input_shape):
        """Nothing to build: rows are made by `pack_rows`."""
        self.built = True

    @property
    def reading(self) -> dict:
        """How texts are read, whatever the vocabulary: arguments of the constructor."""
        return {
            "sequence_length": self.sequence_length,
            "truncation": self.truncation,
            "lowercase": self.lowercase,
        }

    @property
    def fingerprint(self) -> str:
        """Tells apart preprocessors that would read a text differently."""
        return fingerprint(
            Path(cleaning.__file__).read_bytes(),
            Path(__file__).read_bytes(),
            json.dumps(list(self.reading.values())),
            self.tokenizer.fingerprint,
        )

    def encode(self, texts: Sequence[str]) -> EncodedTexts:
        """Cleans, tokenizes and truncates texts.

        Raises:
            InputError: a text is not a string.
        """
        cleaned = [clean_text(text, self.lowercase) for text in texts]
        start, end = self.tokenizer.start_token_id, self.tokenizer.end_token_id
        num_dropped = 0
        sequences = []
        for ids in self.tokenizer.encode_batch(cleaned):
            kept = self._truncate(ids)
            num_dropped += len(ids) - len(kept)
            sequences.append([start, *kept, end])
        return EncodedTexts(RaggedTokens.from_sequences(sequences), num_dropped)

    def _truncate(self, ids: list[int]) -> list[int]:
        length = self.sequence_length or DEFAULT_SEQUENCE_LENGTH
        budget = length - NUM_SPECIAL_TOKENS
        if len(ids) <= budget:
            return ids
        if self.truncation == "head":
            return ids[:budget]
        head = budget // 4 if self.truncation == "head_tail" else 0
        return ids[:head] + ids[len(ids) - (budget - head) :]

    def call(self, x, y=None, sample_weight=None):
        is_batched = not isinstance(x, str)
        texts = list(x) if is_batched else [x]
        length = self.sequence_length or DEFAULT_SEQUENCE_LENGTH
        encoded = self.encode(texts)
        batch = pack_rows(encoded.tokens, one_per_row(len(texts)), length, 1)
        if not is_batched:
            batch = {name: array[0] for name, array in batch.items()}
        return keras.utils.pack_x_y_sample_weight(
            batch,
            None if y is None else np.asarray(y)[..., None],
            None if sample_weight is None else np.asarray(sample_weight)[..., None],
        )

    def get_config(self):
        config = super().get_config()
        del config["truncate"]  # of the parent, which packs pairs of segments
        return config | self.reading
