"""From raw strings to what a `PackedTextClassifier` reads."""

import dataclasses
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
from sentiment.data.cleaning import (
    CleanedText,
    clean_text,
    clean_with_spans,
    without_surrogates,
)
from sentiment.data.packing import RaggedTokens, one_per_row, pack_rows
from sentiment.errors import InputError
from sentiment.models.backbones import kind_of

DEFAULT_SEQUENCE_LENGTH = 512
_HUGE = 250_000  # characters; of longer texts, what is not read is not tokenized


@dataclass(frozen=True)
class EncodedTexts:
    """Texts as the model reads them.

    Attributes:
        tokens: the text's tokens between those of its frame, for each text. There is
            at least one.
        is_empty: bool (num_texts,), texts of which cleaning left nothing.
        num_dropped: tokens left out by truncation, over all texts; of texts of over a
            million characters, at least so many.
        spans: int32 (number of tokens, 2), where each token of `tokens.flat` stands in
            its raw text: start and end in characters, the end exclusive; `None` unless
            asked for. See `PackedTextClassifierPreprocessor.encode`.
    """

    tokens: RaggedTokens
    is_empty: np.ndarray
    num_dropped: int
    spans: np.ndarray | None = None


@keras.saving.register_keras_serializable(package="sentiment")
class PackedTextClassifierPreprocessor(keras_hub.models.TextClassifierPreprocessor):
    """Cleans, tokenizes and truncates reviews for a `PackedTextClassifier`.

    Each review is put into the tokenizer's frame, for instance `[CLS] tokens [SEP]`,
    which survives truncation.

    Args:
        tokenizer: a `FastTokenizer` or a `ByteLevelGPT2Tokenizer`.
        sequence_length: int, tokens of a review that are kept, those of the frame
            included. `None` lets the classifier choose: 512 or the backbone's
            positions, whichever is less.
        truncation: what is kept of a longer review: its `"head"`, its
            `"tail"`, or `"head_tail"`, a quarter from the start and the rest
            from the end (Sun et al. 2019, https://arxiv.org/abs/1905.05583).
        lowercase: whether cleaning lowercases.
        clean: whether texts are cleaned at all; not for a classifier that somebody
            has trained on texts as they were.

    Call arguments:
        x: a string or a list of strings.
        y: int labels (batch,) or `None`.
        sample_weight: float (batch,) or `None`.

    Returns from a call:
        `x`, `(x, y)` or `(x, y, sample_weight)`, one review per row: `x` holds
        `token_ids` int32 (batch, sequence_length) and `segment_lengths` int32
        (batch, 1); `y` and `sample_weight` become (batch, 1). For a single
        string the batch axis is dropped.
    """

    def __init__(
        self,
        tokenizer,
        sequence_length=None,
        truncation="head",
        lowercase=False,
        clean=True,
        **kwargs,
    ):
        if truncation not in TRUNCATIONS:
            raise InputError(
                f"truncation must be one of {', '.join(TRUNCATIONS)}. "
                f"Received: {truncation!r}."
            )
        frame = tokenizer.frame_length
        if sequence_length is not None and sequence_length <= frame:
            raise InputError(
                "sequence_length must leave room for a token between start and end "
                f"token, so be at least {frame + 1}. Received: {sequence_length}."
            )
        if lowercase and not clean:
            raise InputError("lowercase is a part of cleaning, which `clean` omits.")
        super().__init__(tokenizer=tokenizer, sequence_length=sequence_length, **kwargs)
        self.truncation = truncation
        self.lowercase = lowercase
        self.clean = clean
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
            "clean": self.clean,
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

    def encode(self, texts: Sequence[str], with_spans: bool = False) -> EncodedTexts:
        """Cleans, tokenizes and truncates texts.

        With spans, each token knows the characters of the raw text that it was made
        of, through entities, deleted tags, lowercasing and truncation. They are
        without the white space, tags and links before a word, but for tokens of
        nothing else. The start token's is (0, 0), the end token's empty at the text's
        end. Spans are in order. Tokens of one raw character, as of an emoji or of an
        entity, overlap; all others are apart.

        So what stands at the span of a token, or of all that overlap, is their text
        again when it is cleaned: exactly, but for the leading space and, lowercased,
        the form of a final sigma, which letters before it decide. (Truncation may
        keep some tokens of a character only; they still have its whole span.)

        Args:
            texts: raw texts.
            with_spans: whether to return them; it takes about a third longer.

        Raises:
            InputError: a text is not a string.
        """
        if with_spans:
            return self._encode_with_spans(texts)
        cleaned = [self._cleaned(text) for text in texts]
        cleaned = [self._without_middle(text) for text in cleaned]
        return self._framed(self.tokenizer.encode_batch(cleaned))

    def _cleaned(self, text: str) -> str:
        if self.clean:
            return clean_text(text, self.lowercase)
        return without_surrogates(text)

    def _cleaned_with_spans(self, text: str) -> CleanedText:
        if self.clean:
            return clean_with_spans(text, self.lowercase)
        starts = np.arange(len(text), dtype=np.int32)
        return CleanedText(
            without_surrogates(text), np.stack([starts, starts + 1], axis=1)
        )

    def _without_middle(self, text: str) -> str:
        for part in self._unread(text):
            text = text[: part.start] + text[part.stop :]
        return text

    def _unread(self, text: str) -> list[slice]:
        """The middle of a huge cleaned text, of which no token is kept.

        It ends before a space on both sides, where words begin, so that all other
        tokens stay; in a word of more than `_HUGE` characters it ends anywhere.
        """
        if len(text) <= 4 * _HUGE:
            return []
        budget = self.sequence_length or DEFAULT_SEQUENCE_LENGTH
        side = max(_HUGE, budget * self.tokenizer.longest_token)
        if len(text) <= 4 * side:
            return []
        start = text.find(" ", side, 2 * side)
        start = start if start >= 0 else 2 * side
        stop = text.rfind(" ", len(text) - 2 * side, len(text) - side)
        return [slice(start, stop if stop >= 0 else len(text) - 2 * side)]

    def _encode_with_spans(self, texts: Sequence[str]) -> EncodedTexts:
        cleaned = [self._cleaned_with_spans(text) for text in texts]
        for i, one in enumerate(cleaned):
            for part in self._unread(one.text):
                kept = np.delete(one.spans, part, axis=0)
                cleaned[i] = CleanedText(self._without_middle(one.text), kept)
        encoded = self.tokenizer.encode_with_spans([one.text for one in cleaned])
        spans = [np.zeros((0, 2), np.int32)]
        for raw, one, (_, of_tokens) in zip(texts, cleaned, encoded, strict=True):
            kept = np.array(self._truncate(of_tokens), np.int32).reshape(-1, 2)
            end = np.full((1, 2), len(raw), np.int32)
            start_ids, end_ids = self._frame(of_tokens)
            spans += [np.zeros_like(end)] * len(start_ids)
            spans += [_raw_spans(one, kept)]
            spans += [end] * len(end_ids)
        framed = self._framed([ids for ids, _ in encoded])
        return dataclasses.replace(framed, spans=np.concatenate(spans))

    def _framed(self, encoded: list[list[int]]) -> EncodedTexts:
        """Truncated, and put into the frame."""
        num_dropped = 0
        sequences = []
        for ids in encoded:
            start, end = self._frame(ids)
            kept = self._truncate(ids)
            num_dropped += len(ids) - len(kept)
            sequences.append([*start, *kept, *end])
        return EncodedTexts(
            RaggedTokens.from_sequences(sequences),
            np.array([not ids for ids in encoded], bool),
            num_dropped,
        )

    def _frame(self, ids: list) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """Tokens before and after a text; of one without any, something is left."""
        if self.tokenizer.frame_length or ids:
            return self.tokenizer.start_ids, self.tokenizer.end_ids
        return (), (self.tokenizer.blank_id,)

    def _truncate(self, ids: list) -> list:
        length = self.sequence_length or DEFAULT_SEQUENCE_LENGTH
        budget = length - self.tokenizer.frame_length
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


def _raw_spans(cleaned: CleanedText, spans: np.ndarray) -> np.ndarray:
    """From spans in a cleaned text, none empty, to those in the raw one.

    Args:
        cleaned: the text.
        spans: int32 (num_tokens, 2).
    """
    starts, ends = spans.T
    is_space = np.array([letter == " " for letter in cleaned.text], bool)
    starts = starts + (is_space[starts] & (ends - starts > 1))
    return np.stack([cleaned.spans[starts, 0], cleaned.spans[ends - 1, 1]], axis=1)


def fit_sequence_length(preprocessor, backbone):
    """Sets a preprocessor's default sequence length, and checks that both fit.

    Raises:
        InputError: a chosen length is beyond what the backbone reads, or the tokenizer
            has tokens that the backbone lacks.
    """
    max_length = kind_of(backbone).max_length(backbone)
    if preprocessor.sequence_length is None:
        preprocessor.sequence_length = min(DEFAULT_SEQUENCE_LENGTH, max_length)
    if preprocessor.sequence_length > max_length:
        raise InputError(
            f"sequence_length={preprocessor.sequence_length} is beyond the backbone's "
            f"{max_length} positions, which would give NaN. Use at most "
            f"{max_length}."
        )
    if preprocessor.tokenizer.vocabulary is None:  # A saved one comes later.
        return
    size = preprocessor.tokenizer.vocabulary_size()
    known = kind_of(backbone).vocabulary_size(backbone)
    if size > known:
        raise InputError(
            f"The tokenizer has {size:,} tokens, the backbone {known:,} embeddings. "
            "Take both from one preset."
        )
