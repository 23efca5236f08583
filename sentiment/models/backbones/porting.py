"""What converters of Hugging Face's weights have in common."""

import numpy as np


def port_dense(weights, layer, name: str):
    """Gives a dense layer, also one with heads, the weights of torch's `Linear`.

    Args:
        weights: a `HuggingFaceWeights`.
        layer: with `kernel` and `bias`.
        name: of the arrays, without `.weight` and `.bias`.
    """
    port_kernel(weights, layer, f"{name}.weight")
    weights.port_weight(layer.bias, f"{name}.bias", shaped)


def port_kernel(weights, layer, name: str):
    """Gives a layer its kernel alone; arguments as of `port_dense`."""
    weights.port_weight(layer.kernel, name, transposed)


def transposed(array: np.ndarray, shape: list[int]) -> np.ndarray:
    """A Linear's weights, (outputs, inputs), as a kernel, heads on their own axes."""
    return shaped(array.T, shape)


def shaped(array: np.ndarray, shape: list[int]) -> np.ndarray:
    """The array in a shape, or as it is where it has another size, to be refused."""
    return array.reshape(shape) if array.size == np.prod(shape) else array


def port_norm(weights, layer, name: str):
    """Gives a layer norm its weights; arguments as of `port_dense`."""
    weights.port_weight(layer.gamma, f"{name}.weight")
    weights.port_weight(layer.beta, f"{name}.bias")
