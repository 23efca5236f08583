import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from sentiment.config import ModelConfig
from sentiment.errors import InputError
from sentiment.inference.loading import load_classifier
from sentiment.models.presets import load_pretrained
from tests.models.huggingface_folders import (
    POSITIONS,
    check_reads_like,
    check_same_without_prefix,
    stock_hidden_states,
    write_classifier,
)


@pytest.mark.parametrize("has_definition", [True, False])
def test_its_classifier_reads_texts_as_it_was_trained(
    tmp_path, vocabulary, tokenizer, write_huggingface_folder, has_definition
):
    """Without a token before or after them, from the last one."""
    end = tokenizer.end_token_id
    write_huggingface_folder(
        tmp_path,
        *vocabulary,
        prefix="transformer.",
        architectures=["GPT2ForSequenceClassification"],
        eos_token_id=end,
        id2label={"0": "bad", "1": "so so", "2": "good"},
    )
    file = tmp_path / "model.safetensors"
    tensors = load_file(file)
    width = tensors["transformer.ln_f.bias"].shape[0]
    score = np.random.default_rng(0).normal(size=(3, width)).astype("float32")
    save_file({**tensors, "score.weight": score}, file, metadata={"format": "pt"})
    if has_definition:
        (tmp_path / "vocab.json").unlink()
        (tmp_path / "merges.txt").unlink()
        (tmp_path / "tokenizer.json").write_text(tokenizer._tokenizer.to_str())

    classifier = load_classifier(tmp_path)
    assert classifier.label_names == ("bad", "so so", "good")
    for text in ("A great film!", "so  BAD", "<b>x</b>", ""):
        ids = np.array(*tokenizer.encode_batch([text])) if text else np.array([end])
        last = stock_hidden_states(classifier.backbone, ids)[-1]
        expected = np.exp(score @ last) / np.exp(score @ last).sum()
        (found,) = classifier.predict([text])
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5)
    # A fresh head has them read in the same way.
    preset = ModelConfig(preset=str(tmp_path))
    reader = load_pretrained(preset)[1].tokenizer
    assert reader.frame_length == 0


@pytest.mark.parametrize(
    "config, message",
    [
        ({"scale_attn_by_inverse_layer_idx": True}, "inverse_layer_idx must be False"),
        ({"scale_attn_weights": False}, "scale_attn_weights must be True"),
        ({"layer_norm_epsilon": 1e-3}, "layer_norm_epsilon must be 1e-05"),
        ({"activation_function": "gelu"}, r"of gelu_new.* Received: 'gelu'"),
        ({"n_inner": 24}, r"c_fc.weight' have the shape \(16, 64\).* \(16, 24\)"),
    ],
)
def test_what_is_built_otherwise_is_refused(
    tmp_path, vocabulary, write_huggingface_folder, config, message
):
    write_huggingface_folder(tmp_path, *vocabulary, **config)
    with pytest.raises(InputError, match=message):
        load_pretrained(ModelConfig(preset=str(tmp_path)))


@pytest.mark.parametrize("config", [{}, {"n_inner": 24}, {"n_inner": 64}])
def test_what_transformers_writes_is_read_as_it_reads_it(tmp_path, tokenizer, config):
    definition = tokenizer._tokenizer.to_str()
    model = write_classifier(
        tmp_path,
        definition,
        **config,
        model_type="gpt2",
        vocab_size=tokenizer.vocabulary_size(),
        n_positions=POSITIONS,
        n_embd=16,
        n_layer=2,
        n_head=2,
        eos_token_id=tokenizer.end_token_id,
        pad_token_id=tokenizer.end_token_id,
    )
    classifier = load_classifier(tmp_path)
    check_reads_like(classifier, model)
    check_same_without_prefix(tmp_path, classifier, model, definition)
