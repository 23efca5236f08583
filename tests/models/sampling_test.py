import jax.numpy as jnp
import numpy as np
import pytest

from sentiment.models.packed_causal_lm import PackedCausalLM
from sentiment.models.sampling import nucleus, sample_texts


@pytest.mark.parametrize(
    ("top_p", "kept"),
    [(0.4, [1]), (0.6, [1, 3]), (0.85, [1, 3, 0]), (1.0, [0, 1, 2, 3])],
)
def test_nucleus_by_hand(top_p, kept):
    probabilities = np.array([[0.15, 0.5, 0.05, 0.3]])
    logits = np.asarray(nucleus(jnp.log(probabilities), top_p))
    assert sorted(np.flatnonzero(np.isfinite(logits[0]))) == sorted(kept)
    np.testing.assert_allclose(logits[0, kept], np.log(probabilities)[0, kept])


@pytest.fixture
def model(make_backbone, randomize):
    return PackedCausalLM(randomize(make_backbone()))


def test_least_top_p_takes_the_likeliest_token_each_time(model, tokenizer):
    ids = [tokenizer.start_token_id]
    for _ in range(6):
        x = {
            "token_ids": np.array([ids]),
            "segment_lengths": np.array([[len(ids)]]),
        }
        ids.append(int(model.logits(model(x))[0, -1].argmax()))
    ends = [i for i in range(1, 7) if ids[i] == tokenizer.end_token_id]
    wanted = tokenizer.decode_batch([ids[1 : ends[0] if ends else 7]])[0]
    drawn = sample_texts(model, tokenizer, 2, seed=0, max_tokens=6, top_p=1e-6)
    assert drawn == [wanted, wanted]


def test_seed_decides(model, tokenizer):
    def draw(seed):
        return sample_texts(model, tokenizer, 3, seed, max_tokens=8)

    assert draw(1) == draw(1)
    assert draw(1) != draw(2)
    assert len(set(draw(1))) == 3
