"""Pretrained weights: KerasHub, Kaggle, Hugging Face, local folders."""

import json
from pathlib import Path

from keras_hub.src.utils.preset_utils import get_preset_loader, load_json

from sentiment.bundled import bundled_presets, resolve
from sentiment.config import BackboneConfig, ModelConfig
from sentiment.errors import InputError
from sentiment.models.backbones import (
    kerashub_presets,
    kind_of,
    kind_of_config,
    known_backbones,
)
from sentiment.models.backbones.variants import with_fewer_layers
from sentiment.models.fast_tokenizer import FastTokenizer
from sentiment.models.gpt2_text_classifier_preprocessor import (
    GPT2TextClassifierPreprocessor,
)
from sentiment.models.gpt2_tokenizer import ByteLevelGPT2Tokenizer
from sentiment.models.huggingface import (
    CONFIG_FILE,
    check_huggingface_files,
    load_huggingface_backbone,
)
from sentiment.models.packed_language_model import CLEANING_FILE
from sentiment.models.packed_text_classifier_preprocessor import (
    PackedTextClassifierPreprocessor,
    fit_sequence_length,
)
from sentiment.models.saved_model import check_saved_model
from sentiment.models.tokenizer_files import exact_tokenizer, huggingface_tokenizer
from sentiment.runtime.network import has_network

HF_PREFIX = "hf://"
HF_HOST = "huggingface.co"
KAGGLE_PREFIX = "kaggle://"
HANDLES = (HF_PREFIX, KAGGLE_PREFIX)
PREPROCESSOR_FILE = "preprocessor.json"
LOCAL_WAY = (
    "Without network, download it elsewhere and give the folder: `preset=FOLDER`, "
    "either a KerasHub preset (as Kaggle's download or save_to_preset leaves it) or a "
    "Hugging Face folder (config.json, model.safetensors, tokenizer.json)."
)


def load_pretrained(config: ModelConfig, dtype: str = "float32"):
    """The backbone and preprocessor of `config.preset`.

    Args:
        config: the model settings, `preset` not empty.
        dtype: dtype policy of the backbone.

    Returns:
        `(backbone, preprocessor)`: one of a kind of `sentiment.models.backbones`, for
        instance a `keras_hub.models.GPT2Backbone`, and a
        `PackedTextClassifierPreprocessor` with its exact tokenizer.

    Raises:
        InputError: see `load_backbone`; or a sequence length beyond the backbone's
            positions.
    """
    backbone, tokenizer = load_backbone(config, dtype)
    preprocessor = make_preprocessor(config, tokenizer)
    fit_sequence_length(preprocessor, backbone)
    return backbone, preprocessor


def make_preprocessor(
    config: ModelConfig, tokenizer: FastTokenizer | ByteLevelGPT2Tokenizer
) -> PackedTextClassifierPreprocessor:
    """A preprocessor that reads texts as `config` says."""
    return preprocessor_class(tokenizer)(
        tokenizer,
        sequence_length=config.sequence_length or None,
        truncation=config.truncation,
        lowercase=config.lowercase,
    )


def preprocessor_class(tokenizer) -> type[PackedTextClassifierPreprocessor]:
    """The class of preprocessors with a tokenizer."""
    if isinstance(tokenizer, ByteLevelGPT2Tokenizer):
        return GPT2TextClassifierPreprocessor
    return PackedTextClassifierPreprocessor


def load_backbone(config: BackboneConfig, dtype: str = "float32"):
    """The backbone and tokenizer of `config.preset`.

    Args:
        config: the backbone's settings, `preset` not empty.
        dtype: dtype policy of the backbone.

    Returns:
        `(backbone, tokenizer)`: one of a kind of `sentiment.models.backbones`, and a
        `ByteLevelGPT2Tokenizer` or a `FastTokenizer`.

    Raises:
        InputError: no such preset, of no kind that is known, a broken folder, a
            quantised one, one trained on other cleaning or on capitals that
            `lowercase` would take away, one with fewer layers than are to be kept, or
            no network.
    """
    _check_cleaning(config, Path(resolve(config.preset)))
    backbone, tokenizer = load_preset_parts(
        config.preset, dropout=config.dropout, dtype=dtype
    )
    is_fast = isinstance(tokenizer, FastTokenizer)
    if config.lowercase and is_fast and not tokenizer.lowercases:
        raise InputError(
            f"The preset {config.preset!r} has learned from texts with capitals; leave "
            "out --lowercase."
        )
    if config.keep_layers:
        backbone = with_fewer_layers(backbone, config.keep_layers)
    return backbone, tokenizer


def load_preset_parts(name: str, load_weights: bool = True, **arguments):
    """The backbone and tokenizer of what `--preset` may name.

    Args:
        name: a name, handle or folder.
        load_weights: see `load_parts`.
        **arguments: see `load_parts`.

    Raises:
        InputError: see `check_preset`; or it cannot be loaded, or has more tokens than
            its backbone knows.
    """
    preset = resolve(name)
    check_preset(preset)
    try:
        backbone, tokenizer = load_parts(preset, load_weights, **arguments)
    except Exception as error:  # Each hub and file format fails in its own way.
        raise InputError(
            f"The preset {name!r} cannot be loaded: {error}\n{LOCAL_WAY}"
        ) from error
    num_tokens = tokenizer.vocabulary_size()
    known = kind_of(backbone).vocabulary_size(backbone)
    if num_tokens > known:
        raise InputError(
            f"The preset {name!r} has a tokenizer of {num_tokens} tokens and a "
            f"backbone that knows {known}, which would give NaN. They do not belong "
            "together."
        )
    return backbone, tokenizer


def load_parts(preset: str, load_weights: bool = True, **arguments):
    """The backbone and tokenizer of a preset, in any format.

    Args:
        preset: what KerasHub takes, or a folder.
        load_weights: bool, whether the backbone has the preset's.
        **arguments: of the backbone, instead of the preset's; `None` counts for none.

    Raises:
        InputError: it is of no kind that is known. Each hub and file format may raise
            others of their own.
    """
    arguments = {name: x for name, x in arguments.items() if x is not None}
    about = load_json(preset, CONFIG_FILE)
    kind = kind_of_config(about)
    if kind is None:
        held = about.get("model_type") or about.get("class_name")
        raise InputError(f"It holds {held!r}. Backbones known are {known_backbones()}.")
    if "model_type" in about:
        backbone = load_huggingface_backbone(
            kind, preset, about, load_weights, **arguments
        )
        return backbone, huggingface_tokenizer(kind, preset, about)
    backbone = kind.backbone_class.from_preset(
        preset, load_weights, **kind.known_arguments(arguments)
    )
    backbone = kind.adopt(backbone)
    loader = get_preset_loader(preset)
    return backbone, exact_tokenizer(loader.load_tokenizer(kind.tokenizer_class))


def check_preset(preset: str):
    """Checks what can be checked before a library starts to load or to retry.

    Raises:
        InputError: there is no such preset, it holds no backbone that is known, its
            files are damaged, or it must be downloaded and there is no network.
    """
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
    if "model_type" in config:
        check_huggingface_files(folder)
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
