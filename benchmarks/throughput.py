"""Real tokens a second, ours and what a user would pick instead, alternating.

python benchmarks/throughput.py --tfds_data_dir=../shared/tfds \
    --tokenizer=../shared/gpt2

GPT-2 small with random weights, training and prediction; `--backbone=minilm` measures
an encoder of all-MiniLM-L6-v2's shape. Every contender runs in a process of its own;
they take turns, so that a busy machine slows all alike.
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
from benchmarks.models import MODELS
from benchmarks.worker import CONTENDERS, OURS, PEAK, environment
from benchmarks.workload import TASKS, load_workload
from sentiment.errors import InputError

ROOT = Path(__file__).resolve().parent.parent
FLAGS = flags.FLAGS
flags.DEFINE_enum("backbone", "gpt2", list(MODELS), "Whose model.")
flags.DEFINE_multi_enum(
    "task", None, list(TASKS), "What is computed; by default what fits the backbone."
)
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
flags.DEFINE_enum("size", "small", ["small", "tiny"], "Real, or a tiny one to try.")
flags.DEFINE_integer("rounds", 5, "Turns of each contender.", lower_bound=1)
flags.DEFINE_string("tfds_data_dir", "", "Folder of the TFDS data.")
flags.DEFINE_string("tokenizer", "", "Folder with the backbone's tokenizer.")
flags.DEFINE_string("cache_dir", "", "Folder that keeps token ids; empty: none.")
flags.DEFINE_string(
    "output", str(ROOT / "runs" / "throughput"), "Folder for JSON, table and chart."
)


class Worker:
    """A contender's process."""

    def __init__(self, name: str, workload_path: str, mode: str, device: str, dtype):
        self.name = name
        arguments = (workload_path, mode, device, dtype)
        self._log = tempfile.TemporaryFile("w+")  # noqa: SIM115, closed by `stop`
        self._process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.worker", name, *arguments],
            cwd=ROOT,
            env=os.environ | environment(name, device),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            text=True,
        )

    def answer(self) -> dict | None:
        """The next reply; `None` if the contender has failed."""
        line = self._process.stdout.readline()
        return json.loads(line) if line else None

    def round(self, turn: int) -> dict | None:
        """Asks for a round and waits for it; `None` if the contender has failed."""
        try:
            self._process.stdin.write(f"{turn}\n")
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
    peak = Peak(arguments)
    for name in FLAGS.contender:
        if name == OURS:
            continue
        peer, about = start(name, arguments)
        results |= about
        if peer is None:
            continue
        turns = take_turns([ours, peer], FLAGS.rounds, peak)
        peer.stop()
        if turns[name] is None:
            results[name] = ended(peer)
        else:
            results[name]["rounds"] = turns[name]
        if ours and turns[OURS] is None:
            ours.stop()
            results[OURS], ours = ended(ours), None
        if ours and turns[name]:
            results[name]["ours"] = turns[OURS]
        if ours:
            results[OURS].setdefault("rounds", []).extend(turns[OURS])
        print(f"  {task} {mode} tokens/s: {speeds(turns)}", flush=True)
    if ours and "rounds" not in results[OURS]:  # no peer
        turns = take_turns([ours], FLAGS.rounds, peak)
        ours.stop()
        results[OURS] |= {"rounds": turns[OURS]} if turns[OURS] else ended(ours)
    elif ours:
        ours.stop()
    peaks = peak.stop()
    return {
        "task": task,
        "mode": mode,
        "contenders": results,
        "peak": statistics.median(peaks or [float("nan")]),
    }


class Peak:
    """The matrix product, measured again in each turn."""

    def __init__(self, arguments: tuple[str, ...]):
        self._worker, _ = start(PEAK, arguments)
        self._found: list[float] = []

    def measure(self, turn: int):
        """Measures once; without a worker nothing."""
        reply = self._worker and self._worker.round(turn)
        if reply:
            self._found.append(reply["flops_per_second"])

    def stop(self) -> list[float]:
        """FLOP/s of each turn."""
        if self._worker:
            self._worker.stop()
        return self._found


def take_turns(workers, count: int, peak: Peak) -> dict[str, list[dict] | None]:
    """The rounds of each worker, `None` for one that ended on the way."""
    turns = {worker.name: [] for worker in workers if worker}
    for turn in range(count):
        for worker in workers:
            if worker and turns[worker.name] is not None:
                reply = worker.round(turn)
                turns[worker.name] = reply and [*turns[worker.name], reply]
        peak.measure(turn)
    return turns


def ended(worker) -> dict:
    """Why a worker has no figures, known when it is stopped."""
    return {"failure": f"it ended during the rounds: {worker.message}"}


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


def speeds(turns: dict[str, list[dict] | None]) -> dict[str, float]:
    """Median real tokens a second of each worker that did not end."""
    return {
        name: round(statistics.median(r["tokens"] / r["seconds"] for r in rounds), 1)
        for name, rounds in turns.items()
        if rounds
    }


def main(_):
    """Measures everything and writes the report."""
    output = Path(FLAGS.output)
    about = {
        "device": FLAGS.device,
        "dtype": FLAGS.dtype,
        "size": FLAGS.size,
        "backbone": FLAGS.backbone,
    }
    measured = []
    with tempfile.TemporaryDirectory() as folder:
        for task in FLAGS.task or MODELS[FLAGS.backbone].tasks:
            path = str(Path(folder) / f"{task}.npz")
            save_workload(task, path)
            for mode in FLAGS.mode:
                result = measure(task, mode, path)
                if not any("rounds" in c for c in result["contenders"].values()):
                    sys.exit(f"{task}, {mode}: no contender ran; see above.")
                measured.append(result)
                output.mkdir(parents=True, exist_ok=True)
                report.write(measured, output, about)
    print(report.table(measured))
    print(f"Written to {output}.")


def save_workload(task: str, path: str):
    """Writes a task's reviews for the workers."""
    about = TASKS[task].on_gpu() if FLAGS.device == "gpu" else TASKS[task]
    try:
        workload = load_workload(
            about,
            FLAGS.backbone,
            FLAGS.size,
            FLAGS.tfds_data_dir,
            os.path.abspath(FLAGS.tokenizer),
            FLAGS.cache_dir,
        )
    except InputError as error:
        sys.exit(f"error: {error}")
    workload.save(path)


if __name__ == "__main__":
    app.run(main)
