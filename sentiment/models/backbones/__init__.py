"""Kinds of backbone: a record each, and which is whose.

To add one, write a module here that holds its `KIND` (see `BackboneKind`), and enter it
in `KINDS`. Where it can be made with random weights, it also has an entry in
`ARCHITECTURES` of `config/model.py`, which is what `--architecture` takes.
"""

import importlib

from sentiment.config import ARCHITECTURES
from sentiment.errors import InputError
from sentiment.models.backbones.kind import BackboneKind

# By the module that holds it; a subclass's before its base's.
KINDS: dict[str, BackboneKind] = {
    name: importlib.import_module(f"{__name__}.{name}").KIND
    for name in (
        "gpt2",
        "recurrent",
        "bert",
        "xlm_roberta",
        "roberta",
        "distil_bert",
        "albert",
        "electra",
        "deberta_v3",
        "xlnet",
        "modern_bert",
        "opt",
        "llama",
        "mistral",
        "qwen3",
        "smollm3",
        "gemma3",
    )
}


def kind_of(backbone) -> BackboneKind:
    """The record of a backbone's kind.

    Raises:
        InputError: it is of none.
    """
    return kind_of_class(type(backbone))


def kind_of_class(backbone_class: type) -> BackboneKind:
    """The record of the kind whose backbones have this class.

    Raises:
        InputError: there is none.
    """
    for kind in KINDS.values():
        if issubclass(backbone_class, kind.backbone_class):
            return kind
    raise InputError(
        f"The backbone must be one of {known_backbones()}. Received: a "
        f"{backbone_class.__name__}."
    )


def kind_of_architecture(name: str) -> BackboneKind:
    """The record of the kind that `--architecture=name` makes."""
    return KINDS[ARCHITECTURES[name].kind]


def kind_of_config(config: dict) -> BackboneKind | None:
    """The record of what a preset's `config.json` describes; `None` if none does.

    Args:
        config: KerasHub's, with `class_name`, or Hugging Face's, with `model_type`.
    """
    for kind in KINDS.values():
        if config.get("model_type") in kind.huggingface_types:
            return kind
        classes = (kind.backbone_class, *kind.variants)
        if config.get("class_name") in {cls.__name__ for cls in classes}:
            return kind
    return None


def known_backbones() -> str:
    """Names of the classes, for messages."""
    return ", ".join(kind.backbone_class.__name__ for kind in KINDS.values())


def kerashub_presets() -> list[str]:
    """Names of the presets that KerasHub has of all kinds."""
    return [name for kind in KINDS.values() for name in kind.backbone_class.presets]
