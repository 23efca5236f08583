"""Tokenizers of any pretrained model, as the `tokenizers` package runs them."""

import functools
import json
from collections.abc import Sequence
from pathlib import Path

import keras
import keras_hub
import tokenizers

from sentiment.data.cache import fingerprint
from sentiment.errors import InputError

DEFINITION_FILE = "tokenizer.json"
MASK_TOKENS = ("[MASK]", "<mask>")
_LONGEST_WORD = 100  # characters that WordPiece reads of one, by default


@keras.saving.register_keras_serializable(package="sentiment")
class FastTokenizer(keras_hub.tokenizers.Tokenizer):
    """A tokenizer that its `tokenizer.json` describes, as Hugging Face publishes it.

    WordPiece, byte-level BPE or SentencePiece, with the model's own normalisation.
    Token ids are those of the "fast" tokenizers of transformers, which are the same
    ones. But a special token that a text spells out, like `[SEP]`, is plain text (as
    with `split_special_tokens=True` there), so no text can end itself. A unigram model
    has such tokens among its pieces; there it is an unknown one.

    Args:
        definition: str, the content of `tokenizer.json`; `None` for a saved tokenizer,
            which reads it from its assets.
        start_ids: ints, tokens before each text; by default those of the definition.
        end_ids: ints, tokens after each text; by default those of the definition.
        blank_id: int, the token that stands for an empty text where there is none
            before and after.

    Attributes:
        vocabulary: dict from token to id; `None` while there is no definition.

    Raises:
        InputError: the definition is damaged.

    Example:
    ```python
    tokenizer = FastTokenizer(Path("tokenizer.json").read_text())
    tokenizer(["Hello world"])  # [[7592, 2088]] with BERT's
    ```
    """

    def __init__(
        self, definition=None, start_ids=None, end_ids=None, blank_id=0, **kwargs
    ):
        super().__init__(**{**kwargs, "dtype": "int32"})
        self.blank_id = blank_id
        self.file_assets = [DEFINITION_FILE]
        self.definition, self.vocabulary, self._tokenizer = None, None, None
        self.start_ids, self.end_ids = tuple(start_ids or ()), tuple(end_ids or ())
        if definition is not None:
            self._define(definition)
            frame = self._own_frame()
            self.start_ids = frame[0] if start_ids is None else self.start_ids
            self.end_ids = frame[1] if end_ids is None else self.end_ids
        self.built = True

    def _define(self, definition: str):
        try:
            tokenizer = tokenizers.Tokenizer.from_str(definition)
        except Exception as error:  # a plain one, whatever is wrong
            raise InputError(
                f"The definition of a tokenizer is damaged or of another version than "
                f"{tokenizers.__version__} of the `tokenizers` package: {error}."
            ) from error
        tokenizer.no_truncation()
        tokenizer.no_padding()
        tokenizer.encode_special_tokens = True  # that is, as other text
        self.definition, self._tokenizer = definition, tokenizer
        self.vocabulary = tokenizer.get_vocab(with_added_tokens=True)
        if not self.vocabulary:
            raise InputError("The definition of a tokenizer has no tokens.")
        self._reserved, self._unknown_id = frozenset(), None
        if isinstance(tokenizer.model, tokenizers.models.Unigram):
            added = tokenizer.get_added_tokens_decoder()
            self._reserved = frozenset(i for i, t in added.items() if t.special)
            self._unknown_id = json.loads(definition)["model"].get("unk_id")
            if self._unknown_id is None:
                raise InputError(
                    "The definition of a tokenizer of unigrams has no unknown token."
                )

    def _own_frame(self) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """What the definition puts before and after a text."""
        encoded = self._tokenizer.encode("a", add_special_tokens=True)
        is_special = encoded.special_tokens_mask
        if all(is_special):
            raise InputError("The definition of a tokenizer has no tokens for text.")
        first = is_special.index(0)
        last = len(is_special) - is_special[::-1].index(0)
        return tuple(encoded.ids[:first]), tuple(encoded.ids[last:])

    @property
    def frame_length(self) -> int:
        """Tokens before and after a text."""
        return len(self.start_ids) + len(self.end_ids)

    @property
    def mask_id(self) -> int | None:
        """The token that stands for a hidden one; `None` if there is none."""
        ids = (self.vocabulary.get(token) for token in MASK_TOKENS)
        return next((i for i in ids if i is not None), None)

    @property
    def unknown_id(self) -> int | None:
        """The token that stands for unknown text; `None` if there is none."""
        self._checked_definition()
        if self._unknown_id is not None:
            return self._unknown_id
        return self.vocabulary.get(getattr(self._tokenizer.model, "unk_token", None))

    @property
    def continuation(self) -> str:
        """What begins a token that goes on with a word, where such have a mark."""
        self._checked_definition()
        model = self._tokenizer.model
        if isinstance(model, tokenizers.models.WordPiece):
            return model.continuing_subword_prefix
        return ""

    @property
    def lowercases(self) -> bool:
        """Whether capitals are read as small letters."""
        capitals, small = self.encode_batch(["A GREAT FILM", "a great film"])
        return capitals == small

    @property
    def fingerprint(self) -> str:
        """Tells apart tokenizers that would split a text differently."""
        return fingerprint(
            Path(__file__).read_bytes(),
            tokenizers.__version__,
            json.dumps([self.start_ids, self.end_ids, self.blank_id]),
            self._checked_definition(),
        )

    @functools.cached_property
    def longest_token(self) -> int:
        """Characters of the longest token that is no special one, at most.

        Words that are too long for WordPiece do not count, each of which is one token.
        """
        return max(_LONGEST_WORD, *map(len, self.vocabulary))

    def vocabulary_size(self) -> int:
        """Ids that may occur, those that no token has included."""
        self._checked_definition()
        return max(self.vocabulary.values()) + 1

    def get_vocabulary(self) -> list[str]:
        """Tokens in the order of their ids."""
        self._checked_definition()
        return sorted(self.vocabulary, key=self.vocabulary.get)

    def token_to_id(self, token: str) -> int | None:
        self._checked_definition()
        return self.vocabulary.get(token)

    def id_to_token(self, id: int) -> str | None:
        self._checked_definition()
        return self._tokenizer.id_to_token(id)

    def encode_batch(self, texts: Sequence[str]) -> list[list[int]]:
        """Token ids of each text, without those before and after it."""
        self._checked_definition()
        encoded = self._tokenizer.encode_batch_fast(
            list(texts), add_special_tokens=False
        )
        return [self._without_reserved(encoding.ids) for encoding in encoded]

    def _without_reserved(self, ids: list[int]) -> list[int]:
        """Unknown tokens instead of special ones, which a text has spelled out."""
        if self._reserved.isdisjoint(ids):
            return ids
        return [self._unknown_id if i in self._reserved else i for i in ids]

    def encode_with_spans(
        self, texts: Sequence[str]
    ) -> list[tuple[list[int], list[tuple[int, int]]]]:
        """Token ids of each text, and what characters each token is of.

        Returns:
            `(ids, spans)` of each text: ids as of `encode_batch`, and start and end,
            exclusive, of each token's characters in the text. A token that has none,
            as one for a space before the text, has its neighbour's.
        """
        self._checked_definition()
        encoded = self._tokenizer.encode_batch(list(texts), add_special_tokens=False)
        return [
            (
                self._without_reserved(encoding.ids),
                _never_empty(encoding.offsets, len(text)),
            )
            for encoding, text in zip(encoded, texts, strict=True)
        ]

    def decode_batch(self, sequences: list[list[int]]) -> list[str]:
        """The texts of token ids."""
        self._checked_definition()
        return self._tokenizer.decode_batch(sequences, skip_special_tokens=False)

    def tokenize(self, inputs):
        if isinstance(inputs, str):
            return self.encode_batch([inputs])[0]
        return self.encode_batch(inputs)

    def detokenize(self, inputs):
        return self.decode_batch([list(map(int, ids)) for ids in inputs])

    def call(self, inputs):
        return self.tokenize(inputs)

    def _checked_definition(self) -> str:
        if self.definition is None:
            raise InputError(
                "This tokenizer has no definition yet. Give it the content of a "
                f"{DEFINITION_FILE}, or load the model that it was saved with."
            )
        return self.definition

    def save_assets(self, dir_path):
        definition = self._checked_definition()
        (Path(dir_path) / DEFINITION_FILE).write_text(definition, encoding="utf-8")

    def load_assets(self, dir_path):
        self._define((Path(dir_path) / DEFINITION_FILE).read_text(encoding="utf-8"))

    def get_config(self):
        return {
            **super().get_config(),
            "start_ids": self.start_ids,
            "end_ids": self.end_ids,
            "blank_id": self.blank_id,
        }


def _never_empty(spans, length: int) -> list[tuple[int, int]]:
    return [
        (start, end)
        if start < end
        else (min(start, length - 1), min(start, length - 1) + 1)
        for start, end in spans
    ]
