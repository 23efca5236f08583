"""A masked language model over packed rows."""

import jax
import keras
import keras_hub
import numpy as np
import pytest
from safetensors.numpy import save_file

from sentiment.models.huggingface import load_masked_head
from sentiment.models.packed_masked_lm import PackedMaskedLM
from sentiment.models.presets import load_parts
from tests.models import huggingface_test as reference

SIZE = 30


@pytest.fixture
def model(randomize):
    backbone = keras_hub.models.BertBackbone(
        SIZE, 1, 2, 16, 32, dropout=0.0, max_sequence_length=16
    )
    return randomize(PackedMaskedLM(backbone))


def loss_of(model, x, y, weights):
    return float(model.compute_loss(x, y, model(x), weights))


def test_the_loss_is_that_of_the_definition(model):
    x = {
        "token_ids": np.array([[5, 6, 3, 8, 9, 3, 0, 0]]),
        "segment_lengths": np.array([[4, 2]]),
        "masked_positions": np.array([[2, 5, 0]]),
    }
    y, weights = np.array([[7, 11, 5]]), np.float32([[1, 1, 0]])
    states = np.asarray(model(x), np.float64)
    table = np.asarray(model.backbone.token_embedding.embeddings, np.float64)
    logits = states @ table.T + np.asarray(model.head.bias)
    shifted = logits - logits.max(-1, keepdims=True)
    logs = shifted - np.log(np.exp(shifted).sum(-1, keepdims=True))
    expected = -(logs[0, 0, 7] + logs[0, 1, 11])
    assert loss_of(model, x, y, weights) == pytest.approx(expected, rel=1e-5)
    # The bias counts.
    model.head.bias.assign(np.zeros(SIZE))
    assert abs(loss_of(model, x, y, weights) - expected) > 0.01


def test_documents_of_one_row_are_read_as_alone(model):
    together = {
        "token_ids": np.array([[5, 6, 3, 8, 9, 3, 7, 7]]),
        "segment_lengths": np.array([[4, 2]]),
        "masked_positions": np.array([[2, 5]]),
    }
    alone = {
        "token_ids": np.array([[5, 6, 3, 8, 0], [9, 3, 0, 0, 0]]),
        "segment_lengths": np.array([[4], [2]]),
        "masked_positions": np.array([[2], [1]]),
    }
    np.testing.assert_allclose(
        np.asarray(model(together))[0], np.asarray(model(alone))[:, 0], atol=1e-5
    )


def test_all_that_it_has_is_learned(model):
    x = {
        "token_ids": np.array([[5, 6, 3, 8]]),
        "segment_lengths": np.array([[4]]),
        "masked_positions": np.array([[2]]),
    }

    def loss(values):
        outputs, _ = model.stateless_call(
            values, [v.value for v in model.non_trainable_variables], x
        )
        with keras.StatelessScope(
            state_mapping=list(zip(model.trainable_variables, values, strict=True))
        ):
            return model.compute_loss(
                x, np.array([[7]]), outputs, np.ones((1, 1), "f4")
            )

    gradients = jax.grad(loss)([v.value for v in model.trainable_variables])
    idle = {
        v.path
        for v, gradient in zip(model.trainable_variables, gradients, strict=True)
        if not np.asarray(gradient).any()
    }
    # BERT's pooler is for classifiers; a key's bias moves all scores alike.
    idle = {path for path in idle if not path.endswith("key/bias")}
    assert idle == {"pooled_dense/kernel", "pooled_dense/bias"}


@pytest.mark.parametrize("name", reference.FAMILIES)
def test_a_pretrained_head_is_taken_over(tmp_path, name):
    names = {
        "bert": "cls.predictions.transform.dense cls.predictions.transform.LayerNorm "
        "cls.predictions.bias",
        "roberta": "lm_head.dense lm_head.layer_norm lm_head.bias",
        "xlm-roberta": "lm_head.dense lm_head.layer_norm lm_head.bias",
        "distilbert": "vocab_transform vocab_layer_norm vocab_projector.bias",
        "albert": "predictions.dense predictions.LayerNorm predictions.bias",
        "electra": "generator_predictions.dense generator_predictions.LayerNorm "
        "generator_lm_head.bias",
    }[name]
    dense, norm, bias = names.split()
    tensors = reference.random_tensors(name)
    width = reference.FAMILIES[name].width_of_embeddings
    rng = np.random.default_rng(0)
    head = {
        f"{dense}.weight": rng.normal(size=(width, reference.WIDTH)),
        f"{dense}.bias": rng.normal(size=width),
        f"{norm}.weight": rng.normal(size=width),
        f"{norm}.bias": rng.normal(size=width),
        bias: rng.normal(size=reference.VOCABULARY),
    }
    head = {key: array.astype(np.float32) for key, array in head.items()}
    folder = reference.write_folder(tmp_path, name, {**tensors, **head})
    model = PackedMaskedLM(load_parts(str(folder), dropout=0.0)[0])
    model.set_head(load_masked_head(str(folder)))
    ids = np.arange(5, 15)
    x = {
        "token_ids": ids[None],
        "segment_lengths": np.array([[10]]),
        "masked_positions": np.array([[3, 7]]),
    }
    config = reference.settings(name)
    states = reference.hidden_states(name, tensors, ids, config)[[3, 7]]
    states = states @ head[f"{dense}.weight"].T + head[f"{dense}.bias"]
    states = reference.exact_gelu(states)
    states = states - states.mean(-1, keepdims=True)
    states /= np.sqrt(states.var(-1, keepdims=True) + config["layer_norm_eps"])
    expected = states * head[f"{norm}.weight"] + head[f"{norm}.bias"]
    np.testing.assert_allclose(np.asarray(model(x))[0], expected, rtol=0, atol=1e-4)
    np.testing.assert_array_equal(model.head.bias, head[bias])
    # Without one there is nothing to take over.
    save_file(tensors, folder / "model.safetensors")
    assert load_masked_head(str(folder)) is None
