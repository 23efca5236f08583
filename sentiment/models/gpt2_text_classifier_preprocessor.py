"""From raw strings to what `GPT2TextClassifier` reads."""

import keras
import keras_hub

from sentiment.models.gpt2_tokenizer import ByteLevelGPT2Tokenizer
from sentiment.models.packed_text_classifier_preprocessor import (
    PackedTextClassifierPreprocessor,
)


@keras.saving.register_keras_serializable(package="sentiment")
class GPT2TextClassifierPreprocessor(PackedTextClassifierPreprocessor):
    """Cleans, tokenizes and truncates reviews for `GPT2TextClassifier`.

    Each review becomes `<|endoftext|> tokens <|endoftext|>`: the start token
    is what GPT-2 saw before a new document, the end token is where the `last`
    pooling reads.

    Args:
        tokenizer: a GPT-2 tokenizer; any other class than
            `ByteLevelGPT2Tokenizer` is rebuilt as one, from its vocabulary.
        *args: as of `PackedTextClassifierPreprocessor`.
        **kwargs: as of `PackedTextClassifierPreprocessor`.

    Example:
    ```python
    preprocessor = GPT2TextClassifierPreprocessor.from_preset("gpt2_base_en")
    preprocessor(["A fine film.", "Dull."])["segment_lengths"]  # [[6], [4]]
    ```
    """

    backbone_cls = keras_hub.models.GPT2Backbone
    tokenizer_cls = ByteLevelGPT2Tokenizer

    def __init__(self, tokenizer, *args, **kwargs):
        tokenizer = ByteLevelGPT2Tokenizer.from_tokenizer(tokenizer)
        super().__init__(tokenizer, *args, **kwargs)
