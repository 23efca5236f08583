"""What holds for every kind of backbone, whatever it is.

A new kind in `KINDS` adds a case to each test here. `bag` is a kind of the
tests' own: the least that a kind must have, not causal, without adapters or a class of
classifiers of its own.
"""

import importlib
import json
import pkgutil

import jax
import keras
import keras_hub
import numpy as np
import pytest

import sentiment
from sentiment.compression.quantization import is_quantized, quantize
from sentiment.config import (
    ARCHITECTURES,
    LORA_TARGETS,
    BackboneConfig,
    ModelConfig,
    SpeedConfig,
    TrainingConfig,
)
from sentiment.errors import InputError
from sentiment.inference.loading import load_classifier
from sentiment.models import backbones
from sentiment.models.backbones import KINDS, kind_of, kind_of_config
from sentiment.models.backbones.kind import BackboneKind
from sentiment.models.backbones.segment_layout import SegmentLayout
from sentiment.models.backbones.variants import with_fewer_layers
from sentiment.models.lora import enable_lora, load_adapter, merge_lora, save_adapter
from sentiment.models.packed_causal_lm import PackedCausalLM
from sentiment.models.packed_language_model import save_language_model
from sentiment.models.packed_masked_lm import PackedMaskedLM
from sentiment.models.packed_text_classifier import classifier_class
from sentiment.models.pooling import pool_mean
from sentiment.models.presets import (
    load_backbone,
    load_pretrained,
    preprocessor_class,
)
from sentiment.models.tokenizer_definitions import word_piece_definition
from sentiment.training.optimizers import make_optimizer
from tests.conftest import TOY_TEXTS
from tests.models import at_once

SIZES = {
    "num_layers": 2,
    "num_heads": 2,
    "hidden_dim": 16,
    "intermediate_dim": 32,
    "max_positions": 64,
    "dropout": 0.0,
}
# Reviews of disjoint token ids, so that a gradient by token is one by review.
REVIEWS = [np.arange(1, 5), np.arange(5, 6), np.arange(6, 11)]
SLOTS, ROW_LENGTH, VOCABULARY = 4, 12, 20
# One architecture of each kind, and of the kinds that have none, the kind.
ONE_EACH = [
    {about.kind: name for name, about in ARCHITECTURES.items()}.get(kind, kind)
    for kind in KINDS
]
ALL = [*dict.fromkeys((*ARCHITECTURES, *ONE_EACH)), "bag"]

each_architecture = pytest.mark.parametrize(
    "architecture", ALL, indirect=True, scope="module"
)


# --- The least kind


@keras.saving.register_keras_serializable(package="sentiment_tests")
class BagBackbone(keras_hub.models.Backbone):
    """A feed-forward layer or several on each token."""

    def __init__(self, vocabulary_size, num_layers, hidden_dim, dtype=None, **kwargs):
        self.token_embedding = keras.layers.ReversibleEmbedding(
            vocabulary_size, hidden_dim, dtype=dtype, name="token_embedding"
        )
        self.transformer_layers = [
            keras.layers.Dense(
                hidden_dim, "tanh", dtype=dtype, name=f"transformer_layer_{i}"
            )
            for i in range(num_layers)
        ]
        token_ids = keras.Input((None,), dtype="int32", name="token_ids")
        padding_mask = keras.Input((None,), dtype="int32", name="padding_mask")
        outputs = self.token_embedding(token_ids)
        for layer in self.transformer_layers:
            outputs = layer(outputs)
        inputs = {"token_ids": token_ids, "padding_mask": padding_mask}
        super().__init__(inputs=inputs, outputs=outputs, dtype=dtype, **kwargs)
        self.vocabulary_size = vocabulary_size
        self.num_layers = num_layers
        self.hidden_dim = hidden_dim
        self.max_sequence_length = 64

    def get_config(self):
        sizes = ("vocabulary_size", "num_layers", "hidden_dim")
        return {**super().get_config(), **{name: getattr(self, name) for name in sizes}}


@keras.saving.register_keras_serializable(package="sentiment_tests")
class PackedBag(keras.layers.Layer):
    """A token's state is its own and the mean of its segment, before and after it."""

    def __init__(self, backbone, **kwargs):
        super().__init__(dtype=backbone.dtype_policy, **kwargs)
        self.backbone = backbone
        self.speed = SpeedConfig()
        self.built = True

    def call(self, embeddings, segment_ids, segment_lengths):
        states = embeddings
        for layer in self.backbone.transformer_layers:
            states = layer(states)
        means = pool_mean(states, segment_ids, segment_lengths)
        slot = keras.ops.maximum(segment_ids - 1, 0)[:, :, None]
        return states + keras.ops.take_along_axis(means, slot, axis=1)


class Bag(BackboneKind):
    backbone_class = BagBackbone
    tokenizer_class = sentiment.ByteLevelGPT2Tokenizer
    is_causal = False
    objective = ""

    def fresh(self, config, vocabulary_size, dtype):
        return BagBackbone(
            vocabulary_size, config.num_layers, config.hidden_dim, dtype=dtype
        )

    def embed(self, backbone, token_ids, positions):
        return backbone.token_embedding(token_ids)

    def packed_layers(self, backbone):
        return PackedBag(backbone, name="decoder")

    def blocks(self, backbone):
        return backbone.transformer_layers


@pytest.fixture(scope="module", autouse=True)
def bag_is_known():
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(KINDS, "bag", Bag())
        yield


@pytest.fixture(scope="module", params=[*ONE_EACH, "bag"])
def architecture(request):
    return request.param


@pytest.fixture(scope="module")
def kind(architecture):
    about = ARCHITECTURES.get(architecture)
    return KINDS[architecture if about is None else about.kind]


@pytest.fixture(scope="module")
def make(architecture, kind, randomize):
    """Makes a tiny backbone of the kind, with random weights."""

    def make(vocabulary_size=VOCABULARY, **sizes):
        keras.utils.set_random_seed(0)
        name = architecture if architecture in ARCHITECTURES else "bert"
        config = BackboneConfig(architecture=name, **{**SIZES, **sizes})
        return randomize(kind.fresh(config, vocabulary_size, "float32"))

    return make


@pytest.fixture(scope="module")
def word_pieces():
    """A tokenizer as encoders have it, of words and letters."""
    cleaned = " ".join(TOY_TEXTS).lower()
    letters = sorted({letter for letter in cleaned if not letter.isspace()})
    tokens = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "film", "great"]
    tokens += [*letters, *(f"##{letter}" for letter in letters)]
    return sentiment.FastTokenizer(word_piece_definition(tokens, lowercase=True))


@pytest.fixture(scope="module")
def own_tokenizer(kind, tokenizer, word_pieces):
    """One as the kind's presets have it."""
    return tokenizer if kind.is_causal else word_pieces


@pytest.fixture(scope="module")
def reader(own_tokenizer):
    return preprocessor_class(own_tokenizer)(own_tokenizer, sequence_length=32)


def save_backbone(kind, backbone, tokenizer, folder):
    """What a user has of a backbone that was pretrained."""
    if kind.objective:
        save_language_model(backbone, tokenizer, folder)
    else:
        backbone.save_to_preset(str(folder))
        tokenizer.save_to_preset(str(folder))


@pytest.fixture
def classifier(make, reader, randomize):
    """Reads texts, from its own class of classifiers."""
    backbone = make(reader.tokenizer.vocabulary_size())
    return randomize(
        classifier_class(type(backbone))(
            backbone, 3, reader, "attention", 0.0, ["bad", "so so", "good"]
        )
    )


def weights(model):
    return {v.path: np.array(v.value) for v in model.weights}


def assert_same_weights(found, expected):
    assert found.keys() == expected.keys()
    for path, value in found.items():
        np.testing.assert_array_equal(value, expected[path], err_msg=path)


# --- Packing


def packed_rows(reviews, padding):
    """Row 0 holds all reviews, row i + 1 review i alone."""
    token_ids = np.full((4, ROW_LENGTH), padding, np.int32)
    lengths = np.zeros((4, SLOTS), np.int32)
    for i, row in enumerate([np.concatenate(reviews), *reviews]):
        token_ids[i, : len(row)] = row
    lengths[0, :3] = [len(review) for review in reviews]
    lengths[1:, 0] = lengths[0, :3]
    return token_ids, lengths


@pytest.fixture(scope="module")
def run(make, randomize):
    """Gives the logits and row 0's jacobian by token embedding."""
    # Last, mean and maximum of the hidden states: it reads them all.
    classifier = randomize(
        sentiment.PackedTextClassifier(
            make(num_layers=1), 3, pooling="concat", dropout=0.0
        )
    )
    table = classifier.backbone.token_embedding.embeddings
    variables = classifier.trainable_variables
    (place,) = (i for i, v in enumerate(variables) if v is table)
    values = [v.value for v in variables]
    frozen = [v.value for v in classifier.non_trainable_variables]

    @jax.jit
    def run(token_ids, lengths):
        def logits(table):
            x = {"token_ids": token_ids, "segment_lengths": lengths}
            trained = [*values[:place], table, *values[place + 1 :]]
            result, _ = classifier.stateless_call(trained, frozen, x)
            return result[0], result

        jacobian, result = jax.jacrev(logits, has_aux=True)(values[place])
        return result, jacobian

    return lambda *batch: jax.tree.map(np.asarray, run(*batch))


@pytest.fixture(scope="module")
def packed(run):
    return run(*packed_rows(REVIEWS, padding=0))


@each_architecture
def test_reviews_in_one_row_are_read_as_alone(packed):
    logits, _ = packed
    np.testing.assert_allclose(logits[0, :3], logits[1:, 0], rtol=0, atol=1e-5)
    spread = np.abs(logits[0, :3, None] - logits[0, None, :3]).max(-1)
    assert spread[~np.eye(3, dtype=bool)].min() > 1e-2


@each_architecture
def test_no_gradient_comes_from_a_row_mate(packed):
    _, jacobian = packed  # (slots, classes, vocabulary, hidden_dim)
    influence = np.abs(jacobian).max(axis=(1, 3))
    for slot, review in enumerate(REVIEWS):
        own = np.isin(np.arange(VOCABULARY), review)
        assert (influence[slot][~own] == 0).all()
        assert (influence[slot][own] > 0).all()


@each_architecture
def test_padding_changes_nothing(run, packed):
    logits, jacobian = packed
    others, other_jacobian = run(*packed_rows(REVIEWS, padding=7))
    np.testing.assert_array_equal(others[0, :3], logits[0, :3])
    np.testing.assert_array_equal(others[1:, 0], logits[1:, 0])
    np.testing.assert_array_equal(other_jacobian[:3], jacobian[:3])


@each_architecture
def test_texts_are_predicted_together_as_alone(make, reader, randomize):
    backbone = make(reader.tokenizer.vocabulary_size(), num_layers=1)
    classifier = sentiment.PackedTextClassifier(backbone, 3, reader)
    randomize(classifier)
    together = classifier.predict(TOY_TEXTS)
    alone = np.concatenate([classifier.predict([text]) for text in TOY_TEXTS])
    np.testing.assert_allclose(together, alone, rtol=0, atol=1e-5)
    assert np.ptp(together, axis=0).max() > 0.01


def test_states_that_are_read_alone_are_as_among_all(kind, make):
    """What the last block leaves out where one token of each text is read."""
    layers = kind.packed_layers(make(num_layers=1))
    token_ids, lengths = packed_rows(REVIEWS, padding=0)
    segment_ids, positions = SegmentLayout()(token_ids, lengths)
    embeddings = kind.embed(layers.backbone, token_ids, positions)
    ends = np.cumsum(lengths[0, :3])
    places = {"last": ends - 1, "first": ends - lengths[0, :3]}
    if kind.is_causal:
        del places["first"]  # has read nothing, and is refused
    layers.reads = "all"
    expected = np.asarray(layers(embeddings, segment_ids, lengths))[0]
    for layers.reads, place in places.items():
        found = np.asarray(layers(embeddings, segment_ids, lengths))[0]
        np.testing.assert_allclose(found[place], expected[place], rtol=0, atol=1e-5)


# --- Threads and interruptions

# What can go wrong is in the classifier; blocks of each make pass through it.
each_make = pytest.mark.parametrize(
    "architecture", ["gpt2", "lstm", "bert", "llama", "bag"], indirect=True
)


@each_make
def test_threads_get_the_answers_of_one(classifier):
    expected = classifier.predict(at_once.TEXTS)
    classifier.speed = classifier.speed  # forgets what was compiled
    at_once.check_threads(classifier, expected, calls=160)


@each_make
def test_an_interruption_leaves_the_classifier_as_it_was(classifier):
    expected = classifier.predict(at_once.TEXTS)
    at_once.check_interruptions(classifier, expected, times=12)


# --- Saving


@each_architecture
def test_a_saved_classifier_comes_back_whole(classifier, tmp_path):
    expected = classifier.predict(TOY_TEXTS)
    classifier.save(tmp_path / "model.keras")
    classifier.save_to_preset(str(tmp_path / "preset"))
    loaded = [
        keras.saving.load_model(tmp_path / "model.keras"),
        load_classifier(tmp_path / "preset"),
        sentiment.PackedTextClassifier.from_preset(str(tmp_path / "preset")),
    ]
    for other in loaded:
        assert type(other) is type(classifier)
        assert other.get_config() == classifier.get_config()
        assert_same_weights(weights(other), weights(classifier))
    np.testing.assert_array_equal(loaded[0].predict(TOY_TEXTS), expected)


def test_another_number_of_classes_gives_a_fresh_head(classifier, tmp_path):
    classifier.save_to_preset(str(tmp_path))
    other = sentiment.PackedTextClassifier.from_preset(str(tmp_path), num_classes=2)
    assert type(other) is type(classifier)
    assert_same_weights(weights(other.backbone), weights(classifier.backbone))
    assert other.logits_dense.kernel.shape == (SIZES["hidden_dim"], 2)
    assert other.label_names == ("0", "1")


def test_a_preset_of_a_backbone_takes_a_fresh_head(kind, make, own_tokenizer, tmp_path):
    tokenizer = own_tokenizer
    backbone = make(tokenizer.vocabulary_size())
    save_backbone(kind, backbone, tokenizer, tmp_path)
    fresh = sentiment.PackedTextClassifier.from_preset(str(tmp_path), num_classes=4)
    assert type(fresh) is classifier_class(type(backbone))
    assert_same_weights(weights(fresh.backbone), weights(backbone))
    assert fresh.num_classes == 4
    assert fresh.pooling == kind.default_pooling
    texts = ["A great film!"]
    assert fresh.preprocessor.tokenizer.encode_batch(texts) == (
        tokenizer.encode_batch(texts)
    )


def test_a_preset_is_recognised_by_its_config(kind, make, tmp_path):
    make().save_to_preset(str(tmp_path))
    config = json.loads((tmp_path / "config.json").read_text())
    assert kind_of_config(config) is kind


def test_int8_stays_near_and_reloads_exactly(make, reader, randomize, tmp_path):
    size = reader.tokenizer.vocabulary_size()
    backbone = make(size, num_layers=1, hidden_dim=32)
    classifier = sentiment.PackedTextClassifier(backbone, 2, reader, "mean", 0.0)
    randomize(classifier, 0.05)
    before = classifier.predict(TOY_TEXTS)
    quantize(classifier, "int8")
    assert is_quantized(classifier)
    after = classifier.predict(TOY_TEXTS)
    assert 0 < np.abs(after - before).max() < 0.02
    classifier.save(tmp_path / "model.keras")
    classifier.save_to_preset(str(tmp_path / "preset"))
    loaded = load_classifier(tmp_path / "model.keras")
    np.testing.assert_array_equal(loaded.predict(TOY_TEXTS), after)
    of_preset = load_classifier(tmp_path / "preset")
    assert_same_weights(weights(of_preset), weights(classifier))


# --- Language models


def test_a_language_model_comes_back_whole(kind, make, own_tokenizer, tmp_path):
    tokenizer = own_tokenizer
    backbone = make(tokenizer.vocabulary_size())
    name = type(backbone).__name__
    if not kind.objective:
        with pytest.raises(InputError, match=f"A {name} is no language model"):
            save_language_model(backbone, tokenizer, tmp_path)
        return
    save_language_model(backbone, tokenizer, tmp_path, lowercase=True)
    config = BackboneConfig(preset=str(tmp_path), lowercase=True, dropout=0.0)
    loaded, reader = load_backbone(config)
    assert type(loaded) is type(backbone)
    assert_same_weights(weights(loaded), weights(backbone))
    texts = ["A great film!", "<|endoftext|>"]
    assert reader.encode_batch(texts) == tokenizer.encode_batch(texts)
    with pytest.raises(InputError, match="lowercase=True`; received `lowercase=Fal"):
        load_backbone(BackboneConfig(preset=str(tmp_path)))


def test_each_objective_has_its_model(kind, make):
    backbone = make()
    models = {"causal": PackedCausalLM, "mlm": PackedMaskedLM}
    for objective, model in models.items():
        if objective == kind.objective:
            assert model(backbone).backbone is backbone
        else:
            name = type(backbone).__name__
            with pytest.raises(InputError, match=f"language model needs.* a {name}"):
                model(backbone)


def test_a_token_sees_the_next_only_where_the_kind_says_so(kind, make):
    backbone = make()
    layers = kind.packed_layers(backbone)
    lengths = np.array([[4]])
    ones = np.ones((1, 4), np.int32)

    def first_state(embeddings):
        return layers(embeddings, ones, lengths)[0, 0]

    embeddings = kind.embed(backbone, np.array([[3, 5, 7, 9]]), np.arange(4)[None])
    jacobian = jax.jit(jax.jacrev(first_state))(embeddings)
    reached = np.abs(jacobian).max(axis=(0, 1, 3))
    assert reached[0] > 0
    np.testing.assert_array_equal(reached[1:] > 0, not kind.is_causal)


def test_a_language_models_loss_is_taken_where_there_can_be_one(kind, classifier):
    if kind.is_causal:
        classifier.compile(lm_loss_weight=0.5)
        assert classifier.language_loss.weight == 0.5
        return
    with pytest.raises(InputError, match="lm_loss_weight needs a backbone whose"):
        classifier.compile(lm_loss_weight=0.5)


# --- Layers


def test_kept_layers_have_the_weights_of_their_places(kind, make):
    backbone = make(num_layers=3)
    found = with_fewer_layers(backbone, 2)
    assert found.num_layers == 2
    kept, blocks = kind.blocks(found), kind.blocks(backbone)
    if len(blocks) == 1:  # All layers share it.
        kept, blocks = kept * 2, blocks * 3
    for layer, original in ((kept[0], blocks[0]), (kept[1], blocks[2])):
        assert len(layer.weights) == len(original.weights) > 0
        for one, other in zip(layer.weights, original.weights, strict=True):
            np.testing.assert_array_equal(one, other)
    apart = {v.path for block in blocks for v in block.weights}
    for path in weights(backbone).keys() - apart:
        np.testing.assert_array_equal(weights(found)[path], weights(backbone)[path])


def test_rates_fall_layer_by_layer_down_to_the_embeddings(kind, classifier):
    backbone = classifier.backbone
    expected = {v.path: 3 for v in classifier.trainable_variables}
    blocks = kind.blocks(backbone)
    below = {v.path for v in backbone.trainable_variables}
    for number, block in enumerate(blocks):
        number += backbone.num_layers - len(blocks)  # A shared one counts as highest.
        expected |= {v.path: number + 1 for v in block.trainable_variables}
        below -= {v.path for v in block.trainable_variables}
    # The last norm of decoders, by name, and BERT's pooler.
    above = ("layer_norm/", "sequence_output_layernorm/", "final_normalization/")
    above += ("pooled_dense/",)
    expected |= {path: 0 for path in below if not path.startswith(above)}
    config = TrainingConfig(
        optimizer="sgd",
        learning_rate=1.0,
        weight_decay=0.0,
        warmup_ratio=0.0,
        clip_norm=0.0,
        layerwise_lr_decay=0.5,
    )
    optimizer = make_optimizer(config, kind, backbone.num_layers, 10)
    variables = classifier.trainable_variables
    before = {v.path: np.array(v.value) for v in variables}
    optimizer.apply([np.ones(v.shape, "float32") for v in variables], variables)
    for variable in variables:
        change = np.array(variable.value) - before[variable.path]
        rate = 0.5 ** (3 - expected[variable.path])
        np.testing.assert_allclose(change, -rate, atol=1e-6, err_msg=variable.path)


def test_blocks_are_told_apart_by_their_whole_number(kind):
    if type(kind).depth is BackboneKind.depth:  # ALBERT's has one block for all.
        assert kind.depth(f"{kind.block_name}11/kernel", 12) == 12
        assert kind.depth(f"{kind.block_name}1/kernel", 12) == 2
    assert kind.depth("logits/kernel", 12) == 13


def test_a_matrix_has_each_axis_on_one_side(kind, make):
    for variable in make().trainable_variables:
        axes = kind.matrix_axes(variable.path)
        if axes is not None:
            assert sorted(axes[0] + axes[1]) == list(range(len(variable.shape)))
            assert axes[0] and axes[1]


def test_an_adapter_comes_back_or_is_refused_by_name(
    kind, classifier, own_tokenizer, tmp_path
):
    backbone = classifier.backbone
    (targets, *others) = [tuple(kind.lora_layers(b)) for b in kind.blocks(backbone)]
    assert all(names == targets for names in others)
    assert set(targets) <= set(LORA_TARGETS)
    assert bool(targets) == kind.is_adaptable
    if not kind.is_adaptable:
        name = type(backbone).__name__
        with pytest.raises(InputError, match=f"Received: a {name}.*lora_rank"):
            enable_lora(classifier, 2)
        return
    save_backbone(kind, backbone, own_tokenizer, tmp_path / "preset")
    config = ModelConfig(
        preset=str(tmp_path / "preset"), sequence_length=32, pooling="mean", dropout=0.0
    )
    trained = classifier_class(type(backbone))(
        load_pretrained(config)[0], 3, classifier.preprocessor, "mean", 0.0
    )
    enable_lora(trained, 2, targets)
    for variable in trained.trainable_variables:
        variable.assign(variable.value + 0.1)
    untuned = classifier.predict(TOY_TEXTS)
    save_adapter(trained, config, tmp_path / "adapter.safetensors")
    merged = merge_lora(trained)
    found = load_adapter(tmp_path / "adapter.safetensors")
    assert_same_weights(weights(found), weights(merged))
    expected = merged.predict(TOY_TEXTS)
    np.testing.assert_array_equal(found.predict(TOY_TEXTS), expected)
    assert np.abs(expected - untuned).max() > 0.01


# --- The registry


def test_every_record_is_entered():
    found = {
        name: importlib.import_module(f"{backbones.__name__}.{name}")
        for _, name, _ in pkgutil.iter_modules(backbones.__path__)
    }
    records = {name: m.KIND for name, m in found.items() if hasattr(m, "KIND")}
    assert records == {name: kind for name, kind in KINDS.items() if name != "bag"}


def test_an_unknown_kind_is_refused_with_those_that_are_known():
    backbone = keras_hub.models.FNetBackbone(20, 1, 4, 4, max_sequence_length=8)
    known = "GPT2Backbone, RNNBackbone"
    for refused in (kind_of, lambda b: sentiment.PackedTextClassifier(b, 2)):
        with pytest.raises(InputError, match=rf"{known}.*Received: a FNetBackbone\.$"):
            refused(backbone)


def test_a_class_of_a_users_own_is_taken_for_no_kind():
    class Own(sentiment.PackedTextClassifier):
        pass

    assert Own in sentiment.PackedTextClassifier.__subclasses__()
    assert classifier_class(BagBackbone) is sentiment.PackedTextClassifier


def test_a_class_for_one_kind_names_the_one_for_another(make_backbone):
    with pytest.raises(InputError, match=r"Received: a GPT2Backbone, .*GPT2TextClas"):
        sentiment.RNNTextClassifier(make_backbone(), 2)
