"""What tests of folders in Hugging Face's format have in common."""

import json

import jax
import numpy as np
import pytest
from safetensors.numpy import save_file

from sentiment.data.packing import RaggedTokens
from sentiment.models.backbones import kind_of
from sentiment.models.backbones.segment_layout import SegmentLayout
from sentiment.models.presets import load_parts
from sentiment.models.tokenizer_definitions import word_piece_definition

VOCABULARY, POSITIONS = 60, 20
# A text of each length that matters, and some in between.
LENGTHS = (1, 2, 5, 19, POSITIONS)


def definition():
    letters = [*"abcdefghijklmnopqrstuvwxyz", *(f"##{c}" for c in "aeiourstnl")]
    words = ["film", "great", "good", "bad", "!", ".", ",", "##ing"]
    tokens = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *letters, *words]
    assert len(tokens) < VOCABULARY
    return word_piece_definition(tokens, lowercase=True)


def packed_hidden_states(backbone, texts):
    """Hidden states of texts that share rows with others and with padding."""
    kind = kind_of(backbone)
    layers = kind.packed_layers(backbone)
    width = max(map(len, texts)) + 3
    rows = [[i] for i in range(len(texts))] + [list(range(len(texts)))]
    width = max(width, sum(map(len, texts)) + 2)
    token_ids = np.full((len(rows), width), 7, np.int32)
    lengths = np.zeros((len(rows), len(texts) + 1), np.int32)
    for row, members in enumerate(rows):
        ids = np.concatenate([texts[i] for i in members])
        token_ids[row, : len(ids)] = ids
        lengths[row, : len(members)] = [len(texts[i]) for i in members]

    @jax.jit
    def run(token_ids, lengths):
        segment_ids, positions = SegmentLayout()(token_ids, lengths)
        embeddings = kind.embed(backbone, token_ids, positions)
        return layers(embeddings, segment_ids, lengths)

    states = np.asarray(run(token_ids, lengths))
    ends = np.cumsum(lengths[-1])
    for i, text in enumerate(texts):
        yield states[i, : len(text)]
        yield states[-1, ends[i] - len(text) : ends[i]]


def stock_hidden_states(backbone, text, types=0):
    """What KerasHub computes of one text, with padding after it."""
    names = list(backbone.input)
    length = POSITIONS
    inputs = {name: np.zeros((1, length), np.int32) for name in names}
    inputs["token_ids"][0, : len(text)] = text
    inputs["padding_mask"][0, : len(text)] = 1
    if "segment_ids" in inputs:
        inputs["segment_ids"][0, : len(text)] = types
    outputs = backbone(inputs)
    if isinstance(outputs, dict):
        outputs = outputs["sequence_output"]
    return np.asarray(outputs)[0, : len(text)]


def random_texts():
    rng = np.random.default_rng(1)
    return [rng.integers(5, VOCABULARY, n) for n in LENGTHS]


def write_folder(folder, config, tensors):
    """A checkpoint of these arrays, with a tokenizer; returns its path."""
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "tokenizer.json").write_text(definition())
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    return str(folder)


def without_prefix(tensors, prefix):
    return {key.removeprefix(prefix): array for key, array in tensors.items()}


def check_hidden_states(backbone, expected_of, types_of=None):
    """Hidden states of texts, packed, alone and as KerasHub computes them.

    Args:
        backbone: ours.
        expected_of: gives those of one text.
        types_of: gives the token types of a text's tokens; `None`: those by default.
    """
    texts = random_texts()
    found = packed_hidden_states(backbone, texts)
    for text in texts:
        expected = expected_of(text)
        types = types_of(text) if types_of else 0
        stock = stock_hidden_states(backbone, text, types)
        for states in (next(found), next(found), stock):
            np.testing.assert_allclose(states, expected, rtol=0, atol=1e-4)


def write_classifier(folder, tokenizer, labels=None, **config):
    """A random classifier that transformers makes and writes; skips without it."""
    torch = pytest.importorskip("torch", reason="it is in requirements-bench.txt")
    transformers = pytest.importorskip("transformers")
    torch.manual_seed(0)
    made = transformers.AutoConfig.for_model(**config, num_labels=3)
    if labels:
        made.id2label = {int(i): name for i, name in labels.items()}
    model = transformers.AutoModelForSequenceClassification.from_config(made).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.2 * torch.randn_like(parameter))
    model.save_pretrained(folder)
    (folder / "tokenizer.json").write_text(tokenizer)
    return model


def check_reads_like(classifier, model, types_of=None):
    """Hidden states and probabilities of a classifier and of transformers' model.

    Args:
        classifier: ours.
        model: transformers'.
        types_of: gives the token types of a text's tokens; `None`: those by default.
    """
    import torch

    def inputs_of(text):
        inputs = {"input_ids": torch.tensor(text[None])}
        if types_of:
            inputs["token_type_ids"] = torch.tensor(types_of(text)[None])
        return inputs

    def expected_of(text):
        with torch.no_grad():
            return model.base_model(**inputs_of(text)).last_hidden_state[0].numpy()

    check_hidden_states(classifier.backbone, expected_of, types_of)
    for text in random_texts():
        with torch.no_grad():
            probabilities = model(**inputs_of(text)).logits.softmax(-1).numpy()
        tokens = RaggedTokens.from_sequences([text.tolist()])
        own = classifier.predict_tokens(tokens)
        np.testing.assert_allclose(own, probabilities, rtol=0, atol=1e-4)


def check_same_without_prefix(folder, classifier, model, tokenizer):
    """The backbone alone is written without a prefix of names."""
    model.base_model.save_pretrained(folder / "backbone")
    (folder / "backbone" / "tokenizer.json").write_text(tokenizer)
    alone, _ = load_parts(str(folder / "backbone"), dropout=0.0)
    for one, other in zip(alone.weights, classifier.backbone.weights, strict=True):
        if "pooled_dense" not in one.path:
            np.testing.assert_array_equal(one.value, other.value)
