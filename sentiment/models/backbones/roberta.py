"""RoBERTa's encoder."""

import keras_hub
from keras_hub.src.utils.transformers import convert_roberta

from sentiment.models.backbones.kind import SequenceHead, check_settings
from sentiment.models.backbones.transformer_kind import JointEmbeddingKind


class RobertaKind(JointEmbeddingKind):
    """RoBERTa, and what is built like it.

    Hugging Face's positions begin after the number of the padding token, so at 2;
    KerasHub's table has no rows for 0 and 1.
    """

    huggingface_prefix = "roberta"
    masked_head = ("lm_head.dense", "lm_head.layer_norm", "lm_head.bias")
    sequence_head = SequenceHead(
        "cls", "tanh", "classifier.dense", "classifier.out_proj"
    )
    embedding_names = ("embeddings",)
    layer_norm_epsilon = 1e-5

    def huggingface_arguments(self, config):
        """Refuses other places of the first position, too."""
        check_settings(config, {"pad_token_id": 1})
        return super().huggingface_arguments(config)


class Roberta(RobertaKind):
    """`keras_hub.models.RobertaBackbone` (Liu et al. 2019)."""

    backbone_class = keras_hub.models.RobertaBackbone
    tokenizer_class = keras_hub.models.RobertaTokenizer
    huggingface_types = ("roberta",)
    converter = convert_roberta

    def convert_weights(self, backbone, weights, config):
        super().convert_weights(backbone, weights, config)
        # The one token type is zero in the first checkpoints, but not in those that
        # have been trained further; KerasHub leaves it out.
        token_type = weights.get_tensor("embeddings.token_type_embeddings.weight")[0]
        table = backbone.embeddings.position_embedding.position_embeddings
        table.assign(table + token_type)


KIND = Roberta()
