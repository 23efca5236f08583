import json

import jax
import keras
import keras_hub
import numpy as np
import pytest

from sentiment.config import BackboneConfig
from sentiment.data.corpus import EncodedDocuments
from sentiment.data.packing import RaggedTokens
from sentiment.data.pipeline import NextTokenPlan, batches
from sentiment.errors import InputError
from sentiment.models.backbones.rnn_backbone import RNNBackbone
from sentiment.models.packed_causal_lm import PackedCausalLM
from sentiment.models.packed_language_model import save_language_model
from sentiment.models.presets import load_backbone
from sentiment.training.optimizers import OptaxOptimizer

KINDS = ("gpt2", "lstm")
DOCUMENTS = [[3, 5, 7, 9], [4, 4, 6], [8, 2]]


@pytest.fixture(params=KINDS)
def backbone(request, make_backbone, randomize):
    if request.param == "gpt2":
        return randomize(make_backbone(vocabulary_size=300))
    return randomize(RNNBackbone(300, 2, 16, request.param, dropout=0.0))


def plan_of(documents, batch_rows=1, row_length=10):
    tokens = RaggedTokens.from_sequences(documents)
    return NextTokenPlan(EncodedDocuments(tokens, 1), batch_rows, row_length)


def summed_loss(model, documents):
    """Nats over all targets of documents that share one row."""
    plan = plan_of(documents)
    (rows,) = plan.rows(0)

    @jax.jit
    def loss(x, y, weights):
        return model.compute_loss(x, y, model(x), weights)

    return float(loss(*plan.batch([rows])))


def test_documents_in_one_row_cost_what_they_cost_alone(backbone):
    model = PackedCausalLM(backbone)
    alone = [summed_loss(model, [document]) for document in DOCUMENTS]
    assert summed_loss(model, DOCUMENTS) == pytest.approx(sum(alone), rel=1e-5)


def test_a_document_does_not_feel_its_row_mate(backbone):
    model = PackedCausalLM(backbone)
    x = {
        "token_ids": np.array([[3, 5, 7, 9, 4, 4, 6, 0]]),
        "segment_lengths": np.array([[4, 3]]),
    }
    other = {**x, "token_ids": np.array([[11, 12, 13, 14, 4, 4, 6, 99]])}
    run = jax.jit(lambda x: model(x))
    np.testing.assert_array_equal(run(x)[0, 4:7], run(other)[0, 4:7])


def test_no_token_sees_the_next(backbone):
    model = PackedCausalLM(backbone)
    lengths = np.array([[4]])
    run = jax.jit(lambda x: model(x))
    first = run({"token_ids": np.array([[3, 5, 7, 9]]), "segment_lengths": lengths})
    other = run({"token_ids": np.array([[3, 5, 1, 2]]), "segment_lengths": lengths})
    np.testing.assert_array_equal(first[0, :2], other[0, :2])
    assert not np.allclose(first[0, 2], other[0, 2])


def test_logged_loss_is_the_mean_over_targets(backbone):
    model = PackedCausalLM(backbone)
    model.compile(loss=None)
    plan = plan_of(DOCUMENTS, batch_rows=1, row_length=5)
    loss = model.evaluate(batches(plan), steps=plan.num_batches, verbose=0)
    total = sum(summed_loss(model, [document]) for document in DOCUMENTS)
    assert loss == pytest.approx(total / (3 + 2 + 1), rel=1e-5)


def test_accumulation_changes_no_update(backbone, monkeypatch):
    rows, compute_loss = [], PackedCausalLM.compute_loss

    def watched(self, x=None, y=None, *arguments, **options):
        rows.append(y.shape[0])
        return compute_loss(self, x, y, *arguments, **options)

    monkeypatch.setattr(PackedCausalLM, "compute_loss", watched)
    documents = [[3, 5, 7, 9], [4, 4, 6, 1], [8, 2], [1, 2, 3]]
    weights = []
    start = backbone.get_weights()
    for steps in (1, 2):
        backbone.set_weights(start)
        model = PackedCausalLM(backbone)
        model.compile(
            keras.optimizers.SGD(0.1), loss=None, gradient_accumulation_steps=steps
        )
        plan = plan_of(documents, batch_rows=4, row_length=4)
        model.fit(batches(plan), steps_per_epoch=1, verbose=0)
        assert rows[-1] == 4 // steps
        weights.append(backbone.get_weights())
    for one, two in zip(*weights, strict=True):
        np.testing.assert_allclose(one, two, atol=1e-6)
    assert any(np.any(a != b) for a, b in zip(start, weights[0], strict=True))


def test_kerashub_loads_and_generates_without_us(
    make_backbone, randomize, tokenizer, tmp_path
):
    backbone = randomize(make_backbone())
    save_language_model(backbone, tokenizer, tmp_path)
    config = json.loads((tmp_path / "task.json").read_text())
    assert "sentiment" not in json.dumps(config)
    loaded = keras_hub.models.GPT2CausalLM.from_preset(str(tmp_path))
    ids = np.array([[5, 9, 2, 7]])
    inputs = {"token_ids": ids, "padding_mask": np.ones_like(ids)}
    model = PackedCausalLM(backbone)
    hidden = model({"token_ids": ids, "segment_lengths": np.array([[4]])})
    np.testing.assert_allclose(loaded(inputs), model.logits(hidden), atol=1e-4)
    assert isinstance(loaded.generate("A great", max_length=8), str)


def test_other_cleaning_than_a_classifiers_is_refused(make_classifier, tmp_path):
    classifier = make_classifier(lowercase=True)
    classifier.save_to_preset(str(tmp_path))
    load_backbone(BackboneConfig(preset=str(tmp_path), lowercase=True))
    with pytest.raises(InputError, match="`lowercase=True`; received `lowercase=Fal"):
        load_backbone(BackboneConfig(preset=str(tmp_path)))
    (tmp_path / "preprocessor.json").write_text("{")
    with pytest.raises(InputError, match=r"preprocessor\.json is damaged"):
        load_backbone(BackboneConfig(preset=str(tmp_path), lowercase=True))


def test_gradient_reaches_the_embedding_from_both_ends(make_backbone):
    backbone = make_backbone(vocabulary_size=30)
    model = PackedCausalLM(backbone)
    plan = plan_of([[3, 5, 7]], row_length=4)
    x, y, weights = plan.batch(plan.rows(0))
    trainable = [v.value for v in model.trainable_variables]
    frozen = [v.value for v in model.non_trainable_variables]

    def loss(trainable):
        return model.compute_loss_and_updates(trainable, frozen, [], x, y, weights)[0]

    model.compile(OptaxOptimizer(None, 1.0), loss=None)
    gradients = dict(
        zip(
            [v.path for v in model.trainable_variables],
            jax.jit(jax.grad(loss))(trainable),
            strict=True,
        )
    )
    (embedding,) = [g for path, g in gradients.items() if "token_embedding" in path]
    norms = np.linalg.norm(embedding, axis=1)
    assert (norms > 0).all()  # every token is a wrong next one
    assert norms[[5, 7]].min() > 5 * np.median(norms)
