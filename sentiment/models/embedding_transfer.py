"""Token embeddings of a new vocabulary, from those of a pretrained model.

A small model that starts from random weights has to learn what each word means from its
own texts. Its embeddings may start instead from those that a larger model has, although
the two cut texts differently: each token is the mean of the pieces that the other
tokenizer makes of it (Gee et al. 2022, "Fast Vocabulary Transfer for Language Model
Compression", https://aclanthology.org/2022.emnlp-industry.41). Where these are wider,
their principal components are taken.
"""

import logging
from dataclasses import dataclass

import numpy as np
from keras import ops

from sentiment.errors import InputError
from sentiment.models.fast_tokenizer import FastTokenizer
from sentiment.models.gpt2_tokenizer import ByteLevelGPT2Tokenizer
from sentiment.models.initial_weights import without_initial_weights
from sentiment.models.presets import load_preset_parts

logger = logging.getLogger(__name__)

_CONTINUATION = "##"  # begins a WordPiece that goes on with a word
_NO_CHARACTER = "\N{REPLACEMENT CHARACTER}"


@dataclass(frozen=True, eq=False)
class PretrainedEmbeddings:
    """What a pretrained model knows of single tokens.

    Attributes:
        tokenizer: its tokenizer.
        vectors: float32 (vocabulary_size, width).
    """

    tokenizer: FastTokenizer | ByteLevelGPT2Tokenizer
    vectors: np.ndarray


def check_embeddings(preset: str, hidden_dim: int):
    """Checks, before anything is read, that a preset's embeddings can be taken.

    Args:
        preset: as `--preset`: a KerasHub preset, a handle or a folder.
        hidden_dim: width of the model that is to have them.

    Raises:
        InputError: the preset cannot be loaded, or its embeddings are narrower.
    """
    with without_initial_weights():
        width = _load(preset, load_weights=False).vectors.shape[1]
    if width < hidden_dim:
        raise InputError(
            f"The embeddings of {preset!r} have {width} dimensions, too few for "
            f"--hidden_dim={hidden_dim}. Give a wider model or a smaller width."
        )


def load_embeddings(preset: str) -> PretrainedEmbeddings:
    """The token embeddings of a preset, see `check_embeddings`.

    Raises:
        InputError: the preset cannot be loaded.
    """
    return _load(preset, load_weights=True)


def _load(preset: str, load_weights: bool) -> PretrainedEmbeddings:
    backbone, tokenizer = load_preset_parts(preset, load_weights=load_weights)
    vectors = ops.convert_to_numpy(backbone.token_embedding.embeddings)
    return PretrainedEmbeddings(tokenizer, vectors.astype("float32"))


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
    own = ops.convert_to_numpy(variable)
    pieces = _pieces(tokenizer, source.tokenizer)
    known = np.array([i for i, ids in enumerate(pieces) if ids], int)
    means = np.stack([source.vectors[pieces[i]].mean(axis=0) for i in known])
    width = own.shape[1]
    if means.shape[1] > width:
        components = min(width, len(means))
        reduction = PCA(components, svd_solver="covariance_eigh")
        reduced = reduction.fit_transform(means)
        means = np.zeros((len(means), width), "float32")
        means[:, :components] = reduced
        share = f"{reduction.explained_variance_ratio_.sum():.0%} of their variance, "
    else:
        means, share = means - means.mean(axis=0), ""
    means *= np.sqrt(np.mean(own**2) / max(np.mean(means**2), 1e-12))
    own = own.copy()
    own[known] = means
    variable.assign(own)
    logger.info(
        f"{len(known):,} of {len(pieces):,} tokens start with embeddings of the other "
        f"model, {share}{len(pieces) - len(known):,} with random ones."
    )


def _pieces(tokenizer, other) -> list[list[int]]:
    """Ids that `other` has for each token's text; none where it has no text."""
    texts = tokenizer.decode_batch([[i] for i in range(tokenizer.vocabulary_size())])
    texts = [
        "" if _NO_CHARACTER in text or i in tokenizer.start_ids else text
        for i, text in enumerate(texts)
    ]
    encoded = other.encode_batch(texts)
    known = other.vocabulary
    return [
        [known[_CONTINUATION + text]] if _CONTINUATION + text in known else ids
        for text, ids in zip(texts, encoded, strict=True)
    ]
