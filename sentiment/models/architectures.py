"""Where the kinds of backbone differ: packed rows, other sizes."""

import re

import keras_hub
import numpy as np

from sentiment.errors import InputError
from sentiment.models.packed_decoder import PackedDecoder
from sentiment.models.rnn_backbone import PackedRecurrence, RNNBackbone

BACKBONES = (keras_hub.models.GPT2Backbone, RNNBackbone)


def packed_layers(backbone, reads_last: bool = False):
    """The layer from embeddings to hidden states over packed rows.

    Args:
        backbone: one of `BACKBONES`; its weights are shared.
        reads_last: whether only the last hidden state of each segment is read.
    """
    if isinstance(backbone, RNNBackbone):
        return PackedRecurrence(backbone, name="decoder")
    return PackedDecoder(backbone, reads_last=reads_last, name="decoder")


def remade(backbone, weights: dict[str, np.ndarray], **sizes):
    """A backbone of the same kind with other weights, and other sizes if given.

    Args:
        backbone: one of `BACKBONES`.
        weights: arrays by `path` of the new backbone's variables; the others are
            copied from `backbone`.
        **sizes: arguments of its constructor.
    """
    fresh = type(backbone).from_config({**backbone.get_config(), **sizes})
    values = {v.path: v.value for v in backbone.weights} | weights
    for variable in fresh.weights:
        # A copy: a step of either model takes its arrays' memory for its own.
        variable.assign(np.array(values[variable.path]))
    return fresh


def with_fewer_layers(backbone, num_layers: int):
    """A backbone with some of another's layers, evenly spaced from the first on.

    Of 12 layers, 6 are the layers 0, 2, 4, 7, 9, 11, as in DistilGPT-2 (Sanh et al.
    2019, https://arxiv.org/abs/1910.01108).

    Args:
        backbone: one of `BACKBONES`.
        num_layers: int, how many are kept.

    Raises:
        InputError: it has fewer.
    """
    if not 1 <= num_layers <= backbone.num_layers:
        raise InputError(
            f"--keep_layers must be from 1 to {backbone.num_layers}, the layers of the "
            f"preset. Received: {num_layers}."
        )
    kept = np.linspace(0, backbone.num_layers - 1, num_layers).round().astype(int)
    weights = {}
    for variable in backbone.weights:
        layer = re.match(r"((?:transformer|recurrent)_layer_)(\d+)(/.*)", variable.path)
        if layer and int(layer[2]) in kept:
            place = kept.tolist().index(int(layer[2]))
            weights[f"{layer[1]}{place}{layer[3]}"] = variable.value
    return remade(backbone, weights, num_layers=num_layers)
