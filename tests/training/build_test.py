import keras
import numpy as np
import pytest

from sentiment.config import BackboneConfig
from sentiment.errors import InputError
from sentiment.training import build
from sentiment.training.build import check_fresh, make_backbone


def test_what_does_not_fit_into_memory_is_refused_before_it_is_made():
    largest = {"hidden_dim": 65_536, "num_layers": 1000, "vocabulary_size": 2**20}
    for architecture in ("gpt2", "lstm"):
        with pytest.raises(InputError, match=r"needs [\d,]+ GB to be trained"):
            check_fresh(BackboneConfig(architecture=architecture, **largest))


def test_the_estimate_is_that_of_gpt2(monkeypatch):
    """GPT-2 small has 124 million weights, of which the estimate leaves out biases."""
    small = BackboneConfig(
        num_layers=12,
        num_heads=12,
        hidden_dim=768,
        intermediate_dim=3072,
        vocabulary_size=50_257,
        max_positions=1024,
    )
    for share, fits in ((1.0, True), (0.99, False)):
        memory = 16 * 124.32e6 * share
        monkeypatch.setattr(build, "physical_memory", lambda memory=memory: memory)
        if fits:
            check_fresh(small)
        else:
            with pytest.raises(InputError, match="needs 2 GB"):
                check_fresh(small)


@pytest.mark.parametrize("architecture", ["bert", "gru"])
def test_tokens_beyond_the_tokenizers_stay_random(tokenizer, tmp_path, architecture):
    """As the mask of an encoder, which no other model's embeddings stand for."""
    sizes = {"architecture": architecture, "hidden_dim": 16, "num_layers": 1}
    wide = BackboneConfig(architecture="gru", hidden_dim=32, num_layers=1)
    make_backbone(wide, tokenizer, "float32").save_to_preset(tmp_path)
    tokenizer.save_to_preset(tmp_path)

    def embeddings(embeddings_from):
        keras.utils.set_random_seed(0)
        config = BackboneConfig(**sizes, embeddings_from=embeddings_from)
        check_fresh(config)
        made = make_backbone(config, tokenizer, "float32", num_special=1)
        return np.array(made.token_embedding.embeddings)

    plain, transferred = embeddings(""), embeddings(str(tmp_path))
    is_same = (plain == transferred).all(axis=1)
    assert len(plain) == tokenizer.vocabulary_size() + 1
    assert is_same[-1]
    assert not is_same[tokenizer.vocabulary["a"]]
