"""A classifier for the tests of loading and prediction."""

import keras
import keras_hub
import numpy as np
import pytest

import sentiment


@pytest.fixture(scope="session")
def real_classifier(tokenizer):
    """Tiny, untrained, with settings that are not the defaults."""
    keras.utils.set_random_seed(0)
    backbone = keras_hub.models.GPT2Backbone(
        vocabulary_size=tokenizer.vocabulary_size(),
        num_layers=1,
        num_heads=2,
        hidden_dim=16,
        intermediate_dim=32,
        max_sequence_length=16,
    )
    preprocessor = sentiment.GPT2TextClassifierPreprocessor(
        tokenizer, sequence_length=12, truncation="tail", lowercase=True
    )
    return sentiment.GPT2TextClassifier(
        backbone,
        3,
        preprocessor,
        pooling="attention",
        label_names=["bad", "so so", "good"],
    )


class LengthClassifier:
    """Good is as probable as the text has characters, in percent."""

    label_names = ("bad", "good")

    def __init__(self):
        self.calls = []

    def predict_texts(self, texts, batch_size=None):
        self.calls.append((len(texts), batch_size))
        good = np.array([len(text) / 100 for text in texts])
        is_empty = np.array([not text.strip() for text in texts])
        return np.stack([1 - good, good], axis=1), is_empty
