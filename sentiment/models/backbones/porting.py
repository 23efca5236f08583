"""What converters of Hugging Face's weights have in common."""

import numpy as np


def port_dense(weights, layer, name: str):
    """Gives a dense layer, also one with heads, the weights of torch's `Linear`.

    Args:
        weights: a `HuggingFaceWeights`.
        layer: with `kernel` and `bias`.
        name: of the arrays, without `.weight` and `.bias`.
    """
    weights.port_weight(
        layer.kernel, f"{name}.weight", lambda array, shape: np.reshape(array.T, shape)
    )
    weights.port_weight(
        layer.bias, f"{name}.bias", lambda array, shape: np.reshape(array, shape)
    )


def port_norm(weights, layer, name: str):
    """Gives a layer norm its weights; arguments as of `port_dense`."""
    weights.port_weight(layer.gamma, f"{name}.weight")
    weights.port_weight(layer.beta, f"{name}.bias")
