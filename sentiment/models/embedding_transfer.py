"""Token embeddings of a new vocabulary, from those of a pretrained model.

A small model that starts from random weights has to learn what each word means from its
own texts. Its embeddings may start instead from those that a larger model has, although
the two cut texts differently: each token is the mean of the pieces that the other
tokenizer makes of it (Gee et al. 2022, "Fast Vocabulary Transfer for Language Model
Compression", https://aclanthology.org/2022.emnlp-industry.41). Where these are wider,
their principal components are taken.
"""

import contextlib
import logging
import random
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from keras import ops

from sentiment.errors import InputError
from sentiment.models.fast_tokenizer import FastTokenizer
from sentiment.models.gpt2_tokenizer import ByteLevelGPT2Tokenizer
from sentiment.models.initial_weights import without_initial_weights
from sentiment.models.presets import load_preset_parts

logger = logging.getLogger(__name__)

_SPACES = ("\N{LOWER ONE EIGHTH BLOCK}", "Ġ")  # SentencePiece's, byte-level BPE's
_NO_CHARACTER = "\N{REPLACEMENT CHARACTER}"


@dataclass(frozen=True, eq=False)
class PretrainedEmbeddings:
    """What a pretrained model knows of single tokens.

    Attributes:
        tokenizer: its tokenizer.
        vectors: float32 (tokens, width), of at least the tokenizer's tokens.
    """

    tokenizer: FastTokenizer | ByteLevelGPT2Tokenizer
    vectors: np.ndarray


def check_embeddings(preset: str, hidden_dim: int):
    """Checks, before texts are read, that a preset's embeddings can be taken.

    Args:
        preset: as `--preset`: a KerasHub preset, a handle or a folder.
        hidden_dim: width of the model that is to have them.

    Raises:
        InputError: the preset cannot be loaded, or its embeddings are narrower.
    """
    width = _load(preset, load_weights=False).vectors.shape[1]
    if width < hidden_dim:
        raise InputError(
            f"--embeddings_from={preset} has embeddings of {width} dimensions, too few "
            f"for --hidden_dim={hidden_dim}. Give a wider model or a smaller width."
        )


def load_embeddings(preset: str) -> PretrainedEmbeddings:
    """The token embeddings of a preset, see `check_embeddings`.

    Raises:
        InputError: the preset cannot be loaded.
    """
    return _load(preset, load_weights=True)


def _load(preset: str, load_weights: bool) -> PretrainedEmbeddings:
    try:
        with _same_random_state(), without_initial_weights():
            backbone, tokenizer = load_preset_parts(preset, load_weights=load_weights)
    except InputError as error:
        raise InputError(f"--embeddings_from: {error}") from error
    vectors = ops.convert_to_numpy(backbone.token_embedding.embeddings)
    return PretrainedEmbeddings(tokenizer, vectors.astype("float32"))


@contextlib.contextmanager
def _same_random_state() -> Iterator[None]:
    """Layers that are made in between take no seeds from those that come after.

    So a run differs from one without a pretrained model in the embeddings alone.
    """
    python, numpy = random.getstate(), np.random.get_state()
    try:
        yield
    finally:
        random.setstate(python)
        np.random.set_state(numpy)


def transfer_embeddings(
    backbone, tokenizer: ByteLevelGPT2Tokenizer, source: PretrainedEmbeddings
):
    """Gives a fresh backbone the token embeddings of a pretrained model.

    They have the mean square that the backbone's own have, so that initial scores of
    tokens are of the usual size. Tokens without text of their own, such as parts of a
    character, keep their random embeddings.

    Args:
        backbone: has random weights and `token_embedding`, of at most the source's
            width. It may have more tokens than the tokenizer.
        tokenizer: the backbone's.
        source: where they come from.
    """
    from sklearn.decomposition import PCA  # not needed to predict

    variable = backbone.token_embedding.embeddings
    own = ops.convert_to_numpy(variable).copy()
    pieces = _pieces(tokenizer, source.tokenizer)
    known = [i for i, ids in enumerate(pieces) if ids]
    if len(known) < 2:
        raise InputError(
            "--embeddings_from knows the text of fewer than two tokens of this "
            "vocabulary, so they have nothing in common. Leave it out."
        )
    means = np.stack([source.vectors[pieces[i]].mean(axis=0) for i in known])
    width = own.shape[1]
    if means.shape[1] > width:
        components = min(width, len(means))
        reduction = PCA(components, svd_solver="covariance_eigh")
        reduced = reduction.fit_transform(means)
        means = np.zeros((len(means), width), "float32")
        means[:, :components] = reduced
        share = f" with {reduction.explained_variance_ratio_.sum():.0%} of the variance"
    else:
        means, share = means - means.mean(axis=0), ""
    means *= np.sqrt(np.mean(own**2) / max(np.mean(means**2), 1e-12))
    own[known] = means
    variable.assign(own)
    logger.info(
        f"{len(known):,} of {len(pieces):,} tokens start with embeddings of another "
        f"model{share}, the others with random ones."
    )


def _pieces(tokenizer: ByteLevelGPT2Tokenizer, other) -> list[list[int]]:
    """Ids that `other` has for each token's text; none where it knows no such text.

    A token that begins with a space begins a word, any other goes on with one, and
    each kind of tokenizer marks the one or the other.
    """
    texts = tokenizer.decode_batch([[i] for i in range(tokenizer.vocabulary_size())])
    special = {*tokenizer.start_ids, *tokenizer.end_ids}
    texts = [
        "" if _NO_CHARACTER in text or i in special else text
        for i, text in enumerate(texts)
    ]
    continuation = getattr(other, "continuation", "")
    unknown = getattr(other, "unknown_id", None)
    first = other.encode_batch(["a"])[0][:1]
    adds_space = any(other.id_to_token(i).startswith(_SPACES) for i in first)
    if adds_space:
        encoded = other.encode_batch([text.removeprefix(" ") for text in texts])
    else:
        encoded = other.encode_batch(texts)
    pieces = []
    for text, ids in zip(texts, encoded, strict=True):
        marked = continuation + text
        if text and not text[0].isspace() and (continuation or adds_space):
            if marked in other.vocabulary:
                ids = [other.vocabulary[marked]]
            elif len(ids) > 1 and other.id_to_token(ids[0]) in _SPACES:
                ids = ids[1:]
        pieces.append([] if not text.strip() or unknown in ids else ids)
    return pieces
