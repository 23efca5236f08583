"""The benchmark's arithmetic, and our contender at a toy size."""

import json

import numpy as np
import pytest

from benchmarks import report
from benchmarks.contenders.ours import Ours
from benchmarks.workload import TASKS, Task, Workload, review_flops
from sentiment.data.packing import RaggedTokens


def test_flops_by_hand():
    # One block of width 2, inner width 3, a review of 2 tokens. Products of
    # 2 x 2: four of 4 multiplications, and two of 2 x 3: 28 for each token.
    # Attention: token 1 sees 1 token, token 2 sees 2: scores and sums 2 * 2 * 3.
    # Head: 2 x 2.
    multiplications = 28 * 2 + 12 + 4
    assert review_flops([2], 1, 2, 3).tolist() == [2 * multiplications]


def test_flops_grow_with_layers_and_are_summed_over_reviews():
    one, two = review_flops([7, 9], 1, 4, 8), review_flops([7, 9], 2, 4, 8)
    head = 2 * 4 * 2
    np.testing.assert_allclose(two - head, 2 * (one - head))


def test_a_gpu_gets_more_at_once():
    for task in TASKS.values():
        gpu = task.on_gpu()
        assert gpu.reviews_per_update > task.reviews_per_update
        assert max(gpu.batch_sizes) <= gpu.reviews_per_update


@pytest.fixture
def workload(tmp_path, vocabulary):
    rng = np.random.default_rng(0)
    tokens, merges = vocabulary
    (tmp_path / "vocab.json").write_text(json.dumps(tokens))
    (tmp_path / "merges.txt").write_text("\n".join(merges))
    sequences = [rng.integers(1, 200, rng.integers(5, 40)) for _ in range(200)]
    made = Workload(
        Task("imdb_reviews", 64, 8, 2, 20, (2, 4)),
        "tiny",
        str(tmp_path),
        RaggedTokens.from_sequences(sequences),
        rng.integers(0, 2, 200).astype(np.int32),
    )
    made.save(tmp_path / "workload.npz")
    return Workload.load(tmp_path / "workload.npz")


@pytest.mark.parametrize("training", [True, False])
def test_our_contender_counts_what_it_computed(workload, training):
    contender = Ours(workload, training, "cpu", "float32")
    contender.warm_up()
    work = contender.round()
    real = work.lengths.sum()
    assert 0.7 < real / work.positions <= 1
    if training:
        assert len(work.lengths) == pytest.approx(16, abs=6)  # two updates of 8
    else:
        assert len(work.lengths) == 20


def result(**speeds):
    def rounds(tokens):
        return [
            {
                "seconds": seconds,
                "tokens": tokens,
                "reviews": 5,
                "positions": 2 * tokens,
                "flops": 10.0 * tokens,
                "peak_memory": 10**9,
                "compilations": 1,
            }
            for seconds in (1.0, 2.0, 4.0)
        ]

    about = {"setting": "any", "compile_seconds": 1.0, "first_round_seconds": 2.0}
    contenders = {name: {**about, "rounds": rounds(n)} for name, n in speeds.items()}
    contenders["peer"]["ours"] = contenders["ours"]["rounds"]
    contenders["absent"] = {"failure": "no module"}
    return {"task": "t", "mode": "train", "contenders": contenders, "peak": 1e3}


def test_summary_is_medians_and_ratios_within_a_turn(tmp_path):
    measured = result(ours=300, peer=100)
    shown = report.summary(measured)
    assert shown["peer"]["tokens_per_second"] == 50
    assert shown["peer"]["ours_is"] == 3
    assert shown["ours"]["ours_is"] == 1
    assert shown["ours"]["share_of_peak"] == pytest.approx(1.5)
    assert shown["ours"]["fill_ratio"] == 0.5
    text = report.table([measured])
    assert "| peer: any | 50 | 3.00x |" in text
    assert "absent did not run: no module" in text
    about = {"size": "tiny", "device": "cpu", "dtype": "float32"}
    report.write([measured], tmp_path, about)
    assert (tmp_path / "throughput.png").stat().st_size > 1000
    saved = json.loads((tmp_path / "throughput.json").read_text())
    assert saved["measured"] == [measured]
    assert "jax" in saved["versions"]
