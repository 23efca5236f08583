"""A fresh classifier, as the settings describe it."""

import json
from pathlib import Path

import numpy as np
import tokenizers

from sentiment.config import ARCHITECTURES, BackboneConfig, ModelConfig
from sentiment.data import cleaning, vocabulary
from sentiment.data.cache import ArrayCache, fingerprint
from sentiment.data.datasets import Splits
from sentiment.data.vocabulary import read_vocabulary
from sentiment.errors import InputError
from sentiment.models.backbones import kind_of_architecture
from sentiment.models.embedding_transfer import (
    check_embeddings,
    load_embeddings,
    transfer_embeddings,
)
from sentiment.models.gpt2_tokenizer import ByteLevelGPT2Tokenizer
from sentiment.models.packed_text_classifier import (
    PackedTextClassifier,
    classifier_class,
)
from sentiment.models.presets import load_pretrained, make_preprocessor
from sentiment.runtime.memory import physical_memory

# Weight, gradient and two moments, in float32.
_BYTES_PER_WEIGHT = 16


def check_fresh(config: BackboneConfig):
    """Checks, before texts are read, what a fresh backbone is made of.

    Raises:
        InputError: its weights, gradients and moments alone need more memory than the
            machine has, or the tokenizer folder or the embeddings cannot be used.
    """
    if config.tokenizer:
        read_vocabulary(config.tokenizer)
    _check_memory(config)
    if config.embeddings_from:
        check_embeddings(config.embeddings_from, config.hidden_dim)


def _check_memory(config: BackboneConfig):
    width = config.hidden_dim
    in_layer = 4 * width**2
    if ARCHITECTURES[config.architecture].has_heads:
        in_layer += 2 * width * config.intermediate_dim
    embeddings = (config.vocabulary_size + config.max_positions) * width
    needed = _BYTES_PER_WEIGHT * (embeddings + config.num_layers * in_layer)
    if needed > (available := physical_memory()):
        raise InputError(
            f"A backbone of {config.num_layers} layers of {width:,} with "
            f"{config.vocabulary_size:,} tokens needs {needed / 1e9:,.0f} GB to be "
            f"trained; this machine has {available / 1e9:,.0f} GB. Give smaller "
            "--num_layers, --hidden_dim, --intermediate_dim or --vocabulary_size."
        )


def prepare_parts(config: ModelConfig, dtype: str):
    """Loads what does not depend on the data, and so can fail before it is read.

    Returns:
        Backbone and preprocessor of `config.preset`, as of `load_pretrained`;
        `None` if they are to be random.

    Raises:
        InputError: the preset or the tokenizer folder cannot be used.
    """
    if config.preset:
        return load_pretrained(config, dtype)
    check_fresh(config)
    return None


def build_classifier(
    config: ModelConfig,
    dtype: str,
    splits: Splits,
    pretrained=None,
    cache_dir: str = "",
    like: PackedTextClassifier | None = None,
) -> PackedTextClassifier:
    """A fresh classifier: pretrained or random backbone, random head.

    Args:
        config: the model settings.
        dtype: dtype policy of the backbone.
        splits: gives label names and, where a vocabulary is trained, its texts.
        pretrained: backbone and preprocessor as of `load_pretrained`, or `None`
            to make random ones.
        cache_dir: folder that keeps a trained vocabulary for the next run on the
            same texts; empty: nothing is kept.
        like: a classifier whose pooling and form of head it has; by default those of
            the settings.
    """
    if pretrained is not None:
        backbone, preprocessor = pretrained
    else:
        tokenizer = make_tokenizer(config, splits.train.texts, cache_dir)
        preprocessor = make_preprocessor(config, tokenizer)
        backbone = make_backbone(config, tokenizer, dtype)
    return classifier_class(type(backbone))(
        backbone,
        num_classes=len(splits.label_names),
        preprocessor=preprocessor,
        dropout=config.dropout,
        label_names=splits.label_names,
        **({"pooling": config.pooling} if like is None else like.head_form),
    )


def make_backbone(
    config: BackboneConfig,
    tokenizer: ByteLevelGPT2Tokenizer,
    dtype: str,
    num_special: int = 0,
):
    """A fresh backbone of the kind and sizes in `config`.

    Its weights are random, but for embeddings that come from another model.

    Args:
        config: the settings.
        tokenizer: its tokenizer.
        dtype: dtype policy.
        num_special: tokens that the tokenizer does not know, after those that it does.
    """
    kind = kind_of_architecture(config.architecture)
    backbone = kind.fresh(config, tokenizer.vocabulary_size() + num_special, dtype)
    if config.embeddings_from:
        source = load_embeddings(config.embeddings_from)
        transfer_embeddings(backbone, tokenizer, source)
    return backbone


def make_tokenizer(
    config: BackboneConfig, texts: list[str], cache_dir: str = ""
) -> ByteLevelGPT2Tokenizer:
    """The tokenizer of `config`, or one trained on `texts`.

    Args:
        config: names a tokenizer folder, or the size of the vocabulary.
        texts: what a vocabulary is trained on, not cleaned yet.
        cache_dir: folder that keeps it for the next run on the same texts.
    """
    if config.tokenizer:
        return ByteLevelGPT2Tokenizer(*read_vocabulary(config.tokenizer))
    cache = ArrayCache(cache_dir and Path(cache_dir) / "vocabularies")
    key = cache_dir and fingerprint(
        Path(cleaning.__file__).read_bytes(),
        Path(vocabulary.__file__).read_bytes(),
        tokenizers.__version__,
        json.dumps([config.vocabulary_size, config.lowercase]),
        texts,
    )
    found = cache.load(key, "json")
    if found is not None:
        return ByteLevelGPT2Tokenizer(*json.loads(found["json"].tobytes()))
    cleaned = (cleaning.clean_text(text, config.lowercase) for text in texts)
    trained = vocabulary.train_vocabulary(cleaned, config.vocabulary_size)
    encoded = json.dumps(trained).encode()
    cache.save(key, {"json": np.frombuffer(encoded, np.uint8)})
    return ByteLevelGPT2Tokenizer(*trained)
