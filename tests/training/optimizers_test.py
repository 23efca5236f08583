import jax
import jax.numpy as jnp
import keras
import keras_hub
import numpy as np
import optax
import pytest

import sentiment
from sentiment.config import OPTIMIZERS, TrainingConfig
from sentiment.models.backbones import KINDS
from sentiment.models.pooling import POOLINGS
from sentiment.training import optimizers
from sentiment.training.optimizers import (
    OptaxOptimizer,
    is_decayed,
    make_optimizer,
    warmup_cosine,
)

GPT2 = KINDS["gpt2"]
NUM_LAYERS = 2
BLOCK_KERNELS = (
    "self_attention/query/kernel",
    "self_attention/key/kernel",
    "self_attention/value/kernel",
    "self_attention/attention_output/kernel",
    "feedforward_intermediate_dense/kernel",
    "feedforward_output_dense/kernel",
)


@pytest.fixture(scope="module")
def backbone():
    keras.utils.set_random_seed(0)
    return keras_hub.models.GPT2Backbone(
        vocabulary_size=20,
        num_layers=NUM_LAYERS,
        num_heads=2,
        hidden_dim=8,
        intermediate_dim=12,
        max_sequence_length=8,
    )


def variables_of(backbone, pooling):
    classifier = sentiment.GPT2TextClassifier(backbone, 3, pooling=pooling)
    return classifier.trainable_variables


@pytest.fixture(scope="module")
def all_variables(backbone):
    return variables_of(backbone, "last")


@pytest.fixture(scope="module")
def variables(all_variables):
    """Every kind of variable, but few of each: quicker to compile."""
    left_out = ("transformer_layer_1", "/key/", "/value/", "position", "ward_output")
    return [v for v in all_variables if not any(name in v.path for name in left_out)]


@pytest.fixture(scope="module")
def gradients(variables):
    """Random gradients of three updates, by path."""
    rng = np.random.default_rng(0)
    return [
        {v.path: rng.normal(0, 0.1, v.shape).astype("float32") for v in variables}
        for _ in range(3)
    ]


def values_of(variables):
    return {v.path: np.asarray(v.value) for v in variables}


def settings(**overrides):
    """No clipping, decay or warm-up; a rate of 0.5 in the first update."""
    defaults = {
        "optimizer": "sgd",
        "learning_rate": 0.5,
        "warmup_ratio": 0.0,
        "weight_decay": 0.0,
        "clip_norm": 0.0,
    }
    return TrainingConfig(**{**defaults, **overrides})


def updated(optimizer, variables, gradients, start=None):
    """Parameters by path after the updates; the variables themselves stay."""
    optimizer.build(variables)
    paths = [v.path for v in variables]
    values = [v.value if start is None else start[v.path] for v in variables]
    state = [v.value for v in optimizer.variables]
    step = jax.jit(optimizer.stateless_apply)
    for gradient in gradients:
        values, state = step(state, [gradient[path] for path in paths], values)
    return dict(zip(paths, map(np.asarray, values), strict=True))


def optax_updated(transformation, values, gradients):
    """The same with optax alone."""
    values = {path: jnp.asarray(value) for path, value in values.items()}
    state = transformation.init(values)

    @jax.jit
    def step(values, state, gradient):
        updates, state = transformation.update(gradient, state, values)
        return optax.apply_updates(values, updates), state

    for gradient in gradients:
        values, state = step(values, state, gradient)
    return {path: np.asarray(value) for path, value in values.items()}


def assert_close(actual, expected, rtol=1e-5, atol=1e-6):
    assert actual.keys() == expected.keys()
    for path in expected:
        np.testing.assert_allclose(actual[path], expected[path], rtol, atol, path)


def constant(values, value):
    return {path: np.full_like(array, value) for path, array in values.items()}


# --- The schedule


@pytest.mark.parametrize(
    ("step", "rate"),
    [
        (0, 0.0),
        (5, 1.0),  # half of the warm-up
        (9, 1.8),
        (10, 2.0),  # the joint
        (40, 1.5),  # a third of the cosine: (1 + cos 60°) / 2
        (55, 1.0),  # its middle
        (100, 0.0),
        (150, 0.0),
    ],
)
def test_schedule_by_hand(step, rate):
    schedule = warmup_cosine(peak=2.0, num_updates=100, warmup_ratio=0.1)
    assert float(schedule(step)) == pytest.approx(rate, abs=1e-6)
    assert float(schedule(jnp.int32(step))) == pytest.approx(rate, abs=1e-6)


@pytest.mark.parametrize(("num_updates", "ratio"), [(100, 0.1), (37, 0.25), (8, 0.0)])
def test_schedule_is_its_closed_form_in_every_step(num_updates, ratio):
    # All at once: called step by step, Keras compiles each branch anew.
    schedule = jax.jit(jax.vmap(warmup_cosine(3e-4, num_updates, ratio)))
    rates = schedule(jnp.arange(num_updates + 1))
    warmup = int(ratio * num_updates)
    for t in range(num_updates + 1):
        if t < warmup:
            rate = 3e-4 * t / warmup
        else:
            angle = np.pi * (t - warmup) / (num_updates - warmup)
            rate = 3e-4 * (1 + np.cos(angle)) / 2
        assert float(rates[t]) == pytest.approx(rate, rel=1e-5, abs=1e-10)


def test_schedule_without_warm_up_starts_at_its_peak():
    assert float(warmup_cosine(2.0, 100, 0.0)(0)) == 2.0


def test_schedule_of_warm_up_alone_still_reaches_its_peak():
    schedule = warmup_cosine(2.0, 11, 1.0)
    assert [float(schedule(t)) for t in (0, 5, 10)] == [0.0, 1.0, 2.0]
    assert float(warmup_cosine(2.0, 1, 1.0)(0)) == 2.0


def test_the_first_update_reads_the_schedule_at_0_and_the_next_at_1(variables):
    config = settings(learning_rate=1.0, warmup_ratio=0.5)
    zeros = constant(values_of(variables), 0.0)
    ones = constant(zeros, 1.0)
    optimizer = make_optimizer(config, GPT2, NUM_LAYERS, num_updates=8)
    # Rates 0 and 1/4, momenta 1 and 1.9.
    after = updated(optimizer, variables, [ones, ones], start=zeros)
    assert_close(after, constant(zeros, -0.475))


# --- Update rules


def test_inside_fit_it_matches_adamw_of_keras():
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(40, 6)), rng.normal(size=(40, 2))

    def fitted(optimizer):
        keras.utils.set_random_seed(0)
        layers = [keras.layers.Dense(8, activation="tanh"), keras.layers.Dense(2)]
        model = keras.Sequential([keras.Input((6,)), *layers])
        model.compile(optimizer, "mse")
        model.fit(x, y, batch_size=4, epochs=2, shuffle=False, verbose=0)
        return [np.asarray(v.value) for v in model.trainable_variables]

    adamw = keras.optimizers.AdamW(0.01, weight_decay=0.1, epsilon=1e-8)
    adamw.exclude_from_weight_decay(var_names=["bias"])
    ours = OptaxOptimizer(optax.adamw(1.0, weight_decay=0.1, mask=is_decayed), 0.01)
    for actual, expected in zip(fitted(ours), fitted(adamw), strict=True):
        np.testing.assert_allclose(actual, expected, rtol=0, atol=5e-6)


def direct(name, schedule, decay):
    """What a user of optax would write for a setting of --optimizer."""

    def kernels(params):
        return {path: path.split("/")[-1].endswith("kernel") for path in params}

    if name == "adamw":
        return optax.adamw(schedule, weight_decay=decay, mask=kernels)
    return optax.lion(schedule, weight_decay=decay, mask=kernels)


@pytest.mark.parametrize("name", ["adamw", "lion"])
def test_adamw_and_lion_match_optax(variables, gradients, name):
    config = settings(optimizer=name, learning_rate=0.01, weight_decay=0.1)
    schedule = warmup_cosine(0.01, 10, 0.0)
    actual = updated(make_optimizer(config, GPT2, NUM_LAYERS, 10), variables, gradients)
    values = values_of(variables)
    assert_close(actual, optax_updated(direct(name, schedule, 0.1), values, gradients))


def test_sgd_is_momentum_then_decoupled_decay(variables, gradients):
    config = settings(learning_rate=0.1, weight_decay=0.2)
    actual = updated(make_optimizer(config, GPT2, NUM_LAYERS, 10), variables, gradients)
    expected = values_of(variables)
    momentum = constant(expected, 0.0)
    for t, gradient in enumerate(gradients):
        rate = 0.1 * (1 + np.cos(np.pi * t / 10)) / 2
        for path, value in expected.items():
            momentum[path] = 0.9 * momentum[path] + gradient[path]
            decay = 0.2 * value if path.endswith("kernel") else 0.0
            expected[path] = value - rate * (momentum[path] + decay)
    assert_close(actual, expected)


def test_muon_matches_optax_on_matrices_and_adam_on_the_rest(variables, gradients):
    config = settings(optimizer="muon", learning_rate=0.01, weight_decay=0.1)
    actual = updated(make_optimizer(config, GPT2, NUM_LAYERS, 10), variables, gradients)

    def as_matrix(path, array):
        # From hidden_dim to (heads, head_dim), and for the output back.
        if path.endswith("attention_output/kernel"):
            return array.reshape(-1, array.shape[-1])
        return array.reshape(array.shape[0], -1)

    schedule = warmup_cosine(0.01, 10, 0.0)
    values = values_of(variables)
    covered = [p for p in values if p.startswith("transformer") and "kernel" in p]
    muon = optax.contrib.muon(schedule, weight_decay=0.1, consistent_rms=0.2)
    expected = optax_updated(
        muon,
        {path: as_matrix(path, values[path]) for path in covered},
        [{path: as_matrix(path, g[path]) for path in covered} for g in gradients],
    )
    expected = {path: expected[path].reshape(values[path].shape) for path in covered}
    adam = optax.adamw(
        schedule,
        nesterov=True,
        weight_decay=0.1,
        mask={path: path == "logits/kernel" for path in values.keys() - set(covered)},
    )
    rest = optax_updated(
        adam,
        {path: value for path, value in values.items() if path not in covered},
        [{path: g[path] for path in values if path not in covered} for g in gradients],
    )
    assert_close(actual, {**expected, **rest}, rtol=1e-4)


def test_muon_covers_exactly_the_kernels_of_the_decoder_blocks(all_variables):
    dimensions = optimizers._muon_dimensions(GPT2)(values_of(all_variables))
    assert {path for path, value in dimensions.items() if value is not None} == {
        f"transformer_layer_{i}/{name}"
        for i in range(NUM_LAYERS)
        for name in BLOCK_KERNELS
    }


# --- Weight decay


@pytest.fixture(scope="module")
def variables_of_several_heads(backbone, variables):
    poolers = [
        variable
        for pooling in ("attention", "lstm")
        for variable in variables_of(backbone, pooling)
        if variable.path.startswith("pooler/")
    ]
    return [*variables, *poolers]


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_decay_shrinks_every_kernel_and_nothing_else(variables_of_several_heads, name):
    variables = variables_of_several_heads
    config = settings(optimizer=name, weight_decay=0.25)
    start = constant(values_of(variables), 3.0)
    optimizer = make_optimizer(config, GPT2, NUM_LAYERS, 10)
    after = updated(optimizer, variables, [constant(start, 0.0)], start)
    for path, value in after.items():
        # 0.5 * 0.25 of it goes, exactly.
        assert (value == (3.0 * 0.875 if path.endswith("kernel") else 3.0)).all(), path


def test_kernels_are_neither_biases_nor_norms_nor_embeddings(all_variables):
    decayed = {
        path for path, yes in is_decayed(values_of(all_variables)).items() if yes
    }
    kinds = {path.split("/")[-1] for path in values_of(all_variables).keys() - decayed}
    assert kinds == {"embeddings", "bias", "gamma", "beta"}
    assert len(decayed) == NUM_LAYERS * len(BLOCK_KERNELS) + 1


def test_matrices_of_adapters_are_kernels_and_scales_are_not():
    names = ("query/lora_kernel_a", "query/lora_kernel_b", "query/kernel_scale")
    assert list(is_decayed(dict.fromkeys(names)).values()) == [True, True, False]


# --- Layer-wise rates


def expected_depth(path):
    layer = path.split("/")[0]
    depths = {
        "token_embedding": 0,
        "position_embedding": 0,
        "transformer_layer_0": 1,
        "transformer_layer_1": 2,
        "layer_norm": 3,
        "pooler": 3,
        "logits": 3,
    }
    return depths[layer]


@pytest.mark.parametrize("pooling", [name for name in POOLINGS if name != "cls"])
def test_depth_of_every_variable(backbone, pooling):
    paths = [v.path for v in variables_of(backbone, pooling)]
    assert len(set(paths)) == len(paths)  # updates are looked up by path
    for path in paths:
        assert GPT2.depth(path, NUM_LAYERS) == expected_depth(path), path


def test_layerwise_rates_fall_by_one_factor_per_layer(all_variables):
    config = settings(layerwise_lr_decay=0.5)
    zeros = constant(values_of(all_variables), 0.0)
    optimizer = make_optimizer(config, GPT2, NUM_LAYERS, 10)
    after = updated(optimizer, all_variables, [constant(zeros, 1.0)], zeros)
    for path, value in after.items():
        assert (value == -0.5 * 0.5 ** (3 - expected_depth(path))).all(), path


def test_layerwise_rates_come_after_clipping_and_adam(variables):
    config = settings(optimizer="adamw", layerwise_lr_decay=0.5, clip_norm=1.0)
    zeros = constant(values_of(variables), 0.0)
    optimizer = make_optimizer(config, GPT2, NUM_LAYERS, 10)
    after = updated(optimizer, variables, [constant(zeros, 1.0)], zeros)
    # Adam's first update is 1 whatever the gradient is.
    for path, value in after.items():
        rate = 0.5 * 0.5 ** (3 - expected_depth(path))
        np.testing.assert_allclose(value, -rate, rtol=1e-5, err_msg=path)


# --- Clipping


def global_norm(values):
    return np.sqrt(sum(np.sum(np.square(v, dtype=np.float64)) for v in values.values()))


def test_clipping_scales_all_gradients_to_one_global_norm(variables, gradients):
    config = settings(clip_norm=0.5)
    zeros = constant(values_of(variables), 0.0)
    gradient = gradients[0]
    assert global_norm(gradient) > 0.5
    optimizer = make_optimizer(config, GPT2, NUM_LAYERS, 10)
    after = updated(optimizer, variables, [gradient], zeros)
    scale = -0.5 * 0.5 / global_norm(gradient)
    assert_close(after, {p: scale * g for p, g in gradient.items()}, atol=1e-8)


def test_clipping_comes_before_the_momentum(variables, gradients):
    config = settings(clip_norm=0.5)
    zeros = constant(values_of(variables), 0.0)
    # So many updates that the second rate is the first, to 1e-9.
    optimizer = make_optimizer(config, GPT2, NUM_LAYERS, 100_000)
    after = updated(optimizer, variables, [gradients[0]] * 2, zeros)
    assert global_norm(after) == pytest.approx(0.5 * 0.5 * (1 + 1.9), rel=1e-5)


@pytest.mark.parametrize("clip_norm", [0.0, 1e6])
def test_small_gradients_and_clip_norm_0_are_not_clipped(
    variables, gradients, clip_norm
):
    zeros = constant(values_of(variables), 0.0)
    optimizer = make_optimizer(settings(clip_norm=clip_norm), GPT2, NUM_LAYERS, 10)
    after = updated(optimizer, variables, [gradients[0]], zeros)
    assert_close(after, {path: -0.5 * g for path, g in gradients[0].items()}, atol=1e-8)


# --- State


def test_state_holds_each_value_under_its_own_type(variables):
    optimizer = make_optimizer(settings(optimizer="adamw"), GPT2, NUM_LAYERS, 10)
    optimizer.build(variables)
    state = optimizer._state_variables
    shapes = sorted(v.shape for v in variables)
    moments = [v for v in state if v.dtype == "float32"]
    assert sorted(v.shape for v in moments) == sorted(shapes * 2)
    assert [v.shape for v in state if v.dtype == "int32"] == [()]
    number = len(optimizer.variables)
    optimizer.build(variables)
    assert len(optimizer.variables) == number


# --- Gradual unfreezing


@pytest.fixture(scope="module")
def one_of_each_depth(all_variables):
    """A variable of each depth, by path."""
    by_depth = {expected_depth(v.path): v for v in all_variables}
    return [by_depth[depth] for depth in sorted(by_depth)]


@pytest.mark.parametrize("name", ["sgd", "adamw"])
def test_lower_layers_learn_after_more_updates(one_of_each_depth, name):
    config = settings(optimizer=name)
    start = values_of(one_of_each_depth)
    ones = constant(start, 1.0)
    moved = []
    for updates in range(1, 8):
        optimizer = make_optimizer(config, GPT2, NUM_LAYERS, 1000, unfreeze_updates=2)
        after = updated(optimizer, one_of_each_depth, [ones] * updates)
        moved.append([bool((after[path] != start[path]).all()) for path in start])
    # From embeddings to head; the head learns at once, each layer below two later.
    assert np.sum(moved, axis=0).tolist() == [1, 3, 5, 7]


def test_moments_of_held_layers_gather(one_of_each_depth):
    # After six updates momentum is 1 + 0.9 + ... + 0.9 ** 6; it holds from the first.
    zeros = constant(values_of(one_of_each_depth), 0.0)
    ones = constant(zeros, 1.0)
    optimizer = make_optimizer(settings(), GPT2, NUM_LAYERS, 10**6, unfreeze_updates=2)
    after = updated(optimizer, one_of_each_depth, [ones] * 7, start=zeros)
    lowest = min(after, key=lambda path: GPT2.depth(path, NUM_LAYERS))
    expected = np.full_like(after[lowest], -0.5 * (1 - 0.9**7) / 0.1)
    np.testing.assert_allclose(after[lowest], expected, rtol=1e-5)


def test_depths_of_recurrent_layers():
    depth = KINDS["recurrent"].depth
    assert depth("recurrent_layer_1/kernel", 2) == 2
    assert depth("token_embedding/embeddings", 2) == 0


def test_adapters_are_decayed_and_the_scales_of_quantised_kernels_are_not():
    paths = {"a/lora_kernel_a": 1, "a/lora_kernel_b": 1, "a/kernel_scale": 0}
    assert is_decayed(paths) == {path: bool(yes) for path, yes in paths.items()}


# --- After divergence, and the average of the weights


def test_a_lowered_rate_scales_the_whole_update(variables, gradients):
    config = settings(weight_decay=0.1)
    values = values_of(variables)
    moves = []
    for factor in (1.0, 0.25):
        optimizer = make_optimizer(config, GPT2, NUM_LAYERS, 10)
        optimizer.build(variables)
        assert float(optimizer.rate_factor) == 1.0
        optimizer.rate_factor.assign(factor)
        after = updated(optimizer, variables, gradients[:1])
        moves.append({path: after[path] - values[path] for path in values})
    assert_close(moves[1], {path: move / 4 for path, move in moves[0].items()})


def test_the_average_of_the_weights_stands_beside_them():
    optimizer = make_optimizer(settings(), GPT2, NUM_LAYERS, 10**6, ema_momentum=0.75)
    weight = keras.Variable([8.0], name="bias")
    optimizer.build([weight])
    optimizer.apply([np.float32([2.0])])
    # 8 - 0.5 * 2; the average begins as the first weights.
    assert weight.numpy().tolist() == [7.0]
    (average,) = optimizer._model_variables_moving_average
    assert average.numpy().tolist() == [7.0]
    optimizer.apply([np.float32([0.0])])
    np.testing.assert_allclose(weight, [7.0 - 0.5 * 0.9 * 2.0], rtol=1e-6)
    np.testing.assert_allclose(average, [0.75 * 7.0 + 0.25 * 6.1], rtol=1e-6)
    optimizer.finalize_variable_values([weight])
    np.testing.assert_allclose(weight, [6.1], rtol=1e-6)


def test_without_momentum_no_average_is_kept():
    assert not make_optimizer(settings(), GPT2, NUM_LAYERS, 10).use_ema
