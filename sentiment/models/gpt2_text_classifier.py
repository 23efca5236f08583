"""GPT-2 with pooled hidden states and a Dense head."""

import keras
import keras_hub

from sentiment.models.gpt2_text_classifier_preprocessor import (
    GPT2TextClassifierPreprocessor,
)
from sentiment.models.packed_text_classifier import PackedTextClassifier


@keras.saving.register_keras_serializable(package="sentiment")
class GPT2TextClassifier(PackedTextClassifier):
    """An end-to-end GPT-2 model for text classification.

    A `PackedTextClassifier` on a `keras_hub.models.GPT2Backbone`; see there for
    arguments, inputs and what is raised.

    Examples:
    ```python
    import sentiment

    # Pretrained backbone, fresh head.
    classifier = sentiment.GPT2TextClassifier.from_preset(
        "gpt2_base_en", num_classes=2, label_names=["negative", "positive"]
    )
    classifier.fit(["Lovely.", "Dreadful."], [1, 0])
    classifier.predict(["Not bad at all!"])  # float32 (1, 2)

    # A finished classifier.
    classifier = sentiment.GPT2TextClassifier.from_preset("runs/imdb/preset")

    # Random weights, no preprocessor.
    backbone = keras_hub.models.GPT2Backbone(
        vocabulary_size=1000, num_layers=2, num_heads=2, hidden_dim=64,
        intermediate_dim=128, max_sequence_length=128,
    )
    classifier = sentiment.GPT2TextClassifier(backbone, num_classes=3)
    ```

    Reference:
    - [Radford et al., 2018](https://cdn.openai.com/research-covers/language-unsupervised/language_understanding_paper.pdf)
    - [Radford et al., 2019](https://cdn.openai.com/better-language-models/language_models_are_unsupervised_multitask_learners.pdf)
    """

    backbone_cls = keras_hub.models.GPT2Backbone
    preprocessor_cls = GPT2TextClassifierPreprocessor
