"""What the layers of all kinds of backbone have in common over packed rows."""

import keras

from sentiment.config import SpeedConfig
from sentiment.errors import InputError


class PackedLayers(keras.layers.Layer):
    """From embeddings to hidden states, through a backbone's own layers.

    Args:
        backbone: its weights are shared.
        reads: the hidden states that are read of each segment: "all", its "first" or
            its "last", so that the others may be left out.

    Call arguments:
        embeddings: float (batch, row_length, embedding_dim), as of the kind's `embed`.
        segment_ids: int (batch, row_length), 0 is padding.
        segment_lengths: int (batch, max_segments), 0 in unused slots.

    Returns:
        float (batch, row_length, hidden_dim), as after the backbone's last layer. A
        state depends on its own segment alone.

    Attributes:
        speed: the `SpeedConfig` in use.
    """

    def __init__(self, backbone, reads="all", **kwargs):
        super().__init__(dtype=backbone.dtype_policy, **kwargs)
        self.backbone = backbone
        self.reads = reads
        self.speed = SpeedConfig()
        self.built = True  # The backbone is.

    def compute_output_spec(self, embeddings, *_, **__):
        shape = (*embeddings.shape[:-1], self.backbone.hidden_dim)
        return keras.KerasTensor(shape, dtype=self.compute_dtype)

    def get_config(self):
        """There is none: the layer is nothing without another one.

        Raises:
            InputError: always. `keras.models.clone_model` asks for it, which knows only
                layers that stand alone, and would make a plain `Functional` of them.
        """
        raise InputError(
            "A classifier cannot be cloned layer by layer, for some of its layers work "
            "on the backbone's weights. Instead of keras.models.clone_model(classifier)"
            ", which would lose its class and preprocessor, use "
            "copy.deepcopy(classifier): a whole copy with weights of its own."
        )
