"""Recurrent layers with pooled hidden states and a Dense head."""

import keras

from sentiment.models.backbones.rnn_backbone import RNNBackbone
from sentiment.models.gpt2_text_classifier_preprocessor import (
    GPT2TextClassifierPreprocessor,
)
from sentiment.models.packed_text_classifier import PackedTextClassifier


@keras.saving.register_keras_serializable(package="sentiment")
class RNNTextClassifier(PackedTextClassifier):
    """A `PackedTextClassifier` on an `RNNBackbone`.

    Example:
    ```python
    backbone = sentiment.RNNBackbone(8192, num_layers=1, hidden_dim=256, cell="lstm")
    classifier = sentiment.RNNTextClassifier(backbone, num_classes=2)
    ```
    """

    backbone_cls = RNNBackbone
    preprocessor_cls = GPT2TextClassifierPreprocessor
