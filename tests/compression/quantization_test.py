import gc

import numpy as np
import pytest

from sentiment.compression.quantization import is_quantized, quantize
from sentiment.config import ModelConfig
from sentiment.errors import InputError
from sentiment.inference.loading import load_classifier
from sentiment.models.presets import load_pretrained
from tests.conftest import TOY_TEXTS, call_fresh


@pytest.fixture
def make_trained(make_classifier, make_backbone, randomize):
    def make():
        # As wide as a block of int4, and a half more.
        backbone = make_backbone(hidden_dim=192, num_heads=2, intermediate_dim=256)
        classifier = randomize(make_classifier("attention", backbone=backbone), 0.05)
        classifier.temperature = 0.5  # What becomes of it is seen in predictions.
        return classifier

    return make


@pytest.mark.parametrize("mode, worst", [("int8", 0.02), ("int4", 0.2)])
def test_predictions_stay_near_and_reload_exactly(make_trained, tmp_path, mode, worst):
    classifier = make_trained()
    before = classifier.predict(TOY_TEXTS)
    quantize(classifier, mode)
    assert is_quantized(classifier)
    after = classifier.predict(TOY_TEXTS)
    assert 0 < np.abs(after - before).max() < worst
    classifier.save(tmp_path / "model.keras")
    classifier.save_to_preset(tmp_path / "preset")
    for name in ("model.keras", "preset"):
        call_fresh(save_predictions, tmp_path / name, tmp_path / "out.npy")
        np.testing.assert_array_equal(np.load(tmp_path / "out.npy"), after)


def save_predictions(model, path):
    np.save(path, load_classifier(model).predict(TOY_TEXTS))


def num_bytes(layer):
    return sum(np.array(v.value).nbytes for v in layer.weights)


@pytest.mark.parametrize("mode, share", [("int8", 0.3), ("int4", 0.2)])
def test_the_backbone_shrinks_and_pooling_and_head_stay(make_trained, mode, share):
    classifier = make_trained()
    above = [*classifier.pooler.get_weights(), *classifier.logits_dense.get_weights()]
    before = num_bytes(classifier.backbone)
    quantize(classifier, mode)
    assert num_bytes(classifier.backbone) < share * before
    after = [*classifier.pooler.get_weights(), *classifier.logits_dense.get_weights()]
    for one, other in zip(after, above, strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_weight_is_off_by_half_a_step_at_most(make_trained):
    classifier = make_trained()
    block = classifier.backbone.transformer_layers[0]
    before = np.array(block._feedforward_intermediate_dense.kernel)
    quantize(classifier, "int8")
    layer = block._feedforward_intermediate_dense
    after = np.array(layer._kernel, "f4") / np.array(layer.kernel_scale)
    steps = np.abs(before).max(axis=0) / 127
    assert np.all(np.abs(after - before) <= 0.51 * steps)


def test_garbage_is_looked_for_among_new_objects_alone(make_classifier, monkeypatch):
    classifier = make_classifier()
    gc.unfreeze()
    before, frozen = len(gc.get_objects()), []
    monkeypatch.setattr(gc, "collect", lambda: frozen.append(gc.get_freeze_count()))
    quantize(classifier, "int8")
    assert len(frozen) > 10  # Once for each matrix.
    assert min(frozen) > 0.9 * before
    assert gc.get_freeze_count() == 0


def test_what_the_caller_froze_stays_frozen(make_classifier):
    gc.freeze()
    quantize(make_classifier(), "int8")
    assert gc.get_freeze_count() > 0


def test_a_quantised_model_is_not_quantised_again(make_classifier):
    classifier = make_classifier()
    assert not is_quantized(classifier)
    quantize(classifier, "int8")
    with pytest.raises(InputError, match="quantised already"):
        quantize(classifier, "int4")


def test_a_quantised_preset_is_not_trained(make_classifier, tmp_path):
    classifier = make_classifier()
    quantize(classifier, "int8")
    classifier.save_to_preset(tmp_path / "preset")
    with pytest.raises(InputError, match="is quantised, and so cannot be trained"):
        load_pretrained(ModelConfig(preset=str(tmp_path / "preset")))
