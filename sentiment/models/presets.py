"""Pretrained GPT-2 weights: KerasHub, Kaggle, Hugging Face, local folders."""

import json
from pathlib import Path

import huggingface_hub
import keras_hub

from sentiment.config import ModelConfig
from sentiment.errors import InputError
from sentiment.models.gpt2_text_classifier import fit_sequence_length
from sentiment.models.gpt2_text_classifier_preprocessor import (
    GPT2TextClassifierPreprocessor,
)
from sentiment.network import has_network

HF_PREFIX = "hf://"
HF_HOST = "huggingface.co"
KAGGLE_PREFIX = "kaggle://"
LOCAL_WAY = (
    "Without network, download it elsewhere and give the folder: --preset=FOLDER, "
    "either a KerasHub preset (as Kaggle's download or save_to_preset leaves it) or a "
    "Hugging Face folder (config.json, model.safetensors, vocab.json, merges.txt)."
)


def load_pretrained(config: ModelConfig, dtype: str = "float32"):
    """The backbone and preprocessor of `config.preset`.

    Args:
        config: the model settings, `preset` not empty.
        dtype: dtype policy of the backbone.

    Returns:
        `(backbone, preprocessor)`: a `keras_hub.models.GPT2Backbone` and a
        `GPT2TextClassifierPreprocessor` with GPT-2's exact tokenizer.

    Raises:
        InputError: no such preset, not GPT-2, a broken folder, no network, or a
            sequence length beyond the backbone's positions.
    """
    _check_preset(config.preset)
    try:
        backbone = keras_hub.models.GPT2Backbone.from_preset(
            config.preset, dropout=config.dropout, dtype=dtype
        )
        preprocessor = GPT2TextClassifierPreprocessor.from_preset(
            config.preset,
            sequence_length=config.sequence_length or None,
            truncation=config.truncation,
            lowercase=config.lowercase,
        )
    except Exception as error:  # Each hub and file format fails in its own way.
        raise InputError(
            f"The preset {config.preset!r} cannot be loaded: {error}\n{LOCAL_WAY}"
        ) from error
    fit_sequence_length(preprocessor, backbone.max_sequence_length)
    num_tokens = preprocessor.tokenizer.vocabulary_size()
    if num_tokens > backbone.vocabulary_size:
        raise InputError(
            f"The preset {config.preset!r} has a tokenizer of {num_tokens} tokens and "
            f"a backbone that knows {backbone.vocabulary_size}, which would give NaN. "
            "They do not belong together."
        )
    return backbone, preprocessor


def _check_preset(preset: str):
    """What can be told before a library starts to retry or to load."""
    if preset.startswith(HF_PREFIX):
        # The Hugging Face client retries for half a minute before it gives up.
        if not (_is_cached(preset) or has_network(HF_HOST)):
            raise InputError(
                f"The preset {preset!r} must be downloaded, and {HF_HOST} cannot be "
                f"reached. {LOCAL_WAY}"
            )
        return
    builtin = keras_hub.models.GPT2Backbone.presets
    if preset.startswith(KAGGLE_PREFIX) or preset in builtin:
        return  # Kaggle's client fails at once.
    if not Path(preset).is_dir():
        raise InputError(
            f"The preset {preset!r} is no folder here, no kaggle:// or hf:// handle "
            f"and none of KerasHub's GPT-2 presets: {', '.join(builtin)}."
        )
    _check_folder(Path(preset))


def _is_cached(preset: str) -> bool:
    repo = preset.removeprefix(HF_PREFIX)
    try:
        found = huggingface_hub.try_to_load_from_cache(repo, "config.json")
    except ValueError as error:
        raise InputError(
            "A Hugging Face handle has the form hf://user/model. "
            f"Received: {preset!r} ({error})."
        ) from error
    return isinstance(found, str)


def _check_folder(folder: Path):
    path = folder / "config.json"
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        held = ", ".join(sorted(p.name for p in folder.iterdir())[:10]) or "nothing"
        raise InputError(
            f"The preset folder {str(folder)!r} has no config.json. It holds: {held}."
        ) from None
    except ValueError as error:
        raise InputError(f"{path} is not valid JSON: {error}") from error
    if not isinstance(config, dict):
        raise InputError(f"{path} must hold one JSON object. Received: {config!r}.")
    kind = config.get("model_type") or config.get("class_name")
    if kind not in ("gpt2", "GPT2Backbone"):
        raise InputError(
            f"The preset folder {str(folder)!r} holds {kind!r}, not a GPT-2 backbone."
        )
