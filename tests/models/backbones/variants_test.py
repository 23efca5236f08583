import numpy as np
import pytest

from sentiment.errors import InputError
from sentiment.models.backbones.variants import with_fewer_layers, with_weights


def weights(backbone):
    return {v.path: np.array(v.value) for v in backbone.weights}


@pytest.mark.parametrize(
    "num_layers, kept",
    [(1, [0]), (2, [0, 11]), (6, [0, 2, 4, 7, 9, 11]), (12, list(range(12)))],
)
def test_kept_layers_are_evenly_spaced(make_backbone, randomize, num_layers, kept):
    backbone = randomize(make_backbone(num_layers=12))
    found = with_fewer_layers(backbone, num_layers)
    expected = weights(backbone)
    assert found.num_layers == num_layers
    for path, value in weights(found).items():
        for place, layer in enumerate(kept):
            if path.startswith(f"transformer_layer_{place}/"):
                rest = path.split("/", 1)[1]
                path = f"transformer_layer_{layer}/{rest}"
                break
        np.testing.assert_array_equal(value, expected[path])


@pytest.mark.parametrize("num_layers", [0, 3])
def test_there_must_be_so_many_layers(make_backbone, num_layers):
    with pytest.raises(InputError, match=f"from 1 to 2,.*Received: {num_layers}"):
        with_fewer_layers(make_backbone(), num_layers)


def test_a_backbone_with_other_weights_has_given_weights_and_copies_of_the_others(
    make_backbone,
):
    backbone = make_backbone()
    path = "layer_norm/gamma"
    found = weights(with_weights(backbone, {path: np.full(16, 7.0)}))
    np.testing.assert_array_equal(found.pop(path), np.full(16, 7.0))
    for name, value in found.items():
        np.testing.assert_array_equal(value, weights(backbone)[name])
