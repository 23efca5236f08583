import jax
import jax.numpy as jnp
import keras_hub
import numpy as np
import pytest

from sentiment.errors import InputError
from sentiment.models.packed_causal_lm import PackedCausalLM
from sentiment.models.packed_masked_lm import PackedMaskedLM
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
    @jax.jit
    def logits(ids, length):
        x = {"token_ids": ids[None], "segment_lengths": length[None, None]}
        return model.logits(model(x))[0, length - 1]

    ids = [tokenizer.start_token_id]
    for _ in range(6):
        # As long in each step, so that it is compiled once.
        padded = np.pad(ids, (0, 7 - len(ids)))
        ids.append(int(logits(padded, np.int32(len(ids))).argmax()))
    ends = [i for i in range(1, 7) if ids[i] == tokenizer.end_token_id]
    wanted = tokenizer.decode_batch([ids[1 : ends[0] if ends else 7]])[0]
    drawn = sample_texts(model, tokenizer, 2, seed=0, max_tokens=6, top_p=1e-6)
    assert drawn == [wanted, wanted]


def test_seed_decides(model, tokenizer):
    def draw(seed):
        return sample_texts(model, tokenizer, 3, seed, max_tokens=8)

    first, again, other = draw(1), draw(1), draw(2)
    assert first == again != other
    assert len(set(first)) == 3


class Scripted:
    """A language model that says one token after the other, whatever it has read."""

    def __init__(self, ids, vocabulary_size):
        self.table = jnp.log(jnp.eye(vocabulary_size)[jnp.asarray(ids)] + 1e-9)

    def __call__(self, x, training):
        assert not training
        positions = jnp.arange(x["token_ids"].shape[1])
        return jnp.broadcast_to(positions[None, :, None], (*x["token_ids"].shape, 1))

    def logits(self, states):
        return self.table[states[:, 0]]


def test_a_model_that_finds_hidden_tokens_makes_up_no_texts(tokenizer):
    backbone = keras_hub.models.BertBackbone(300, 1, 1, 4, 4, max_sequence_length=8)
    with pytest.raises(InputError, match=r"makes up no texts\. Leave out --sample"):
        sample_texts(PackedMaskedLM(backbone), tokenizer, 1, seed=0)


def test_a_text_ends_before_its_first_end_token(tokenizer):
    (ids,) = tokenizer.encode_batch(["A great film"])
    end = tokenizer.end_token_id
    script = [*ids, end, *ids, end, end]
    model = Scripted(script, tokenizer.vocabulary_size())
    whole = sample_texts(model, tokenizer, 2, seed=0, max_tokens=len(script))
    assert whole == ["A great film"] * 2
    # Cut before any end token: as many tokens as asked for.
    cut = sample_texts(model, tokenizer, 1, seed=0, max_tokens=len(ids) - 1)
    assert cut == tokenizer.decode_batch([ids[:-1]])
