"""Vocabularies without the tokens that never occur."""

from collections import Counter

import numpy as np
from tokenizers.pre_tokenizers import ByteLevel

from sentiment.data.cleaning import clean_text
from sentiment.errors import InputError
from sentiment.models.backbones.variants import with_weights
from sentiment.models.gpt2_text_classifier_preprocessor import (
    GPT2TextClassifierPreprocessor,
)
from sentiment.models.gpt2_tokenizer import ByteLevelGPT2Tokenizer
from sentiment.models.packed_text_classifier import PackedTextClassifier


def trim_vocabulary(
    classifier: PackedTextClassifier, texts: list[str], min_count: int = 1
) -> PackedTextClassifier:
    """The classifier without the tokens that do not occur in `texts`.

    Bytes, special tokens and the parts that kept tokens are merged from stay. So any
    text can still be read. With a `min_count` of 1, `texts` are split and classified as
    before; other texts may be split into shorter tokens.

    Args:
        classifier: a trained one, not quantised.
        texts: raw strings.
        min_count: int, how often a token must occur.

    Returns:
        A new classifier; its token ids are other ones.

    Raises:
        InputError: see `check_trimmable`.
    """
    check_trimmable(classifier)
    reader = classifier.preprocessor
    tokenizer = reader.tokenizer
    kept = _kept_tokens(tokenizer, reader.lowercase, texts, min_count)
    old_ids = np.array(sorted(tokenizer.vocabulary[token] for token in kept))
    tokens = {i: token for token, i in tokenizer.vocabulary.items()}
    vocabulary = {tokens[old]: new for new, old in enumerate(old_ids.tolist())}
    merges = [
        merge
        for merge in tokenizer.merges
        if {*merge.split(" "), merge.replace(" ", "")} <= kept
    ]
    embeddings = classifier.backbone.token_embedding.embeddings
    rows = np.array(embeddings)[old_ids]
    backbone = with_weights(
        classifier.backbone, {embeddings.path: rows}, vocabulary_size=len(rows)
    )
    preprocessor = GPT2TextClassifierPreprocessor(
        ByteLevelGPT2Tokenizer(vocabulary, merges), **reader.reading
    )
    return classifier.with_backbone(backbone, preprocessor)


def check_trimmable(classifier: PackedTextClassifier):
    """Raises an `InputError` where tokens are not built by merging others."""
    tokenizer = classifier.preprocessor.tokenizer
    if not isinstance(tokenizer, ByteLevelGPT2Tokenizer):
        raise InputError(
            "Only the vocabulary of GPT-2's byte-level BPE can be trimmed. Received: a "
            f"model with a {type(tokenizer).__name__}."
        )


def _kept_tokens(tokenizer, lowercase, texts, min_count) -> set[str]:
    # Whole texts: where truncation cuts depends on all tokens, also those cut off.
    cleaned = [clean_text(text, lowercase) for text in texts]
    counts = Counter()
    for ids in tokenizer.encode_batch(cleaned):
        counts.update(ids)
    special = {tokenizer.start_token, tokenizer.end_token}
    kept = {*ByteLevel.alphabet(), *special} & tokenizer.vocabulary.keys()
    kept |= {
        token for token, i in tokenizer.vocabulary.items() if counts[i] >= min_count
    }
    # In reverse, since the parts of a token are merged before the token itself.
    for merge in reversed(tokenizer.merges):
        if merge.replace(" ", "") in kept:
            kept.update(merge.split(" "))
    return kept
