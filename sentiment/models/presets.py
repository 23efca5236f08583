"""Pretrained weights: KerasHub, Kaggle, Hugging Face, local folders."""

import json
from pathlib import Path

from keras_hub.src.utils.preset_utils import get_preset_loader

from sentiment.bundled import bundled_presets, resolve
from sentiment.config import BackboneConfig, ModelConfig
from sentiment.errors import InputError
from sentiment.models.backbones import (
    kerashub_presets,
    kind_of_class,
    kind_of_config,
    known_backbones,
)
from sentiment.models.backbones.variants import with_fewer_layers
from sentiment.models.gpt2_text_classifier_preprocessor import (
    GPT2TextClassifierPreprocessor,
)
from sentiment.models.gpt2_tokenizer import ByteLevelGPT2Tokenizer
from sentiment.models.packed_causal_lm import CLEANING_FILE
from sentiment.models.packed_text_classifier import fit_sequence_length
from sentiment.models.saved_model import check_saved_model
from sentiment.runtime.network import has_network

HF_PREFIX = "hf://"
HF_HOST = "huggingface.co"
KAGGLE_PREFIX = "kaggle://"
CONFIG_FILE = "config.json"  # KerasHub's name, and Hugging Face's
PREPROCESSOR_FILE = "preprocessor.json"
LOCAL_WAY = (
    "Without network, download it elsewhere and give the folder: `preset=FOLDER`, "
    "either a KerasHub preset (as Kaggle's download or save_to_preset leaves it) or a "
    "Hugging Face folder (config.json, model.safetensors, vocab.json, merges.txt)."
)


def load_pretrained(config: ModelConfig, dtype: str = "float32"):
    """The backbone and preprocessor of `config.preset`.

    Args:
        config: the model settings, `preset` not empty.
        dtype: dtype policy of the backbone.

    Returns:
        `(backbone, preprocessor)`: a `keras_hub.models.GPT2Backbone` or one of another
        kind of `sentiment.models.backbones`, and a `GPT2TextClassifierPreprocessor`
        with GPT-2's exact tokenizer.

    Raises:
        InputError: see `load_backbone`; or a sequence length beyond the backbone's
            positions.
    """
    backbone, tokenizer = load_backbone(config, dtype)
    preprocessor = make_preprocessor(config, tokenizer)
    fit_sequence_length(preprocessor, backbone)
    return backbone, preprocessor


def make_preprocessor(
    config: ModelConfig, tokenizer: ByteLevelGPT2Tokenizer
) -> GPT2TextClassifierPreprocessor:
    """A preprocessor that reads texts as `config` says."""
    return GPT2TextClassifierPreprocessor(
        tokenizer,
        sequence_length=config.sequence_length or None,
        truncation=config.truncation,
        lowercase=config.lowercase,
    )


def load_backbone(config: BackboneConfig, dtype: str = "float32"):
    """The backbone and tokenizer of `config.preset`.

    Args:
        config: the backbone's settings, `preset` not empty.
        dtype: dtype policy of the backbone.

    Returns:
        `(backbone, tokenizer)`: a `keras_hub.models.GPT2Backbone` or an
        `RNNBackbone`, and a `ByteLevelGPT2Tokenizer`.

    Raises:
        InputError: no such preset, neither GPT-2 nor recurrent, a broken folder,
            a quantised one, one trained on other cleaning, one with fewer layers than
            are to be kept, or no network.
    """
    preset = resolve(config.preset)
    _check_preset(preset)
    _check_cleaning(config, Path(preset))
    try:
        kind = kind_of_class(get_preset_loader(preset).check_backbone_class())
        backbone = kind.backbone_class.from_preset(
            preset, dropout=config.dropout, dtype=dtype
        )
        tokenizer = ByteLevelGPT2Tokenizer.from_tokenizer(
            kind.tokenizer_class.from_preset(preset)
        )
    except Exception as error:  # Each hub and file format fails in its own way.
        raise InputError(
            f"The preset {config.preset!r} cannot be loaded: {error}\n{LOCAL_WAY}"
        ) from error
    if config.keep_layers:
        backbone = with_fewer_layers(backbone, config.keep_layers)
    num_tokens = tokenizer.vocabulary_size()
    if num_tokens > backbone.vocabulary_size:
        raise InputError(
            f"The preset {config.preset!r} has a tokenizer of {num_tokens} tokens and "
            f"a backbone that knows {backbone.vocabulary_size}, which would give NaN. "
            "They do not belong together."
        )
    return backbone, tokenizer


def _check_preset(preset: str):
    """Checks what can be checked before a library starts to load or to retry."""
    if preset.startswith(HF_PREFIX):
        # The Hugging Face client retries for half a minute before it gives up.
        if not (_is_cached(preset) or has_network(HF_HOST)):
            raise InputError(
                f"The preset {preset!r} must be downloaded, and {HF_HOST} cannot be "
                f"reached. {LOCAL_WAY}"
            )
        return
    if preset.startswith(KAGGLE_PREFIX) or preset in kerashub_presets():
        return  # Kaggle's client fails at once.
    if not Path(preset).is_dir():
        raise InputError(
            f"The preset {preset!r} is no folder here, no kaggle:// or hf:// handle "
            f"and none of KerasHub's presets: {', '.join(kerashub_presets())}; nor of "
            f"those that come along: {', '.join(bundled_presets()) or 'none'}."
        )
    _check_folder(Path(preset))


def _is_cached(preset: str) -> bool:
    import huggingface_hub  # A local model is loaded without.

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
    path = folder / CONFIG_FILE
    if not path.is_file():
        held = ", ".join(sorted(p.name for p in folder.iterdir())[:10]) or "nothing"
        raise InputError(
            f"The preset folder {str(folder)!r} has no {CONFIG_FILE}. It holds: {held}."
        )
    check_saved_model(folder, (CONFIG_FILE,))
    config = json.loads(path.read_text(encoding="utf-8"))
    if not isinstance(config, dict):
        raise InputError(f"{path} must hold one JSON object. Received: {config!r}.")
    if kind_of_config(config) is None:
        held = config.get("model_type") or config.get("class_name")
        raise InputError(
            f"The preset folder {str(folder)!r} holds {held!r}. Backbones known are "
            f"{known_backbones()}."
        )
    if _is_quantized(config):
        raise InputError(
            f"The preset {str(folder)!r} is quantised, and so cannot be trained. Give "
            "the one that it was made of."
        )


def _is_quantized(config: dict) -> bool:
    """Whether layers of a KerasHub preset have dtype policies of their own."""
    dtype = config.get("config", {}).get("dtype")
    return isinstance(dtype, dict) and dtype.get("class_name") == "DTypePolicyMap"


def _check_cleaning(config: BackboneConfig, folder: Path):
    """Refuses a preset that has learned from texts cleaned in another way."""
    trained = _trained_lowercase(folder)
    if trained not in (None, config.lowercase):
        raise InputError(
            f"The preset {config.preset!r} was trained with `lowercase={trained}`; "
            f"received `lowercase={config.lowercase}`. Give the same."
        )


def _trained_lowercase(folder: Path) -> bool | None:
    """What a language model or a classifier of ours read; `None` for others."""
    for name, read in (
        (CLEANING_FILE, lambda content: content["lowercase"]),
        (PREPROCESSOR_FILE, lambda content: content["config"].get("lowercase")),
    ):
        path = folder / name
        try:
            if path.is_file():
                return read(json.loads(path.read_text(encoding="utf-8")))
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise InputError(f"{path} is damaged: {error!r}.") from error
    return None
