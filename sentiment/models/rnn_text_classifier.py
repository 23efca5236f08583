"""Recurrent layers with pooled hidden states and a Dense head."""

import keras

from sentiment.models.gpt2_text_classifier import GPT2TextClassifier
from sentiment.models.rnn_backbone import RNNBackbone


@keras.saving.register_keras_serializable(package="sentiment")
class RNNTextClassifier(GPT2TextClassifier):
    """`GPT2TextClassifier` on an `RNNBackbone`: all else is the same.

    Example:
    ```python
    backbone = sentiment.RNNBackbone(8192, num_layers=1, hidden_dim=256, cell="lstm")
    classifier = sentiment.RNNTextClassifier(backbone, num_classes=2)
    ```
    """

    backbone_cls = RNNBackbone
