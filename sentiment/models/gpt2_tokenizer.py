"""GPT-2's tokenizer, exactly."""

import json
from pathlib import Path

import keras
import keras_hub
import tokenizers
from tokenizers import Tokenizer, decoders, models, pre_tokenizers

from sentiment.data.cache import fingerprint
from sentiment.errors import InputError


@keras.saving.register_keras_serializable(package="sentiment")
class ByteLevelGPT2Tokenizer(keras_hub.models.GPT2Tokenizer):
    r"""Byte-level BPE with GPT-2's own split pattern (Radford et al. 2019).

    `keras_hub.models.GPT2Tokenizer` 0.32 splits text differently from GPT-2
    ("\n\n" after a word becomes one token that GPT-2 never saw there) and
    reads a literal `<|endoftext|>` in a text as the special token. Here the
    `tokenizers` package's `ByteLevel` pre-tokenizer does the splitting, and a
    literal `<|endoftext|>` is plain text: start and end tokens are added by id,
    by the preprocessor.

    Args:
        vocabulary: dict from token to id, or the path of `vocab.json`.
        merges: list of merge rules, or the path of `merges.txt`.

    Example:
    ```python
    tokenizer = ByteLevelGPT2Tokenizer("vocab.json", "merges.txt")
    tokenizer(["Hello world"])  # [[15496, 995]] with GPT-2's files
    ```
    """

    @classmethod
    def from_tokenizer(cls, tokenizer) -> "ByteLevelGPT2Tokenizer":
        """Rebuilds any GPT-2 tokenizer from its vocabulary and merges.

        A preset that names `GPT2Tokenizer` yields that class whatever class is
        asked for, so the exact one is made from what it holds.
        """
        if isinstance(tokenizer, cls):
            return tokenizer
        return cls(vocabulary=dict(tokenizer.vocabulary), merges=tokenizer.merges)

    frame_length = 2  # tokens before and after a text

    @property
    def start_ids(self) -> tuple[int, ...]:
        """What stands before a text."""
        return (self.start_token_id,)

    @property
    def end_ids(self) -> tuple[int, ...]:
        """What stands after a text."""
        return (self.end_token_id,)

    @property
    def fingerprint(self) -> str:
        """Tells apart tokenizers that would split a text differently."""
        return fingerprint(
            Path(__file__).read_bytes(),
            tokenizers.__version__,
            json.dumps([self.add_prefix_space]),
            sorted(f"{token} {i}" for token, i in self.vocabulary.items()),
            self.merges,
        )

    @property
    def longest_token(self) -> int:
        """Characters of the longest token that is no special one, at most."""
        # A byte is a character of the vocabulary, and at most a character of a text.
        return max(map(len, self.vocabulary))

    def encode_batch(self, texts: list[str]) -> list[list[int]]:
        """Token ids of each text, without start or end token."""
        self._check_vocabulary()
        self._maybe_initialized_tokenizers()
        return [
            encoding.ids
            for encoding in self._tokenizer.encode_batch_fast(
                texts, add_special_tokens=False
            )
        ]

    def encode_with_spans(
        self, texts: list[str]
    ) -> list[tuple[list[int], list[tuple[int, int]]]]:
        """Token ids of each text, and what characters each token is of.

        Returns:
            `(ids, spans)` of each text: ids as of `encode_batch`, and start and end,
            exclusive, of each token's characters in the text. The space that begins a
            token counts, and a token that is a part of a character, as in an emoji,
            has the whole one.
        """
        self._check_vocabulary()
        self._maybe_initialized_tokenizers()
        encoded = self._tokenizer.encode_batch(texts, add_special_tokens=False)
        return [(encoding.ids, encoding.offsets) for encoding in encoded]

    def decode_batch(self, sequences: list[list[int]]) -> list[str]:
        """The texts of token ids; what is no UTF-8 becomes a replacement sign."""
        self._check_vocabulary()
        self._maybe_initialized_tokenizers()
        return self._tokenizer.decode_batch(sequences, skip_special_tokens=False)

    def _set_vocabulary_and_merges_tokenizers(self, vocabulary, merges):
        self.vocabulary = dict(vocabulary)
        ids = list(self.vocabulary.values())
        if not all(type(i) is int and i >= 0 for i in ids) or len(set(ids)) < len(ids):
            raise InputError(
                "Each token of a vocabulary must have an id of its own, an integer. "
                f"Received {len(ids):,} tokens with {len(set(map(str, ids))):,} ids."
            )
        self.merges = [m for m in merges if m and not m.startswith("#version:")]
        pairs = [tuple(merge.split(" ")) for merge in self.merges]
        tokenizer = Tokenizer(models.BPE(vocab=self.vocabulary, merges=pairs))
        tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(
            add_prefix_space=self.add_prefix_space, use_regex=True
        )
        tokenizer.decoder = decoders.ByteLevel()
        self._tokenizer = tokenizer

    def _set_vocabulary_and_merges_tf(self, vocabulary, merges):
        """Builds nothing: there is no TensorFlow path, see `_use_tf_workflow`."""

    def _use_tf_workflow(self):
        if super()._use_tf_workflow():
            raise NotImplementedError(
                "ByteLevelGPT2Tokenizer does not run inside tf.data or tf.function, "
                "where KerasHub's split differs from GPT-2's. Tokenize in Python or "
                "in a Grain pipeline."
            )
        return False
