"""Real tokens a second, ours and what a user would pick instead, alternating.

python benchmarks/throughput.py --tfds_data_dir=../shared/tfds \
    --tokenizer=../shared/gpt2

GPT-2 small with random weights, training and prediction. Every contender runs in
a process of its own; they take turns, so that a busy machine slows all alike.
Peers come from requirements-bench.txt; without them our side still runs.
"""

import contextlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
os.environ.setdefault("KERAS_BACKEND", "jax")

from absl import app, flags

from benchmarks import report
from benchmarks.report import OURS
from benchmarks.worker import CONTENDERS, PEAK
from benchmarks.workload import SIZES, TASKS, load_workload

ROOT = Path(__file__).resolve().parent.parent
# glibc's own default, for `import sentiment` sets another.
PEER_ENVIRONMENT = {"MALLOC_ARENA_MAX": str(8 * os.cpu_count())}
FLAGS = flags.FLAGS
flags.DEFINE_multi_enum("task", list(TASKS), list(TASKS), "What is computed.")
flags.DEFINE_multi_enum(
    "mode", ["train", "predict"], ["train", "predict"], "Which way."
)
flags.DEFINE_multi_enum(
    "contender",
    [name for name in CONTENDERS if name != "transformers, compiled"],
    list(CONTENDERS),
    "Who takes part.",
)
flags.DEFINE_enum("device", "cpu", ["cpu", "gpu"], "Where.")
flags.DEFINE_enum("dtype", "float32", ["float32", "bfloat16"], "Precision.")
flags.DEFINE_enum("size", "small", list(SIZES), "GPT-2 small, or a tiny one to try.")
flags.DEFINE_integer("rounds", 5, "Turns of each contender.", lower_bound=1)
flags.DEFINE_string("tfds_data_dir", "", "Folder of the TFDS data.")
flags.DEFINE_string("tokenizer", "", "Folder with GPT-2's vocab.json and merges.txt.")
flags.DEFINE_string("cache_dir", "", "Folder that keeps token ids; empty: none.")
flags.DEFINE_string(
    "output", str(ROOT / "runs" / "throughput"), "Folder for JSON, table and chart."
)


class Worker:
    """A contender's process."""

    def __init__(self, name: str, *arguments: str):
        self.name = name
        self._log = tempfile.TemporaryFile("w+")  # noqa: SIM115, closed by `stop`
        self._process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.worker", name, *arguments],
            cwd=ROOT,
            env=os.environ | ({} if name.startswith(OURS) else PEER_ENVIRONMENT),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            text=True,
        )

    def answer(self) -> dict | None:
        """The next reply; `None` if the contender has failed."""
        line = self._process.stdout.readline()
        return json.loads(line) if line else None

    def round(self) -> dict | None:
        """Asks for a round and waits for it."""
        try:
            self._process.stdin.write("round\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            return None
        return self.answer()

    def stop(self):
        """Ends the process and keeps the last line of what it printed."""
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.close()
        self._process.wait()
        self._log.seek(0)
        lines = self._log.read().strip().splitlines()
        self.message = lines[-1] if lines else "no message"
        self._log.close()


def measure(task: str, mode: str, workload_path: str) -> dict:
    """All contenders at one task, one way.

    Ours is measured against one peer after the other, in turns, so that no more
    than two models are in memory.

    Returns:
        `contenders`, by name what they chose and their rounds, or why they failed,
        each peer with ours in the same turns as `ours`; and `peak`, FLOP/s of the
        matrix product, the median over all turns.
    """
    arguments = (workload_path, mode, FLAGS.device, FLAGS.dtype)
    ours, results = start(OURS, arguments)
    peak = Worker(PEAK, *arguments)
    peak.answer()
    peaks = []
    for name in FLAGS.contender:
        if name == OURS:
            continue
        peer, about = start(name, arguments)
        results |= about
        if peer is None:
            continue
        turns = {worker: [] for worker in (ours, peer) if worker}
        for _ in range(FLAGS.rounds):
            for worker, rounds in turns.items():
                rounds.append(worker.round())
            peaks.append(peak.round()["flops_per_second"])
        peer.stop()
        if None in turns[peer]:
            results[name] = {"failure": f"it ended during the rounds: {peer.message}"}
            continue
        if ours and None in turns[ours]:
            ours.stop()
            results[OURS] = {"failure": f"it ended during the rounds: {ours.message}"}
            ours, turns = None, {peer: turns[peer]}
        results[name] |= {"rounds": turns[peer], "ours": turns.get(ours, [])}
        if ours:
            results[OURS].setdefault("rounds", []).extend(turns[ours])
        speeds = {worker.name: speed(rounds) for worker, rounds in turns.items()}
        print(f"  {task} {mode} tokens/s: {speeds}", flush=True)
    if ours and not results[OURS].get("rounds"):  # no peer
        results[OURS]["rounds"] = [ours.round() for _ in range(FLAGS.rounds)]
        peaks = [peak.round()["flops_per_second"] for _ in range(FLAGS.rounds)]
    for worker in filter(None, (ours, peak)):
        worker.stop()
    return {
        "task": task,
        "mode": mode,
        "contenders": results,
        "peak": statistics.median(peaks or [float("nan")]),
    }


def start(name: str, arguments: tuple[str, ...]) -> tuple[Worker | None, dict]:
    """A contender that is warm, and what it chose, or why it failed."""
    worker = Worker(name, *arguments)
    about = worker.answer()
    if about is None:
        worker.stop()
        about = {"failure": worker.message}
        worker = None
    print(f"{name}: {about}", flush=True)
    return worker, {name: about}


def speed(rounds: list[dict]) -> float:
    """Median real tokens a second."""
    return round(statistics.median(r["tokens"] / r["seconds"] for r in rounds), 1)


def main(_):
    """Measures everything and writes the report."""
    output = Path(FLAGS.output)
    output.mkdir(parents=True, exist_ok=True)
    measured = []
    with tempfile.TemporaryDirectory() as folder:
        for task in FLAGS.task:
            path = Path(folder) / f"{task}.npz"
            about_task = TASKS[task]
            load_workload(
                about_task.on_gpu() if FLAGS.device == "gpu" else about_task,
                FLAGS.size,
                FLAGS.tfds_data_dir,
                os.path.abspath(FLAGS.tokenizer),
                FLAGS.cache_dir,
            ).save(path)
            for mode in FLAGS.mode:
                measured.append(measure(task, mode, str(path)))
                about = {"device": FLAGS.device, "dtype": FLAGS.dtype}
                report.write(measured, output, {**about, "size": FLAGS.size})
    print(report.table(measured))
    print(f"Written to {output}.")


if __name__ == "__main__":
    app.run(main)
