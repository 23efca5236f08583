"""The benchmark's arithmetic, and our contender at a toy size."""

import json
from types import SimpleNamespace

import numpy as np
import pytest

from benchmarks import report, throughput
from benchmarks.contenders.base import reviews_of_turn
from benchmarks.contenders.ours import Ours
from benchmarks.models import MODELS
from benchmarks.worker import CONTENDERS, check_device, environment
from benchmarks.workload import TASKS, Task, Workload, review_flops
from sentiment.data.packing import RaggedTokens
from sentiment.models.tokenizer_definitions import word_piece_definition


def test_flops_by_hand():
    # One block of width 2, inner width 3, a review of 2 tokens. Products of
    # 2 x 2: four of 4 multiplications, and two of 2 x 3: 28 for each token.
    # Attention: token 1 sees 1 token, token 2 sees 2: scores and sums 2 * 2 * 3.
    # Head: 2 x 2.
    multiplications = 28 * 2 + 12 + 4
    assert review_flops([2], 1, 2, 3, True).tolist() == [2 * multiplications]
    # In both directions each token sees 2.
    multiplications += 4
    assert review_flops([2], 1, 2, 3, False).tolist() == [2 * multiplications]


def test_flops_grow_with_layers_and_are_summed_over_reviews():
    one, two = (review_flops([7, 9], n, 4, 8, True) for n in (1, 2))
    head = 2 * 4 * 2
    np.testing.assert_allclose(two - head, 2 * (one - head))


def test_a_gpu_gets_more_at_once():
    for task in TASKS.values():
        gpu = task.on_gpu()
        assert gpu.reviews_per_update > task.reviews_per_update
        assert max(gpu.batch_sizes) <= gpu.reviews_per_update


@pytest.fixture(params=MODELS)
def workload(request, tmp_path, vocabulary):
    rng = np.random.default_rng(0)
    tokens, merges = vocabulary
    (tmp_path / "vocab.json").write_text(json.dumps(tokens))
    (tmp_path / "merges.txt").write_text("\n".join(merges))
    pieces = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", *(f"w{i}" for i in range(200))]
    definition = word_piece_definition(pieces, lowercase=True)
    (tmp_path / "tokenizer.json").write_text(definition)
    sequences = [rng.integers(1, 200, rng.integers(5, 40)) for _ in range(200)]
    made = Workload(
        Task("imdb_reviews", 64, 8, 2, 20, (2, 4)),
        request.param,
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
    work = contender.round(0)
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


def test_summary_is_medians_and_ratios_within_a_turn(tmp_path, drawn_plots):
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
    about["backbone"] = "minilm"
    report.write([measured], tmp_path, about)
    assert (tmp_path / "throughput.png").stat().st_size > 1000
    saved = json.loads((tmp_path / "throughput.json").read_text())
    assert saved["measured"] == [measured]
    assert "jax" in saved["versions"]


# --- Taking turns


class FakeWorker:
    """Answers as often as it is told, then fails, or never starts."""

    def __init__(self, name, answers):
        self.name, self.left, self.message = name, answers, "killed"
        self.turns = []

    def answer(self):
        if self.left == 0:
            return None
        return {"setting": "s", "compile_seconds": 0.0, "first_round_seconds": 0.0}

    def round(self, turn):
        self.turns.append(turn)
        self.left -= 1
        if self.left < 0:
            return None
        if self.name == "peak":
            return {"flops_per_second": 1e3}
        return result(ours=7, peer=1)["contenders"][self.name]["rounds"][0]

    def stop(self):
        self.turns.append("stopped")


@pytest.fixture
def measure(monkeypatch):
    """`measure` with workers of so many answers; returns them, too."""

    def run(contenders=("ours", "peer"), **answers):
        workers = {name: FakeWorker(name, count) for name, count in answers.items()}
        flags = SimpleNamespace(
            contender=contenders, rounds=3, device="cpu", dtype="float32"
        )
        monkeypatch.setattr(throughput, "FLAGS", flags)
        monkeypatch.setattr(throughput, "Worker", lambda name, *_: workers[name])
        return throughput.measure("t", "train", "w.npz"), workers

    return run


def test_ours_and_the_peer_take_turns(measure):
    measured, workers = measure(ours=9, peer=9, peak=9)
    for name in ("ours", "peer"):
        assert len(measured["contenders"][name]["rounds"]) == 3
        assert workers[name].turns == [0, 1, 2, "stopped"]
    assert measured["peak"] == 1e3
    assert report.summary(measured)["peer"]["ours_is"] == 7


@pytest.mark.parametrize(
    ("answers", "failed", "shown"),
    [
        ({"ours": 0, "peer": 9, "peak": 9}, {"ours"}, {"peer"}),
        ({"ours": 1, "peer": 9, "peak": 9}, {"ours"}, {"peer"}),
        ({"ours": 9, "peer": 0, "peak": 9}, {"peer"}, {"ours"}),
        ({"ours": 9, "peer": 2, "peak": 9}, {"peer"}, {"ours"}),
        ({"ours": 1, "peer": 1, "peak": 9}, {"ours", "peer"}, set()),
        ({"ours": 9, "peer": 9, "peak": 1}, set(), {"ours", "peer"}),
        ({"ours": 9, "peer": 9, "peak": 0}, set(), {"ours", "peer"}),
    ],
)
def test_whoever_ends_early_the_others_are_reported(
    measure, tmp_path, answers, failed, shown
):
    measured, workers = measure(**answers)
    about = {"size": "tiny", "device": "cpu", "dtype": "float32"}
    about["backbone"] = "minilm"
    report.write([measured], tmp_path, about)
    contenders = measured["contenders"]
    assert {name for name in contenders if "failure" in contenders[name]} == failed
    assert set(report.summary(measured)) == shown
    assert all(worker.turns.count("stopped") == 1 for worker in workers.values())


def test_ours_alone_is_measured(measure):
    measured, _ = measure(contenders=("ours",), ours=9, peak=9)
    assert len(measured["contenders"]["ours"]["rounds"]) == 3
    measured, _ = measure(contenders=("ours",), ours=1, peak=9)
    assert "killed" in measured["contenders"]["ours"]["failure"]


def test_all_predict_the_same_reviews_in_a_turn(workload):
    turns = [reviews_of_turn(workload, turn) for turn in (0, 0, 1)]
    assert turns[0].tolist() == turns[1].tolist() != turns[2].tolist()
    assert len(set(turns[0])) == workload.task.reviews_per_round
    contender = Ours(workload, False, "cpu", "float32")
    lengths = contender.round(1).lengths
    assert lengths.tolist() == workload.tokens.lengths[turns[2]].tolist()


def test_each_process_computes_where_it_is_told():
    for name in CONTENDERS:
        assert environment(name, "cpu")["JAX_PLATFORMS"] == "cpu"
        on_gpu = environment(name, "gpu")
        assert ("JAX_PLATFORMS" in on_gpu) == name.startswith("transformers")
        assert on_gpu["XLA_PYTHON_CLIENT_PREALLOCATE"] == "false"
        assert ("MALLOC_ARENA_MAX" in on_gpu) == (name != "ours")
    check_device("cpu")
    with pytest.raises(RuntimeError, match="on cpu, not gpu"):
        check_device("gpu")


def test_results_stay_where_nobody_ran(measure, tmp_path, monkeypatch):
    _, _ = measure(ours=0, peer=0, peak=9)  # sets the workers and the flags
    for name, value in (
        ("output", str(tmp_path)),
        ("size", "tiny"),
        ("backbone", "gpt2"),
    ):
        setattr(throughput.FLAGS, name, value)
    throughput.FLAGS.task, throughput.FLAGS.mode = ["sst2"], ["train"]
    monkeypatch.setattr(throughput, "save_workload", lambda *_: None)
    (tmp_path / "throughput.json").write_text("good")
    with pytest.raises(SystemExit, match="no contender ran"):
        throughput.main([])
    assert (tmp_path / "throughput.json").read_text() == "good"
