"""Backbones made of others: with other weights, of other sizes."""

import numpy as np

from sentiment.errors import InputError
from sentiment.models.backbones import kind_of


def with_weights(backbone, weights: dict[str, np.ndarray], **sizes):
    """A backbone of the same kind with other weights, and other sizes if given.

    Args:
        backbone: one of a kind in `KINDS`.
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
        backbone: one of a kind in `KINDS`.
        num_layers: int, how many are kept.

    Raises:
        InputError: it has fewer, or no other number of them makes sense.
    """
    if not 1 <= num_layers <= backbone.num_layers:
        raise InputError(
            f"`keep_layers` must be from 1 to {backbone.num_layers}, the layers of the "
            f"preset. Received: {num_layers}."
        )
    kept = np.linspace(0, backbone.num_layers - 1, num_layers).round().astype(int)
    kind = kind_of(backbone)
    places = {layer: place for place, layer in enumerate(kept.tolist())}
    weights = {}
    for variable in backbone.weights:
        layer = kind.block_number(variable.path)
        if layer in places:
            old, new = (f"{kind.block_name}{i}/" for i in (layer, places[layer]))
            weights[variable.path.replace(old, new, 1)] = variable.value
    sizes = kind.kept_arguments(backbone, kept.tolist())
    return with_weights(backbone, weights, **sizes)
