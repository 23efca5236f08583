"""Hugging Face folders: backbones and heads of checkpoints in `safetensors`."""

import contextlib
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from keras_hub.src.utils.preset_utils import check_file_exists, get_file, load_json
from safetensors import SafetensorError, safe_open

from sentiment.errors import InputError
from sentiment.models.backbones import kind_of_config
from sentiment.models.backbones.kind import BackboneKind
from sentiment.models.initial_weights import without_initial_weights

WEIGHTS_FILE = "model.safetensors"
CONFIG_FILE = "config.json"  # and KerasHub's
INDEX_FILE = "model.safetensors.index.json"  # of checkpoints in several files


class HuggingFaceWeights(contextlib.ExitStack):
    """The arrays of a checkpoint, by name; what KerasHub's converters read from.

    A checkpoint of a backbone alone names its arrays without `prefix`, one with a head
    with it. KerasHub's own `SafetensorLoader` goes by the ends of names, and some of
    its converters know one of the two forms only.

    Args:
        preset: str, a folder or an `hf://` handle.
        prefix: of the backbone's arrays.
    """

    def __init__(self, preset: str, prefix: str):
        super().__init__()
        self._preset, self._prefix = preset, f"{prefix}."
        self._files = {}
        if check_file_exists(preset, INDEX_FILE):
            self._file_of = load_json(preset, INDEX_FILE)["weight_map"]
        else:
            self._file_of = dict.fromkeys(self._file(WEIGHTS_FILE).keys(), WEIGHTS_FILE)

    def _file(self, name: str):
        if name not in self._files:
            path = get_file(self._preset, name)
            self._files[name] = self.enter_context(safe_open(path, framework="np"))
        return self._files[name]

    def _full_name(self, name: str) -> str | None:
        short = name.removeprefix(self._prefix)
        for candidate in (name, short, self._prefix + short):
            if candidate in self._file_of:
                return candidate
        return None

    def __contains__(self, name: str) -> bool:
        return self._full_name(name) is not None

    def get_tensor(self, name: str) -> np.ndarray:
        """The array of a name, with or without prefix.

        Raises:
            InputError: there is none.
        """
        full_name = self._full_name(name)
        if full_name is None:
            raise InputError(f"Its weights lack {name!r}.")
        return self._file(self._file_of[full_name]).get_tensor(full_name)

    def port_weight(self, keras_variable, hf_weight_key, hook_fn=None):
        """Assigns an array; the name and arguments are those that KerasHub calls."""
        if "pooler" in hf_weight_key and hf_weight_key not in self:
            return  # Language models have none, and nothing here reads it.
        stored = array = self.get_tensor(hf_weight_key)
        try:
            if hook_fn:
                array = hook_fn(array, list(keras_variable.shape))
            keras_variable.assign(array)
        except ValueError as error:  # of a reshape, or of another shape
            raise InputError(
                f"Its weights {hf_weight_key!r} have the shape {stored.shape}; its "
                f"configuration wants them for {tuple(keras_variable.shape)}."
            ) from error


def check_huggingface_files(folder: Path):
    """Checks that the weights of a local folder are there and whole.

    Raises:
        InputError: a file is missing or damaged.
    """
    names = [WEIGHTS_FILE]
    if (folder / INDEX_FILE).is_file():
        try:
            index = json.loads((folder / INDEX_FILE).read_text(encoding="utf-8"))
            names = sorted({str(name) for name in index["weight_map"].values()})
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise InputError(f"{folder / INDEX_FILE} is damaged: {error!r}.") from error
    missing = [name for name in names if not (folder / name).is_file()]
    if missing:
        held = ", ".join(sorted(path.name for path in folder.iterdir())[:10])
        raise InputError(
            f"The folder {str(folder)!r} has no {missing[0]}. It holds: {held}. "
            "Weights must be in the safetensors format, as transformers saves them."
        )
    for name in names:
        try:
            with safe_open(folder / name, framework="np"):
                pass  # Reads the header and compares it with the file's size.
        except (OSError, SafetensorError) as error:
            raise InputError(
                f"{folder / name} is damaged or incomplete ({error}). Copy it again."
            ) from error


def load_huggingface_backbone(
    kind: BackboneKind,
    preset: str,
    config: dict,
    load_weights: bool = True,
    **arguments,
):
    """A backbone with the weights of a Hugging Face checkpoint.

    Args:
        kind: its kind.
        preset: a folder or an `hf://` handle.
        config: the content of its `config.json`.
        load_weights: whether it has the checkpoint's; otherwise they are random.
        **arguments: of the backbone, instead of those that the configuration gives.

    Raises:
        InputError: weights are missing or have other shapes than the configuration
            says, or it asks for something that no backbone here computes.
    """
    try:
        cls, own_arguments = kind.huggingface_arguments(config)
        converted = kind.converter.convert_backbone_config(config)
    except KeyError as error:
        raise InputError(f"Its {CONFIG_FILE} has no {error}.") from error
    given = kind.known_arguments(arguments)
    arguments = {**converted, **own_arguments, **given}
    if not load_weights:
        return cls(**arguments)
    with without_initial_weights():
        backbone = cls(**arguments)
        with HuggingFaceWeights(preset, kind.huggingface_prefix) as weights:
            kind.convert_weights(backbone, weights, config)
    return backbone


@dataclass(frozen=True, eq=False)
class HuggingFaceHead:
    """The head of a `...ForSequenceClassification` checkpoint.

    Attributes:
        arguments: of a `PackedTextClassifier`: pooling, label names and the like.
        weights: arrays of its layers, by their names there.
    """

    arguments: dict
    weights: dict[str, list[np.ndarray]]


def load_head(preset: str) -> HuggingFaceHead | None:
    """The head of a Hugging Face classifier; `None` if the preset is none.

    Args:
        preset: a folder or an `hf://` handle.

    Raises:
        InputError: it has one that no softmax over classes can be, or label names that
            do not fit it.
    """
    config = load_json(preset, CONFIG_FILE)
    if not is_classifier(config):
        return None
    kind = kind_of_config(config)
    form = kind and kind.huggingface_head(config)
    if form is None:
        raise InputError(
            f"The head of a {config['architectures'][0]} is not known here. For a "
            "fresh one give `num_classes`."
        )
    problem = config.get("problem_type")
    if problem in ("regression", "multi_label_classification"):
        raise InputError(
            f"{preset} answers a {problem.replace('_', ' ')} problem, in which classes "
            "do not exclude each other. For a fresh head give `num_classes`."
        )
    with HuggingFaceWeights(preset, kind.huggingface_prefix) as weights:
        arrays = {"logits_dense": _dense(weights, form.output)}
        if form.dense:
            arrays["head_dense"] = _dense(weights, form.dense)
        if form.norm:
            arrays["head_norm"] = _norm(weights, form.norm)
    num_classes = arrays["logits_dense"][0].shape[1]
    return HuggingFaceHead(
        {
            "num_classes": num_classes,
            "label_names": _label_names(config, num_classes),
            "pooling": form.pooling,
            "head_activation": form.activation or None,
            "head_norm_epsilon": form.norm_epsilon if form.norm else None,
        },
        arrays,
    )


def load_masked_head(preset: str) -> dict[str, np.ndarray] | None:
    """The head of a masked language model; `None` if the preset has none.

    Returns:
        Arrays as of `PackedMaskedLM.set_head`.
    """
    config = load_json(preset, CONFIG_FILE)
    kind = kind_of_config(config)
    if "model_type" not in config or kind.masked_head is None:
        return None
    dense, norm, bias = kind.masked_head
    with HuggingFaceWeights(preset, kind.huggingface_prefix) as weights:
        if f"{dense}.weight" not in weights or bias not in weights:
            return None
        kernel, dense_bias = _dense(weights, dense)
        gamma, beta = _norm(weights, norm)
        return {
            "kernel": kernel,
            "bias": dense_bias,
            "gamma": gamma,
            "beta": beta,
            "token_bias": weights.get_tensor(bias),
        }


def is_classifier(config: dict) -> bool:
    """Whether a Hugging Face configuration is that of a classifier of texts."""
    architectures = config.get("architectures") or [""]
    return str(architectures[0]).endswith("ForSequenceClassification")


def _dense(weights: HuggingFaceWeights, name: str) -> list[np.ndarray]:
    """Kernel and bias; torch keeps the kernel transposed."""
    kernel = weights.get_tensor(f"{name}.weight").astype("float32").T
    return [kernel, _bias(weights, name, kernel.shape[1])]


def _norm(weights: HuggingFaceWeights, name: str) -> list[np.ndarray]:
    """Gain and bias."""
    gamma = weights.get_tensor(f"{name}.weight").astype("float32")
    return [gamma, _bias(weights, name, len(gamma))]


def _bias(weights: HuggingFaceWeights, name: str, width: int) -> np.ndarray:
    """The bias of a layer, zeros where it has none."""
    if f"{name}.bias" in weights:
        return weights.get_tensor(f"{name}.bias").astype("float32")
    return np.zeros(width, "float32")


def _label_names(config: dict, num_classes: int) -> list[str]:
    if num_classes < 2:
        raise InputError(
            "Its head has one output, as for regression; there must be two classes or "
            "more. For a fresh head give `num_classes`."
        )
    names = config.get("id2label")
    if names is None:  # As transformers calls them, and leaves them out.
        return [f"LABEL_{i}" for i in range(num_classes)]
    numbers = [str(i) for i in range(num_classes)]
    if not isinstance(names, dict) or sorted(names) != sorted(numbers):
        raise InputError(
            f"Its head has {num_classes} classes; its id2label names {names!r:.200}."
        )
    return [names[number] for number in numbers]
