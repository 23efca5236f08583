from sentiment.models.backbones.recurrent import KIND
from sentiment.models.backbones.rnn_backbone import RNNBackbone


def test_no_kernel_is_a_matrix_of_its_own():
    # Muon would make one matrix of the four of an LSTM's gates.
    paths = [v.path for v in RNNBackbone(20, 2, 4, "lstm").trainable_variables]
    assert any(path.endswith("kernel") for path in paths)
    assert all(KIND.matrix_axes(path) is None for path in paths)
