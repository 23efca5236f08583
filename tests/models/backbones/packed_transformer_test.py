import dataclasses

import jax
import jax.numpy as jnp
import keras
import keras_hub
import numpy as np
import pytest

from sentiment.config import SpeedConfig
from sentiment.errors import InputError
from sentiment.models.backbones import kind_of, packed_transformer
from sentiment.models.backbones.segment_layout import SegmentLayout

FAST_PATHS = ("chunked_attention", "hash_dropout", "skip_unread")
STOCK = SpeedConfig(**dict.fromkeys(FAST_PATHS, False), cache_dir="")
SPEEDS = {
    "stock": STOCK,
    **{name: dataclasses.replace(STOCK, **{name: True}) for name in FAST_PATHS},
    "all": SpeedConfig(cache_dir=""),
    "remat": SpeedConfig(remat=True, cache_dir=""),
}
LENGTHS = np.array([[3, 2, 0]], np.int32)
TOKEN_IDS = np.array([[5, 6, 7, 8, 9, 0]], np.int32)

each_speed = pytest.mark.parametrize("speed", SPEEDS.values(), ids=SPEEDS)


@pytest.fixture(autouse=True)
def short_chunks(monkeypatch):
    """Chunks that the toy rows do not fit in, the last one a partial one."""
    monkeypatch.setattr(packed_transformer, "CHUNK_LENGTH", 4)


# A GPT-2, a BERT and a Mistral; a DeBERTa and an XLNet.
MAKES = ["decoder", "encoder", "rotary"]
with_distances = pytest.mark.parametrize(
    "make", [*MAKES, "distances", "types"], indirect=True
)


@pytest.fixture(params=MAKES)
def make(request, make_backbone):
    """Makes a tiny backbone."""
    if request.param == "decoder":
        return lambda **sizes: make_backbone(vocabulary_size=40, **sizes)
    if request.param == "rotary":

        def make_rotary(hidden_dim=16, num_layers=2, dropout=0.0, dtype=None):
            return keras_hub.models.MistralBackbone(
                40, num_layers, 2, hidden_dim, 32, 1, dropout=dropout, dtype=dtype
            )

        return make_rotary
    if request.param in ("distances", "types"):
        classes = keras_hub.models.DebertaV3Backbone, keras_hub.models.XLNetBackbone

        def make_relative(hidden_dim=16, num_layers=2, dropout=0.0, dtype=None):
            return classes[request.param == "types"](
                40, num_layers, 2, hidden_dim, 32, dropout=dropout, dtype=dtype
            )

        return make_relative

    def make_encoder(hidden_dim=16, num_layers=2, dropout=0.0, dtype=None):
        return keras_hub.models.BertBackbone(
            40, num_layers, 2, hidden_dim, 32, dropout, 64, dtype=dtype
        )

    return make_encoder


@pytest.fixture
def backbone(make, randomize):
    return randomize(make())


def read_by(backbone):
    """The token that a classifier reads of each segment."""
    return "last" if kind_of(backbone).is_causal else "first"


def make_layers(backbone, speed, reads="all"):
    layers = kind_of(backbone).packed_layers(backbone)
    layers.reads, layers.speed = reads, speed
    return layers


def inputs(backbone, token_ids=TOKEN_IDS, lengths=LENGTHS):
    """Embeddings, segment ids and segment lengths."""
    token_ids, lengths = np.asarray(token_ids), np.asarray(lengths)
    segment_ids, positions = SegmentLayout()(token_ids, lengths)
    return kind_of(backbone).embed(backbone, token_ids, positions), segment_ids, lengths


def hidden_states(layers, token_ids=TOKEN_IDS, lengths=LENGTHS):
    run = jax.jit(lambda *x: layers(*x))
    return np.asarray(run(*inputs(layers.backbone, token_ids, lengths)))


def read(states, backbone, lengths=LENGTHS):
    """States of the tokens that are read, (segments, hidden_dim)."""
    used = lengths[0][lengths[0] > 0]
    ends = np.cumsum(used)
    return states[0][ends - 1 if read_by(backbone) == "last" else ends - used]


# --- What a token sees


@with_distances
@each_speed
def test_each_segment_reads_as_stock_backbone_reads_it_alone(backbone, speed):
    rng = np.random.default_rng(1)
    reviews = [rng.integers(1, 40, n) for n in (5, 1, 7)]
    row = np.concatenate([*reviews, [9, 9, 9]])  # The end is padding, whatever its ids.
    packed = hidden_states(make_layers(backbone, speed), [row], [[5, 1, 7, 0]])[0]

    read = jax.jit(lambda x: backbone(x))
    start = 0
    for review in reviews:  # KerasHub's XLNet mixes up the texts of a batch.
        inputs = {name: np.zeros((1, 16), np.int32) for name in backbone.input}
        inputs["token_ids"][0, : len(review)] = review
        inputs["padding_mask"][0, : len(review)] = 1
        if isinstance(backbone, keras_hub.models.XLNetBackbone):
            inputs["segment_ids"][0, len(review) - 1] = 2
        expected = read(inputs)
        if isinstance(expected, dict):
            expected = expected["sequence_output"]
        stop = start + len(review)
        np.testing.assert_allclose(
            packed[start:stop], expected[0, : len(review)], rtol=0, atol=1e-5
        )
        start = stop


@each_speed
def test_gradients_reach_what_a_token_may_see_and_nothing_else(backbone, speed):
    layers = make_layers(backbone, speed)
    embeddings, *segments = inputs(backbone)
    jacobian = jax.jit(jax.jacrev(lambda x: layers(x, *segments)[0]))(embeddings)
    influence = np.abs(jacobian).max(axis=(1, 2, 4))
    reached = [
        [1, 0, 0, 0, 0, 0],
        [1, 1, 0, 0, 0, 0],
        [1, 1, 1, 0, 0, 0],
        [0, 0, 0, 1, 0, 0],
        [0, 0, 0, 1, 1, 0],
        [0, 0, 0, 0, 0, 1],
    ]
    if not kind_of(backbone).is_causal:
        reached = np.maximum(reached, np.transpose(reached))
    np.testing.assert_array_equal(influence != 0, np.array(reached, bool))
    assert np.isfinite(influence).all()


# --- The fast paths


@pytest.mark.parametrize("lengths", [LENGTHS, [[6, 0]], [[1, 1, 1, 1, 1, 1]]])
def test_states_and_gradients_of_read_tokens_are_those_of_the_stock_blocks(
    backbone, lengths
):
    lengths = np.asarray(lengths, np.int32)
    embeddings, *segments = inputs(backbone, lengths=lengths)
    weights = np.random.default_rng(0).normal(size=(embeddings.shape[-1]))

    def run(layers):
        def loss(x):
            states = layers(x, *segments)
            return (read(states, backbone, lengths) * weights).sum(), states

        (_, states), gradient = jax.jit(jax.value_and_grad(loss, has_aux=True))(
            embeddings
        )
        return read(np.asarray(states), backbone, lengths), gradient

    expected, expected_gradient = run(make_layers(backbone, STOCK))
    for name in (*FAST_PATHS, "all", "remat"):
        states, gradient = run(make_layers(backbone, SPEEDS[name], read_by(backbone)))
        np.testing.assert_allclose(states, expected, rtol=0, atol=1e-5, err_msg=name)
        np.testing.assert_allclose(
            gradient, expected_gradient, rtol=0, atol=1e-4, err_msg=name
        )


def test_chunks_and_last_tokens_are_what_is_computed(backbone):
    """Each fast path takes out work: fewer floating point operations."""

    def flops(reads="all", **changes):
        speed = dataclasses.replace(STOCK, hash_dropout=True, **changes)
        layers = make_layers(backbone, speed, reads)
        args = inputs(backbone, np.ones((2, 32), np.int32), np.full((2, 1), 32))
        return jax.jit(lambda *x: layers(*x)).lower(*args).cost_analysis()["flops"]

    reads = read_by(backbone)
    if kind_of(backbone).is_causal:  # Else every token looks at every chunk.
        assert flops(chunked_attention=True) < flops()
    assert flops(skip_unread=True) == flops(reads=reads) == flops()
    assert flops(skip_unread=True, reads=reads) < 0.75 * flops()


@with_distances
@pytest.mark.parametrize("hash_dropout", [True, False])
def test_dropout_is_drawn_anew_in_training_and_left_out_otherwise(
    make, randomize, hash_dropout
):
    backbone = randomize(make(dropout=0.5))
    speed = dataclasses.replace(SPEEDS["all"], hash_dropout=hash_dropout)
    layers = make_layers(backbone, speed)
    args = inputs(backbone)
    first, again = (np.asarray(layers(*args, training=True)) for _ in range(2))
    assert np.abs(first - again).max() > 0.1
    stock = hidden_states(make_layers(backbone, STOCK))
    np.testing.assert_allclose(hidden_states(layers), stock, rtol=0, atol=1e-5)


@with_distances
@pytest.mark.parametrize("hash_dropout", [True, False])
def test_each_dropout_of_the_backbone_is_applied(make, randomize, hash_dropout):
    backbone = randomize(make(num_layers=1, dropout=0.9))
    if isinstance(backbone, keras_hub.models.MistralBackbone):  # It has the one only.
        sites = [backbone.transformer_layers[0]._self_attention_dropout]
    else:
        # KerasHub's XLNet has none on weights; its last one is left to the head.
        left = [layer for layer in backbone.layers if layer.name == "dropout"]
        sites = [
            layer
            for layer in backbone._flatten_layers(include_self=False)
            if isinstance(layer, keras.layers.Dropout)
            and layer.rate
            and layer not in left
        ]
        assert len(sites) >= 3
    speed = dataclasses.replace(SPEEDS["all"], hash_dropout=hash_dropout)
    layers = make_layers(backbone, speed)
    expected = hidden_states(layers)
    for site in sites:
        for other in sites:
            other.rate = 0.9 if other is site else 0.0
        trained = np.asarray(layers(*inputs(backbone), training=True))
        assert np.abs(trained - expected).max() > 1e-3


@with_distances
def test_recomputing_gives_the_same_states_and_gradients(make, randomize):
    backbone = randomize(make(dropout=0.3))
    embeddings, *segments = inputs(backbone)
    results = []
    for name in ("all", "remat"):
        keras.utils.set_random_seed(0)
        layers = make_layers(backbone, SPEEDS[name])

        def read(x, layers=layers):
            return (layers(x, *segments, training=True) ** 2).sum()

        results.append(jax.jit(jax.value_and_grad(read))(embeddings))
        text = str(jax.make_jaxpr(jax.grad(read))(embeddings))
        assert ("remat" in text or "checkpoint" in text) == (name == "remat")
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5), *results
    )


def test_recomputing_needs_masks_that_are_no_state():
    with pytest.raises(InputError, match="--remat needs --hash_dropout"):
        SpeedConfig(remat=True, hash_dropout=False)


# --- It is still the backbone


def test_backbone_stays_plain_and_gains_no_weights(make_classifier):
    classifier = make_classifier()
    assert type(classifier.backbone).__name__ == "GPT2Backbone"
    head = {variable.path for variable in classifier.pooler.weights}
    head |= {variable.path for variable in classifier.logits_dense.weights}
    all_paths = {variable.path for variable in classifier.trainable_weights}
    assert all_paths - head == {v.path for v in classifier.backbone.trainable_weights}


@pytest.mark.parametrize("mode", ["int8", "lora"])
def test_quantised_and_lora_layers_are_respected(make, randomize, mode):
    backbone = randomize(make(hidden_dim=32))
    plain = hidden_states(make_layers(backbone, STOCK))
    if mode == "int8":
        backbone.quantize("int8")
    else:
        backbone.enable_lora(2)
        randomize(backbone, 0.1)
    stock = hidden_states(make_layers(backbone, STOCK))
    fast = hidden_states(make_layers(backbone, SPEEDS["all"]))
    assert np.abs(stock - plain).max() > 1e-3
    np.testing.assert_allclose(fast, stock, rtol=0, atol=1e-5)


@each_speed
def test_mixed_precision_keeps_its_dtype_and_stays_near_float32(make, randomize, speed):
    exact = randomize(make(), 0.05)
    half = make(dtype="mixed_bfloat16")
    half.set_weights(exact.get_weights())
    states = hidden_states(make_layers(half, speed))
    assert states.dtype == jnp.bfloat16
    expected = hidden_states(make_layers(exact, STOCK))
    np.testing.assert_allclose(states.astype("float32"), expected, rtol=0, atol=0.1)


def test_symbolic_shapes_are_kept(backbone):
    layers = make_layers(backbone, SPEEDS["all"])
    x = keras.KerasTensor((None, None, 16), "float32")
    segments = [keras.KerasTensor((None, None), "int32")] * 2
    assert layers(x, *segments).shape == (None, None, 16)
