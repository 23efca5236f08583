"""Presets as others write them."""

import json

import keras_hub
import numpy as np
import pytest
from safetensors.numpy import save_file

SIZES = {"num_layers": 2, "num_heads": 2, "hidden_dim": 16, "max_sequence_length": 64}


@pytest.fixture(scope="session")
def write_kerashub_folder(randomize):
    """Writes what `GPT2CausalLM.save_to_preset` leaves; returns the backbone."""

    def write(folder, vocabulary, merges, **sizes):
        backbone = keras_hub.models.GPT2Backbone(
            vocabulary_size=len(vocabulary),
            **{**SIZES, "intermediate_dim": 64, "dropout": 0.0, **sizes},
        )
        preprocessor = keras_hub.models.GPT2CausalLMPreprocessor(
            keras_hub.models.GPT2Tokenizer(vocabulary=vocabulary, merges=merges),
            sequence_length=32,
        )
        causal_lm = keras_hub.models.GPT2CausalLM(backbone, preprocessor)
        randomize(causal_lm).save_to_preset(str(folder))
        return backbone

    return write


@pytest.fixture(scope="session")
def write_huggingface_folder():
    """Writes a Hugging Face GPT-2 with random weights; returns its tensors."""

    def write(folder, vocabulary, merges, prefix="", **overrides):
        config = {
            "model_type": "gpt2",
            "architectures": ["GPT2LMHeadModel"],
            "activation_function": "gelu_new",
            "layer_norm_epsilon": 1e-5,
            "resid_pdrop": 0.1,
            "vocab_size": len(vocabulary),
            "n_positions": SIZES["max_sequence_length"],
            "n_embd": SIZES["hidden_dim"],
            "n_layer": SIZES["num_layers"],
            "n_head": SIZES["num_heads"],
            **overrides,
        }
        tensors = _random_gpt2(config)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "config.json").write_text(json.dumps(config))
        (folder / "vocab.json").write_text(json.dumps(vocabulary))
        (folder / "merges.txt").write_text("\n".join(["#version: 0.2", *merges, ""]))
        stored = {prefix + name: tensor for name, tensor in tensors.items()}
        save_file(stored, folder / "model.safetensors", metadata={"format": "pt"})
        return tensors

    return write


def _random_gpt2(config):
    rng = np.random.default_rng(0)
    dim, positions = config["n_embd"], config["n_positions"]

    def normal(*shape, mean=0.0):
        return rng.normal(mean, 0.3, shape).astype(np.float32)

    tensors = {
        "wte.weight": normal(config["vocab_size"], dim),
        "wpe.weight": normal(positions, dim),
        "ln_f.weight": normal(dim, mean=1.0),
        "ln_f.bias": normal(dim),
    }
    for i in range(config["n_layer"]):
        tensors |= {
            f"h.{i}.ln_1.weight": normal(dim, mean=1.0),
            f"h.{i}.ln_1.bias": normal(dim),
            # A buffer that OpenAI's published files hold.
            f"h.{i}.attn.bias": np.tril(np.ones((1, 1, positions, positions), "f4")),
            f"h.{i}.attn.c_attn.weight": normal(dim, 3 * dim),
            f"h.{i}.attn.c_attn.bias": normal(3 * dim),
            f"h.{i}.attn.c_proj.weight": normal(dim, dim),
            f"h.{i}.attn.c_proj.bias": normal(dim),
            f"h.{i}.ln_2.weight": normal(dim, mean=1.0),
            f"h.{i}.ln_2.bias": normal(dim),
            f"h.{i}.mlp.c_fc.weight": normal(dim, 4 * dim),
            f"h.{i}.mlp.c_fc.bias": normal(4 * dim),
            f"h.{i}.mlp.c_proj.weight": normal(4 * dim, dim),
            f"h.{i}.mlp.c_proj.bias": normal(dim),
        }
    return tensors
