"""Low-rank adapters: a frozen backbone, and small matrices that learn beside it.

Each adapted kernel W is read as W + alpha / rank * A B (Hu et al. 2021,
https://arxiv.org/abs/2106.09685), in the form that Keras gives it: A and B meet over
the kernel's last axis, so attention heads have an A each and share B. Only A, B,
pooling and head are trained, and so only they are in an adapter's file.
"""

import dataclasses
import hashlib
import json
import os
from pathlib import Path

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from sentiment.config import LORA_TARGETS, ModelConfig
from sentiment.errors import InputError
from sentiment.models.backbones import kind_of
from sentiment.models.backbones.variants import with_weights
from sentiment.models.packed_text_classifier import (
    PackedTextClassifier,
    classifier_class,
)
from sentiment.models.presets import load_pretrained

METADATA = "sentiment_adapter"  # key in the file's header
_LORA_VARIABLES = ("lora_kernel_a", "lora_kernel_b")


def enable_lora(
    classifier: PackedTextClassifier,
    rank: int,
    targets: tuple[str, ...] = ("query", "value"),
    alpha: float | None = None,
):
    """Freezes a classifier's backbone and adds adapters to it.

    Unlike `keras_hub.models.Backbone.enable_lora` it freezes the adapted layers'
    biases, too, and so changes nothing that an adapter's file does not hold.

    Args:
        classifier: is changed in place; compile it afterwards.
        rank: int, columns of A.
        targets: layers of each block that get an adapter, of `LORA_TARGETS`.
        alpha: float, the scale is alpha / rank; `rank` by default.

    Raises:
        InputError: the backbone has no such layers.
    """
    backbone = classifier.backbone
    check_adaptable(backbone, targets)
    for layer in backbone._flatten_layers(include_self=False):
        layer.trainable = False
    kind = kind_of(backbone)
    for block in kind.blocks(backbone):
        layers = kind.lora_layers(block)
        for target in targets:
            layer = layers[target]
            layer.trainable = True
            layer.enable_lora(rank, lora_alpha=alpha)
            if layer.bias is not None:
                layer.bias.trainable = False


def check_adaptable(backbone, targets: tuple[str, ...] = ()):
    """Raises an `InputError` where there are no layers that LoRA adapts.

    Args:
        backbone: any.
        targets: names of layers, of `LORA_TARGETS`.
    """
    kind = kind_of(backbone)
    if not kind.is_adaptable:
        raise InputError(
            "LoRA adapts the layers of attention blocks. Received: a "
            f"{type(backbone).__name__}. Leave out `lora_rank`."
        )
    layers = kind.lora_layers(kind.blocks(backbone)[0])
    unknown = [target for target in targets if target not in layers]
    if unknown:
        raise InputError(
            f"A {type(backbone).__name__} has no layer {unknown[0]!r} for LoRA. It has "
            f"{', '.join(layers)}."
        )


def merge_lora(classifier: PackedTextClassifier) -> PackedTextClassifier:
    """The same classifier with its adapters merged into the kernels."""
    backbone = classifier.backbone
    kernels = {
        layer._kernel.path: _merged_kernel(layer) for layer in _adapted(backbone)
    }
    return classifier.with_backbone(with_weights(backbone, kernels))


def _adapted(backbone) -> list:
    return [
        layer
        for layer in backbone._flatten_layers(include_self=False)
        if getattr(layer, "lora_enabled", False)
    ]


def _merged_kernel(layer) -> np.ndarray:
    """In float64, so that it does not depend on the order of a product's sums."""
    kernel, a, b = (
        np.array(v.value, np.float64)
        for v in (layer._kernel, layer.lora_kernel_a, layer.lora_kernel_b)
    )
    return kernel + layer.lora_alpha / layer.lora_rank * (a @ b)


def save_adapter(
    classifier: PackedTextClassifier, config: ModelConfig, path: str | Path
):
    """Writes the variables that LoRA trained, and what to rebuild the model from.

    The file is in the safetensors format: one float32 array per trained variable, by
    its path in the model, and a JSON text in the header.

    Args:
        classifier: with adapters, not merged.
        config: what the classifier was built of, its preset before all.
        path: of the file.
    """
    backbone, preset = classifier.backbone, config.preset
    adapted = _adapted(backbone)
    kind = kind_of(backbone)
    layers = kind.lora_layers(kind.blocks(backbone)[0])
    model = dataclasses.replace(
        config,
        # From any folder; a name of KerasHub's or ours stays as it is.
        preset=os.path.abspath(preset) if os.path.exists(preset) else preset,
        sequence_length=classifier.preprocessor.sequence_length,
        pooling=classifier.pooling,
    )
    about = {
        "model": dataclasses.asdict(model),
        "dtype": backbone.dtype_policy.name,
        "base": _fingerprint(backbone),
        "rank": adapted[0].lora_rank,
        "alpha": adapted[0].lora_alpha,
        "targets": [name for name in LORA_TARGETS if layers.get(name) in adapted],
        "label_names": list(classifier.label_names),
        "temperature": classifier.temperature,
        "head": classifier.head_form,
    }
    arrays = {v.path: np.array(v.value) for v in classifier.trainable_variables}
    save_file(arrays, path, metadata={METADATA: json.dumps(about)})


def load_adapter(path: str | Path, preset: str = "") -> PackedTextClassifier:
    """The tuned classifier: the preset's weights with an adapter merged into them.

    Args:
        path: a file that `save_adapter` wrote.
        preset: of the backbone; by default the one that was trained on.

    Returns:
        A classifier without adapters, equal to the trained one bit for bit.

    Raises:
        InputError: the file is damaged or no adapter, or the preset cannot be loaded
            or has other weights than the one that was trained on.
    """
    about, arrays = _read_adapter(path)
    trained_on = about["model"]["preset"]
    config = ModelConfig(**{**about["model"], "preset": preset or trained_on})
    way = (
        f"Put back the preset {trained_on!r} as it was, or say where it is: "
        "sentiment.models.lora.load_adapter(path, preset=...)."
    )
    try:
        backbone, preprocessor = load_pretrained(config, about["dtype"])
    except InputError as error:
        message = f"The adapter {path} needs its preset. {way}\n{error}"
        raise InputError(message) from error
    if _fingerprint(backbone) != about["base"]:
        raise InputError(
            f"The adapter {path} belongs to the preset {trained_on!r} as it was when "
            f"it was trained; {config.preset!r} has other weights. {way}"
        )
    classifier = classifier_class(type(backbone))(
        backbone,
        num_classes=len(about["label_names"]),
        preprocessor=preprocessor,
        dropout=config.dropout,
        label_names=about["label_names"],
        temperature=about.get("temperature", 1.0),
        **_head_form(about),
    )
    enable_lora(classifier, about["rank"], about["targets"], about["alpha"])
    variables = {v.path: v for v in classifier.trainable_variables}
    if variables.keys() != arrays.keys():
        lacks = ", ".join(sorted(variables.keys() - arrays.keys())) or "nothing"
        more = ", ".join(sorted(arrays.keys() - variables.keys())) or "nothing"
        raise InputError(f"{path} is damaged: it lacks {lacks} and has {more} besides.")
    for name, variable in variables.items():
        array = arrays[name]
        if array.shape != variable.shape or array.dtype != variable.dtype:
            raise InputError(
                f"{path} is not as it was saved: {name} is {array.dtype} of shape "
                f"{array.shape}, not {variable.dtype} of {tuple(variable.shape)}."
            )
        variable.assign(array)
    return merge_lora(classifier)


def _head_form(about: dict) -> dict:
    """Of older adapters, too."""
    if "head" in about:
        return about["head"]
    form = {"pooling": about["model"]["pooling"]}
    return {**form, "head_activation": about.get("head_activation")}


def _read_adapter(path) -> tuple[dict, dict[str, np.ndarray]]:
    try:
        with safe_open(path, framework="numpy") as file:
            metadata = file.metadata() or {}
            arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (OSError, SafetensorError) as error:
        raise InputError(f"The adapter {path} cannot be read: {error}.") from error
    if METADATA not in metadata:
        raise InputError(
            f"{path} is no adapter of this project. Its header holds: "
            f"{', '.join(metadata) or 'nothing'}."
        )
    return json.loads(metadata[METADATA]), arrays


def _fingerprint(backbone) -> str:
    """SHA-256 of a backbone's own weights, without adapters."""
    digest = hashlib.sha256()
    for variable in backbone.weights:
        if variable.name not in _LORA_VARIABLES:
            digest.update(np.array(variable.value).tobytes())
    return digest.hexdigest()
